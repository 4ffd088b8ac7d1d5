import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import fc from 'fast-check';
import { NEIGHBOUR_PACKETS_MAX } from '../base/limits.ts';
import { ADJACENCY } from '../forward/adjacency.ts';
import { ARC_DONE, ARC_NEXT } from '../graph/node.ts';
import { type Packet, Packets } from '../packet/packets.ts';
import { NeighbourWorld, OUR4, OUR6, PEER4, PEER6 } from './neighbour-fixtures.test.ts';
import { arena, ethernet, icmp6, ip4, ip6, put, taken, udp, v6 } from './packet-fixtures.test.ts';
import { bytes, ip, LINK, receive, run } from './service-fixtures.test.ts';

const ARC_REWRITE = ARC_NEXT;
const ARC_ERROR = ARC_NEXT + 1;
const OUR_MAC = '020000000002';
const PEER_MAC = '020000000001';
const REMOTE = [192, 0, 2, 1];

function quad(text: string): number[] {
  const { w3 } = ip(text);
  return [w3 >>> 24, (w3 >>> 16) & 0xff, (w3 >>> 8) & 0xff, w3 & 0xff];
}

function words(text: string): number[] {
  const { w0, w1, w2, w3 } = ip(text);
  return v6(w0, w1, w2, w3);
}

