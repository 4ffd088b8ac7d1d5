/**
 * Sends IPv6 packets to a neighbour whose MAC address is known (RFC 8200, sections 3 and 5): hop limit, size, Ethernet header.
 *
 * Needs `packets.adjacency` (a NEIGHBOUR), `network`, `transport` and `end`. What waited for its neighbour enters here again, as it was. The hop limit of packets of
 * our own (`rxInterface` -1) stays as it is. Nobody on the way cuts IPv6 packets: the sender of one that is larger than the MTU is told. What the link is to
 * cut into segments (GSO) is as large as a segment.
 */
import type { AdjacencyTable } from '../forward/adjacency.ts';
import type { InterfaceTable } from '../forward/interface-table.ts';
import { drop } from '../graph/drop.ts';
import { ARC_NEXT, type GraphNode } from '../graph/node.ts';
import { REASON } from '../graph/reasons.ts';
import type { Packet, Packets } from '../packet/packets.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as ipv6 from '../wire/ipv6.ts';
import { address, describeWay, fits, prepare } from './egress.ts';
import type { RewriteDeps } from './ip4-rewrite.ts';

const ARC_OUTPUT = ARC_NEXT;
const ARC_ERROR = ARC_NEXT + 1;

export class Ip6Rewrite implements GraphNode {
  readonly name = 'ip6-rewrite';
  readonly next: readonly string[] = ['interface-output', 'ip6-error'];
  readonly #adjacencies: AdjacencyTable;
  readonly #interfaces: InterfaceTable;

  constructor(deps: RewriteDeps) {
    this.#adjacencies = deps.adjacencies;
    this.#interfaces = deps.interfaces;
  }

  process(packets: Packets, frame: Int32Array, count: number, arcs: Uint8Array): void {
    for (let i = 0; i < count; i++) arcs[i] = this.#arc(packets, frame[i]);
  }

  describe(packets: Packets, packet: Packet): string | undefined {
    return describeWay(packets, packet, this.#adjacencies);
  }

  #arc(packets: Packets, packet: Packet): number {
    const refused = prepare(packets, packet, this.#adjacencies, this.#interfaces);
    if (refused === REASON['host-unreachable']) return refuse(packets, packet, refused);
    if (refused !== REASON.none) return drop(packets, packet, refused);
    const { view } = packets;
    const at = packets.network[packet];
    const mtu = this.#interfaces.mtu[packets.txInterface[packet]];
    if (!fits(packets, packet, mtu)) return refuse(packets, packet, REASON['packet-too-big']);
    if (packets.rxInterface[packet] >= 0) {
      const limit = ipv6.hopLimit(view, at);
      if (limit <= 1) return refuse(packets, packet, REASON['hop-limit-exceeded']);
      ipv6.setHopLimit(view, at, limit - 1);
    }
    address(packets, packet, this.#adjacencies, this.#interfaces, ethernet.TYPE_IPV6);
    return ARC_OUTPUT;
  }
}

/** To `ip6-error`, which tells the sender why. */
function refuse(packets: Packets, packet: Packet, reason: number): number {
  packets.reason[packet] = reason;
  return ARC_ERROR;
}
