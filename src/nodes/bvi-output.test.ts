import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ARC_DONE } from '../graph/node.ts';
import { BridgeWorld, EVERYBODY, frameOf, interfaceMac, station } from './bridge-fixtures.test.ts';
import { ARC_OUTPUT } from './bridge-forward.ts';

const [A, B] = [station(1), station(2)];
const BVI = 3;
const OTHER = 4;

/** Members 0 to 2, and station A behind 0. */
function fresh(): BridgeWorld {
  const world = new BridgeWorld(5);
  world.bridges.setBvi(world.bridge(0, 1, 2), BVI);
  world.receive(0, frameOf(EVERYBODY, A));
  world.emitted();
  return world;
}

describe('bvi-output', () => {
  it('sends packets for a known neighbour to its member', () => {
    const world = fresh();
    assert.equal(world.transmit(BVI, frameOf(A, interfaceMac(BVI))), ARC_OUTPUT);
    assert.equal(world.packets.txInterface[world.newest()], 0);
    assert.deepEqual(world.output.next, ['interface-output']);
  });

  it('floods to all members, and never up again', () => {
    const world = fresh();
    world.interfaces.promiscuous[BVI] = 1;
    for (const to of [EVERYBODY, B]) {
      assert.equal(world.transmit(BVI, frameOf(to, interfaceMac(BVI))), ARC_DONE);
      assert.deepEqual(world.emitted(), [0, 1, 2]);
    }
    assert.equal(world.transmit(BVI, frameOf(interfaceMac(BVI), interfaceMac(BVI))), 'bridge-same-interface');
  });

  it('learns nothing', () => {
    const world = fresh();
    world.transmit(BVI, frameOf(EVERYBODY, interfaceMac(BVI)));
    world.transmit(BVI, frameOf(EVERYBODY, B));
    assert.equal(world.fib.count, 1);
  });

  it('is not held up by split horizon', () => {
    const world = fresh();
    world.interfaces.splitHorizonGroup.fill(7, 0, 3);
    world.transmit(BVI, frameOf(EVERYBODY, interfaceMac(BVI)));
    assert.deepEqual(world.emitted(), [0, 1, 2]);
  });

  it('lets everything else pass: members, routed interfaces, and what is no interface', () => {
    const world = fresh();
    for (const to of [0, OTHER, -1, 99]) {
      assert.equal(world.transmit(to, frameOf(EVERYBODY, interfaceMac(OTHER))), ARC_OUTPUT);
      assert.equal(world.packets.txInterface[world.newest()], to);
    }
  });

  it('sends nothing by a BVI that is down', () => {
    const world = fresh();
    world.interfaces.up[BVI] = 0;
    assert.equal(world.transmit(BVI, frameOf(A, interfaceMac(BVI))), 'interface-down');
  });

  it('does the same for what flows and services emit, and counts what it drops', () => {
    const world = fresh();
    const emit = (interfaceIndex: number, frame: number[]): number[] => {
      const packet = world.packet(-1, frame);
      world.packets.txInterface[packet] = interfaceIndex;
      world.output.emit(packet);
      return world.emitted();
    };
    assert.deepEqual(emit(BVI, frameOf(A, interfaceMac(BVI))), [0]);
    assert.deepEqual(emit(BVI, frameOf(EVERYBODY, interfaceMac(BVI))), [0, 1, 2]);
    assert.deepEqual(emit(OTHER, frameOf(A, interfaceMac(OTHER))), [OTHER]);
    assert.equal(world.output.dropped, 0);
    assert.deepEqual(emit(BVI, frameOf(A, interfaceMac(BVI), 1501)), []);
    assert.equal(world.output.dropped, 1);
  });
});
