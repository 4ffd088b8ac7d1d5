/**
 * YAML (1.2, of which JSON is a part) as plain data that remembers where each value stands.
 *
 * The text is anybody's, so all is bounded: its length, how deep it nests, and how much its aliases repeat. Tags, and more than one document, are refused.
 */
import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, type Node, type Pair, parseDocument } from 'yaml';
import type { Problem } from './problem.ts';

/** A hundred thousand routes take some 5 MB. */
const SOURCE_CHARACTERS_MAX = 8 * 1024 * 1024;
/** A configuration nests eight deep. */
const DEPTH_MAX = 64;
/** Values that aliases may stand for, all together. */
const ALIASED_MAX = 10_000;

export interface Place {
  readonly line: number;
  readonly column: number;
}

export interface YamlSource {
  readonly data: unknown;
  /** Where the value stands; the key when the value is empty, and what is around when the path leads nowhere. */
  placeOfValue(path: readonly PropertyKey[]): Place;
  placeOfKey(path: readonly PropertyKey[]): Place;
}

/** The data, or everything that is wrong with the text. */
export function readYaml(text: string): YamlSource | readonly Problem[] {
  if (text.length > SOURCE_CHARACTERS_MAX) {
    return [
      problemAt('too-large', START, `has more than ${SOURCE_CHARACTERS_MAX} characters: split what it describes`),
    ];
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, strict: true });
  const problems = syntaxProblems(document, text, lines);
  if (problems.length > 0) return problems;
  const refused = judge(document, lines);
  return refused.length > 0 ? refused : plainData(document, lines);
}

const START: Place = { line: 1, column: 1 };

function syntaxProblems(document: Document, text: string, lines: LineCounter): Problem[] {
  const exhausted = document.errors.find(({ code }) => code === 'RESOURCE_EXHAUSTION');
  if (exhausted !== undefined) {
    return [problemAt('too-deep', placeAt(lines, exhausted.pos[0]), `nests deeper than ${DEPTH_MAX} levels`)];
  }
  return [...document.errors, ...document.warnings].map(({ code, message, pos }) => {
    const place = placeAt(lines, pos[0]);
    if (code === 'DUPLICATE_KEY') {
      const [key = ''] = /^[^\s:,{}]+/.exec(text.slice(pos[0], pos[0] + 100)) ?? [];
      return problemAt('key-duplicate', place, `the key ${key} is there already: keep one of the two`);
    }
    if (code === 'MULTIPLE_DOCS')
      return problemAt('syntax', place, 'a second document begins: one file holds one configuration');
    return problemAt('syntax', place, message.replace(/\.?\s*$/, ''));
  });
}

function plainData(document: Document, lines: LineCounter): YamlSource {
  const place = (node: Node | null | undefined): Place | undefined =>
    node?.range == null ? undefined : placeAt(lines, node.range[0]);
  return {
    // `judge` has counted aliases.
    data: document.toJS({ maxAliasCount: -1 }) as unknown,
    placeOfValue: (path) => {
      const { key, value, around } = find(document, path);
      return (isEmpty(value) ? undefined : place(value)) ?? place(key) ?? place(around) ?? START;
    },
    placeOfKey: (path) => {
      const { key, value, around } = find(document, path);
      return place(key) ?? place(value) ?? place(around) ?? START;
    },
  };
}

interface Found {
  readonly key: Node | undefined;
  readonly value: Node | undefined;
  /** The key or value of the last step that was found. */
  readonly around: Node | undefined;
}

function find(document: Document, path: readonly PropertyKey[]): Found {
  let value: Node | undefined = (document.contents as Node | null) ?? undefined;
  let key: Node | undefined;
  let around = value;
  for (const step of path) {
    const holder: unknown = isAlias(value) ? value.resolve(document) : value;
    const pair: Pair | undefined = isMap(holder)
      ? holder.items.find((item) => isScalar(item.key) && String(item.key.value) === String(step))
      : undefined;
    around = key ?? value;
    key = pair?.key as Node | undefined;
    value = (isSeq(holder) ? holder.items[Number(step)] : pair?.value) as Node | undefined;
    if (key === undefined && value === undefined) return { key, value, around };
  }
  return { key, value, around };
}

function isEmpty(node: Node | undefined): boolean {
  return isScalar(node) && node.value === null && (node.source ?? '') === '';
}

/**
 * What the parser lets pass and we do not. Aliases count with all that they stand for, those within them too: a few lines of aliases to aliases stand for
 * millions of values, and one that contains itself for infinitely many.
 */
function judge(document: Document, lines: LineCounter): Problem[] {
  const problems: Problem[] = [];
  let aliased = 0;
  const refuse = (node: Node, code: string, message: string): number =>
    problems.push(problemAt(code, placeAt(lines, node.range?.[0] ?? 0), message));
  const visit = (node: Node, depth: number, alias: Node | undefined): unknown => {
    if (problems.length > 0) return problems;
    if (alias !== undefined) aliased++;
    if (depth > DEPTH_MAX) return refuse(alias ?? node, 'too-deep', `nests deeper than ${DEPTH_MAX} levels`);
    if (aliased > ALIASED_MAX) {
      return refuse(alias ?? node, 'too-large', `aliases stand for more than ${ALIASED_MAX} values: use fewer`);
    }
    if (isAlias(node)) {
      const target = node.resolve(document);
      if (target === undefined) return refuse(node, 'syntax', `the alias *${node.source} has no anchor before it`);
      visit(target, depth + 1, alias ?? node);
    } else if (isMap(node)) {
      for (const { key, value } of node.items as Pair<Node | null, Node | null>[]) {
        if (key !== null && !isScalar(key)) return refuse(key, 'syntax', 'a key must be a word');
        if (value !== null) visit(value, depth + 1, alias);
      }
    } else if (isSeq(node)) {
      for (const item of node.items as (Node | null)[]) if (item !== null) visit(item, depth + 1, alias);
    }
    return problems;
  };
  if (document.contents !== null) visit(document.contents as Node, 0, undefined);
  return problems;
}

function placeAt(lines: LineCounter, offset: number): Place {
  const { line, col } = lines.linePos(offset);
  return { line: Math.max(1, line), column: Math.max(1, col) };
}

function problemAt(code: string, { line, column }: Place, message: string): Problem {
  return { code, line, column, path: [], value: '', message };
}
