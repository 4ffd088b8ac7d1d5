import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { NEXT_HOP_GROUPS_MAX, NEXT_HOP_WEIGHT_MAX, NEXT_HOPS_MAX } from '../base/limits.ts';
import { Packets } from '../packet/packets.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as ipv6 from '../wire/ipv6.ts';
import { flowHash, flowSecrets, isGroup, type NextHop, NextHopGroups } from './ecmp.ts';

const FLOWS = 20_000;
const SECRETS = flowSecrets(0x0bad_cafe);
const ETHERNET_BYTES = 14;

function made(groups: NextHopGroups, weights: Record<number, number>): number {
  const created = groups.create(hops(weights));
  assert.ok(created.ok);
  return created.value;
}

function hops(weights: Record<number, number>): NextHop[] {
  return Object.entries(weights).map(([adjacency, weight]) => ({ adjacency: Number(adjacency), weight }));
}

/** Where each bucket's flows go. */
function chosen(groups: NextHopGroups, group: number): number[] {
  return Array.from({ length: 256 }, (_, bucket) => groups.choose(group, bucket << 24));
}

function bucketsOf(groups: NextHopGroups, group: number): Record<number, number> {
  const counted: Record<number, number> = {};
  for (const adjacency of chosen(groups, group)) counted[adjacency] = (counted[adjacency] ?? 0) + 1;
  return counted;
}

/** A packet as `ip4-input` leaves it. */
function packet4(
  packets: Packets,
  from: number,
  to: number,
  protocol: number,
  ports: number,
  fragment: number = 0,
): number {
  packets.reset();
  const packet = packets.allocate(ETHERNET_BYTES + 28);
  const at = packets.start[packet] + ETHERNET_BYTES;
  ipv4.writeHeader(packets.view, at, 28, protocol, from, to, 64, 0, 1, 0);
  ipv4.setFragment(packets.view, at, fragment & ipv4.MORE_FRAGMENTS, (fragment & 0x1fff) * 8);
  packets.view.setInt32(at + 20, ports);
  packets.network[packet] = at;
  packets.transport[packet] = at + 20;
  packets.protocol[packet] = protocol;
  return packet;
}

/** A packet as `ip6-input` leaves it; with a fragment header, whose offset and flag are `fragment`, where one is given. */
function packet6(packets: Packets, last: number, protocol: number, ports: number, fragment?: number): number {
  packets.reset();
  const behind = fragment === undefined ? 8 : 16;
  const packet = packets.allocate(ETHERNET_BYTES + 40 + behind);
  const { view } = packets;
  const at = packets.start[packet] + ETHERNET_BYTES;
  ipv6.writeHeader(view, at, behind, fragment === undefined ? protocol : ipv6.HEADER_FRAGMENT, 64, 0, 0);
  ipv6.setSource(view, at, 0x2001_0db8, 0, 0, 1);
  ipv6.setDestination(view, at, 0x2001_0db8, 1, 0, last);
  if (fragment !== undefined) ipv6.writeFragmentHeader(view, at + 40, protocol, fragment & ~7, (fragment & 1) !== 0, 7);
  packets.network[packet] = at;
  packets.transport[packet] = at + 40 + behind - 8;
  packets.protocol[packet] = protocol;
  view.setInt32(packets.transport[packet], ports);
  return packet;
}

const WEIGHTS = fc.dictionary(
  fc.integer({ min: 0, max: 60 }).map(String),
  fc.integer({ min: 1, max: NEXT_HOP_WEIGHT_MAX }),
  {
    minKeys: 1,
    maxKeys: NEXT_HOPS_MAX,
  },
);

