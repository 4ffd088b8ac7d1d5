/**
 * A configuration from text: YAML, or JSON, which is YAML too. Whatever is wrong is told at once, each with its line, its column, its value and what
 * would be right. Three judges, each and what one of them refused the next does not judge: the parser (`yaml-source.ts`), the schema (`schema.ts`), and
 * what values must be to each other (`cross-checks.ts`).
 *
 * Loads zod and yaml: see `schema.ts`.
 */
import type { Failure } from '../base/result.ts';
import type { Config } from './config.ts';
import { crossProblems } from './cross-checks.ts';
import type { Problem } from './problem.ts';
import { CONFIG_SCHEMA } from './schema.ts';
import { describeIssue, schemaProblems } from './schema-problems.ts';
import { readYaml, type YamlSource } from './yaml-source.ts';

/** A `Result<Config>` that knows each problem. */
export type ParsedConfig =
  | { readonly ok: true; readonly value: Config }
  | { readonly ok: false; readonly failure: Failure; readonly problems: readonly Problem[] };

/** `text` of a file. An empty one is an engine without anything. */
export function parseConfig(text: string): ParsedConfig {
  const source = readYaml(text);
  return Array.isArray(source) ? refused(source as readonly Problem[]) : judge(source as YamlSource);
}

/** Of data that was never a file: a body of the API. Problems have no line. */
export function checkConfig(data: unknown): ParsedConfig {
  const nowhere = { line: 0, column: 0 };
  return judge({ data, placeOfKey: () => nowhere, placeOfValue: () => nowhere });
}

function judge(source: YamlSource): ParsedConfig {
  const data = source.data ?? {};
  const parsed = CONFIG_SCHEMA.safeParse(data, OPTIONS);
  const problems = parsed.success ? [] : schemaProblems(parsed.error, source);
  const config = parsed.success ? parsed.data : withoutWrong(data, problems);
  if (config !== undefined) problems.push(...crossProblems(config, problems, source));
  if (problems.length > 0) return refused(problems);
  return config === undefined ? refused([]) : { ok: true, value: config };
}

const OPTIONS = { error: describeIssue, reportInput: true };

function refused(problems: readonly Problem[]): ParsedConfig {
  const sorted = [...problems].sort((a, b) => a.line - b.line || a.column - b.column);
  const [first] = sorted;
  const others = sorted.length > 1 ? `, and ${sorted.length - 1} more` : '';
  const where = first === undefined || first.line === 0 ? '' : `line ${first.line}, column ${first.column}: `;
  const message = `the configuration is wrong: ${where}${first?.message ?? 'unknown'}${others}`;
  return { ok: false, failure: { code: 'config-invalid', message }, problems: sorted };
}

/**
 * What is left of the data when all that the schema refused is cut out, so that the rest can be judged in the same go: each refused value, or what is around
 * it where it can't be left out. Undefined: nothing can be made of it.
 */
function withoutWrong(data: unknown, problems: readonly Problem[]): Config | undefined {
  const rest: unknown = structuredClone(data);
  let paths = problems.map(({ path }) => path as readonly PropertyKey[]);
  for (let tries = 0; tries < CUTS_MAX; tries++) {
    if (paths.some((path) => path.length === 0)) return undefined;
    cut(rest, paths);
    const parsed = CONFIG_SCHEMA.safeParse(rest);
    if (parsed.success) return parsed.data;
    // What is wrong now lacks what was cut out of it.
    paths = parsed.error.issues.map(({ path, code }) => (code === 'invalid_type' ? path.slice(0, -1) : path));
  }
  return undefined;
}

/** A value of the schema is no deeper. */
const CUTS_MAX = 8;

/** Entries of lists are cut from the back, so that those in front keep their index until it is their turn. */
function cut(data: unknown, paths: readonly (readonly PropertyKey[])[]): void {
  const backwards = [...paths].sort((a, b) => compareKeys(b, a));
  for (const path of backwards) {
    let holder = data as Record<PropertyKey, unknown> | undefined;
    for (const key of path.slice(0, -1)) holder = holder?.[key] as Record<PropertyKey, unknown> | undefined;
    const last = path.at(-1)!;
    if (Array.isArray(holder)) holder.splice(Number(last), 1);
    else if (holder !== null && typeof holder === 'object') delete holder[last];
  }
}

function compareKeys(a: readonly PropertyKey[], b: readonly PropertyKey[]): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const [x, y] = [a[i], b[i]];
    if (typeof x === 'number' && typeof y === 'number' && x !== y) return x - y;
    if (x !== y) return String(x) < String(y) ? -1 : 1;
  }
  return a.length - b.length;
}
