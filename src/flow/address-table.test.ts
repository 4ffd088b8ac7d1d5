import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { AddressTable } from './address-table.ts';

describe('AddressTable', () => {
  it('gives each address a place and finds it again', () => {
    const table = new AddressTable(8);
    const a = table.take(0, 0, 0xffff, 1);
    const b = table.take(0, 0, 0xffff, 2);
    assert.notEqual(a, b);
    assert.equal(table.find(0, 0, 0xffff, 1), a);
    assert.equal(table.find(0, 0, 0xffff, 2), b);
    assert.equal(table.find(0, 0, 0, 1), -1);
    assert.equal(table.take(0, 0, 0xffff, 1), a);
    assert.equal(table.count, 2);
  });

  it('forgets the address that was taken longest ago, and only when full', () => {
    const table = new AddressTable(2);
    table.take(0, 0, 0, 1);
    const second = table.take(0, 0, 0, 2);
    table.take(0, 0, 0, 1);
    assert.equal(table.take(0, 0, 0, 3), second);
    assert.equal(table.find(0, 0, 0, 2), -1);
    assert.notEqual(table.find(0, 0, 0, 1), -1);
    assert.equal(table.count, 2);
  });

  it('is a Map that keeps the newest, whatever is taken', () => {
    for (const places of [1, 2, 3, 7]) {
      fc.assert(
        fc.property(fc.array(fc.tuple(fc.nat(2), fc.integer({ min: -2, max: 2 }))), (taken) => {
          const table = new AddressTable(places);
          const model = new Map<string, number>();
          for (const [w0, w3] of taken) {
            const place = table.take(w0, 0, 0, w3);
            model.delete(`${w0} ${w3}`);
            if (model.size === places) model.delete(model.keys().next().value ?? '');
            model.set(`${w0} ${w3}`, place);
            assert.ok(place >= 0 && place < places);
          }
          assert.equal(table.count, model.size);
          for (let w0 = 0; w0 <= 2; w0++) {
            for (let w3 = -2; w3 <= 2; w3++) {
              assert.equal(table.find(w0, 0, 0, w3), model.get(`${w0} ${w3}`) ?? -1);
            }
          }
        }),
      );
    }
  });
});
