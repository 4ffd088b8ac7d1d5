/**
 * Where an IPv6 packet goes: the forwarding decision of a router (RFC 8200; RFC 4291, section 2.5.6 for scopes).
 *
 * Stands behind `ip6-input` as `ip4-lookup` stands behind `ip4-input`, and sorts in the same way; see there. Different from IPv4:
 *
 * - A link-local destination is looked up among our own addresses on the link that the packet came by, never in the routes: it is not forwarded. From a link-local
 *   source a packet goes no further than to us, and its sender is told (RFC 4443, section 3.1, code 2).
 * - There is no broadcast. Group addresses do not get here.
 */
import { ADJACENCY, type AdjacencyTable, NO_ADJACENCY } from '../forward/adjacency.ts';
import { flowHash, isGroup, type NextHopGroups } from '../forward/ecmp.ts';
import type { InterfaceAddresses } from '../forward/interface-addresses.ts';
import { drop } from '../graph/drop.ts';
import { ARC_NEXT, type GraphNode } from '../graph/node.ts';
import { REASON } from '../graph/reasons.ts';
import type { Packet, Packets } from '../packet/packets.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as ipv6 from '../wire/ipv6.ts';

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

/** The routes: the number of an adjacency or the value of a group of them (`forward/ecmp.ts`), or -1 where there is none. */
export interface Ip6Routes {
  lookup(w0: number, w1: number, w2: number, w3: number): number;
}

export interface Ip6LookupDeps {
  readonly routes: Ip6Routes;
  readonly adjacencies: AdjacencyTable;
  readonly addresses: InterfaceAddresses;
  /** What the routes say may be one of these groups; `secrets` are for `flowHash`. */
  readonly groups: NextHopGroups;
  readonly secrets: Int32Array;
}

export class Ip6Lookup implements GraphNode {
  readonly name = 'ip6-lookup';
  readonly next: readonly string[] = [
    'ip6-rewrite',
    'ip6-neighbour',
    'ip6-local',
    'ip6-error',
    'ip6-reassembly',
    'tcp-input',
    'udp-input',
    'icmp6-input',
  ];
  readonly #routes: Ip6Routes;
  readonly #adjacencies: AdjacencyTable;
  readonly #addresses: InterfaceAddresses;
  readonly #groups: NextHopGroups;
  readonly #secrets: Int32Array;
  readonly #walk: Int32Array = new Int32Array(ipv6.WALK_WORDS);
  /** The source that was judged last, in this frame: packets of one sender come in rows. */
  readonly #judgedSource: Int32Array = new Int32Array(4);
  #judgedOn: number = NONE;
  #judgement: number = REASON.none;

  constructor(deps: Ip6LookupDeps) {
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
    const w0 = ipv6.destinationWord(view, at, 0);
    const refused = this.#judge(packets, packet, w0);
    if (refused !== REASON.none) return drop(packets, packet, refused);
    if (isLinkLocal(w0) && packets.rxInterface[packet] >= 0) return this.#toOurLinkLocal(packets, packet);
    const w1 = ipv6.destinationWord(view, at, 1);
    const w2 = ipv6.destinationWord(view, at, 2);
    const w3 = ipv6.destinationWord(view, at, 3);
    const route = this.#routes.lookup(w0, w1, w2, w3);
    const adjacency = isGroup(route) ? this.#groups.choose(route, flowHash(packets, packet, this.#secrets)) : route;
    if (adjacency === NO_ADJACENCY) return refuse(packets, packet, REASON['no-route']);
    packets.adjacency[packet] = adjacency;
    switch (this.#adjacencies.kind[adjacency]) {
      case ADJACENCY.NEIGHBOUR:
        return this.#forward(packets, packet, adjacency);
      case ADJACENCY.GLEAN: {
        const to = this.#adjacencies.interfaceIndex[adjacency];
        const neighbour = this.#adjacencies.find(ADJACENCY.NEIGHBOUR, to, w0, w1, w2, w3);
        return this.#forward(packets, packet, neighbour === NO_ADJACENCY ? adjacency : neighbour);
      }
      case ADJACENCY.LOCAL:
        return this.#deliver(packets, packet, ARC_LOCAL);
      case ADJACENCY.UPLINK:
        return this.#deliver(packets, packet, translator(packets.protocol[packet]));
      case ADJACENCY.UNREACHABLE:
        return refuse(packets, packet, REASON['host-unreachable']);
      default:
        return drop(packets, packet, REASON['route-drops']);
    }
  }

