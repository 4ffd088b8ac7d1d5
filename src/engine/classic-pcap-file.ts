/** Everything on an interface as classic pcap in microseconds, which every reader knows: `--pcap` of programs that we stand in for. Nothing but packets is in there. */
import { type Result, success } from '../base/result.ts';
import type { CaptureSink } from '../link/capture.ts';
import type { Packet, Packets } from '../packet/packets.ts';
import * as pcap from '../packet/pcap.ts';
import { type CaptureOutput, openCaptureOutput } from './capture-output.ts';

/** Opens the file and writes its head. `report` hears of errors, each once. */
export function openClassicPcapFile(path: string, report: (message: string) => void): Result<ClassicPcapFile> {
  const output = openCaptureOutput(path, report);
  return output.ok ? success(new ClassicPcapFile(output.value)) : output;
}

export class ClassicPcapFile implements CaptureSink {
  readonly #output: CaptureOutput;

  /** For `openClassicPcapFile`. */
  constructor(output: CaptureOutput) {
    this.#output = output;
    pcap.writeFileHeader(output.chunk, 'microseconds');
    output.flush();
  }

  received(packets: Packets, packet: Packet): void {
    this.#write(packets, packet);
  }

  transmitted(packets: Packets, packet: Packet): void {
    this.#write(packets, packet);
  }

  turnEnded(): void {
    this.#output.turnEnded();
  }

  /** Resolves when the file is complete. */
  async close(): Promise<void> {
    await this.#output.close();
  }

  #write({ bytes, start, length }: Packets, packet: Packet): void {
    if (!this.#output.working) return;
    const timeMs = performance.timeOrigin + performance.now();
    const seconds = Math.floor(timeMs / 1000);
    const microseconds = Math.floor((timeMs - seconds * 1000) * 1000);
    const count = length[packet]!;
    pcap.writeRecord(this.#output.chunk, seconds, microseconds, bytes, start[packet]!, count, count);
    this.#output.packetWritten();
  }
}
