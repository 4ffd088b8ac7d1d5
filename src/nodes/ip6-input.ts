/**
 * Judges IPv6 headers and extension headers (RFC 8200) and sorts by protocol.
 *
 * Sets `packets.transport`, `protocol` (the last next-header) and `end`. Extension headers are skipped, not obeyed.
 *
 * Addresses. A multicast source is nobody's. The first 96 bits zero (::, ::1, IPv4-compatible) and IPv4-mapped addresses are dropped:
 * the former would mean the host's own loopback to the host's sockets; the latter, which must not be on the wire, would pass for IPv4
 * in the flow table. The exception is a source of :: for a host that still looks for its address, in neighbour discovery only.
 *
 * Multicast is not translated, but neighbour discovery and DHCPv6 are for our own services. Group membership reports
 * (MLD, RFC 3810) are sent by every host and need no answer from us: they are taken in silence, everything else is counted.
 */
import { drop } from '../graph/drop.ts';
import { ARC_DONE, ARC_NEXT, type GraphNode } from '../graph/node.ts';
import { REASON } from '../graph/reasons.ts';
import { describe } from '../packet/describe.ts';
import type { Packet, Packets } from '../packet/packets.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as ipv6 from '../wire/ipv6.ts';

const ARC_REASSEMBLY = ARC_NEXT;
const ARC_TCP = ARC_NEXT + 1;
const ARC_UDP = ARC_NEXT + 2;
const ARC_ICMP6 = ARC_NEXT + 3;
const ARC_NDP = ARC_NEXT + 4;
const ARC_DHCPV6 = ARC_NEXT + 5;
const ARC_OTHER = ARC_NEXT + 6;

/** What stands in the first byte of an ICMPv6 message (RFC 4861, RFC 2710, RFC 3810). */
const TYPE_ROUTER_SOLICITATION = 133;
const TYPE_REDIRECT = 137;
const TYPE_LISTENER_QUERY = 130;
const TYPE_LISTENER_DONE = 132;
const TYPE_LISTENER_REPORT_2 = 143;

const DHCPV6_SERVER_PORT = 547;
const UDP_HEADER_BYTES = 8;
const MAPPED = 0xffff;

export class Ip6Input implements GraphNode {
  readonly name = 'ip6-input';
  readonly next: readonly string[] = [
    'ip6-reassembly',
    'tcp-input',
    'udp-input',
    'icmp6-input',
    'ndp-input',
    'dhcpv6-input',
  ];
  readonly #walk: Int32Array = new Int32Array(ipv6.WALK_WORDS);
  readonly #takesOthers: boolean;

  /** `others`: the node for all other protocols, where packets are forwarded; left out, these are dropped. */
  constructor(others?: string) {
    this.#takesOthers = others !== undefined;
    if (others !== undefined) this.next = [...this.next, others];
  }

  process(packets: Packets, frame: Int32Array, count: number, arcs: Uint8Array): void {
    for (let i = 0; i < count; i++) arcs[i] = this.#arc(packets, frame[i]);
  }

  /** The packet's line, and of the header what that leaves out. */
  describe(packets: Packets, packet: Packet): string | undefined {
    const { view } = packets;
    const at = packets.network[packet];
    if (ipv6.check(view, at, packets.end[packet]) < 0) return undefined;
    const header = `hop limit ${ipv6.hopLimit(view, at)} flow label 0x${ipv6.flowLabel(view, at).toString(16)}`;
    return `${describe(packets, packet)}; ${header}`;
  }

