import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import fc from 'fast-check';
import { ARC_DONE, ARC_NEXT } from '../graph/node.ts';
import { CONFLICT_INTERVAL_MS } from './address-conflicts.ts';
import { NeighbourWorld, OTHER_LINK, PEER4 } from './neighbour-fixtures.test.ts';
import { taken } from './packet-fixtures.test.ts';
import { bytes, GUEST_MAC, LINK, receive, run } from './service-fixtures.test.ts';

const PEER_MAC = '020000000001';
const OTHER_MAC = '020000000077';
const OUR_MAC = '020000000002';
const OUR = '0a000202';
const PEER = '0a000264';
const ETHERNET_PADDING = '00'.repeat(18);

function frame(operation: number, sender: string, target: string, mac: string = PEER_MAC): number[] {
  const start = `ffffffffffff${mac}0806 0001 0800 06 04 000${operation}`;
  return bytes(start, mac, sender, '000000000000', target, ETHERNET_PADDING);
}

describe('the responder to ARP', () => {
  let world: NeighbourWorld;
  beforeEach(() => {
    world = new NeighbourWorld();
  });

  function hear(operation: number, sender: string, target: string, mac?: string): number | string {
    return run(world.arp, world.packets, receive(world.packets, frame(operation, sender, target, mac)));
  }

  it('answers who asks for an address of ours, in place, and learns where it is', () => {
    const { packets } = world;
    const packet = receive(packets, frame(1, PEER, OUR));
    packets.bytes.fill(1, packets.start[packet] - 12, packets.start[packet]);
    assert.equal(run(world.arp, packets, packet), ARC_NEXT);
    const answer = bytes(`${PEER_MAC}${OUR_MAC}0806 0001 0800 06 04 0002`, OUR_MAC, OUR, PEER_MAC, PEER);
    assert.deepEqual(taken(packets, packet), answer);
    assert.equal(packets.txInterface[packet], LINK);
    const header = packets.bytes.slice(packets.start[packet] - 12, packets.start[packet]);
    assert.deepEqual([...header], bytes('00'.repeat(12)));
    assert.equal(world.stateOf(PEER4), 'STALE');
    assert.equal(world.resolver.table.macLow[world.find(PEER4)], GUEST_MAC.low);
    assert.equal(world.completeTo(PEER4), -1);
  });

  it('answers a probe for our address, and learns nothing from it', () => {
    assert.equal(hear(1, '00000000', OUR), ARC_NEXT);
    assert.equal(world.resolver.table.count, 0);
  });

  it('does not answer for others, nor for addresses of ours on other interfaces', () => {
    assert.equal(hear(1, PEER, '0a000299'), ARC_DONE);
    assert.equal(hear(1, PEER, '0a090001'), ARC_DONE);
    const packet = receive(world.packets, frame(1, '0a090005', '0a090001'));
    world.packets.rxInterface[packet] = OTHER_LINK;
    assert.equal(run(world.arp, world.packets, packet), ARC_NEXT);
    assert.equal(world.stateOf(PEER4), 'unknown');
  });

  it('learns from replies and announcements only of neighbours that it knows', () => {
    for (const operation of [1, 2]) assert.equal(hear(operation, PEER, PEER), ARC_DONE);
    assert.equal(hear(2, PEER, OUR), ARC_DONE);
    assert.equal(world.resolver.table.count, 0);
    world.use(PEER4);
    assert.equal(hear(2, PEER, OUR), ARC_DONE);
    assert.equal(world.stateOf(PEER4), 'REACHABLE');
    // A reply that nobody asked for is hearsay, as is an announcement.
    assert.equal(hear(2, PEER, OUR, OTHER_MAC), ARC_DONE);
    assert.equal(world.stateOf(PEER4), 'STALE');
    assert.equal(hear(1, PEER, PEER), ARC_DONE);
    assert.equal(world.resolver.table.macLow[world.find(PEER4)], GUEST_MAC.low);
    assert.equal(world.resolver.table.moved, 2);
  });

  it('answers, but does not learn, who is on none of our networks, and who claims our MAC address', () => {
    assert.equal(hear(1, 'c0000201', OUR), ARC_NEXT);
    assert.equal(hear(1, '0a0002ff', OUR), ARC_NEXT);
    assert.equal(hear(1, PEER, OUR, OUR_MAC), ARC_NEXT);
    assert.equal(world.resolver.table.count, 0);
  });

  it('counts who claims our address, and tells of it once in a while', () => {
    for (let i = 0; i < 5; i++) assert.equal(hear(i % 2 === 0 ? 1 : 2, OUR, PEER), 'arp-own-address');
    assert.equal(hear(1, OUR, OUR, OUR_MAC), 'arp-own-address');
    assert.equal(world.conflicts.count, 5);
    assert.deepEqual(world.told, ['3 0 0 ffff a000202 200 1']);
    world.clock.nowUs += CONFLICT_INTERVAL_MS * 1000;
    hear(1, OUR, PEER, OTHER_MAC);
    assert.deepEqual(world.told.slice(1), ['3 0 0 ffff a000202 200 77']);
  });

  it('drops what is no ARP for IPv4, names no host, or speaks for a group', () => {
    const valid = frame(1, PEER, OUR).slice(0, 42);
    for (let length = 14; length < 42; length++) {
      assert.equal(run(world.arp, world.packets, receive(world.packets, valid.slice(0, length))), 'arp-invalid');
    }
    const invalid = [
      [3, PEER, OUR],
      [1, PEER, 'e0000001'],
      [1, PEER, '00000000'],
      [1, 'ffffffff', OUR],
      [1, '7f000001', OUR],
      [1, PEER, OUR, '010000000001'],
      [1, PEER, OUR, '000000000000'],
    ] as const;
    for (const [operation, sender, target, mac] of invalid) {
      assert.equal(hear(operation, sender, target, mac), 'arp-invalid');
    }
    assert.equal(world.resolver.table.count, 0);
  });

  it('survives any bytes behind the Ethernet header', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), fc.boolean(), (random, plausible) => {
        world.packets.reset();
        if (plausible) random.set(bytes('0001080006040001').slice(0, random.length));
        run(world.arp, world.packets, receive(world.packets, [...frame(1, PEER, OUR).slice(0, 14), ...random]));
      }),
    );
  });
});
