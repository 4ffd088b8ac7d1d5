/**
 * The MAC addresses that bridges know (IEEE 802.1Q-2022, section 8.8: the filtering database, without VLANs of its own): from a bridge and an address to
 * the interface behind which it is.
 *
 * Open addressing with linear probing over one array, so that a look-up reads one or two cache lines; removal shifts back, so there are no tombstones.
 * A place is four words, all zero where it is free:
 *
 * | word | what                                                             |
 * | ---- | ---------------------------------------------------------------- |
 * | 0    | the bridge in the upper half, the first two bytes of the address |
 * | 1    | the last four bytes of the address                               |
 * | 2    | the interface, plus 1                                            |
 * | 3    | the second in which the address was last heard; -1: static       |
 *
 * Guests choose addresses, so the hash is keyed with a secret, and the table is bounded: beyond it nothing new is learnt, which `learn` tells. Learnt
 * addresses that were not heard for their bridge's ageing time are removed by `sweep`, a slice of the table at a time; until then they are found.
 * Static ones neither age nor move. Times are whole seconds, as the caller gives them. Nothing is allocated for a packet.
 */
import { MacAddress } from '../base/address.ts';
import { assert } from '../base/assert.ts';
import { expandSecrets, finalized, product } from '../base/keyed-hash.ts';

/** What `learn` did with an address. */
export const LEARNT = {
  /** It was known there. */
  KNOWN: 0,
  NEW: 1,
  /** It was known behind another interface. */
  MOVED: 2,
  /** It is static behind another interface, and stays there. */
  ELSEWHERE: 3,
  /** The table is full, and the address was not learnt. */
  FULL: 4,
} as const;

/** What to look at; everything, where nothing is said. */
export interface L2FibScope {
  readonly bridge?: number;
  readonly interfaceIndex?: number;
}

export interface L2FibEntry {
  readonly bridge: number;
  readonly mac: MacAddress;
  readonly interfaceIndex: number;
  /** The second in which it was last heard; undefined: it is static. */
  readonly heardS: number | undefined;
}

/** Hears of each address that comes, moves or goes (`interfaceIndex` -1); not of those that are heard where they were. */
export type StationListener = (
  bridge: number,
  macHigh: number,
  macLow: number,
  interfaceIndex: number,
  isStatic: boolean,
) => void;

const NONE = -1;
const STATIC = -1;

const WORDS = 4;
const KEY = 0;
const LOW = 1;
const INTERFACE = 2;
const HEARD = 3;

export class L2Fib {
  readonly max: number;
  /** Addresses known. */
  count: number = 0;
  /** At most one. */
  listener: StationListener | undefined = undefined;
  readonly #table: Int32Array;
  /** For positions in the table: all bits of the last place's first word. */
  readonly #mask: number;
  readonly #secrets: Int32Array;
  /** Where the next sweep starts. */
  #sweepAt: number = 0;

  /** Room for `max` addresses. `secret` keys the hash: an int32 that no guest can guess. */
  constructor(max: number, secret: number) {
    let places = 16;
    while (places < max * 2) places *= 2;
    this.max = max;
    this.#table = new Int32Array(places * WORDS);
    this.#mask = (places - 1) * WORDS;
    this.#secrets = expandSecrets(secret, 4);
  }

  /** Places of the table; a sweep of as many looks at every address once. */
  get places(): number {
    return this.#table.length / WORDS;
  }

  /** The interface behind which the address is, -1 when that is not known. */
  find(bridge: number, macHigh: number, macLow: number): number {
    return this.#table[this.#seek((bridge << 16) | macHigh, macLow) + INTERFACE] - 1;
  }