  #arc(packets: Packets, packet: number): number {
    const { view } = packets;
    const at = packets.network[packet];
    const checked = ipv6.check(view, at, packets.end[packet]);
    if (checked < 0) {
      const length = checked === ipv6.PAYLOAD_LENGTH_INVALID;
      return drop(packets, packet, length ? REASON['ip6-length-wrong'] : REASON['ip6-header-invalid']);
    }
    if (ipv6.hopLimit(view, at) === 0) return drop(packets, packet, REASON['hop-limit-exceeded']);
    const end = at + ipv6.HEADER_BYTES + ipv6.payloadLength(view, at);
    packets.end[packet] = end;
    const transport = ipv6.walkExtensions(view, at, end, this.#walk);
    if (transport < 0) return drop(packets, packet, REASON['ip6-extension-invalid']);
    packets.transport[packet] = transport;
    packets.protocol[packet] = this.#walk[ipv6.WALK_PROTOCOL];
    const fragment = this.#walk[ipv6.WALK_FRAGMENT] >= 0;
    const refused = judgeAddresses(packets, packet, fragment);
    if (refused !== REASON.none) return drop(packets, packet, refused);
    if (ipv6.destinationWord(view, at, 0) >>> 24 === 0xff) return multicastArc(packets, packet, fragment);
    if (ethernet.isMulticast(view, packets.start[packet])) return drop(packets, packet, REASON.multicast);
    return fragment ? ARC_REASSEMBLY : unicastArc(packets, packet, this.#takesOthers);
  }
}

function unicastArc(packets: Packets, packet: number, others: boolean): number {
  switch (packets.protocol[packet]) {
    case ipv6.PROTOCOL_TCP:
      return ARC_TCP;
    case ipv6.PROTOCOL_UDP:
      return ARC_UDP;
    case ipv6.PROTOCOL_ICMPV6:
      return isDiscovery(icmpType(packets, packet)) ? ARC_NDP : ARC_ICMP6;
    default:
      return others ? ARC_OTHER : drop(packets, packet, REASON['protocol-unknown']);
  }
}

function multicastArc(packets: Packets, packet: number, fragment: boolean): number {
  if (!fragment && packets.protocol[packet] === ipv6.PROTOCOL_ICMPV6) {
    const kind = icmpType(packets, packet);
    if (isDiscovery(kind)) return ARC_NDP;
    if ((kind >= TYPE_LISTENER_QUERY && kind <= TYPE_LISTENER_DONE) || kind === TYPE_LISTENER_REPORT_2) return ARC_DONE;
  }
  if (!fragment && isDhcpv6(packets, packet)) return ARC_DHCPV6;
  return drop(packets, packet, REASON.multicast);
}

/** To All_DHCP_Relay_Agents_and_Servers, ff02::1:2, port 547 (RFC 8415, section 7). */
function isDhcpv6(packets: Packets, packet: number): boolean {
  const { view } = packets;
  const at = packets.network[packet];
  const transport = packets.transport[packet];
  return (
    packets.protocol[packet] === ipv6.PROTOCOL_UDP &&
    ipv6.destinationWord(view, at, 0) >>> 16 === 0xff02 &&
    ipv6.destinationWord(view, at, 3) === 0x0001_0002 &&
    packets.end[packet] - transport >= UDP_HEADER_BYTES &&
    view.getUint16(transport + 2) === DHCPV6_SERVER_PORT
  );
}

function judgeAddresses(packets: Packets, packet: number, fragment: boolean): number {
  const { view } = packets;
  const at = packets.network[packet];
  if (ipv6.sourceWord(view, at, 0) >>> 24 === 0xff) return REASON['ip6-source-invalid'];
  if (isEmbedded(view, ipv6.sourceAt(at))) {
    const last = ipv6.sourceWord(view, at, 3);
    const unspecified = ipv6.sourceWord(view, at, 2) === 0 && last === 0;
    const searching = unspecified && !fragment && packets.protocol[packet] === ipv6.PROTOCOL_ICMPV6;
    // Listener reports come from :: too; what goes to one host never does.
    if (!searching || ipv6.destinationWord(view, at, 0) >>> 24 !== 0xff) {
      return last === 1 ? REASON['ip6-loopback'] : REASON['ip6-source-invalid'];
    }
  }
  return isEmbedded(view, ipv6.destinationAt(at)) ? REASON['ip6-loopback'] : REASON.none;
}

/** ::/96 (unspecified, loopback, IPv4-compatible) and ::ffff:0:0/96 (IPv4-mapped). */
function isEmbedded(view: DataView, at: number): boolean {
  if (view.getInt32(at) !== 0 || view.getInt32(at + 4) !== 0) return false;
  const third = view.getInt32(at + 8);
  return third === 0 || third === MAPPED;
}

/** -1 where there is not even a type. */
function icmpType(packets: Packets, packet: number): number {
  const transport = packets.transport[packet];
  return transport < packets.end[packet] ? packets.view.getUint8(transport) : -1;
}

function isDiscovery(kind: number): boolean {
  return kind >= TYPE_ROUTER_SOLICITATION && kind <= TYPE_REDIRECT;
}
