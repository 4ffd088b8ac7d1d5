/**
 * Asks for neighbours: an ARP request (RFC 826), a neighbor solicitation (RFC 4861, section 4.3) with our own MAC address. To all who could be meant, or, to
 * see whether a neighbour is still there, to itself (RFC 1122, section 2.3.2.1; RFC 4861, section 7.3.3).
 *
 * Contract: the packet has `txInterface` set and is ready for an emitter; `NO_PACKET` where the arena has no room.
 */
import type { MacAddress } from '../base/address.ts';
import { NO_PACKET, type Packet, type Packets } from '../packet/packets.ts';
import * as arp from '../wire/arp.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as ipv6 from '../wire/ipv6.ts';
import * as ndp from '../wire/ndp.ts';
import { begin, finishIcmpv6, ICMPV6_MESSAGE } from './answer.ts';

/** A neighbor solicitation or advertisement with one link-layer address. */
export const NEIGHBOR_FRAME_BYTES: number = ICMPV6_MESSAGE + 32;

/** ff02::1:ff00:0/104: the solicited-node multicast addresses (RFC 4291, section 2.7.1), and 33:33, their MAC addresses' start (RFC 2464, section 7). */
const SOLICITED_NODE_0 = 0xff02_0000 | 0;
const SOLICITED_NODE_2 = 1;
const SOLICITED_NODE_3 = 0xff00_0000 | 0;
const MULTICAST_MAC_HIGH = 0x3333;

/** `macHigh` and `macLow`: whom to ask, broadcast for all. */
export function arpRequest(
  packets: Packets,
  interfaceIndex: number,
  ourMac: MacAddress,
  source: number,
  target: number,
  macHigh: number,
  macLow: number,
): Packet {
  const bytes = ethernet.HEADER_BYTES + arp.PACKET_BYTES;
  const packet = begin(packets, interfaceIndex, bytes, macHigh, macLow, ourMac, ethernet.TYPE_ARP);
  if (packet === NO_PACKET) return NO_PACKET;
  const at = packets.start[packet] + ethernet.HEADER_BYTES;
  arp.writePacket(packets.view, at, arp.OPERATION_REQUEST, ourMac.high, ourMac.low, source, 0, 0, target);
  packets.network[packet] = at;
  return packet;
}

/** `source` and `target`: four words each. To the target's solicited-node multicast address. */
export function neighborSolicitation(
  packets: Packets,
  interfaceIndex: number,
  ourMac: MacAddress,
  source: Int32Array,
  target: Int32Array,
): Packet {
  const group = SOLICITED_NODE_3 | (target[3] & 0x00ff_ffff);
  const packet = neighborSolicitationTo(packets, interfaceIndex, ourMac, source, target, MULTICAST_MAC_HIGH, group);
  if (packet === NO_PACKET) return NO_PACKET;
  const network = packets.network[packet];
  ipv6.setDestination(packets.view, network, SOLICITED_NODE_0, 0, SOLICITED_NODE_2, group);
  finishIcmpv6(packets, packet, packets.end[packet], ndp.HOP_LIMIT);
  return packet;
}

/** The same to the target itself. */
export function neighborSolicitationTo(
  packets: Packets,
  interfaceIndex: number,
  ourMac: MacAddress,
  source: Int32Array,
  target: Int32Array,
  macHigh: number,
  macLow: number,
): Packet {
  const type = ethernet.TYPE_IPV6;
  const packet = begin(packets, interfaceIndex, NEIGHBOR_FRAME_BYTES, macHigh, macLow, ourMac, type);
  if (packet === NO_PACKET) return NO_PACKET;
  const { view } = packets;
  const network = packets.start[packet] + ethernet.HEADER_BYTES;
  ipv6.setSource(view, network, source[0], source[1], source[2], source[3]);
  ipv6.setDestination(view, network, target[0], target[1], target[2], target[3]);
  let at = packets.start[packet] + ICMPV6_MESSAGE;
  at += ndp.writeNeighborSolicitation(view, at, target[0], target[1], target[2], target[3]);
  at += ndp.writeLinkLayerOption(view, at, ndp.OPTION_SOURCE_LINK_LAYER, ourMac.high, ourMac.low);
  finishIcmpv6(packets, packet, at, ndp.HOP_LIMIT);
  return packet;
}
