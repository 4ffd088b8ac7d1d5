/**
 * From the host's socket to the guest: SND.UNA, SND.NXT, and the bytes between, which stay in the socket's own receive queue.
 *
 * `pull` copies bytes that the guest has window for straight behind headers in the arena, or to where the guest reads them in its own memory, with MSG_PEEK: the socket keeps them, at positions counted from SND.UNA. When the
 * guest acknowledges, that many are dropped from the queue (`discard`). To send something again we only peek at it again: there is no
 * retransmission buffer. Where the kernel keeps a peek offset for the socket (SO_PEEK_OFF), it moves on by itself; elsewhere each peek skips what is out.
 *
 * Loss. A tap loses nothing and there is no congestion on the way to the guest, so the guest's window alone limits what is out, until something
 * is lost after all (a guest without memory, a lossy link): then RFC 6298 (time-out: go back to SND.UNA, start with two segments, double), and RFC 6582
 * (third duplicate acknowledgement: the first segment again, and one more for each partial acknowledgement).
 */
import { TCP_PULL_BYTES_PER_TURN } from '../base/limits.ts';
import { after, before, distance } from '../base/sequence.ts';
import { type Congestion, NO_LINK } from '../flow/congestion.ts';
import type { FlowTable } from '../flow/flow-table.ts';
import { NO_PACKET, NOT_LENT, type Packets } from '../packet/packets.ts';
import { ERRNO } from '../sys/errno.ts';
import { SO, SOL } from '../sys/options.ts';
import type { Sys } from '../sys/sys.ts';
import * as tcp from '../wire/tcp.ts';
import { PayloadVector } from './payload-vector.ts';
import { CWND_UNLIMITED, FLAG, RTO_INITIAL_MS, RTO_MAX_MS, RTO_MIN_MS, type TcpColumns } from './tcp-columns.ts';
import type { TcpDeps } from './tcp-deps.ts';
import type { TcpReceiver } from './tcp-receive.ts';
import type { TcpSegments } from './tcp-segments.ts';

/** What `pull` found. */
export const PULL = {
  /** Nothing more to do now. */
  DONE: 0,
  /** The turn's share is used up, and there is more. */
  MORE: 1,
  /** The socket has failed, and everything that was in it before is with the guest. */
  FAILED: 2,
} as const;

const DUPLICATE_ACKS = 3;
/** Payload of a frame that is worth to be put where the guest reads it. */
const BORROW_BYTES_MIN = 8192;
/** Without a peek offset in the kernel, this many bytes are out at most: each peek copies them again. */
const SCRATCH_BYTES = 256 * 1024;
const WINDOW_MAX = 0x3fff_ffff;

export class TcpSender {
  readonly #sys: Sys;
  readonly #packets: Packets;
  readonly #arenaMemory: number;
  readonly #flows: FlowTable;
  readonly #tcp: TcpColumns;
  readonly #segments: TcpSegments;
  readonly #receiver: TcpReceiver;
  readonly #congestion: Congestion;
  readonly #vector: PayloadVector;
  #scratchMemory: number = -1;

  constructor(deps: TcpDeps, columns: TcpColumns, segments: TcpSegments, receiver: TcpReceiver) {
    this.#sys = deps.sys;
    this.#packets = deps.packets;
    this.#arenaMemory = deps.arenaMemory;
    this.#flows = deps.flows;
    this.#congestion = deps.congestion;
    this.#tcp = columns;
    this.#segments = segments;
    this.#receiver = receiver;
    this.#vector = new PayloadVector(deps.sys, deps.packets, deps.arenaMemory);
  }

  /** Asks the kernel to keep the peek offset of a flow's new socket. */
  adopt(flow: number): void {
    if (this.#sys.setOption(this.#flows.hostFd[flow], SOL.SOCKET, SO.PEEK_OFF, 0) === 0) {
      this.#tcp.flags[flow] |= FLAG.PEEK_OFFSET;
    } else if (this.#scratchMemory === -1) {
      this.#scratchMemory = this.#sys.register(new Uint8Array(SCRATCH_BYTES));
    }
  }

