/** A batch of frames as `readFrames` left it: a virtio-net header of 12 bytes and a frame, each where the vector says. */
import { TAP_BATCH_FRAMES_MAX } from '../base/limits.ts';
import type { Sys } from '../sys/sys.ts';
import { HEADER_BYTES } from '../wire/vnet-header.ts';
import { type FrameHeader, readFrameHeader } from './frame-header.ts';
import type { TapBatch } from './tap.ts';

/** One memory, used for each batch of a reader again. */
export class FrameBatch implements TapBatch {
  readonly mode: 'tap' | 'tun';
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Start and length of each frame with its header. */
  readonly vector: Int32Array = new Int32Array(2 * TAP_BATCH_FRAMES_MAX);
  /** What `Sys` knows both by; -1 behind `close`. */
  memory: number;
  vectorMemory: number;
  count: number = 0;
  queue: number = 0;
  readonly #sys: Pick<Sys, 'register' | 'unregister'>;

  constructor(sys: Pick<Sys, 'register' | 'unregister'>, mode: 'tap' | 'tun', bytesMax: number) {
    this.#sys = sys;
    this.mode = mode;
    this.bytes = new Uint8Array(bytesMax);
    this.view = new DataView(this.bytes.buffer);
    this.memory = sys.register(this.bytes);
    this.vectorMemory = sys.register(this.vector);
  }

  offset(i: number): number {
    return this.vector[2 * this.#checked(i)]! + HEADER_BYTES;
  }

  length(i: number): number {
    return this.vector[2 * this.#checked(i) + 1]! - HEADER_BYTES;
  }

  frame(i: number): Uint8Array {
    const start = this.offset(i);
    return this.bytes.subarray(start, start + this.length(i));
  }

  header(i: number): FrameHeader {
    return readFrameHeader(this.view, this.offset(i) - HEADER_BYTES);
  }

  *[Symbol.iterator](): Generator<Uint8Array, void, undefined> {
    for (let i = 0; i < this.count; i++) yield this.frame(i);
  }

  /** Bytes of all frames, headers left out. */
  get frameBytes(): number {
    let bytes = 0;
    for (let i = 0; i < this.count; i++) bytes += this.vector[2 * i + 1]! - HEADER_BYTES;
    return bytes;
  }

  /** It can still be looked at, but not be sent. */
  close(): void {
    this.#sys.unregister(this.memory);
    this.#sys.unregister(this.vectorMemory);
    this.memory = -1;
    this.vectorMemory = -1;
  }

  #checked(i: number): number {
    if (i >>> 0 === i && i < this.count) return i;
    throw new RangeError(`the batch has the frames 0 to ${this.count - 1}, and no ${i}`);
  }
}
