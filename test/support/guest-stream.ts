/**
 * The receiving half of a guest connection (RFC 9293 section 3.10.7.4): puts segments in order, keeps everything that came, and judges what the sender does.
 * Positions count bytes from the peer's SYN: the SYN is 0, the first byte 1.
 */

/** A stretch of bytes that has come before its turn. */
interface Piece {
  readonly at: number;
  readonly bytes: Uint8Array;
}

export class GuestReceiver {
  /** The next position that is missing. */
  next = 1;
  /** Where the window that was advertised ends; it is never taken back. */
  right = 1;
  /** Position of the peer's FIN, -1: not seen. */
  end = -1;
  /** Segments that came before their turn, and bytes that came again: for tests on perfect links, where both must be 0. */
  outOfOrder = 0;
  repeatedBytes = 0;
  readonly #violations: (what: string) => void;
  #bytes: Uint8Array = new Uint8Array(4096);
  #pieces: Piece[] = [];

  constructor(violations: (what: string) => void) {
    this.#violations = violations;
  }

  /** Everything in order so far. */
  get received(): Uint8Array {
    return this.#bytes.subarray(0, this.length);
  }

  get length(): number {
    return Math.max(0, (this.isEnded ? this.next - 1 : this.next) - 1);
  }

  /** All bytes and the end have come. */
  get isEnded(): boolean {
    return this.end >= 0 && this.next > this.end;
  }

  /** Takes what a segment brought; `at` is its position. Returns how many bytes have become readable. */
  take(at: number, bytes: Uint8Array, fin: boolean): number {
    if (fin) this.#takeEnd(at + bytes.length);
    if (this.end >= 0 && at + bytes.length > this.end) {
      this.#violations(`data up to ${at + bytes.length} behind the end at ${this.end}`);
      return 0;
    }
    const fitting = this.#fit(at, bytes);
    const before = this.length;
    if (at > this.next) this.#keep(at, fitting);
    else this.#append(at, fitting);
    this.#joinPieces();
    if (this.next === this.end) this.next++;
    return this.length - before;
  }

  #takeEnd(position: number): void {
    if (this.end >= 0 && this.end !== position) this.#violations(`the end moved from ${this.end} to ${position}`);
    if (position < this.next && this.end < 0) this.#violations(`the end at ${position} lies before byte ${this.next}`);
    if (this.end < 0) this.end = position;
  }

  /** The part inside the window. A probe may put one byte behind a window of 0 (section 3.8.6.1), which is not taken. */
  #fit(at: number, bytes: Uint8Array): Uint8Array {
    const beyond = at + bytes.length - this.right;
    if (beyond <= 0) return bytes;
    const isProbe = bytes.length === 1 && at === this.right;
    if (!isProbe) this.#violations(`${beyond} bytes beyond the window, which ends at ${this.right}`);
    return bytes.subarray(0, Math.max(0, bytes.length - beyond));
  }

  #keep(at: number, bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.outOfOrder++;
    this.#pieces.push({ at, bytes: bytes.slice() });
    this.#pieces.sort((a, b) => a.at - b.at);
  }

  #joinPieces(): void {
    while (this.#pieces.length > 0 && this.#pieces[0]!.at <= this.next) {
      const piece = this.#pieces.shift()!;
      this.#append(piece.at, piece.bytes);
    }
  }

  #append(at: number, bytes: Uint8Array): void {
    const known = Math.min(bytes.length, this.next - at);
    this.repeatedBytes += known;
    this.#compare(at, bytes.subarray(0, known));
    const fresh = bytes.subarray(known);
    if (fresh.length === 0) return;
    const needed = this.next - 1 + fresh.length;
    if (needed > this.#bytes.length) {
      const grown = new Uint8Array(needed * 2);
      grown.set(this.#bytes);
      this.#bytes = grown;
    }
    this.#bytes.set(fresh, this.next - 1);
    this.next += fresh.length;
  }

  /** What is sent again must be what was sent before. */
  #compare(at: number, bytes: Uint8Array): void {
    // Position 0 is the SYN: a keep-alive may repeat it with a byte of garbage.
    for (let i = at < 1 ? 1 - at : 0; i < bytes.length; i++) {
      if (this.#bytes[at - 1 + i] === bytes[i]) continue;
      this.#violations(`byte ${at + i} came again with another value`);
      return;
    }
  }
}