  /** Notes that the address was heard behind an interface. Returns one of `LEARNT`. */
  learn(bridge: number, macHigh: number, macLow: number, interfaceIndex: number, nowS: number): number {
    const table = this.#table;
    const key = (bridge << 16) | macHigh;
    const at = this.#seek(key, macLow);
    const known = table[at + INTERFACE] - 1;
    if (known === interfaceIndex) {
      // Most packets come in a second in which their sender was heard already: they only read.
      if (table[at + HEARD] !== nowS && table[at + HEARD] !== STATIC) table[at + HEARD] = nowS;
      return LEARNT.KNOWN;
    }
    if (known !== NONE) {
      if (table[at + HEARD] === STATIC) return LEARNT.ELSEWHERE;
      table[at + INTERFACE] = interfaceIndex + 1;
      table[at + HEARD] = nowS;
      this.#tell(at);
      return LEARNT.MOVED;
    }
    if (this.count === this.max) return LEARNT.FULL;
    this.#write(at, key, macLow, interfaceIndex, nowS);
    return LEARNT.NEW;
  }

  /** The address was heard there in that second, as somebody else tells; nothing, where it is not known there or was heard later. */
  heard(bridge: number, macHigh: number, macLow: number, interfaceIndex: number, heardS: number): void {
    const table = this.#table;
    const at = this.#seek((bridge << 16) | macHigh, macLow);
    if (table[at + INTERFACE] - 1 !== interfaceIndex || table[at + HEARD] === STATIC) return;
    if (table[at + HEARD] < heardS) table[at + HEARD] = heardS;
  }

  /** Says where an address is, in place of what was learnt or said before. Returns false when the table is full. */
  setStatic(bridge: number, macHigh: number, macLow: number, interfaceIndex: number): boolean {
    const key = (bridge << 16) | macHigh;
    const at = this.#seek(key, macLow);
    if (this.#table[at + INTERFACE] !== 0) {
      this.#table[at + INTERFACE] = interfaceIndex + 1;
      this.#table[at + HEARD] = STATIC;
      this.#tell(at);
      return true;
    }
    if (this.count === this.max) return false;
    this.#write(at, key, macLow, interfaceIndex, STATIC);
    return true;
  }

  /** Forgets an address, learnt or static. Returns whether it was known. */
  remove(bridge: number, macHigh: number, macLow: number): boolean {
    const at = this.#seek((bridge << 16) | macHigh, macLow);
    if (this.#table[at + INTERFACE] === 0) return false;
    this.#removeAt(at);
    return true;
  }

  /** Calls `visit` for each address that was learnt and has been heard in this second or later. Nothing may be changed meanwhile. */
  visitHeard(
    sinceS: number,
    visit: (bridge: number, macHigh: number, macLow: number, interfaceIndex: number, heardS: number) => void,
  ): void {
    const table = this.#table;
    for (let at = 0; at < table.length && this.count > 0; at += WORDS) {
      if (table[at + INTERFACE] === 0 || table[at + HEARD] < sinceS) continue;
      const bridge = table[at + KEY] >>> 16;
      visit(bridge, table[at + KEY] & 0xffff, table[at + LOW], table[at + INTERFACE] - 1, table[at + HEARD]);
    }
  }

  /** Forgets what was learnt in `scope`. Returns how many addresses. */
  flush(scope: L2FibScope = {}): number {
    return this.#removeWhere((at) => this.#table[at + HEARD] !== STATIC && this.#isIn(scope, at));
  }

  /** Forgets all in `scope`, static addresses too: for what is going away. */
  removeAll(scope: L2FibScope): number {
    return this.#removeWhere((at) => this.#isIn(scope, at));
  }

  /**
   * Looks at the next `places` of the table, and forgets the addresses there that were not heard for more than their bridge's `ageingS`, where that is not 0.
   * Returns how many.
   */
  sweep(nowS: number, ageingS: Int32Array, places: number): number {
    const before = this.count;
    if (before === 0) return 0;
    let at = this.#sweepAt;
    for (let looked = Math.min(places, this.places); looked > 0; looked--) {
      // What is shifted back into this place has its turn at once.
      while (this.#isAged(at, nowS, ageingS)) this.#removeAt(at);
      at = (at + WORDS) & this.#mask;
    }
    this.#sweepAt = at;
    return before - this.count;
  }

  /** What is known, by bridge and then by address. */
  entries(scope: L2FibScope = {}): L2FibEntry[] {
    const found: L2FibEntry[] = [];
    const table = this.#table;
    for (let at = 0; at < table.length; at += WORDS) {
      if (table[at + INTERFACE] === 0 || !this.#isIn(scope, at)) continue;
      found.push({
        bridge: table[at + KEY] >>> 16,
        mac: new MacAddress(table[at + KEY] & 0xffff, table[at + LOW]),
        interfaceIndex: table[at + INTERFACE] - 1,
        heardS: table[at + HEARD] === STATIC ? undefined : table[at + HEARD],
      });
    }
    return found.sort(
      (a, b) => a.bridge - b.bridge || a.mac.high - b.mac.high || (a.mac.low >>> 0) - (b.mac.low >>> 0),
    );
  }

  /** Where the key is, or the free place where it would be: half of all places are free, so there is one. */
  #seek(key: number, low: number): number {
    const table = this.#table;
    let at = this.#home(key, low);
    while (table[at + INTERFACE] !== 0 && (table[at + LOW] !== low || table[at + KEY] !== key)) {
      at = (at + WORDS) & this.#mask;
    }
    return at;
  }

  #home(key: number, low: number): number {
    const secrets = this.#secrets;
    const sum = (product(key, secrets[0], secrets[1]) + product(low, secrets[2], secrets[3])) | 0;
    return Math.imul(finalized(sum), WORDS) & this.#mask;
  }

  #write(at: number, key: number, low: number, interfaceIndex: number, heardS: number): void {
    assert(interfaceIndex >= 0 && heardS >= STATIC, 'an address is behind an interface, and was heard at some time');
    this.#table[at + KEY] = key;
    this.#table[at + LOW] = low;
    this.#table[at + INTERFACE] = interfaceIndex + 1;
    this.#table[at + HEARD] = heardS;
    this.count++;
    this.#tell(at);
  }

