/**
 * Where an IPv4 packet goes: the forwarding decision of a router (RFC 1812, section 5.2).
 *
 * Stands behind `ip4-input` as a feature: before the translators and, so that fragments pass as they are, before `ip4-reassembly`; other protocols come to it
 * by the input's own arc. Fragments for ourselves or for the
 * translators are put together first and come here again, whole.
 *
 * | adjacency            | to                                                                                     |
 * | -------------------- | -------------------------------------------------------------------------------------- |
 * | NEIGHBOUR, complete  | `ip4-rewrite`                                                                          |
 * | NEIGHBOUR, else      | `ip4-neighbour`                                                                        |
 * | GLEAN                | as NEIGHBOUR, if the destination has such an adjacency; else `ip4-neighbour` with GLEAN |
 * | LOCAL                | `ip4-local`                                                                            |
 * | UPLINK               | the translators                                                                        |
 * | UNREACHABLE, no route | `ip4-error`                                                                           |
 * | DROP                 | dropped                                                                                |
 *
 * Dropped as well, with no word to anybody: what comes from an address that is no one host's, or ours (martians: RFC 1812, section 5.3.7); what is for a group or
 * for everybody, directed broadcasts included (RFC 2644); what came as such on its link (section 5.3.4); link-local traffic that would leave its link
 * (RFC 3927, section 2.7). A packet may leave by the interface that it came in by; no redirects are sent. Packets of our own have `rxInterface` -1.
 */
import { ADJACENCY, type AdjacencyTable, NO_ADJACENCY } from '../forward/adjacency.ts';
import { flowHash, isGroup, type NextHopGroups } from '../forward/ecmp.ts';
import type { InterfaceAddresses } from '../forward/interface-addresses.ts';
import { drop } from '../graph/drop.ts';
import { ARC_NEXT, type GraphNode } from '../graph/node.ts';
import { REASON } from '../graph/reasons.ts';
import type { Packet, Packets } from '../packet/packets.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as ipv4 from '../wire/ipv4.ts';

const ARC_REWRITE = ARC_NEXT;
const ARC_NEIGHBOUR = ARC_NEXT + 1;
const ARC_LOCAL = ARC_NEXT + 2;
const ARC_ERROR = ARC_NEXT + 3;
const ARC_REASSEMBLY = ARC_NEXT + 4;
const ARC_TCP = ARC_NEXT + 5;
const ARC_UDP = ARC_NEXT + 6;
const ARC_ICMP = ARC_NEXT + 7;

const NONE = -1;
const MAPPED = 0xffff;
/** 169.254.0.0/16. */
const LINK_LOCAL = 0xa9fe;

/** The routes: the number of an adjacency or the value of a group of them (`forward/ecmp.ts`), or -1 where there is none. */
export interface Ip4Routes {
  lookup(address: number): number;
}

export interface Ip4LookupDeps {
  readonly routes: Ip4Routes;
  readonly adjacencies: AdjacencyTable;
  readonly addresses: InterfaceAddresses;
  /** What the routes say may be one of these groups; `secrets` are for `flowHash`. */
  readonly groups: NextHopGroups;
  readonly secrets: Int32Array;
}

export class Ip4Lookup implements GraphNode {
  readonly name = 'ip4-lookup';
  readonly next: readonly string[] = [
    'ip4-rewrite',
    'ip4-neighbour',
    'ip4-local',
    'ip4-error',
    'ip4-reassembly',
    'tcp-input',
    'udp-input',
    'icmp-input',
  ];
  readonly #routes: Ip4Routes;
  readonly #adjacencies: AdjacencyTable;
  readonly #addresses: InterfaceAddresses;
  readonly #groups: NextHopGroups;
  readonly #secrets: Int32Array;
  /** The source that was judged last, in this frame: packets of one sender come in rows. */
  #judgedOn: number = NONE;
  #judgedSource: number = 0;
  #judgement: number = REASON.none;

  constructor(deps: Ip4LookupDeps) {
    this.#routes = deps.routes;
    this.#adjacencies = deps.adjacencies;
    this.#addresses = deps.addresses;
    this.#groups = deps.groups;
    this.#secrets = deps.secrets;
  }

  process(packets: Packets, frame: Int32Array, count: number, arcs: Uint8Array): void {
    this.#judgedOn = NONE;
    for (let i = 0; i < count; i++) arcs[i] = this.#arc(packets, frame[i]);
  }

