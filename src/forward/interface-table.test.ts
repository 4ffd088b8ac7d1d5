import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { INTERFACES_EVER_MAX } from '../base/limits.ts';
import { INTERFACE_MODE, InterfaceTable } from './interface-table.ts';

describe('the interface table', () => {
  it('gives each interface a number of its own, and no number twice', () => {
    const table = new InterfaceTable();
    assert.deepEqual([table.add(0x02fe, 1), table.add(0x02fe, 2)], [0, 1]);
    table.remove(0);
    assert.deepEqual([table.has(0), table.has(1), table.has(2), table.has(-1)], [false, true, false, false]);
    assert.equal(table.add(0x02fe, 3), 2);
    assert.equal(table.end, 3);
  });

  it('keeps what it knows when it grows', () => {
    const table = new InterfaceTable();
    for (let i = 0; i < 100; i++) {
      const index = table.add(i, 1000 - i);
      table.mtu[index] = 9000 + i;
      table.up[index] = 1;
      table.bridge[index] = i % 3;
    }
    for (let i = 0; i < 100; i++) {
      assert.deepEqual(
        [table.macHigh[i], table.macLow[i], table.mtu[i], table.bridge[i]],
        [i, 1000 - i, 9000 + i, i % 3],
      );
    }
    assert.equal(table.mode[99], INTERFACE_MODE.ROUTED);
    assert.equal(table.bridge[120], -1);
  });

  it('refuses when no number is left', () => {
    const table = new InterfaceTable();
    for (let i = 0; i < INTERFACES_EVER_MAX; i++) table.add(0, i);
    assert.equal(table.add(0, 0), -1);
  });
});
