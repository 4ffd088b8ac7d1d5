/**
 * The parser of `tapster ctl`. All commands are followed at once, word by word: a `Thread` is one way to read what was read so far, and says what can come
 * next. The same threads tell a command from its words, what was expected where one does not fit, what Tab completes and what `?` shows.
 *
 * A word of a line is, in this order: a word of the grammar; a value that says of itself what it is (a number, an address); a word of the grammar that only
 * begins so; a name. So `sh int` is `show interface`, and no name is ever taken for an abbreviation: where a name can stand, words are written in full.
 */
import { nearest } from '../../base/spelling.ts';
import type { Wrong } from '../parse/parsed.ts';
import type { Line, LineWord } from './line.ts';
import type { Atom, Options, Syntax, Value, Word } from './syntax.ts';
import type { Source } from './value-types.ts';

/** What the parser knows of a command. */
export interface Pattern {
  /** Its first words, `show interface`. */
  readonly path: string;
  readonly help: string;
  readonly syntax: Syntax;
}

/** A word, or a value under its name, in the order of the line. */
export interface Entry {
  readonly name: string;
  readonly value: string | number | true;
  readonly column: number;
}

export type ParsedLine<P extends Pattern> =
  | { readonly ok: true; readonly pattern: P; readonly entries: readonly Entry[] }
  | { readonly ok: false; readonly error: LineError };

export interface LineError {
  /** What is wrong, with the word. */
  readonly message: string;
  /** Counts from 1. */
  readonly column: number;
  /** What would be right, a sentence. */
  readonly right: string;
}

export interface Completions {
  readonly words: readonly string[];
  /** Values that others know. */
  readonly sources: readonly Source[];
}

/** A line of `?`. */
export interface NextWord {
  readonly label: string;
  readonly help: string;
}

/** Label of the end of the line, as VPP and others write it. */
export const LINE_END = '<cr>';

const EXPECTED_MAX = 12;

interface Thread<P> {
  readonly pattern: P;
  readonly todo: Todo | undefined;
  readonly entries: readonly Entry[];
  /** Words of the command's path that were read. */
  readonly depth: number;
}

/** What is still to come, first things first. */
interface Todo {
  readonly head: Syntax;
  readonly rest: Todo | undefined;
}

/** A next word that a thread could take. */
interface Branch<P> {
  readonly thread: Thread<P>;
  readonly atom: Atom;
  readonly rest: Todo | undefined;
}

type WordBranch<P> = Branch<P> & { readonly atom: Word };
type ValueBranch<P> = Branch<P> & { readonly atom: Value };

export class Grammar<P extends Pattern> {
  readonly patterns: readonly P[];
  readonly #groups: Readonly<Record<string, string>>;
  readonly #start: readonly Thread<P>[];

