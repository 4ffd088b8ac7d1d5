import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { GuestLink } from '../flow/guest-link.ts';
import { ARC_DONE, ARC_DROP, type GraphNode } from '../graph/node.ts';
import { REASON, REASON_NAMES } from '../graph/reasons.ts';
import { NO_OFFLOAD } from '../packet/offload.ts';
import type { Packets } from '../packet/packets.ts';
import { EthernetInput } from './ethernet-input.ts';
import { Ip4Input } from './ip4-input.ts';
import { Ip6Input } from './ip6-input.ts';
import * as make from './packet-fixtures.test.ts';

const LINK: GuestLink = {
  index: 0,
  mtu: 1500,
  ourMacHigh: make.OUR_MAC_HIGH,
  ourMacLow: make.OUR_MAC_LOW,
  offload: NO_OFFLOAD,
};
const BROADCAST = [255, 255, 255, 255, 255, 255];
const ALL_NODES = make.v6(0xff020000, 0, 0, 1);
const SERVERS = make.v6(0xff020000, 0, 0, 0x10002);
const NOBODY = make.v6(0, 0, 0, 0);

/** Where the packet goes: the next node's name, 'done', or its drop reason. */
function verdict(node: GraphNode, packets: Packets, packet: number): string {
  const arcs = new Uint8Array(1);
  node.process(packets, Int32Array.of(packet), 1, arcs);
  if (arcs[0] === ARC_DROP) return REASON_NAMES[packets.reason[packet]];
  return arcs[0] === ARC_DONE ? 'done' : node.next[arcs[0] - 2];
}

function through(frame: make.Bytes, vnet: make.Bytes = []): string {
  const packets = make.arena();
  const packet = make.put(packets, frame, vnet);
  return throughAll(packets, packet);
}

function throughAll(packets: Packets, packet: number): string {
  const first = verdict(new EthernetInput([LINK]), packets, packet);
  if (first === 'ip4-input') return verdict(new Ip4Input(), packets, packet);
  return first === 'ip6-input' ? verdict(new Ip6Input(), packets, packet) : first;
}

const through4 = (packet: make.Bytes): string => through(make.ethernet(0x800, packet));
const through6 = (packet: make.Bytes): string => through(make.ethernet(0x86dd, packet));

describe('ethernet-input', () => {
  it('takes frames for us, for a group and for everybody', () => {
    assert.equal(through(make.ethernet(0x806, [], make.OUR_MAC)), 'arp-input');
    assert.equal(through(make.ethernet(0x806, [], BROADCAST)), 'arp-input');
    assert.equal(through(make.ethernet(0x806, [], [1, 0, 0x5e, 0, 0, 1])), 'arp-input');
    assert.equal(through(make.ethernet(0x806, [], [2, 0, 0, 0, 0, 9])), 'not-for-us');
    assert.equal(through(make.ethernet(0x806, [], [2, 1, 0, 0, 0, 2])), 'not-for-us');
  });

  it('drops what is cut short or of an unknown type', () => {
    const frame = make.ethernet(0x806, []);
    for (let bytes = 0; bytes < 14; bytes++) assert.equal(through(frame.slice(0, bytes)), 'frame-too-short');
    assert.equal(through(make.ethernet(0x8100, [])), 'ethertype-unknown');
  });

  it('drops a frame whose virtio-net header points outside of it', () => {
    assert.equal(through(make.ethernet(0x806, []), [1, 0, 0, 0, 0, 0, 14, 0, 16, 0]), 'vnet-header-invalid');
    assert.equal(through(make.ethernet(0x806, []), [0, 0x7f]), 'vnet-header-invalid');
  });
});

