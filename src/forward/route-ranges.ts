/**
 * Keeps the ranges of addresses that IPv6 look-ups go to (range-words.ts says what they are) as the tree of prefixes says.
 *
 * A change goes to the tree of prefixes first. Then the line that has the prefix is built anew from there, with the routes in its range only, or the table's words, when the prefix is
 * shorter than these. A line that comes to have too many ranges is split, and where there is no room for
 * its halves, or it comes to have too few, all below the line above is built anew; as lines are built with room, this is rare. A table is
 * built anew when its routes have doubled. What hangs on a line in the next window and did not change is kept.
 *
 * Bounds, for n routes: a look-up reads the root, a table and, in each window that its routes reach into, as many lines one below the other as ranges need: one
 * up to 64, two up to 2,560, never more than four. Lines take 16 bytes for a range at most and 64 for a route alone in its window: below 300 bytes a
 * route, tables another 64; with 131,072 routes of any kind 46 MiB, and 3 MiB with those of the Internet. The array can be twice that, and is doubled when it grows.
 */
import { assert } from '../base/assert.ts';
import { BlockHeap, RESERVED_WORDS } from './block-heap.ts';
import { NO_NODE, NO_VALUE, type PrefixTree } from './prefix-tree.ts';
import {
  IS_NEXT_WINDOW,
  IS_UPPER,
  LINE_PLACE_SHIFT,
  LINE_SIZE_MIN,
  lineAt,
  NEVER,
  numberIn,
  ROOT_BITS,
  rangesOf,
  shiftOfTable,
  TABLE_PLACE_SHIFT,
  tableAt,
  UNIT_SHIFT,
  usedRanges,
  WINDOW_FROM,
  WINDOW_TO,
  wordOf,
} from './range-words.ts';

const TABLE_BITS_MIN = 4;
const TABLE_BITS_MAX = 16;
/** A table is as large as leaves one word of so many to routes of its own. */
const WORDS_PER_USED = 8;
/** A table is built anew when its routes are so many times as many, or as few, as when it was built. */
const TABLE_GROWTH = 2;
const TABLE_SHRINKAGE = 4;

const LINE_RANGES_MAX = 64;
/** A line below another is built with at most so many, to have room for more; with fewer than the least it is no use. */
const LINE_RANGES_BUILT = 40;
const LINE_RANGES_MIN = 12;

/** Addresses in order, as ranges that are routed alike: where each begins, the word for it, and the node of the routes that tell its addresses apart in the next window. */
interface Ranges {
  readonly starts: number[];
  readonly words: number[];
  readonly nodes: number[];
}

/** The prefix that a change is about, and how many routes there are more. */
interface Change {
  readonly w0: number;
  readonly w1: number;
  readonly w2: number;
  readonly w3: number;
  readonly length: number;
  readonly more: -1 | 0 | 1;
}

/** Part of a window: addresses from `start` to before `end`. */
interface Span {
  readonly window: number;
  readonly start: number;
  readonly end: number;
}

export class RouteRanges {
  readonly #tree: PrefixTree;
  readonly #heap: BlockHeap = new BlockHeap();
  /** For each word of the root that names a table, how many routes are below, and how many were when it was built. */
  readonly #routes: Int32Array = new Int32Array(RESERVED_WORDS);
  readonly #routesBuilt: Int32Array = new Int32Array(RESERVED_WORDS);

  constructor(tree: PrefixTree) {
    this.#tree = tree;
  }

