/**
 * Adjacencies: where a route leads, one step on. The forwarding tables map addresses to numbers of this table.
 *
 * | kind        | interface | address                       | what happens to a packet                            |
 * | ----------- | --------- | ----------------------------- | --------------------------------------------------- |
 * | DROP        | none      | none                          | dropped in silence                                  |
 * | UNREACHABLE | none      | none                          | dropped, and its sender told                        |
 * | LOCAL       | its own   | ours                          | for ourselves                                       |
 * | GLEAN       | its own   | ours on the connected network | for the neighbour of the packet's own destination   |
 * | NEIGHBOUR   | its own   | the neighbour's               | sent with its MAC address, as soon as that is known |
 * | UPLINK      | none      | none                          | becomes traffic of host sockets                     |
 *
 * An adjacency is found or made by kind, interface and address (four words, IPv4 mapped), and lives as long as somebody holds a reference: each
 * route that leads there, and whoever resolves a neighbour. Numbers are used again, so who keeps one over a turn holds it.
 * A connected network has one GLEAN route and as many NEIGHBOUR adjacencies as there are neighbours; they need no routes of their own.
 *
 * Addresses of neighbours are chosen by others: the hash is keyed. Columns grow with the table, so they are
 * read from it for each frame, not kept.
 */
import { assert } from '../base/assert.ts';
import { grown } from '../base/column.ts';
import { expandSecrets, finalized, product } from '../base/keyed-hash.ts';
import { ADJACENCIES_MAX } from '../base/limits.ts';

export const ADJACENCY = {
  DROP: 0,
  UNREACHABLE: 1,
  LOCAL: 2,
  GLEAN: 3,
  NEIGHBOUR: 4,
  UPLINK: 5,
} as const;

/** Words of an address, of which `address` holds one for each adjacency. */
export const ADJACENCY_ADDRESS_WORDS = 4;

/** No adjacency, and no interface. */
export const NO_ADJACENCY = -1;

const NONE = -1;
/** In place of the interface of an adjacency that was flushed: no key has it. */
const FLUSHED = -2;
const FIRST_CAPACITY = 64;
/** Two for each word of the key: interface and kind in one, and the address. */
const SECRETS = 10;

export class AdjacencyTable {
  /** One of `ADJACENCY`. */
  kind: Uint8Array = new Uint8Array(FIRST_CAPACITY);
  interfaceIndex: Int32Array = new Int32Array(FIRST_CAPACITY);
  /** `ADJACENCY_ADDRESS_WORDS` each. */
  address: Int32Array = new Int32Array(FIRST_CAPACITY * ADJACENCY_ADDRESS_WORDS);
  /** Whether a neighbour's MAC address is known. */
  complete: Uint8Array = new Uint8Array(FIRST_CAPACITY);
  macHigh: Uint16Array = new Uint16Array(FIRST_CAPACITY);
  macLow: Int32Array = new Int32Array(FIRST_CAPACITY);
  /** What was sent this way, or taken for ourselves: packets, and bytes of IP. */
  packets: Float64Array = new Float64Array(FIRST_CAPACITY);
  bytes: Float64Array = new Float64Array(FIRST_CAPACITY);
  /** How many there are. */
  count: number = 0;

  readonly #adjacenciesMax: number;
  readonly #secrets: Int32Array;
  /** 0: the number is free. */
  #references: Int32Array = new Int32Array(FIRST_CAPACITY);
  /** The next one in the same bucket, or on the free list. */
  #next: Int32Array = new Int32Array(FIRST_CAPACITY);
  /** The first of each bucket; as many buckets as columns have places. */
  #buckets: Int32Array = new Int32Array(FIRST_CAPACITY).fill(NONE);
  #firstFree: number = NONE;
  #end: number = 0;

  /** `secret`: 32 bits that nobody else knows. */
  constructor(secret: number, adjacenciesMax: number = ADJACENCIES_MAX) {
    this.#adjacenciesMax = adjacenciesMax;
    this.#secrets = expandSecrets(secret, SECRETS);
  }

  /** The adjacency with this key, or `NO_ADJACENCY`. No reference is taken. */
  find(kind: number, interfaceIndex: number, w0: number, w1: number, w2: number, w3: number): number {
    const bucket = this.#bucket(kind, interfaceIndex, w0, w1, w2, w3);
    for (let at = this.#buckets[bucket]; at !== NONE; at = this.#next[at]) {
      const word = at * ADJACENCY_ADDRESS_WORDS;
      if (
        this.address[word + 3] === w3 &&
        this.interfaceIndex[at] === interfaceIndex &&
        this.kind[at] === kind &&
        this.address[word + 2] === w2 &&
        this.address[word + 1] === w1 &&
        this.address[word] === w0
      ) {
        return at;
      }
    }
    return NO_ADJACENCY;
  }

