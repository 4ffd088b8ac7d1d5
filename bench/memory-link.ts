/** A link whose frames are in memory. */
import type { Link } from '#tapster/link/link.js';
import type { LinkOffload } from '#tapster/packet/offload.js';
import type { Packets } from '#tapster/packet/packets.js';
import type { FrameBlock } from './path-frames.ts';

export const EVERY_OFFLOAD_BUT_UDP: LinkOffload = { checksum: true, tcpSegmentation: true, udpSegmentation: false };

/** What it has is received once; what it is sent is counted. */
export class MemoryLink implements Link {
  readonly name = 'memory';
  readonly offload: LinkOffload = EVERY_OFFLOAD_BUT_UDP;
  block: FrameBlock | undefined;
  transmitted: number = 0;

  receive(packets: Packets, frame: Int32Array, framesMax: number): number {
    const { block } = this;
    if (block === undefined) return 0;
    this.block = undefined;
    const at = (packets.used + 3) & ~3;
    packets.bytes.set(block.bytes, at);
    const count = Math.min(block.count, framesMax);
    for (let i = 0; i < count; i++) frame[i] = packets.adopt(at + block.startOf(i), block.frameBytes);
    return count;
  }

  transmit(_packets: Packets, _frame: Int32Array, count: number): number {
    this.transmitted += count;
    return count;
  }

  close(): void {}
}
