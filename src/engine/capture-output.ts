/**
 * A capture on its way to its file: what is written gathers in one chunk, which goes to the file when it is large or `FLUSH_MS` old. What a slow disk lets pile up is bounded;
 * chunks beyond that are lost whole and counted, so that the file stays readable. A write error is told once and ends the capture; the network goes on.
 */
import { type Result, success } from '../base/result.ts';
import { PcapChunk } from '../packet/pcap-chunk.ts';
import { FileAppender, openOutput } from './file-appender.ts';

/** A chunk of this size is handed to the file at the end of the turn, */
const CHUNK_BYTES = 256 * 1024;
/** and of this size at once; a turn's packets may be 8 MiB. */
const CHUNK_BYTES_MAX = 2 * 1024 * 1024;
const QUEUED_BYTES_MAX = 64 * 1024 * 1024;
/** A reader that follows sees packets after this time. */
const FLUSH_MS = 50;
const CLOSE_TIMEOUT_MS = 5000;

/** Opens the file. `report` hears of errors, each once. */
export function openCaptureOutput(path: string, report: (message: string) => void): Result<CaptureOutput> {
  const output = openOutput(path, false);
  if (!output.ok) return output;
  const { fd, owned } = output.value;
  const failed = (reason: string): void => report(`capture "${path}": ${reason}; the capture ends here`);
  return success(new CaptureOutput(new FileAppender(fd, owned, QUEUED_BYTES_MAX, failed), path, report));
}

export class CaptureOutput {
  /** What is not handed on yet. Empty again after each flush. */
  readonly chunk: PcapChunk = new PcapChunk(CHUNK_BYTES_MAX);
  /** Called before the chunk goes: what is in there can't be changed any more. */
  onFlush: () => void = () => {};
  readonly #appender: FileAppender;
  readonly #path: string;
  readonly #report: (message: string) => void;
  #packets: number = 0;
  #lostPackets: number = 0;
  #timer: NodeJS.Timeout | undefined;

  /** For `openCaptureOutput`. */
  constructor(appender: FileAppender, path: string, report: (message: string) => void) {
    this.#appender = appender;
    this.#path = path;
    this.#report = report;
  }

  /** False: writing has failed, and nothing is to be captured any more. */
  get working(): boolean {
    return this.#appender.working;
  }

  /** A packet has been written to the chunk. */
  packetWritten(): void {
    this.#packets++;
    if (this.chunk.length >= CHUNK_BYTES_MAX) this.flush();
    else this.flushSoon();
  }

  turnEnded(): void {
    if (this.chunk.length >= CHUNK_BYTES) this.flush();
  }

  flushSoon(): void {
    this.#timer ??= setTimeout(() => this.flush(), FLUSH_MS).unref();
  }

  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.onFlush();
    if (this.chunk.length === 0) return;
    const taken = this.#appender.append(this.chunk.bytes.slice(0, this.chunk.length));
    if (!taken) this.#lostPackets += this.#packets;
    this.chunk.reset();
    this.#packets = 0;
  }

  /** Resolves when the file is complete. */
  async close(): Promise<void> {
    const { working } = this.#appender;
    this.flush();
    await this.#appender.close(CLOSE_TIMEOUT_MS);
    if (working && this.#lostPackets > 0) {
      this.#report(`capture "${this.#path}": ${this.#lostPackets} packets are missing, the disk was too slow`);
    }
  }
}