  /** Finds the adjacency or makes it, incomplete, and takes a reference. `NO_ADJACENCY` when the table is full. */
  acquire(kind: number, interfaceIndex: number, w0: number, w1: number, w2: number, w3: number): number {
    const found = this.find(kind, interfaceIndex, w0, w1, w2, w3);
    if (found !== NO_ADJACENCY) {
      this.#references[found]++;
      return found;
    }
    if (this.count === this.#adjacenciesMax) return NO_ADJACENCY;
    const made = this.#takeNumber();
    this.kind[made] = kind;
    this.interfaceIndex[made] = interfaceIndex;
    this.#setAddress(made, w0, w1, w2, w3);
    this.setIncomplete(made);
    this.packets[made] = 0;
    this.bytes[made] = 0;
    this.#references[made] = 1;
    this.#link(made);
    this.count++;
    return made;
  }

  /** Takes one more reference to an adjacency that the caller knows. */
  hold(adjacency: number): void {
    assert(this.has(adjacency), 'only an adjacency that is there is held');
    this.#references[adjacency]++;
  }

  /** Gives one reference back; with the last one the adjacency goes. */
  release(adjacency: number): void {
    assert(this.has(adjacency), 'only an adjacency that is there is released');
    if (--this.#references[adjacency] > 0) return;
    // One that was flushed is in no bucket any more.
    if (this.interfaceIndex[adjacency] !== FLUSHED) this.#unlink(adjacency);
    this.#next[adjacency] = this.#firstFree;
    this.#firstFree = adjacency;
    this.count--;
  }

  /** The neighbour's MAC address is known. */
  setComplete(adjacency: number, macHigh: number, macLow: number): void {
    assert(this.kind[adjacency] === ADJACENCY.NEIGHBOUR, 'a neighbour has a MAC address');
    this.macHigh[adjacency] = macHigh;
    this.macLow[adjacency] = macLow;
    this.complete[adjacency] = 1;
  }

  /** The neighbour's MAC address is not known, or not any more. */
  setIncomplete(adjacency: number): void {
    this.complete[adjacency] = 0;
    this.macHigh[adjacency] = 0;
    this.macLow[adjacency] = 0;
  }

  /**
   * The interface goes: its adjacencies drop from now on, are found no more, and last until their holders have released them. Returns how many.
   */
  flush(interfaceIndex: number): number {
    let flushed = 0;
    for (let at = 0; at < this.#end; at++) {
      if (this.#references[at] === 0 || this.interfaceIndex[at] !== interfaceIndex || interfaceIndex < 0) continue;
      this.#unlink(at);
      this.kind[at] = ADJACENCY.DROP;
      this.interfaceIndex[at] = FLUSHED;
      this.setIncomplete(at);
      flushed++;
    }
    return flushed;
  }

  has(adjacency: number): boolean {
    return adjacency >= 0 && adjacency < this.#end && this.#references[adjacency] > 0;
  }

  references(adjacency: number): number {
    return this.has(adjacency) ? this.#references[adjacency] : 0;
  }

  /** Counts a packet of `ipBytes` that went this way. */
  account(adjacency: number, ipBytes: number): void {
    this.packets[adjacency]++;
    this.bytes[adjacency] += ipBytes;
  }

  clearCounters(): void {
    this.packets.fill(0);
    this.bytes.fill(0);
  }

  /** All numbers that are in use are below; `has` tells which. */
  get end(): number {
    return this.#end;
  }

  #setAddress(adjacency: number, w0: number, w1: number, w2: number, w3: number): void {
    const word = adjacency * ADJACENCY_ADDRESS_WORDS;
    this.address[word] = w0;
    this.address[word + 1] = w1;
    this.address[word + 2] = w2;
    this.address[word + 3] = w3;
  }

  #takeNumber(): number {
    const free = this.#firstFree;
    if (free !== NONE) {
      this.#firstFree = this.#next[free];
      return free;
    }
    if (this.#end === this.kind.length) this.#grow();
    return this.#end++;
  }

  #bucketOf(adjacency: number): number {
    const { address, kind, interfaceIndex } = this;
    const word = adjacency * ADJACENCY_ADDRESS_WORDS;
    return this.#bucket(
      kind[adjacency],
      interfaceIndex[adjacency],
      address[word],
      address[word + 1],
      address[word + 2],
      address[word + 3],
    );
  }

  #bucket(kind: number, interfaceIndex: number, w0: number, w1: number, w2: number, w3: number): number {
    const secrets = this.#secrets;
    const sum =
      product((kind << 28) ^ interfaceIndex, secrets[0], secrets[1]) +
      product(w0, secrets[2], secrets[3]) +
      product(w1, secrets[4], secrets[5]) +
      product(w2, secrets[6], secrets[7]) +
      product(w3, secrets[8], secrets[9]);
    return finalized(sum | 0) & (this.#buckets.length - 1);
  }

  #link(adjacency: number): void {
    const bucket = this.#bucketOf(adjacency);
    this.#next[adjacency] = this.#buckets[bucket];
    this.#buckets[bucket] = adjacency;
  }

  #unlink(adjacency: number): void {
    const bucket = this.#bucketOf(adjacency);
    if (this.#buckets[bucket] === adjacency) {
      this.#buckets[bucket] = this.#next[adjacency];
      return;
    }
    let before = this.#buckets[bucket];
    while (this.#next[before] !== adjacency) before = this.#next[before];
    this.#next[before] = this.#next[adjacency];
  }

  /** Only where no number is free, so that all but those that were flushed are put into the new buckets. */
  #grow(): void {
    const capacity = this.kind.length * 2;
    this.kind = grown(this.kind, new Uint8Array(capacity));
    this.interfaceIndex = grown(this.interfaceIndex, new Int32Array(capacity));
    this.address = grown(this.address, new Int32Array(capacity * ADJACENCY_ADDRESS_WORDS));
    this.complete = grown(this.complete, new Uint8Array(capacity));
    this.macHigh = grown(this.macHigh, new Uint16Array(capacity));
    this.macLow = grown(this.macLow, new Int32Array(capacity));
    this.packets = grown(this.packets, new Float64Array(capacity));
    this.bytes = grown(this.bytes, new Float64Array(capacity));
    this.#references = grown(this.#references, new Int32Array(capacity));
    this.#next = new Int32Array(capacity);
    this.#buckets = new Int32Array(capacity).fill(NONE);
    for (let at = 0; at < this.#end; at++) if (this.interfaceIndex[at] !== FLUSHED) this.#link(at);
  }
}
