import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { formatIpWords } from '../base/address.ts';
import { Neighbours } from '../flow/neighbours.ts';
import { ARC_DONE } from '../graph/node.ts';
import { type Packet, Packets } from '../packet/packets.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as icmpv6 from '../wire/icmpv6.ts';
import * as ipv6 from '../wire/ipv6.ts';
import * as ndp from '../wire/ndp.ts';
import { NdpInput } from './ndp.ts';
import { type Bytes, ethernet as ethernetFrame, icmp6, ip6 } from './packet-fixtures.test.ts';
import {
  arena,
  bytes,
  CONFIG,
  GUEST_LINK_LOCAL,
  GUEST_MAC,
  GUEST6,
  LINK,
  OUR_LINK_LOCAL,
  OUR_MAC,
  prefix,
  receive,
  run,
  Sent,
} from './service-fixtures.test.ts';

const UNSPECIFIED = bytes('00'.repeat(16));
const ALL_NODES = bytes('ff02 0000 0000 0000 0000 0000 0000 0001');
const ALL_ROUTERS = bytes('ff02 0000 0000 0000 0000 0000 0000 0002');
const SOLICITED_NODE = bytes('ff02 0000 0000 0000 0000 0001 ff00 0100');
const ELSEWHERE = bytes('2001 0db8 0000 0000 0000 0000 0000 0001');
const SOURCE_MAC = bytes('01 01 020000000001');
const TARGET_MAC = bytes('02 01 020000000001');

function discovery(type: number, rest: Bytes, from: Bytes, to: Bytes, limit: number = 255): number[] {
  return ethernetFrame(0x86dd, ip6(58, icmp6(type, 0, rest, from, to), { from, to, limit }));
}

function solicitation(target: Bytes, from: Bytes = GUEST_LINK_LOCAL, options: Bytes = SOURCE_MAC): number[] {
  return discovery(135, [0, 0, 0, 0, ...target, ...options], from, SOLICITED_NODE);
}

function fresh(config: typeof CONFIG = CONFIG): {
  packets: Packets;
  neighbours: Neighbours;
  sent: Sent;
  node: NdpInput;
} {
  const neighbours = new Neighbours();
  const sent = new Sent();
  return { packets: arena(), neighbours, sent, node: new NdpInput(config, neighbours, sent) };
}

/** What holds for everything that we send in neighbour discovery; returns where its options start and end. */
function checkSent(packets: Packets, packet: Packet): { at: number; options: number; end: number } {
  const { view } = packets;
  const start = packets.start[packet];
  const network = start + 14;
  const at = network + 40;
  const end = start + packets.length[packet];
  assert.equal(packets.network[packet], network);
  assert.equal(packets.transport[packet], at);
  assert.equal(packets.protocol[packet], 58);
  assert.equal(packets.end[packet], end);
  assert.equal(packets.txInterface[packet], LINK);
  assert.equal(packets.used, end, 'what was not needed is free again');
  assert.equal(ethernet.type(view, start), ethernet.TYPE_IPV6);
  assert.equal(ethernet.sourceHigh(view, start), OUR_MAC.high);
  assert.equal(ethernet.sourceLow(view, start), OUR_MAC.low);
  assert.equal(ipv6.check(view, network, end), 40);
  assert.equal(ipv6.payloadLength(view, network), end - at);
  assert.equal(ipv6.hopLimit(view, network), 255);
  assert.equal(icmpv6.verifyChecksum(view, network, at, end), true);
  const options = ndp.check(view, at, end);
  assert.ok(options > 0);
  return { at, options: at + options, end };
}

function addressText(packets: Packets, at: number): string {
  const word = (i: number): number => packets.view.getInt32(at + i * 4);
  return formatIpWords(word(0), word(1), word(2), word(3));
}

function destination(packets: Packets, packet: Packet): [string, number, number] {
  const start = packets.start[packet];
  const { view } = packets;
  return [
    addressText(packets, ipv6.destinationAt(start + 14)),
    ethernet.destinationHigh(view, start),
    ethernet.destinationLow(view, start),
  ];
}

