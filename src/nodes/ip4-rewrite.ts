/**
 * Sends IPv4 packets to a neighbour whose MAC address is known (RFC 1812, sections 5.2.6, 5.3.1): time to live, size, Ethernet header.
 *
 * Needs `packets.adjacency` (a NEIGHBOUR), `network`, `transport` and `end`. What waited for its neighbour enters here again, as it was. The time to live of packets
 * of our own (`rxInterface` -1) stays as it is.
 *
 * Size. A packet that is larger than the MTU is cut into fragments, unless it forbids that: then its sender is told the MTU. What the link is to cut into
 * segments (GSO) is as large as a segment. TCP segments that are too large, and may be cut, are made smaller instead.
 * Not done: UDP segments that are too large and may be fragmented are dropped and counted; UDP to be cut into IP fragments by the link (UFO), which
 * we ask no kernel for, is treated as one datagram.
 */
import type { AdjacencyTable } from '../forward/adjacency.ts';
import type { InterfaceTable } from '../forward/interface-table.ts';
import { drop } from '../graph/drop.ts';
import { ARC_DONE, ARC_NEXT, type Emitter, type GraphNode } from '../graph/node.ts';
import { REASON } from '../graph/reasons.ts';
import { finishChecksum } from '../packet/finish-checksum.ts';
import { emitFragments, NO_ROOM } from '../packet/fragment.ts';
import { type Packet, type Packets, VNET_HEADER_BYTES } from '../packet/packets.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as vnet from '../wire/vnet-header.ts';
import { address, describeWay, fits, prepare, segmentHeaderBytes, WHOLE } from './egress.ts';

const ARC_OUTPUT = ARC_NEXT;
const ARC_ERROR = ARC_NEXT + 1;

export interface RewriteDeps {
  readonly adjacencies: AdjacencyTable;
  readonly interfaces: InterfaceTable;
}

export class Ip4Rewrite implements GraphNode {
  readonly name = 'ip4-rewrite';
  readonly next: readonly string[] = ['interface-output', 'ip4-error'];
  /** Packets that were cut into fragments. */
  fragmented: number = 0;
  readonly #adjacencies: AdjacencyTable;
  readonly #interfaces: InterfaceTable;
  readonly #output: Emitter;

  /** `output` takes fragments. */
  constructor(deps: RewriteDeps, output: Emitter) {
    this.#adjacencies = deps.adjacencies;
    this.#interfaces = deps.interfaces;
    this.#output = output;
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
    const whole = fits(packets, packet, mtu);
    if (!whole && ipv4.dontFragment(view, at)) return refuse(packets, packet, REASON['packet-too-big']);
    if (packets.rxInterface[packet] >= 0) {
      const ttl = ipv4.timeToLive(view, at);
      if (ttl <= 1) return refuse(packets, packet, REASON['hop-limit-exceeded']);
      ipv4.setTimeToLiveAndChecksum(view, at, ttl - 1);
    }
    address(packets, packet, this.#adjacencies, this.#interfaces, ethernet.TYPE_IPV4);
    return whole ? ARC_OUTPUT : this.#cut(packets, packet, mtu);
  }

  #cut(packets: Packets, packet: Packet, mtu: number): number {
    const { view } = packets;
    const at = packets.network[packet];
    const header = packets.start[packet] - VNET_HEADER_BYTES;
    const segmentHeaders = segmentHeaderBytes(packets, packet);
    if (segmentHeaders !== WHOLE) {
      const kind = vnet.gsoType(view, header);
      if (kind === vnet.GSO_UDP_L4 || segmentHeaders >= mtu) return drop(packets, packet, REASON['gso-too-large']);
      vnet.setGso(view, header, kind, mtu - segmentHeaders, vnet.headerLength(view, header));
      return ARC_OUTPUT;
    }
    if ((vnet.flags(view, header) & vnet.FLAG_NEEDS_CSUM) !== 0 && !finishChecksum(packets, packet)) {
      return drop(packets, packet, REASON['vnet-header-invalid']);
    }
    const cut = emitFragments(packets, packet, mtu, ipv4.identification(view, at), this.#output);
    if (cut < 0) return drop(packets, packet, cut === NO_ROOM ? REASON['arena-full'] : REASON['fragment-invalid']);
    this.fragmented++;
    return ARC_DONE;
  }
}

/** To `ip4-error`, which tells the sender why. */
function refuse(packets: Packets, packet: Packet, reason: number): number {
  packets.reason[packet] = reason;
  return ARC_ERROR;
}
