import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { VLAN_ADDED, VlanTable } from './vlan-table.ts';

describe('the table of VLAN sub-interfaces', () => {
  it('finds by interface and VLAN id', () => {
    const table = new VlanTable(8);
    assert.equal(table.add(0, 100, 5), VLAN_ADDED.ADDED);
    assert.equal(table.add(1, 100, 6), VLAN_ADDED.ADDED);
    assert.equal(table.add(65_535, 4094, 0), VLAN_ADDED.ADDED);
    assert.deepEqual([table.find(0, 100), table.find(1, 100), table.find(65_535, 4094)], [5, 6, 0]);
    assert.deepEqual([table.find(0, 101), table.find(2, 100), table.find(0, 0), table.find(1, 0)], [-1, -1, -1, -1]);
    assert.deepEqual(table.entries(1), [{ parent: 1, vlan: 100, subInterface: 6 }]);
  });

  it('has one sub-interface for each VLAN, and no more than it has room for', () => {
    const table = new VlanTable(2);
    table.add(3, 1, 10);
    assert.equal(table.add(3, 1, 11), VLAN_ADDED.TAKEN);
    table.add(3, 2, 11);
    assert.equal(table.add(3, 3, 12), VLAN_ADDED.FULL);
    assert.equal(table.find(3, 1), 10);
    assert.equal(table.remove(3, 1), true);
    assert.equal(table.remove(3, 1), false);
    assert.equal(table.add(3, 3, 12), VLAN_ADDED.ADDED);
    assert.equal(table.count, 2);
  });

  it('knows whose sub-interface one is', () => {
    const table = new VlanTable(8);
    table.add(0, 100, 5);
    table.add(3, 100, 60_000);
    assert.deepEqual(
      [5, 60_000, 3, 65_535].map((index) => table.parentOf(index)),
      [0, 3, 3, 65_535],
    );
    table.remove(0, 100);
    assert.equal(table.parentOf(5), 5);
  });

  it('refuses what is no VLAN id', () => {
    const table = new VlanTable(2);
    for (const vlan of [0, 4095, -1]) assert.throws(() => table.add(1, vlan, 2), /1 to 4094/);
  });

  it('is a map, whatever is added and removed', () => {
    const key = fc.record({ parent: fc.nat({ max: 3 }), vlan: fc.integer({ min: 1, max: 12 }) });
    const step = fc.record({ key, subInterface: fc.nat({ max: 1000 }), add: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const table = new VlanTable(24);
        const model = new Map<string, number>();
        for (const { key, subInterface, add } of steps) {
          const name = `${key.parent}.${key.vlan}`;
          if (!add) {
            assert.equal(table.remove(key.parent, key.vlan), model.delete(name));
            continue;
          }
          const added = table.add(key.parent, key.vlan, subInterface);
          const wanted = model.has(name) ? 'TAKEN' : model.size === 24 ? 'FULL' : 'ADDED';
          assert.equal(added, VLAN_ADDED[wanted]);
          if (wanted === 'ADDED') model.set(name, subInterface);
        }
        for (let parent = 0; parent < 4; parent++) {
          for (let vlan = 0; vlan < 13; vlan++) {
            assert.equal(table.find(parent, vlan), model.get(`${parent}.${vlan}`) ?? -1);
          }
        }
        const listed = table.entries().map(({ parent, vlan, subInterface }) => [`${parent}.${vlan}`, subInterface]);
        assert.deepEqual(new Map(listed as [string, number][]), model);
        assert.equal(table.count, model.size);
      }),
    );
  });
});