  /** Bytes, and a FIN, that are out and not acknowledged. */
  outstanding(flow: number): number {
    return distance(this.#tcp.sndNxt[flow], this.#tcp.sndUna[flow]);
  }

  /**
   * Takes the acknowledgement and window of a segment of an open flow, whose own number is `sequence`. `plain`: it carried nothing else (no payload, no FIN). Returns false when it acknowledges what
   * was never sent: the segment is to be dropped and answered.
   */
  acknowledged(
    flow: number,
    sequence: number,
    acknowledgment: number,
    windowField: number,
    plain: boolean,
    nowUs: number,
  ): boolean {
    const columns = this.#tcp;
    const fresh = distance(acknowledgment, columns.sndUna[flow]);
    if (distance(acknowledgment, columns.sndMax[flow]) > 0) return false;
    if (fresh < 0) return true;
    const window = Math.min(windowField << shiftOf(columns.guestScale[flow]), WINDOW_MAX);
    if (fresh > 0) {
      this.#advance(flow, acknowledgment, fresh, nowUs);
    } else if (plain && window === columns.sndWnd[flow] && this.outstanding(flow) > 0) {
      this.#duplicate(flow);
    }
    if (fresh > 0 || this.#tellsWindow(flow, sequence)) {
      columns.sndWnd[flow] = window;
      columns.sndWl1[flow] = sequence;
    }
    if ((columns.flags[flow] & FLAG.PROBING) !== 0) {
      columns.flags[flow] &= ~FLAG.PROBING;
      // The probes had backed off; what is sent now is not to wait that long.
      columns.rtoMs[flow] = this.#timeoutMs(flow);
    }
    return true;
  }

  /** Sends what the guest has window for and its link takes. */
  pull(flow: number, nowUs: number): number {
    const columns = this.#tcp;
    if (!this.#discard(flow)) return PULL.FAILED;
    if ((columns.flags[flow] & FLAG.FAST_RETRANSMIT) !== 0) this.#sendFirstAgain(flow);
    let budget = TCP_PULL_BYTES_PER_TURN;
    while ((columns.flags[flow] & (FLAG.HOST_READABLE | FLAG.HOST_FIN_SENT)) === FLAG.HOST_READABLE) {
      const room = this.#room(flow);
      if (room <= 0) return PULL.DONE;
      if (budget <= 0 || this.#congestion.linkHolding(flow) !== NO_LINK) return PULL.MORE;
      const sent = this.#sendNext(flow, room, nowUs);
      if (sent < 0) return sent === -ERRNO.ENOBUFS ? PULL.MORE : PULL.FAILED;
      budget -= sent;
      this.#segments.flushMuch();
    }
    return PULL.DONE;
  }

  /** Whether the host has bytes for which the guest has no window: only a probe can tell when it opens, if its update is lost. */
  isStalled(flow: number): boolean {
    const ready = this.#tcp.flags[flow] & (FLAG.HOST_READABLE | FLAG.HOST_FIN_SENT);
    return ready === FLAG.HOST_READABLE && this.outstanding(flow) === 0;
  }

  /** The retransmission timer fired: everything that is out counts as lost. Returns how often in a row. */
  timedOut(flow: number): number {
    const columns = this.#tcp;
    columns.rtoMs[flow] = Math.min(columns.rtoMs[flow] * 2, RTO_MAX_MS);
    columns.timedSinceUs[flow] = 0;
    columns.duplicateAcks[flow] = 0;
    columns.recover[flow] = columns.sndMax[flow];
    columns.flags[flow] =
      (columns.flags[flow] & ~(FLAG.HOST_FIN_SENT | FLAG.FAST_RETRANSMIT)) | FLAG.HOST_READABLE | FLAG.RECOVERING;
    columns.cwnd[flow] = 2 * columns.mss[flow];
    columns.sndNxt[flow] = columns.sndUna[flow];
    this.#setPeekOffset(flow, 0);
    return ++columns.retries[flow];
  }

  /** A segment that the guest must answer with its acknowledgement and window: one byte before SND.UNA, without payload (keep-alive, window probe). */
  probe(flow: number): void {
    this.#receiver.openWindow(flow);
    this.#segments.control(flow, tcp.ACK, (this.#tcp.sndUna[flow] - 1) | 0);
  }

  /** Whether a segment that acknowledges nothing new is not older than the one that told the window last (RFC 9293, section 3.10.7.4). */
  #tellsWindow(flow: number, sequence: number): boolean {
    const { sndWl1, rcvEdge } = this.#tcp;
    return !before(sequence, sndWl1[flow]) && !after(sequence, rcvEdge[flow]);
  }

  #advance(flow: number, acknowledgment: number, fresh: number, nowUs: number): void {
    const columns = this.#tcp;
    const { flags } = columns;
    columns.sndUna[flow] = acknowledgment;
    columns.timerMs[flow] = 0;
    if (after(acknowledgment, columns.sndNxt[flow])) columns.sndNxt[flow] = acknowledgment;
    let bytes = fresh;
    if (this.#coversFin(flow, acknowledgment)) {
      flags[flow] |= FLAG.HOST_FIN_SENT | FLAG.HOST_FIN_ACKED;
      bytes--;
    }
    columns.discardBytes[flow] += bytes;
    this.#flows.bytesIn[flow] += bytes;
    columns.retries[flow] = 0;
    columns.duplicateAcks[flow] = 0;
    if (columns.timedSinceUs[flow] !== 0 && distance(acknowledgment, columns.timedSequence[flow]) >= 0) {
      this.#measured(flow, nowUs - columns.timedSinceUs[flow]);
    }
    if ((flags[flow] & FLAG.RECOVERING) !== 0) this.#recover(flow, acknowledgment, bytes);
  }

  /** The FIN's number is the last that was ever sent once the end of the host's stream is known. */
  #coversFin(flow: number, acknowledgment: number): boolean {
    return (
      (this.#tcp.flags[flow] & FLAG.HOST_ENDED) !== 0 &&
      (this.#tcp.flags[flow] & FLAG.HOST_FIN_ACKED) === 0 &&
      acknowledgment === this.#tcp.sndMax[flow]
    );
  }

  #recover(flow: number, acknowledgment: number, bytes: number): void {
    const columns = this.#tcp;
    if (distance(acknowledgment, columns.recover[flow]) >= 0) {
      columns.flags[flow] &= ~FLAG.RECOVERING;
      columns.cwnd[flow] = CWND_UNLIMITED;
    } else if (columns.cwnd[flow] === CWND_UNLIMITED) {
      // A partial acknowledgement in fast recovery: the segment behind it is missing too (RFC 6582, section 3.2).
      columns.flags[flow] |= FLAG.FAST_RETRANSMIT;
    } else {
      columns.cwnd[flow] = Math.min(columns.cwnd[flow] + bytes, CWND_UNLIMITED - 1);
    }
  }

  #duplicate(flow: number): void {
    const columns = this.#tcp;
    if (columns.duplicateAcks[flow] > DUPLICATE_ACKS) return;
    if (++columns.duplicateAcks[flow] !== DUPLICATE_ACKS || (columns.flags[flow] & FLAG.RECOVERING) !== 0) return;
    columns.recover[flow] = columns.sndMax[flow];
    columns.flags[flow] |= FLAG.FAST_RETRANSMIT | FLAG.RECOVERING;
    columns.timedSinceUs[flow] = 0;
  }

