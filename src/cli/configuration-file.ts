/** The file that `up` and `apply` read. Loads zod and yaml. */
import type { Config } from '../config/config.ts';
import { parseConfig } from '../config/parse-config.ts';
import { formatProblems } from '../config/problem.ts';
import { readText } from './read-text.ts';

/** Of the standard input. */
export const STANDARD_INPUT = '-';

export type ReadConfiguration =
  | { readonly ok: true; readonly text: string; readonly config: Config }
  /** Every mistake, a line each, as `lab.yaml:3:18: ...`. */
  | { readonly ok: false; readonly text: string };

export function readConfiguration(file: string): ReadConfiguration {
  const read = readText(file === STANDARD_INPUT ? 0 : file);
  if (!read.ok) return { ok: false, text: `tapster: ${read.failure.message}\n` };
  const parsed = parseConfig(read.value);
  if (parsed.ok) return { ok: true, text: read.value, config: parsed.value };
  const name = file === STANDARD_INPUT ? 'standard input' : file;
  return { ok: false, text: `${formatProblems(parsed.problems, name)}\n` };
}
