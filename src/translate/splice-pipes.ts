/**
 * A bounded pool of pipes, made when they are first needed. A pipe that is given back is empty; one with bytes in it that nobody wants any more is closed.
 */
import { PIPE_WORDS, type Sys } from '../sys/sys.ts';

const NONE = -1;

export class SplicePipes {
  /** By pipe: its ends, and how many pieces it holds. */
  readonly readEnd: Int32Array;
  readonly writeEnd: Int32Array;
  readonly pieces: Int32Array;
  /** Pipes that are open, and of these, lent. */
  count: number = 0;
  lent: number = 0;

  readonly #sys: Pick<Sys, 'pipe' | 'close'>;
  readonly #bytes: number;
  readonly #free: Int32Array;
  #freeCount: number;
  readonly #ends: Int32Array = new Int32Array(PIPE_WORDS);

  constructor(sys: Pick<Sys, 'pipe' | 'close'>, max: number, bytes: number) {
    this.#sys = sys;
    this.#bytes = bytes;
    this.readEnd = new Int32Array(max).fill(NONE);
    this.writeEnd = new Int32Array(max).fill(NONE);
    this.pieces = new Int32Array(max);
    this.#free = Int32Array.from({ length: max }, (_, i) => max - 1 - i);
    this.#freeCount = max;
  }

  /** An empty pipe, or -1: there is none left, or the kernel gives no more. */
  lend(): number {
    if (this.#freeCount === 0) return NONE;
    const pipe = this.#free[this.#freeCount - 1];
    if (this.readEnd[pipe] === NONE && !this.#open(pipe)) return NONE;
    this.#freeCount--;
    this.lent++;
    return pipe;
  }

  giveBack(pipe: number, isEmpty: boolean): void {
    if (!isEmpty) this.#close(pipe);
    this.#free[this.#freeCount++] = pipe;
    this.lent--;
  }

  /** Closes those that are not lent. */
  close(): void {
    for (let i = 0; i < this.#freeCount; i++) if (this.readEnd[this.#free[i]] !== NONE) this.#close(this.#free[i]);
  }

  #open(pipe: number): boolean {
    if (this.#sys.pipe(this.#bytes, this.#ends) < 0) return false;
    this.readEnd[pipe] = this.#ends[0];
    this.writeEnd[pipe] = this.#ends[1];
    this.pieces[pipe] = this.#ends[2];
    this.count++;
    return true;
  }

  #close(pipe: number): void {
    this.#sys.close(this.readEnd[pipe]);
    this.#sys.close(this.writeEnd[pipe]);
    this.readEnd[pipe] = NONE;
    this.writeEnd[pipe] = NONE;
    this.count--;
  }
}
