/** Stands where a service would be: what comes for one that nobody gives here is dropped and counted. */
import { drop } from '../graph/drop.ts';
import type { GraphNode } from '../graph/node.ts';
import { REASON } from '../graph/reasons.ts';
import type { Packets } from '../packet/packets.ts';

export class NoService implements GraphNode {
  readonly name: string;
  readonly next: readonly string[] = [];

  constructor(name: string) {
    this.name = name;
  }

  process(packets: Packets, frame: Int32Array, count: number, arcs: Uint8Array): void {
    for (let i = 0; i < count; i++) arcs[i] = drop(packets, frame[i], REASON['service-absent']);
  }
}
