import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { ADJACENCY, AdjacencyTable, NO_ADJACENCY } from './adjacency.ts';

const { NEIGHBOUR, GLEAN, UPLINK, LOCAL, DROP } = ADJACENCY;
const MAPPED = 0xffff;

const neighbour = (table: AdjacencyTable, on: number, address: number): number =>
  table.acquire(NEIGHBOUR, on, 0, 0, MAPPED, address);

describe('the adjacency table', () => {
  it('makes an adjacency once, and finds it by kind, interface and address', () => {
    const table = new AdjacencyTable(1);
    const first = neighbour(table, 3, 10);
    assert.equal(neighbour(table, 3, 10), first);
    assert.equal(table.references(first), 2);
    const others = [neighbour(table, 4, 10), neighbour(table, 3, 11), table.acquire(GLEAN, 3, 0, 0, MAPPED, 10)];
    assert.equal(new Set([first, ...others]).size, 4);
    assert.equal(table.find(NEIGHBOUR, 3, 0, 0, MAPPED, 10), first);
    assert.equal(table.find(NEIGHBOUR, 3, 0, 0, 0, 10), NO_ADJACENCY);
    assert.equal(table.count, 4);
  });

  it('keeps an adjacency until its last holder lets go, and uses its number again', () => {
    const table = new AdjacencyTable(1);
    const uplink = table.acquire(UPLINK, NO_ADJACENCY, 0, 0, 0, 0);
    table.hold(uplink);
    table.account(uplink, 100);
    table.release(uplink);
    assert.equal(table.has(uplink), true);
    table.release(uplink);
    assert.deepEqual([table.has(uplink), table.references(uplink), table.count], [false, 0, 0]);
    assert.equal(table.find(UPLINK, NO_ADJACENCY, 0, 0, 0, 0), NO_ADJACENCY);
    const again = neighbour(table, 0, 1);
    assert.equal(again, uplink);
    assert.deepEqual([table.packets[again], table.bytes[again]], [0, 0]);
    assert.throws(() => table.release(7), /tapster bug/);
  });

  it('knows a MAC address or does not', () => {
    const table = new AdjacencyTable(1);
    const one = neighbour(table, 0, 1);
    assert.equal(table.complete[one], 0);
    table.setComplete(one, 0x0200, -5);
    assert.deepEqual([table.complete[one], table.macHigh[one], table.macLow[one]], [1, 0x0200, -5]);
    table.setIncomplete(one);
    assert.deepEqual([table.complete[one], table.macHigh[one], table.macLow[one]], [0, 0, 0]);
    assert.throws(() => table.setComplete(table.acquire(UPLINK, -1, 0, 0, 0, 0), 0, 0), /tapster bug/);
  });

  it('refuses more than its limit, and takes more when there is room again', () => {
    const table = new AdjacencyTable(1, 2);
    neighbour(table, 0, 1);
    const second = neighbour(table, 0, 2);
    assert.equal(neighbour(table, 0, 3), NO_ADJACENCY);
    assert.equal(neighbour(table, 0, 2), second);
    table.release(second);
    table.release(second);
    assert.notEqual(neighbour(table, 0, 3), NO_ADJACENCY);
  });

  it('lets all of an interface drop when it goes, and those of others alone', () => {
    const table = new AdjacencyTable(1);
    const gone = [neighbour(table, 5, 1), table.acquire(LOCAL, 5, 0, 0, MAPPED, 2)];
    const stays = neighbour(table, 6, 1);
    table.setComplete(gone[0], 0x0200, 1);
    assert.equal(table.flush(5), 2);
    assert.equal(table.flush(-1), 0);
    for (const each of gone) {
      assert.deepEqual([table.kind[each], table.complete[each], table.has(each)], [DROP, 0, true]);
    }
    assert.equal(table.find(NEIGHBOUR, 5, 0, 0, MAPPED, 1), NO_ADJACENCY);
    assert.equal(table.find(NEIGHBOUR, 6, 0, 0, MAPPED, 1), stays);
    for (const each of gone) table.release(each);
    assert.equal(table.count, 1);
  });

  it('counts, and starts anew', () => {
    const table = new AdjacencyTable(1);
    const one = neighbour(table, 0, 1);
    table.account(one, 100);
    table.account(one, 1500);
    assert.deepEqual([table.packets[one], table.bytes[one]], [2, 1600]);
    table.clearCounters();
    assert.deepEqual([table.packets[one], table.bytes[one]], [0, 0]);
  });

  it('does what a map with counts would do, whatever the order', () => {
    const step = fc.record({
      what: fc.constantFrom('acquire', 'release', 'flush'),
      on: fc.integer({ min: 0, max: 2 }),
      address: fc.integer({ min: 0, max: 120 }),
    });
    fc.assert(
      fc.property(fc.integer(), fc.array(step, { maxLength: 400 }), (secret, steps) => {
        const table = new AdjacencyTable(secret);
        const model = new Map<string, { number: number; references: number }>();
        for (const { what, on, address } of steps) {
          const key = `${on}/${address}`;
          const known = model.get(key);
          if (what === 'acquire') {
            const number = neighbour(table, on, address);
            if (known) assert.equal(number, known.number);
            model.set(key, { number, references: (known?.references ?? 0) + 1 });
          } else if (what === 'release' && known) {
            table.release(known.number);
            if (--known.references === 0) model.delete(key);
          } else if (what === 'flush' && address < 3) {
            table.flush(on);
            for (const [name, { number, references }] of [...model].filter(([name]) => name.startsWith(`${on}/`))) {
              for (let i = 0; i < references; i++) table.release(number);
              model.delete(name);
            }
          }
          assert.equal(table.count, model.size);
        }
        for (const [name, { number, references }] of model) {
          const [on, address] = name.split('/').map(Number);
          assert.equal(table.find(NEIGHBOUR, on, 0, 0, MAPPED, address), number);
          assert.equal(table.references(number), references);
        }
      }),
      { numRuns: 60 },
    );
  });
});
