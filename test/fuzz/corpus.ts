/**
 * The corpus: inputs that once failed, or that reach what chance does not, one file for each, in `test/fuzz/corpus/TARGET/NAME.hex`. A file is hexadecimal digits; blanks,
 * line ends and what stands behind `#` do not count, so that each can say what it is.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const CORPUS: string = fileURLToPath(new URL('../../../test/fuzz/corpus', import.meta.url));

export interface CorpusEntry {
  readonly name: string;
  readonly input: Uint8Array;
}

export function readCorpus(target: string): CorpusEntry[] {
  const folder = join(CORPUS, target);
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => name.endsWith('.hex'))
    .sort()
    .map((name) => ({ name, input: fromHex(readFileSync(join(folder, name), 'utf8')) }));
}

/** The bytes of a text of digits; throws where it is none. */
export function fromHex(text: string): Uint8Array {
  const digits = text.replace(/#.*/g, '').replace(/\s+/g, '');
  if (!/^([0-9a-f]{2})*$/i.test(digits)) throw new Error(`not hexadecimal: ${text.slice(0, 40)}`);
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
