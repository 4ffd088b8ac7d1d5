/**
 * `--pcap FILE`: everything on an interface as pcapng, which Wireshark can read while it grows.
 *
 * Comments: a flow's first packet says who talks to whom (`flow 12: tcp 10.0.2.15:40312 > example.org:443 (192.0.2.7)`), and when the flow has closed, its packet of
 * that moment, or the next packet of any flow, says how it ended. Names stand in name resolution blocks as they are learnt.
 *
 * A received frame is written before its flow is known (see `link/capture.ts`), so comments are put into blocks that are in memory still, when the
 * turn ends. Blocks gather in one chunk, which goes to the file when it is large or `FLUSH_MS` old; what a slow disk lets pile up is bounded, and
 * chunks beyond that are lost whole and counted: the file stays readable. A write error is told once and ends the capture; the network goes on.
 */
import { machine, release } from 'node:os';
import { parseIpAddress } from '../base/address.ts';
import { NAMES_MAX, PACKETS_MAX } from '../base/limits.ts';
import { type Result, success } from '../base/result.ts';
import type { CaptureSink } from '../link/capture.ts';
import type { Packet, Packets } from '../packet/packets.ts';
import { PcapChunk } from '../packet/pcap-chunk.ts';
import * as pcapng from '../packet/pcapng.ts';
import { FileAppender, openOutput } from './file-appender.ts';
import { conversation } from './flow-lines.ts';
import type { FlowRecord, FlowSink } from './flow-record.ts';
import { formatBytes, formatDuration, harmless } from './text.ts';

/** A chunk of this size is handed to the file at the end of the turn, */
const CHUNK_BYTES = 256 * 1024;
/** and of this size at once; a turn's packets may be 8 MiB. */
const CHUNK_BYTES_MAX = 2 * 1024 * 1024;
const QUEUED_BYTES_MAX = 64 * 1024 * 1024;
/** A reader that follows sees packets after this time. */
const FLUSH_MS = 50;
const CLOSE_TIMEOUT_MS = 5000;

/** Where things stand in a packet's block: type, length, interface, time (2 words), captured and original length, the bytes. */
const BLOCK_BYTES_AT = 4;
const CAPTURED_BYTES_AT = 20;
const PACKET_DATA_AT = 28;
const INTERFACE_INDEX = 0;

/** Flows as the capture sees them. */
export interface CaptureFlows {
  /** By row of the flow table, the number that no other flow has: `FlowTable.id`. */
  readonly ids: Float64Array;
  /** The flow in a row as a record: made once for each flow. */
  describe(row: number): FlowRecord;
}

export interface CaptureDescription {
  readonly interfaceName: string;
  /** Program and version. */
  readonly application: string;
  /** What is captured, for the file's own comment. */
  readonly comment?: string;
}

/** Opens the file and writes its head. `report` hears of errors, each once. */
export function openPcapFile(
  path: string,
  description: CaptureDescription,
  flows: CaptureFlows,
  report: (message: string) => void,
): Result<PcapFile> {
  const output = openOutput(path, false);
  if (!output.ok) return output;
  const { fd, owned } = output.value;
  const failed = (reason: string): void => report(`capture "${path}": ${reason}; the capture ends here`);
  const appender = new FileAppender(fd, owned, QUEUED_BYTES_MAX, failed);
  return success(new PcapFile(appender, path, description, flows, report));
}

export class PcapFile implements CaptureSink, FlowSink {
  readonly #appender: FileAppender;
  readonly #path: string;
  readonly #flows: CaptureFlows;
  readonly #report: (message: string) => void;
  readonly #now: () => number;
  readonly #chunk: PcapChunk = new PcapChunk(CHUNK_BYTES_MAX);
  #chunkPackets: number = 0;
  /** Received packets in the chunk whose flow is not known yet: the packet, where its block starts, its time. */
  readonly #pendingPacket: Int32Array = new Int32Array(PACKETS_MAX);
  readonly #pendingAt: Int32Array = new Int32Array(PACKETS_MAX);
  readonly #pendingMs: Float64Array = new Float64Array(PACKETS_MAX);
  #pending: number = 0;
  /** The flow that a row had when its comment was written. */
  readonly #told: Map<number, number> = new Map();
  /** Comments on flows that have closed, by the flow's number: not written yet. */
  readonly #endings: Map<number, string> = new Map();
  readonly #names: Set<string> = new Set();
  #timer: NodeJS.Timeout | undefined;
  #lostPackets: number = 0;

