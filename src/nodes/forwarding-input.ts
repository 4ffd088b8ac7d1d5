/**
 * The first node where packets are forwarded: judges the Ethernet and virtio-net headers, as `ethernet-input.ts` does for guests, under the same name, and sorts by what
 * its interface does with frames.
 *
 * | the interface       | the frame                                       | goes to                                             |
 * | ------------------- | ----------------------------------------------- | --------------------------------------------------- |
 * | is down             | any                                             | dropped                                             |
 * | has the tag's VLAN  | with an 802.1Q tag                              | without the tag, as the sub-interface's             |
 * | is in a bridge      | any other                                       | `bridge-input`, tag and all                         |
 * | is routed           | for us, a group, everybody; promiscuous: anyone | `arp-input`, `ip4-input`, `ip6-input` by EtherType  |
 *
 * A frame that a bridge hands up comes again, as its BVI's.
 */
import type { InterfaceTable } from '../forward/interface-table.ts';
import { INTERFACE_MODE } from '../forward/interface-table.ts';
import type { VlanTable } from '../forward/vlan-table.ts';
import { drop } from '../graph/drop.ts';
import { ARC_NEXT, type GraphNode } from '../graph/node.ts';
import { REASON } from '../graph/reasons.ts';
import { type Packet, type Packets, VNET_HEADER_BYTES } from '../packet/packets.ts';
import { TYPE_VLAN, tagOf, untag, VLAN_PRIORITY_ONLY } from '../packet/vlan-tag.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as vnet from '../wire/vnet-header.ts';
import { describeFrame } from './ethernet-input.ts';

const ARC_ARP = ARC_NEXT;
const ARC_IP4 = ARC_NEXT + 1;
const ARC_IP6 = ARC_NEXT + 2;
const ARC_BRIDGE = ARC_NEXT + 3;

export class ForwardingInput implements GraphNode {
  readonly name = 'ethernet-input';
  readonly next: readonly string[] = ['arp-input', 'ip4-input', 'ip6-input', 'bridge-input'];
  readonly #interfaces: InterfaceTable;
  readonly #vlans: VlanTable;

  constructor(interfaces: InterfaceTable, vlans: VlanTable) {
    this.#interfaces = interfaces;
    this.#vlans = vlans;
  }

  process(packets: Packets, frame: Int32Array, count: number, arcs: Uint8Array): void {
    for (let i = 0; i < count; i++) arcs[i] = this.#arc(packets, frame[i]);
  }

  describe(packets: Packets, packet: Packet): string | undefined {
    return describeFrame(packets, packet);
  }

  #arc(packets: Packets, packet: Packet): number {
    const { view } = packets;
    let at = packets.start[packet];
    const end = at + packets.length[packet];
    if (ethernet.check(view, at, end) < 0) return drop(packets, packet, REASON['frame-too-short']);
    if (vnet.check(view, at - VNET_HEADER_BYTES, end - at) < 0) {
      return drop(packets, packet, REASON['vnet-header-invalid']);
    }
    const interfaces = this.#interfaces;
    if (interfaces.up[packets.rxInterface[packet]] === 0) return drop(packets, packet, REASON['interface-down']);
    if (ethernet.type(view, at) === TYPE_VLAN) {
      const refused = this.#enterVlan(packets, packet);
      if (refused !== REASON.none) return drop(packets, packet, refused);
      at = packets.start[packet];
    }
    const from = packets.rxInterface[packet];
    if (interfaces.mode[from] === INTERFACE_MODE.BRIDGED) return ARC_BRIDGE;
    if (interfaces.bridge[from] >= 0) interfaces.countReceived(from, packets.length[packet]);
    if (!ethernet.isMulticast(view, at) && !this.#isOurs(packets, packet, from)) {
      return drop(packets, packet, REASON['not-for-us']);
    }
    packets.network[packet] = at + ethernet.HEADER_BYTES;
    packets.end[packet] = end;
    switch (ethernet.type(view, at)) {
      case ethernet.TYPE_IPV4:
        return ARC_IP4;
      case ethernet.TYPE_IPV6:
        return ARC_IP6;
      case ethernet.TYPE_ARP:
        return ARC_ARP;
      default:
        return drop(packets, packet, REASON['ethertype-unknown']);
    }
  }

  /**
   * Makes a tagged frame the sub-interface's, where there is one, without its tag; without one it is the interface's own as it is, but that a tag which only says the
   * priority is nothing to the IP layer. Returns the reason why it is not let in, or none.
   */
  #enterVlan(packets: Packets, packet: Packet): number {
    const interfaces = this.#interfaces;
    const from = packets.rxInterface[packet];
    const vlan = tagOf(packets, packet);
    if (vlan < 0) return REASON['vlan-tag-invalid'];
    if (vlan === VLAN_PRIORITY_ONLY) {
      if (interfaces.mode[from] === INTERFACE_MODE.ROUTED) untag(packets, packet);
      return REASON.none;
    }
    const sub = this.#vlans.find(from, vlan);
    if (sub < 0) return interfaces.mode[from] === INTERFACE_MODE.BRIDGED ? REASON.none : REASON['vlan-unknown'];
    if (interfaces.up[sub] === 0) return REASON['interface-down'];
    untag(packets, packet);
    packets.rxInterface[packet] = sub;
    interfaces.countReceived(sub, packets.length[packet]);
    return REASON.none;
  }

  #isOurs(packets: Packets, packet: Packet, from: number): boolean {
    const at = packets.start[packet];
    const { macHigh, macLow, promiscuous } = this.#interfaces;
    if (promiscuous[from] === 1) return true;
    return (
      ethernet.destinationLow(packets.view, at) === macLow[from] &&
      ethernet.destinationHigh(packets.view, at) === macHigh[from]
    );
  }
}