  #tell(at: number): void {
    const table = this.#table;
    this.listener?.(
      table[at + KEY] >>> 16,
      table[at + KEY] & 0xffff,
      table[at + LOW],
      table[at + INTERFACE] - 1,
      table[at + HEARD] === STATIC,
    );
  }

  #removeAt(place: number): void {
    const table = this.#table;
    const mask = this.#mask;
    this.listener?.(table[place + KEY] >>> 16, table[place + KEY] & 0xffff, table[place + LOW], NONE, false);
    let hole = place;
    let at = (hole + WORDS) & mask;
    // Shift back whatever would no longer be found across the hole.
    while (table[at + INTERFACE] !== 0) {
      const home = this.#home(table[at + KEY], table[at + LOW]);
      if (((at - home) & mask) >= ((at - hole) & mask)) {
        table.copyWithin(hole, at, at + WORDS);
        hole = at;
      }
      at = (at + WORDS) & mask;
    }
    table.fill(0, hole, hole + WORDS);
    this.count--;
  }

  #removeWhere(isMeant: (at: number) => boolean): number {
    const before = this.count;
    if (before === 0) return 0;
    const table = this.#table;
    for (let at = 0; at < table.length; at += WORDS) {
      while (table[at + INTERFACE] !== 0 && isMeant(at)) this.#removeAt(at);
    }
    return before - this.count;
  }

  #isIn(scope: L2FibScope, at: number): boolean {
    return (
      (scope.bridge === undefined || this.#table[at + KEY] >>> 16 === scope.bridge) &&
      (scope.interfaceIndex === undefined || this.#table[at + INTERFACE] - 1 === scope.interfaceIndex)
    );
  }

  #isAged(at: number, nowS: number, ageingS: Int32Array): boolean {
    const table = this.#table;
    if (table[at + INTERFACE] === 0 || table[at + HEARD] === STATIC) return false;
    const limitS = ageingS[table[at + KEY] >>> 16];
    return limitS !== 0 && nowS - table[at + HEARD] > limitS;
  }
}
