/** Relations of numbers: `ip[2:2] - 20 > 100`. Operators bind as in C, but `&`, `^` and `|` bind more than relations do, so that `tcp[13] & 2 != 0` is what it looks like. */
import { type Arithmetic, type Filter, FilterMistake, type Operator, type Relation } from './syntax.ts';
import type { TokenReader } from './token-reader.ts';
import type { Token } from './tokens.ts';
import { LAYERS } from './words.ts';

const RELATIONS: readonly string[] = ['=', '!=', '<', '>', '<=', '>='];

/** From those that bind least. */
const OPERATORS: readonly (readonly string[])[] = [['|'], ['^'], ['&'], ['<<', '>>'], ['+', '-'], ['*', '/', '%']];
const ALL_OPERATORS: readonly string[] = OPERATORS.flat();

const SHIFT_MAX = 31;

export class ArithmeticParser {
  readonly #reader: TokenReader;
  readonly #depthMax: number;

  constructor(reader: TokenReader, depthMax: number) {
    this.#reader = reader;
    this.#depthMax = depthMax;
  }

  /** Whether what comes next is a relation, and no value or keyword. */
  begins(): boolean {
    const token = this.#reader.peek();
    if (token.quoted) return false;
    if (token.text === 'len' || token.text === '-') return true;
    const behind = token.text === '(' ? this.#reader.behindParenthesis() : this.#reader.peek(1);
    if (token.kind === 'word') return behind.text === '[';
    return (token.text === '(' || token.kind === 'number') && isOperator(behind);
  }

  relation(): Filter {
    const left = this.#expression(0, 0);
    const token = this.#reader.peek();
    if (token.kind !== 'symbol' || !RELATIONS.includes(token.text)) {
      const what = token.kind === 'end' ? 'the filter ends here' : `${this.#reader.quote(token)} is unexpected`;
      throw new FilterMistake(token.at, `${what}: expected a comparison, as "= 1" or "!= 0", or an operator`);
    }
    this.#reader.next();
    return { kind: 'relation', operator: token.text as Relation, left, right: this.#expression(0, 0) };
  }

  #expression(level: number, depth: number): Arithmetic {
    const operators = OPERATORS[level];
    if (operators === undefined) return this.#operand(depth);
    let left = this.#expression(level + 1, depth);
    for (;;) {
      const token = this.#reader.peek();
      if (token.kind !== 'symbol' || !operators.includes(token.text)) return left;
      this.#reader.next();
      const operator = token.text as Operator;
      const right = this.#expression(level + 1, depth);
      check(operator, right, token);
      left = { kind: 'binary', operator, left, right };
    }
  }

  #operand(depth: number): Arithmetic {
    const token = this.#reader.peek();
    if (depth > this.#depthMax) throw new FilterMistake(token.at, `this is nested more than ${this.#depthMax} deep`);
    if (token.kind === 'number') return { kind: 'number', value: this.#reader.next().value };
    if (this.#reader.accept('len')) return { kind: 'length' };
    if (this.#reader.accept('-')) {
      return { kind: 'binary', operator: '-', left: { kind: 'number', value: 0 }, right: this.#operand(depth + 1) };
    }
    if (this.#reader.accept('(')) {
      const inner = this.#expression(0, depth + 1);
      this.#reader.expect(')', 'an operator');
      return inner;
    }
    if (token.kind === 'word' && this.#reader.peek(1).text === '[') return this.#load(depth);
    const what = token.kind === 'end' ? 'the filter ends here' : `${this.#reader.quote(token)} is unexpected`;
    const hint = /^[^-]+-./.test(token.text) ? '; a minus wants blanks around it' : '';
    throw new FilterMistake(token.at, `${what}: expected a number, len, "(" or bytes of a header, as tcp[13]${hint}`);
  }

  #load(depth: number): Arithmetic {
    const name = this.#reader.next();
    const layer = LAYERS.get(name.text);
    if (layer === undefined) {
      const layers = [...LAYERS.keys()].join(', ');
      throw new FilterMistake(name.at, `the bytes of "${name.text}" can not be read; there are ${layers}`);
    }
    this.#reader.expect('[');
    const index = this.#expression(0, depth + 1);
    const bytes = this.#reader.accept(':') ? this.#size() : 1;
    this.#reader.expect(']', bytes === 1 ? 'an operator or ":" and the number of bytes' : '');
    return { kind: 'load', layer, index, bytes };
  }

  #size(): 1 | 2 | 4 {
    const { kind, value, at } = this.#reader.next();
    if (kind === 'number' && (value === 1 || value === 2 || value === 4)) return value;
    throw new FilterMistake(at, 'expected how many bytes: 1, 2 or 4');
  }
}

function isOperator({ kind, text }: Token): boolean {
  return kind === 'symbol' && (RELATIONS.includes(text) || ALL_OPERATORS.includes(text));
}

/** What can be seen to fail before there is a packet. */
function check(operator: Operator, right: Arithmetic, { at }: Token): void {
  if (right.kind !== 'number') return;
  if ((operator === '/' || operator === '%') && right.value === 0) throw new FilterMistake(at, 'this divides by zero');
  if ((operator === '<<' || operator === '>>') && right.value > SHIFT_MAX) {
    throw new FilterMistake(at, `numbers have 32 bits; shift by ${SHIFT_MAX} at most`);
  }
}