  /** `groups`: the help of words that several commands begin with, by path. */
  constructor(patterns: readonly P[], groups: Readonly<Record<string, string>>) {
    this.patterns = patterns;
    this.#groups = groups;
    this.#start = patterns.map((pattern) => ({
      pattern,
      todo: withPath(pattern),
      entries: [],
      depth: 0,
    }));
  }

  parse(line: Line): ParsedLine<P> {
    if (line.openQuote !== undefined) {
      return refuse('the quote is never closed', line.openQuote, 'Close it.');
    }
    const read = this.#follow(line.words);
    if (!read.ok) return read;
    const done = read.threads.find((thread) => canEnd(thread.todo));
    if (done !== undefined) return { ok: true, pattern: done.pattern, entries: done.entries };
    return refuse('something is missing at the end', line.end, expectedText(read.threads.flatMap(branchesOf)));
  }

  /** For the last word of `line`, which may be empty: pass a line without it, and it. */
  complete(before: Line, partial: string): Completions {
    const read = this.#follow(before.words);
    if (!read.ok) return { words: [], sources: [] };
    const branches = read.threads.flatMap(branchesOf);
    const words = branches
      .filter(isWord)
      .filter(isOffered)
      .map(({ atom }) => atom.word);
    const sources = branches.filter(isValue).flatMap(({ atom }) => atom.type.source ?? []);
    return {
      words: [...new Set(words)].filter((word) => word.startsWith(partial.toLowerCase())).sort(),
      sources: [...new Set(sources)],
    };
  }

  /** What can stand behind the words of `before`; those that begin with `partial`. */
  next(before: Line, partial: string): NextWord[] | LineError {
    const read = this.#follow(before.words);
    if (!read.ok) return read.error;
    const found = new Map<string, string>();
    for (const branch of read.threads.flatMap(branchesOf)) {
      const { label, help } = this.#explain(branch);
      const fits = isValue(branch) || (isOffered(branch as WordBranch<P>) && label.startsWith(partial.toLowerCase()));
      if (fits && !found.has(label)) found.set(label, help);
    }
    const list = [...found].map(([label, help]) => ({ label, help }));
    list.sort((a, b) => (a.label < b.label ? -1 : 1));
    const ends = partial === '' && before.words.length > 0 && read.threads.some((thread) => canEnd(thread.todo));
    return ends ? [...list, { label: LINE_END, help: 'do it' }] : list;
  }

  #explain({ thread, atom }: Branch<P>): NextWord {
    if (atom.kind === 'value') return { label: atom.label, help: atom.help };
    const path = thread.pattern.path.split(' ');
    if (thread.depth >= path.length) return { label: atom.word, help: atom.help };
    const soFar = path.slice(0, thread.depth + 1).join(' ');
    const named = this.patterns.find((pattern) => pattern.path === soFar);
    return { label: atom.word, help: this.#groups[soFar] ?? (named ?? thread.pattern).help };
  }

  #follow(
    words: readonly LineWord[],
  ): { readonly ok: true; readonly threads: readonly Thread<P>[] } | { readonly ok: false; readonly error: LineError } {
    let threads = this.#start;
    for (let i = 0; i < words.length; i++) {
      const branches = threads.flatMap(branchesOf);
      const chosen = choose(branches, words[i]!);
      if (!Array.isArray(chosen)) return { ok: false, error: chosen as LineError };
      const taken = chosen as readonly Branch<P>[];
      // The rest of the line is one value.
      const toEnd = taken.some(({ atom }) => atom.kind === 'value' && atom.type.toEnd);
      const text = toEnd
        ? words
            .slice(i)
            .map((each) => each.text)
            .join(' ')
        : words[i]!.text;
      threads = taken.map((branch) => advance(branch, words[i]!, text));
      if (toEnd) break;
    }
    return { ok: true, threads };
  }
}

function withPath(pattern: Pattern): Todo {
  const path: Word[] = pattern.path
    .split(' ')
    .map((text) => ({ kind: 'word', word: text, help: '', refusal: undefined }));
  return [...path, pattern.syntax].reduceRight<Todo | undefined>((rest, head) => ({ head, rest }), undefined)!;
}

function branchesOf<P>(thread: Thread<P>): Branch<P>[] {
  const branches: Branch<P>[] = [];
  expand(thread.todo, (atom, rest) => branches.push({ thread, atom, rest }));
  return branches;
}

/** Calls `found` with each atom that can be next, and what comes behind it. True: nothing has to come. */
function expand(todo: Todo | undefined, found: (atom: Atom, rest: Todo | undefined) => void): boolean {
  if (todo === undefined) return true;
  const { head, rest } = todo;
  switch (head.kind) {
    case 'word':
    case 'value':
      found(head, rest);
      return false;
    case 'sequence':
      return expand(
        head.items.reduceRight<Todo | undefined>((behind, item) => ({ head: item, rest: behind }), rest),
        found,
      );
    case 'choice':
      return head.of.map((each) => expand({ head: each, rest }, found)).some(Boolean);
    case 'optional':
      expand({ head: head.item, rest }, found);
      return expand(rest, found);
    case 'options':
      for (const each of head.of) {
        const others: Syntax = { ...head, of: head.of.filter((other) => other !== each) };
        expand({ head: each, rest: { head: others, rest } }, found);
      }
      return expandBehind(head, rest, found);
    case 'many':
      return expand({ head: head.item, rest: { head: { kind: 'optional', item: head }, rest } }, found);
  }
}

/** What can follow options, unless some of them are needed still. */
function expandBehind(
  head: Options,
  rest: Todo | undefined,
  found: (atom: Atom, rest: Todo | undefined) => void,
): boolean {
  return !head.of.some((each) => head.needed.includes(each)) && expand(rest, found);
}

function canEnd(todo: Todo | undefined): boolean {
  return expand(todo, () => {});
}

