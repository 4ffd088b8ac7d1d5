import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { NEIGHBOUR_PENDING, NO_NEIGHBOUR } from '../flow/neighbours.ts';
import { NeighbourWorld, OTHER_LINK, PEER4, PEER6 } from '../nodes/neighbour-fixtures.test.ts';
import { GUEST_MAC, ip, LINK } from '../nodes/service-fixtures.test.ts';
import { ForwardingNeighbours } from './forwarding-neighbours.ts';

const BEHIND = '172.16.0.9';

function start(): {
  world: NeighbourWorld;
  neighbours: ForwardingNeighbours;
  find(address: string, on?: number): number;
} {
  const world = new NeighbourWorld();
  const router = ip(PEER4);
  const neighbours = new ForwardingNeighbours(world.addresses, world.resolver, (on, _w0, _w1, _w2, w3, out) => {
    if (on !== LINK || w3 !== ip(BEHIND).w3) return false;
    out.set([router.w0, router.w1, router.w2, router.w3]);
    return true;
  });
  const find = (address: string, on: number = LINK): number => {
    const { w0, w1, w2, w3 } = ip(address);
    return neighbours.find(on, w0, w1, w2, w3);
  };
  return { world, neighbours, find };
}

function answer(world: NeighbourWorld, address: string): void {
  const neighbour = world.find(address);
  world.resolver.table.advertised(neighbour, GUEST_MAC.high, GUEST_MAC.low, true, true, world.resolver.nowMs);
}

describe('neighbours of published ports', () => {
  it('are asked for once, and there when they answer', () => {
    for (const address of [PEER4, PEER6]) {
      const { world, neighbours, find } = start();
      assert.equal(neighbours.isSettled(), false);
      assert.equal(find(address), NEIGHBOUR_PENDING);
      assert.equal(find(address), NEIGHBOUR_PENDING);
      world.sent.only();
      assert.equal(neighbours.isSettled(), false);
      answer(world, address);
      assert.equal(neighbours.isSettled(), true);
      assert.equal(neighbours.isSettled(), false);
      const neighbour = find(address);
      assert.ok(neighbour >= 0);
      assert.equal(neighbours.macHigh(LINK, neighbour), GUEST_MAC.high);
      assert.equal(neighbours.macLow(LINK, neighbour), GUEST_MAC.low);
    }
  });

  it('are not there when nobody has answered, and asked for again later', () => {
    const { world, neighbours, find } = start();
    assert.equal(find(PEER4), NEIGHBOUR_PENDING);
    world.wait(3);
    assert.equal(neighbours.isSettled(), true);
    assert.equal(find(PEER4), NO_NEIGHBOUR);
    world.wait(3);
    world.sent.list.length = 0;
    assert.equal(find(PEER4), NEIGHBOUR_PENDING);
    world.sent.only();
  });

  it('stay usable when they have been silent for long', () => {
    const { world, find } = start();
    find(PEER4);
    answer(world, PEER4);
    world.wait(60);
    assert.equal(world.stateOf(PEER4), 'STALE');
    assert.ok(find(PEER4) >= 0);
    assert.equal(world.stateOf(PEER4), 'DELAY');
  });

  it('are the router where the guest is behind one, and nobody where no route leads there', () => {
    const { world, find } = start();
    assert.equal(find(BEHIND), NEIGHBOUR_PENDING);
    answer(world, PEER4);
    assert.equal(find(BEHIND), world.find(PEER4));
    assert.equal(find('172.16.0.8'), NO_NEIGHBOUR);
    assert.equal(find(BEHIND, OTHER_LINK), NO_NEIGHBOUR);
  });

  it('may be more than are kept in mind', () => {
    const { world, neighbours, find } = start();
    for (let i = 3; i < 90; i++) assert.equal(find(`10.0.2.${i}`), NEIGHBOUR_PENDING);
    world.wait(3);
    assert.equal(neighbours.isSettled(), true);
    assert.equal(neighbours.isSettled(), false);
  });
});
