/** What the machine has: programs and privileges. A test that lacks one is skipped and says which. */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Where programs are looked for; daemons and clients for administrators are not in everybody's PATH. */
export const SEARCH_PATH: string = [
  process.env['PATH'] ?? '',
  '/usr/local/sbin',
  '/usr/sbin',
  '/sbin',
  '/usr/bin',
  '/bin',
]
  .filter((part) => part !== '')
  .join(delimiter);

/** The value of a test's `skip`: false, or which of the programs are missing. */
export function lacking(...programs: string[]): string | false {
  const missing = programs.filter((program) => find(program) === undefined);
  return missing.length === 0 ? false : `not installed: ${missing.join(', ')}`;
}

function find(program: string): string | undefined {
  return SEARCH_PATH.split(delimiter)
    .map((folder) => join(folder, program))
    .find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
