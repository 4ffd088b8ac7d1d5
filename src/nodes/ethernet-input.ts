/**
 * The first node behind a link: judges the Ethernet header, and the virtio-net header in front of it, and sorts by EtherType.
 *
 * Sets `packets.network`. A frame must be for us, for a group or for everybody; on a point-to-point link everything else was meant for
 * someone who is not there. No VLAN tags. What a guest claims in its virtio-net header (checksum position, segment size) is checked
 * against the frame's length here, once, so that whoever uses it later may believe that it lies inside.
 */
import { formatMacAddress, MacAddress } from '../base/address.ts';
import type { GuestLinks } from '../flow/guest-link.ts';
import { drop } from '../graph/drop.ts';
import { ARC_NEXT, type GraphNode } from '../graph/node.ts';
import { REASON } from '../graph/reasons.ts';
import { type Packet, type Packets, VNET_HEADER_BYTES } from '../packet/packets.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as vnet from '../wire/vnet-header.ts';

const ARC_ARP = ARC_NEXT;
const ARC_IP4 = ARC_NEXT + 1;
const ARC_IP6 = ARC_NEXT + 2;

export class EthernetInput implements GraphNode {
  readonly name = 'ethernet-input';
  readonly next: readonly string[] = ['arp-input', 'ip4-input', 'ip6-input'];
  readonly #links: GuestLinks;

  /** `links` may change while we run: it is looked up for each packet. */
  constructor(links: GuestLinks) {
    this.#links = links;
  }

  process(packets: Packets, frame: Int32Array, count: number, arcs: Uint8Array): void {
    for (let i = 0; i < count; i++) arcs[i] = this.#arc(packets, frame[i]);
  }

  describe(packets: Packets, packet: Packet): string | undefined {
    return describeFrame(packets, packet);
  }

  #arc(packets: Packets, packet: number): number {
    const { view } = packets;
    const at = packets.start[packet];
    const end = at + packets.length[packet];
    if (ethernet.check(view, at, end) < 0) return drop(packets, packet, REASON['frame-too-short']);
    if (vnet.check(view, at - VNET_HEADER_BYTES, end - at) < 0) {
      return drop(packets, packet, REASON['vnet-header-invalid']);
    }
    if (!ethernet.isMulticast(view, at) && !this.#isOurs(packets, packet)) {
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

  #isOurs(packets: Packets, packet: number): boolean {
    const link = this.#links[packets.rxInterface[packet]];
    const at = packets.start[packet];
    return (
      link !== undefined &&
      ethernet.destinationLow(packets.view, at) === link.ourMacLow &&
      ethernet.destinationHigh(packets.view, at) === link.ourMacHigh
    );
  }
}

/** What such a node goes by, for the trace: the addresses, the type, and what the virtio-net header leaves to do. */
export function describeFrame(packets: Packets, packet: Packet): string | undefined {
  const { view } = packets;
  const at = packets.start[packet];
  const end = at + packets.length[packet];
  if (ethernet.check(view, at, end) < 0) return undefined;
  const header = at - VNET_HEADER_BYTES;
  const from = formatMacAddress(new MacAddress(ethernet.sourceHigh(view, at), ethernet.sourceLow(view, at)));
  const to = formatMacAddress(new MacAddress(ethernet.destinationHigh(view, at), ethernet.destinationLow(view, at)));
  const type = ethernet.type(view, at).toString(16).padStart(4, '0');
  const partial = (vnet.flags(view, header) & vnet.FLAG_NEEDS_CSUM) === 0 ? '' : ' checksum partial';
  const gso = vnet.gsoType(view, header) === vnet.GSO_NONE ? '' : ` gso ${vnet.gsoSize(view, header)}`;
  return `${from} > ${to} type 0x${type} len ${end - at - ethernet.HEADER_BYTES}${partial}${gso}`;
}