describe('groups of next hops', () => {
  it('let an adjacency stand for itself', () => {
    assert.equal(new NextHopGroups().choose(17, -1), 17);
    assert.ok(!isGroup(17));
  });

  it('share by weight', () => {
    const groups = new NextHopGroups();
    assert.deepEqual(bucketsOf(groups, made(groups, { 1: 1, 2: 1 })), { 1: 128, 2: 128 });
    assert.deepEqual(bucketsOf(groups, made(groups, { 1: 3, 2: 1 })), { 1: 192, 2: 64 });
    const uneven = bucketsOf(groups, made(groups, { 1: 1, 2: 1, 3: 1 }));
    assert.deepEqual(Object.values(uneven).sort(), [85, 85, 86]);
  });

  it('give each next hop its due to the bucket, and never none', () => {
    fc.assert(
      fc.property(WEIGHTS, WEIGHTS, (weights, others) => {
        const groups = new NextHopGroups();
        const group = made(groups, weights);
        for (const now of [weights, others]) {
          assert.ok(groups.change(group, hops(now)).ok);
          const total = Object.values(now).reduce((sum, weight) => sum + weight, 0);
          const counted = bucketsOf(groups, group);
          assert.deepEqual(Object.keys(counted).toSorted(), Object.keys(now).toSorted());
          // Those that would have none take from the others: up to one bucket for each.
          for (const [adjacency, weight] of Object.entries(now)) {
            const due = (weight * 256) / total;
            assert.ok(counted[Number(adjacency)] >= 1);
            if (due >= 1)
              assert.ok(Math.abs(counted[Number(adjacency)] - due) <= NEXT_HOPS_MAX, `${adjacency}: ${due}`);
          }
        }
      }),
    );
  });

  it('move only the flows of a next hop that goes', () => {
    const groups = new NextHopGroups();
    const group = made(groups, { 1: 1, 2: 2, 3: 1, 4: 1 });
    const before = chosen(groups, group);
    assert.deepEqual(groups.withdraw(2), []);
    chosen(groups, group).forEach((now, bucket) => {
      if (before[bucket] !== 2) assert.equal(now, before[bucket]);
      else assert.ok([1, 3, 4].includes(now));
    });
    assert.deepEqual(Object.values(bucketsOf(groups, group)).sort(), [85, 85, 86]);
  });

  it('move only the due of a next hop that comes', () => {
    const groups = new NextHopGroups();
    const group = made(groups, { 1: 1, 2: 1, 3: 1 });
    const before = chosen(groups, group);
    assert.ok(groups.change(group, hops({ 1: 1, 2: 1, 3: 1, 4: 1 })).ok);
    const moved = chosen(groups, group).filter((now, bucket) => now !== before[bucket]);
    assert.deepEqual(
      moved,
      Array.from({ length: 64 }, () => 4),
    );
  });

  it('say which groups lose their last next hop', () => {
    const groups = new NextHopGroups();
    const alone = made(groups, { 5: 1 });
    const both = made(groups, { 5: 1, 6: 1 });
    assert.deepEqual(groups.withdraw(5), [alone]);
    assert.deepEqual(bucketsOf(groups, both), { 6: 256 });
    assert.deepEqual(groups.nextHops(both), [{ adjacency: 6, weight: 1 }]);
    assert.deepEqual(groups.withdraw(77), []);
  });

  it('are used again when their route has gone', () => {
    const groups = new NextHopGroups();
    const first = made(groups, { 1: 1 });
    const second = made(groups, { 2: 1 });
    assert.equal(groups.count, 2);
    groups.release(first);
    groups.release(3);
    assert.equal(groups.count, 1);
    assert.throws(() => groups.nextHops(first), /tapster bug/);
    assert.equal(made(groups, { 3: 1 }), first);
    assert.deepEqual([groups.choose(first, 0), groups.choose(second, -1)], [3, 2]);
  });

  it('are refused in words', () => {
    const groups = new NextHopGroups();
    const refusals: [readonly NextHop[], string][] = [
      [[], 'next-hops-none'],
      [Array.from({ length: NEXT_HOPS_MAX + 1 }, (_, adjacency) => ({ adjacency, weight: 1 })), 'next-hops-too-many'],
      [[{ adjacency: 1, weight: 0 }], 'next-hop-weight'],
      [[{ adjacency: 1, weight: NEXT_HOP_WEIGHT_MAX + 1 }], 'next-hop-weight'],
      [[{ adjacency: 1, weight: 1.5 }], 'next-hop-weight'],
      [[...hops({ 1: 1 }), ...hops({ 1: 2 })], 'next-hop-twice'],
    ];
    const group = made(groups, { 9: 1 });
    for (const [nextHops, code] of refusals) {
      for (const refused of [groups.create(nextHops), groups.change(group, nextHops)]) {
        assert.equal(refused.ok ? 'accepted' : refused.failure.code, code);
      }
    }
    assert.deepEqual(bucketsOf(groups, group), { 9: 256 });
    while (groups.count < NEXT_HOP_GROUPS_MAX) made(groups, { 1: 1 });
    const refused = groups.create(hops({ 1: 1 }));
    assert.equal(refused.ok ? 'accepted' : refused.failure.code, 'next-hop-groups-full');
  });
});

