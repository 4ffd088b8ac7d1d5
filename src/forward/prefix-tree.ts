/**
 * The routes of one table as a tree of prefixes, in columns: the truth that the look-up structures of fib4.ts and fib6.ts are built from.
 *
 * A binary tree in which a path without a fork is one step (Morrison, "PATRICIA", 1968). A node is a prefix that is routed, or one at which two routed
 * prefixes part; with n routes there are less than 2n nodes, and none is deeper than an address has bits. Node 0 is the empty prefix and is always there.
 * In preorder, which `next` follows, routes come sorted by address, then by length.
 *
 * A prefix is given as four words and a length; bits behind the length make no difference. A tree of one word (IPv4) uses the first only. This is control plane:
 * packets are not looked up here, as the nodes on the way to a route lie all over the memory.
 */
import { prefixMask } from '../base/address.ts';
import { assert } from '../base/assert.ts';
import { grown } from '../base/column.ts';

export const NO_NODE = -1;
/** The value of a node that is not routed. */
export const NO_VALUE = -1;

const ROOT = 0;
const FIRST_CAPACITY = 16;

export class PrefixTree {
  /** Bits of a node's prefix. */
  length: Uint8Array = new Uint8Array(FIRST_CAPACITY);
  /** What the prefix is routed to, or `NO_VALUE`. */
  value: Int32Array = new Int32Array(FIRST_CAPACITY).fill(NO_VALUE);
  /** The longer prefixes whose next bit is 0, and 1; `NO_NODE` where there are none. A free node's `left` is the next free one. */
  left: Int32Array = new Int32Array(FIRST_CAPACITY).fill(NO_NODE);
  right: Int32Array = new Int32Array(FIRST_CAPACITY).fill(NO_NODE);
  #parent: Int32Array = new Int32Array(FIRST_CAPACITY).fill(NO_NODE);
  #keys: Int32Array;
  readonly #words: 1 | 4;
  /** The prefix that the operation under way is about, its host bits cleared. */
  readonly #key: Int32Array = new Int32Array(4);
  #free: number = NO_NODE;
  /** All nodes that were ever used are below. */
  #end: number = ROOT + 1;
  #count: number = 0;

  constructor(words: 1 | 4) {
    this.#words = words;
    this.#keys = new Int32Array(FIRST_CAPACITY * words);
  }

  /** How many prefixes are routed. */
  get count(): number {
    return this.#count;
  }

  /** Word `index` of a node's prefix. */
  word(node: number, index: number): number {
    return index < this.#words ? this.#keys[node * this.#words + index] : 0;
  }

  /** The node of exactly this prefix, if it is routed. */
  find(w0: number, w1: number, w2: number, w3: number, length: number): number {
    const node = this.under(w0, w1, w2, w3, length);
    return node !== NO_NODE && this.length[node] === length && this.value[node] !== NO_VALUE ? node : NO_NODE;
  }

  /** The longest routed prefix that covers this one and has at most its length. */
  covering(w0: number, w1: number, w2: number, w3: number, length: number): number {
    this.#seek(w0, w1, w2, w3, length);
    let longest = NO_NODE;
    let node = ROOT;
    while (node !== NO_NODE && this.length[node] <= length && this.#common(node, length) >= this.length[node]) {
      if (this.value[node] !== NO_VALUE) longest = node;
      if (this.length[node] === length) break;
      node = this.#child(node);
    }
    return longest;
  }

  /** The node above all that this prefix covers, itself included; it may be a fork that is not routed. */
  under(w0: number, w1: number, w2: number, w3: number, length: number): number {
    this.#seek(w0, w1, w2, w3, length);
    let node = ROOT;
    while (node !== NO_NODE && this.length[node] < length) {
      if (this.#common(node, length) < this.length[node]) return NO_NODE;
      node = this.#child(node);
    }
    return node === NO_NODE || this.#common(node, length) < length ? NO_NODE : node;
  }

  /** Routes a prefix that was not. Returns its node. */
  insert(w0: number, w1: number, w2: number, w3: number, length: number, value: number): number {
    assert(value >= 0, 'a prefix is routed to a number from 0');
    this.#seek(w0, w1, w2, w3, length);
    let above = NO_NODE;
    let node = ROOT;
    while (node !== NO_NODE && this.length[node] < length && this.#common(node, length) >= this.length[node]) {
      above = node;
      node = this.#child(node);
    }
    const common = node === NO_NODE ? length : this.#common(node, length);
    if (node === NO_NODE) node = this.#append(above, length);
    else if (common < length && common < this.length[node]) node = this.#append(this.#split(node, common), length);
    else if (this.length[node] > length) node = this.#split(node, length);
    assert(this.value[node] === NO_VALUE, 'a prefix is inserted once');
    this.value[node] = value;
    this.#count++;
    return node;
  }

  /** Removes the route of a node. The node, and one other, may be gone afterwards. */
  remove(node: number): void {
    assert(this.value[node] !== NO_VALUE, 'only a prefix that is routed is removed');
    this.value[node] = NO_VALUE;
    this.#count--;
    const above = this.#parent[node];
    this.#dropUseless(node);
    // A fork with one way left is none.
    if (above !== NO_NODE) this.#dropUseless(above);
  }

  /** The routed prefix behind `node`, the first one for `NO_NODE`; `NO_NODE` behind the last. */
  next(node: number): number {
    let at = node === NO_NODE ? ROOT : this.#behind(node);
    while (at !== NO_NODE && this.value[at] === NO_VALUE) at = this.#behind(at);
    return at;
  }

  #behind(node: number): number {
    if (this.left[node] !== NO_NODE) return this.left[node];
    if (this.right[node] !== NO_NODE) return this.right[node];
    let below = node;
    for (let at = this.#parent[node]; at !== NO_NODE; at = this.#parent[at]) {
      if (this.left[at] === below && this.right[at] !== NO_NODE) return this.right[at];
      below = at;
    }
    return NO_NODE;
  }