describe('ip4-input', () => {
  it('sorts by protocol', () => {
    assert.equal(through4(make.ip4(6, [])), 'tcp-input');
    assert.equal(through4(make.ip4(17, [])), 'udp-input');
    assert.equal(through4(make.ip4(1, [])), 'icmp-input');
    assert.equal(through4(make.ip4(47, [])), 'protocol-unknown');
    assert.equal(through4(make.ip4(17, [], { fragment: 0x2000 })), 'ip4-reassembly');
    assert.equal(through4(make.ip4(17, [], { fragment: 1 })), 'ip4-reassembly');
    assert.equal(through4(make.ip4(17, [], { fragment: 0x4000 })), 'udp-input');
  });

  it('sets the transport header behind options and cuts the padding off', () => {
    const packets = make.arena();
    const options = [1, 1, 1, 0];
    const packet = make.put(packets, [
      ...make.ethernet(0x800, make.ip4(17, [9, 9], { options })),
      ...new Array(30).fill(0xaa),
    ]);
    assert.equal(throughAll(packets, packet), 'udp-input');
    assert.equal(packets.transport[packet], packets.start[packet] + 14 + 24);
    assert.equal(packets.end[packet], packets.transport[packet] + 2);
    assert.equal(packets.protocol[packet], 17);
  });

  it('drops headers that are wrong', () => {
    const packet = make.ip4(17, [1, 2, 3, 4]);
    for (let bytes = 0; bytes < packet.length; bytes++) {
      assert.equal(through4(packet.slice(0, bytes)), bytes < 20 ? 'ip4-header-invalid' : 'ip4-length-wrong');
    }
    assert.equal(through4(make.ip4(17, [], { total: 19 })), 'ip4-length-wrong');
    assert.equal(through4(packet.with(10, packet[10] ^ 1)), 'ip4-checksum-wrong');
    assert.equal(through4(packet.with(0, 0x44)), 'ip4-header-invalid');
    assert.equal(through4(packet.with(0, 0x65)), 'ip4-header-invalid');
    assert.equal(through4(make.ip4(17, [], { ttl: 0 })), 'hop-limit-exceeded');
  });

  it('drops addresses that are not one host', () => {
    const from = (...address: number[]): string => through4(make.ip4(17, [], { from: address }));
    const to = (...address: number[]): string => through4(make.ip4(17, [], { to: address }));
    assert.equal(from(127, 0, 0, 1), 'ip4-loopback');
    assert.equal(from(0, 0, 0, 0), 'ip4-source-invalid');
    assert.equal(from(224, 0, 0, 1), 'ip4-source-invalid');
    assert.equal(from(255, 255, 255, 255), 'ip4-source-invalid');
    assert.equal(to(127, 1, 2, 3), 'ip4-loopback');
    assert.equal(to(0, 0, 0, 0), 'ip4-loopback');
    assert.equal(to(224, 0, 0, 251), 'multicast');
    assert.equal(to(239, 1, 1, 1), 'multicast');
    assert.equal(to(255, 255, 255, 255), 'broadcast');
  });

  it('drops what goes to everybody on the link and to one host in IP: a directed broadcast', () => {
    const everybody = [255, 255, 255, 255, 255, 255];
    assert.equal(through(make.ethernet(0x800, make.ip4(17, [], { to: [10, 0, 2, 255] }), everybody)), 'broadcast');
    assert.equal(through(make.ethernet(0x86dd, make.ip6(17, []), [0x33, 0x33, 0, 0, 0, 1])), 'multicast');
  });

  it('passes DHCP to its server, broadcast or renewing', () => {
    const request = make.udp(68, 67, []);
    const nobody = { from: [0, 0, 0, 0], to: [255, 255, 255, 255] };
    assert.equal(through4(make.ip4(17, request, nobody)), 'dhcp-input');
    assert.equal(through4(make.ip4(17, request)), 'dhcp-input');
    assert.equal(through4(make.ip4(17, make.udp(68, 69, []), nobody)), 'ip4-source-invalid');
    assert.equal(through4(make.ip4(17, request.slice(0, 7), nobody)), 'ip4-source-invalid');
    assert.equal(through4(make.ip4(17, request, { ...nobody, fragment: 0x2000 })), 'ip4-source-invalid');
  });
});

