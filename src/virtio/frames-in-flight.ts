/**
 * Room for frames that the other side of a queue still reads: bytes that are given out in a circle, each frame in one piece, and come back in the order in which they
 * were given out. A frame that is done with before an older one waits for it.
 *
 * A frame is known by the number of its descriptor, which `DriverQueue` gives and takes back.
 */

const NONE = -1;

export class FramesInFlight {
  readonly #at: number;
  readonly #bytes: number;
  /** The next byte to give out, and the first that is out; from `#at` on. Equal only where nothing is out. */
  #head: number = 0;
  #tail: number = 0;
  /** A queue of the frames that are out, oldest first: where each ends, and whether it is done with. */
  readonly #end: Int32Array;
  readonly #isDone: Uint8Array;
  #oldest: number = 0;
  #count: number = 0;
  /** By the number of a descriptor: the frame's place in that queue. */
  readonly #entry: Uint16Array;

  /** Of `bytes` from `at` on, for up to `framesMax` frames: a power of two. */
  constructor(at: number, bytes: number, framesMax: number) {
    this.#at = at;
    this.#bytes = bytes;
    this.#end = new Int32Array(framesMax);
    this.#isDone = new Uint8Array(framesMax);
    this.#entry = new Uint16Array(framesMax);
  }

  /** Where `bytes` more have room now, at a multiple of 4; -1: nowhere. They are out once `hold` was called. */
  place(bytes: number): number {
    const rounded = (bytes + 3) & ~3;
    if (this.#count === this.#end.length) return NONE;
    if (this.#head < this.#tail) return this.#head + rounded < this.#tail ? this.#at + this.#head : NONE;
    if (this.#head + rounded <= this.#bytes) return this.#at + this.#head;
    return rounded < this.#tail ? this.#at : NONE;
  }

  /** The frame of `bytes` for which `place` gave `at` goes out as descriptor `id`. */
  hold(id: number, at: number, bytes: number): void {
    const entry = (this.#oldest + this.#count++) & (this.#end.length - 1);
    this.#head = (at - this.#at + bytes + 3) & ~3;
    this.#end[entry] = this.#head;
    this.#isDone[entry] = 0;
    this.#entry[id] = entry;
  }

  /** The other side is done with descriptor `id`. */
  release(id: number): void {
    this.#isDone[this.#entry[id]] = 1;
    while (this.#count > 0 && this.#isDone[this.#oldest] === 1) {
      this.#tail = this.#end[this.#oldest];
      this.#oldest = (this.#oldest + 1) & (this.#end.length - 1);
      this.#count--;
    }
    if (this.#count > 0) return;
    this.#head = 0;
    this.#tail = 0;
  }
}
