/**
 * Frames that wait until a socket takes more, in a part of a memory: each behind its length, 32 bits in network order, which is how a stream carries them.
 */
export const LENGTH_BYTES = 4;

export class FrameQueue {
  /** From the first byte that waits to behind the last one, in the memory. */
  start: number;
  end: number;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #bottom: number;
  readonly #top: number;

  /** The part from `bottom` to `top`; places are counted from where the memory begins. */
  constructor(bytes: Uint8Array, bottom: number, top: number) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#bottom = bottom;
    this.#top = top;
    this.start = bottom;
    this.end = bottom;
  }

  get isEmpty(): boolean {
    return this.start === this.end;
  }

  /** Copies a frame of the memory behind the others, but for the first `sent` bytes of its length and itself. Returns false where there is no room. */
  append(frameAt: number, frameBytes: number, sent: number): boolean {
    const bytes = LENGTH_BYTES + frameBytes;
    if (this.end + bytes > this.#top) this.#compact();
    const at = this.end;
    if (at + bytes > this.#top) return false;
    this.#view.setInt32(at, frameBytes);
    this.#bytes.copyWithin(at + LENGTH_BYTES, frameAt, frameAt + frameBytes);
    if (sent > 0) this.#bytes.copyWithin(at, at + sent, at + bytes);
    this.end += bytes - sent;
    return true;
  }

  /** The bytes of the frame whose length stands there. */
  frameBytes(at: number): number {
    return this.#view.getInt32(at);
  }

  /** The first bytes are gone. */
  advance(bytes: number): void {
    this.start += bytes;
    if (this.isEmpty) this.clear();
  }

  clear(): void {
    this.start = this.#bottom;
    this.end = this.#bottom;
  }

  #compact(): void {
    this.#bytes.copyWithin(this.#bottom, this.start, this.end);
    this.end -= this.start - this.#bottom;
    this.start = this.#bottom;
  }
}
