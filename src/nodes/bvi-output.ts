/**
 * What the IP layer sends out by a BVI goes into its bridge; everything else goes on.
 *
 * A feature in front of `interface-output`, and an emitter around it for what flows and services send. The same look-up as for frames from members, but
 * nothing is learnt: where the BVI's address is, the bridge knows. It comes up to the BVI again in no case.
 */
import type { BridgeTable } from '../forward/bridge-table.ts';
import type { InterfaceTable } from '../forward/interface-table.ts';
import { drop } from '../graph/drop.ts';
import { ARC_DROP, type Emitter, type GraphNode } from '../graph/node.ts';
import { REASON } from '../graph/reasons.ts';
import type { Packet, Packets } from '../packet/packets.ts';
import { ARC_OUTPUT, type BridgeForward } from './bridge-forward.ts';

export class BviOutput implements GraphNode, Emitter {
  readonly name = 'bvi-output';
  readonly next: readonly string[] = ['interface-output'];
  /** Emitted packets that the bridge dropped; those that came through the graph are counted there. */
  dropped: number = 0;
  readonly #packets: Packets;
  readonly #interfaces: InterfaceTable;
  readonly #bridges: BridgeTable;
  readonly #forward: BridgeForward;
  readonly #output: Emitter;

  /** `output` takes what is emitted, as the emitter of `forward` does: not this one. */
  constructor(
    packets: Packets,
    interfaces: InterfaceTable,
    bridges: BridgeTable,
    forward: BridgeForward,
    output: Emitter,
  ) {
    this.#packets = packets;
    this.#interfaces = interfaces;
    this.#bridges = bridges;
    this.#forward = forward;
    this.#output = output;
  }

  process(packets: Packets, frame: Int32Array, count: number, arcs: Uint8Array): void {
    for (let i = 0; i < count; i++) arcs[i] = this.#arc(packets, frame[i]);
  }

  emit(packet: Packet): void {
    const arc = this.#arc(this.#packets, packet);
    if (arc === ARC_OUTPUT) this.#output.emit(packet);
    else if (arc === ARC_DROP) this.dropped++;
  }

  #arc(packets: Packets, packet: Packet): number {
    const from = packets.txInterface[packet];
    if (!this.#bridges.isBvi(from)) return ARC_OUTPUT;
    if (this.#interfaces.up[from] === 0) return drop(packets, packet, REASON['interface-down']);
    this.#interfaces.countSent(from, packets.length[packet]);
    return this.#forward.send(packets, packet, this.#interfaces.bridge[from], from);
  }
}
