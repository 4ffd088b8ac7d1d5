/**
 * The state of TCP flows, as columns beside the flow table: one entry per flow number, named as in RFC 9293 (SND: what we send to
 * the guest, RCV: what we get from it). Plain data; the files beside this one say what it means when.
 */

/** Where a flow stands in its life, apart from the two directions that `FLAG` tells. */
export const PHASE = {
  NONE: 0,
  /** The guest's SYN is here, the host's socket is on its way. */
  CONNECTING: 1,
  /** The host's socket is connected, our SYN-ACK is out. */
  SYN_RECEIVED: 2,
  /** A caller was accepted on a published port, our SYN to the guest is out. */
  SYN_SENT: 3,
  OPEN: 4,
} as const;

export const FLAG = {
  /** The guest's FIN is in order: it sends no more. */
  GUEST_FIN: 0x1,
  /** All that the guest sent is with the host's socket, and so is the end of it. */
  GUEST_FIN_DELIVERED: 0x2,
  /** Our FIN is out: the host's side sends no more. */
  HOST_FIN_SENT: 0x4,
  HOST_FIN_ACKED: 0x8,
  /** The host's socket may have something to read: bytes, the end, or an error. */
  HOST_READABLE: 0x10,
  /** The host's socket took less than it was given. */
  HOST_BLOCKED: 0x20,
  /** The host's socket can't be written to any more; what is left in it can still be read. */
  HOST_BROKEN: 0x40,
  /** The kernel keeps this socket's peek offset. */
  PEEK_OFFSET: 0x80,
  /** The third duplicate acknowledgement came: the first segment is to be sent again. */
  FAST_RETRANSMIT: 0x100,
  /** Between a loss and the acknowledgement of all that was out at the time (`recover`). */
  RECOVERING: 0x200,
  /** The end of the host's stream was seen: SND.MAX is the number behind its FIN. */
  HOST_ENDED: 0x400,
  /** A keep-alive or window probe is out. */
  PROBING: 0x800,
  /**
   * The host's socket has its end, an error or an urgent byte in it, behind whatever can be read: no further event will say so, and a short peek is no sign that
   * there is nothing more.
   */
  HOST_HUNG_UP: 0x1000,
  /** The host's socket has failed with an error that is taken from it already: where its bytes end is not the end of the stream. */
  HOST_FAILED: 0x2000,
} as const;

/** What a flow has to do before the turn ends. */
export const DIRTY = {
  QUEUED: 1,
  /** Segments of the guest wait in the arena for the host's socket. */
  WRITE: 2,
  /** The guest is to hear of our sequence number or window. */
  ACK: 4,
  /** The host's socket may have bytes that the guest's window has room for. */
  PULL: 8,
  /** It was parked: what is out has waited with us. */
  RESUMED: 16,
} as const;

/** How far our advertised window is shifted: 65,535 << 6 is 4 MiB, in steps of 64 bytes. */
export const WINDOW_SCALE: number = 6;

export class TcpColumns {
  readonly phase: Uint8Array;
  readonly flags: Uint16Array;
  readonly dirty: Uint8Array;
  /** Oldest sequence number that the guest has not acknowledged, the next one to send, and the highest that was ever sent. */
  readonly sndUna: Int32Array;
  readonly sndNxt: Int32Array;
  readonly sndMax: Int32Array;
  /** The guest's window in bytes, counted from SND.UNA. */
  readonly sndWnd: Int32Array;
  /** The sequence number of the segment that told it (SND.WL1). */
  readonly sndWl1: Int32Array;
  readonly guestScale: Uint8Array;
  /** Payload bytes of one segment to the guest, at most. */
  readonly mss: Uint16Array;
  /** What may be out at a time after a loss; beyond any window when there was none. */
  readonly cwnd: Int32Array;
  readonly recover: Int32Array;
  readonly duplicateAcks: Uint8Array;
  readonly retries: Uint8Array;
  /** Payload of the last frame to the guest. */
  readonly pulledBytes: Int32Array;
  /** Bytes that the guest has acknowledged and that are still in the host socket's queue. */
  readonly discardBytes: Int32Array;
  readonly rcvNxt: Int32Array;
  /** The end of the window that we advertised last. */
  readonly rcvEdge: Int32Array;
  /** The packets of this turn whose payload is for the host, as a chain: first, last, and how many bytes in all. */
  readonly firstPacket: Int32Array;
  readonly lastPacket: Int32Array;
  readonly gatheredBytes: Int32Array;
  /** Smoothed round-trip time, its variance, and the time-out made from them (RFC 6298); `srttUs` 0: not measured yet. */
  readonly srttUs: Int32Array;
  readonly rttVarianceUs: Int32Array;
  readonly rtoMs: Int32Array;
  /** The sequence number whose acknowledgement is being timed, and since when; 0: none is. */
  readonly timedSequence: Int32Array;
  readonly timedSinceUs: Float64Array;
  /** When something is due towards the guest, when a host's socket that had no memory is tried again, and when the wheel will say so at the latest; 0: never. */
  readonly timerMs: Float64Array;
  readonly hostRetryMs: Float64Array;
  readonly wheelMs: Float64Array;