describe('the hash of a flow that is forwarded', () => {
  const packets = new Packets(4096, 4);

  it('spreads flows over next hops, whatever they differ in', () => {
    const groups = new NextHopGroups();
    const group = made(groups, { 1: 1, 2: 1, 3: 1, 4: 1 });
    const kinds: Record<string, (flow: number) => number> = {
      ports: (flow) => packet4(packets, 1, 2, ipv4.PROTOCOL_TCP, (flow << 16) | 443),
      sources: (flow) => packet4(packets, 0x0a00_0000 + flow, 2, ipv4.PROTOCOL_UDP, 53),
      'destinations of pings': (flow) => packet4(packets, 1, 0x0a00_0000 + flow, ipv4.PROTOCOL_ICMP, 0),
      'IPv6 ports': (flow) => packet6(packets, 1, ipv6.PROTOCOL_UDP, (flow << 16) | 443),
      'IPv6 hosts': (flow) => packet6(packets, flow, ipv6.PROTOCOL_TCP, 80),
    };
    for (const [kind, make] of Object.entries(kinds)) {
      const counted = [0, 0, 0, 0, 0];
      for (let flow = 0; flow < FLOWS; flow++) counted[groups.choose(group, flowHash(packets, make(flow), SECRETS))]++;
      for (const count of counted.slice(1)) assert.ok(Math.abs(count - FLOWS / 4) < FLOWS / 40, `${kind}: ${counted}`);
    }
  });

  it('is one for all fragments of a datagram, and for datagrams of the same hosts', () => {
    const hash = (ports: number, fragment: number) =>
      flowHash(packets, packet4(packets, 1, 2, ipv4.PROTOCOL_UDP, ports, fragment), SECRETS);
    const hashes = [hash(80, ipv4.MORE_FRAGMENTS), hash(1234, ipv4.MORE_FRAGMENTS | 185), hash(-1, 370)];
    assert.equal(new Set(hashes).size, 1);
    assert.notEqual(hash(80, 0), hashes[0]);
    const hash6 = (ports: number, fragment?: number) =>
      flowHash(packets, packet6(packets, 2, ipv6.PROTOCOL_UDP, ports, fragment), SECRETS);
    assert.equal(new Set([hash6(80, 1), hash6(1234, 1480 | 1), hash6(-1, 2960)]).size, 1);
    assert.notEqual(hash6(80), hash6(80, 1));
    // A fragment header around a whole datagram is no fragment.
    assert.equal(hash6(80), hash6(80, 0));
  });

  it('reads no ports behind the end of a packet', () => {
    const packet = packet4(packets, 1, 2, ipv4.PROTOCOL_UDP, 80);
    packets.end[packet] = packets.transport[packet] + 3;
    const cut = flowHash(packets, packet, SECRETS);
    packets.view.setInt32(packets.transport[packet], -1);
    assert.equal(flowHash(packets, packet, SECRETS), cut);
  });

  it('depends on the secret', () => {
    const packet = packet4(packets, 1, 2, ipv4.PROTOCOL_TCP, 80);
    const hashes = [1, 2, 3, 4, 5].map((secret) => flowHash(packets, packet, flowSecrets(secret)));
    assert.equal(new Set(hashes).size, 5);
  });
});