  #arc(packets: Packets, packet: Packet): number {
    const { view } = packets;
    const at = packets.network[packet];
    const destination = ipv4.destination(view, at);
    const refused = this.#judge(packets, packet, ipv4.source(view, at), destination);
    if (refused !== REASON.none) return drop(packets, packet, refused);
    const route = this.#routes.lookup(destination);
    const adjacency = isGroup(route) ? this.#groups.choose(route, flowHash(packets, packet, this.#secrets)) : route;
    if (adjacency === NO_ADJACENCY) return refuse(packets, packet, REASON['no-route']);
    packets.adjacency[packet] = adjacency;
    switch (this.#adjacencies.kind[adjacency]) {
      case ADJACENCY.NEIGHBOUR:
      case ADJACENCY.GLEAN:
        return this.#forward(packets, packet, adjacency, destination);
      case ADJACENCY.LOCAL:
        return this.#deliver(packets, packet, adjacency, ARC_LOCAL);
      case ADJACENCY.UPLINK:
        return this.#deliver(packets, packet, adjacency, translator(packets.protocol[packet]));
      case ADJACENCY.UNREACHABLE:
        return refuse(packets, packet, REASON['host-unreachable']);
      default:
        return drop(packets, packet, REASON['route-drops']);
    }
  }

  /** Most of this `ip4-input` has judged already; what comes another way has not been there. */
  #judge(packets: Packets, packet: Packet, source: number, destination: number): number {
    const to = destination >>> 24;
    if (to === 127 || to === 0) return REASON['ip4-loopback'];
    if (to >= 224) return to < 240 ? REASON.multicast : REASON.broadcast;
    const from = packets.rxInterface[packet];
    if (from < 0) return REASON.none;
    if (ethernet.isMulticast(packets.view, packets.start[packet])) return REASON.broadcast;
    if (from !== this.#judgedOn || source !== this.#judgedSource) {
      this.#judgedOn = from;
      this.#judgedSource = source;
      this.#judgement = this.#judgeSource(from, source);
    }
    return this.#judgement;
  }

  #judgeSource(from: number, source: number): number {
    const network = source >>> 24;
    if (network === 127) return REASON['ip4-loopback'];
    if (network === 0 || network >= 224) return REASON['ip4-source-invalid'];
    if (this.#addresses.isOurIpv4(from, source)) return REASON['own-source'];
    return this.#addresses.isBroadcastOn(from, source) ? REASON['ip4-source-invalid'] : REASON.none;
  }

  #forward(packets: Packets, packet: Packet, route: number, destination: number): number {
    const adjacencies = this.#adjacencies;
    const { view } = packets;
    const at = packets.network[packet];
    let adjacency = route;
    if (adjacencies.kind[route] === ADJACENCY.GLEAN) {
      const to = adjacencies.interfaceIndex[route];
      const neighbour = adjacencies.find(ADJACENCY.NEIGHBOUR, to, 0, 0, MAPPED, destination);
      if (neighbour !== NO_ADJACENCY) adjacency = neighbour;
      // No neighbour has such an address, so that only who is not known need be asked about it.
      else if (this.#addresses.isBroadcastOn(to, destination)) {
        return drop(packets, packet, REASON['directed-broadcast']);
      }
      packets.adjacency[packet] = adjacency;
    }
    if (packets.rxInterface[packet] >= 0) {
      if (destination >>> 16 === LINK_LOCAL || ipv4.source(view, at) >>> 16 === LINK_LOCAL) {
        return drop(packets, packet, REASON['link-local-scope']);
      }
      // Here too, though `ip4-rewrite` counts down: nobody is asked for on behalf of a packet that ends here.
      if (ipv4.timeToLive(view, at) <= 1) return refuse(packets, packet, REASON['hop-limit-exceeded']);
    }
    return adjacencies.complete[adjacency] === 1 ? ARC_REWRITE : ARC_NEIGHBOUR;
  }

  /** To a node that reads what is behind the IP header: of whole packets only. */
  #deliver(packets: Packets, packet: Packet, adjacency: number, arc: number): number {
    if (ipv4.isFragment(packets.view, packets.network[packet])) return ARC_REASSEMBLY;
    if (arc < 0) return drop(packets, packet, REASON['protocol-unknown']);
    this.#adjacencies.account(adjacency, packets.end[packet] - packets.network[packet]);
    return arc;
  }
}

function translator(protocol: number): number {
  switch (protocol) {
    case ipv4.PROTOCOL_TCP:
      return ARC_TCP;
    case ipv4.PROTOCOL_UDP:
      return ARC_UDP;
    case ipv4.PROTOCOL_ICMP:
      return ARC_ICMP;
    default:
      return -1;
  }
}

/** To `ip4-error`, which tells the sender why. */
function refuse(packets: Packets, packet: Packet, reason: number): number {
  packets.reason[packet] = reason;
  return ARC_ERROR;
}