  /** Most of this `ip6-input` has judged already; what comes another way has not been there. */
  #judge(packets: Packets, packet: Packet, destinationWord: number): number {
    const { view } = packets;
    const at = packets.network[packet];
    if (destinationWord >>> 24 === 0xff) return REASON.multicast;
    if (isEmbedded(view, ipv6.destinationAt(at))) return REASON['ip6-loopback'];
    const from = packets.rxInterface[packet];
    if (from < 0) return REASON.none;
    if (ethernet.isMulticast(view, packets.start[packet])) return REASON.multicast;
    if (from !== this.#judgedOn || !isSource(view, at, this.#judgedSource)) {
      this.#judgedOn = from;
      for (let i = 0; i < 4; i++) this.#judgedSource[i] = ipv6.sourceWord(view, at, i);
      this.#judgement = this.#judgeSource(view, at, from);
    }
    return this.#judgement;
  }

  #judgeSource(view: DataView, at: number, from: number): number {
    const w0 = ipv6.sourceWord(view, at, 0);
    const w3 = ipv6.sourceWord(view, at, 3);
    if (w0 >>> 24 === 0xff) return REASON['ip6-source-invalid'];
    if (isEmbedded(view, ipv6.sourceAt(at))) return w3 === 1 ? REASON['ip6-loopback'] : REASON['ip6-source-invalid'];
    return this.#addresses.isOurs(from, w0, ipv6.sourceWord(view, at, 1), ipv6.sourceWord(view, at, 2), w3)
      ? REASON['own-source']
      : REASON.none;
  }

  #toOurLinkLocal(packets: Packets, packet: Packet): number {
    const { view } = packets;
    const at = packets.network[packet];
    const from = packets.rxInterface[packet];
    const w0 = ipv6.destinationWord(view, at, 0);
    const w1 = ipv6.destinationWord(view, at, 1);
    const w2 = ipv6.destinationWord(view, at, 2);
    const w3 = ipv6.destinationWord(view, at, 3);
    if (!this.#addresses.isOn(from, w0, w1, w2, w3)) return drop(packets, packet, REASON['link-local-scope']);
    packets.adjacency[packet] = this.#adjacencies.find(ADJACENCY.LOCAL, from, w0, w1, w2, w3);
    return this.#deliver(packets, packet, ARC_LOCAL);
  }

  #forward(packets: Packets, packet: Packet, adjacency: number): number {
    const { view } = packets;
    const at = packets.network[packet];
    packets.adjacency[packet] = adjacency;
    if (packets.rxInterface[packet] >= 0) {
      if (isLinkLocal(ipv6.sourceWord(view, at, 0))) return refuse(packets, packet, REASON['link-local-scope']);
      // Here too, though `ip6-rewrite` counts down: nobody is asked for on behalf of a packet that ends here.
      if (ipv6.hopLimit(view, at) <= 1) return refuse(packets, packet, REASON['hop-limit-exceeded']);
    }
    return this.#adjacencies.complete[adjacency] === 1 ? ARC_REWRITE : ARC_NEIGHBOUR;
  }

  /** To a node that reads what is behind the IP header: of whole packets only. */
  #deliver(packets: Packets, packet: Packet, arc: number): number {
    if (this.#isFragment(packets, packet)) return ARC_REASSEMBLY;
    if (arc < 0) return drop(packets, packet, REASON['protocol-unknown']);
    const adjacency = packets.adjacency[packet];
    if (adjacency >= 0) this.#adjacencies.account(adjacency, packets.end[packet] - packets.network[packet]);
    return arc;
  }

  #isFragment(packets: Packets, packet: Packet): boolean {
    const { view } = packets;
    const at = packets.network[packet];
    if (ipv6.nextHeader(view, at) === packets.protocol[packet]) return false;
    return ipv6.walkExtensions(view, at, packets.end[packet], this.#walk) >= 0 && this.#walk[ipv6.WALK_FRAGMENT] >= 0;
  }
}

function translator(protocol: number): number {
  switch (protocol) {
    case ipv6.PROTOCOL_TCP:
      return ARC_TCP;
    case ipv6.PROTOCOL_UDP:
      return ARC_UDP;
    case ipv6.PROTOCOL_ICMPV6:
      return ARC_ICMP;
    default:
      return -1;
  }
}

function isSource(view: DataView, at: number, words: Int32Array): boolean {
  return (
    ipv6.sourceWord(view, at, 3) === words[3] &&
    ipv6.sourceWord(view, at, 2) === words[2] &&
    ipv6.sourceWord(view, at, 1) === words[1] &&
    ipv6.sourceWord(view, at, 0) === words[0]
  );
}

/** fe80::/10. */
function isLinkLocal(w0: number): boolean {
  return w0 >>> 22 === 0x3fa;
}

/** ::/96 (unspecified, loopback, IPv4-compatible) and ::ffff:0:0/96 (IPv4-mapped). */
function isEmbedded(view: DataView, at: number): boolean {
  if (view.getInt32(at) !== 0 || view.getInt32(at + 4) !== 0) return false;
  const third = view.getInt32(at + 8);
  return third === 0 || third === MAPPED;
}

/** To `ip6-error`, which tells the sender why. */
function refuse(packets: Packets, packet: Packet, reason: number): number {
  packets.reason[packet] = reason;
  return ARC_ERROR;
}
