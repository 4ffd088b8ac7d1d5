/**
 * The packets that services build for a guest: `begin` allocates one, the caller writes the payload behind the headers (`UDP4_PAYLOAD` and so on,
 * from the packet's start), and a `finish...` function writes the headers in front of it, their checksums, and the packet's columns, and gives back to the
 * arena what lies behind the payload's `end`. Of IPv6 headers the caller writes the two addresses.
 *
 * Checksums are always complete: answers are rare, and so they need no offload. Nothing else may be allocated between `begin` and `finish...`.
 */
import type { MacAddress } from '../base/address.ts';
import { NO_PACKET, type Packet, type Packets, VNET_HEADER_BYTES } from '../packet/packets.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as icmpv6 from '../wire/icmpv6.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as ipv6 from '../wire/ipv6.ts';
import * as udp from '../wire/udp.ts';
import * as vnet from '../wire/vnet-header.ts';

/** Where payload starts, from the packet's start. */
export const UDP4_PAYLOAD: number = ethernet.HEADER_BYTES + ipv4.HEADER_BYTES + udp.HEADER_BYTES;
export const UDP6_PAYLOAD: number = ethernet.HEADER_BYTES + ipv6.HEADER_BYTES + udp.HEADER_BYTES;
export const ICMPV6_MESSAGE: number = ethernet.HEADER_BYTES + ipv6.HEADER_BYTES;

/** Not 1, though the guest is on the link: a DHCP relay may be some hops away. */
const TTL = 64;

/** Whether the guest left the transport checksum to us, or says that it was found right: there is nothing to verify. */
export function isChecksumTrusted(packets: Packets, packet: Packet): boolean {
  const flags = vnet.flags(packets.view, packets.start[packet] - VNET_HEADER_BYTES);
  return (flags & (vnet.FLAG_NEEDS_CSUM | vnet.FLAG_DATA_VALID)) !== 0;
}

/** Allocates a packet of at most `frameBytes` with an Ethernet header from us, which leaves by that interface; `NO_PACKET` when there is no room. */
export function begin(
  packets: Packets,
  interfaceIndex: number,
  frameBytes: number,
  toHigh: number,
  toLow: number,
  ourMac: MacAddress,
  etherType: number,
): Packet {
  const packet = packets.allocate(frameBytes);
  if (packet === NO_PACKET) return NO_PACKET;
  ethernet.writeHeader(packets.view, packets.start[packet], toHigh, toLow, ourMac.high, ourMac.low, etherType);
  packets.txInterface[packet] = interfaceIndex;
  return packet;
}

export function finishUdp4(
  packets: Packets,
  packet: Packet,
  end: number,
  from: number,
  fromPort: number,
  to: number,
  toPort: number,
): void {
  const { view } = packets;
  const network = packets.start[packet] + ethernet.HEADER_BYTES;
  const transport = network + ipv4.HEADER_BYTES;
  const { PROTOCOL_UDP, DONT_FRAGMENT } = ipv4;
  ipv4.writeHeader(view, network, end - network, PROTOCOL_UDP, from, to, TTL, 0, 0, DONT_FRAGMENT);
  udp.writeHeader(view, transport, fromPort, toPort, end - transport);
  udp.writeChecksum(view, network, transport);
  complete(packets, packet, network, transport, PROTOCOL_UDP, end);
}

export function finishUdp6(packets: Packets, packet: Packet, end: number, fromPort: number, toPort: number): void {
  const { view } = packets;
  const network = packets.start[packet] + ethernet.HEADER_BYTES;
  const transport = network + ipv6.HEADER_BYTES;
  ipv6.writeHeader(view, network, end - transport, ipv6.PROTOCOL_UDP, TTL, 0, 0);
  udp.writeHeader(view, transport, fromPort, toPort, end - transport);
  udp.writeChecksum(view, network, transport);
  complete(packets, packet, network, transport, ipv6.PROTOCOL_UDP, end);
}

export function finishIcmpv6(packets: Packets, packet: Packet, end: number, hopLimit: number): void {
  const { view } = packets;
  const network = packets.start[packet] + ethernet.HEADER_BYTES;
  const transport = network + ipv6.HEADER_BYTES;
  ipv6.writeHeader(view, network, end - transport, ipv6.PROTOCOL_ICMPV6, hopLimit, 0, 0);
  icmpv6.writeChecksum(view, network, transport, end);
  complete(packets, packet, network, transport, ipv6.PROTOCOL_ICMPV6, end);
}

function complete(
  packets: Packets,
  packet: Packet,
  network: number,
  transport: number,
  protocol: number,
  end: number,
): void {
  packets.network[packet] = network;
  packets.transport[packet] = transport;
  packets.protocol[packet] = protocol;
  packets.end[packet] = end;
  packets.trim(packet, end - packets.start[packet]);
}
