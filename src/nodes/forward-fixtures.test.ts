/** A router for the tests of forwarding nodes: three interfaces, their addresses and neighbours, and routes in a list. */
import { parseIpAddress, parseIpPrefix, prefixContains } from '../base/address.ts';
import { ADJACENCY, AdjacencyTable } from '../forward/adjacency.ts';
import { flowSecrets, NextHopGroups } from '../forward/ecmp.ts';
import { InterfaceAddresses } from '../forward/interface-addresses.ts';
import { InterfaceTable } from '../forward/interface-table.ts';
import { ARC_DONE, ARC_DROP, type GraphNode } from '../graph/node.ts';
import { REASON_NAMES } from '../graph/reasons.ts';
import type { Packet, Packets } from '../packet/packets.ts';
import * as make from './packet-fixtures.test.ts';

export const LEFT = 0;
export const RIGHT = 1;
/** An interface that is down. */
export const DOWN = 2;

/** Our MAC address on RIGHT, and that of the neighbour there. */
export const RIGHT_MAC = [0x02, 0, 0, 0, 0, 0x21];
export const NEIGHBOUR_MAC = [0x02, 0, 0, 0, 0, 0x99];

/** Words of an address in text. */
function words(text: string): [number, number, number, number] {
  const address = parseIpAddress(text)!;
  return [address.w0, address.w1, address.w2, address.w3];
}

/** Bytes of an address in text. */
export function bytes(text: string): number[] {
  const all = make.v6(...words(text));
  return text.includes(':') ? all : all.slice(12);
}

export class Router {
  readonly packets: Packets = make.arena();
  readonly interfaces: InterfaceTable = new InterfaceTable();
  readonly addresses: InterfaceAddresses = new InterfaceAddresses();
  readonly adjacencies: AdjacencyTable = new AdjacencyTable(7);
  readonly groups: NextHopGroups = new NextHopGroups();
  readonly secrets: Int32Array = flowSecrets(7);
  readonly clock: { nowUs: number } = { nowUs: 0 };
  /** What was emitted. */
  readonly sent: Packet[] = [];
  readonly output = { emit: (packet: Packet): void => void this.sent.push(packet) };
  readonly #routes: { to: string; value: number }[] = [];

  constructor() {
    this.interfaces.add(make.OUR_MAC_HIGH, make.OUR_MAC_LOW);
    this.interfaces.add(0x0200, 0x21);
    this.interfaces.add(0x0200, 0x22);
    this.interfaces.up[LEFT] = 1;
    this.interfaces.up[RIGHT] = 1;
    for (const [on, prefix] of [
      [LEFT, '10.0.2.1/24'],
      [LEFT, '2001:db8::1/64'],
      [LEFT, 'fe80::1/64'],
      [RIGHT, '192.0.2.254/24'],
      [RIGHT, '2001:db8:1::ff/64'],
      [RIGHT, 'fe80::1/64'],
      [DOWN, '198.51.100.1/24'],
    ] as const) {
      const parsed = parseIpPrefix(prefix)!;
      this.addresses.add(on, parsed);
      const { w0, w1, w2, w3 } = parsed.address;
      if (prefix.startsWith('fe80')) continue;
      this.route(prefix, this.adjacencies.acquire(ADJACENCY.GLEAN, on, w0, w1, w2, w3));
      const host = prefix.replace(/\/.*/, prefix.includes(':') ? '/128' : '/32');
      this.route(host, this.adjacencies.acquire(ADJACENCY.LOCAL, on, w0, w1, w2, w3));
    }
  }

  route(to: string, value: number): void {
    this.#routes.push({ to, value });
  }

  /** An adjacency that has no interface. */
  special(kind: number): number {
    return this.adjacencies.acquire(kind, -1, 0, 0, 0, 0);
  }

  /** A neighbour on an interface, by default with a known MAC address. */
  neighbour(on: number, address: string, complete = true): number {
    const adjacency = this.adjacencies.acquire(ADJACENCY.NEIGHBOUR, on, ...words(address));
    if (complete) this.adjacencies.setComplete(adjacency, 0x0200, 0x99);
    return adjacency;
  }

  /** Longest match, one by one; `calls` counts. */
  readonly routes4 = { lookup: (address: number): number => this.#lookup(0, 0, 0xffff, address) };
  readonly routes6 = {
    lookup: (w0: number, w1: number, w2: number, w3: number): number => this.#lookup(w0, w1, w2, w3),
  };

  #lookup(w0: number, w1: number, w2: number, w3: number): number {
    let best = -1;
    let value = -1;
    for (const route of this.#routes) {
      const prefix = parseIpPrefix(route.to)!;
      const fits = prefixContains(prefix, { w0, w1, w2, w3 });
      if (!fits || prefix.length <= best) continue;
      best = prefix.length;
      value = route.value;
    }
    return value;
  }

  /** A frame of an IP packet that came in by `from` and has been judged; `vnet`: its virtio-net header. */
  receive(packet: make.Bytes, from: number = LEFT, vnet: make.Bytes = [], to: make.Bytes = make.OUR_MAC): Packet {
    const isIpv4 = packet[0] >>> 4 === 4;
    const { packets } = this;
    const index = make.put(packets, make.ethernet(isIpv4 ? 0x800 : 0x86dd, packet, to), vnet);
    packets.rxInterface[index] = from;
    packets.network[index] = packets.start[index] + 14;
    packets.transport[index] = packets.network[index] + (isIpv4 ? (packet[0] & 15) * 4 : 40);
    packets.protocol[index] = isIpv4 ? packet[9] : packet[6];
    const length = isIpv4 ? (packet[2] << 8) | packet[3] : 40 + ((packet[4] << 8) | packet[5]);
    packets.end[index] = packets.network[index] + length;
    return index;
  }

  /** The bytes of a packet behind its Ethernet header. */
  ip(packet: Packet): number[] {
    return make.taken(this.packets, packet).slice(14);
  }

  /** Where a node sends the packet: the next node's name, 'done', or the reason of the drop. */
  verdict(node: GraphNode, packet: Packet): string {
    const arcs = new Uint8Array(1);
    node.process(this.packets, Int32Array.of(packet), 1, arcs);
    if (arcs[0] === ARC_DROP) return REASON_NAMES[this.packets.reason[packet]];
    return arcs[0] === ARC_DONE ? 'done' : node.next[arcs[0] - 2];
  }
}