  #seek(w0: number, w1: number, w2: number, w3: number, length: number): void {
    assert(length >= 0 && length <= this.#words * 32, 'length of a prefix');
    this.#key[0] = w0 & prefixMask(length);
    this.#key[1] = w1 & prefixMask(length - 32);
    this.#key[2] = w2 & prefixMask(length - 64);
    this.#key[3] = w3 & prefixMask(length - 96);
  }

  /** How many leading bits a node's prefix and the key have in common, at most the length of either. */
  #common(node: number, length: number): number {
    const most = Math.min(length, this.length[node]);
    for (let i = 0; i * 32 < most; i++) {
      const differing = this.#keys[node * this.#words + i] ^ this.#key[i];
      if (differing !== 0) return Math.min(most, i * 32 + Math.clz32(differing));
    }
    return most;
  }

  /** Below `node`, in the key's direction. */
  #child(node: number): number {
    return this.#keyBit(this.length[node]) === 0 ? this.left[node] : this.right[node];
  }

  #keyBit(index: number): number {
    return (this.#key[index >>> 5] >>> (31 - (index & 31))) & 1;
  }

  /** A new node of the key's first `length` bits, below `above` and with nothing below itself. */
  #append(above: number, length: number): number {
    const node = this.#allocate(length);
    this.#parent[node] = above;
    if (this.#keyBit(this.length[above]) === 0) this.left[above] = node;
    else this.right[above] = node;
    return node;
  }

  /** A new node of the key's first `length` bits, which `node` has in common with it, between `node` and what is above that. */
  #split(node: number, length: number): number {
    const above = this.#parent[node];
    const between = this.#append(above, length);
    const bit = (this.#keys[node * this.#words + (length >>> 5)] >>> (31 - (length & 31))) & 1;
    if (bit === 0) this.left[between] = node;
    else this.right[between] = node;
    this.#parent[node] = between;
    return between;
  }

  /** Takes a node out that is not routed and no fork. */
  #dropUseless(node: number): void {
    const { left, right } = this;
    if (node === ROOT || this.value[node] !== NO_VALUE || (left[node] !== NO_NODE && right[node] !== NO_NODE)) return;
    const below = left[node] === NO_NODE ? right[node] : left[node];
    const above = this.#parent[node];
    if (left[above] === node) left[above] = below;
    else right[above] = below;
    if (below !== NO_NODE) this.#parent[below] = above;
    left[node] = this.#free;
    right[node] = NO_NODE;
    this.#free = node;
  }

  #allocate(length: number): number {
    const node = this.#free === NO_NODE ? this.#end++ : this.#free;
    if (node === this.length.length) this.#grow();
    if (node === this.#free) this.#free = this.left[node];
    this.length[node] = length;
    this.value[node] = NO_VALUE;
    this.left[node] = NO_NODE;
    this.right[node] = NO_NODE;
    for (let i = 0; i < this.#words; i++) {
      this.#keys[node * this.#words + i] = this.#key[i] & prefixMask(length - 32 * i);
    }
    return node;
  }

  #grow(): void {
    const capacity = this.length.length * 2;
    this.length = grown(this.length, new Uint8Array(capacity));
    this.value = grown(this.value, new Int32Array(capacity));
    this.left = grown(this.left, new Int32Array(capacity));
    this.right = grown(this.right, new Int32Array(capacity));
    this.#parent = grown(this.#parent, new Int32Array(capacity));
    this.#keys = grown(this.#keys, new Int32Array(capacity * this.#words));
  }
}
