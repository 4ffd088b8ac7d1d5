/**
 * What the commands of `tapster ctl` are made of, as data: words, values, and how they follow each other. Everything that knows the commands reads this:
 * the parser, completion, `?`, `help` and the reference (docs/ctl.md).
 */
import type { ValueType } from './value-types.ts';

export type Syntax = Atom | Sequence | Choice | Optional | Options | Many;

/** What one word of a line is matched with. */
export type Atom = Word | Value;

export interface Word {
  readonly kind: 'word';
  readonly word: string;
  readonly help: string;
  /** Known, and refused with this sentence. Neither completed nor in the help. */
  readonly refusal: string | undefined;
}

export interface Value {
  readonly kind: 'value';
  /** What it is called by whoever uses it. */
  readonly name: string;
  /** What stands for it in the help: `IF`. */
  readonly label: string;
  readonly type: ValueType;
  readonly help: string;
}

export interface Sequence {
  readonly kind: 'sequence';
  readonly items: readonly Syntax[];
}

export interface Choice {
  readonly kind: 'choice';
  readonly of: readonly Syntax[];
}

export interface Optional {
  readonly kind: 'optional';
  readonly item: Syntax;
}

/** Each once at most, in any order. */
export interface Options {
  readonly kind: 'options';
  readonly of: readonly Syntax[];
  /** Those of them that may not be left out. */
  readonly needed: readonly Syntax[];
}

/** Once or more. */
export interface Many {
  readonly kind: 'many';
  readonly item: Syntax;
}

export function word(text: string, help: string): Word {
  return { kind: 'word', word: text, help, refusal: undefined };
}

export function refused(text: string, refusal: string): Word {
  return { kind: 'word', word: text, help: '', refusal };
}

export function value(name: string, label: string, type: ValueType, help: string): Value {
  return { kind: 'value', name, label, type, help };
}

export function sequence(...items: readonly Syntax[]): Sequence {
  return { kind: 'sequence', items };
}

export function choice(...of: readonly Syntax[]): Choice {
  return { kind: 'choice', of };
}

export function optional(...items: readonly Syntax[]): Optional {
  return { kind: 'optional', item: items.length === 1 ? items[0]! : sequence(...items) };
}

export function options(...of: readonly Syntax[]): Options {
  return { kind: 'options', of, needed: [] };
}

/** Options, all of `needed` among them. */
export function optionsWith(needed: readonly Syntax[], of: readonly Syntax[]): Options {
  return { kind: 'options', of: [...needed, ...of], needed };
}

export function many(...items: readonly Syntax[]): Many {
  return { kind: 'many', item: items.length === 1 ? items[0]! : sequence(...items) };
}

/** A word with a value behind it: `mtu N`. */
export function pair(text: string, label: string, type: ValueType, help: string): Sequence {
  return sequence(word(text, help), value(text, label, type, help));
}

/** As people write it: `[hwaddr MAC|random] [id N]`. */
export function synopsis(syntax: Syntax): string {
  switch (syntax.kind) {
    case 'word':
      return syntax.word;
    case 'value':
      return syntax.label;
    case 'sequence':
      return joined(syntax.items, ' ');
    case 'choice':
      return joined(syntax.of, '|');
    case 'optional':
      return `[${synopsis(syntax.item)}]`;
    case 'options':
      return syntax.of
        .filter(isShown)
        .map((each) => (syntax.needed.includes(each) ? synopsis(each) : `[${synopsis(each)}]`))
        .join(' ');
    case 'many':
      return `(${synopsis(syntax.item)}) ...`;
  }
}

/** A line of a command's help: `mtu N`, or a word or value alone. */
export interface Term {
  readonly label: string;
  readonly help: string;
}

/** All words and values, in the order of the synopsis, each once; a word and the one value behind it together. */
export function terms(syntax: Syntax): Term[] {
  const all = allTerms(syntax);
  return all.filter(
    ({ label, help }, at) => at === all.findIndex((each) => each.label === label && each.help === help),
  );
}

function allTerms(syntax: Syntax): Term[] {
  switch (syntax.kind) {
    case 'word':
      return isShown(syntax) ? [{ label: syntax.word, help: syntax.help }] : [];
    case 'value':
      return [{ label: syntax.label, help: syntax.help }];
    case 'sequence':
      return isPair(syntax) ? [{ label: synopsis(syntax), help: pairHelp(syntax) }] : syntax.items.flatMap(allTerms);
    case 'choice':
    case 'options':
      return syntax.of.flatMap(allTerms);
    case 'optional':
    case 'many':
      return allTerms(syntax.item);
  }
}

function isPair({ items }: Sequence): boolean {
  return items.length === 2 && items[0]!.kind === 'word' && items[1]!.kind === 'value';
}

/** They say the same, or the one what the other is for. */
function pairHelp({ items }: Sequence): string {
  const helps = items.flatMap(allTerms).map(({ help }) => help);
  return [...new Set(helps)].join(': ');
}

function joined(items: readonly Syntax[], between: string): string {
  return items
    .filter(isShown)
    .map((item) => (item.kind === 'choice' && between === ' ' ? inParentheses(item) : synopsis(item)))
    .filter((text) => text !== '')
    .join(between);
}

/** A choice of single words needs none: `on|off`. */
function inParentheses(of: Choice): string {
  const text = synopsis(of);
  return of.of.every((each) => each.kind === 'word' || each.kind === 'value') ? text : `(${text})`;
}

function isShown(syntax: Syntax): boolean {
  return !(syntax.kind === 'word' && syntax.refusal !== undefined);
}
