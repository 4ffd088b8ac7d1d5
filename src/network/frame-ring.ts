/**
 * Frames on their way from one thread to another: a ring in shared memory, with one thread that puts and one that takes.
 *
 * A record is a header of two words and the bytes, so that each begins at a multiple of four; none is split at the ring's end, where a record without bytes leads back to the beginning.
 *
 * | word | what                                                       |
 * | ---- | ---------------------------------------------------------- |
 * | 0    | bytes that follow; -1: go on at the beginning of the ring  |
 * | 1    | the interface that the frame came in by                    |
 *
 * Positions are counted in bytes and wrap at 2^32; each is written by one side only, and read by the other with `Atomics`: what was written before a position was stored
 * is there for who has loaded it. A full ring takes nothing.
 *
 * Waking up. Who takes says by `await` that it is about to sleep, and looks once more; who puts asks `isAwaited` after it has put, and wakes the other one when so. Both
 * store before they look, so one of them sees the other.
 */
import { assert } from '../base/assert.ts';

/** Words, a cache line (64 bytes) apart. */
const HEAD = 0;
const TAIL = 16;
const AWAITED = 32;
const CONTROL_BYTES = 256;

const RECORD_HEADER_BYTES = 8;
const AT_BEGINNING = -1;

export class FrameRing {
  readonly #control: Int32Array;
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #size: number;
  /** What is ours of both positions, and the other's as it was when we looked last. */
  #head: number = 0;
  #tail: number = 0;
  /** Of the record that `next` has found. */
  #length: number = 0;
  #interfaceIndex: number = 0;

  /** Memory for a ring of `bytes`, a power of 2. */
  static memory(bytes: number): SharedArrayBuffer {
    assert(bytes >= 64 && bytes <= 2 ** 30 && (bytes & (bytes - 1)) === 0, 'positions are cut to a power of 2');
    return new SharedArrayBuffer(CONTROL_BYTES + bytes);
  }

  constructor(memory: SharedArrayBuffer) {
    this.#size = memory.byteLength - CONTROL_BYTES;
    this.#control = new Int32Array(memory, 0, CONTROL_BYTES / 4);
    this.#words = new Int32Array(memory, CONTROL_BYTES);
    this.#bytes = new Uint8Array(memory, CONTROL_BYTES);
  }

  /** Puts `length` bytes of `bytes` from `at` on. False: there is no room. */
  put(interfaceIndex: number, bytes: Uint8Array, at: number, length: number): boolean {
    const recordBytes = RECORD_HEADER_BYTES + ((length + 3) & ~3);
    const left = this.#size - this.#place(this.#head);
    const taken = recordBytes <= left ? recordBytes : left + recordBytes;
    if (!this.#hasRoom(taken)) return false;
    if (taken > recordBytes) {
      this.#words[this.#place(this.#head) >> 2] = AT_BEGINNING;
      this.#head = (this.#head + left) | 0;
    }
    const place = this.#place(this.#head);
    this.#words[place >> 2] = length;
    this.#words[(place >> 2) + 1] = interfaceIndex;
    this.#copyIn(place + RECORD_HEADER_BYTES, bytes, at, length);
    this.#head = (this.#head + recordBytes) | 0;
    Atomics.store(this.#control, HEAD, this.#head);
    return true;
  }

  /** Whether the other side is to be woken; it is told so once. For who puts. */
  isAwaited(): boolean {
    return Atomics.load(this.#control, AWAITED) === 1 && Atomics.exchange(this.#control, AWAITED, 0) === 1;
  }

  /** The bytes of the next frame; 0: there is none. For who takes. */
  next(): number {
    if (this.#length > 0) return this.#length;
    if (this.#tail === this.#head) this.#head = Atomics.load(this.#control, HEAD);
    if (this.#tail === this.#head) return 0;
    let place = this.#place(this.#tail);
    if (this.#words[place >> 2] === AT_BEGINNING) {
      this.#tail = (this.#tail + this.#size - place) | 0;
      place = 0;
    }
    this.#length = this.#words[place >> 2]!;
    this.#interfaceIndex = this.#words[(place >> 2) + 1]!;
    return this.#length;
  }

  /** Where the frame that `next` has found came in. */
  get interfaceIndex(): number {
    return this.#interfaceIndex;
  }

  /** Takes the frame that `next` has found. */
  take(bytes: Uint8Array, at: number): void {
    const length = this.#length;
    const from = this.#place(this.#tail) + RECORD_HEADER_BYTES;
    bytes.set(this.#bytes.subarray(from, from + length), at);
    this.#length = 0;
    this.#tail = (this.#tail + RECORD_HEADER_BYTES + ((length + 3) & ~3)) | 0;
    Atomics.store(this.#control, TAIL, this.#tail);
  }

  /** We are about to sleep. True: not yet, there is a frame. */
  await(): boolean {
    Atomics.store(this.#control, AWAITED, 1);
    if (this.next() === 0) return false;
    Atomics.store(this.#control, AWAITED, 0);
    return true;
  }

  #hasRoom(bytes: number): boolean {
    if (((this.#head - this.#tail) | 0) + bytes <= this.#size) return true;
    this.#tail = Atomics.load(this.#control, TAIL);
    return ((this.#head - this.#tail) | 0) + bytes <= this.#size;
  }

  #place(position: number): number {
    return position & (this.#size - 1);
  }

  #copyIn(to: number, bytes: Uint8Array, at: number, length: number): void {
    this.#bytes.set(bytes.subarray(at, at + length), to);
  }
}
