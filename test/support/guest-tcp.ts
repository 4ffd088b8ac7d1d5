/**
 * One TCP connection of the simulated guest: RFC 9293 with window scaling (RFC 7323), without SACK, timestamps and urgent data.
 *
 * It exists to judge the other end. It behaves well itself, however badly the link treats it, and writes down whatever the other end does that the
 * RFCs forbid, in `violations`: wrong checksums and lengths, data beyond the window or with another value than before, acknowledgments of what was
 * never sent, windows that shrink, ends that move, options that were not offered.
 */
import { ACK, FIN, PSH, RST, SYN, type TcpOptions, type TcpSegment, URG } from './guest-frame.ts';
import type { GuestClock } from './guest-link.ts';
import { GuestSender } from './guest-sender.ts';
import { GuestReceiver } from './guest-stream.ts';

/** How it stands, or ended: `closed` in order, by both; `aborted` by us. */
export type GuestOutcome = 'opening' | 'open' | 'closed' | 'refused' | 'reset' | 'unreachable' | 'timeout' | 'aborted';

export interface GuestTcpOptions {
  /** The largest segment that we take; from the MTU unless said. */
  readonly mss?: number;
  /** 7 unless said; -1: the option is not sent. */
  readonly windowScale?: number;
  readonly receiveBytesMax?: number;
  /** `auto`: the application reads at once; `manual`: only in `read`. */
  readonly reading?: 'auto' | 'manual';
  /** Cuts nothing itself: sends up to 64 KiB for the device to cut. */
  readonly gso?: boolean;
  readonly delayedAckUs?: number;
  readonly initialSequence?: number;
  /** The link between may reorder segments: false unless said. */
  readonly reorderingLink?: boolean;
  readonly onData?: (bytes: Uint8Array, connection: GuestTcp) => void;
  readonly onEnd?: (connection: GuestTcp) => void;
}

/** A segment without what the guest fills in: addresses and ports. */
export type SegmentBody = Pick<
  TcpSegment,
  'sequence' | 'acknowledgment' | 'flags' | 'window' | 'options' | 'payload' | 'gsoBytes'
>;

const WORD = 0x1_0000_0000;
const GSO_BYTES_MAX = 60_000;
const DELAYED_ACK_US = 40_000;

export class GuestTcp {
  outcome: GuestOutcome = 'opening';
  readonly violations: string[] = [];
  readonly sender: GuestSender;
  readonly receiver: GuestReceiver;
  /** Segments and pure acknowledgments that came. */
  segments = 0;
  pureAcks = 0;
  /** When it became open, and when it ended, on the clock; -1: not yet. */
  openedUs = -1;
  endedUs = -1;
  readonly #clock: GuestClock;
  readonly #options: GuestTcpOptions;
  readonly #transmit: (segment: SegmentBody) => void;
  readonly #mss: number;
  readonly #initial: number;
  #theirInitial = 0;
  #passive = false;
  /** Both have sent the window scale option. */
  #scaling = false;
  #synchronized = false;
  #ourScale = 0;
  #theirScale = 0;
  /** The peer's right window edge, and the segment that told it last (SND.WL1, SND.WL2). */
  #edge = 0;
  #edgeSequence = 0;
  #edgeAcknowledgment = 0;
  #unread = 0;
  #reading: 'auto' | 'manual';
  #abandoned = false;
  #ackTimer = -1;
  #unackedSegments = 0;

