/**
 * Places for addresses: a bounded hash table from an IP address (four int32 words) to a small integer, under which its user keeps
 * columns of its own. When it is full the address that was taken longest ago is forgotten, and its place is given to the new one.
 *
 * Looking up and taking cost a few reads and no allocation. The hash has a secret: addresses come from guests and from DNS answers, and
 * who could choose colliding ones would make every look-up walk the whole table.
 */
import { assert } from '../base/assert.ts';
import { HALVES_HASH_BITS, halves, randomSecrets } from '../base/keyed-hash.ts';

const NONE = -1;

export class AddressTable {
  readonly #w0: Int32Array;
  readonly #w1: Int32Array;
  readonly #w2: Int32Array;
  readonly #w3: Int32Array;
  /** The first place of each bucket, and the place behind each place in its bucket. */
  readonly #bucket: Int32Array;
  readonly #next: Int32Array;
  /** The order of taking, as a list in both directions. */
  readonly #older: Int32Array;
  readonly #newer: Int32Array;
  #oldest: number = NONE;
  #newest: number = NONE;
  #count: number = 0;
  /** How far the hash is shifted to the right to be the number of a bucket. */
  readonly #shift: number;
  readonly #secret: Int32Array = randomSecrets(9);

  /** Room for `places` addresses, at most 131,072 (the bits that the hash has). */
  constructor(places: number) {
    assert(places >= 1 && places <= 1 << HALVES_HASH_BITS, 'address table: places');
    const bits = Math.max(1, 32 - Math.clz32(places - 1));
    this.#w0 = new Int32Array(places);
    this.#w1 = new Int32Array(places);
    this.#w2 = new Int32Array(places);
    this.#w3 = new Int32Array(places);
    this.#bucket = new Int32Array(1 << bits).fill(NONE);
    this.#next = new Int32Array(places).fill(NONE);
    this.#older = new Int32Array(places).fill(NONE);
    this.#newer = new Int32Array(places).fill(NONE);
    this.#shift = 32 - bits;
  }

  /** How many addresses are known. */
  get count(): number {
    return this.#count;
  }

  /** The place of the address, -1 when it is not known. */
  find(w0: number, w1: number, w2: number, w3: number): number {
    let place = this.#bucket[this.#hash(w0, w1, w2, w3)];
    while (place !== NONE) {
      if (this.#w3[place] === w3 && this.#w2[place] === w2 && this.#w1[place] === w1 && this.#w0[place] === w0) break;
      place = this.#next[place];
    }
    return place;
  }

  /** The place of the address, which becomes the newest one. Where it was not known, a free place or the oldest address's. */
  take(w0: number, w1: number, w2: number, w3: number): number {
    const known = this.find(w0, w1, w2, w3);
    if (known !== NONE) {
      this.#unlink(known);
      this.#append(known);
      return known;
    }
    const place = this.#count < this.#next.length ? this.#count++ : this.#forgetOldest();
    const hash = this.#hash(w0, w1, w2, w3);
    this.#w0[place] = w0;
    this.#w1[place] = w1;
    this.#w2[place] = w2;
    this.#w3[place] = w3;
    this.#next[place] = this.#bucket[hash];
    this.#bucket[hash] = place;
    this.#append(place);
    return place;
  }

  #forgetOldest(): number {
    const place = this.#oldest;
    this.#unlink(place);
    const hash = this.#hash(this.#w0[place], this.#w1[place], this.#w2[place], this.#w3[place]);
    if (this.#bucket[hash] === place) {
      this.#bucket[hash] = this.#next[place];
      return place;
    }
    let before = this.#bucket[hash];
    while (this.#next[before] !== place) before = this.#next[before];
    this.#next[before] = this.#next[place];
    return place;
  }

  #append(place: number): void {
    this.#older[place] = this.#newest;
    this.#newer[place] = NONE;
    if (this.#newest === NONE) this.#oldest = place;
    else this.#newer[this.#newest] = place;
    this.#newest = place;
  }

  #unlink(place: number): void {
    const older = this.#older[place];
    const newer = this.#newer[place];
    if (older === NONE) this.#oldest = newer;
    else this.#newer[older] = newer;
    if (newer === NONE) this.#newest = older;
    else this.#older[newer] = older;
  }

  #hash(w0: number, w1: number, w2: number, w3: number): number {
    const secret = this.#secret;
    const sum =
      halves(w0, secret[0], secret[1]) +
      halves(w1, secret[2], secret[3]) +
      halves(w2, secret[4], secret[5]) +
      halves(w3, secret[6], secret[7]) +
      secret[8];
    return (sum | 0) >>> this.#shift;
  }
}
