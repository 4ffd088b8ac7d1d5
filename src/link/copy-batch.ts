/** Copies between registered memories that are gathered and made by one native call. While a guest is migrated, what they write to its memory is marked behind the copy. */
import type { Sys } from '../sys/sys.ts';
import type { DirtyLog } from '../virtio/dirty-log.ts';

/** Copies pieces between registered memories: see `sys/shared-memory.ts`. */
export type CopyPieces = (vector: number, at: number, count: number) => number;

/** The memory to copy from, where in it; the memory to copy to, where in it; bytes. */
const COPY_WORDS = 5;
export const COPIES_MAX = 8192;

export class CopyBatch {
  /** While the guest is migrated. */
  log: DirtyLog | undefined = undefined;
  count: number = 0;
  readonly #words: Int32Array = new Int32Array(COPIES_MAX * COPY_WORDS);
  readonly #memory: number;
  readonly #sys: Sys;
  readonly #copyPieces: CopyPieces;
  readonly #arenaMemory: number;

  constructor(sys: Sys, copyPieces: CopyPieces, arenaMemory: number) {
    this.#sys = sys;
    this.#copyPieces = copyPieces;
    this.#arenaMemory = arenaMemory;
    this.#memory = sys.register(this.#words);
  }

  get isFull(): boolean {
    return this.count === COPIES_MAX;
  }

  /** There is room for it. */
  add(fromMemory: number, from: number, toMemory: number, to: number, bytes: number): void {
    const word = this.count++ * COPY_WORDS;
    const words = this.#words;
    words[word] = fromMemory;
    words[word + 1] = from;
    words[word + 2] = toMemory;
    words[word + 3] = to;
    words[word + 4] = bytes;
  }

  /** Makes them all. */
  run(): void {
    if (this.count > 0) this.#copyPieces(this.#memory, 0, this.count);
    if (this.log !== undefined) this.#mark(this.log);
    this.count = 0;
  }

  close(): void {
    this.#sys.unregister(this.#memory);
  }

  #mark(log: DirtyLog): void {
    const words = this.#words;
    for (let word = 0; word < this.count * COPY_WORDS; word += COPY_WORDS) {
      if (words[word + 2] === this.#arenaMemory) continue;
      log.markPlace(words[word + 2], words[word + 3], words[word + 4]);
    }
  }
}
