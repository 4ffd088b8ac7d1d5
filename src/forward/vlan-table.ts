/**
 * VLAN sub-interfaces (IEEE 802.1Q): from an interface and the VLAN id of a frame that came in by it to the interface that stands for this VLAN there.
 *
 * Open addressing with linear probing over one array, at most half of which is used; removal shifts back. A place is two words, both zero where it is free:
 *
 * | word | what                                                       |
 * | ---- | ---------------------------------------------------------- |
 * | 0    | the interface, 12 bits up, and the VLAN id, which is not 0 |
 * | 1    | the sub-interface                                          |
 *
 * Only the configuration adds entries, so the hash needs no secret: guests choose what is looked up, and cannot make a chain longer.
 */
import { assert } from '../base/assert.ts';
import { grown } from '../base/column.ts';
import { INTERFACES_EVER_MAX, VLANS_MAX } from '../base/limits.ts';

/** What `add` did. */
export const VLAN_ADDED = {
  ADDED: 0,
  /** The interface has a sub-interface for this VLAN already. */
  TAKEN: 1,
  FULL: 2,
} as const;

export interface VlanEntry {
  readonly parent: number;
  readonly vlan: number;
  readonly subInterface: number;
}

const NONE = -1;
const VLAN_BITS = 12;
const VLAN_ID_MIN = 1;
const VLAN_ID_MAX = 4094;

const WORDS = 2;
const KEY = 0;
const SUB_INTERFACE = 1;

/** 2 to the 32nd over the golden ratio (Knuth, The Art of Computer Programming, section 6.4): neighbouring keys fall far from each other. */
const MULTIPLIER = 0x9e37_79b1;

export class VlanTable {
  readonly max: number;
  count: number = 0;
  readonly #table: Int32Array;
  /** Of each interface that is a sub-interface the parent, and one: 0 for others. */
  #parents: Int32Array = new Int32Array(64);
  /** For positions in the table: all bits of the last place's first word. */
  readonly #mask: number;
  /** How far a hash of 32 bits is shifted to become a place. */
  readonly #shift: number;

  /** Room for `max` sub-interfaces. */
  constructor(max: number = VLANS_MAX) {
    const bits = Math.max(4, Math.ceil(Math.log2(max * 2)));
    this.max = max;
    this.#table = new Int32Array(WORDS << bits);
    this.#mask = this.#table.length - WORDS;
    this.#shift = 32 - bits;
  }

  /** The sub-interface of `parent` for a VLAN id (0 to 4095), -1 when there is none. For each tagged packet. */
  find(parent: number, vlan: number): number {
    const key = (parent << VLAN_BITS) | vlan;
    const table = this.#table;
    let at = this.#home(key);
    while (table[at] !== key) {
      if (table[at] === 0) return NONE;
      at = (at + WORDS) & this.#mask;
    }
    // The key of interface 0 and VLAN 0 is that of a free place.
    return vlan === 0 ? NONE : table[at + SUB_INTERFACE];
  }

  /** The interface that a sub-interface is one of; an interface that is none is its own. */
  parentOf(interfaceIndex: number): number {
    const parent = interfaceIndex < this.#parents.length ? this.#parents[interfaceIndex] : 0;
    return parent === 0 ? interfaceIndex : parent - 1;
  }

  add(parent: number, vlan: number, subInterface: number): number {
    assert(parent >= 0 && parent < INTERFACES_EVER_MAX && subInterface >= 0, 'both are numbers of interfaces');
    assert(vlan >= VLAN_ID_MIN && vlan <= VLAN_ID_MAX, 'a VLAN id is 1 to 4094');
    if (this.find(parent, vlan) !== NONE) return VLAN_ADDED.TAKEN;
    if (this.count === this.max) return VLAN_ADDED.FULL;
    const key = (parent << VLAN_BITS) | vlan;
    const at = this.#seek(key);
    this.#table[at + KEY] = key;
    this.#table[at + SUB_INTERFACE] = subInterface;
    if (subInterface >= this.#parents.length) {
      this.#parents = grown(this.#parents, new Int32Array(subInterface * 2));
    }
    this.#parents[subInterface] = parent + 1;
    this.count++;
    return VLAN_ADDED.ADDED;
  }

  /** Returns whether it was there. */
  remove(parent: number, vlan: number): boolean {
    const subInterface = this.find(parent, vlan);
    if (subInterface === NONE) return false;
    this.#parents[subInterface] = 0;
    this.#removeAt(this.#seek((parent << VLAN_BITS) | vlan));
    this.count--;
    return true;
  }

  /** Sub-interfaces of one interface, or of all, by interface and then by VLAN id. */
  entries(parent?: number): VlanEntry[] {
    const found: VlanEntry[] = [];
    const table = this.#table;
    for (let at = 0; at < table.length; at += WORDS) {
      const key = table[at + KEY];
      if (key === 0 || (parent !== undefined && key >>> VLAN_BITS !== parent)) continue;
      const vlan = key & ((1 << VLAN_BITS) - 1);
      found.push({ parent: key >>> VLAN_BITS, vlan, subInterface: table[at + SUB_INTERFACE] });
    }
    return found.sort((a, b) => a.parent - b.parent || a.vlan - b.vlan);
  }

  /** Where the key is, or the free place where it would be: half of all places are free, so there is one. */
  #seek(key: number): number {
    const table = this.#table;
    let at = this.#home(key);
    while (table[at] !== 0 && table[at] !== key) at = (at + WORDS) & this.#mask;
    return at;
  }

  #home(key: number): number {
    return (Math.imul(key, MULTIPLIER) >>> this.#shift) * WORDS;
  }

  #removeAt(place: number): void {
    const table = this.#table;
    const mask = this.#mask;
    let hole = place;
    let at = (hole + WORDS) & mask;
    // Shift back whatever would no longer be found across the hole.
    while (table[at] !== 0) {
      const home = this.#home(table[at]);
      if (((at - home) & mask) >= ((at - hole) & mask)) {
        table.copyWithin(hole, at, at + WORDS);
        hole = at;
      }
      at = (at + WORDS) & mask;
    }
    table.fill(0, hole, hole + WORDS);
  }
}
