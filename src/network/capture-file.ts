/**
 * The file of one capture: pcapng with a description of each interface, or, for one interface and where the name ends in `.pcap`, classic pcap.
 *
 * Blocks gather in a chunk, which goes to the file when it is large or `FLUSH_MS` old, behind the engine's back (see `engine/file-appender.ts`). What a slow disk lets pile
 * up is bounded; chunks beyond that are lost whole and counted, so that the file stays readable. An interface's description is never in such a chunk: it goes by itself,
 * and until the disk takes it the interface's packets are left out. The file is new, and its owner's alone: it shows what others say.
 */
import fs from 'node:fs';
import { machine, release } from 'node:os';
import { CAPTURE_QUEUED_BYTES_MAX } from '../base/limits.ts';
import { failure, type Result, success } from '../base/result.ts';
import { FileAppender } from '../engine/file-appender.ts';
import type { Packet, Packets } from '../packet/packets.ts';
import * as pcap from '../packet/pcap.ts';
import { PcapChunk } from '../packet/pcap-chunk.ts';
import * as pcapng from '../packet/pcapng.ts';

/** A chunk of this size is handed to the file at the end of the turn, */
const CHUNK_BYTES = 64 * 1024;
/** and of this size at once. */
const CHUNK_BYTES_MAX = 1024 * 1024;
/** A reader that follows sees packets after this time. */
const FLUSH_MS = 50;
const CLOSE_TIMEOUT_MS = 5000;

export interface CaptureFileOptions {
  readonly path: string;
  /** Program and version. */
  readonly application: string;
  /** What is captured, for the file's own comment. */
  readonly comment: string;
  readonly bytesPerPacketMax: number | undefined;
  /** Of all that waits for the disk. Left out: CAPTURE_QUEUED_BYTES_MAX. */
  readonly queuedBytesMax?: number;
  /** Milliseconds since the epoch, with fractions. */
  readonly now: () => number;
  /** Hears the first error: nothing is written any more. */
  readonly failed: (reason: string) => void;
}

/** An interface in a file. */
export interface DescribedInterface {
  readonly name: string;
  /** Its number in the file; -1: not described yet. */
  number: number;
}

/** Whether the name asks for classic pcap, which has neither interfaces nor directions. */
export function isClassic(path: string): boolean {
  return path.endsWith('.pcap');
}

/** Makes the file, which must not be there, and writes its head. */
export function createCaptureFile(options: CaptureFileOptions): Result<CaptureFile> {
  const { O_WRONLY, O_CREAT, O_EXCL, O_APPEND, O_NOCTTY } = fs.constants;
  try {
    const fd = fs.openSync(options.path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_NOCTTY, 0o600);
    return success(new CaptureFile(fd, options));
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'EEXIST') {
      return failure('capture-file-exists', `"${options.path}" is there already; remove it, or choose another file`);
    }
    const why = code === 'ENOENT' ? 'its directory does not exist' : (code ?? String(error));
    return failure('capture-file-not-writable', `can't create "${options.path}": ${why}`);
  }
}

export class CaptureFile {
  /** In the file, or on the way there. */
  packets: number = 0;
  /** Of these packets, as far as they are in the file. */
  bytes: number = 0;
  dropped: number = 0;
  readonly #appender: FileAppender;
  readonly #classic: boolean;
  readonly #bytesPerPacketMax: number;
  readonly #now: () => number;
  readonly #chunk: PcapChunk = new PcapChunk(2 * CHUNK_BYTES);
  #chunkPackets: number = 0;
  #chunkBytes: number = 0;
  #interfaces: number = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(fd: number, options: CaptureFileOptions) {
    const { path, application, comment, bytesPerPacketMax = pcap.SNAPSHOT_BYTES, now, failed } = options;
    this.#appender = new FileAppender(fd, true, options.queuedBytesMax ?? CAPTURE_QUEUED_BYTES_MAX, failed);
    this.#classic = isClassic(path);
    this.#bytesPerPacketMax = bytesPerPacketMax;
    this.#now = now;
    if (this.#classic) pcap.writeFileHeader(this.#chunk, 'nanoseconds', bytesPerPacketMax);
    else {
      pcapng.writeSection(this.#chunk, { hardware: machine(), os: `Linux ${release()}`, application, comment });
    }
    this.#flush();
  }

  /** What a packet of this length takes of it. */
  capturedBytes(frameBytes: number): number {
    return Math.min(frameBytes, this.#bytesPerPacketMax);
  }

  /** Tells the file of an interface, if there is room; to be repeated by `write` otherwise. */
  describe(described: DescribedInterface): void {
    if (this.#classic) {
      described.number = 0;
      return;
    }
    this.#flush();
    const { name } = described;
    pcapng.writeInterface(this.#chunk, { name, bytesPerPacketMax: this.#bytesPerPacketMax });
    if (this.#appender.append(this.#chunk.bytes.slice(0, this.#chunk.length))) described.number = this.#interfaces++;
    this.#chunk.reset();
  }

  write(described: DescribedInterface, direction: number, packets: Packets, packet: Packet): void {
    if (!this.#appender.working) return;
    if (described.number < 0) this.describe(described);
    if (described.number < 0) {
      this.dropped++;
      return;
    }
    const length = packets.length[packet] as number;
    const captured = this.capturedBytes(length);
    this.#append(described.number, direction, packets.bytes, packets.start[packet] as number, captured, length);
    this.packets++;
    this.bytes += captured;
    this.#chunkPackets++;
    this.#chunkBytes += captured;
    if (this.#chunk.length >= CHUNK_BYTES_MAX) this.#flush();
    else this.#timer ??= setTimeout(() => this.#flush(), FLUSH_MS).unref();
  }

  turnEnded(): void {
    if (this.#chunk.length >= CHUNK_BYTES) this.#flush();
  }

  /** Resolves when the file is complete, or the disk did not take it in time. */
  async close(): Promise<void> {
    this.#flush();
    await this.#appender.close(CLOSE_TIMEOUT_MS);
  }

  #append(index: number, direction: number, from: Uint8Array, at: number, captured: number, length: number): void {
    const timeMs = this.#now();
    const seconds = Math.floor(timeMs / 1000);
    const nanoseconds = Math.floor((timeMs - seconds * 1000) * 1e6);
    if (this.#classic) pcap.writeRecord(this.#chunk, seconds, nanoseconds, from, at, captured, length);
    else {
      const { writePacket } = pcapng;
      writePacket(this.#chunk, index, seconds, nanoseconds, direction, from, at, captured, length, undefined);
    }
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#chunk.length === 0) return;
    if (!this.#appender.append(this.#chunk.bytes.slice(0, this.#chunk.length))) {
      this.dropped += this.#chunkPackets;
      this.packets -= this.#chunkPackets;
      this.bytes -= this.#chunkBytes;
    }
    this.#chunk.reset();
    this.#chunkPackets = 0;
    this.#chunkBytes = 0;
  }
}
