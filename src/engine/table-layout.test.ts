import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { layoutFor } from './table-layout.ts';

describe('layoutFor', () => {
  const terminal = { isTTY: true, columns: 132 } as NodeJS.WriteStream;
  const pipe = {} as NodeJS.WriteStream;

  it('follows the terminal, COLUMNS, NO_COLOR and FORCE_COLOR', () => {
    assert.deepEqual(layoutFor(terminal, {}), { columns: 132, colours: true });
    assert.deepEqual(layoutFor(terminal, { COLUMNS: '90', NO_COLOR: '1' }), { columns: 90, colours: false });
    assert.deepEqual(layoutFor(terminal, { TERM: 'dumb' }), { columns: 132, colours: false });
    assert.deepEqual(layoutFor(pipe, {}), { columns: 100, colours: false });
    assert.deepEqual(layoutFor(pipe, { FORCE_COLOR: '1', COLUMNS: 'x' }), { columns: 100, colours: true });
    assert.equal(layoutFor(terminal, { COLUMNS: '5' }).columns, 60);
  });
});
