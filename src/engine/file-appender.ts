/**
 * Appends bytes to a file behind the engine's back: log and capture files.
 *
 * Bytes are queued, and one write(2) at a time runs in libuv's threads with everything that was queued so far, so that order is kept, a reader (`tail
 * -f`, Wireshark) sees each turn's bytes at once, and a slow disk, a full pipe or a stopped terminal never blocks a turn. A synchronous write could do
 * that; a WriteStream has no bound and no way to finish when the process exits. What does not fit into the bound is lost, and the caller, who knows
 * what it is, counts it. The first error is reported once and ends the writing: the network goes on.
 */
import fs from 'node:fs';
import { failure, type Result, success } from '../base/result.ts';
import { errnoName } from '../sys/errno.ts';

/** A pipe that is full, or a terminal that somebody else made non-blocking, is tried again after this time. */
const RETRY_MS = 10;

/** Into so many looks, with turns of the loop between them, the time of `close` is cut: where nobody let us run, the time alone would be over. */
const CLOSE_LOOKS = 10;

export class FileAppender {
  readonly #fd: number;
  readonly #owned: boolean;
  readonly #queuedBytesMax: number;
  readonly #failed: (reason: string) => void;
  #queue: Uint8Array[] = [];
  #queuedBytes: number = 0;
  /** What the kernel has been given, and has not taken yet. */
  #writing: Uint8Array[] = [];
  #writtenBytes: number = 0;
  #stopped: boolean = false;
  #idle: (() => void) | undefined;
  readonly #atExit: () => void = () => this.#flushAtExit();

  /** `owned`: the descriptor is closed in the end. `failed` hears the first error. */
  constructor(fd: number, owned: boolean, queuedBytesMax: number, failed: (reason: string) => void) {
    this.#fd = fd;
    this.#owned = owned;
    this.#queuedBytesMax = queuedBytesMax;
    this.#failed = failed;
    process.on('exit', this.#atExit);
  }

  /** False once an error has ended the writing. */
  get working(): boolean {
    return !this.#stopped;
  }

  /** Queues `bytes`, which the caller gives away. Returns false when they are lost: the queue is full, or writing has ended. */
  append(bytes: Uint8Array): boolean {
    if (this.#stopped || this.#queuedBytes + bytes.length > this.#queuedBytesMax) return false;
    this.#queue.push(bytes);
    this.#queuedBytes += bytes.length;
    if (this.#writing.length === 0) this.#write();
    return true;
  }

  /** Resolves when everything is written, or nothing was taken for `timeoutMs`: a pipe that nobody reads must not keep us. */
  async close(timeoutMs: number): Promise<void> {
    for (let looks = 0; looks < CLOSE_LOOKS && this.#writing.length > 0 && !this.#stopped; ) {
      const before = this.#writtenBytes;
      await this.#idleWithin(timeoutMs / CLOSE_LOOKS);
      looks = this.#writtenBytes === before ? looks + 1 : 0;
    }
    const stuck = this.#writing.length > 0 && !this.#stopped;
    if (stuck) this.#stop('nobody reads what is written');
    process.off('exit', this.#atExit);
    this.#stopped = true;
    // A write that is stuck still uses the descriptor.
    if (this.#owned && !stuck) fs.closeSync(this.#fd);
  }

  async #idleWithin(timeoutMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      this.#idle = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #write(): void {
    if (this.#stopped) return;
    if (this.#writing.length === 0) {
      this.#writing = this.#queue;
      this.#queue = [];
    }
    fs.writev(this.#fd, this.#writing, null, (error, written) => this.#wrote(error, written));
  }

  #wrote(error: NodeJS.ErrnoException | null, written: number): void {
    if (this.#stopped) return;
    if (error?.code === 'EAGAIN') {
      setTimeout(() => this.#write(), RETRY_MS);
      return;
    }
    if (error !== null) {
      this.#stop(error.errno === undefined ? error.message : errnoName(error.errno));
      return;
    }
    this.#writtenBytes += written;
    this.#queuedBytes -= written;
    this.#writing = behind(this.#writing, written);
    if (this.#writing.length > 0 || this.#queue.length > 0) this.#write();
    else this.#idle?.();
  }

  #stop(reason: string): void {
    this.#stopped = true;
    this.#queue = [];
    this.#writing = [];
    this.#queuedBytes = 0;
    this.#idle?.();
    this.#failed(reason);
  }

  /** The process exits without `close`: what no write has begun with goes out now. */
  #flushAtExit(): void {
    if (this.#stopped) return;
    try {
      for (const bytes of this.#queue) fs.writeSync(this.#fd, bytes);
    } catch {
      // There is nobody left to tell.
    }
  }
}

/**
 * Opens `path` for appending, or uses the descriptor that it stands for: `-` and `/dev/stdout` are 1, `/dev/stderr` is 2, `/dev/fd/N` is N (opening these
 * anew fails where they are sockets, and would write over a file that they share). `keep`: append to what is in the file, else start anew. Non-blocking,
 * which means something for named pipes: a write that waits for a reader would keep a thread, and with it the process, for ever.
 */
export function openOutput(path: string, keep: boolean): Result<{ fd: number; owned: boolean }> {
  const inherited = inheritedDescriptor(path);
  if (inherited !== undefined) return success({ fd: inherited, owned: false });
  const { O_WRONLY, O_CREAT, O_NONBLOCK, O_NOCTTY, O_APPEND, O_TRUNC } = fs.constants;
  const flags = O_WRONLY | O_CREAT | O_NONBLOCK | O_NOCTTY | (keep ? O_APPEND : O_TRUNC);
  try {
    return success({ fd: fs.openSync(path, flags, 0o644), owned: true });
  } catch (error) {
    return failure('file-not-writable', `can't write "${path}": ${whyNotOpened(error as NodeJS.ErrnoException)}`);
  }
}

function whyNotOpened(error: NodeJS.ErrnoException): string {
  if (error.code === 'ENXIO') return 'nobody reads this pipe; start its reader first';
  if (error.code === 'ENOENT') return 'its directory does not exist';
  if (error.code === 'EISDIR') return 'it is a directory';
  return error.code ?? String(error);
}

function inheritedDescriptor(path: string): number | undefined {
  if (path === '-' || path === '/dev/stdout') return 1;
  if (path === '/dev/stderr') return 2;
  const match = /^\/(?:dev|proc\/self)\/fd\/(\d{1,6})$/.exec(path);
  return match === null ? undefined : Number(match[1]);
}

/** The pieces that remain when the first `written` bytes are gone. */
function behind(pieces: readonly Uint8Array[], written: number): Uint8Array[] {
  let left = written;
  let i = 0;
  while (i < pieces.length && left >= (pieces[i] as Uint8Array).length) left -= (pieces[i++] as Uint8Array).length;
  const rest = pieces.slice(i);
  if (left > 0) rest[0] = (rest[0] as Uint8Array).subarray(left);
  return rest;
}
