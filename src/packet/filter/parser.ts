/**
 * From text to tree: the language of pcap-filter(7), by recursive descent.
 *
 *     filter     = term { ("and" | "or") (term | values) }      both bind alike, from left to right; the qualifiers of the left side go on to values
 *     term       = "not" term | "(" filter ")" | relation | qualifiers values | primitive
 *     qualifiers = [protocol] [direction] [type]
 *     values     = value | "not" values | "(" filter ")"
 *
 * A value without qualifiers takes those of the value before it (`port 80 or 443`); behind what has none (`tcp or 443`) that is a mistake, as it is in tcpdump. A
 * parenthesis begins arithmetic when an operator follows its end. Depth is bounded, and so is the text: see `compileFilter`.
 */
import { didYouMean, nearest } from '../../base/spelling.ts';
import { ArithmeticParser } from './arithmetic-parser.ts';
import { primitiveOf, type Qualifiers } from './primitives.ts';
import { type Direction, type Filter, FilterMistake } from './syntax.ts';
import { TokenReader } from './token-reader.ts';
import type { Token } from './tokens.ts';
import { LAYERS, LEADING_WORDS, PROTOCOL_WORDS, TYPE_WORDS, UNSUPPORTED_WORDS } from './words.ts';

const DEPTH_MAX = 64;
const VLAN_ID_MAX = 4095;

const LEADING = 'a keyword such as host, net, port, tcp, ip6 or ether, a comparison, "not" or "("';
const BEHIND = '"and", "or" or the end';

interface Parsed {
  readonly filter: Filter;
  /** What a value behind takes over. */
  readonly qualifiers: Qualifiers | undefined;
}

/** The tree of a filter that is not empty. Throws `FilterMistake`. */
export function parseFilter(tokens: readonly Token[]): Filter {
  const reader = new TokenReader(tokens);
  const { filter } = new Parser(reader).parse(undefined, 0);
  const rest = reader.peek();
  if (rest.kind === 'end') return filter;
  throw new FilterMistake(rest.at, `${reader.quote(rest)} is unexpected: expected ${BEHIND}${guess(rest)}`);
}

class Parser {
  readonly #reader: TokenReader;
  readonly #arithmetic: ArithmeticParser;

  constructor(reader: TokenReader) {
    this.#reader = reader;
    this.#arithmetic = new ArithmeticParser(reader, DEPTH_MAX);
  }

  parse(inherited: Qualifiers | undefined, depth: number): Parsed {
    let { filter, qualifiers } = this.#term(inherited, depth);
    for (;;) {
      const kind = this.#reader.accept('and') ? 'and' : this.#reader.accept('or') ? 'or' : undefined;
      if (kind === undefined) return { filter, qualifiers };
      const right = this.#term(qualifiers, depth);
      filter = { kind, left: filter, right: right.filter };
      qualifiers = right.qualifiers;
    }
  }

  #term(inherited: Qualifiers | undefined, depth: number): Parsed {
    const token = this.#reader.peek();
    if (depth > DEPTH_MAX) {
      throw new FilterMistake(token.at, `this is nested more than ${DEPTH_MAX} deep; use fewer parentheses and "not"`);
    }
    if (this.#reader.accept('not')) {
      const { filter, qualifiers } = this.#term(inherited, depth + 1);
      return { filter: { kind: 'not', operand: filter }, qualifiers };
    }
    if (this.#arithmetic.begins()) return { filter: this.#arithmetic.relation(), qualifiers: undefined };
    if (this.#reader.accept('(')) {
      const { filter } = this.parse(inherited, depth + 1);
      this.#reader.expect(')', BEHIND);
      return { filter, qualifiers: inherited };
    }
    return this.#isValue(token) ? this.#values(inherited, depth) : this.#keyword(depth);
  }

