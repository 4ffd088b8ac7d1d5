import type { Packet, Packets } from '../packet/packets.ts';
import { ARC_DROP } from './node.ts';

/** Notes why `packet` is dropped, and returns the arc of dropped packets. */
export function drop(packets: Packets, packet: Packet, reason: number): number {
  packets.reason[packet] = reason;
  return ARC_DROP;
}
