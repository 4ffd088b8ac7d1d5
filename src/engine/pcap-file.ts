/**
 * `--pcap FILE`: everything on an interface as pcapng, which Wireshark can read while it grows.
 *
 * Comments: a flow's first packet says who talks to whom (`flow 12: tcp 10.0.2.15:40312 > example.org:443 (192.0.2.7)`), and when the flow has closed, its packet of
 * that moment, or the next packet of any flow, says how it ended. Names stand in name resolution blocks as they are learnt.
 *
 * A received frame is written before its flow is known (see `link/capture.ts`), so comments are put into blocks that are in memory still, when the
 * turn ends (`capture-output.ts`).
 */
import { machine, release } from 'node:os';
import { parseIpAddress } from '../base/address.ts';
import { NAMES_MAX, PACKETS_MAX } from '../base/limits.ts';
import { type Result, success } from '../base/result.ts';
import type { CaptureSink } from '../link/capture.ts';
import type { Packet, Packets } from '../packet/packets.ts';
import type { PcapChunk } from '../packet/pcap-chunk.ts';
import * as pcapng from '../packet/pcapng.ts';
import { type CaptureOutput, openCaptureOutput } from './capture-output.ts';
import { conversation } from './flow-lines.ts';
import type { FlowRecord, FlowSink } from './flow-record.ts';
import { formatBytes, formatDuration, harmless } from './text.ts';

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
  const output = openCaptureOutput(path, report);
  return output.ok ? success(new PcapFile(output.value, description, flows)) : output;
}

export class PcapFile implements CaptureSink, FlowSink {
  readonly #output: CaptureOutput;
  readonly #chunk: PcapChunk;
  readonly #flows: CaptureFlows;
  readonly #now: () => number;
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

  /** `now`: milliseconds since the epoch, with fractions. */
  constructor(
    output: CaptureOutput,
    description: CaptureDescription,
    flows: CaptureFlows,
    now: () => number = () => performance.timeOrigin + performance.now(),
  ) {
    this.#output = output;
    this.#chunk = output.chunk;
    this.#flows = flows;
    this.#now = now;
    // A chunk that was flushed is out of reach.
    output.onFlush = () => {
      this.#pending = 0;
    };
    const { application, comment, interfaceName } = description;
    const section = { hardware: machine(), os: `Linux ${release()}`, application };
    pcapng.writeSection(this.#chunk, comment === undefined ? section : { ...section, comment });
    pcapng.writeInterface(this.#chunk, { name: interfaceName });
    output.flush();
  }

  received(packets: Packets, packet: Packet): void {
    if (!this.#output.working) return;
    const timeMs = this.#now();
    const at = this.#chunk.length;
    this.#write(pcapng.DIRECTION_INBOUND, timeMs, packets.bytes, packets.start[packet]!, packets.length[packet]!);
    // In a chunk that was flushed: such a packet goes without comment, and the flow's next one has it.
    if (this.#chunk.length <= at || this.#pending === PACKETS_MAX) return;
    this.#pendingPacket[this.#pending] = packet;
    this.#pendingAt[this.#pending] = at;
    this.#pendingMs[this.#pending++] = timeMs;
  }

  transmitted(packets: Packets, packet: Packet): void {
    if (!this.#output.working) return;
    // The graph has run: what came in before goes first, a flow's first packet too.
    this.#settle(packets);
    const comment = this.#commentFor(packets.flow[packet]!) ?? this.#anyEnding();
    const start = packets.start[packet]!;
    this.#write(pcapng.DIRECTION_OUTBOUND, this.#now(), packets.bytes, start, packets.length[packet]!, comment);
  }

  turnEnded(packets: Packets): void {
    this.#settle(packets);
    this.#output.turnEnded();
  }

  opened(record: FlowRecord): void {
    if (record.name === undefined) return;
    const key = `${record.remote.address} ${record.name}`;
    const address = parseIpAddress(record.remote.address);
    if (address === undefined || this.#names.has(key) || !this.#output.working) return;
    if (this.#names.size >= NAMES_MAX) this.#names.clear();
    this.#names.add(key);
    pcapng.writeNames(this.#chunk, [{ address, names: [harmless(record.name)] }]);
    this.#output.flushSoon();
  }

  closed(record: FlowRecord): void {
    if (!this.#output.working) return;
    const { id, outcome, durationMs, bytesOut, bytesIn } = record;
    const bytes = `${formatBytes(bytesOut)} sent, ${formatBytes(bytesIn)} received`;
    this.#endings.set(id, `flow ${id} ${outcome} after ${formatDuration(durationMs)}: ${bytes}`);
  }

  /** Resolves when the file is complete. */
  async close(): Promise<void> {
    // No packet came any more to carry these.
    if (this.#endings.size > 0) pcapng.writeNames(this.#chunk, [], this.#takeEndings().join('\n'));
    await this.#output.close();
  }

  #write(direction: number, timeMs: number, bytes: Uint8Array, at: number, length: number, comment?: string): void {
    writeBlock(this.#chunk, direction, timeMs, bytes, at, length, comment);
    this.#output.packetWritten();
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
