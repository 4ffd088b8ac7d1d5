import { PIECE_WORDS } from '../sys.ts';

/** The table of registered memories. A wrong id or a range outside is a bug of ours and throws, as `sys.ts` says. */
export class Memories {
  readonly #memories: (Uint8Array | Int32Array | undefined)[] = [];

  get count(): number {
    return this.#memories.filter((memory) => memory !== undefined).length;
  }

  register(memory: Uint8Array | Int32Array): number {
    const free = this.#memories.indexOf(undefined);
    const id = free < 0 ? this.#memories.length : free;
    this.#memories[id] = memory;
    return id;
  }

  unregister(id: number): void {
    this.#get(id);
    this.#memories[id] = undefined;
  }

  /** `length` bytes from byte `at` on. */
  bytes(id: number, at: number, length: number): Uint8Array {
    const memory = this.#get(id);
    checkRange(at, length, memory.byteLength);
    return new Uint8Array(memory.buffer, memory.byteOffset + at, length);
  }

  /** The memory as words; it must be one of words, and have `length` of them from `at` on. */
  words(id: number, at: number, length: number): Int32Array {
    const memory = this.#get(id);
    if (!(memory instanceof Int32Array)) throw new RangeError(`memory ${id} is not one of words`);
    checkRange(at, length, memory.length);
    return memory;
  }

  /** The `count` pieces of a vector. */
  pieces(vector: number, at: number, count: number): Uint8Array[] {
    const words = this.words(vector, at, PIECE_WORDS * count);
    const wordAt = (piece: number): number => at + piece * PIECE_WORDS;
    return Array.from({ length: count }, (_, piece) => {
      const [memory, from, bytes] = words.subarray(wordAt(piece), wordAt(piece + 1)) as unknown as [
        number,
        number,
        number,
      ];
      return this.bytes(memory, from, bytes);
    });
  }

  byteLength(id: number): number {
    return this.#get(id).byteLength;
  }

  #get(id: number): Uint8Array | Int32Array {
    const memory = this.#memories[id];
    if (memory === undefined) throw new RangeError(`memory ${id} is not registered`);
    return memory;
  }
}

function checkRange(at: number, length: number, size: number): void {
  if (!(at >= 0 && length >= 0 && at + length <= size)) {
    throw new RangeError(`${length} from ${at} on lie outside a memory of ${size}`);
  }
}