  /** Drops from the socket's queue what the guest has acknowledged. */
  #discard(flow: number): boolean {
    let left = this.#tcp.discardBytes[flow];
    while (left > 0) {
      const dropped = this.#sys.discard(this.#flows.hostFd[flow], left);
      if (dropped === -ERRNO.EINTR) continue;
      if (dropped <= 0) return false;
      left -= dropped;
      this.#tcp.discardBytes[flow] = left;
    }
    return true;
  }

  /** How many bytes may go out now; not a fraction of a segment while others are out (RFC 9293, section 3.8.6.2.1). */
  #room(flow: number): number {
    const columns = this.#tcp;
    const out = this.outstanding(flow);
    let limit = Math.min(columns.sndWnd[flow], columns.cwnd[flow]);
    if ((columns.flags[flow] & FLAG.PEEK_OFFSET) === 0) limit = Math.min(limit, SCRATCH_BYTES);
    const room = limit - out;
    return out > 0 && room < columns.mss[flow] && room < limit / 2 ? 0 : room;
  }

  /** Peeks at the next bytes and sends them as one frame. Returns the payload's bytes, or -errno. */
  #sendNext(flow: number, room: number, nowUs: number): number {
    const columns = this.#tcp;
    const { flags, sndNxt } = columns;
    const mss = columns.mss[flow];
    let length = Math.min(room, this.#segments.payloadMax(flow));
    if (length > mss) length -= length % mss;
    const packet = this.#segments.begin(flow, length);
    if (packet === NO_PACKET) return -ERRNO.ENOBUFS;
    // Looking for buffers that few bytes do not need would cost more than copying those.
    if (Math.min(length, columns.pulledBytes[flow]) >= BORROW_BYTES_MIN) this.#segments.borrow(packet, flow);
    const got = this.#peek(flow, packet, 0, length, this.outstanding(flow));
    if (got <= 0) {
      this.#segments.abandon(packet, flow);
      if (got < 0) return this.#peekFailed(flow, got);
      return (flags[flow] & FLAG.HOST_FAILED) === 0 ? this.#sendEnd(flow) : -ERRNO.ECONNRESET;
    }
    const behind = got < length ? this.#peekBehind(flow, packet, got, length - got) : -ERRNO.EAGAIN;
    const bytes = got + Math.max(0, behind);
    const ends = behind === 0;
    columns.pulledBytes[flow] = bytes;
    this.#receiver.openWindow(flow);
    const push = bytes < length ? tcp.ACK | tcp.PSH : tcp.ACK;
    this.#segments.finish(packet, flow, ends ? push | tcp.FIN : push, sndNxt[flow], bytes);
    if (columns.timedSinceUs[flow] === 0 && sndNxt[flow] === columns.sndMax[flow]) {
      columns.timedSequence[flow] = (sndNxt[flow] + bytes) | 0;
      columns.timedSinceUs[flow] = nowUs;
    }
    if (ends) flags[flow] |= FLAG.HOST_FIN_SENT | FLAG.HOST_ENDED;
    this.#sent(flow, ends ? bytes + 1 : bytes);
    return behind < 0 && behind !== -ERRNO.EAGAIN ? behind : bytes;
  }

  /**
   * What follows `got` bytes that were fewer than asked for: the bytes of another peek, 0 at the end of the stream, which can go with them, -EAGAIN when
   * there is nothing yet, or the socket's error.
   */
  #peekBehind(flow: number, packet: number, got: number, room: number): number {
    const { flags } = this.#tcp;
    const behind =
      (flags[flow] & FLAG.HOST_HUNG_UP) === 0
        ? -ERRNO.EAGAIN
        : this.#peek(flow, packet, got, room, this.outstanding(flow) + got);
    if (behind === -ERRNO.EAGAIN) flags[flow] &= ~FLAG.HOST_READABLE;
    if (behind === -ERRNO.EINTR) return -ERRNO.EAGAIN;
    return behind === 0 && (flags[flow] & FLAG.HOST_FAILED) !== 0 ? -ERRNO.ECONNRESET : behind;
  }

  /** The socket is at the end of its stream: FIN. */
  #sendEnd(flow: number): number {
    this.#tcp.flags[flow] |= FLAG.HOST_FIN_SENT | FLAG.HOST_ENDED;
    this.#receiver.openWindow(flow);
    this.#segments.control(flow, tcp.FIN | tcp.ACK, this.#tcp.sndNxt[flow]);
    this.#sent(flow, 1);
    return 0;
  }

  #sent(flow: number, numbers: number): void {
    const { sndUna, sndNxt, sndMax, timerMs } = this.#tcp;
    // The first that is out starts the retransmission timer, whatever was waited for before; more that follow it do not put it off.
    if (sndNxt[flow] === sndUna[flow]) timerMs[flow] = 0;
    sndNxt[flow] = (sndNxt[flow] + numbers) | 0;
    if (after(sndNxt[flow], sndMax[flow])) sndMax[flow] = sndNxt[flow];
  }

  #peekFailed(flow: number, error: number): number {
    if (error === -ERRNO.EAGAIN) {
      this.#tcp.flags[flow] &= ~FLAG.HOST_READABLE;
      return 0;
    }
    return error === -ERRNO.EINTR ? 0 : error;
  }

  /** Reads up to `length` bytes behind the `skip` first of the socket to `offset` of the packet's payload. */
  #peek(flow: number, packet: number, offset: number, length: number, skip: number): number {
    const at = this.#packets.start[packet] + this.#segments.headerBytes(flow) + offset;
    const fd = this.#flows.hostFd[flow];
    const keepsOffset = (this.#tcp.flags[flow] & FLAG.PEEK_OFFSET) !== 0;
    const skipped = keepsOffset ? -1 : skip;
    const scratch = keepsOffset ? -1 : this.#scratchMemory;
    if (this.#packets.lent[packet] === NOT_LENT) {
      return this.#sys.peek(fd, this.#arenaMemory, at, length, skipped, scratch);
    }
    const vector = this.#vector;
    vector.clear();
    vector.add(packet, at, length);
    return this.#sys.peekVector(fd, vector.memory, 0, vector.count, skipped, scratch);
  }

  /** Sends the segment at SND.UNA again, without moving SND.NXT. */
  #sendFirstAgain(flow: number): void {
    const columns = this.#tcp;
    columns.flags[flow] &= ~FLAG.FAST_RETRANSMIT;
    columns.timerMs[flow] = 0;
    const out = this.outstanding(flow);
    if (out === 0) return;
    const onlyFin = out === 1 && (columns.flags[flow] & FLAG.HOST_FIN_SENT) !== 0;
    this.#receiver.openWindow(flow);
    if (onlyFin) {
      this.#segments.control(flow, tcp.FIN | tcp.ACK, columns.sndUna[flow]);
      return;
    }
    const length = Math.min(columns.mss[flow], out, Math.max(1, columns.sndWnd[flow]));
    const packet = this.#segments.begin(flow, length);
    if (packet === NO_PACKET) return;
    this.#setPeekOffset(flow, 0);
    const got = this.#peek(flow, packet, 0, length, 0);
    const dataOut = (columns.flags[flow] & FLAG.HOST_FIN_SENT) !== 0 ? out - 1 : out;
    this.#setPeekOffset(flow, dataOut);
    if (got > 0) this.#segments.finish(packet, flow, tcp.ACK | tcp.PSH, columns.sndUna[flow], got);
    else this.#segments.abandon(packet, flow);
  }

  #setPeekOffset(flow: number, bytes: number): void {
    if ((this.#tcp.flags[flow] & FLAG.PEEK_OFFSET) === 0) return;
    this.#sys.setOption(this.#flows.hostFd[flow], SOL.SOCKET, SO.PEEK_OFF, bytes);
  }

  /** RFC 6298, section 2: smoothed round-trip time, its variance, and the time-out. */
  #measured(flow: number, sampleUs: number): void {
    const columns = this.#tcp;
    columns.timedSinceUs[flow] = 0;
    const sample = Math.max(1, Math.min(sampleUs, RTO_MAX_MS * 1000)) | 0;
    if (columns.srttUs[flow] === 0) {
      columns.srttUs[flow] = sample;
      columns.rttVarianceUs[flow] = sample >> 1;
    } else {
      const difference = Math.abs(columns.srttUs[flow] - sample);
      columns.rttVarianceUs[flow] += (difference - columns.rttVarianceUs[flow]) >> 2;
      columns.srttUs[flow] = Math.max(1, columns.srttUs[flow] + ((sample - columns.srttUs[flow]) >> 3));
    }
    columns.rtoMs[flow] = this.#timeoutMs(flow);
  }

  #timeoutMs(flow: number): number {
    const { srttUs, rttVarianceUs } = this.#tcp;
    if (srttUs[flow] === 0) return RTO_INITIAL_MS;
    const rtoUs = srttUs[flow] + Math.max(1000, 4 * rttVarianceUs[flow]);
    return Math.min(RTO_MAX_MS, Math.max(RTO_MIN_MS, Math.ceil(rtoUs / 1000)));
  }
}

/** The shift of a guest's window field; 255 stands for a guest that does not scale (see `UNSCALED`). */
function shiftOf(scale: number): number {
  return scale > tcp.WINDOW_SCALE_MAX ? 0 : scale;
}
