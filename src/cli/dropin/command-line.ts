/** What reading the command line of a program that we stand in for gives, and how its mistakes and its help are written. */
import { harmless } from '../../engine/text.ts';
import type { Wrong } from '../parse/parsed.ts';
import type { OptionShape } from './getopt.ts';

export type CommandLine<T> =
  | { readonly kind: 'run'; readonly options: T; readonly warnings: readonly string[] }
  /** Help or version: for the standard output, exit status 0. */
  | { readonly kind: 'print'; readonly text: string }
  /** For the standard error, exit status `DROPIN_EXIT.refused`. */
  | { readonly kind: 'refused'; readonly text: string };

/** The three programs end with 1 for whatever is wrong with their command line, and for all that goes wrong before they run. */
export const DROPIN_EXIT = { success: 0, refused: 1 } as const;

/** Where the description of an option begins. */
const HELP_COLUMN = 34;

/** Characters of a value that a message repeats: a list of ports may have a hundred thousand. */
const SHOWN_MAX = 120;

/** An option's row in a table: how it is written, what help says of it. */
export interface DescribedOption extends OptionShape {
  readonly group: string;
  readonly about: string;
}

export function refused(
  program: string,
  message: string,
  right: string,
): { readonly kind: 'refused'; readonly text: string } {
  return { kind: 'refused', text: `${program}: ${harmless(message)}\n${harmless(right)}\n` };
}

/** As getopt tells it, and where to read on. */
export function mistaken(program: string, message: string): { readonly kind: 'refused'; readonly text: string } {
  return refused(program, message, `Try "${program} --help".`);
}

/** `--mtu 67: below 68`. */
export function wrongValue(
  program: string,
  shape: OptionShape,
  value: string,
  { wrong, right }: Wrong,
): { readonly kind: 'refused'; readonly text: string } {
  const short = value.length > SHOWN_MAX ? `${value.slice(0, SHOWN_MAX)}...` : value;
  const written = shape.value === undefined ? '' : ` ${short === '' ? '""' : short}`;
  return refused(program, `--${shape.long}${written}: ${wrong}`, right);
}

export function formatHelp(usage: readonly string[], about: string, rows: readonly DescribedOption[]): string {
  const groups = [...new Set(rows.map(({ group }) => group))];
  const blocks = groups.map((group) => {
    const lines = rows.filter((row) => row.group === group).map(formatRow);
    return `\n${group}:\n${lines.join('')}`;
  });
  const head = usage.map((line, i) => `${i === 0 ? 'Usage: ' : '       '}${line}\n`).join('');
  return `${head}${about}\n${blocks.join('')}`;
}

function formatRow({ short, long, value, about }: DescribedOption): string {
  const names = `  ${short === undefined ? '    ' : `-${short}, `}--${long}${value === undefined ? '' : ` ${value}`}`;
  const gap = names.length + 2 > HELP_COLUMN ? `\n${' '.repeat(HELP_COLUMN)}` : ' '.repeat(HELP_COLUMN - names.length);
  return `${names}${gap}${about}\n`;
}