  constructor(clock: GuestClock, mss: number, options: GuestTcpOptions, transmit: (segment: SegmentBody) => void) {
    this.#clock = clock;
    this.#options = options;
    this.#transmit = transmit;
    this.#mss = options.mss ?? mss;
    this.#initial = (options.initialSequence ?? 0xffff_f000) >>> 0;
    this.#reading = options.reading ?? 'auto';
    this.sender = new GuestSender(clock, {
      emit: (at, bytes, syn, fin) => this.#emit(at, bytes, syn, fin),
      giveUp: () => this.#finish('timeout'),
    });
    if (options.gso) this.sender.gsoBytesMax = GSO_BYTES_MAX;
    this.receiver = new GuestReceiver((what) => this.#violation(what));
  }

  get received(): Uint8Array {
    return this.receiver.received;
  }

  /** Bytes that the application has not read. */
  get unreadBytes(): number {
    return this.#unread;
  }

  /** Nothing of it is left, except for answering what comes late. */
  get isOver(): boolean {
    return this.outcome !== 'opening' && this.outcome !== 'open';
  }

  /** Whether a SYN is the one that opened this connection, come late: behind an end in order (TIME-WAIT) it opens no other (RFC 9293, section 3.6.1). */
  hadSyn(syn: TcpSegment): boolean {
    return this.outcome === 'closed' && syn.sequence === this.#theirInitial;
  }

  // --- the application ---

  /** Starts the active open. */
  connect(): void {
    this.sender.open();
  }

  send(bytes: Uint8Array): void {
    this.sender.write(bytes);
  }

  /** Ends our half. */
  shutdown(): void {
    this.sender.end();
  }

  /** Ends our half and reads no more: data that still comes is answered with a reset, as after close(2). */
  close(): void {
    this.#abandoned = true;
    if (this.#unread > 0) this.reset();
    else this.sender.end();
  }

  reset(): void {
    if (this.isOver) return;
    if (this.#synchronized) this.#send(RST | ACK, this.sender.sent, new Uint8Array(0), {});
    this.#finish('aborted');
  }

  setReading(reading: 'auto' | 'manual'): void {
    this.#reading = reading;
    if (reading === 'auto') this.read();
  }

  /** The application takes bytes; the window opens by as much, and the peer is told when that is worth a segment. */
  read(count: number = Number.POSITIVE_INFINITY): void {
    const taken = Math.min(count, this.#unread);
    if (taken === 0) return;
    this.#unread -= taken;
    const growth = this.receiver.next + this.#room() - this.receiver.right;
    if (this.outcome === 'open' && growth >= Math.min(this.#mss, this.#receiveBytesMax / 2)) this.#acknowledge();
  }

  // --- the guest's kernel ---

  /** A SYN has come for a listening port. */
  accept(syn: TcpSegment): void {
    this.#passive = true;
    this.#synchronize(syn);
    this.sender.open();
  }

  receive(segment: TcpSegment, problems: readonly string[]): void {
    this.segments++;
    for (const problem of problems) this.#violation(problem);
    if (problems.length > 0) return;
    if (segment.flags & URG) this.#violation('urgent data, which nobody sent');
    if (this.isOver && this.outcome !== 'closed') {
      this.#answerLate(segment);
      return;
    }
    if (!this.#synchronized) this.#receiveInSynSent(segment);
    else this.#receiveSynchronized(segment);
  }

  /** An ICMP error for this connection: it ends an open, and only an open (RFC 5461). */
  unreachable(): void {
    if (this.outcome === 'opening') this.#finish('unreachable');
  }

  get #receiveBytesMax(): number {
    return this.#options.receiveBytesMax ?? 256 * 1024;
  }

  #receiveInSynSent(segment: TcpSegment): void {
    const acknowledges = (segment.flags & ACK) !== 0;
    if (acknowledges && segment.acknowledgment !== wrap(this.#initial + 1)) {
      this.#violation(`the SYN is answered with acknowledgment ${segment.acknowledgment}`);
      return;
    }
    if (segment.flags & RST) {
      if (acknowledges) this.#finish('refused');
      else this.#violation('a reset without acknowledgment answers the SYN');
      return;
    }
    if ((segment.flags & SYN) === 0 || !acknowledges) {
      this.#violation(`flags ${segment.flags} answer the SYN`);
      return;
    }
    this.#synchronize(segment);
    this.#open();
    this.#readWindow(segment, 0, 1, 0);
    this.sender.acknowledge(1, false);
    this.#acknowledge();
  }

  /** Their SYN: initial sequence number and options. */
  #synchronize(segment: TcpSegment): void {
    this.#synchronized = true;
    this.#theirInitial = segment.sequence;
    const { mss, windowScale } = segment.options;
    const offers = this.#passive || (this.#options.windowScale ?? 7) >= 0;
    if (segment.options.timestamps && !this.#passive) this.#violation('timestamps that were not offered');
    if (segment.options.sackPermitted && !this.#passive) this.#violation('SACK that was not offered');
    if (windowScale !== undefined && !offers) this.#violation('a window scale that was not offered');
    if (windowScale !== undefined && windowScale > 14) this.#violation(`a window scale of ${windowScale}`);
    if (segment.payload.length > 0) this.#violation('data on a SYN');
    if (mss === undefined) this.#violation('a SYN without MSS');
    this.sender.mss = Math.min(mss ?? 536, this.#mss);
    if (windowScale !== undefined && (this.#options.windowScale ?? 7) >= 0) {
      this.#scaling = true;
      this.#theirScale = windowScale;
      this.#ourScale = this.#options.windowScale ?? 7;
    }
  }

  #receiveSynchronized(segment: TcpSegment): void {
    const at = this.receiver.next + difference(segment.sequence, wrap(this.#theirInitial + this.receiver.next));
    if (segment.flags & RST) {
      this.#receiveReset(at);
      return;
    }
    if (segment.flags & SYN) {
      // A SYN or SYN-ACK that came again.
      if (at !== 0) this.#violation('a SYN inside the connection');
      else if (this.#passive && this.outcome === 'opening') this.sender.open();
      else this.#acknowledge();
      return;
    }
    if ((segment.flags & ACK) === 0) {
      this.#violation('a segment without acknowledgment');
      return;
    }
    if (!this.#receiveAcknowledgment(segment, at)) return;
    this.#receivePayload(segment, at);
    this.#maybeFinish();
  }

  #receiveReset(at: number): void {
    if (at === this.receiver.next) {
      this.#finish(this.outcome === 'opening' ? 'refused' : 'reset');
      return;
    }
    // RFC 5961, section 3.2: only the exact number resets; another inside the window is challenged.
    if (at > this.receiver.next && at < this.receiver.right) this.#acknowledge();
  }

  #receiveAcknowledgment(segment: TcpSegment, at: number): boolean {
    const sender = this.sender;
    const acknowledged =
      sender.acknowledged + difference(segment.acknowledgment, wrap(this.#initial + sender.acknowledged));
    if (acknowledged > sender.sent) {
      this.#violation(`acknowledges ${acknowledged - sender.sent} bytes that were never sent`);
      return false;
    }
    if (this.outcome === 'opening' && acknowledged >= 1) this.#open();
    const windowBefore = sender.window;
    const fin = (segment.flags & FIN) !== 0;
    if (acknowledged >= sender.acknowledged) this.#readWindow(segment, at, acknowledged, this.#theirScale);
    const isPure = segment.payload.length === 0 && !fin;
    if (isPure) this.pureAcks++;
    if (acknowledged >= sender.acknowledged) sender.acknowledge(acknowledged, isPure && sender.window === windowBefore);
    return true;
  }

  /** Takes the window of a segment that is not older than the last one that told it (section 3.10.7.4). */
  #readWindow(segment: TcpSegment, at: number, acknowledged: number, scale: number): void {
    const isNewer = at > this.#edgeSequence || (at === this.#edgeSequence && acknowledged >= this.#edgeAcknowledgment);
    if (!isNewer && this.#edge !== 0) return;
    const window = segment.window * 2 ** scale;
    const edge = acknowledged + window;
    // A window is told in units of 2^scale (RFC 7323, section 2.4), so its edge may seem to move back by less than one.
    const lost = this.#edge - edge;
    const isSameMoment = at === this.#edgeSequence && acknowledged === this.#edgeAcknowledgment;
    // On a link that reorders, the older of two window updates may come last.
    if (lost > 0 && isSameMoment && this.#options.reorderingLink) return;
    if (lost >= 2 ** this.#theirScale) this.#violation(`the window shrank by ${lost} bytes`);
    this.#edge = edge;
    this.#edgeSequence = at;
    this.#edgeAcknowledgment = acknowledged;
    this.sender.setWindow(window);
  }

  #receivePayload(segment: TcpSegment, at: number): void {
    const { payload } = segment;
    const fin = (segment.flags & FIN) !== 0;
    if (payload.length === 0 && !fin) {
      // A keep-alive or a window probe without data repeats an old number and wants an answer (RFC 9293, section 3.8.4).
      if (at < this.receiver.next) this.#acknowledge();
      return;
    }
    const largest = segment.gsoBytes > 0 ? segment.gsoBytes : payload.length;
    if (largest > this.#mss) this.#violation(`a segment of ${largest} bytes, where the MSS is ${this.#mss}`);
    const isInOrder = at === this.receiver.next;
    const wasEnded = this.receiver.isEnded;
    const fresh = this.receiver.take(at, payload, fin);
    if (fresh > 0 && this.#abandoned) {
      this.reset();
      return;
    }
    this.#unread += fresh;
    if (this.#reading === 'auto') this.#unread = 0;
    const ended = this.receiver.isEnded && !wasEnded;
    // The window must have moved before the application hears of it: it may answer at once.
    if (!isInOrder || fin || fresh === 0 || ++this.#unackedSegments >= 2 || segment.gsoBytes > 0) this.#acknowledge();
    else this.#acknowledgeLater();
    if (fresh > 0) this.#options.onData?.(this.received.slice(-fresh), this);
    if (ended) this.#options.onEnd?.(this);
  }

  #open(): void {
    this.outcome = 'open';
    this.openedUs = this.#clock.nowUs;
  }

  #maybeFinish(): void {
    if (this.outcome !== 'open' || !this.receiver.isEnded || !this.sender.isEndAcknowledged) return;
    this.sender.stop();
    this.outcome = 'closed';
    this.endedUs = this.#clock.nowUs;
  }

  #finish(outcome: GuestOutcome): void {
    if (this.isOver) return;
    this.sender.stop();
    if (this.#ackTimer >= 0) this.#clock.cancel(this.#ackTimer);
    this.#ackTimer = -1;
    this.outcome = outcome;
    this.endedUs = this.#clock.nowUs;
  }

  /** To a connection that is over, everything but a reset is answered with a reset (section 3.10.7.1). */
  #answerLate(segment: TcpSegment): void {
    if (segment.flags & RST) return;
    this.#transmit({ ...resetFor(segment), options: {}, payload: new Uint8Array(0), gsoBytes: 0, window: 0 });
  }

  #acknowledgeLater(): void {
    if (this.#ackTimer >= 0) return;
    this.#ackTimer = this.#clock.after(this.#options.delayedAckUs ?? DELAYED_ACK_US, () => {
      this.#ackTimer = -1;
      if (!this.isOver) this.#acknowledge();
    });
  }

  #acknowledge(): void {
    this.#send(ACK, this.sender.next, new Uint8Array(0), {});
  }

  #emit(at: number, bytes: Uint8Array, syn: boolean, fin: boolean): void {
    const flags = (syn ? SYN : 0) | (fin ? FIN : 0) | (this.#synchronized ? ACK : 0) | (bytes.length > 0 ? PSH : 0);
    const scale = this.#options.windowScale ?? 7;
    const withScale = this.#passive ? this.#scaling : scale >= 0;
    const options: TcpOptions = syn ? { mss: this.#mss, ...(withScale ? { windowScale: scale } : {}) } : {};
    this.#send(flags, at, bytes, options);
  }

  #send(flags: number, at: number, payload: Uint8Array, options: TcpOptions): void {
    if (flags & ACK) this.#acknowledgmentSent();
    this.#transmit({
      sequence: wrap(this.#initial + at),
      acknowledgment: flags & ACK ? wrap(this.#theirInitial + this.receiver.next) : 0,
      flags,
      window: this.#windowField((flags & SYN) !== 0),
      options,
      payload: payload.slice(),
      gsoBytes: payload.length > this.sender.mss ? this.sender.mss : 0,
    });
  }

  #acknowledgmentSent(): void {
    this.#unackedSegments = 0;
    if (this.#ackTimer >= 0) this.#clock.cancel(this.#ackTimer);
    this.#ackTimer = -1;
  }

  #room(): number {
    return Math.max(0, this.#receiveBytesMax - this.#unread);
  }

  /** What we advertise, in whole units: by less than one of them, its edge may seem to move back (RFC 7323, section 2.4). */
  #windowField(syn: boolean): number {
    const unit = syn ? 1 : 2 ** this.#ourScale;
    const promised = this.receiver.right - this.receiver.next;
    const field = Math.min(0xffff, Math.floor(Math.max(0, promised, this.#room()) / unit));
    this.receiver.right = Math.max(this.receiver.right, this.receiver.next + field * unit);
    return field;
  }

  #violation(what: string): void {
    this.violations.push(`${this.#clock.nowUs} us: ${what}`);
  }
}

/** The reset that answers a segment for which there is no connection (section 3.10.7.1). */
export function resetFor(segment: TcpSegment): { flags: number; sequence: number; acknowledgment: number } {
  if (segment.flags & ACK) return { flags: RST, sequence: segment.acknowledgment, acknowledgment: 0 };
  const length = segment.payload.length + (segment.flags & SYN ? 1 : 0) + (segment.flags & FIN ? 1 : 0);
  return { flags: RST | ACK, sequence: 0, acknowledgment: wrap(segment.sequence + length) };
}

function wrap(sequence: number): number {
  return ((sequence % WORD) + WORD) % WORD;
}

/** How far `a` is ahead of `b` on the circle of 2^32. */
function difference(a: number, b: number): number {
  const ahead = wrap(a - b);
  return ahead >= WORD / 2 ? ahead - WORD : ahead;
}
