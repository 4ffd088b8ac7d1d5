/**
 * The routes of IPv6: longest-prefix match by binary search on prefix lengths (Waldvogel, Varghese, Turner and Plattner, "Scalable High Speed IP
 * Routing Lookups", 1997), in one hash table.
 *
 * A look-up asks whether the first 64 bits of the address are in the table. If so it goes on with a longer prefix, if not with a shorter one, and
 * so on down a fixed tree of lengths: 64, then 48 or 128, then 32, and halves of what is left. For a hit to lead the right way, a route has entries not
 * only for itself but also for its prefixes at the lengths where the search must turn to the longer side: markers. As a marker may lead to nothing in
 * the end, each entry holds the value of the best route up to its own length: the last hit has the answer, there is no way back.
 *
 * | word | of an entry                                                                            |
 * | ---- | -------------------------------------------------------------------------------------- |
 * | 0-3  | the prefix, host bits zero                                                             |
 * | 4    | its length                                                                             |
 * | 5    | how many routes need the entry; 0: the slot is empty                                   |
 * | 6    | the value of the longest route that covers the prefix, -1: none but the default route  |
 * | 7    | that route's length                                                                    |
 *
 * Why this and not a trie: prefixes of 48 and 64 bits are what there is, and a trie needs five to seven dependent reads to get there, and to be small with
 * scattered routes needs to be clever at each. Here lengths that nobody uses are skipped, so that a network with /48, /64 and hosts is searched in two or three
 * reads, each of 32 bytes. What a look-up costs depends on how many lengths are used, nine reads at most, and on whether the entries
 * stay in the processor's caches, but not otherwise on how many routes there are: 100,000 of one length, or of networks and hosts, cost less than twice
 * what ten do. A table with all lengths from 28 to 48, like the Internet's, is the worst: seven reads in 8 MiB, three to six times the cost of ten such routes. Slots
 * are filled to two thirds as it was two to three times slower still in 16 MiB; hashes in a column of their own, to spare misses the
 * entries, made hits slower.
 *
 * The price is paid by changes. A new route must become the best one of all entries that it covers: the tree of prefixes says which these are, and routes
 * below another route below it need not be visited. The default route covers everything; it is kept beside the table.
 *
 * The hash is keyed: hosts choose their addresses, and a route to a neighbour is an entry.
 */
import { formatIpWords, prefixMask } from '../base/address.ts';
import { assert } from '../base/assert.ts';
import { expandSecrets, finalized, product } from '../base/keyed-hash.ts';
import { ROUTES_MAX } from '../base/limits.ts';
import { failure, type Result, success } from '../base/result.ts';
import { NO_NODE, NO_VALUE, PrefixTree } from './prefix-tree.ts';

export interface Route6 {
  /** The first address of the prefix. */
  readonly w0: number;
  readonly w1: number;
  readonly w2: number;
  readonly w3: number;
  readonly length: number;
  readonly value: number;
}

const BITS = 128;

/** Words of an entry, as a shift, and where they are. */
const ENTRY_SHIFT = 3;
const ENTRY_WORDS = 1 << ENTRY_SHIFT;
const LENGTH = 4;
const NEEDED = 5;
const VALUE = 6;
const VALUE_LENGTH = 7;

const FIRST_SLOTS = 64;

/** The lengths to search at first, where the range that is left has them: what networks, sites and hosts have. */
const SEARCHED_FIRST: readonly number[] = [64, 48, 32, BITS];
/** The tree of lengths: where to go on after a miss, and after a hit; 0: nowhere. */
const SHORTER: Uint8Array = new Uint8Array(BITS + 1);
const LONGER: Uint8Array = new Uint8Array(BITS + 1);
const TOP = growLengths(1, BITS);
/** For each length, the lengths of the entries of a route: its markers', and its own last. */
const ENTRIES_AT: readonly (readonly number[])[] = Array.from({ length: BITS + 1 }, (_, length) => entriesAt(length));
/** Four words of mask for each length. */
const MASKS: Int32Array = Int32Array.from({ length: 4 * (BITS + 1) }, (_, i) => prefixMask((i >>> 2) - 32 * (i & 3)));

