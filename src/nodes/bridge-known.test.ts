import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BridgeWorld, EVERYBODY, frameOf, interfaceMac, station } from './bridge-fixtures.test.ts';
import { ARC_OUTPUT, ARC_UP, BridgeForward } from './bridge-forward.ts';
import { BridgeKnown } from './bridge-known.ts';
import type { Bytes } from './packet-fixtures.test.ts';
import { run } from './service-fixtures.test.ts';

const [A, B, C] = [station(1), station(2), station(3)];
/** The arc of what is the main thread's: where a bridge's own leg would be. */
const PUNT = ARC_UP;

/** Station 1 is known behind interface 0, station 2 behind interface 1. */
class KnownWorld extends BridgeWorld {
  readonly links: Set<number> = new Set([0, 1, 2]);
  readonly known: BridgeKnown;

  constructor() {
    super(4);
    const { interfaces, bridges, fib, clock } = this;
    const forward = new BridgeForward(interfaces, bridges, fib, this.sent);
    const hasLink = (index: number): boolean => this.links.has(index);
    this.known = new BridgeKnown({ interfaces, bridges, fib, forward, clock, hasLink });
    this.bridge(0, 1, 2);
    super.receive(0, frameOf(B, A));
    super.receive(1, frameOf(A, B));
    this.emitted();
  }

  override receive(from: number, frame: Bytes): number | string {
    return run(this.known, this.packets, this.packet(from, frame));
  }
}

describe('bridge-input of a worker', () => {
  it('sends on what goes from one station to another, and notes who was heard', () => {
    const world = new KnownWorld();
    world.clock.nowUs = 7_000_000;
    assert.equal(world.receive(0, frameOf(B, A)), ARC_OUTPUT);
    assert.equal(world.packets.txInterface[world.newest()], 1);
    const heard = world.fib.entries().map(({ heardS }) => heardS);
    assert.deepEqual(heard, [7, 0]);
  });

  it('leaves all else to the main thread, and learns nothing', () => {
    const world = new KnownWorld();
    const before = world.fib.entries();
    assert.equal(world.receive(0, frameOf(C, A)), PUNT, 'nobody knows who it is for');
    assert.equal(world.receive(2, frameOf(A, C)), PUNT, 'nobody knows who it is from');
    assert.equal(world.receive(2, frameOf(A, B)), PUNT, 'its sender has moved');
    assert.equal(world.receive(0, frameOf(EVERYBODY, A)), PUNT);
    assert.equal(world.receive(3, frameOf(A, B)), PUNT, 'its interface is no member');
    assert.deepEqual(world.fib.entries(), before);
    assert.deepEqual(world.emitted(), []);
  });

  it('leaves what goes to a member whose link it has not', () => {
    const world = new KnownWorld();
    world.links.delete(1);
    assert.equal(world.receive(0, frameOf(B, A)), PUNT);
    assert.equal(world.receive(1, frameOf(A, B)), ARC_OUTPUT);
  });

  it('leaves what a bridge that does not learn has, and what is for its own leg or claims to be from there', () => {
    const world = new KnownWorld();
    world.bridges.setBvi(0, 3);
    assert.equal(world.receive(0, frameOf(interfaceMac(3), A)), PUNT);
    world.fib.learn(0, 0x0200, 1003, 0, 0);
    assert.equal(world.receive(0, frameOf(B, interfaceMac(3))), PUNT);
    world.bridges.learn[0] = 0;
    assert.equal(world.receive(0, frameOf(B, A)), PUNT);
  });

  it('drops what may not go there, as the main thread does', () => {
    const world = new KnownWorld();
    world.interfaces.splitHorizonGroup.fill(1, 0, 2);
    assert.equal(world.receive(0, frameOf(B, A)), 'bridge-split-horizon');
    world.interfaces.splitHorizonGroup.fill(0);
    world.interfaces.up[1] = 0;
    assert.equal(world.receive(0, frameOf(B, A)), 'bridge-member-down');
  });
});
