/** What is wrong with a configuration, and where; printed as compilers do. */

export interface Problem {
  /** Stable and machine-readable, in kebab-case: `key-unknown`. */
  readonly code: string;
  /** Both count from 1. A configuration that was no text has 0 and 0. */
  readonly line: number;
  readonly column: number;
  /** Keys and indexes from the top: `['routes', 0, 'via']`. */
  readonly path: readonly (string | number)[];
  /** What is written there, shortened; empty where nothing is. */
  readonly value: string;
  /** What would be right. */
  readonly message: string;
}

const VALUE_TEXT_MAX = 60;
const PRINTED_MAX = 100;

/** Lines as `lab.yaml:3:18: interfaces.tap0.mtu: must be 65520 at most (is 100000)`. */
export function formatProblems(problems: readonly Problem[], file: string): string {
  const lines = problems.slice(0, PRINTED_MAX).map((problem) => formatProblem(problem, file));
  if (problems.length > PRINTED_MAX) lines.push(`${file}: and ${problems.length - PRINTED_MAX} more`);
  return lines.join('\n');
}

/** Keys as in JavaScript: `routes[0].via`, `vlans["100"]`. */
export function formatPath(path: readonly (string | number)[]): string {
  return path.reduce<string>((text, key) => {
    if (typeof key === 'number') return `${text}[${key}]`;
    if (!/^[a-zA-Z_][\w-]*$/.test(key)) return `${text}[${printable(key)}]`;
    return text === '' ? key : `${text}.${key}`;
  }, '');
}

/** A value as one short line of JSON, which no terminal obeys. */
export function shortValue(value: unknown): string {
  if (value === undefined) return '';
  if (typeof value === 'string') return printable(value);
  if (Array.isArray(value)) return value.length === 0 ? '[]' : `a list of ${value.length}`;
  if (value !== null && typeof value === 'object') return Object.keys(value).length === 0 ? '{}' : 'a mapping';
  return String(value);
}

function formatProblem(problem: Problem, file: string): string {
  const where = problem.line === 0 ? file : `${file}:${problem.line}:${problem.column}`;
  const path = problem.path.length === 0 ? '' : `${formatPath(problem.path)}: `;
  return `${where}: ${path}${problem.message}${problem.value === '' ? '' : ` (is ${problem.value})`}`;
}

function printable(text: string): string {
  const short = text.length > VALUE_TEXT_MAX ? `${text.slice(0, VALUE_TEXT_MAX)}…` : text;
  return JSON.stringify(short).replace(/[^\x20-\x7e…\p{L}]/gu, '?');
}