export class Fib6 {
  readonly #routes: PrefixTree = new PrefixTree(4);
  #entries: Int32Array = new Int32Array(FIRST_SLOTS * ENTRY_WORDS);
  #entryCount: number = 0;
  /** How many entries have each length. */
  readonly #countOf: Int32Array = new Int32Array(BITS + 1);
  /** The tree of lengths without those that no entry has. */
  #top: number = 0;
  /** For each length, where to go on after a miss, and after a hit. */
  readonly #turns: Uint8Array = new Uint8Array(2 * (BITS + 1));
  #default: number = NO_VALUE;
  readonly #secrets: Int32Array;

  /** `secret`: any number that nobody else can know. */
  constructor(secret: number) {
    this.#secrets = expandSecrets(secret, 10);
  }

  /** How many routes there are. */
  get count(): number {
    return this.#routes.count;
  }

  /** Entries of routes and markers, for tests and for those who want to know. */
  get entryCount(): number {
    return this.#entryCount;
  }

  /** Bytes that look-ups read from. */
  get lookupBytes(): number {
    return this.#entries.length * 4;
  }

  /** The value of the longest prefix that covers the address, or -1. */
  lookup(w0: number, w1: number, w2: number, w3: number): number {
    let best = this.#default;
    let length = this.#top;
    while (length !== 0) {
      const mask = length << 2;
      const k0 = w0 & MASKS[mask];
      const k1 = w1 & MASKS[mask + 1];
      const entry = this.#slotOf(k0, k1, w2 & MASKS[mask + 2], w3 & MASKS[mask + 3], length);
      // Whether it is a hit cannot be foreseen, and a processor that guesses wrong waits for the entry before it starts with anything else: no branch.
      const hit = -this.#entries[entry + NEEDED] >>> 31;
      const value = this.#entries[entry + VALUE] | (hit - 1);
      const none = value >> 31;
      best = (value & ~none) | (best & none);
      length = this.#turns[(length << 1) | hit];
    }
    return best;
  }

  /** The value of exactly this prefix, or -1. */
  get(w0: number, w1: number, w2: number, w3: number, length: number): number {
    const node = this.#routes.find(w0, w1, w2, w3, length);
    return node === NO_NODE ? NO_VALUE : this.#routes.value[node];
  }

  /** Adds a route to a number from 0; bits of the address behind the length make no difference. */
  insert(w0: number, w1: number, w2: number, w3: number, length: number, value: number): Result<void> {
    if (this.#routes.find(w0, w1, w2, w3, length) !== NO_NODE) {
      const route = formatRoute(w0, w1, w2, w3, length);
      return failure('route-exists', `There is a route to ${route} already; replace or remove it.`);
    }
    if (this.#routes.count >= ROUTES_MAX) {
      const route = formatRoute(w0, w1, w2, w3, length);
      return failure(
        'routes-full',
        `No route to ${route}: the table is full with ${ROUTES_MAX} IPv6 routes; remove some first.`,
      );
    }
    const node = this.#routes.insert(w0, w1, w2, w3, length, value);
    for (const at of ENTRIES_AT[length]) this.#need(node, at);
    this.#offer(node, value, length);
    return success(undefined);
  }

  /** Gives a route that is there another value. Returns the earlier one. */
  replace(w0: number, w1: number, w2: number, w3: number, length: number, value: number): Result<number> {
    assert(value >= 0, 'a route leads to a number from 0');
    const node = this.#routes.find(w0, w1, w2, w3, length);
    if (node === NO_NODE) return missing(w0, w1, w2, w3, length);
    const before = this.#routes.value[node];
    this.#routes.value[node] = value;
    if (value !== before) this.#offer(node, value, length);
    return success(before);
  }

  /** Returns the value that the route had. */
  remove(w0: number, w1: number, w2: number, w3: number, length: number): Result<number> {
    const tree = this.#routes;
    const node = tree.find(w0, w1, w2, w3, length);
    if (node === NO_NODE) return missing(w0, w1, w2, w3, length);
    const before = tree.value[node];
    const covering = length === 0 ? NO_NODE : this.#covering(w0, w1, w2, w3, length - 1);
    if (covering === NO_NODE) this.#offer(node, NO_VALUE, 0);
    else this.#offer(node, tree.value[covering], tree.length[covering]);
    for (const at of ENTRIES_AT[length]) this.#release(node, at);
    tree.remove(node);
    return success(before);
  }