  /** Bytes that look-ups read from. */
  get bytes(): number {
    return (RESERVED_WORDS + this.#heap.used) * 4;
  }

  /** What the longest route that covers the address, the default one aside, leads to, as `~value`; 0: there is none. */
  lookup(w0: number, w1: number, w2: number, w3: number): number {
    return wordOf(this.#heap.words, w0, w1, w2, w3);
  }

  /** Brings up to date what depends on a route that came (`more` is 1), went (-1) or leads elsewhere (0), after the tree. Not for the default route. */
  update(w0: number, w1: number, w2: number, w3: number, length: number, more: -1 | 0 | 1): void {
    assert(length > 0, 'the default route is not among the ranges');
    const change: Change = { w0, w1, w2, w3, length, more };
    if (this.#heap.isSparse) this.#startOver();
    else if (length <= ROOT_BITS) this.#refill(change, 0, ROOT_BITS, 0);
    else this.#updateBelowRoot(change, w0 >>> ROOT_BITS);
  }

  #startOver(): void {
    this.#heap.clear();
    for (const node of [this.#tree.left[0], this.#tree.right[0]]) this.#fill(node, 0, 0, ROOT_BITS, 0);
  }

  #updateBelowRoot(change: Change, slot: number): void {
    const { words } = this.#heap;
    const word = words[slot];
    this.#routes[slot] += change.more;
    const routes = this.#routes[slot];
    const built = this.#routesBuilt[slot];
    if (word <= 0 || routes === 0 || routes > TABLE_GROWTH * built || TABLE_SHRINKAGE * routes < built) {
      this.#refill({ ...change, length: ROOT_BITS }, 0, ROOT_BITS, 0);
      return;
    }
    const bits = ROOT_BITS - shiftOfTable(word);
    const table = tableAt(word);
    if (change.length < ROOT_BITS + bits) {
      this.#refill(change, ROOT_BITS, bits, table);
      return;
    }
    const at = table + ((change.w0 & 0xffff) >>> (ROOT_BITS - bits));
    // May move the words.
    const updated = this.#updated(words[at], spanOfSlot(change.w0, bits), change);
    this.#heap.words[at] = updated;
  }

  /** Builds anew what is below the words of the root, or of a table, that a prefix covers. */
  #refill(change: Change, from: number, bits: number, at: number): void {
    const tree = this.#tree;
    const { w0, w1, w2, w3, length } = change;
    const count = 1 << (from + bits - length);
    const first = ((w0 << from) >>> (32 - bits)) & -count;
    const inherited = this.#wordOf(tree.covering(w0, w1, w2, w3, length));
    for (let i = at + first; i < at + first + count; i++) {
      if (from === 0) this.#freeTable(this.#heap.words[i]);
      else this.#freeLines(this.#heap.words[i]);
      this.#heap.words[i] = inherited;
    }
    this.#fill(tree.under(w0, w1, w2, w3, length), inherited, from, bits, at);
  }

  /** Gives the words of the root, or of a table, to the routes from `node` on. */
  #fill(node: number, inherited: number, from: number, bits: number, at: number): void {
    if (node === NO_NODE) return;
    const tree = this.#tree;
    const w0 = tree.word(node, 0);
    const length = tree.length[node];
    const slot = at + ((w0 << from) >>> (32 - bits));
    const own = this.#ownWord(node, inherited);
    if (length > from + bits || (length === from + bits && !this.#isLast(node))) {
      const above = length === from + bits ? own : inherited;
      const word = from === 0 ? this.#buildTable(node, above, slot) : this.#build(node, above, spanOfSlot(w0, bits));
      // Building may have moved the words.
      this.#heap.words[slot] = word;
      return;
    }
    if (tree.value[node] !== NO_VALUE) this.#heap.words.fill(own, slot, slot + (1 << (from + bits - length)));
    this.#fill(tree.left[node], own, from, bits, at);
    this.#fill(tree.right[node], own, from, bits, at);
  }

  #buildTable(node: number, inherited: number, slot: number): number {
    const bits = this.#tableBits(node);
    const at = this.#heap.allocate(bits);
    const routes = this.#countRoutes(node);
    this.#routes[slot] = routes;
    this.#routesBuilt[slot] = routes;
    this.#heap.words.fill(inherited, at, at + (1 << bits));
    this.#fill(node, inherited, ROOT_BITS, bits, at);
    return ((at >>> UNIT_SHIFT) << TABLE_PLACE_SHIFT) | (ROOT_BITS - bits);
  }

  #tableBits(node: number): number {
    const changes = new Int32Array(TABLE_BITS_MAX + 2);
    this.#countUsed(node, 0, changes);
    let best = TABLE_BITS_MIN;
    let used = 0;
    for (let bits = 1; bits <= TABLE_BITS_MAX; bits++) {
      used += changes[bits];
      if (bits > TABLE_BITS_MIN && used * WORDS_PER_USED >= 1 << bits) best = bits;
    }
    return best;
  }