describe('ip6-input', () => {
  const options = (next: number): number[] => [next, 0, 1, 4, 0, 0, 0, 0];
  const fragment = (next: number, word: number): number[] => [next, 0, ...make.u16(word), 0, 0, 0, 7];

  it('sorts by protocol, behind extension headers too', () => {
    assert.equal(through6(make.ip6(6, [])), 'tcp-input');
    assert.equal(through6(make.ip6(17, [])), 'udp-input');
    assert.equal(through6(make.ip6(58, [128])), 'icmp6-input');
    assert.equal(through6(make.ip6(58, [])), 'icmp6-input');
    assert.equal(through6(make.ip6(58, [135])), 'ndp-input');
    assert.equal(through6(make.ip6(59, [])), 'protocol-unknown');
    assert.equal(through6(make.ip6(0, [...options(60), ...options(17)])), 'udp-input');
    assert.equal(through6(make.ip6(44, fragment(17, 1))), 'ip6-reassembly');
    assert.equal(through6(make.ip6(44, fragment(17, 0))), 'udp-input');
    assert.equal(through6(make.ip6(60, [...options(0), ...options(17)])), 'ip6-extension-invalid');
    assert.equal(through6(make.ip6(0, options(17).with(1, 1))), 'ip6-extension-invalid');
  });

  it('drops headers that are wrong', () => {
    const packet = make.ip6(17, [1, 2, 3, 4]);
    for (let bytes = 0; bytes < packet.length; bytes++) {
      assert.equal(through6(packet.slice(0, bytes)), bytes < 40 ? 'ip6-header-invalid' : 'ip6-length-wrong');
    }
    assert.equal(through6(packet.with(0, 0x45)), 'ip6-header-invalid');
    assert.equal(through6(make.ip6(17, [], { limit: 0 })), 'hop-limit-exceeded');
  });

  it('drops addresses that are not one host, or would pass for IPv4', () => {
    const from = (...words: number[]): string => through6(make.ip6(17, [], { from: make.v6(...words) }));
    const to = (...words: number[]): string => through6(make.ip6(17, [], { to: make.v6(...words) }));
    assert.equal(from(0, 0, 0, 1), 'ip6-loopback');
    assert.equal(from(0, 0, 0, 0), 'ip6-source-invalid');
    assert.equal(from(0, 0, 0xffff, 0x7f000001), 'ip6-source-invalid');
    assert.equal(from(0xff020000, 0, 0, 1), 'ip6-source-invalid');
    assert.equal(to(0, 0, 0, 1), 'ip6-loopback');
    assert.equal(to(0, 0, 0, 0), 'ip6-loopback');
    assert.equal(to(0, 0, 0xffff, 0x7f000001), 'ip6-loopback');
    assert.equal(to(0xff020000, 0, 0, 0xfb), 'multicast');
  });

  it('passes neighbour discovery and DHCPv6 on, takes listener reports in silence', () => {
    assert.equal(through6(make.ip6(58, [135], { from: NOBODY, to: ALL_NODES })), 'ndp-input');
    assert.equal(through6(make.ip6(58, [135], { from: NOBODY })), 'ip6-source-invalid');
    assert.equal(through6(make.ip6(58, [133], { to: ALL_NODES })), 'ndp-input');
    assert.equal(through6(make.ip6(58, [128], { to: ALL_NODES })), 'multicast');
    assert.equal(through6(make.ip6(0, [...options(58), 143], { to: ALL_NODES })), 'done');
    assert.equal(through6(make.ip6(17, make.udp(546, 547, []), { to: SERVERS })), 'dhcpv6-input');
    assert.equal(through6(make.ip6(17, make.udp(546, 547, []), { to: ALL_NODES })), 'multicast');
    assert.equal(through6(make.ip6(44, fragment(58, 1), { to: ALL_NODES })), 'multicast');
  });
});

describe('any frame', () => {
  it('is dropped with a reason or lies where its columns say', () => {
    const hostile = fc.array(fc.integer({ min: 0, max: 255 }), { maxLength: 120 });
    const header = fc.constantFrom(
      make.ethernet(0x800, [0x45]),
      make.ethernet(0x86dd, [0x60]),
      make.ethernet(0x800, []),
    );
    fc.assert(
      fc.property(header, hostile, hostile, (front, bytes, vnet) => {
        const packets = make.arena();
        const packet = make.put(packets, [...front, ...bytes], vnet.slice(0, 12));
        const last = packets.start[packet] + packets.length[packet];
        const where = throughAll(packets, packet);
        if (packets.reason[packet] !== REASON.none || where === 'arp-input' || where === 'done') return;
        assert.ok(packets.transport[packet] <= packets.end[packet]);
        assert.ok(packets.end[packet] <= last);
      }),
    );
  });
});
