/**
 * Frames that come in by members of bridges: learns behind which member their sender is, and sends them on (`bridge-forward.ts`).
 *
 * Stands behind `ethernet-input`, which has checked the Ethernet and virtio-net headers. A sender cannot be a group. Nor can it be an address of which
 * configuration says that it is elsewhere, the BVI's own among them: such a frame is forged, or has gone round in a loop, and is dropped. When
 * the table of addresses is full, frames go on and are counted.
 */
import { formatMacAddress, MacAddress } from '../base/address.ts';
import type { TurnClock } from '../base/turn-clock.ts';
import type { BridgeTable } from '../forward/bridge-table.ts';
import type { InterfaceTable } from '../forward/interface-table.ts';
import { type L2Fib, LEARNT } from '../forward/l2-fib.ts';
import { drop } from '../graph/drop.ts';
import type { GraphNode } from '../graph/node.ts';
import { REASON } from '../graph/reasons.ts';
import type { Packet, Packets } from '../packet/packets.ts';
import * as ethernet from '../wire/ethernet.ts';
import type { BridgeForward } from './bridge-forward.ts';

/** The bit of an address's first byte that makes it a group. */
const GROUP_BIT = 0x100;

export class BridgeInput implements GraphNode {
  readonly name = 'bridge-input';
  /** In the order of `ARC_OUTPUT` and `ARC_UP`. */
  readonly next: readonly string[] = ['interface-output', 'ethernet-input'];
  readonly #interfaces: InterfaceTable;
  readonly #bridges: BridgeTable;
  readonly #fib: L2Fib;
  readonly #forward: BridgeForward;
  readonly #clock: TurnClock;

  constructor(interfaces: InterfaceTable, bridges: BridgeTable, fib: L2Fib, forward: BridgeForward, clock: TurnClock) {
    this.#interfaces = interfaces;
    this.#bridges = bridges;
    this.#fib = fib;
    this.#forward = forward;
    this.#clock = clock;
  }

  process(packets: Packets, frame: Int32Array, count: number, arcs: Uint8Array): void {
    const nowS = Math.floor(this.#clock.nowUs / 1_000_000);
    for (let i = 0; i < count; i++) arcs[i] = this.#arc(packets, frame[i], nowS);
  }

  /** Who sends to whom, and where that is as far as the bridge knows. */
  describe(packets: Packets, packet: Packet): string | undefined {
    const { view } = packets;
    const at = packets.start[packet];
    const from = packets.rxInterface[packet];
    const bridge = this.#interfaces.bridge[from];
    if (!(bridge >= 0) || ethernet.check(view, at, at + packets.length[packet]) < 0) return undefined;
    const source = formatMacAddress(new MacAddress(ethernet.sourceHigh(view, at), ethernet.sourceLow(view, at)));
    const way = this.#forward.describe(packets, packet, bridge);
    return `bridge ${bridge} interface ${from}: ${source} > ${way}`;
  }

  #arc(packets: Packets, packet: Packet, nowS: number): number {
    const from = packets.rxInterface[packet];
    const bridge = this.#interfaces.bridge[from];
    // What the BVI brings comes from the IP layer, by `bvi-output`, and is not for learning.
    if (!(bridge >= 0) || from === this.#bridges.bvi[bridge]) {
      return drop(packets, packet, REASON['bridge-not-member']);
    }
    if (this.#interfaces.up[from] === 0) return drop(packets, packet, REASON['interface-down']);
    const high = ethernet.sourceHigh(packets.view, packets.start[packet]);
    const low = ethernet.sourceLow(packets.view, packets.start[packet]);
    if ((high & GROUP_BIT) !== 0 || (high | low) === 0) {
      return drop(packets, packet, REASON['bridge-source-invalid']);
    }
    if (
      this.#forward.isAddressOf(this.#bridges.bvi[bridge], high, low) ||
      !this.#learn(bridge, high, low, from, nowS)
    ) {
      return drop(packets, packet, REASON['bridge-source-static']);
    }
    return this.#forward.send(packets, packet, bridge, from);
  }

  /** Returns false when the sender is known to be elsewhere, for good. */
  #learn(bridge: number, high: number, low: number, from: number, nowS: number): boolean {
    if (this.#bridges.learn[bridge] === 0) return true;
    switch (this.#fib.learn(bridge, high, low, from, nowS)) {
      case LEARNT.NEW:
        this.#bridges.learnt[bridge]++;
        return true;
      case LEARNT.MOVED:
        this.#bridges.moved[bridge]++;
        return true;
      case LEARNT.FULL:
        this.#bridges.notLearnt[bridge]++;
        return true;
      case LEARNT.ELSEWHERE:
        return false;
      default:
        return true;
    }
  }
}
