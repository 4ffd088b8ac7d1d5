/**
 * The routes of IPv4: longest-prefix match (RFC 1812, section 5.2.4.3) in at most three steps, however many routes there are.
 *
 * A look-up goes by 16, 8 and 8 bits of the address. `#root` has one word for each of the 65,536 first halves. It says to what the addresses with this
 * half are routed when all are routed to the same; otherwise it names a block that tells them apart, which is one of
 *
 * - a line: the addresses as up to 8 ranges, each routed to one value, in 16 words, as many as a line of the processor's cache has:
 *   words 0 to 6 are where ranges 1 to 7 begin (range 0 begins at 0), words 8 to 15 the eight values;
 * - a table: 256 words for the next 8 bits, each of which is a value again or, after the first 8, names a line or a table.
 *
 * | word         | is                                                                                |
 * | ------------ | --------------------------------------------------------------------------------- |
 * | 0            | not routed, except by the default route                                           |
 * | below 0      | routed to the value `~word`                                                       |
 * | above 0      | a block: twice its number, plus 1 for a table                                     |
 *
 * Why lines: with tables alone each of 100,000 routes that are far from each other needs a kibibyte, 50 MiB together, and nearly every look-up waits for
 * memory. A line holds what a few routes need; the same routes lie in 7 MiB. A table stands only where there are four routes or more, so that the most
 * routes that there may be need 64 MiB in the worst case. Why not ranges alone, with a binary search (as DXR): thousands of hosts in
 * one /16, which is what networks of containers are, would make it long, and each change would move them all.
 *
 * A change goes to the tree of prefixes first; then what depends on it is built anew from there: one word of a table or of the root for
 * a long prefix, several for a short one. So removal needs no memory of what a route had hidden. The default route is kept beside all this.
 */
import { formatIpv4, prefixMask } from '../base/address.ts';
import { assert } from '../base/assert.ts';
import { ROUTES_MAX } from '../base/limits.ts';
import { failure, type Result, success } from '../base/result.ts';
import { BlockPool } from './block-pool.ts';
import { NO_NODE, NO_VALUE, PrefixTree } from './prefix-tree.ts';

export interface Route4 {
  /** The first address of the prefix. */
  readonly address: number;
  readonly length: number;
  readonly value: number;
}

const LINE_RANGES = 8;
const LINE_WORDS = 16;
const LINE_VALUES = 8;
const TABLE_WORDS = 256;
const IS_TABLE = 1;
/** Begins behind every address: a range that a line does not need. */
const NEVER = 0x1_0000;
/** As many routes cannot make more ranges than a line holds. */
const LINE_ROUTES = 3;

export class Fib4 {
  readonly #routes: PrefixTree = new PrefixTree(1);
  readonly #root: Int32Array = new Int32Array(0x1_0000);
  readonly #lines: BlockPool = new BlockPool(LINE_WORDS);
  readonly #tables: BlockPool = new BlockPool(TABLE_WORDS);
  #default: number = NO_VALUE;
  /** Scratch for building a block: where each range begins, and the word that stands for its value. */
  readonly #starts: number[] = [];
  readonly #words: number[] = [];

  /** How many routes there are. */
  get count(): number {
    return this.#routes.count;
  }