describe('ndp-input: neighbours', () => {
  it('answers for the gateway, as a router', () => {
    const { packets, sent, node } = fresh();
    assert.equal(run(node, packets, receive(packets, solicitation(OUR_LINK_LOCAL))), ARC_DONE);
    const packet = sent.only();
    const { at, options, end } = checkSent(packets, packet);
    const { view } = packets;
    assert.equal(ndp.type(view, at), ndp.NEIGHBOR_ADVERTISEMENT);
    assert.equal(ndp.neighborFlags(view, at), ndp.NA_ROUTER | ndp.NA_SOLICITED | ndp.NA_OVERRIDE);
    assert.equal(addressText(packets, at + 8), 'fe80::1');
    assert.equal(addressText(packets, ipv6.sourceAt(packets.network[packet])), 'fe80::1');
    assert.deepEqual(destination(packets, packet), ['fe80::15', GUEST_MAC.high, GUEST_MAC.low]);
    const option = ndp.findOption(view, options, end, ndp.OPTION_TARGET_LINK_LAYER);
    assert.equal(ndp.linkLayerHigh(view, option), OUR_MAC.high);
    assert.equal(ndp.linkLayerLow(view, option), OUR_MAC.low);
  });

  it('answers for any other address, also without the option that a probe of reachability lacks', () => {
    for (const options of [SOURCE_MAC, []]) {
      const { packets, sent, node } = fresh();
      assert.equal(run(node, packets, receive(packets, solicitation(ELSEWHERE, GUEST6, options))), ARC_DONE);
      const packet = sent.only();
      const { at } = checkSent(packets, packet);
      assert.equal(addressText(packets, at + 8), '2001:db8::1');
      assert.equal(ndp.neighborFlags(packets.view, at), ndp.NA_SOLICITED | ndp.NA_OVERRIDE);
    }
  });

  it("does not answer for the guest's own address, nor for one that is looked for before it is taken", () => {
    const { packets, sent, node } = fresh();
    assert.equal(run(node, packets, receive(packets, solicitation(GUEST6))), ARC_DONE);
    assert.equal(run(node, packets, receive(packets, solicitation(GUEST6, UNSPECIFIED, []))), ARC_DONE);
    assert.equal(run(node, packets, receive(packets, solicitation(GUEST_LINK_LOCAL, UNSPECIFIED, []))), ARC_DONE);
    assert.equal(sent.list.length, 0);
  });

  it("defends the gateway's address against who would take it", () => {
    const { packets, sent, node } = fresh();
    run(node, packets, receive(packets, solicitation(OUR_LINK_LOCAL, UNSPECIFIED, [])));
    const packet = sent.only();
    const { at } = checkSent(packets, packet);
    assert.deepEqual(destination(packets, packet), ['ff02::1', 0x3333, 1]);
    assert.equal(ndp.neighborFlags(packets.view, at), ndp.NA_ROUTER | ndp.NA_OVERRIDE);
    const claim = discovery(136, [0x20, 0, 0, 0, ...OUR_LINK_LOCAL, ...TARGET_MAC], GUEST_LINK_LOCAL, ALL_NODES);
    assert.equal(run(node, packets, receive(packets, claim)), 'ndp-invalid');
    assert.equal(run(node, packets, receive(packets, solicitation(ELSEWHERE, OUR_LINK_LOCAL))), 'ndp-invalid');
  });

  it('learns from solicitations and advertisements', () => {
    const { packets, neighbours, node } = fresh();
    run(node, packets, receive(packets, solicitation(ELSEWHERE)));
    const advertisement = [0x20, 0, 0, 0, ...GUEST6, ...TARGET_MAC];
    const packet = receive(packets, discovery(136, advertisement, GUEST6, ALL_NODES));
    assert.equal(run(node, packets, packet), ARC_DONE);
    for (const address of [
      [0xfe80_0000 | 0, 0, 0, 0x15],
      [0xfd74_6170 | 0, 0x7374_6572, 0, 0x100],
    ]) {
      const neighbour = neighbours.find(LINK, address[0], address[1], address[2], address[3]);
      assert.equal(neighbours.macHigh(LINK, neighbour), GUEST_MAC.high);
      assert.equal(neighbours.macLow(LINK, neighbour), GUEST_MAC.low);
    }
  });

  it('leaves a neighbour on the link to answer for itself', () => {
    const { packets, neighbours, sent, node } = fresh();
    neighbours.learn(LINK, 0x20010db8, 0, 0, 1, 0x0200, 0x77);
    run(node, packets, receive(packets, solicitation(ELSEWHERE)));
    assert.equal(sent.list.length, 0);
    neighbours.learn(LINK, 0x20010db8, 0, 0, 1, GUEST_MAC.high, GUEST_MAC.low);
    run(node, packets, receive(packets, solicitation(ELSEWHERE)));
    checkSent(packets, sent.only());
  });
});