  /** `now`: milliseconds since the epoch, with fractions. */
  constructor(
    appender: FileAppender,
    path: string,
    description: CaptureDescription,
    flows: CaptureFlows,
    report: (message: string) => void,
    now: () => number = () => performance.timeOrigin + performance.now(),
  ) {
    this.#appender = appender;
    this.#path = path;
    this.#flows = flows;
    this.#report = report;
    this.#now = now;
    const { application, comment, interfaceName } = description;
    const section = { hardware: machine(), os: `Linux ${release()}`, application };
    pcapng.writeSection(this.#chunk, comment === undefined ? section : { ...section, comment });
    pcapng.writeInterface(this.#chunk, { name: interfaceName });
    this.#flush();
  }

  received(packets: Packets, packet: Packet): void {
    if (!this.#appender.working) return;
    const timeMs = this.#now();
    const at = this.#chunk.length;
    this.#write(pcapng.DIRECTION_INBOUND, timeMs, packets.bytes, packets.start[packet]!, packets.length[packet]!);
    // A chunk that was flushed is out of reach: such a packet goes without comment, and the flow's next one has it.
    if (this.#chunk.length <= at || this.#pending === PACKETS_MAX) return;
    this.#pendingPacket[this.#pending] = packet;
    this.#pendingAt[this.#pending] = at;
    this.#pendingMs[this.#pending++] = timeMs;
  }

  transmitted(packets: Packets, packet: Packet): void {
    if (!this.#appender.working) return;
    // The graph has run: what came in before goes first, a flow's first packet too.
    this.#settle(packets);
    const comment = this.#commentFor(packets.flow[packet]!) ?? this.#anyEnding();
    const start = packets.start[packet]!;
    this.#write(pcapng.DIRECTION_OUTBOUND, this.#now(), packets.bytes, start, packets.length[packet]!, comment);
  }

  turnEnded(packets: Packets): void {
    this.#settle(packets);
    if (this.#chunk.length >= CHUNK_BYTES) this.#flush();
  }

  opened(record: FlowRecord): void {
    if (record.name === undefined) return;
    const key = `${record.remote.address} ${record.name}`;
    const address = parseIpAddress(record.remote.address);
    if (address === undefined || this.#names.has(key) || !this.#appender.working) return;
    if (this.#names.size >= NAMES_MAX) this.#names.clear();
    this.#names.add(key);
    pcapng.writeNames(this.#chunk, [{ address, names: [harmless(record.name)] }]);
    this.#flushSoon();
  }

  closed(record: FlowRecord): void {
    if (!this.#appender.working) return;
    const { id, outcome, durationMs, bytesOut, bytesIn } = record;
    const bytes = `${formatBytes(bytesOut)} sent, ${formatBytes(bytesIn)} received`;
    this.#endings.set(id, `flow ${id} ${outcome} after ${formatDuration(durationMs)}: ${bytes}`);
  }

  /** Resolves when the file is complete. */
  async close(): Promise<void> {
    const { working } = this.#appender;
    // No packet came any more to carry these.
    if (this.#endings.size > 0) pcapng.writeNames(this.#chunk, [], this.#takeEndings().join('\n'));
    this.#flush();
    await this.#appender.close(CLOSE_TIMEOUT_MS);
    if (working && this.#lostPackets > 0) {
      this.#report(`capture "${this.#path}": ${this.#lostPackets} packets are missing, the disk was too slow`);
    }
  }

  #write(direction: number, timeMs: number, bytes: Uint8Array, at: number, length: number, comment?: string): void {
    writeBlock(this.#chunk, direction, timeMs, bytes, at, length, comment);
    this.#chunkPackets++;
    if (this.#chunk.length >= CHUNK_BYTES_MAX) this.#flush();
    else this.#flushSoon();
  }

  /** Puts comments on packets that were received in this turn. */
  #settle(packets: Packets): void {
    let grown = 0;
    for (let i = 0; i < this.#pending; i++) {
      const comment = this.#commentFor(packets.flow[this.#pendingPacket[i]!]!);
      if (comment === undefined) continue;
      const before = this.#chunk.length;
      this.#insertComment(this.#pendingAt[i]! + grown, this.#pendingMs[i]!, comment);
      grown += this.#chunk.length - before;
    }
    this.#pending = 0;
  }

  /** Writes the block at `at` anew, and what stood behind it: once or twice in a flow's life. */
  #insertComment(at: number, timeMs: number, comment: string): void {
    const chunk = this.#chunk;
    const tail = chunk.bytes.slice(at, chunk.length);
    const view = new DataView(tail.buffer);
    const blockBytes = view.getUint32(BLOCK_BYTES_AT, true);
    const captured = view.getUint32(CAPTURED_BYTES_AT, true);
    chunk.length = at;
    writeBlock(chunk, pcapng.DIRECTION_INBOUND, timeMs, tail, PACKET_DATA_AT, captured, comment);
    chunk.copy(tail, blockBytes, tail.length - blockBytes);
  }

  /** What there is to say on a packet of this row's flow: that it begins, how it ended, both, or nothing. */
  #commentFor(row: number): string | undefined {
    if (row < 0) return undefined;
    const id = this.#flows.ids[row] as number;
    const parts: string[] = [];
    if (this.#told.get(row) !== id) {
      this.#told.set(row, id);
      parts.push(`flow ${id}: ${conversation(this.#flows.describe(row))}`);
    }
    const ending = this.#endings.get(id);
    if (ending !== undefined) {
      this.#endings.delete(id);
      parts.push(ending);
    }
    return parts.length === 0 ? undefined : parts.join('\n');
  }

  /** The endings that no packet of their own flow carried. */
  #anyEnding(): string | undefined {
    return this.#endings.size === 0 ? undefined : this.#takeEndings().join('\n');
  }

  #takeEndings(): string[] {
    const endings = [...this.#endings.values()];
    this.#endings.clear();
    return endings;
  }

  #flushSoon(): void {
    this.#timer ??= setTimeout(() => this.#flush(), FLUSH_MS).unref();
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#pending = 0;
    if (this.#chunk.length === 0) return;
    const taken = this.#appender.append(this.#chunk.bytes.slice(0, this.#chunk.length));
    if (!taken) this.#lostPackets += this.#chunkPackets;
    this.#chunk.reset();
    this.#chunkPackets = 0;
  }
}

function writeBlock(
  chunk: PcapChunk,
  direction: number,
  timeMs: number,
  bytes: Uint8Array,
  at: number,
  length: number,
  comment: string | undefined,
): void {
  const seconds = Math.floor(timeMs / 1000);
  const nanoseconds = Math.floor((timeMs - seconds * 1000) * 1e6);
  pcapng.writePacket(chunk, INTERFACE_INDEX, seconds, nanoseconds, direction, bytes, at, length, length, comment);
}
