/**
 * A hash table from an address in a scope (five int32 words: the scope, which is an interface or `NO_SCOPE`, and the address) to a row, a small
 * integer under which its user keeps columns of its own. Rows are reused; the table doubles up to its bound as it fills.
 *
 * The hash has a secret: addresses come from whoever is on a link, and who could choose colliding ones would make every look-up walk the whole
 * table. Looking up allocates nothing.
 */
import { assert } from '../base/assert.ts';
import { HALVES_HASH_BITS, halves, randomSecrets } from '../base/keyed-hash.ts';

/** The scope of an address that means the same on every interface. */
export const NO_SCOPE = -1;

/** No row: the address is not known, or there is no room for it. */
export const NO_ROW = -1;

const FIRST_CAPACITY = 16;
const KEY_WORDS = 5;

export class AddressIndex {
  readonly #rowsMax: number;
  readonly #secret: Int32Array = randomSecrets(KEY_WORDS * 2 + 1);
  #keys: Int32Array = new Int32Array(FIRST_CAPACITY * KEY_WORDS);
  /** The first row of each bucket, and the one behind each row: in its bucket, or among the free ones. */
  #buckets: Int32Array = new Int32Array(FIRST_CAPACITY).fill(NO_ROW);
  #next: Int32Array = new Int32Array(FIRST_CAPACITY);
  #capacity: number = FIRST_CAPACITY;
  /** How far the hash is shifted to the right to be the number of a bucket. */
  #shift: number = 32 - Math.log2(FIRST_CAPACITY);
  #free: number = NO_ROW;
  /** Rows that were ever in use are below. */
  #end: number = 0;
  #count: number = 0;

  /** Room for `rowsMax` addresses, at most 131,072 (the bits that the hash has). */
  constructor(rowsMax: number) {
    assert(rowsMax >= 1 && rowsMax <= 1 << HALVES_HASH_BITS, 'address index: rows');
    this.#rowsMax = rowsMax;
  }

  get count(): number {
    return this.#count;
  }

  get isFull(): boolean {
    return this.#count === this.#rowsMax;
  }

  /** All rows are below: how long the user's columns must be. It grows in `insert` only. */
  get capacity(): number {
    return this.#capacity;
  }

  /** The address's row, or `NO_ROW`. */
  find(scope: number, w0: number, w1: number, w2: number, w3: number): number {
    let row = this.#buckets[this.#bucketOf(scope, w0, w1, w2, w3)];
    while (row !== NO_ROW && !this.#isAt(row, scope, w0, w1, w2, w3)) row = this.#next[row];
    return row;
  }

  /** A row for an address that is not there yet, or `NO_ROW` when the table is full. */
  insert(scope: number, w0: number, w1: number, w2: number, w3: number): number {
    if (this.isFull) return NO_ROW;
    const row = this.#freeRow();
    const key = row * KEY_WORDS;
    this.#keys[key] = scope;
    this.#keys[key + 1] = w0;
    this.#keys[key + 2] = w1;
    this.#keys[key + 3] = w2;
    this.#keys[key + 4] = w3;
    this.#count++;
    this.#link(row);
    return row;
  }

  /** Forgets the address of a row that is in use. The row is given out again. */
  remove(row: number): void {
    const bucket = this.#bucketOfRow(row);
    let before = NO_ROW;
    let at = this.#buckets[bucket];
    while (at !== row) {
      assert(at !== NO_ROW, 'a row that is removed is in use');
      before = at;
      at = this.#next[at];
    }
    if (before === NO_ROW) this.#buckets[bucket] = this.#next[row];
    else this.#next[before] = this.#next[row];
    this.#next[row] = this.#free;
    this.#free = row;
    this.#count--;
  }

  scope(row: number): number {
    return this.#keys[row * KEY_WORDS];
  }

  /** Word `index` of the row's address, 0 to 3. */
  word(row: number, index: number): number {
    return this.#keys[row * KEY_WORDS + 1 + index];
  }

  #freeRow(): number {
    const row = this.#free;
    if (row !== NO_ROW) {
      this.#free = this.#next[row];
      return row;
    }
    if (this.#end === this.#capacity) this.#grow();
    return this.#end++;
  }

  /** Only when every row is in use: the list of free ones is empty. */
  #grow(): void {
    this.#capacity *= 2;
    this.#shift--;
    const keys = new Int32Array(this.#capacity * KEY_WORDS);
    keys.set(this.#keys);
    this.#keys = keys;
    this.#next = new Int32Array(this.#capacity);
    this.#buckets = new Int32Array(this.#capacity).fill(NO_ROW);
    for (let row = 0; row < this.#end; row++) this.#link(row);
  }

  #link(row: number): void {
    const bucket = this.#bucketOfRow(row);
    this.#next[row] = this.#buckets[bucket];
    this.#buckets[bucket] = row;
  }

  #isAt(row: number, scope: number, w0: number, w1: number, w2: number, w3: number): boolean {
    const keys = this.#keys;
    const key = row * KEY_WORDS;
    return (
      keys[key + 4] === w3 &&
      keys[key] === scope &&
      keys[key + 3] === w2 &&
      keys[key + 2] === w1 &&
      keys[key + 1] === w0
    );
  }

  #bucketOfRow(row: number): number {
    const keys = this.#keys;
    const key = row * KEY_WORDS;
    return this.#bucketOf(keys[key], keys[key + 1], keys[key + 2], keys[key + 3], keys[key + 4]);
  }

  #bucketOf(scope: number, w0: number, w1: number, w2: number, w3: number): number {
    const secret = this.#secret;
    const sum =
      halves(scope, secret[0], secret[1]) +
      halves(w0, secret[2], secret[3]) +
      halves(w1, secret[4], secret[5]) +
      halves(w2, secret[6], secret[7]) +
      halves(w3, secret[8], secret[9]) +
      secret[10];
    return (sum | 0) >>> this.#shift;
  }
}
