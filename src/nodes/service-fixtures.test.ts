/** What the tests of ARP, NDP, DHCP and DHCPv6 share: a configuration, packets as the input nodes leave them, and what was sent. */
import assert from 'node:assert/strict';
import { IpAddress, MacAddress, parseIpAddress, parseIpPrefix } from '../base/address.ts';
import type { Emitter, GraphNode } from '../graph/node.ts';
import { REASON_NAMES } from '../graph/reasons.ts';
import { type Packet, Packets } from '../packet/packets.ts';
import { type Bytes, put } from './packet-fixtures.test.ts';
import type { ServiceConfig } from './service-config.ts';

/** The interface that all packets come in by. */
export const LINK = 3;

export const OUR_MAC: MacAddress = new MacAddress(0x0200, 2);
export const GUEST_MAC: MacAddress = new MacAddress(0x0200, 1);

export const GUEST4 = 0x0a000264;
export const GATEWAY4 = 0x0a000202;
export const GUEST6: Bytes = bytes('fd74 6170 7374 6572 0000 0000 0000 0100');
export const GUEST_LINK_LOCAL: Bytes = bytes('fe80 0000 0000 0000 0000 0000 0000 0015');
export const OUR_LINK_LOCAL: Bytes = bytes('fe80 0000 0000 0000 0000 0000 0000 0001');

export const CONFIG: ServiceConfig = {
  ourMac: OUR_MAC,
  mtu: 65_520,
  ipv4: {
    address: prefix('10.0.2.100/24'),
    gateway: ip('10.0.2.2'),
    dns: [ip('10.0.2.3')],
    routes: [],
  },
  ipv6: {
    address: prefix('fd74:6170:7374:6572::100/64'),
    gateway: ip('fe80::1'),
    ourLinkLocal: ip('fe80::1'),
    dns: [ip('fe80::1')],
  },
  searchDomains: ['example.org', 'lab.example.org'],
  hostName: 'guest',
  leaseSeconds: 3600,
  dhcp: true,
  dhcpv6: true,
  ndp: true,
  ra: true,
};

/** Keeps what nodes emit. */
export class Sent implements Emitter {
  readonly list: Packet[] = [];

  emit(packet: Packet): void {
    this.list.push(packet);
  }

  /** The only packet sent since the last call. */
  only(): Packet {
    assert.equal(this.list.length, 1, 'packets sent');
    return this.list.pop() ?? -1;
  }
}

/** Puts a frame into the arena with the columns that `ethernet-input` and the IP input node in front of the service set. */
export function receive(packets: Packets, frame: Bytes): Packet {
  const packet = put(packets, frame);
  const network = packets.start[packet] + 14;
  const version = packets.bytes[network] >> 4;
  packets.rxInterface[packet] = LINK;
  packets.network[packet] = network;
  packets.transport[packet] = network + (version === 6 ? 40 : 20);
  packets.protocol[packet] = packets.bytes[network + (version === 6 ? 6 : 9)];
  return packet;
}

/** Runs a node on one packet. Returns the arc, or the reason where it was dropped. */
export function run(node: GraphNode, packets: Packets, packet: Packet): number | string {
  const arcs = new Uint8Array(1);
  node.process(packets, Int32Array.of(packet), 1, arcs);
  return arcs[0] === 0 ? REASON_NAMES[packets.reason[packet]] : arcs[0];
}

export function arena(): Packets {
  return new Packets(1024 * 1024, 512);
}

export function bytes(...hex: string[]): number[] {
  return [...Buffer.from(hex.join('').replaceAll(' ', ''), 'hex')];
}

export function ip(text: string): IpAddress {
  const address = parseIpAddress(text);
  assert.ok(address instanceof IpAddress, text);
  return address;
}

export function prefix(text: string): NonNullable<ReturnType<typeof parseIpPrefix>> {
  const parsed = parseIpPrefix(text);
  assert.ok(parsed, text);
  return parsed;
}
