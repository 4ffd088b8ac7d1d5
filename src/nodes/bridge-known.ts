/**
 * `bridge-input` of a worker: sends on what is between two stations that the bridge knows, and leaves all else to the main thread, which learns, floods and judges
 * (`bridge-input.ts`).
 *
 * A frame goes on here if the bridge learns, its sender is known behind the member that it came in by, its destination is known behind another one, and we have that one's
 * link. Known is what the main thread knows: our table of stations is a copy of its own that may be a moment behind. That a sender was heard is noted in the copy.
 */
import type { TurnClock } from '../base/turn-clock.ts';
import type { BridgeTable } from '../forward/bridge-table.ts';
import type { InterfaceTable } from '../forward/interface-table.ts';
import type { L2Fib } from '../forward/l2-fib.ts';
import { ARC_NEXT, type GraphNode } from '../graph/node.ts';
import type { Packet, Packets } from '../packet/packets.ts';
import * as ethernet from '../wire/ethernet.ts';
import type { BridgeForward } from './bridge-forward.ts';

const ARC_PUNT = ARC_NEXT + 1;

export interface BridgeKnownDeps {
  readonly interfaces: InterfaceTable;
  readonly bridges: BridgeTable;
  readonly fib: L2Fib;
  readonly forward: BridgeForward;
  readonly clock: TurnClock;
  /** Whether frames can leave by an interface here. */
  readonly hasLink: (interfaceIndex: number) => boolean;
}

export class BridgeKnown implements GraphNode {
  readonly name = 'bridge-input';
  /** The first is where `BridgeForward` sends what goes to a member; the second stands for all that is the main thread's. */
  readonly next: readonly string[] = ['interface-output', 'bridge-unknown'];
  readonly #deps: BridgeKnownDeps;

  constructor(deps: BridgeKnownDeps) {
    this.#deps = deps;
  }

  process(packets: Packets, frame: Int32Array, count: number, arcs: Uint8Array): void {
    const nowS = Math.floor(this.#deps.clock.nowUs / 1_000_000);
    for (let i = 0; i < count; i++) arcs[i] = this.#arc(packets, frame[i], nowS);
  }

  #arc(packets: Packets, packet: Packet, nowS: number): number {
    const { interfaces, bridges, fib, forward, hasLink } = this.#deps;
    const { view } = packets;
    const at = packets.start[packet];
    const from = packets.rxInterface[packet];
    const bridge = interfaces.bridge[from];
    if (!(bridge >= 0) || bridges.learn[bridge] === 0 || ethernet.isMulticast(view, at)) return ARC_PUNT;
    const to = fib.find(bridge, ethernet.destinationHigh(view, at), ethernet.destinationLow(view, at));
    if (to < 0 || !hasLink(to)) return ARC_PUNT;
    const high = ethernet.sourceHigh(view, at);
    const low = ethernet.sourceLow(view, at);
    const bvi = bridges.bvi[bridge];
    if (fib.find(bridge, high, low) !== from || forward.isAddressOf(bvi, high, low)) return ARC_PUNT;
    fib.learn(bridge, high, low, from, nowS);
    return forward.send(packets, packet, bridge, from);
  }
}
