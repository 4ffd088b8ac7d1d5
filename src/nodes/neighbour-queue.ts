/**
 * Packets whose next hop's MAC address is not known (here): `ip4-neighbour` and `ip6-neighbour`. What they do is the same but for where the destination is read.
 *
 * A packet comes with the adjacency that the look-up gave it: GLEAN, whose next hop is the packet's own destination, or NEIGHBOUR, whose address is the next
 * hop's. If the neighbour is known after all it gets the neighbour's adjacency and goes on to be rewritten; if it is being asked for the packet waits in
 * `NeighbourResolver`; if it has not answered the sender is told (`host-unreachable`). What can be no neighbour is dropped: groups, broadcast, ourselves.
 */
import { isMulticastWords, isUnspecifiedWords } from '../base/address.ts';
import { ADJACENCY, ADJACENCY_ADDRESS_WORDS, type AdjacencyTable, NO_ADJACENCY } from '../forward/adjacency.ts';
import type { InterfaceAddresses } from '../forward/interface-addresses.ts';
import { NEIGHBOUR_STATE, NO_NEIGHBOUR } from '../forward/neighbour-table.ts';
import { drop } from '../graph/drop.ts';
import { ARC_DONE, ARC_NEXT, type GraphNode } from '../graph/node.ts';
import { REASON } from '../graph/reasons.ts';
import type { Packet, Packets } from '../packet/packets.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as ipv6 from '../wire/ipv6.ts';
import type { NeighbourResolver } from './neighbour-resolver.ts';

const ARC_REWRITE = ARC_NEXT;
const ARC_ERROR = ARC_NEXT + 1;

const MAPPED = 0xffff;

/** What both nodes are made of. */
class NeighbourQueue {
  readonly #adjacencies: AdjacencyTable;
  readonly #addresses: InterfaceAddresses;
  readonly #resolver: NeighbourResolver;

  constructor(adjacencies: AdjacencyTable, addresses: InterfaceAddresses, resolver: NeighbourResolver) {
    this.#adjacencies = adjacencies;
    this.#addresses = addresses;
    this.#resolver = resolver;
  }

  /** Decides for a packet to this destination. */
  arc(packets: Packets, packet: Packet, w0: number, w1: number, w2: number, w3: number): number {
    const { address, interfaceIndex, kind } = this.#adjacencies;
    const adjacency = packets.adjacency[packet];
    if (!this.#adjacencies.has(adjacency)) return drop(packets, packet, REASON['neighbour-invalid']);
    const to = interfaceIndex[adjacency];
    if (kind[adjacency] === ADJACENCY.GLEAN) return this.#arcTo(packets, packet, to, w0, w1, w2, w3);
    if (kind[adjacency] !== ADJACENCY.NEIGHBOUR) return drop(packets, packet, REASON['neighbour-invalid']);
    const at = adjacency * ADJACENCY_ADDRESS_WORDS;
    return this.#arcTo(packets, packet, to, address[at], address[at + 1], address[at + 2], address[at + 3]);
  }

  #arcTo(packets: Packets, packet: Packet, to: number, w0: number, w1: number, w2: number, w3: number): number {
    if (!this.#canBeNeighbour(to, w0, w1, w2, w3)) return drop(packets, packet, REASON['neighbour-invalid']);
    const { table } = this.#resolver;
    const neighbour = table.use(to, w0, w1, w2, w3, this.#resolver.nowMs);
    if (neighbour === NO_NEIGHBOUR) return drop(packets, packet, REASON['neighbours-full']);
    switch (table.state[neighbour]) {
      case NEIGHBOUR_STATE.INCOMPLETE:
        this.#resolver.hold(neighbour, packet);
        return ARC_DONE;
      case NEIGHBOUR_STATE.FAILED:
        packets.reason[packet] = REASON['host-unreachable'];
        return ARC_ERROR;
    }
    const adjacency = this.#resolver.adjacency(neighbour);
    if (adjacency === NO_ADJACENCY) return drop(packets, packet, REASON['neighbours-full']);
    packets.adjacency[packet] = adjacency;
    return ARC_REWRITE;
  }

  #canBeNeighbour(interfaceIndex: number, w0: number, w1: number, w2: number, w3: number): boolean {
    if (isMulticastWords(w0, w1, w2, w3) || isUnspecifiedWords(w0, w1, w2, w3)) return false;
    const addresses = this.#addresses;
    if (addresses.isOurs(interfaceIndex, w0, w1, w2, w3)) return false;
    const isIpv4 = (w0 | w1) === 0 && w2 === MAPPED;
    return !isIpv4 || (w3 !== -1 && !addresses.isBroadcastOn(interfaceIndex, w3));
  }
}

export class Ip4Neighbour implements GraphNode {
  readonly name = 'ip4-neighbour';
  readonly next: readonly string[] = ['ip4-rewrite', 'ip4-error'];
  readonly #queue: NeighbourQueue;

  constructor(adjacencies: AdjacencyTable, addresses: InterfaceAddresses, resolver: NeighbourResolver) {
    this.#queue = new NeighbourQueue(adjacencies, addresses, resolver);
  }

  process(packets: Packets, frame: Int32Array, count: number, arcs: Uint8Array): void {
    const { view } = packets;
    for (let i = 0; i < count; i++) {
      const packet = frame[i];
      arcs[i] = this.#queue.arc(packets, packet, 0, 0, MAPPED, ipv4.destination(view, packets.network[packet]));
    }
  }
}

export class Ip6Neighbour implements GraphNode {
  readonly name = 'ip6-neighbour';
  readonly next: readonly string[] = ['ip6-rewrite', 'ip6-error'];
  readonly #queue: NeighbourQueue;

  constructor(adjacencies: AdjacencyTable, addresses: InterfaceAddresses, resolver: NeighbourResolver) {
    this.#queue = new NeighbourQueue(adjacencies, addresses, resolver);
  }

  process(packets: Packets, frame: Int32Array, count: number, arcs: Uint8Array): void {
    const { view } = packets;
    for (let i = 0; i < count; i++) {
      const packet = frame[i];
      const at = packets.network[packet];
      const w0 = ipv6.destinationWord(view, at, 0);
      const w1 = ipv6.destinationWord(view, at, 1);
      const w2 = ipv6.destinationWord(view, at, 2);
      arcs[i] = this.#queue.arc(packets, packet, w0, w1, w2, ipv6.destinationWord(view, at, 3));
    }
  }
}
