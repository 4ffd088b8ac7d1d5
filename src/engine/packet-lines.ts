/** Frames of a link as lines of text, each behind a sign of which way it went: `>` from the guest, `<` to it. Strings are made for each: for who looks for a mistake. */
import type { CaptureSink } from '../link/capture.ts';
import { describe } from '../packet/describe.ts';
import type { Packet, Packets } from '../packet/packets.ts';

export class PacketLines implements CaptureSink {
  readonly #write: (line: string) => void;

  constructor(write: (line: string) => void) {
    this.#write = write;
  }

  received(packets: Packets, packet: Packet): void {
    this.#write(`> ${describe(packets, packet)}`);
  }

  transmitted(packets: Packets, packet: Packet): void {
    this.#write(`< ${describe(packets, packet)}`);
  }

  turnEnded(): void {}
}
