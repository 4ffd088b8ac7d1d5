/** What the tests of neighbour resolution share: an engine's tables, with a clock that stands still, and one routed interface, `LINK`. */
import assert from 'node:assert/strict';
import { ADJACENCY, AdjacencyTable } from '../forward/adjacency.ts';
import { InterfaceAddresses } from '../forward/interface-addresses.ts';
import { InterfaceTable } from '../forward/interface-table.ts';
import { NEIGHBOUR_STATE_NAMES, type NeighbourStateName, NO_NEIGHBOUR } from '../forward/neighbour-table.ts';
import { PacketStore } from '../forward/packet-store.ts';
import { REASON_NAMES } from '../graph/reasons.ts';
import type { Packet, Packets } from '../packet/packets.ts';
import { AddressConflicts } from './address-conflicts.ts';
import { ArpResponder } from './arp-responder.ts';
import { NdResponder } from './nd-responder.ts';
import { Ip4Neighbour, Ip6Neighbour } from './neighbour-queue.ts';
import { NeighbourResolver, type ReleasedPackets } from './neighbour-resolver.ts';
import { arena, ip, LINK, OUR_MAC, prefix, run, Sent } from './service-fixtures.test.ts';

export const OUR4 = '10.0.2.2';
export const OUR6 = 'fd74:6170:7374:6572::2';
export const PEER4 = '10.0.2.100';
export const PEER6 = 'fd74:6170:7374:6572::100';

/** An interface with one address, beside `LINK`. */
export const OTHER_LINK = 2;
export const OTHER4 = '10.9.0.1';

export class NeighbourWorld implements ReleasedPackets {
  readonly clock: { nowUs: number } = { nowUs: 1_000_000 };
  readonly packets: Packets;
  readonly interfaces: InterfaceTable = new InterfaceTable();
  readonly addresses: InterfaceAddresses = new InterfaceAddresses();
  readonly adjacencies: AdjacencyTable = new AdjacencyTable(1);
  readonly sent: Sent = new Sent();
  readonly resolver: NeighbourResolver;
  readonly arp: ArpResponder;
  readonly nd: NdResponder;
  readonly ip4: Ip4Neighbour;
  readonly ip6: Ip6Neighbour;
  readonly conflicts: AddressConflicts;
  /** Conflicts that were told, and packets that were released: `send` or the reason, and the packet. */
  readonly told: string[] = [];
  readonly released: { how: string; packet: Packet }[] = [];

  constructor(packets: Packets = arena(), neighboursMax?: number) {
    this.packets = packets;
    for (let i = 0; i <= LINK; i++) {
      this.interfaces.add(OUR_MAC.high, OUR_MAC.low);
      this.interfaces.up[i] = 1;
    }
    for (const text of [`${OUR4}/24`, `${OUR6}/64`, 'fe80::1/64']) {
      assert.ok(this.addresses.add(LINK, prefix(text)).ok);
    }
    assert.ok(this.addresses.add(OTHER_LINK, prefix(`${OTHER4}/24`)).ok);
    const { addresses, adjacencies, clock, interfaces } = this;
    const deps = { packets, interfaces, addresses, adjacencies, output: this.sent, clock };
    this.resolver = new NeighbourResolver(deps, new PacketStore(), neighboursMax, neighboursMax);
    this.conflicts = new AddressConflicts(clock, (on, w0, w1, w2, w3, high, low) => {
      this.told.push([on, w0, w1, w2, w3, high, low].map((word) => (word >>> 0).toString(16)).join(' '));
    });
    this.arp = new ArpResponder(interfaces, addresses, this.resolver, this.conflicts);
    this.nd = new NdResponder(interfaces, addresses, this.resolver, this.conflicts, this.sent);
    this.ip4 = new Ip4Neighbour(adjacencies, addresses, this.resolver);
    this.ip6 = new Ip6Neighbour(adjacencies, addresses, this.resolver);
  }

  send(packet: Packet, isIpv6: boolean): void {
    this.released.push({ how: isIpv6 ? 'send6' : 'send4', packet });
  }

  refuse(packet: Packet, isIpv6: boolean): void {
    const reason = REASON_NAMES[this.packets.reason[packet]];
    this.released.push({ how: `${reason}${isIpv6 ? 6 : 4}`, packet });
  }

  /** Sends a packet to an address on `LINK` that its look-up gave the connected network's adjacency. */
  glean(packet: Packet, isIpv6: boolean): number | string {
    const our = ip(isIpv6 ? OUR6 : OUR4);
    this.packets.adjacency[packet] = this.adjacencies.acquire(ADJACENCY.GLEAN, LINK, our.w0, our.w1, our.w2, our.w3);
    return run(isIpv6 ? this.ip6 : this.ip4, this.packets, packet);
  }

  find(address: string): number {
    const { w0, w1, w2, w3 } = ip(address);
    return this.resolver.table.find(LINK, w0, w1, w2, w3);
  }

  stateOf(address: string): NeighbourStateName | 'unknown' {
    const neighbour = this.find(address);
    return neighbour === NO_NEIGHBOUR
      ? 'unknown'
      : (NEIGHBOUR_STATE_NAMES[this.resolver.table.state[neighbour]] ?? 'unknown');
  }

  /** The complete adjacency of a neighbour, -1: it has none. */
  completeTo(address: string): number {
    const { w0, w1, w2, w3 } = ip(address);
    const adjacency = this.adjacencies.find(ADJACENCY.NEIGHBOUR, LINK, w0, w1, w2, w3);
    return adjacency >= 0 && this.adjacencies.complete[adjacency] === 1 ? adjacency : -1;
  }

  use(address: string): void {
    const { w0, w1, w2, w3 } = ip(address);
    this.resolver.table.use(LINK, w0, w1, w2, w3, this.resolver.nowMs);
  }

  wait(seconds: number): void {
    for (let i = 0; i < seconds; i++) {
      this.clock.nowUs += 1_000_000;
      this.resolver.tick();
    }
  }
}