describe('packets for neighbours', () => {
  let world: NeighbourWorld;
  beforeEach(() => {
    world = new NeighbourWorld();
  });

  /** A packet to be forwarded, with a mark in it. */
  function packet4(to: string, mark: number = 0): Packet {
    const datagram = udp(1, 2, [mark], REMOTE, quad(to));
    return receive(world.packets, ethernet(0x0800, ip4(17, datagram, { from: REMOTE, to: quad(to) })));
  }

  function packet6(to: string): Packet {
    const from = words('2001:db8::1');
    return receive(world.packets, ethernet(0x86dd, ip6(17, udp(1, 2, [0], from, words(to)), { from, to: words(to) })));
  }

  function hearReply(from: string, mac: string = PEER_MAC): void {
    const reply = bytes('000108000604 0002', mac);
    const frame = [...bytes(OUR_MAC, mac, '0806'), ...reply, ...quad(from), ...bytes(OUR_MAC), ...quad(OUR4)];
    assert.equal(run(world.arp, world.packets, receive(world.packets, frame)), ARC_DONE);
  }

  function hearAdvertisement(of: string, flags: number = 0x60): void {
    const body = [flags, 0, 0, 0, ...words(of), ...bytes('0201', PEER_MAC)];
    const message = icmp6(136, 0, body, words(of), words(OUR6));
    const packet = ip6(58, message, { from: words(of), to: words(OUR6), limit: 255 });
    assert.equal(run(world.nd, world.packets, receive(world.packets, ethernet(0x86dd, packet))), ARC_DONE);
  }

  /** The last byte of each released packet, and how it was released. */
  function marks(): string[] {
    return world.released.splice(0).map(({ how, packet }) => `${how} ${taken(world.packets, packet).at(-1)}`);
  }

  it('wait while an ARP request asks for the neighbour, and come back in order, once', () => {
    const first = taken(world.packets, packet4(PEER4, 0));
    for (let mark = 0; mark < 3; mark++) assert.equal(world.glean(packet4(PEER4, mark), false), ARC_DONE);
    const request = bytes('ffffffffffff', OUR_MAC, '0806 0001 0800 0604 0001', OUR_MAC);
    const question = world.sent.only();
    assert.deepEqual(taken(world.packets, question), [...request, ...quad(OUR4), 0, 0, 0, 0, 0, 0, ...quad(PEER4)]);
    assert.equal(world.packets.txInterface[question], LINK);
    assert.equal(world.resolver.deliver(world), false);
    world.packets.reset();
    hearReply(PEER4);
    hearReply(PEER4);
    assert.equal(world.resolver.deliver(world), false);
    const [{ packet: again } = { packet: -1 }] = world.released;
    assert.deepEqual(taken(world.packets, again), first);
    assert.equal(world.packets.adjacency[again], world.completeTo(PEER4));
    assert.deepEqual([world.packets.rxInterface[again], world.packets.protocol[again]], [LINK, 17]);
    assert.deepEqual(marks(), ['send4 0', 'send4 1', 'send4 2']);
    assert.equal(world.resolver.deliver(world), false);
    assert.deepEqual(marks(), []);
    assert.equal(world.resolver.store.count, 0);
  });

  it('wait while a neighbor solicitation asks for the neighbour', () => {
    assert.equal(world.glean(packet6(PEER6), true), ARC_DONE);
    const from = words(OUR6);
    const to = words('ff02::1:ff00:100');
    const message = icmp6(135, 0, [0, 0, 0, 0, ...words(PEER6), ...bytes('0101', OUR_MAC)], from, to);
    const expected = [...bytes('3333ff000100', OUR_MAC, '86dd'), ...ip6(58, message, { from, to, limit: 255 })];
    assert.deepEqual(taken(world.packets, world.sent.only()), expected);
    hearAdvertisement(PEER6);
    world.resolver.deliver(world);
    assert.equal(world.packets.adjacency[world.released[0]?.packet ?? -1], world.completeTo(PEER6));
    assert.deepEqual(marks(), ['send6 0']);
  });

  it('are refused, those that waited too, when nobody answers; asked for three times in all', () => {
    world.glean(packet4(PEER4, 1), false);
    world.glean(packet6(PEER6), true);
    world.wait(2);
    world.glean(packet4(PEER4, 2), false);
    assert.equal(world.sent.list.length, 6);
    assert.equal(world.resolver.deliver(world), false);
    world.wait(1);
    assert.equal(world.glean(packet4(PEER4, 3), false), ARC_ERROR);
    world.resolver.deliver(world);
    assert.deepEqual(marks(), ['host-unreachable4 1', 'host-unreachable4 2', 'host-unreachable6 0']);
    assert.deepEqual([world.sent.list.length, world.resolver.solicitations], [6, 6]);
    world.wait(3);
    assert.equal(world.glean(packet4(PEER4, 4), false), ARC_DONE);
    assert.equal(world.sent.list.length, 7);
  });

  it('are sent at once to a neighbour that is known, and this keeps it known as long as it answers', () => {
    world.glean(packet4(PEER4), false);
    hearReply(PEER4);
    const adjacency = world.completeTo(PEER4);
    world.wait(30);
    assert.equal(world.completeTo(PEER4), -1);
    const packet = packet4(PEER4);
    assert.equal(world.glean(packet, false), ARC_REWRITE);
    assert.equal(world.packets.adjacency[packet], adjacency);
    assert.equal(world.completeTo(PEER4), adjacency);
    world.sent.list.length = 0;
    world.wait(5);
    assert.deepEqual(taken(world.packets, world.sent.only()).slice(0, 6), bytes(PEER_MAC));
    hearReply(PEER4);
    assert.equal(world.stateOf(PEER4), 'REACHABLE');
  });

  it('are asked for directly in IPv6 too, when a neighbour in use is checked', () => {
    world.glean(packet6('fe80::99'), true);
    hearAdvertisement('fe80::99', 0x20);
    assert.equal(world.stateOf('fe80::99'), 'DELAY');
    world.sent.list.length = 0;
    world.wait(5);
    const probe = taken(world.packets, world.sent.only());
    assert.deepEqual(probe.slice(0, 6), bytes(PEER_MAC));
    assert.deepEqual([probe.slice(22, 38), probe.slice(38, 54)], [words('fe80::1'), words('fe80::99')]);
    world.wait(3);
    assert.equal(world.stateOf('fe80::99'), 'FAILED');
    assert.equal(world.completeTo('fe80::99'), -1);
  });

  it('go to the gateway that their route names', () => {
    const gateway = ip('10.0.2.254');
    const { adjacencies, packets } = world;
    const route = adjacencies.acquire(ADJACENCY.NEIGHBOUR, LINK, gateway.w0, gateway.w1, gateway.w2, gateway.w3);
    const packet = packet4('203.0.113.5', 9);
    packets.adjacency[packet] = route;
    assert.equal(run(world.ip4, packets, packet), ARC_DONE);
    hearReply('10.0.2.254');
    assert.deepEqual([adjacencies.complete[route], adjacencies.macLow[route]], [1, 1]);
    world.resolver.deliver(world);
    assert.deepEqual(marks(), ['send4 9']);
    world.resolver.flush(LINK);
    assert.deepEqual([adjacencies.has(route), adjacencies.complete[route]], [true, 0]);
  });

  it('are dropped for what can be no neighbour, and for adjacencies that lead to none', () => {
    for (const to of ['224.0.0.1', '255.255.255.255', '10.0.2.255', '10.0.2.0', '0.0.0.0', OUR4]) {
      assert.equal(world.glean(packet4(to), false), 'neighbour-invalid', to);
    }
    for (const to of ['ff02::1', '::', OUR6, 'fe80::1']) {
      assert.equal(world.glean(packet6(to), true), 'neighbour-invalid', to);
    }
    const packet = packet4(PEER4);
    for (const adjacency of [-1, 1000, world.adjacencies.acquire(ADJACENCY.DROP, -1, 0, 0, 0, 0)]) {
      world.packets.adjacency[packet] = adjacency;
      assert.equal(run(world.ip4, world.packets, packet), 'neighbour-invalid');
    }
    assert.equal(world.resolver.table.count, 0);
  });

  it('wait no longer when the interface goes, and its adjacencies with it', () => {
    for (let mark = 0; mark < 3; mark++) world.glean(packet4(PEER4, mark), false);
    world.glean(packet6(PEER6), true);
    hearAdvertisement(PEER6);
    const before = world.adjacencies.count;
    world.resolver.flush(LINK);
    assert.equal(world.resolver.deliver(world), false);
    assert.deepEqual([marks(), world.resolver.store.count, world.resolver.store.dropped], [[], 0, 4]);
    assert.equal(world.adjacencies.count, before - 1);
    assert.equal(world.completeTo(PEER6), -1);
  });

  it('are not asked for by an interface that is down or has no address, and refused in the end', () => {
    world.interfaces.up[LINK] = 0;
    world.glean(packet4(PEER4), false);
    world.addresses.flush(LINK);
    world.interfaces.up[LINK] = 1;
    world.glean(packet6(PEER6), true);
    world.wait(3);
    assert.deepEqual(world.sent.list, []);
    world.resolver.deliver(world);
    assert.deepEqual(marks(), ['host-unreachable4 0', 'host-unreachable6 0']);
  });

  it('are held within bounds: a scan of the network keeps what is in use', () => {
    world = new NeighbourWorld(arena(), 8);
    world.glean(packet4(PEER4), false);
    hearReply(PEER4);
    world.resolver.deliver(world);
    for (let mark = 0; mark < 40; mark++) world.glean(packet4('10.0.2.9', mark), false);
    assert.equal(world.resolver.store.count, NEIGHBOUR_PACKETS_MAX);
    for (let host = 10; host < 60; host++) world.glean(packet4(`10.0.2.${host}`), false);
    assert.equal(world.resolver.table.count, 8);
    assert.equal(world.resolver.store.count, 7);
    assert.equal(world.stateOf(PEER4), 'REACHABLE');
    assert.ok(world.completeTo(PEER4) >= 0);
  });

  it('come back in several turns when the arena is small', () => {
    const packets = new Packets(8192, 8);
    world = new NeighbourWorld(packets);
    const received = taken(packets, packet4(PEER4));
    for (let mark = 0; mark < 16; mark++) {
      packets.reset();
      received[received.length - 1] = mark;
      assert.equal(world.glean(receive(packets, received), false), ARC_DONE);
    }
    packets.reset();
    hearReply(PEER4);
    const all: string[] = [];
    let turns = 0;
    for (let more = true; more; turns++) {
      more = world.resolver.deliver(world);
      all.push(...marks());
      packets.reset();
    }
    assert.deepEqual(
      all,
      Array.from({ length: 16 }, (_, mark) => `send4 ${mark}`),
    );
    assert.ok(turns > 1);
  });

  it('are all accounted for, whatever happens: sent, refused, or dropped, each once', () => {
    const step = fc.record({
      what: fc.constantFrom('packet', 'packet', 'packet', 'reply', 'wait', 'deliver', 'flush', 'request'),
      host: fc.integer({ min: 1, max: 9 }),
      seconds: fc.constantFrom(1, 1, 4, 40),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        world = new NeighbourWorld(arena(), 5);
        let waiting = 0;
        let sent = 0;
        const received = taken(world.packets, packet4(PEER4));
        for (const { what, host, seconds } of steps) {
          world.packets.reset();
          if (what === 'packet') {
            received[33] = host + 10;
            if (world.glean(put(world.packets, received), false) === ARC_DONE) waiting++;
          } else if (what === 'reply') hearReply(`10.0.2.${host + 10}`);
          else if (what === 'wait') world.wait(seconds);
          else if (what === 'flush') world.resolver.flush(LINK);
          else if (what === 'request') {
            const words = ip(`10.0.2.${host + 10}`);
            world.resolver.table.heard(LINK, words.w0, words.w1, words.w2, words.w3, 0x0200, 9, world.resolver.nowMs);
          } else {
            assert.equal(world.resolver.deliver(world), false);
            sent += world.released.length;
            for (const { how, packet } of world.released.splice(0)) {
              const adjacency = world.packets.adjacency[packet];
              assert.equal(how, adjacency < 0 ? 'host-unreachable4' : 'send4');
              if (adjacency >= 0) assert.equal(world.adjacencies.complete[adjacency], 1);
            }
          }
          const { store } = world.resolver;
          assert.equal(sent + store.dropped + store.count, waiting);
        }
      }),
    );
  });
});