  /** Bytes that look-ups read from, for tests and for those who want to know. */
  get lookupBytes(): number {
    return (this.#root.length + this.#lines.used * LINE_WORDS + this.#tables.used * TABLE_WORDS) * 4;
  }

  /** The value of the longest prefix that covers the address, or -1. */
  lookup(address: number): number {
    let word = this.#root[address >>> 16];
    if (word > 0) {
      let rest = address & 0xffff;
      if ((word & IS_TABLE) !== 0) {
        const tables = this.#tables.words;
        word = tables[((word >>> 1) << 8) | (rest >>> 8)];
        rest &= 0xff;
        if (isTable(word)) word = tables[((word >>> 1) << 8) | rest];
      }
      if (word > 0) word = rangeWord(this.#lines.words, (word >>> 1) << 4, rest);
    }
    return word === 0 ? this.#default : ~word;
  }

  /** The value of exactly this prefix, or -1. */
  get(address: number, length: number): number {
    const node = this.#routes.find(address, 0, 0, 0, length);
    return node === NO_NODE ? NO_VALUE : this.#routes.value[node];
  }

  /** Adds a route to a number from 0; bits of the address behind the length make no difference. */
  insert(address: number, length: number, value: number): Result<void> {
    if (this.#routes.find(address, 0, 0, 0, length) !== NO_NODE) {
      return failure(
        'route-exists',
        `There is a route to ${formatRoute(address, length)} already; replace or remove it.`,
      );
    }
    if (this.#routes.count >= ROUTES_MAX) {
      return failure(
        'routes-full',
        `No route to ${formatRoute(address, length)}: the table is full with ${ROUTES_MAX} IPv4 routes; remove some first.`,
      );
    }
    this.#routes.insert(address, 0, 0, 0, length, value);
    this.#rebuild(address, length);
    return success(undefined);
  }

  /** Gives a route that is there another value. Returns the earlier one. */
  replace(address: number, length: number, value: number): Result<number> {
    assert(value >= 0, 'a route leads to a number from 0');
    const node = this.#routes.find(address, 0, 0, 0, length);
    if (node === NO_NODE) return missing(address, length);
    const before = this.#routes.value[node];
    this.#routes.value[node] = value;
    if (value !== before) this.#rebuild(address, length);
    return success(before);
  }

  /** Returns the value that the route had. */
  remove(address: number, length: number): Result<number> {
    const node = this.#routes.find(address, 0, 0, 0, length);
    if (node === NO_NODE) return missing(address, length);
    const before = this.#routes.value[node];
    this.#routes.remove(node);
    this.#rebuild(address, length);
    return success(before);
  }

  /** All routes by address, then from the shortest prefix to the longest. No change is made while it runs. */
  *routes(): Generator<Route4, void, undefined> {
    const tree = this.#routes;
    for (let node = tree.next(NO_NODE); node !== NO_NODE; node = tree.next(node)) {
      yield { address: tree.word(node, 0), length: tree.length[node], value: tree.value[node] };
    }
  }

  /** Brings up to date what depends on the routes from this prefix on. */
  #rebuild(prefix: number, length: number): void {
    if (length === 0) {
      this.#default = this.get(0, 0);
      return;
    }
    const first = (prefix & prefixMask(length)) >>> 16;
    const last = first | (length < 16 ? 0xffff >>> length : 0);
    if (first === last && this.#rebuildInTable(prefix, length)) return;
    for (let half = first; half <= last; half++) {
      this.#freeBlock(this.#root[half]);
      this.#root[half] = this.#describe(half << 16, 16);
    }
  }

  /** Replaces the one word of a table that depends on a long prefix; false where there is no such table, or few routes are left for it. */
  #rebuildInTable(prefix: number, length: number): boolean {
    const { words } = this.#tables;
    let word = this.#root[prefix >>> 16];
    let at = -1;
    let bits = 16;
    while (length >= bits + 8 && isTable(word) && this.#isMany(prefix, bits)) {
      at = ((word >>> 1) << 8) | ((prefix >>> (24 - bits)) & 0xff);
      word = words[at];
      bits += 8;
    }
    if (at < 0) return false;
    this.#freeBlock(word);
    // This may move the tables.
    const described = this.#describe(prefix, bits);
    this.#tables.words[at] = described;
    return true;
  }

  /** Whether there are more routes for the addresses with these first `bits` than a line is sure to hold. */
  #isMany(address: number, bits: number): boolean {
    return this.#countRoutes(this.#routes.under(address, 0, 0, 0, bits), LINE_ROUTES + 1) > LINE_ROUTES;
  }

