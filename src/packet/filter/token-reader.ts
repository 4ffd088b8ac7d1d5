/** A place in the tokens of a filter. */
import { FilterMistake } from './syntax.ts';
import type { Token } from './tokens.ts';

export class TokenReader {
  readonly #tokens: readonly Token[];
  #next: number = 0;
  /** For each `(`, its `)`; -1: none. Found out when somebody asks. */
  #closings: Int32Array | undefined;

  /** The last one is an `end`. */
  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  /** The token that is `ahead` of the next one; the end, behind it. */
  peek(ahead: number = 0): Token {
    return this.#tokens[Math.min(this.#next + ahead, this.#tokens.length - 1)];
  }

  next(): Token {
    const token = this.peek();
    if (this.#next < this.#tokens.length - 1) this.#next++;
    return token;
  }

  /** Goes on if the next one is this keyword or symbol. */
  accept(text: string): boolean {
    const token = this.peek();
    if (token.text !== text || token.quoted || token.kind === 'end') return false;
    this.#next++;
    return true;
  }

  expect(text: string, or: string = ''): void {
    if (this.accept(text)) return;
    const token = this.peek();
    const what = token.kind === 'end' ? 'the filter ends here' : `${this.quote(token)} is unexpected`;
    throw new FilterMistake(token.at, `${what}: expected "${text}"${or === '' ? '' : `, ${or}`}`);
  }

  /** What stands behind the `)` that closes the `(` which is next. */
  behindParenthesis(): Token {
    this.#closings ??= closingsOf(this.#tokens);
    const closing = this.#closings[this.#next];
    return this.#tokens[closing < 0 ? this.#tokens.length - 1 : closing + 1];
  }

  quote(token: Token): string {
    return token.kind === 'end' ? token.text : JSON.stringify(token.text);
  }
}

function closingsOf(tokens: readonly Token[]): Int32Array {
  const closings = new Int32Array(tokens.length).fill(-1);
  const open: number[] = [];
  tokens.forEach(({ kind, text }, index) => {
    if (kind !== 'symbol') return;
    if (text === '(') open.push(index);
    if (text !== ')') return;
    const opening = open.pop();
    if (opening !== undefined) closings[opening] = index;
  });
  return closings;
}
