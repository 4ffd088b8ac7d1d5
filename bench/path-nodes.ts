/** Single nodes, and a small graph of them, with packets that are always there. */
import { FlowTable } from '#tapster/flow/flow-table.js';
import type { GuestLink } from '#tapster/flow/guest-link.js';
import { Graph } from '#tapster/graph/graph.js';
import { FRAME_PACKETS_MAX, type GraphNode } from '#tapster/graph/node.js';
import { EthernetInput } from '#tapster/nodes/ethernet-input.js';
import { Ip4Input } from '#tapster/nodes/ip4-input.js';
import { Ip6Input } from '#tapster/nodes/ip6-input.js';
import { NO_OFFLOAD } from '#tapster/packet/offload.js';
import { Packets } from '#tapster/packet/packets.js';
import { FlowLookUp, Sink } from './nodes.ts';
import { FrameBlock, GUEST_ADDRESS, OUR_MAC, REMOTE_ADDRESS, writeDatagram } from './path-frames.ts';

const FRAME_BYTES = 78;
const FLOWS = 10_000;
const PROTOCOL_UDP = 17;

/** A frame of packets, and what one visit does with them. */
export type Visit = () => void;

/** Nodes with packets that stay where they are: none of these nodes changes a packet's bytes. */
export class NodePath {
  readonly nodes: readonly GraphNode[];
  readonly #packets: Packets = new Packets();
  readonly #arcs: Uint8Array = new Uint8Array(FRAME_PACKETS_MAX);
  readonly #frame4: Int32Array;
  readonly #frame6: Int32Array;
  readonly #graph: Graph;
  readonly #entry: number;
  readonly #lookUp: FlowLookUp;

  constructor() {
    this.#frame4 = this.#adopt(4);
    this.#frame6 = this.#adopt(6);
    this.#lookUp = new FlowLookUp('udp-input', this.#makeFlows());
    const { high, low } = OUR_MAC;
    const guest: GuestLink = { index: 0, mtu: 1500, ourMacHigh: high, ourMacLow: low, offload: NO_OFFLOAD };
    this.nodes = [new EthernetInput([guest]), new Ip4Input(), new Ip6Input(), this.#lookUp];
    const named = new Set(this.nodes.map(({ name }) => name));
    const others = [...new Set(this.nodes.flatMap(({ next }) => next))].filter((name) => !named.has(name));
    this.#graph = new Graph([...this.nodes, ...others.map((name) => new Sink(name))]);
    this.#entry = this.#graph.indexOf('ethernet-input');
    // Sets the columns that the single nodes read.
    this.runGraph();
    this.#graph.run(this.#entry, this.#packets, this.#frame6, FRAME_PACKETS_MAX);
    this.#lookUp.missed = 0;
  }

  runGraph(): void {
    this.#graph.run(this.#entry, this.#packets, this.#frame4, FRAME_PACKETS_MAX);
  }

  visitOf(node: GraphNode): Visit {
    const frame = node.name === 'ip6-input' ? this.#frame6 : this.#frame4;
    return () => node.process(this.#packets, frame, FRAME_PACKETS_MAX, this.#arcs);
  }

  #adopt(family: 4 | 6): Int32Array {
    const packets = this.#packets;
    const block = new FrameBlock(FRAME_PACKETS_MAX, FRAME_BYTES);
    const at = (packets.used + 3) & ~3;
    for (let i = 0; i < FRAME_PACKETS_MAX; i++) writeDatagram(block, i, family, portOf(i * 37));
    packets.bytes.set(block.bytes, at);
    return Int32Array.from({ length: FRAME_PACKETS_MAX }, (_, i) => {
      const packet = packets.adopt(at + block.startOf(i), FRAME_BYTES);
      packets.rxInterface[packet] = 0;
      return packet;
    });
  }

  #makeFlows(): FlowTable {
    const flows = new FlowTable(FLOWS * 2, 0x5eed);
    for (let i = 0; i < FLOWS; i++) {
      const words = [0, 0, 0xffff] as const;
      flows.setProbe(PROTOCOL_UDP, 0, ...words, GUEST_ADDRESS, portOf(i), ...words, REMOTE_ADDRESS, 53);
      flows.insert(0, 0);
    }
    return flows;
  }
}

function portOf(index: number): number {
  return 1024 + (index % FLOWS);
}
