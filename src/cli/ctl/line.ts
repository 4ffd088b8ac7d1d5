/**
 * A line of `tapster ctl` in words. White space separates; quotes, single or double, hold a word with white space together; `#` in front of a word begins a
 * comment; `--json` is taken out wherever it stands.
 */

export interface Line {
  readonly words: readonly LineWord[];
  readonly json: boolean;
  /** Columns count from 1; behind the last word. */
  readonly end: number;
  /** A quote that is never closed. */
  readonly openQuote: number | undefined;
}

export interface LineWord {
  readonly text: string;
  /** Counts from 1. */
  readonly column: number;
  /** Never a word of the grammar, always a value. */
  readonly quoted: boolean;
}

const JSON_WORD = '--json';

/** More words than any command has. */
const WORDS_MAX = 1024;

export function readLine(text: string): Line {
  const words: LineWord[] = [];
  let openQuote: number | undefined;
  let at = 0;
  while (words.length < WORDS_MAX) {
    while (at < text.length && isSpace(text[at]!)) at++;
    if (at >= text.length || text[at] === '#') break;
    const column = at + 1;
    let word = '';
    let quoted = false;
    while (at < text.length && !isSpace(text[at]!)) {
      const character = text[at]!;
      if (character !== '"' && character !== "'") {
        word += character;
        at++;
        continue;
      }
      quoted = true;
      const close = text.indexOf(character, at + 1);
      if (close < 0) openQuote = at + 1;
      word += text.slice(at + 1, close < 0 ? text.length : close);
      at = close < 0 ? text.length : close + 1;
    }
    words.push({ text: word, column, quoted });
  }
  return withoutJson(words, at + 1, openQuote);
}

/** Words that the shell has split already; one alone is a whole line: `tapster ctl 'show interface'`. */
export function lineOfWords(args: readonly string[]): Line {
  if (args.length === 1) return readLine(args[0]!);
  let column = 1;
  const words = args.map((text) => {
    const word = { text, column, quoted: text === '' || /\s/.test(text) };
    column += text.length + 1;
    return word;
  });
  return withoutJson(words, Math.max(1, column - 1), undefined);
}

function withoutJson(all: readonly LineWord[], end: number, openQuote: number | undefined): Line {
  const words = all.filter(({ text, quoted }) => quoted || text !== JSON_WORD);
  return { words, json: words.length < all.length, end, openQuote };
}

function isSpace(character: string): boolean {
  return character === ' ' || character === '\t' || character === '\r' || character === '\n';
}