  /** Counts the routes from a node on, up to `most`. */
  #countRoutes(node: number, most: number): number {
    if (node === NO_NODE || most <= 0) return 0;
    const { left, right, value } = this.#routes;
    let count = value[node] === NO_VALUE ? 0 : 1;
    count += this.#countRoutes(left[node], most - count);
    return count + this.#countRoutes(right[node], most - count);
  }

  /** The word for all addresses that share the first `length` bits with this one: 16, 24 or 32. Makes the blocks that it needs. */
  #describe(address: number, length: number): number {
    const tree = this.#routes;
    const covering = tree.covering(address, 0, 0, 0, length);
    const inherited = covering === NO_NODE || tree.length[covering] === 0 ? 0 : ~tree.value[covering];
    const top = tree.under(address, 0, 0, 0, length);
    if (top === NO_NODE) return inherited;
    this.#starts.length = 0;
    this.#words.length = 0;
    this.#mark(0, inherited);
    this.#sweep(top, inherited, 0x1_0000_0000 / 2 ** length);
    return this.#build(0, 32 - length, 0);
  }

  /** Marks where, among `addresses`, ranges begin because of the routes from `node` on. */
  #sweep(node: number, inherited: number, addresses: number): void {
    if (node === NO_NODE) return;
    const tree = this.#routes;
    const start = tree.word(node, 0) & (addresses - 1);
    const end = start + 0x1_0000_0000 / 2 ** tree.length[node];
    const own = tree.value[node] === NO_VALUE ? inherited : ~tree.value[node];
    this.#mark(start, own);
    this.#sweep(tree.left[node], own, addresses);
    this.#sweep(tree.right[node], own, addresses);
    if (end < addresses) this.#mark(end, inherited);
  }

  /** From `start` on, and until the next mark, addresses are routed as `word` says. Marks come in order; of several at one place the last one counts. */
  #mark(start: number, word: number): void {
    let last = this.#starts.length - 1;
    if (last >= 0 && this.#starts[last] === start) {
      this.#starts.pop();
      this.#words.pop();
      last--;
    }
    if (last >= 0 && this.#words[last] === word) return;
    this.#starts.push(start);
    this.#words.push(word);
  }

  /** The word for the 2^`bits` addresses from `from` on, of which the range `first` or a later one holds the first one. */
  #build(from: number, bits: number, first: number): number {
    const starts = this.#starts;
    const end = from + (1 << bits);
    let low = first;
    while (low + 1 < starts.length && starts[low + 1] <= from) low++;
    let ranges = 1;
    while (ranges <= LINE_RANGES && low + ranges < starts.length && starts[low + ranges] < end) ranges++;
    if (ranges === 1) return this.#words[low];
    return ranges <= LINE_RANGES ? this.#buildLine(from, low, ranges) : this.#buildTable(from, bits - 8, low);
  }

  #buildLine(from: number, low: number, ranges: number): number {
    const line = this.#lines.allocate();
    const { words } = this.#lines;
    const at = line * LINE_WORDS;
    for (let i = 0; i < LINE_RANGES; i++) {
      if (i > 0) words[at + i - 1] = i < ranges ? this.#starts[low + i] - from : NEVER;
      words[at + LINE_VALUES + i] = i < ranges ? this.#words[low + i] : 0;
    }
    return line * 2;
  }

  #buildTable(from: number, bitsBehind: number, low: number): number {
    const table = this.#tables.allocate();
    let range = low;
    for (let i = 0; i < TABLE_WORDS; i++) {
      const start = from + (i << bitsBehind);
      while (range + 1 < this.#starts.length && this.#starts[range + 1] <= start) range++;
      // Building one may move the tables.
      const word = this.#build(start, bitsBehind, range);
      this.#tables.words[table * TABLE_WORDS + i] = word;
    }
    return table * 2 + IS_TABLE;
  }

  /** Gives back the block that a word names, and those below. */
  #freeBlock(word: number): void {
    if (word <= 0) return;
    const block = word >>> 1;
    if ((word & IS_TABLE) === 0) {
      this.#lines.free(block);
      return;
    }
    for (let i = 0; i < TABLE_WORDS; i++) this.#freeBlock(this.#tables.words[block * TABLE_WORDS + i]);
    this.#tables.free(block);
  }
}

function isTable(word: number): boolean {
  return word > 0 && (word & IS_TABLE) !== 0;
}

/** The word of the range of a line that holds an address: three steps of a binary search, without branches. */
function rangeWord(lines: Int32Array, line: number, rest: number): number {
  // A difference is negative, its top bit 1, when the range begins at or before the address.
  let index = ((lines[line + 3] - rest - 1) >>> 31) << 2;
  index += ((lines[line + index + 1] - rest - 1) >>> 31) << 1;
  index += (lines[line + index] - rest - 1) >>> 31;
  return lines[line + LINE_VALUES + index];
}

function missing(address: number, length: number): Result<never> {
  return failure('route-missing', `There is no route to ${formatRoute(address, length)}.`);
}

function formatRoute(address: number, length: number): string {
  return `${formatIpv4(address & prefixMask(length))}/${length}`;
}
