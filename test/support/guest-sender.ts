/**
 * The sending half of a guest connection: RFC 9293 section 3.8 (retransmission, zero-window probing), RFC 5681 and 6582 (slow start, congestion avoidance,
 * fast retransmit and recovery), RFC 6298. Positions count bytes from our SYN: the SYN is 0, the first byte 1, the FIN behind the last byte.
 */
import type { GuestClock } from './guest-link.ts';
import { RoundTrip } from './guest-rtt.ts';

const INITIAL_SEGMENTS = 10;
const DUPLICATES = 3;

/** What the sender asks of its connection. */
export interface SenderEvents {
  /** Sends the bytes at a position, or SYN or FIN with none. */
  emit(at: number, bytes: Uint8Array, syn: boolean, fin: boolean): void;
  /** Nothing was acknowledged after so many attempts. */
  giveUp(): void;
}

export class GuestSender {
  /** The first position that is not acknowledged, the next one to send, and the end of what was ever sent. */
  acknowledged = 0;
  next = 0;
  sent = 0;
  /** The peer's window, scaled; and the largest it ever was. */
  window = 0;
  windowMost = 0;
  mss = 536;
  retransmissions = 0;
  probes = 0;
  /** Attempts without any progress before giving up. */
  attemptsMax = 8;
  /** Bytes in one frame, at most, when the device cuts them (GSO); 0: one segment. */
  gsoBytesMax = 0;
  readonly #clock: GuestClock;
  readonly #events: SenderEvents;
  readonly #roundTrip = new RoundTrip();
  #data: Uint8Array = new Uint8Array(4096);
  /** Bytes written by the application, ever; all are kept. */
  #length = 0;
  #endQueued = false;
  #timer = -1;
  #attempts = 0;
  #probing = false;
  #duplicates = 0;
  #congestionWindow = INITIAL_SEGMENTS * 1460;
  #threshold = Number.POSITIVE_INFINITY;
  #recoverUntil = -1;
  #timedPosition = -1;
  #timedAtUs = 0;

  constructor(clock: GuestClock, events: SenderEvents) {
    this.#clock = clock;
    this.#events = events;
  }

  /** Whether FIN was sent and acknowledged. */
  get isEndAcknowledged(): boolean {
    return this.#endQueued && this.acknowledged > this.#endPosition;
  }

  get isEndQueued(): boolean {
    return this.#endQueued;
  }