  /** Notes from which size on a table has a word more for the routes of `node`, which they do not share with others, and from which on one less. */
  #countUsed(node: number, above: number, changes: Int32Array): void {
    if (node === NO_NODE || above >= TABLE_BITS_MAX) return;
    const tree = this.#tree;
    const bits = Math.min(TABLE_BITS_MAX, tree.length[node] - ROOT_BITS);
    changes[above + 1]++;
    changes[bits + 1]--;
    this.#countUsed(tree.left[node], bits, changes);
    this.#countUsed(tree.right[node], bits, changes);
  }

  #countRoutes(node: number): number {
    if (node === NO_NODE) return 0;
    const { left, right, length, value } = this.#tree;
    const own = value[node] === NO_VALUE || length[node] <= ROOT_BITS ? 0 : 1;
    return own + this.#countRoutes(left[node]) + this.#countRoutes(right[node]);
  }

  /** The word for a span, all of whose routes are those from `node` on: lines, or what it is routed to as a whole. */
  #build(node: number, inherited: number, span: Span): number {
    return this.#assemble(this.#divide(node, inherited, span), span.window, NOTHING_KEPT);
  }

  /** The word for a span after a change within. */
  #updated(word: number, span: Span, change: Change): number {
    const updated = word <= 0 ? undefined : this.#updatedLine(word, span, change, false);
    return updated ?? this.#rebuilt(word, span, change, this.#divideAnew(span, change));
  }

  /** The same for one line and those below; `undefined` where the line above should be built anew. */
  #updatedLine(word: number, span: Span, change: Change, isBelow: boolean): number | undefined {
    const { window, start, end } = span;
    const at = lineAt(word);
    const ranges = rangesOf(word);
    const count = usedRanges(this.#heap.words, at, ranges);
    const first = numberIn(window, change.w0, change.w1, change.w2, change.w3);
    const size = 2 ** Math.max(0, WINDOW_TO[window] - change.length);
    let index = 0;
    while (index + 1 < count && this.#heap.words[at + index + 1] <= first) index++;
    const below = this.#heap.words[at + ranges + index];
    const belowStart = index === 0 ? start : this.#heap.words[at + index];
    const belowEnd = index + 1 < count ? this.#heap.words[at + index + 1] : end;
    if (below >= IS_NEXT_WINDOW && change.length > WINDOW_TO[window]) {
      const updated = this.#updated(below & ~IS_NEXT_WINDOW, wholeOf(window + 1), change);
      this.#replaceIn(at + ranges, ranges, below, updated > 0 ? updated | IS_NEXT_WINDOW : updated);
      if (updated > 0) return word;
    } else if ((word & IS_UPPER) !== 0 && (first & -size) >= belowStart && (first & -size) + size <= belowEnd) {
      const belowSpan: Span = { window, start: belowStart, end: belowEnd };
      const updated = this.#updatedLine(below, belowSpan, change, true);
      if (updated !== undefined) {
        this.#replaceIn(at + ranges, ranges, below, updated);
        return word;
      }
      const split = this.#split(word, index, belowSpan, change);
      if (split !== undefined) return split;
    }
    if (!isBelow) return undefined;
    const divided = this.#divideAnew(span, change);
    const unit = LINE_RANGES_BUILT ** this.#heightOf(word);
    if (divided.starts.length > LINE_RANGES_MAX * unit || divided.starts.length < LINE_RANGES_MIN * unit)
      return undefined;
    return this.#rebuilt(word, span, change, divided);
  }

  /** An upper line with two lines in place of one below that has too many ranges; `undefined` where that is not so, or there is no room. */
  #split(word: number, index: number, belowSpan: Span, change: Change): number | undefined {
    const at = lineAt(word);
    const ranges = rangesOf(word);
    const count = usedRanges(this.#heap.words, at, ranges);
    const below = this.#heap.words[at + ranges + index];
    const divided = this.#divideAnew(belowSpan, change);
    const total = divided.starts.length;
    if (count === LINE_RANGES_MAX || total <= LINE_RANGES_MAX * LINE_RANGES_BUILT ** this.#heightOf(below)) {
      return undefined;
    }
    this.#resolve(divided, belowSpan.window, this.#freeAndKeep(below, belowSpan.window, change));
    const half = total >>> 1;
    const halves = [this.#assemblePart(divided, 0, half), this.#assemblePart(divided, half, total)];
    const starts = [...this.#heap.words.subarray(at, at + count)];
    const words = [...this.#heap.words.subarray(at + ranges, at + ranges + count)];
    starts.splice(index + 1, 0, divided.starts[half]);
    words.splice(index, 1, ...halves);
    this.#heap.free(at, 1 + Math.log2(ranges));
    return this.#buildLine(starts, words) | IS_UPPER;
  }

  #replaceIn(at: number, count: number, before: number, after: number): void {
    const { words } = this.#heap;
    for (let i = at; i < at + count; i++) if (words[i] === before) words[i] = after;
  }

  /** How many lines there are below a line, one below the other. */
  #heightOf(word: number): number {
    return (word & IS_UPPER) === 0 ? 0 : 1 + this.#heightOf(this.#heap.words[lineAt(word) + rangesOf(word)]);
  }

  /** New lines in place of those of `word`; what hangs on them and is not what changed is kept. */
  #rebuilt(word: number, { window }: Span, change: Change, ranges: Ranges): number {
    return this.#assemble(ranges, window, this.#freeAndKeep(word, window, change));
  }

  /** Gives lines back, but those of the next window that have nothing to do with a change: these it returns, by the number that they hang on. */
  #freeAndKeep(word: number, window: number, change: Change): Map<number, number> {
    const kept: Map<number, number> = new Map();
    const size = 2 ** Math.max(0, WINDOW_TO[window] - change.length);
    const first = numberIn(window, change.w0, change.w1, change.w2, change.w3) & -size;
    this.#freeLines(word, (start, later) => {
      if (start >= first && start < first + size) return false;
      kept.set(start, later);
      return true;
    });
    return kept;
  }

  #divideAnew(span: Span, change: Change): Ranges {
    const { window, start, end } = span;
    const tree = this.#tree;
    const [w0, w1, w2, w3] = addressIn(window, start, change);
    const length = WINDOW_TO[window] - (32 - Math.clz32(start ^ (end - 1)));
    const covering = this.#wordOf(tree.covering(w0, w1, w2, w3, length));
    return this.#divide(tree.under(w0, w1, w2, w3, length), covering, span);
  }

  #divide(node: number, inherited: number, span: Span): Ranges {
    const ranges: Ranges = { starts: [], words: [], nodes: [] };
    mark(ranges, span.start, inherited, NO_NODE);
    this.#sweep(ranges, node, inherited, span);
    return ranges;
  }

  #sweep(ranges: Ranges, node: number, inherited: number, span: Span): void {
    if (node === NO_NODE) return;
    const tree = this.#tree;
    const length = tree.length[node];
    const to = WINDOW_TO[span.window];
    const start = numberIn(span.window, tree.word(node, 0), tree.word(node, 1), tree.word(node, 2), tree.word(node, 3));
    // A prefix from before the window has all of it.
    const end = length < WINDOW_FROM[span.window] ? span.end : start + 2 ** Math.max(0, to - length);
    if (end <= span.start || start >= span.end) return;
    const own = this.#ownWord(node, inherited);
    if (length > to || (length === to && !this.#isLast(node))) {
      mark(ranges, start, length === to ? own : inherited, node);
    } else {
      mark(ranges, Math.max(start, span.start), own, NO_NODE);
      this.#sweep(ranges, tree.left[node], own, span);
      this.#sweep(ranges, tree.right[node], own, span);
    }
    if (end < span.end) mark(ranges, end, inherited, NO_NODE);
  }

  #assemble(ranges: Ranges, window: number, kept: Map<number, number>): number {
    this.#resolve(ranges, window, kept);
    const { starts, words } = ranges;
    return starts.length === 1 && words[0] <= 0 ? words[0] : this.#assemblePart(ranges, 0, starts.length);
  }

  /** Gives ranges that go on in the next window the words for that: lines that were kept, or new ones. */
  #resolve({ starts, words, nodes }: Ranges, window: number, kept: Map<number, number>): void {
    for (let i = 0; i < starts.length; i++) {
      if (nodes[i] === NO_NODE) continue;
      const later = kept.get(starts[i]);
      kept.delete(starts[i]);
      if (later !== undefined) {
        words[i] = later;
      } else {
        const word = this.#build(nodes[i], words[i], wholeOf(window + 1));
        words[i] = word > 0 ? word | IS_NEXT_WINDOW : word;
      }
    }
    for (const later of kept.values()) this.#freeLines(later & ~IS_NEXT_WINDOW);
  }

  #assemblePart({ starts, words }: Ranges, low: number, high: number): number {
    const count = high - low;
    if (count <= LINE_RANGES_MAX) return this.#buildLine(starts.slice(low, high), words.slice(low, high));
    let unit = LINE_RANGES_BUILT;
    while (unit * LINE_RANGES_MAX < count) unit *= LINE_RANGES_BUILT;
    const parts = Math.ceil(count / unit);
    const partStarts: number[] = [];
    const partWords: number[] = [];
    for (let i = 0; i < parts; i++) {
      const from = low + Math.floor((count * i) / parts);
      const to = low + Math.floor((count * (i + 1)) / parts);
      partStarts.push(starts[from]);
      partWords.push(this.#assemblePart({ starts, words, nodes: [] }, from, to));
    }
    return this.#buildLine(partStarts, partWords) | IS_UPPER;
  }

  #buildLine(starts: readonly number[], values: readonly number[]): number {
    const shift = 32 - Math.clz32(Math.max(LINE_SIZE_MIN, starts.length) - 1);
    const ranges = 1 << shift;
    const at = this.#heap.allocate(shift + 1);
    const { words } = this.#heap;
    for (let i = 0; i < ranges; i++) {
      const isUsed = i < starts.length;
      words[at + i] = isUsed ? starts[i] : NEVER;
      // The last address of all does not come before where ranges that are not there begin.
      words[at + ranges + i] = isUsed ? values[i] : values[values.length - 1];
    }
    return ((at >>> UNIT_SHIFT) << LINE_PLACE_SHIFT) | (ranges - LINE_SIZE_MIN);
  }

  #freeTable(word: number): void {
    if (word <= 0) return;
    const at = tableAt(word);
    const bits = ROOT_BITS - shiftOfTable(word);
    for (let i = at; i < at + (1 << bits); i++) this.#freeLines(this.#heap.words[i]);
    this.#heap.free(at, bits);
  }

  /** Gives lines back, and those of later windows but what `keep` keeps. */
  #freeLines(word: number, keep: (start: number, later: number) => boolean = keepNothing): void {
    if (word <= 0) return;
    const { words } = this.#heap;
    const at = lineAt(word);
    const ranges = rangesOf(word);
    const count = usedRanges(words, at, ranges);
    for (let i = 0; i < count; i++) {
      const below = words[at + ranges + i];
      if (below < IS_NEXT_WINDOW) this.#freeLines(below, keep);
      else if (!keep(words[at + i], below)) this.#freeLines(below & ~IS_NEXT_WINDOW);
    }
    this.#heap.free(at, 1 + Math.log2(ranges));
  }

  #isLast(node: number): boolean {
    return this.#tree.left[node] === NO_NODE && this.#tree.right[node] === NO_NODE;
  }

  #ownWord(node: number, inherited: number): number {
    return this.#tree.value[node] === NO_VALUE ? inherited : ~this.#tree.value[node];
  }

  #wordOf(node: number): number {
    return node === NO_NODE || this.#tree.length[node] === 0 ? 0 : ~this.#tree.value[node];
  }
}

