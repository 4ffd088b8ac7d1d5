/**
 * One direction of a simulated TCP connection: what was written and is not there yet (`unsent`), and what is there and was not read (`unread`).
 * Bytes move when the clock does, one latency after they were written, no more than the receiver has room for. An end (FIN) comes
 * behind the last byte.
 */
import { ByteQueue } from './bytes.ts';
import type { SimulatedClock } from './clock.ts';

export interface PipeListener {
  /** Bytes have become readable. */
  arrived(): void;
  /** No byte will come any more. */
  ended(): void;
  /** The writer has more room than before. */
  drained(): void;
}

export class Pipe {
  readonly unsent: ByteQueue = new ByteQueue();
  readonly unread: ByteQueue = new ByteQueue();
  /** Bytes that `unsent` holds at most; Infinity where the writer is a test. */
  sendBytesMax: number;
  receiveBytesMax: number;
  /** The writer has nothing more to send. */
  endQueued = false;
  /** The reader knows that. */
  endArrived = false;
  listener: PipeListener | undefined = undefined;
  readonly #clock: SimulatedClock;
  readonly #latencyUs: number;
  #moving = false;
  #aborted = false;

  constructor(clock: SimulatedClock, latencyUs: number, sendBytesMax: number, receiveBytesMax: number) {
    this.#clock = clock;
    this.#latencyUs = latencyUs;
    this.sendBytesMax = sendBytesMax;
    this.receiveBytesMax = receiveBytesMax;
  }

  get sendRoom(): number {
    return Math.max(0, this.sendBytesMax - this.unsent.length);
  }

  /** Takes as much as there is room for. Returns how many bytes. */
  write(bytes: Uint8Array): number {
    const count = Math.min(bytes.length, this.sendRoom);
    this.unsent.push(bytes.subarray(0, count));
    this.move();
    return count;
  }

  end(): void {
    this.endQueued = true;
    this.move();
  }

  /** Takes bytes that were read out of the way, and lets others follow. */
  drop(count: number): number {
    const dropped = this.unread.drop(count);
    this.move();
    return dropped;
  }

  /** Nothing moves any more: the connection was reset. What arrived can still be read. */
  abort(): void {
    this.#aborted = true;
    this.unsent.clear();
  }

  /** Plans the next movement, where there is anything to move. */
  move(): void {
    if (this.#moving || this.#aborted || !this.#canMove()) return;
    this.#moving = true;
    this.#clock.after(this.#latencyUs, () => {
      this.#moving = false;
      if (!this.#aborted) this.#moveNow();
    });
  }

  #canMove(): boolean {
    if (this.unsent.length > 0) return this.unread.length < this.receiveBytesMax;
    return this.endQueued && !this.endArrived;
  }

  #moveNow(): void {
    const bytes = this.unsent.take(Math.max(0, this.receiveBytesMax - this.unread.length));
    if (bytes.length > 0) {
      this.unread.push(bytes);
      this.listener?.arrived();
      this.listener?.drained();
    }
    if (!this.#aborted && this.unsent.length === 0 && this.endQueued && !this.endArrived) {
      this.endArrived = true;
      this.listener?.ended();
    }
    this.move();
  }
}
