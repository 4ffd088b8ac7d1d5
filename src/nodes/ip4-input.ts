/**
 * Judges IPv4 headers (RFC 791; RFC 1122, section 3.2.1) and sorts by protocol.
 *
 * Sets `packets.transport`, `protocol` and `end`: Ethernet padding behind the total length is cut off. Options are skipped, not obeyed.
 * The header checksum is always verified: no offload leaves it undone.
 *
 * Addresses. A guest speaks for itself and to one host: sources that can't be one host's (0.0.0.0/8, 127.0.0.0/8, 224.0.0.0/4,
 * 240.0.0.0/4) are dropped. Destinations in 127.0.0.0/8 and 0.0.0.0/8 would mean the host's own loopback to the host's sockets, so they
 * never get there. Multicast and broadcast are not translated: dropped and counted. The exception is DHCP: what goes from port 68 to
 * port 67 is for our own server, whatever its addresses.
 */
import { drop } from '../graph/drop.ts';
import { ARC_NEXT, type GraphNode } from '../graph/node.ts';
import { REASON } from '../graph/reasons.ts';
import { describe } from '../packet/describe.ts';
import type { Packet, Packets } from '../packet/packets.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as ipv4 from '../wire/ipv4.ts';

const ARC_REASSEMBLY = ARC_NEXT;
const ARC_TCP = ARC_NEXT + 1;
const ARC_UDP = ARC_NEXT + 2;
const ARC_ICMP = ARC_NEXT + 3;
const ARC_DHCP = ARC_NEXT + 4;
const ARC_OTHER = ARC_NEXT + 5;

/** Source port 68 and destination port 67, as the first word of a UDP header. */
const DHCP_PORTS = (68 << 16) | 67;
const UDP_HEADER_BYTES = 8;

const LIMITED_BROADCAST = -1;

export class Ip4Input implements GraphNode {
  readonly name = 'ip4-input';
  readonly next: readonly string[] = ['ip4-reassembly', 'tcp-input', 'udp-input', 'icmp-input', 'dhcp-input'];
  readonly #takesOthers: boolean;

  /** `others`: the node for all other protocols, where packets are forwarded; left out, these are dropped. */
  constructor(others?: string) {
    this.#takesOthers = others !== undefined;
    if (others !== undefined) this.next = [...this.next, others];
  }

  process(packets: Packets, frame: Int32Array, count: number, arcs: Uint8Array): void {
    const others = this.#takesOthers;
    for (let i = 0; i < count; i++) arcs[i] = arc(packets, frame[i], others);
  }

  /** The packet's line, and of the header what that leaves out. */
  describe(packets: Packets, packet: Packet): string | undefined {
    const { view } = packets;
    const at = packets.network[packet];
    if (ipv4.check(view, at, packets.end[packet]) < 0) return undefined;
    const whole = ipv4.dontFragment(view, at) ? ' DF' : '';
    const wrong = ipv4.verifyChecksum(view, at) ? '' : ' checksum wrong';
    const header = `ttl ${ipv4.timeToLive(view, at)} id ${ipv4.identification(view, at)}${whole}${wrong}`;
    return `${describe(packets, packet)}; ${header}`;
  }
}

function arc(packets: Packets, packet: number, others: boolean): number {
  const { view } = packets;
  const at = packets.network[packet];
  const headerBytes = ipv4.check(view, at, packets.end[packet]);
  if (headerBytes < 0) {
    const length = headerBytes === ipv4.TOTAL_LENGTH_INVALID;
    return drop(packets, packet, length ? REASON['ip4-length-wrong'] : REASON['ip4-header-invalid']);
  }
  if (!ipv4.verifyChecksum(view, at)) return drop(packets, packet, REASON['ip4-checksum-wrong']);
  if (ipv4.timeToLive(view, at) === 0) return drop(packets, packet, REASON['hop-limit-exceeded']);
  const protocol = ipv4.protocol(view, at);
  packets.transport[packet] = at + headerBytes;
  packets.protocol[packet] = protocol;
  packets.end[packet] = at + ipv4.totalLength(view, at);
  if (protocol === ipv4.PROTOCOL_UDP && isDhcp(packets, packet)) return ARC_DHCP;
  const refused = judgeAddresses(ipv4.source(view, at), ipv4.destination(view, at));
  if (refused !== REASON.none) return drop(packets, packet, refused);
  // A network's directed broadcast, whose address looks like any host's (RFC 1122, section 3.3.6: to a group on the link, but to none in IP).
  if (ethernet.isMulticast(view, packets.start[packet])) return drop(packets, packet, REASON.broadcast);
  if (ipv4.isFragment(view, at)) return ARC_REASSEMBLY;
  switch (protocol) {
    case ipv4.PROTOCOL_TCP:
      return ARC_TCP;
    case ipv4.PROTOCOL_UDP:
      return ARC_UDP;
    case ipv4.PROTOCOL_ICMP:
      return ARC_ICMP;
    default:
      return others ? ARC_OTHER : drop(packets, packet, REASON['protocol-unknown']);
  }
}

/**
 * Whether a UDP packet is for the DHCP server. A client that has no address yet sends to everybody from 0.0.0.0; one that renews its lease, from its own address to the server's.
 */
function isDhcp(packets: Packets, packet: number): boolean {
  const transport = packets.transport[packet];
  return (
    packets.end[packet] - transport >= UDP_HEADER_BYTES &&
    packets.view.getInt32(transport) === DHCP_PORTS &&
    !ipv4.isFragment(packets.view, packets.network[packet])
  );
}

function judgeAddresses(source: number, destination: number): number {
  const from = source >>> 24;
  if (from === 127) return REASON['ip4-loopback'];
  if (from === 0 || from >= 224) return REASON['ip4-source-invalid'];
  const to = destination >>> 24;
  if (to === 127 || to === 0) return REASON['ip4-loopback'];
  if (destination === LIMITED_BROADCAST) return REASON.broadcast;
  return to >= 224 && to < 240 ? REASON.multicast : REASON.none;
}