  /** A value, or what else may stand behind qualifiers. */
  #values(qualifiers: Qualifiers | undefined, depth: number): Parsed {
    const token = this.#reader.peek();
    if (token.text === '(' || token.text === 'not') return { filter: this.#term(qualifiers, depth).filter, qualifiers };
    if (qualifiers === undefined) throw new FilterMistake(token.at, this.#withoutQualifiers(token));
    return { filter: primitiveOf(qualifiers, this.#reader), qualifiers };
  }

  #isValue(token: Token): boolean {
    if (token.kind === 'word') return token.quoted || !isKeyword(token.text);
    return token.kind !== 'symbol' && token.kind !== 'end';
  }

  /** A primitive that begins with a keyword. */
  #keyword(depth: number): Parsed {
    const token = this.#reader.peek();
    const advice = UNSUPPORTED_WORDS.get(token.text);
    if (advice !== undefined) throw new FilterMistake(token.at, `"${token.text}" is not supported: ${advice}`);
    if (token.kind !== 'word') this.#unexpected(LEADING);
    if (token.text === 'vlan') return { filter: this.#vlan(), qualifiers: undefined };
    if (token.text === 'less' || token.text === 'greater') return { filter: this.#length(), qualifiers: undefined };
    const protocol = PROTOCOL_WORDS.has(token.text) ? this.#reader.next() : undefined;
    return this.#qualified(token, protocol, depth);
  }

  #qualified(start: Token, protocol: Token | undefined, depth: number): Parsed {
    const name = protocol?.text === 'link' ? 'ether' : protocol?.text;
    const next = this.#reader.peek();
    const advice = next.kind === 'word' && !next.quoted ? UNSUPPORTED_WORDS.get(next.text) : undefined;
    if (advice !== undefined) throw new FilterMistake(next.at, `"${next.text}" is not supported: ${advice}`);
    if (next.text === 'broadcast' || next.text === 'multicast') {
      this.#reader.next();
      return { filter: castOf(next, name), qualifiers: undefined };
    }
    const direction = this.#direction();
    const type = this.#type();
    if (direction === undefined && type === undefined) {
      if (name === undefined || name === 'ether') {
        this.#unexpected(name === undefined ? LEADING : 'host, src, dst, proto, broadcast, multicast or "["');
      }
      return { filter: this.#abbreviation(name, start), qualifiers: undefined };
    }
    const qualifiers = {
      at: start.at,
      protocol: name,
      direction: direction ?? 'either',
      type,
      turned: direction !== undefined,
    };
    return this.#values(qualifiers, depth + 1);
  }

  /** A protocol's name alone; if something else follows than may, that is told with what the protocol can be followed by. */
  #abbreviation(name: string, start: Token): Filter {
    const next = this.#reader.peek();
    if (next.kind !== 'end' && !['and', 'or', ')'].includes(next.text)) {
      const expected = `"and", "or", the end, or behind "${name}": src, dst, host, net, port, portrange, proto`;
      this.#unexpected(LAYERS.has(name) ? `${expected}, "["` : expected);
    }
    const isLink = ['ip', 'ip6', 'arp', 'rarp'].includes(name);
    const qualifiers = { at: start.at, direction: 'either', type: 'proto', turned: false } as const;
    const protocol = isLink ? 'ether' : FAMILIES.get(name);
    const word = { ...start, text: name, kind: 'word' } as const;
    return primitiveOf({ ...qualifiers, protocol }, new TokenReader([word, { ...next, kind: 'end' }]));
  }

  #direction(): Direction | undefined {
    const first = this.#reader.accept('src') ? 'src' : this.#reader.accept('dst') ? 'dst' : undefined;
    if (first === undefined) return undefined;
    const other = first === 'src' ? 'dst' : 'src';
    if (this.#reader.peek(1).text !== other) return first;
    if (this.#reader.accept('or')) return this.#then('either');
    return this.#reader.accept('and') ? this.#then('both') : first;
  }

  #then(direction: Direction): Direction {
    this.#reader.next();
    return direction;
  }

  #type(): Qualifiers['type'] {
    const { text, kind, quoted } = this.#reader.peek();
    if (kind !== 'word' || quoted || !TYPE_WORDS.has(text)) return undefined;
    return this.#reader.next().text as Qualifiers['type'];
  }

  #vlan(): Filter {
    this.#reader.next();
    const token = this.#reader.peek();
    if (token.kind !== 'number') return { kind: 'vlan', id: -1 };
    if (token.value > VLAN_ID_MAX) {
      throw new FilterMistake(token.at, `${token.text} is no VLAN; use a number from 0 to ${VLAN_ID_MAX}`);
    }
    return { kind: 'vlan', id: this.#reader.next().value };
  }

  #length(): Filter {
    const operator = this.#reader.next().text === 'less' ? '<=' : '>=';
    const token = this.#reader.peek();
    if (token.kind !== 'number') this.#unexpected('a number of bytes');
    const { value } = this.#reader.next();
    return { kind: 'relation', operator, left: { kind: 'length' }, right: { kind: 'number', value } };
  }

  #withoutQualifiers(token: Token): string {
    const quoted = this.#reader.quote(token);
    if (token.kind === 'word') {
      const near = nearest(token.text, LEADING_WORDS);
      if (near !== undefined) return `${quoted} is unknown${guess(token)}`;
      const hint = /[^-]-./.test(token.text) ? '; a minus wants blanks around it' : '';
      return `${quoted} is unknown: expected ${LEADING}${hint}`;
    }
    if (token.kind === 'number') return `there is no keyword that says what ${quoted} is: write "port ${token.text}"`;
    const isNet = this.#reader.peek(1).text === '/';
    const keyword = token.kind === 'mac' ? 'ether host' : isNet ? 'net' : 'host';
    const value = isNet ? `${token.text}/${this.#reader.peek(2).text}` : token.text;
    return `there is no keyword that says what ${quoted} is: write "${keyword} ${value}"`;
  }

  #unexpected(expected: string): never {
    const token = this.#reader.peek();
    const what = token.kind === 'end' ? 'the filter ends here' : `${this.#reader.quote(token)} is unexpected`;
    throw new FilterMistake(token.at, `${what}: expected ${expected}${guess(token)}`);
  }
}

/** Which IP version a protocol's bare name stands for; both where it is not here. */
const FAMILIES: ReadonlyMap<string, string> = new Map([
  ['icmp', 'ip'],
  ['igmp', 'ip'],
  ['vrrp', 'ip'],
  ['icmp6', 'ip6'],
]);

function isKeyword(word: string): boolean {
  return LEADING_WORDS.includes(word) || UNSUPPORTED_WORDS.has(word) || word === 'and' || word === 'or';
}

function castOf({ text, at }: Token, protocol: string | undefined): Filter {
  const layer = protocol ?? 'ether';
  if (text === 'broadcast') {
    if (layer === 'ether') return { kind: 'mac', direction: 'dst', high: 0xffff, low: -1 };
    if (layer === 'ip') return { kind: 'ip4-broadcast' };
    throw new FilterMistake(at, `there is no broadcast of ${layer}; there are "broadcast" and "ip broadcast"`);
  }
  if (layer === 'ether') return { kind: 'multicast' };
  if (layer === 'ip') return { kind: 'ip4-multicast' };
  if (layer === 'ip6') return { kind: 'ip6-multicast' };
  throw new FilterMistake(
    at,
    `there is no multicast of ${layer}; there are "multicast", "ip multicast" and "ip6 multicast"`,
  );
}

function guess(token: Token): string {
  if (token.kind !== 'word' || token.quoted || isKeyword(token.text)) return '';
  return didYouMean(token.text, LEADING_WORDS);
}
