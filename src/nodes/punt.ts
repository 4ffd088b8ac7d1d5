/**
 * Stands, in the graph of a worker, in the place of a node that only the main thread has: what comes here is handed over to it as it is, and begins anew there, at
 * `ethernet-input`. So nothing may have been done to the packet that must not be done twice. When there is no room it is dropped.
 */
import { drop } from '../graph/drop.ts';
import { ARC_DONE, type GraphNode } from '../graph/node.ts';
import { REASON } from '../graph/reasons.ts';
import type { Packet, Packets } from '../packet/packets.ts';

/** Takes packets to another thread. */
export interface PuntSink {
  /** False: there is no room. */
  punt(packets: Packets, packet: Packet): boolean;
}

export class Punt implements GraphNode {
  readonly name: string;
  readonly next: readonly string[] = [];
  readonly #sink: PuntSink;

  /** `name`: of the node that it stands for. */
  constructor(name: string, sink: PuntSink) {
    this.name = name;
    this.#sink = sink;
  }

  process(packets: Packets, frame: Int32Array, count: number, arcs: Uint8Array): void {
    for (let i = 0; i < count; i++) {
      const packet = frame[i];
      arcs[i] = this.#sink.punt(packets, packet) ? ARC_DONE : drop(packets, packet, REASON['worker-ring-full']);
    }
  }
}
