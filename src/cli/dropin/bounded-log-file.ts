/**
 * A log file that never grows beyond a size: before it would, its oldest quarter is removed, in place and at the end of a line. Whoever has it open goes on to read the same
 * file.
 *
 * Written at once, by nobody else at the same time.
 */
import { constants, fstatSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { failure, type Result, success } from '../../base/result.ts';

const CHUNK_BYTES = 65_536;
const NEWLINE = 0x0a;

/** What is there already is kept, as far as it fits. */
export function openBoundedLogFile(path: string, bytesMax: number): Result<BoundedLogFile> {
  try {
    const fd = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600);
    return success(new BoundedLogFile(fd, bytesMax));
  } catch (error) {
    return failure('log-failed', `the log file ${path} can't be opened: ${(error as NodeJS.ErrnoException).code}`);
  }
}

export class BoundedLogFile {
  readonly #fd: number;
  readonly #bytesMax: number;
  #size: number;

  /** For `openBoundedLogFile`. */
  constructor(fd: number, bytesMax: number) {
    this.#fd = fd;
    this.#bytesMax = bytesMax;
    this.#size = fstatSync(fd).size;
  }

  /** A full disk loses the line: there is nobody to tell. */
  write(line: string): void {
    const bytes = Buffer.from(line).subarray(0, this.#bytesMax);
    try {
      if (this.#size + bytes.length > this.#bytesMax) this.#makeRoom(bytes.length);
      this.#size += writeSync(this.#fd, bytes, 0, bytes.length, this.#size);
    } catch {}
  }

  #makeRoom(bytes: number): void {
    const least = Math.max(this.#size + bytes - this.#bytesMax, this.#size >> 2);
    const from = this.#lineBehind(least);
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
    let to = 0;
    for (let at = from; at < this.#size; ) {
      const count = readSync(this.#fd, chunk, 0, CHUNK_BYTES, at);
      if (count === 0) break;
      writeSync(this.#fd, chunk, 0, count, to);
      at += count;
      to += count;
    }
    ftruncateSync(this.#fd, to);
    this.#size = to;
  }

  /** Where the first line begins behind an offset; the end of the file where none does. */
  #lineBehind(offset: number): number {
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
    for (let at = offset; at < this.#size; ) {
      const count = readSync(this.#fd, chunk, 0, CHUNK_BYTES, at);
      if (count === 0) break;
      const newline = chunk.subarray(0, count).indexOf(NEWLINE);
      if (newline >= 0) return at + newline + 1;
      at += count;
    }
    return this.#size;
  }
}
