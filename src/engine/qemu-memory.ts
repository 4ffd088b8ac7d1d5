/**
 * Memory of a machine that vhost-user can work on: another process must be able to map it, and by itself QEMU's is not such. `-machine memory-backend=` gives the machine one that is
 * shared, and as large as `-m` says: QEMU ends where the two differ. So `-m` is read here as QEMU 7.2 does (util/cutils.c, `do_strtosz`; softmmu/vl.c).
 *
 * Only the words of the command are seen, not files that it reads (`-readconfig`), nor what a script adds. A command that gives a memory backend itself is left alone.
 */
import { failure, type Result, success } from '../base/result.ts';

const MIB = 1024n * 1024n;
/** Of QEMU's machines for PCs, when nothing says how much. */
const DEFAULT_BYTES: bigint = 128n * MIB;
/** QEMU rounds up to this. */
const GRANULE_BYTES = 8192n;
/** Binary digits that each suffix stands for. */
const SUFFIXES = 'bkmgtpe';
const SIZE = /^\s*\+?(?:0x([0-9a-f]+)|(\d+)(?:\.(\d*))?([bkmgtpe]?))$/i;

/** What a command needs in addition, so that its memory is shared: empty where it gives a backend itself. */
export function sharedMemoryArguments(command: readonly string[]): Result<readonly string[]> {
  if (givesMemory(command)) return success([]);
  if (optionValues(command, ['mem-path']).length > 0) {
    return failure(
      'memory-not-shared',
      "-mem-path: vhost-user works on memory that is shared, and this is not: give it as -object memory-backend-file,share=on,... with -machine memory-backend=..., or leave it out for Tapster's",
    );
  }
  let bytes = DEFAULT_BYTES;
  for (const value of optionValues(command, ['m'])) {
    const given = sizeOf(value);
    if (given === undefined) continue;
    const size = parseMemorySize(given);
    if (size === undefined) {
      return failure('memory-size', `-m ${value}: the size is none that QEMU takes; 512 (MiB), 512M and 1.5G are some`);
    }
    bytes = size === 0n ? DEFAULT_BYTES : size;
  }
  return success(memoryArguments(String(bytes)));
}

/** `size`: bytes, or with a suffix. */
export function memoryArguments(size: string): string[] {
  const backend = `memory-backend-memfd,id=tapster-memory,share=on,size=${size}`;
  return ['-object', backend, '-machine', 'memory-backend=tapster-memory'];
}

/** Bytes; undefined: QEMU does not take it. Without a suffix MiB are meant. */
export function parseMemorySize(text: string): bigint | undefined {
  const found = SIZE.exec(text);
  if (found === null) return undefined;
  const [, hexadecimal, whole = '', fraction = '', suffix = ''] = found;
  if (hexadecimal !== undefined) return rounded(inMib(text, BigInt(`0x${hexadecimal}`)));
  const unit = 1024n ** BigInt(Math.max(0, SUFFIXES.indexOf(suffix.toLowerCase())));
  // Nobody has half a byte.
  if (unit === 1n && BigInt(fraction === '' ? 0 : fraction) !== 0n) return undefined;
  const part = fraction === '' ? 0n : (BigInt(fraction) * unit) / 10n ** BigInt(fraction.length);
  return rounded(inMib(text, BigInt(whole) * unit + part));
}

/** QEMU looks at the last character: a suffix is none of the digits, those of hexadecimal numbers among them. */
function inMib(text: string, size: bigint): bigint {
  return /\d$/.test(text) ? size * MIB : size;
}

function rounded(bytes: bigint): bigint {
  return ((bytes + GRANULE_BYTES - 1n) / GRANULE_BYTES) * GRANULE_BYTES;
}

/** Of `-m size=1G,slots=2`, where "size=" may be left out in front: the size, if it is there. The last one counts. */
function sizeOf(value: string): string | undefined {
  let size: string | undefined;
  for (const [index, part] of value.split(',').entries()) {
    const [name = '', given] = split(part);
    if (name === 'size' && given !== undefined) size = given;
    else if (index === 0 && given === undefined) size = part;
  }
  return size;
}

function split(part: string): [string, string | undefined] {
  const at = part.indexOf('=');
  return at < 0 ? [part, undefined] : [part.slice(0, at), part.slice(at + 1)];
}

/** Whether the command says where the machine's memory is. Backends of further memory (`-device pc-dimm,memdev=`) are something else. */
function givesMemory(command: readonly string[]): boolean {
  return (
    optionValues(command, ['machine', 'M']).some((value) => /(?:^|,)memory-backend=/.test(value)) ||
    optionValues(command, ['numa']).some((value) => /(?:^|,)memdev=/.test(value))
  );
}

/** QEMU's options have one hyphen or two. */
function optionValues(command: readonly string[], names: readonly string[]): string[] {
  return command.flatMap((word, index) => {
    const name = /^--?([A-Za-z].*)$/.exec(word)?.[1];
    const value = command[index + 1];
    return name !== undefined && names.includes(name) && value !== undefined ? [value] : [];
  });
}
