/**
 * A filter's text as tokens. As in tcpdump a word may have dashes and dots inside (`tcp-syn`, `20-30`, `10.0.0.1`), so that a minus wants a blank before it, and an
 * address is one token; inside `[...]` a colon is always that of the size.
 */
import { FilterMistake } from './syntax.ts';
import { NAMED_NUMBERS } from './words.ts';

export interface Token {
  readonly kind: 'word' | 'number' | 'ipv4' | 'ipv6' | 'mac' | 'symbol' | 'end';
  /** As it stands there; without the backslash that quotes a word. `&&`, `||`, `!` and `==` are `and`, `or`, `not` and `=`. */
  readonly text: string;
  /** From 0. */
  readonly at: number;
  /** Of a number. */
  readonly value: number;
  /** A word with a backslash in front: a name, never a keyword. */
  readonly quoted: boolean;
}

const BLANKS = /[ \t\r\n]+/y;
const MAC =
  /(?:(?:[0-9a-f]{1,2}[:.-]){5}[0-9a-f]{1,2}|[0-9a-f]{4}\.[0-9a-f]{4}\.[0-9a-f]{4}|[0-9a-f]{12})(?![-0-9a-z:.])/iy;
const IPV6 = /[0-9a-f]*:[0-9a-f]*:[0-9a-f:.]*/iy;
const WORD = /[a-z0-9](?:[-_.a-z0-9]*[.a-z0-9])?/iy;
const SYMBOL = /&&|\|\||!=|==|<=|>=|<<|>>|[-+*/%&|^!=<>()[\]:]/y;
const QUOTED = /\\([^ !()\n\t]+)/y;

const IPV4_PARTS = /^\d+(?:\.\d+){1,3}$/;
const NUMBER = /^(?:0x[0-9a-f]+|\d+)$/i;
const NUMBER_MAX = 0xffff_ffff;

const SYNONYMS: ReadonlyMap<string, string> = new Map([
  ['&&', 'and'],
  ['||', 'or'],
  ['!', 'not'],
  ['==', '='],
]);

/** The tokens of `text`, an `end` last. Throws `FilterMistake`. */
export function tokensOf(text: string): Token[] {
  const tokens: Token[] = [];
  let brackets = 0;
  let at = 0;
  for (;;) {
    at += match(BLANKS, text, at)?.length ?? 0;
    if (at === text.length) break;
    const token = (brackets === 0 ? addressAt(text, at) : undefined) ?? wordAt(text, at) ?? symbolAt(text, at);
    if (token.text === '[' && token.kind === 'symbol') brackets++;
    if (token.text === ']' && brackets > 0) brackets--;
    tokens.push(token);
    at += token.sourceLength;
  }
  tokens.push({ kind: 'end', text: 'the end', at, value: 0, quoted: false });
  return tokens;
}

interface Found extends Token {
  readonly sourceLength: number;
}

function addressAt(text: string, at: number): Found | undefined {
  const mac = match(MAC, text, at);
  if (mac !== undefined) return found('mac', mac, at);
  const ipv6 = match(IPV6, text, at);
  return ipv6 === undefined ? undefined : found('ipv6', ipv6, at);
}

function wordAt(text: string, at: number): Found | undefined {
  const quoted = match(QUOTED, text, at);
  if (quoted !== undefined) {
    return { kind: 'word', text: quoted.slice(1), at, value: 0, quoted: true, sourceLength: quoted.length };
  }
  const word = match(WORD, text, at);
  if (word === undefined) return undefined;
  if (IPV4_PARTS.test(word)) return found('ipv4', word, at);
  if (NUMBER.test(word)) return { ...found('number', word, at), value: numberOf(word, at) };
  const value = NAMED_NUMBERS.get(word);
  if (value !== undefined) return { ...found('number', word, at), value };
  return { ...found('word', word, at), text: SYNONYMS.get(word) ?? word };
}

function symbolAt(text: string, at: number): Found {
  const symbol = match(SYMBOL, text, at);
  if (symbol === undefined) {
    const character = String.fromCodePoint(text.codePointAt(at) ?? 0);
    throw new FilterMistake(at, `${JSON.stringify(character)} has no meaning here`);
  }
  return { ...found('symbol', symbol, at), text: SYNONYMS.get(symbol) ?? symbol };
}

function found(kind: Token['kind'], text: string, at: number): Found {
  return { kind, text, at, value: 0, quoted: false, sourceLength: text.length };
}

/** As in C: 0x is hexadecimal, a leading 0 octal. */
function numberOf(word: string, at: number): number {
  const octal = /^0\d/.test(word);
  const value = octal ? Number.parseInt(word, 8) : Number(word);
  if (octal && !/^[0-7]+$/.test(word)) {
    throw new FilterMistake(at, `"${word}" is not a number: a leading 0 means octal, which has the digits 0 to 7`);
  }
  if (value > NUMBER_MAX) {
    throw new FilterMistake(at, `${word} does not fit into 32 bits; the largest number is ${NUMBER_MAX}`);
  }
  return value;
}

function match(pattern: RegExp, text: string, at: number): string | undefined {
  pattern.lastIndex = at;
  return pattern.exec(text)?.[0];
}
