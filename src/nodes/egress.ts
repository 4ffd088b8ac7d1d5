/**
 * The last steps before a routed packet leaves, the same for both families: whether its interface is up, whether it fits, whose MAC addresses it gets.
 */
import { formatIpWords, formatMacAddress, MacAddress } from '../base/address.ts';
import { ADJACENCY_ADDRESS_WORDS, type AdjacencyTable } from '../forward/adjacency.ts';
import type { InterfaceTable } from '../forward/interface-table.ts';
import { REASON } from '../graph/reasons.ts';
import { describe } from '../packet/describe.ts';
import { type Packet, type Packets, VNET_HEADER_BYTES } from '../packet/packets.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as tcp from '../wire/tcp.ts';
import * as udp from '../wire/udp.ts';
import * as vnet from '../wire/vnet-header.ts';

/** Bytes of the packet, where it is not to be cut into segments. */
export const WHOLE = 0;

/**
 * Sets `packets.txInterface`, cuts off Ethernet padding, and judges: REASON.none, or why the packet can't leave. A virtio-net header that asks for a checksum
 * elsewhere than behind the IP header would have the link change what has been judged, addresses too; one that asks for segments of another protocol
 * is taken by no link.
 */
export function prepare(
  packets: Packets,
  packet: Packet,
  adjacencies: AdjacencyTable,
  interfaces: InterfaceTable,
): number {
  const adjacency = packets.adjacency[packet];
  // A packet that waited for its neighbour may find the adjacency gone, or its address forgotten again.
  if (!adjacencies.has(adjacency) || adjacencies.complete[adjacency] === 0) return REASON['host-unreachable'];
  const to = adjacencies.interfaceIndex[adjacency];
  if (!interfaces.has(to) || interfaces.up[to] === 0) return REASON['interface-down'];
  packets.txInterface[packet] = to;
  const start = packets.start[packet];
  packets.length[packet] = packets.end[packet] - start;
  return isOffloadSound(packets, packet) ? REASON.none : REASON['vnet-header-invalid'];
}

/** Bytes of all headers behind Ethernet of a packet that is to be cut into segments, or `WHOLE`. */
export function segmentHeaderBytes(packets: Packets, packet: Packet): number {
  const { view } = packets;
  const network = packets.network[packet];
  const transport = packets.transport[packet];
  switch (vnet.gsoType(view, packets.start[packet] - VNET_HEADER_BYTES) & ~vnet.GSO_ECN) {
    case vnet.GSO_TCPV4:
    case vnet.GSO_TCPV6: {
      const bytes = tcp.check(view, transport, packets.end[packet]);
      return bytes < 0 ? WHOLE : transport - network + bytes;
    }
    case vnet.GSO_UDP_L4:
      return transport - network + udp.HEADER_BYTES;
    default:
      return WHOLE;
  }
}

/** Payload bytes of each segment. */
function segmentBytes(packets: Packets, packet: Packet): number {
  return vnet.gsoSize(packets.view, packets.start[packet] - VNET_HEADER_BYTES);
}

/** Whether the packet, or each segment that it becomes, fits an MTU. */
export function fits(packets: Packets, packet: Packet, mtu: number): boolean {
  if (packets.end[packet] - packets.network[packet] <= mtu) return true;
  const headers = segmentHeaderBytes(packets, packet);
  return headers !== WHOLE && headers + segmentBytes(packets, packet) <= mtu;
}

/** Writes the Ethernet header, from us to the neighbour, and counts the packet. */
export function address(
  packets: Packets,
  packet: Packet,
  adjacencies: AdjacencyTable,
  interfaces: InterfaceTable,
  etherType: number,
): void {
  const adjacency = packets.adjacency[packet];
  const from = packets.txInterface[packet];
  ethernet.writeHeader(
    packets.view,
    packets.start[packet],
    adjacencies.macHigh[adjacency],
    adjacencies.macLow[adjacency],
    interfaces.macHigh[from],
    interfaces.macLow[from],
    etherType,
  );
  adjacencies.account(adjacency, packets.end[packet] - packets.network[packet]);
}

/** Where the packet is about to leave to, for the trace; undefined where that is not known any more. */
export function describeWay(packets: Packets, packet: Packet, adjacencies: AdjacencyTable): string | undefined {
  const adjacency = packets.adjacency[packet];
  if (!adjacencies.has(adjacency)) return undefined;
  const at = adjacency * ADJACENCY_ADDRESS_WORDS;
  const { address, complete, interfaceIndex, macHigh, macLow } = adjacencies;
  const to = formatIpWords(address[at], address[at + 1], address[at + 2], address[at + 3]);
  const mac = new MacAddress(macHigh[adjacency], macLow[adjacency]);
  const known = complete[adjacency] === 1 ? formatMacAddress(mac) : 'incomplete';
  return `${describe(packets, packet)}; adjacency ${adjacency} to ${to} (${known}) on interface ${interfaceIndex[adjacency]}`;
}

function isOffloadSound(packets: Packets, packet: Packet): boolean {
  const { view } = packets;
  const start = packets.start[packet];
  const header = start - VNET_HEADER_BYTES;
  if ((vnet.flags(view, header) & vnet.FLAG_NEEDS_CSUM) !== 0) {
    const from = start + vnet.checksumStart(view, header);
    if (from < packets.transport[packet]) return false;
    if (from + vnet.checksumOffset(view, header) + 2 > packets.end[packet]) return false;
  }
  const version = view.getUint8(packets.network[packet]) >>> 4;
  switch (vnet.gsoType(view, header) & ~vnet.GSO_ECN) {
    case vnet.GSO_NONE:
      return true;
    case vnet.GSO_TCPV4:
      return version === 4 && packets.protocol[packet] === tcp.PROTOCOL;
    case vnet.GSO_TCPV6:
      return version === 6 && packets.protocol[packet] === tcp.PROTOCOL;
    default:
      return packets.protocol[packet] === udp.PROTOCOL;
  }
}
