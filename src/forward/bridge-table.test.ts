import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BRIDGES_MAX } from '../base/limits.ts';
import { BridgeTable } from './bridge-table.ts';
import { INTERFACE_MODE, InterfaceTable } from './interface-table.ts';
import { L2Fib } from './l2-fib.ts';

const HIGH = 0x0200;

function fresh(count: number): { interfaces: InterfaceTable; fib: L2Fib; bridges: BridgeTable } {
  const interfaces = new InterfaceTable();
  for (let i = 0; i < count; i++) interfaces.add(HIGH, i);
  const fib = new L2Fib(64, 1);
  return { interfaces, fib, bridges: new BridgeTable(interfaces, fib) };
}

function membersOf(bridges: BridgeTable, bridge: number): number[] {
  return [...bridges.members(bridge).subarray(0, bridges.memberCount[bridge])];
}

describe('the bridges', () => {
  it('join interfaces, any number of them, and let them go in any order', () => {
    const { interfaces, bridges } = fresh(40);
    const bridge = bridges.add();
    for (let i = 0; i < 40; i++) bridges.addMember(bridge, i, i % 4);
    assert.deepEqual(membersOf(bridges, bridge), [...Array(40).keys()]);
    assert.deepEqual([interfaces.bridge[39], interfaces.mode[39]], [bridge, INTERFACE_MODE.BRIDGED]);
    assert.equal(interfaces.splitHorizonGroup[39], 3);
    for (const i of [0, 39, 20]) bridges.removeMember(i);
    assert.deepEqual(
      membersOf(bridges, bridge),
      [...Array(40).keys()].filter((i) => ![0, 39, 20].includes(i)),
    );
    assert.deepEqual(
      [interfaces.bridge[39], interfaces.mode[39], interfaces.splitHorizonGroup[39]],
      [-1, INTERFACE_MODE.ROUTED, 0],
    );
  });

  it('learn, forward, flood and age, until they are told otherwise', () => {
    const { bridges } = fresh(0);
    assert.equal(bridges.add(), 0);
    const flags = [bridges.learn[0], bridges.forward[0], bridges.flood[0], bridges.unknownUnicastFlood[0]];
    assert.deepEqual([...flags, bridges.ageingS[0], bridges.bvi[0]], [1, 1, 1, 1, 300, -1]);
  });

  it('forget addresses with the member that they are behind, and with the bridge', () => {
    const { fib, bridges } = fresh(4);
    const [a, b] = [bridges.add(), bridges.add()];
    bridges.addMember(a, 0);
    bridges.addMember(a, 1);
    bridges.addMember(b, 2);
    assert.equal(bridges.setStatic(a, HIGH, 100, 0), true);
    fib.learn(a, HIGH, 101, 0, 0);
    fib.learn(a, HIGH, 102, 1, 0);
    fib.learn(b, HIGH, 101, 2, 0);
    bridges.removeMember(0);
    assert.deepEqual([fib.find(a, HIGH, 100), fib.find(a, HIGH, 101), fib.find(a, HIGH, 102)], [-1, -1, 1]);
    bridges.remove(a);
    assert.deepEqual([fib.find(a, HIGH, 102), fib.find(b, HIGH, 101)], [-1, 2]);
  });

  it('have one BVI at most, which stays a routed interface', () => {
    const { interfaces, bridges } = fresh(3);
    const bridge = bridges.add();
    bridges.addMember(bridge, 0);
    bridges.setBvi(bridge, 1);
    assert.deepEqual(
      [bridges.isBvi(0), bridges.isBvi(1), bridges.isBvi(2), bridges.isBvi(-1)],
      [false, true, false, false],
    );
    assert.deepEqual([interfaces.mode[1], interfaces.bridge[1]], [INTERFACE_MODE.ROUTED, bridge]);
    bridges.setBvi(bridge, 2);
    assert.deepEqual([bridges.bvi[bridge], interfaces.bridge[1]], [2, -1]);
    assert.deepEqual(membersOf(bridges, bridge), [0]);
    bridges.remove(bridge);
    assert.deepEqual([...interfaces.bridge.subarray(0, 3)], [-1, -1, -1]);
  });

  it('come with fresh counters when a number is given again, and come to an end', () => {
    const { bridges } = fresh(1);
    for (let i = 0; i < BRIDGES_MAX; i++) assert.equal(bridges.add(), i);
    assert.equal(bridges.add(), -1);
    bridges.addMember(5, 0);
    bridges.flooded[5] = 9;
    bridges.learn[5] = 0;
    bridges.remove(5);
    assert.equal(bridges.has(5), false);
    assert.equal(bridges.add(), 5);
    assert.deepEqual([bridges.flooded[5], bridges.learn[5], bridges.memberCount[5]], [0, 1, 0]);
  });

  it('count the addresses that they forget for their silence', () => {
    const { fib, bridges } = fresh(1);
    const bridge = bridges.add();
    bridges.addMember(bridge, 0);
    bridges.ageingS[bridge] = 5;
    fib.learn(bridge, HIGH, 1, 0, 10);
    bridges.age(15_999_999, fib.places);
    assert.deepEqual([fib.count, bridges.aged], [1, 0]);
    bridges.age(16_000_000, fib.places);
    assert.deepEqual([fib.count, bridges.aged], [0, 1]);
  });

  it('are told of what cannot be', () => {
    const { bridges } = fresh(2);
    const [a, b] = [bridges.add(), bridges.add()];
    bridges.addMember(a, 0);
    bridges.setBvi(a, 1);
    assert.throws(() => bridges.addMember(b, 0), /in one bridge at most/);
    assert.throws(() => bridges.setBvi(b, 0), /in one bridge at most/);
    assert.throws(() => bridges.addMember(b, 7), /are joined/);
    assert.throws(() => bridges.removeMember(1), /only a member/);
    assert.throws(() => bridges.setStatic(b, HIGH, 1, 0), /behind a member/);
    assert.throws(() => bridges.setStatic(a, HIGH, 1, 1), /behind a member/);
    assert.throws(() => bridges.remove(7), /only a bridge that is there/);
    assert.throws(() => bridges.addMember(b, 1, 256), /8 bits/);
  });
});