  /** All routes by address, then from the shortest prefix to the longest. No change is made while it runs. */
  *routes(): Generator<Route6, void, undefined> {
    const tree = this.#routes;
    for (let node = tree.next(NO_NODE); node !== NO_NODE; node = tree.next(node)) {
      yield {
        w0: tree.word(node, 0),
        w1: tree.word(node, 1),
        w2: tree.word(node, 2),
        w3: tree.word(node, 3),
        length: tree.length[node],
        value: tree.value[node],
      };
    }
  }

  /** The longest route but the default one that covers a prefix. */
  #covering(w0: number, w1: number, w2: number, w3: number, length: number): number {
    const node = this.#routes.covering(w0, w1, w2, w3, length);
    return node === NO_NODE || this.#routes.length[node] === 0 ? NO_NODE : node;
  }

  /** Makes a value that of all entries for which the route of `node` was the best or, when it is new, is now. */
  #offer(node: number, value: number, valueLength: number): void {
    const tree = this.#routes;
    const length = tree.length[node];
    if (length === 0) {
      this.#default = value;
      return;
    }
    this.#offerTo(node, length, length, value, valueLength);
    this.#offerBelow(tree.left[node], length, value, valueLength);
    this.#offerBelow(tree.right[node], length, value, valueLength);
  }

  /**
   * The entries of prefixes between `length` and the next route. Below that route are more, but none that are not its own too: as lengths are
   * searched in a tree, two routes have the same markers up to where their ways part, and later ones of the longer route are longer than the shorter route.
   */
  #offerBelow(node: number, length: number, value: number, valueLength: number): void {
    if (node === NO_NODE) return;
    const tree = this.#routes;
    if (tree.value[node] === NO_VALUE) {
      this.#offerBelow(tree.left[node], length, value, valueLength);
      this.#offerBelow(tree.right[node], length, value, valueLength);
      return;
    }
    for (const at of ENTRIES_AT[tree.length[node]]) {
      if (at >= length && at < tree.length[node]) this.#offerTo(node, at, length, value, valueLength);
    }
  }

  #offerTo(node: number, at: number, length: number, value: number, valueLength: number): void {
    const entry = this.#slotOfNode(node, at);
    if (this.#entries[entry + VALUE_LENGTH] > length) return;
    this.#entries[entry + VALUE] = value;
    this.#entries[entry + VALUE_LENGTH] = valueLength;
  }

  /** The route of `node` needs an entry for its first `length` bits. */
  #need(node: number, length: number): void {
    if (3 * this.#entryCount >= 2 * (this.#entries.length >>> ENTRY_SHIFT)) this.#grow();
    const entries = this.#entries;
    const entry = this.#slotOfNode(node, length);
    if (entries[entry + NEEDED]++ > 0) return;
    const tree = this.#routes;
    for (let i = 0; i < 4; i++) entries[entry + i] = tree.word(node, i) & MASKS[length * 4 + i];
    const covering = this.#covering(
      tree.word(node, 0),
      tree.word(node, 1),
      tree.word(node, 2),
      tree.word(node, 3),
      length,
    );
    entries[entry + LENGTH] = length;
    entries[entry + VALUE] = covering === NO_NODE ? NO_VALUE : tree.value[covering];
    entries[entry + VALUE_LENGTH] = covering === NO_NODE ? 0 : tree.length[covering];
    this.#entryCount++;
    if (this.#countOf[length]++ === 0) this.#pruneLengths();
  }

  /** The route of `node` does not need the entry for its first `length` bits any more. */
  #release(node: number, length: number): void {
    const entry = this.#slotOfNode(node, length);
    if (--this.#entries[entry + NEEDED] > 0) return;
    this.#closeGap(entry);
    this.#entryCount--;
    if (--this.#countOf[length] === 0) this.#pruneLengths();
  }

  /** Moves entries that would not be found behind an empty slot into it. */
  #closeGap(empty: number): void {
    const entries = this.#entries;
    const last = entries.length - 1;
    let gap = empty;
    for (let at = (gap + ENTRY_WORDS) & last; entries[at + NEEDED] !== 0; at = (at + ENTRY_WORDS) & last) {
      const home = this.#home(entries[at], entries[at + 1], entries[at + 2], entries[at + 3], entries[at + LENGTH]);
      if (((at - home) & last) < ((at - gap) & last)) continue;
      entries.copyWithin(gap, at, at + ENTRY_WORDS);
      entries[at + NEEDED] = 0;
      gap = at;
    }
  }

  #grow(): void {
    const before = this.#entries;
    this.#entries = new Int32Array(2 * before.length);
    for (let at = 0; at < before.length; at += ENTRY_WORDS) {
      if (before[at + NEEDED] === 0) continue;
      const to = this.#slotOf(before[at], before[at + 1], before[at + 2], before[at + 3], before[at + LENGTH]);
      for (let i = 0; i < ENTRY_WORDS; i++) this.#entries[to + i] = before[at + i];
    }
  }

  #pruneLengths(): void {
    for (let length = 1; length <= BITS; length++) {
      this.#turns[2 * length] = this.#usedFrom(SHORTER[length]);
      this.#turns[2 * length + 1] = this.#usedFrom(LONGER[length]);
    }
    this.#top = this.#usedFrom(TOP);
  }

  /** Where no entry has the length, asking would be a miss. */
  #usedFrom(length: number): number {
    let used = length;
    while (used !== 0 && this.#countOf[used] === 0) used = SHORTER[used];
    return used;
  }

  #slotOfNode(node: number, length: number): number {
    const tree = this.#routes;
    const mask = length * 4;
    return this.#slotOf(
      tree.word(node, 0) & MASKS[mask],
      tree.word(node, 1) & MASKS[mask + 1],
      tree.word(node, 2) & MASKS[mask + 2],
      tree.word(node, 3) & MASKS[mask + 3],
      length,
    );
  }

  /** Where the entry of a prefix is, or the empty slot where it would be. A third of the slots at least are empty. */
  #slotOf(k0: number, k1: number, k2: number, k3: number, length: number): number {
    const entries = this.#entries;
    const last = entries.length - 1;
    let at = this.#home(k0, k1, k2, k3, length);
    for (;;) {
      const differing =
        (entries[at] ^ k0) |
        (entries[at + 1] ^ k1) |
        (entries[at + 2] ^ k2) |
        (entries[at + 3] ^ k3) |
        (entries[at + LENGTH] ^ length);
      // One branch for both, which is nearly always the same way.
      if ((differing & (-entries[at + NEEDED] >> 31)) === 0) break;
      at = (at + ENTRY_WORDS) & last;
    }
    return at;
  }

  /** The slot that a prefix would like to have. */
  #home(k0: number, k1: number, k2: number, k3: number, length: number): number {
    const secrets = this.#secrets;
    let sum =
      product(k0, secrets[0], secrets[1]) +
      product(k1, secrets[2], secrets[3]) +
      product(length, secrets[4], secrets[5]);
    // What a short prefix has behind is zero, whoever chose it.
    if (length > 64) sum += product(k2, secrets[6], secrets[7]) + product(k3, secrets[8], secrets[9]);
    return (finalized(sum | 0) << ENTRY_SHIFT) & (this.#entries.length - 1);
  }
}

/** Builds the tree for the lengths from `low` to `high`, and returns its top. */
function growLengths(low: number, high: number): number {
  if (low > high) return 0;
  const top = SEARCHED_FIRST.find((length) => length >= low && length <= high) ?? (low + high) >>> 1;
  SHORTER[top] = growLengths(low, top - 1);
  LONGER[top] = growLengths(top + 1, high);
  return top;
}

function entriesAt(length: number): number[] {
  const at: number[] = [];
  for (let turn = TOP; length !== 0 && turn !== 0; turn = turn < length ? LONGER[turn] : SHORTER[turn]) {
    if (turn <= length) at.push(turn);
    if (turn === length) break;
  }
  return at;
}

function missing(w0: number, w1: number, w2: number, w3: number, length: number): Result<never> {
  return failure('route-missing', `There is no route to ${formatRoute(w0, w1, w2, w3, length)}.`);
}

function formatRoute(w0: number, w1: number, w2: number, w3: number, length: number): string {
  const mask = length * 4;
  const text = formatIpWords(w0 & MASKS[mask], w1 & MASKS[mask + 1], w2 & MASKS[mask + 2], w3 & MASKS[mask + 3]);
  return `${text}/${length}`;
}