  constructor(max: number) {
    this.phase = new Uint8Array(max);
    this.flags = new Uint16Array(max);
    this.dirty = new Uint8Array(max);
    this.sndUna = new Int32Array(max);
    this.sndNxt = new Int32Array(max);
    this.sndMax = new Int32Array(max);
    this.sndWnd = new Int32Array(max);
    this.sndWl1 = new Int32Array(max);
    this.guestScale = new Uint8Array(max);
    this.mss = new Uint16Array(max);
    this.cwnd = new Int32Array(max);
    this.recover = new Int32Array(max);
    this.duplicateAcks = new Uint8Array(max);
    this.retries = new Uint8Array(max);
    this.pulledBytes = new Int32Array(max);
    this.discardBytes = new Int32Array(max);
    this.rcvNxt = new Int32Array(max);
    this.rcvEdge = new Int32Array(max);
    this.firstPacket = new Int32Array(max);
    this.lastPacket = new Int32Array(max);
    this.gatheredBytes = new Int32Array(max);
    this.srttUs = new Int32Array(max);
    this.rttVarianceUs = new Int32Array(max);
    this.rtoMs = new Int32Array(max);
    this.timedSequence = new Int32Array(max);
    this.timedSinceUs = new Float64Array(max);
    this.timerMs = new Float64Array(max);
    this.hostRetryMs = new Float64Array(max);
    this.wheelMs = new Float64Array(max);
  }

  /** Makes the entry of a new flow, but for `dirty`, which belongs to the queue: `iss` is our initial sequence number, `mss` what a segment to the guest may carry. */
  reset(flow: number, phase: number, iss: number, mss: number): void {
    this.phase[flow] = phase;
    this.flags[flow] = 0;
    this.sndUna[flow] = iss;
    this.sndNxt[flow] = iss;
    this.sndMax[flow] = iss;
    this.sndWnd[flow] = 0;
    this.sndWl1[flow] = 0;
    this.guestScale[flow] = 0;
    this.mss[flow] = mss;
    this.cwnd[flow] = CWND_UNLIMITED;
    this.recover[flow] = iss;
    this.duplicateAcks[flow] = 0;
    this.retries[flow] = 0;
    this.pulledBytes[flow] = 0;
    this.discardBytes[flow] = 0;
    this.rcvNxt[flow] = 0;
    this.rcvEdge[flow] = 0;
    this.firstPacket[flow] = -1;
    this.lastPacket[flow] = -1;
    this.gatheredBytes[flow] = 0;
    this.srttUs[flow] = 0;
    this.rttVarianceUs[flow] = 0;
    this.rtoMs[flow] = RTO_INITIAL_MS;
    this.timedSequence[flow] = 0;
    this.timedSinceUs[flow] = 0;
    this.timerMs[flow] = 0;
    this.hostRetryMs[flow] = 0;
    this.wheelMs[flow] = 0;
  }
}

/** No limit but the guest's window: nothing is lost on the way to it as long as it does not say so. */
export const CWND_UNLIMITED: number = 0x7fff_ffff;

/** RFC 6298, section 2.1. */
export const RTO_INITIAL_MS: number = 1000;
/** Below the RFC's 1 s, as in Linux: the guest is a few microseconds away, and its delayed acknowledgement comes within 40 ms. */
export const RTO_MIN_MS: number = 200;
export const RTO_MAX_MS: number = 60_000;
