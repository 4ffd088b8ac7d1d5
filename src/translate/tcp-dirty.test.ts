import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DIRTY, TcpColumns } from './tcp-columns.ts';
import { DirtyFlows } from './tcp-dirty.ts';

describe('flows that owe something', () => {
  it('stand in the list once, whatever they owe', () => {
    const columns = new TcpColumns(4);
    const dirty = new DirtyFlows(columns);
    dirty.mark(2, DIRTY.ACK);
    dirty.mark(0, DIRTY.PULL);
    dirty.mark(2, DIRTY.WRITE);
    assert.deepEqual([...dirty.list.subarray(0, dirty.count)], [2, 0]);
    assert.equal(columns.dirty[2], DIRTY.QUEUED | DIRTY.ACK | DIRTY.WRITE);
  });

  it('never outgrow the list: all of them can come again while all are served, and numbers can be reused', () => {
    const columns = new TcpColumns(4);
    const dirty = new DirtyFlows(columns);
    for (let round = 0; round < 10; round++) {
      for (let flow = 0; flow < 4; flow++) {
        dirty.mark(flow, DIRTY.PULL);
        dirty.clear(flow);
        columns.reset(flow, 1, 0, 536);
        dirty.mark(flow, DIRTY.ACK);
      }
      const { count } = dirty;
      assert.equal(count, 4);
      const served = dirty.take();
      for (let i = 0; i < count; i++) {
        assert.equal(columns.dirty[served[i]], DIRTY.QUEUED | DIRTY.ACK);
        columns.dirty[served[i]] = 0;
        dirty.mark(served[i], DIRTY.PULL);
      }
    }
  });
});