function choose<P>(branches: readonly Branch<P>[], word: LineWord): readonly Branch<P>[] | LineError {
  const words = word.quoted ? [] : branches.filter(isWord);
  const text = word.text.toLowerCase();
  const exact = words.filter(({ atom }) => atom.word === text);
  if (exact.length > 0) return refusalOf(exact, word) ?? exact;
  const values = branches.filter(isValue);
  const accepted = values.filter(({ atom }) => atom.type.read(word.text).ok);
  const certain = accepted.filter(({ atom }) => !atom.type.free);
  if (certain.length > 0) return certain;
  if (accepted.length > 0) return accepted;
  const begun = words.filter((branch) => isOffered(branch) && text !== '' && branch.atom.word.startsWith(text));
  const meant = [...new Set(begun.map(({ atom }) => atom.word))];
  if (meant.length === 1) return begun;
  if (meant.length > 1) {
    return { message: `"${word.text}" could be ${orList(meant)}`, column: word.column, right: 'Write more of it.' };
  }
  return misfit(branches, values, word);
}

function refusalOf<P>(exact: readonly WordBranch<P>[], word: LineWord): LineError | undefined {
  const { refusal } = exact[0]!.atom;
  if (refusal === undefined || exact.some(({ atom }) => atom.refusal === undefined)) return undefined;
  return { message: `"${word.text}" is not supported`, column: word.column, right: refusal };
}

function misfit<P>(branches: readonly Branch<P>[], values: readonly ValueBranch<P>[], word: LineWord): LineError {
  const { column, text } = word;
  if (branches.length === 0) {
    return { message: `"${text}" is too much: the command ends before it`, column, right: 'Leave it out.' };
  }
  const types = new Set(values.map(({ atom }) => atom.type));
  if (values.length === branches.length && types.size === 1) {
    const why = values[0]!.atom.type.read(text) as Wrong;
    return { message: `"${text}": ${why.wrong}`, column, right: why.right };
  }
  const near = nearest(
    text,
    branches
      .filter(isWord)
      .filter(isOffered)
      .map(({ atom }) => atom.word),
  );
  const meant = near === undefined ? '' : `: did you mean "${near}"?`;
  return { message: `"${text}" does not fit here${meant}`, column, right: expectedText(branches) };
}

function advance<P extends Pattern>(branch: Branch<P>, word: LineWord, text: string): Thread<P> {
  const { thread, atom, rest } = branch;
  const inPath = thread.depth < thread.pattern.path.split(' ').length;
  if (inPath) return { ...thread, todo: rest, depth: thread.depth + 1 };
  const entry: Entry =
    atom.kind === 'word'
      ? { name: atom.word, value: true, column: word.column }
      : { name: atom.name, value: readValue(atom, text), column: word.column };
  return { ...thread, todo: rest, entries: [...thread.entries, entry] };
}

/** Has been judged. */
function readValue(atom: Value, text: string): string | number {
  const read = atom.type.read(text);
  return read.ok ? read.value : text;
}

function expectedText<P>(branches: readonly Branch<P>[]): string {
  const labels = branches.filter((branch) => isValue(branch) || isOffered(branch as WordBranch<P>)).map(labelOf);
  const all = [...new Set(labels)];
  const shown = all.length > EXPECTED_MAX ? [...all.slice(0, EXPECTED_MAX), `${all.length - EXPECTED_MAX} more`] : all;
  return `Expected ${orList(shown)}.`;
}

function labelOf<P>({ atom }: Branch<P>): string {
  return atom.kind === 'word' ? `"${atom.word}"` : `${atom.type.what} (${atom.label})`;
}

function orList(items: readonly string[]): string {
  return items.length < 2 ? items.join('') : `${items.slice(0, -1).join(', ')} or ${items.at(-1)}`;
}

function isWord<P>(branch: Branch<P>): branch is WordBranch<P> {
  return branch.atom.kind === 'word';
}

function isValue<P>(branch: Branch<P>): branch is ValueBranch<P> {
  return branch.atom.kind === 'value';
}

function isOffered<P>(branch: WordBranch<P>): boolean {
  return branch.atom.refusal === undefined;
}

function refuse(message: string, column: number, right: string): { readonly ok: false; readonly error: LineError } {
  return { ok: false, error: { message, column, right } };
}