describe('ndp-input: router', () => {
  it('advertises all that is configured to who asks', () => {
    const { packets, sent, node } = fresh();
    const asks = discovery(133, [0, 0, 0, 0, ...SOURCE_MAC], GUEST_LINK_LOCAL, ALL_ROUTERS);
    assert.equal(run(node, packets, receive(packets, asks)), ARC_DONE);
    const packet = sent.only();
    const { at, options, end } = checkSent(packets, packet);
    const { view } = packets;
    assert.deepEqual(destination(packets, packet), ['fe80::15', GUEST_MAC.high, GUEST_MAC.low]);
    assert.equal(ndp.type(view, at), ndp.ROUTER_ADVERTISEMENT);
    assert.equal(ndp.routerHopLimit(view, at), 64);
    assert.equal(ndp.routerFlags(view, at), ndp.RA_MANAGED | ndp.RA_OTHER);
    assert.equal(ndp.routerLifetime(view, at), 1800);

    const find = (type: number): number => ndp.findOption(view, options, end, type);
    assert.equal(ndp.linkLayerLow(view, find(ndp.OPTION_SOURCE_LINK_LAYER)), OUR_MAC.low);
    assert.equal(ndp.mtu(view, find(ndp.OPTION_MTU)), 65_520);
    const information = find(ndp.OPTION_PREFIX);
    assert.equal(ndp.prefixLength(view, information), 64);
    assert.equal(ndp.prefixFlags(view, information), ndp.PREFIX_ON_LINK | ndp.PREFIX_AUTONOMOUS);
    assert.equal(ndp.prefixValidLifetime(view, information), 5400);
    assert.equal(ndp.prefixPreferredLifetime(view, information), 2700);
    assert.equal(addressText(packets, information + 16), 'fd74:6170:7374:6572::');
    const servers = find(ndp.OPTION_RDNSS);
    assert.equal(ndp.rdnssCount(view, servers), 1);
    assert.equal(addressText(packets, servers + 8), 'fe80::1');
    assert.deepEqual(ndp.dnsslDomains(view, find(ndp.OPTION_DNSSL)), ['example.org', 'lab.example.org']);
  });

  it('advertises to all where the asker has no address, and no DHCPv6 where there is none', () => {
    const { packets, sent, node } = fresh({ ...CONFIG, dhcpv6: false });
    const asks = discovery(133, [0, 0, 0, 0], UNSPECIFIED, ALL_ROUTERS);
    assert.equal(run(node, packets, receive(packets, asks)), ARC_DONE);
    const packet = sent.only();
    const { at } = checkSent(packets, packet);
    assert.deepEqual(destination(packets, packet), ['ff02::1', 0x3333, 1]);
    assert.equal(ndp.routerFlags(packets.view, at), 0);
  });

  it('offers addresses to be made only from a /64, and no prefix for a single address', () => {
    assert.ok(CONFIG.ipv6);
    for (const [text, flags] of [
      ['fd00::100/80', ndp.PREFIX_ON_LINK],
      ['fd00::100/128', undefined],
    ] as const) {
      const { packets, sent, node } = fresh({ ...CONFIG, ipv6: { ...CONFIG.ipv6, address: prefix(text) } });
      node.advertise(packets, LINK, 0);
      const { options, end } = checkSent(packets, sent.only());
      const information = ndp.findOption(packets.view, options, end, ndp.OPTION_PREFIX);
      assert.equal(information < 0 ? undefined : ndp.prefixFlags(packets.view, information), flags);
    }
  });

  it('advertises unasked: thrice soon, then every five minutes, and again when the configuration changes', () => {
    const { packets, sent, node } = fresh();
    const times: number[] = [];
    for (let nowMs = 1000; times.length < 5; ) {
      const due = node.advertise(packets, LINK, nowMs);
      assert.deepEqual(destination(packets, sent.only()), ['ff02::1', 0x3333, 1]);
      assert.equal(node.advertise(packets, LINK, due - 1), due);
      assert.equal(sent.list.length, 0);
      times.push(due - nowMs);
      nowMs = due;
    }
    assert.deepEqual(times, [16_000, 16_000, 300_000, 300_000, 300_000]);
    node.configure({ ...CONFIG, mtu: 1500 });
    assert.equal(node.advertise(packets, LINK, 2000), 18_000);
    sent.only();
    node.configure({ ...CONFIG, ra: false });
    assert.equal(node.advertise(packets, LINK, 3000), Number.POSITIVE_INFINITY);
    assert.equal(sent.list.length, 0);
  });

  it('tries again soon when there is no room', () => {
    const { sent, node } = fresh();
    assert.equal(node.advertise(new Packets(100, 1), LINK, 5000), 6000);
    assert.equal(sent.list.length, 0);
  });

  it('stays below 1280 bytes whatever is configured', () => {
    assert.ok(CONFIG.ipv6);
    const dns = new Array(100).fill(CONFIG.ipv6.dns[0]);
    const searchDomains = Array.from({ length: 100 }, (_, i) => `${'x'.repeat(50)}${i}.example.org`);
    const { packets, sent, node } = fresh({ ...CONFIG, ipv6: { ...CONFIG.ipv6, dns }, searchDomains });
    node.advertise(packets, LINK, 0);
    const packet = sent.only();
    checkSent(packets, packet);
    assert.ok(packets.length[packet] <= 14 + 1280);
  });
});