const NOTHING_KEPT: Map<number, number> = new Map();

function keepNothing(): boolean {
  return false;
}

/** From `start` on, and until the next mark, addresses are routed as `word` says. Marks come in order; of several at one place the last one counts. */
function mark(ranges: Ranges, start: number, word: number, node: number): void {
  const { starts, words, nodes } = ranges;
  let last = starts.length - 1;
  if (last >= 0 && starts[last] === start) {
    starts.pop();
    words.pop();
    nodes.pop();
    last--;
  }
  if (last >= 0 && node === NO_NODE && nodes[last] === NO_NODE && words[last] === word) return;
  starts.push(start);
  words.push(word);
  nodes.push(node);
}

/** What is behind a table's word, where the table is for `bits` bits. */
function spanOfSlot(w0: number, bits: number): Span {
  const size = 2 ** (WINDOW_TO[0] - ROOT_BITS - bits);
  const start = ((w0 & 0x7fff) << 16) & -size;
  return { window: 0, start, end: start + size };
}

function wholeOf(window: number): Span {
  return { window, start: 0, end: 2 ** (WINDOW_TO[window] - WINDOW_FROM[window]) };
}

/** The address that has some bits in a window, those of another before it, and zeros behind. */
function addressIn(window: number, number: number, { w0, w1, w2, w3 }: Change): [number, number, number, number] {
  if (window === 0) return [(w0 & ~0x7fff) | (number >>> 16), number << 16, 0, 0];
  if (window === 1) return [w0, (w1 & ~0xffff) | (number >>> 15), number << 17, 0];
  if (window === 2) return [w0, w1, (w2 & ~0x1_ffff) | (number >>> 14), number << 18];
  return [w0, w1, w2, (w3 & ~0x3_ffff) | number];
}
