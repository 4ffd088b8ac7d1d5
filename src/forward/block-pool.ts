/** Blocks of words, all of one size, in one array that grows by doubling; a block that was given back is the next one to be given out. */
const NONE = 0;

export class BlockPool {
  /** Block n is `words[n * blockWords]` and the `blockWords - 1` behind. A new array when the pool has grown. */
  words: Int32Array;
  readonly #blockWords: number;
  /** Given back, each with the number of the next in its first word. */
  #free: number = NONE;
  #end: number = 1;
  #used: number = 0;

  constructor(blockWords: number) {
    this.#blockWords = blockWords;
    this.words = new Int32Array(4 * blockWords);
  }

  /** How many blocks are given out. */
  get used(): number {
    return this.#used;
  }

  /** The number of a block, never 0; what stands in it is left over from earlier. */
  allocate(): number {
    this.#used++;
    const block = this.#free;
    if (block !== NONE) {
      this.#free = this.words[block * this.#blockWords];
      return block;
    }
    if (this.#end * this.#blockWords === this.words.length) {
      const larger = new Int32Array(2 * this.words.length);
      larger.set(this.words);
      this.words = larger;
    }
    return this.#end++;
  }

  free(block: number): void {
    this.words[block * this.#blockWords] = this.#free;
    this.#free = block;
    this.#used--;
  }
}
