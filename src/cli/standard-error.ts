/**
 * The standard error beside a running command, which has the same one.
 *
 * `process.stderr` is not used: its first use makes a pipe non-blocking, for the command too, whose writes then fail with EAGAIN. Lines go out by libuv's threads
 * instead (`engine/file-appender.ts`), in order, and never hold a turn up. A pipe is opened anew for that, non-blocking for us alone, so that one which nobody reads does not
 * keep a thread, and with it the process, for ever.
 */
import fs from 'node:fs';
import { isatty, WriteStream } from 'node:tty';
import { FileAppender } from '../engine/file-appender.ts';
import { layoutFor, type TableLayout } from '../engine/table-layout.ts';

const FD = 2;
/** Lines beyond this, while nobody reads, are lost. */
const QUEUED_BYTES_MAX = 1024 * 1024;
const CLOSE_TIMEOUT_MS = 1000;

export class StandardError {
  readonly #appender: FileAppender = openAppender();
  #lost: number = 0;

  /** `text` is whole lines. Those that are lost are told of before the next one that is not. */
  write(text: string): void {
    const notice = this.#lost === 0 ? '' : `tapster: ${this.#lost} messages were lost here, because nobody read them\n`;
    const taken = this.#appender.append(Buffer.from(notice + text));
    this.#lost = taken ? 0 : this.#lost + 1;
  }

  /** Width and colours for what is written here. */
  layout(): TableLayout {
    return layoutFor(isatty(FD) ? new WriteStream(FD) : { isTTY: false, columns: 0 });
  }

  /** Resolves when all is written, or nobody reads. */
  close(): Promise<void> {
    return this.#appender.close(CLOSE_TIMEOUT_MS);
  }
}

function openAppender(): FileAppender {
  const own = openPipe();
  return new FileAppender(own ?? FD, own !== undefined, QUEUED_BYTES_MAX, () => {});
}

/** A description of our own of the same pipe; undefined where it is none, or can't be opened (another user's). */
function openPipe(): number | undefined {
  try {
    if (!fs.fstatSync(FD).isFIFO()) return undefined;
    return fs.openSync(`/proc/self/fd/${FD}`, fs.constants.O_WRONLY | fs.constants.O_NONBLOCK);
  } catch {
    return undefined;
  }
}
