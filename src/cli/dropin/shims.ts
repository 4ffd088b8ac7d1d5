/**
 * `tapster shims DIR`: executables called `pasta`, `passt` and `slirp4netns` in a folder of the user's choice. Whoever puts that folder first in the search
 * path has Tapster in their place; an installed package alone never shadows the system's own.
 *
 * Each is a few lines for the shell, which become Node with the bundle: nothing is searched for, and nothing is left of the shell. A `#!` line that names
 * Node would spare the shell's millisecond, but can't have spaces in its path.
 *
 * What is not ours is never overwritten: a name that is there must be a plain file that begins as ours do. All three are judged before the first is written,
 * and each appears whole or not at all.
 */
import {
  chmodSync,
  closeSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { isAbsolute, join, resolve } from 'node:path';
import { failure, type Result, success } from '../../base/result.ts';

const SHIM_NAMES = ['pasta', 'passt', 'slirp4netns'] as const;

export interface ShimTarget {
  /** Absolute paths: of Node, and of the bundled command. */
  readonly node: string;
  readonly script: string;
}

const MARK = "#!/bin/sh\n# Made by `tapster shims`, which replaces it. Starts Tapster in this program's place.\n";

/** The paths of what was written, or the first thing that was in the way. */
export function writeShims(folder: string, target: ShimTarget): Result<readonly string[]> {
  for (const path of [target.node, target.script]) {
    if (!isAbsolute(path) || path.includes('\0')) return failure('shim-target', `"${path}" is not an absolute path`);
  }
  const paths = SHIM_NAMES.map((name) => join(resolve(folder), name));
  try {
    mkdirSync(folder, { recursive: true });
    const foreign = paths.find((path) => !isOursOrFree(path));
    if (foreign !== undefined) return notOurs(foreign);
    for (const [i, path] of paths.entries()) {
      if (!place(path, shimText(SHIM_NAMES[i] as string, target))) return notOurs(path);
    }
    return success(paths);
  } catch (error) {
    return failure('shims-not-written', `The executables can't be written to ${folder}: ${(error as Error).message}.`);
  }
}

/** `"$@"` hands the arguments on as they are, whatever is in them. */
export function shimText(name: string, { node, script }: ShimTarget): string {
  return `${MARK}exec ${quoted(node)} ${quoted(script)} ${name} "$@"\n`;
}

function isOursOrFree(path: string): boolean {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return true;
  return stat.isFile() && headOf(path) === MARK;
}

function headOf(path: string): string {
  const file = openSync(path, 'r');
  try {
    const head = Buffer.alloc(Buffer.byteLength(MARK));
    return head.toString('utf8', 0, readSync(file, head, 0, head.length, 0));
  } finally {
    closeSync(file);
  }
}

/** False: in the meantime somebody else has put something there. */
function place(path: string, text: string): boolean {
  const temporary = `${path}.${process.pid}.new`;
  writeFileSync(temporary, text, { flag: 'wx', mode: 0o755 });
  try {
    // Not masked by the umask: whoever calls these programs must be able to.
    chmodSync(temporary, 0o755);
    if (lstatSync(path, { throwIfNoEntry: false }) === undefined) {
      // A link, and not a new name: it fails where there is something by now.
      linkSync(temporary, path);
    } else {
      if (!isOursOrFree(path)) return false;
      renameSync(temporary, path);
    }
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    rmSync(temporary, { force: true });
  }
}

function notOurs(path: string): Result<never> {
  return failure(
    'shim-not-ours',
    `${path} is there and was not made by "tapster shims": choose another folder, or remove it first.`,
  );
}

/** A word for the shell: in single quotes everything is itself but the single quote. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
