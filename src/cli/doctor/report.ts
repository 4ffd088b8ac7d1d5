/** What `tapster doctor` prints: one check per paragraph, or all as JSON. */
import { styleText } from 'node:util';
import type { Check } from '../../engine/probe/check.ts';
import { harmless } from '../../engine/text.ts';

const MARKS = { ok: 'ok', warning: 'warning', missing: 'MISSING', info: 'info' } as const;
const COLOURS = { ok: 'green', warning: 'yellow', missing: 'red', info: 'dim' } as const;
const MARK_COLUMNS = 9;
const TITLE_COLUMNS = 17;
const INDENT = ' '.repeat(MARK_COLUMNS);

/** Whether `tapster run` would work. */
export function isFit(checks: readonly Check[]): boolean {
  return checks.every((check) => check.status !== 'missing');
}

export function doctorText(checks: readonly Check[], colours: boolean): string {
  return [...checks.flatMap((check) => paragraph(check, colours)), '', verdict(checks), ''].join('\n');
}

/** `{ fit, checks }`; the fields of a check are those of `Check` in `engine/probe/check.ts`. */
export function doctorJson(checks: readonly Check[]): string {
  return `${JSON.stringify({ fit: isFit(checks), checks }, null, 2)}\n`;
}

function paragraph(check: Check, colours: boolean): string[] {
  const mark = MARKS[check.status].padEnd(MARK_COLUMNS);
  const painted = colours ? styleText(COLOURS[check.status], mark, { validateStream: false }) : mark;
  const lines = [`${painted}${check.title.padEnd(TITLE_COLUMNS)}${harmless(check.found)}`];
  if (check.without !== undefined) lines.push(`${INDENT}so: ${harmless(check.without)}`);
  if (check.fix !== undefined) lines.push(`${INDENT}fix: ${harmless(check.fix)}`);
  return lines;
}

function verdict(checks: readonly Check[]): string {
  const missing = checks.filter((check) => check.status === 'missing').map((check) => check.title);
  if (missing.length > 0) return `"tapster run" does not work here: ${missing.join(', ')}.`;
  const warnings = checks.filter((check) => check.status === 'warning').length;
  if (warnings === 0) return '"tapster run" works here, with all that it can do.';
  return `"tapster run" works here, with ${warnings} thing${warnings === 1 ? '' : 's'} missing that it can do elsewhere.`;
}
