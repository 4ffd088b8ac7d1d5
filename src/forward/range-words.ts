/**
 * What IPv6 addresses are routed to, as sorted ranges, so that a look-up in 100,000 routes reads few lines of the processor's cache, one after the other.
 *
 * The first 16 bits of an address choose a word of the root. It says to what these addresses are routed, or names a table for the next 4 to 16
 * bits, as many as the routes there are worth. A word of the table says again to what, or names a line: 8, 16, 32 or 64 ranges of the
 * bits that follow, first the numbers at which they begin, then their words. More ranges than that make a tree of lines (a B-tree): the words of an upper line
 * name lines below. A line compares 31 bits, a window; where routes are longer, a range of one number goes on in the next window, with a tree of its own.
 *
 * | window      | 1        | 2        | 3         | 4          |
 * | ----------- | -------- | -------- | --------- | ---------- |
 * | bits from   | 17       | 48       | 79        | 110        |
 * | to before   | 48       | 79       | 110       | 128        |
 *
 * | word of the root, a table or a line | is                                                                                             |
 * | ----------------------------------- | ---------------------------------------------------------------------------------------------- |
 * | 0                                   | not routed, except by the default route, which is not known here                               |
 * | below 0                             | routed to the value `~word`                                                                    |
 * | above 0, of the root                | a table: bits 0-4: 16 less the bits that it is for; from bit 5: its place in units of 16 words |
 * | above 0, else                       | a line: bit 0: an upper one; bits 3-5: its ranges less 8; from bit 6: its place; bit 30: of the next window |
 *
 * Ranges that a line does not need begin at the last number there is and have the word of the last range that it needs.
 */
export const ROOT_BITS: number = 16;
/** A table's place, counted in units of 16 words, is behind 5 bits of its name, a line's behind 6. */
export const UNIT_SHIFT: number = 4;
export const TABLE_PLACE_SHIFT: number = 5;
export const LINE_PLACE_SHIFT: number = 6;

/** Addresses below one word of a table have bit 16 in common, at least: the first window need not begin before 17. */
export const WINDOW_FROM: readonly number[] = [17, 48, 79, 110];
export const WINDOW_TO: readonly number[] = [48, 79, 110, 128];

/** In the name of a line: there are others below, of the same window. */
export const IS_UPPER: number = 1;
/** In the name of a line: it is the first of the next window. */
export const IS_NEXT_WINDOW: number = 1 << 30;
const LINE_SIZE_MASK = 56;
export const LINE_SIZE_MIN: number = 8;
/** Where ranges begin that a line does not need. */
export const NEVER: number = 0x7fff_ffff;

/** What the longest route that covers an address leads to, as `~value`, the default route aside; 0: there is none. */
export function wordOf(words: Int32Array, w0: number, w1: number, w2: number, w3: number): number {
  let word = words[w0 >>> ROOT_BITS];
  if (word <= 0) return word;
  // Like `tableAt` and `shiftOfTable`; written out, and made unsigned, as a look-up is worth it.
  word = words[(((word >>> 1) & -16) + ((w0 & 0xffff) >>> (word & 31))) >>> 0];
  if (word <= 0) return word;
  const before = ~(((w0 & 0x7fff) << 16) | (w1 >>> 16));
  while ((word & IS_UPPER) !== 0) word = wordInLine(words, word, before);
  word = wordInLine(words, word, before);
  return word <= 0 ? word : wordInLater(words, word, w1, w2, w3);
}

/** The word that some lines have for a number of their window: that of a route, or of a line of the next window. */
function wordInLines(words: Int32Array, line: number, number: number): number {
  let word = line;
  while ((word & IS_UPPER) !== 0) word = wordInLine(words, word, ~number);
  return wordInLine(words, word, ~number);
}

/** The same in all windows from the second on. */
function wordInLater(words: Int32Array, line: number, w1: number, w2: number, w3: number): number {
  let word = line;
  for (let window = 1; word > 0; window++) {
    word = wordInLines(words, word & ~IS_NEXT_WINDOW, numberIn(window, 0, w1, w2, w3));
  }
  return word;
}

/**
 * The word that a line has for a number, of which `before` is the complement: a binary search of six steps for lines of all sizes, without branches.
 * The complement added is negative when the range begins at or before the number.
 */
function wordInLine(words: Int32Array, line: number, before: number): number {
  let at = (line >>> 2) & -16;
  at += line & 32 & ((words[(at + (line & 32)) >>> 0] + before) >> 31);
  at += line & 16 & ((words[(at + (line & 16)) >>> 0] + before) >> 31);
  at += line & 8 & ((words[(at + (line & 8)) >>> 0] + before) >> 31);
  at += 4 & ((words[(at + 4) >>> 0] + before) >> 31);
  at += 2 & ((words[(at + 2) >>> 0] + before) >> 31);
  at += 1 & ((words[(at + 1) >>> 0] + before) >> 31);
  return words[(at + (line & 56) + 8) >>> 0];
}

/** How many ranges of a line are needed. */
export function usedRanges(words: Int32Array, at: number, ranges: number): number {
  let count = ranges;
  while (
    count > 1 &&
    words[at + count - 1] === NEVER &&
    words[at + ranges + count - 1] === words[at + ranges + count - 2]
  )
    count--;
  return count;
}

export function lineAt(word: number): number {
  return ((word & ~IS_NEXT_WINDOW) >>> LINE_PLACE_SHIFT) << UNIT_SHIFT;
}

export function rangesOf(word: number): number {
  return (word & LINE_SIZE_MASK) + LINE_SIZE_MIN;
}

export function tableAt(word: number): number {
  return (word >>> TABLE_PLACE_SHIFT) << UNIT_SHIFT;
}

/** By how much the bits behind the root's are shifted for the table's. */
export function shiftOfTable(word: number): number {
  return word & ((1 << TABLE_PLACE_SHIFT) - 1);
}

/** The bits of an address in a window, as a number. */
export function numberIn(window: number, w0: number, w1: number, w2: number, w3: number): number {
  if (window === 0) return ((w0 & 0x7fff) << 16) | (w1 >>> 16);
  if (window === 1) return ((w1 & 0xffff) << 15) | (w2 >>> 17);
  if (window === 2) return ((w2 & 0x1_ffff) << 14) | (w3 >>> 18);
  return w3 & 0x3_ffff;
}