describe('ndp-input: hostile', () => {
  const valid = solicitation(ELSEWHERE);

  it('refuses what has passed a router, is damaged, is cut short, or names no host', () => {
    const { packets, sent, node } = fresh();
    const refuse = (frame: Bytes): number | string => run(node, packets, receive(packets, frame));
    const target = [0, 0, 0, 0, ...ELSEWHERE];
    assert.equal(refuse(discovery(135, target, GUEST_LINK_LOCAL, SOLICITED_NODE, 64)), 'ndp-invalid');
    const damaged = valid.slice();
    damaged[60] ^= 1;
    assert.equal(refuse(damaged), 'icmp-checksum-wrong');
    for (let length = 54; length < valid.length - 8; length++)
      assert.equal(refuse(valid.slice(0, length)), 'ndp-invalid');
    assert.equal(refuse(solicitation(ALL_NODES)), 'ndp-invalid');
    assert.equal(refuse(solicitation(UNSPECIFIED)), 'ndp-invalid');
    assert.equal(refuse(solicitation(bytes('00000000000000000000ffff01020304'))), 'ndp-invalid');
    assert.equal(refuse(solicitation(ELSEWHERE, UNSPECIFIED, SOURCE_MAC)), 'ndp-invalid');
    assert.equal(refuse(solicitation(ELSEWHERE, GUEST6, bytes('01 01 010000000001'))), 'ndp-invalid');
    assert.equal(
      refuse(discovery(134, bytes('40 00 0708 00000000 00000000'), GUEST_LINK_LOCAL, ALL_NODES)),
      'ndp-invalid',
    );
    assert.equal(refuse(discovery(137, bytes('00'.repeat(36)), GUEST_LINK_LOCAL, ALL_NODES)), 'ndp-invalid');
    assert.equal(sent.list.length, 0);
  });

  it('takes a checksum that the guest left to us', () => {
    const { packets, sent, node } = fresh();
    const partial = valid.slice();
    partial[56] ^= 0xff;
    const packet = receive(packets, partial);
    packets.bytes[packets.start[packet] - 12] = 1;
    assert.equal(run(node, packets, packet), ARC_DONE);
    checkSent(packets, sent.only());
  });

  it('is silent where it is turned off, and counts a full arena', () => {
    const { packets, node } = fresh({ ...CONFIG, ndp: false });
    assert.equal(run(node, packets, receive(packets, valid)), 'protocol-disabled');
    const { ipv6: _, ...ipv4Only } = CONFIG;
    node.configure(ipv4Only);
    assert.equal(run(node, packets, receive(packets, valid)), 'protocol-disabled');
    node.configure(CONFIG);
    const small = new Packets(120, 1);
    assert.equal(run(node, small, receive(small, valid)), 'arena-full');
  });

  it('survives any message', () => {
    const { packets, sent, node } = fresh();
    fc.assert(
      fc.property(fc.constantFrom(133, 134, 135, 136, 137, 0), fc.uint8Array({ maxLength: 80 }), (type, rest) => {
        packets.reset();
        sent.list.length = 0;
        run(node, packets, receive(packets, discovery(type, [...rest], GUEST6, SOLICITED_NODE)));
        for (const packet of sent.list) checkSent(packets, packet);
      }),
    );
  });
});
