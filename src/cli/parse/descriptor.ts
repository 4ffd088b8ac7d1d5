/** The number of an open descriptor. */
import { fstatSync } from 'node:fs';
import { type Parsed, parsed, wrong } from './parsed.ts';

export function parseDescriptor(text: string): Parsed<number> {
  const right = 'Give the number of a connected socket that this process was started with, from 3 on.';
  if (!/^[0-9]{1,9}$/.test(text) || Number(text) < 3) return wrong('is no number of a descriptor', right);
  try {
    if (fstatSync(Number(text)).isSocket()) return parsed(Number(text));
    return wrong('is open, but is no socket', right);
  } catch {
    return wrong('is not open', right);
  }
}
