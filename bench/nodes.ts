/** Nodes that close a graph which is smaller than the engine's. */

import type { FlowTable } from '#tapster/flow/flow-table.js';
import { ARC_DONE, ARC_NEXT, type GraphNode } from '#tapster/graph/node.js';
import type { Packets } from '#tapster/packet/packets.js';
import { findFlow, readPorts } from '#tapster/translate/packet-key.js';

/** Where packets end. */
export class Sink implements GraphNode {
  readonly name: string;
  readonly next: readonly string[] = [];

  constructor(name: string) {
    this.name = name;
  }

  process(_packets: Packets, _frame: Int32Array, count: number, arcs: Uint8Array): void {
    arcs.fill(ARC_DONE, 0, count);
  }
}

/** Sends everything out by one interface. */
export class Cross implements GraphNode {
  readonly name: string;
  readonly next: readonly string[] = ['interface-output'];
  readonly #txInterface: number;

  constructor(name: string, txInterface: number) {
    this.name = name;
    this.#txInterface = txInterface;
  }

  process(packets: Packets, frame: Int32Array, count: number, arcs: Uint8Array): void {
    for (let i = 0; i < count; i++) {
      packets.txInterface[frame[i]!] = this.#txInterface;
      arcs[i] = ARC_NEXT;
    }
  }
}

/** Looks the flow of each packet up, as TCP and UDP do, and counts those that it does not find. */
export class FlowLookUp implements GraphNode {
  readonly name: string;
  readonly next: readonly string[] = [];
  missed: number = 0;
  readonly #flows: FlowTable;

  constructor(name: string, flows: FlowTable) {
    this.name = name;
    this.#flows = flows;
  }

  process(packets: Packets, frame: Int32Array, count: number, arcs: Uint8Array): void {
    const flows = this.#flows;
    for (let i = 0; i < count; i++) {
      const packet = frame[i]!;
      const flow = findFlow(packets, packet, readPorts(packets, packet), flows);
      if (flow < 0) this.missed++;
      packets.flow[packet] = flow;
      arcs[i] = ARC_DONE;
    }
  }
}
