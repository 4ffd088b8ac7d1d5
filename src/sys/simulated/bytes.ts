/** A first-in-first-out queue of bytes, as a stream socket's buffers are. It grows as needed: who uses it sets the bound. */
export class ByteQueue {
  #bytes: Uint8Array = new Uint8Array(256);
  #start = 0;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  push(bytes: Uint8Array): void {
    this.#makeRoom(bytes.length);
    this.#bytes.set(bytes, this.#start + this.#length);
    this.#length += bytes.length;
  }

  /** Copies what follows the first `skip` bytes into `target`, as much as there is. Returns how many. */
  copy(skip: number, target: Uint8Array): number {
    const count = Math.max(0, Math.min(target.length, this.#length - skip));
    target.set(this.#bytes.subarray(this.#start + skip, this.#start + skip + count));
    return count;
  }

  /** Takes the first bytes out, at most `count`. Returns how many. */
  drop(count: number): number {
    const dropped = Math.min(count, this.#length);
    this.#start += dropped;
    this.#length -= dropped;
    if (this.#length === 0) this.#start = 0;
    return dropped;
  }

  /** Takes the first bytes out and returns a copy of them, at most `count`. */
  take(count: number): Uint8Array {
    const taken = new Uint8Array(Math.min(count, this.#length));
    this.copy(0, taken);
    this.drop(taken.length);
    return taken;
  }

  clear(): void {
    this.drop(this.#length);
  }

  #makeRoom(extra: number): void {
    if (this.#start + this.#length + extra <= this.#bytes.length) return;
    const held = this.#bytes.subarray(this.#start, this.#start + this.#length);
    let capacity = this.#bytes.length;
    while (capacity < (this.#length + extra) * 2) capacity *= 2;
    const grown = new Uint8Array(capacity);
    grown.set(held);
    this.#bytes = grown;
    this.#start = 0;
  }
}

export function totalBytes(pieces: readonly Uint8Array[]): number {
  return pieces.reduce((sum, { length }) => sum + length, 0);
}

/** Copies bytes into pieces, from the first on, which have room for them. */
export function spread(bytes: Uint8Array, pieces: readonly Uint8Array[]): void {
  let at = 0;
  for (const piece of pieces) {
    piece.set(bytes.subarray(at, at + piece.length));
    at += piece.length;
  }
}
