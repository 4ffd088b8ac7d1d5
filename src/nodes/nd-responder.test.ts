import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import fc from 'fast-check';
import { ARC_DONE } from '../graph/node.ts';
import { NeighbourWorld, OUR6, PEER6 } from './neighbour-fixtures.test.ts';
import { type Bytes, icmp6, ip6, taken, v6 } from './packet-fixtures.test.ts';
import { bytes, GUEST_MAC, ip, receive, run } from './service-fixtures.test.ts';

const PEER_MAC = '020000000001';
const OUR_MAC = '020000000002';
const OTHER_MAC = '020000000077';
const OUR_GROUP = 'ff02::1:ff00:2';
const SOLICITED = 0x40;
const OVERRIDE = 0x20;
const NONE = '';

function address(text: string): number[] {
  const { w0, w1, w2, w3 } = ip(text);
  return v6(w0, w1, w2, w3);
}

interface Fields {
  from?: string;
  to?: string;
  limit?: number;
  options?: Bytes;
}

function frame(type: number, flags: number, target: string, fields: Fields): number[] {
  const from = address(fields.from ?? PEER6);
  const to = address(fields.to ?? OUR6);
  const message = icmp6(type, 0, [flags, 0, 0, 0, ...address(target), ...(fields.options ?? [])], from, to);
  return [...bytes(`${OUR_MAC}${PEER_MAC}86dd`), ...ip6(58, message, { from, to, limit: fields.limit ?? 255 })];
}

function option(kind: number, mac: string): number[] {
  return mac === NONE ? [] : bytes(`0${kind}01`, mac);
}