  /** Bytes of the application that were acknowledged. */
  get acknowledgedBytes(): number {
    return Math.min(this.#length, Math.max(0, this.acknowledged - 1));
  }

  /** Sends the SYN: its answer opens the window. */
  open(): void {
    this.#emit(0, false);
    this.#arm();
  }

  write(bytes: Uint8Array): void {
    const needed = this.#length + bytes.length;
    if (needed > this.#data.length) {
      const grown = new Uint8Array(needed * 2);
      grown.set(this.#data.subarray(0, this.#length));
      this.#data = grown;
    }
    this.#data.set(bytes, this.#length);
    this.#length = needed;
    this.transmit();
  }

  end(): void {
    this.#endQueued = true;
    this.transmit();
  }

  /** Takes an acknowledgment that lies within what was sent. `pure`: it brought neither data nor another window. */
  acknowledge(position: number, pure: boolean): void {
    if (position > this.acknowledged) this.#progress(position);
    else if (pure && position === this.acknowledged && this.next > this.acknowledged) this.#duplicate();
    this.transmit();
  }

  setWindow(bytes: number): void {
    // A probe that was not taken is sent anew with what follows it.
    if (bytes > 0 && this.#probing) this.next = this.acknowledged;
    if (bytes > 0) this.#probing = false;
    this.window = bytes;
    this.windowMost = Math.max(this.windowMost, bytes);
  }

  /** Sends what the windows allow. */
  transmit(): void {
    if (this.acknowledged === 0) return;
    while (this.#sendNext());
    this.#arm();
  }

  stop(): void {
    if (this.#timer >= 0) this.#clock.cancel(this.#timer);
    this.#timer = -1;
  }

  get #endPosition(): number {
    return this.#length + 1;
  }

  #sendNext(): boolean {
    const left = this.#endPosition - this.next;
    const usable = Math.min(this.window, this.#congestionWindow) - (this.next - this.acknowledged);
    if (left > 0) {
      const bytes = Math.min(left, usable, Math.max(this.mss, this.gsoBytesMax));
      // No silly small segments (section 3.8.6.2.1): a full one, all that there is, or half of the largest window.
      if (bytes <= 0 || bytes < Math.min(left, this.mss, this.windowMost / 2)) return false;
      this.#emitData(bytes);
      return true;
    }
    if (!this.#endQueued || this.next !== this.#endPosition || usable <= 0) return false;
    this.#emit(this.next, true);
    return true;
  }

  #emitData(bytes: number): void {
    const at = this.next;
    const isNew = at >= this.sent;
    if (!isNew) this.retransmissions++;
    if (isNew && this.#timedPosition < 0) this.#time(at + bytes);
    this.next += bytes;
    this.sent = Math.max(this.sent, this.next);
    this.#events.emit(at, this.#data.subarray(at - 1, at - 1 + bytes), false, false);
  }

  /** SYN or FIN. */
  #emit(at: number, fin: boolean): void {
    if (at < this.sent) this.retransmissions++;
    this.next = at + 1;
    this.sent = Math.max(this.sent, this.next);
    this.#events.emit(at, new Uint8Array(0), !fin, fin);
  }

  #progress(position: number): void {
    if (this.#timedPosition >= 0 && position >= this.#timedPosition) {
      this.#roundTrip.sample(this.#clock.nowUs - this.#timedAtUs);
      this.#timedPosition = -1;
    }
    const bytes = position - this.acknowledged;
    this.acknowledged = position;
    this.next = Math.max(this.next, position);
    this.#attempts = 0;
    this.#duplicates = 0;
    if (position < this.#recoverUntil) {
      this.#resendFirst();
    } else {
      if (this.#recoverUntil >= 0) this.#congestionWindow = this.#threshold;
      this.#recoverUntil = -1;
      const isSlowStart = this.#congestionWindow < this.#threshold;
      this.#congestionWindow += isSlowStart ? bytes : Math.ceil((this.mss * bytes) / this.#congestionWindow);
    }
    this.stop();
  }

  #duplicate(): void {
    this.#duplicates++;
    if (this.#duplicates !== DUPLICATES || this.#recoverUntil >= 0) return;
    this.#recoverUntil = this.sent;
    this.#threshold = Math.max(2 * this.mss, (this.next - this.acknowledged) / 2);
    this.#congestionWindow = this.#threshold + DUPLICATES * this.mss;
    this.#resendFirst();
  }

  #resendFirst(): void {
    const bytes = Math.min(this.mss, this.#endPosition - this.acknowledged, this.sent - this.acknowledged);
    this.#timedPosition = -1;
    this.retransmissions++;
    if (bytes > 0) {
      const at = this.acknowledged;
      this.#events.emit(at, this.#data.subarray(at - 1, at - 1 + bytes), false, false);
    } else if (this.#endQueued) {
      this.#events.emit(this.#endPosition, new Uint8Array(0), false, true);
    }
  }

  #time(position: number): void {
    this.#timedPosition = position;
    this.#timedAtUs = this.#clock.nowUs;
  }

  #hasMore(): boolean {
    return this.next < this.#endPosition || (this.#endQueued && this.next === this.#endPosition);
  }

  #arm(): void {
    const waits = this.next > this.acknowledged || (this.acknowledged > 0 && this.#hasMore());
    if (!waits) this.stop();
    else if (this.#timer < 0) this.#timer = this.#clock.after(this.#roundTrip.timeoutUs, () => this.#expired());
  }

  #expired(): void {
    this.#timer = -1;
    this.#timedPosition = -1;
    this.#roundTrip.backOff();
    const isProbe = this.window === 0 && this.acknowledged > 0;
    // A closed window may stay closed for ever, as long as probes are answered (section 3.8.6.1).
    if (!isProbe && ++this.#attempts > this.attemptsMax) {
      this.#events.giveUp();
      return;
    }
    if (isProbe) this.#probe();
    else this.#startAgain();
    this.#arm();
  }

  #startAgain(): void {
    if (this.acknowledged === 0) {
      this.#emit(0, false);
      return;
    }
    this.#threshold = Math.max(2 * this.mss, (this.next - this.acknowledged) / 2);
    this.#congestionWindow = this.mss;
    this.#recoverUntil = -1;
    this.#duplicates = 0;
    this.next = this.acknowledged;
    this.transmit();
    // Where the window is too small for anything that is not silly, what fits must go all the same (the override timeout of section 3.8.6.2.1).
    const fitting = Math.min(this.#endPosition - this.next, this.window, this.mss);
    if (this.next === this.acknowledged && fitting > 0) this.#emitData(fitting);
  }

  /** One byte into the closed window. */
  #probe(): void {
    this.probes++;
    this.#probing = this.window === 0;
    const at = this.acknowledged;
    if (at < this.#endPosition) {
      this.sent = Math.max(this.sent, at + 1);
      this.next = Math.max(this.next, at + 1);
      this.#events.emit(at, this.#data.subarray(at - 1, at), false, false);
    } else if (this.#endQueued) {
      this.#emit(at, true);
    }
  }
}
