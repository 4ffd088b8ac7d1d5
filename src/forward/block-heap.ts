/**
 * Blocks of 16 to 65,536 words, powers of two, in one array that grows by doubling. The first 65,536 words are no block: they are their owner's.
 *
 * A block that was given back is the next of its size to be given out; it is not made part of a larger one. So what is set aside can be more than
 * what is in use, after sizes have changed: `isSparse` says when the owner had better start over.
 */
import { assert } from '../base/assert.ts';

/** Words before the first block. */
export const RESERVED_WORDS: number = 0x1_0000;

/** A block has at least 2^4 words, and begins at a multiple of as many. */
const SHIFT_MIN = 4;
const SHIFT_MAX = 16;
const NONE = 0;

export class BlockHeap {
  /** A new array when the heap has grown. */
  words: Int32Array = new Int32Array(2 * RESERVED_WORDS);
  /** For each size, the first block that was given back, each with the next in its first word. */
  readonly #free: Int32Array = new Int32Array(SHIFT_MAX + 1).fill(NONE);
  #end: number = RESERVED_WORDS;
  #used: number = 0;

  /** Words of the blocks that are given out. */
  get used(): number {
    return this.#used;
  }

  /** Whether most of what was ever set aside is not in use, and that is more than what is reserved. */
  get isSparse(): boolean {
    return this.#end > 2 * (this.#used + RESERVED_WORDS);
  }

  /** Where a block of 2^`shift` words begins, never 0; what stands in it is left over from earlier. */
  allocate(shift: number): number {
    assert(shift >= SHIFT_MIN && shift <= SHIFT_MAX, 'size of a block');
    this.#used += 1 << shift;
    const block = this.#free[shift];
    if (block !== NONE) {
      this.#free[shift] = this.words[block];
      return block;
    }
    const at = this.#end;
    this.#end += 1 << shift;
    if (this.#end > this.words.length) {
      const larger = new Int32Array(2 * this.words.length);
      larger.set(this.words);
      this.words = larger;
    }
    return at;
  }

  free(block: number, shift: number): void {
    this.words[block] = this.#free[shift];
    this.#free[shift] = block;
    this.#used -= 1 << shift;
  }

  /** Takes all blocks back, and the memory with them. */
  clear(): void {
    this.words = new Int32Array(2 * RESERVED_WORDS);
    this.#free.fill(NONE);
    this.#end = RESERVED_WORDS;
    this.#used = 0;
  }
}