describe('the responder to neighbor discovery', () => {
  let world: NeighbourWorld;
  beforeEach(() => {
    world = new NeighbourWorld();
  });

  function hear(...args: Parameters<typeof frame>): number | string {
    return run(world.nd, world.packets, receive(world.packets, frame(...args)));
  }
  function solicit(target: string, mac: string = PEER_MAC, fields: Fields = {}): number | string {
    return hear(135, 0, target, { options: option(1, mac), ...fields });
  }
  function advertise(target: string, flags: number, mac: string = PEER_MAC, fields: Fields = {}): number | string {
    return hear(136, flags, target, { options: option(2, mac), from: target, ...fields });
  }

  it('answers who asks for an address of ours, and learns where it is', () => {
    assert.equal(solicit(OUR6, PEER_MAC, { to: OUR_GROUP }), ARC_DONE);
    const from = address(OUR6);
    const to = address(PEER6);
    const flags = [0xe0, 0, 0, 0];
    const message = icmp6(136, 0, [...flags, ...from, ...option(2, OUR_MAC)], from, to);
    const expected = [...bytes(`${PEER_MAC}${OUR_MAC}86dd`), ...ip6(58, message, { from, to, limit: 255 })];
    assert.deepEqual(taken(world.packets, world.sent.only()), expected);
    assert.equal(world.stateOf(PEER6), 'STALE');
    assert.equal(world.resolver.table.macLow[world.find(PEER6)], GUEST_MAC.low);
  });

  it('answers to all nodes when who asks has no address yet', () => {
    assert.equal(solicit(OUR6, NONE, { from: '::', to: OUR_GROUP }), ARC_DONE);
    const answer = taken(world.packets, world.sent.only());
    assert.deepEqual(answer.slice(0, 6), bytes('333300000001'));
    assert.deepEqual(answer.slice(38, 54), address('ff02::1'));
    assert.equal(answer[58], 0xa0);
    assert.equal(world.resolver.table.count, 0);
  });

  it('answers without learning who does not say where it is, or is on none of our networks', () => {
    solicit(OUR6, NONE);
    assert.deepEqual(taken(world.packets, world.sent.only()).slice(0, 6), bytes(PEER_MAC));
    solicit(OUR6, PEER_MAC, { from: '2001:db8::1' });
    world.sent.only();
    solicit(OUR6, OUR_MAC);
    world.sent.only();
    assert.equal(world.resolver.table.count, 0);
    solicit('fe80::1', PEER_MAC, { from: 'fe80::99' });
    world.sent.only();
    assert.equal(world.stateOf('fe80::99'), 'STALE');
  });

  it('is silent where others are asked for, and where a router is', () => {
    assert.equal(solicit('fd74:6170:7374:6572::3'), ARC_DONE);
    assert.equal(solicit('fe80::2'), ARC_DONE);
    const from = address('fe80::99');
    const to = address('ff02::2');
    const message = icmp6(133, 0, [0, 0, 0, 0], from, to);
    const router = [...bytes(`333300000002${PEER_MAC}86dd`), ...ip6(58, message, { from, to, limit: 255 })];
    assert.equal(run(world.nd, world.packets, receive(world.packets, router)), ARC_DONE);
    assert.deepEqual(world.sent.list, []);
    assert.equal(world.resolver.table.count, 0);
  });

  it('learns from advertisements only of neighbours that it knows', () => {
    assert.equal(advertise(PEER6, SOLICITED | OVERRIDE), ARC_DONE);
    assert.equal(world.resolver.table.count, 0);
    world.use(PEER6);
    world.sent.only();
    advertise(PEER6, SOLICITED, NONE);
    assert.equal(world.stateOf(PEER6), 'INCOMPLETE');
    advertise(PEER6, SOLICITED | OVERRIDE);
    assert.equal(world.stateOf(PEER6), 'REACHABLE');
    advertise(PEER6, OVERRIDE, OTHER_MAC, { to: 'ff02::1' });
    assert.equal(world.stateOf(PEER6), 'STALE');
    advertise(PEER6, SOLICITED, NONE);
    assert.equal(world.stateOf(PEER6), 'REACHABLE');
    advertise(PEER6, OVERRIDE, OUR_MAC);
    assert.equal(world.resolver.table.macLow[world.find(PEER6)], 0x77);
  });

  it('counts who claims our address, and tells of it', () => {
    for (let i = 0; i < 3; i++) assert.equal(advertise(OUR6, OVERRIDE, PEER_MAC, { to: 'ff02::1' }), 'ndp-own-address');
    assert.equal(solicit(PEER6, PEER_MAC, { from: OUR6 }), 'ndp-own-address');
    assert.equal(advertise(OUR6, OVERRIDE, OUR_MAC), 'ndp-own-address');
    assert.equal(world.conflicts.count, 4);
    assert.deepEqual(world.told, ['3 fd746170 73746572 0 2 200 1']);
  });

  it('drops what RFC 4861, section 7.1 calls invalid, and what speaks for a group', () => {
    const invalid: (number | string)[] = [
      solicit(OUR6, PEER_MAC, { limit: 254 }),
      solicit('ff02::1'),
      solicit(OUR6, PEER_MAC, { from: '::', to: OUR_GROUP }),
      solicit(OUR6, NONE, { from: '::' }),
      solicit(OUR6, '330000000001'),
      solicit(OUR6, '000000000000'),
      solicit(OUR6, PEER_MAC, { options: [1, 0, 0, 0, 0, 0, 0, 0] }),
      advertise(PEER6, SOLICITED, PEER_MAC, { to: 'ff02::1' }),
      advertise('ff02::5', OVERRIDE, PEER_MAC, { from: PEER6 }),
      advertise(PEER6, OVERRIDE, '010000000000'),
      hear(134, 0, OUR6, {}),
      hear(137, 0, OUR6, {}),
    ];
    assert.deepEqual([...new Set(invalid)], ['ndp-invalid']);
    const wrong = frame(135, 0, OUR6, {});
    wrong[wrong.length - 1] ^= 1;
    assert.equal(run(world.nd, world.packets, receive(world.packets, wrong)), 'icmp-checksum-wrong');
    assert.equal(world.resolver.table.count, 0);
    assert.deepEqual(world.sent.list, []);
  });

  it('says so when the arena has no room for the answer', () => {
    const packet = receive(world.packets, frame(135, 0, OUR6, {}));
    while (world.packets.hasRoom(86)) world.packets.allocate(86);
    assert.equal(run(world.nd, world.packets, packet), 'arena-full');
  });

  it('survives any message', () => {
    const any = fc.record({ type: fc.integer({ min: 133, max: 137 }), rest: fc.uint8Array({ maxLength: 80 }) });
    fc.assert(
      fc.property(any, ({ type, rest }) => {
        world.packets.reset();
        world.sent.list.length = 0;
        const from = address(PEER6);
        const to = address(OUR6);
        const message = icmp6(type, 0, [...rest], from, to);
        const packet = [...bytes(`${OUR_MAC}${PEER_MAC}86dd`), ...ip6(58, message, { from, to, limit: 255 })];
        run(world.nd, world.packets, receive(world.packets, packet));
      }),
    );
  });
});
