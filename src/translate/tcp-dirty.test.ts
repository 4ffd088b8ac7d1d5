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

  it('are parked until their link takes frames again, or they are served by another', () => {
    const columns = new TcpColumns(4);
    const dirty = new DirtyFlows(columns);
    dirty.park(0, DIRTY.QUEUED | DIRTY.PULL, 7);
    dirty.park(0, DIRTY.ACK, 7);
    dirty.park(1, DIRTY.PULL, 8);
    dirty.park(2, DIRTY.ACK, 7);
    dirty.park(3, DIRTY.ACK, 7);
    dirty.clear(2);
    assert.equal(dirty.unpark(3), DIRTY.ACK | DIRTY.RESUMED);
    assert.equal(dirty.unpark(3), 0);
    assert.equal(dirty.count, 0);
    dirty.resume(7);
    assert.deepEqual([...dirty.list.subarray(0, dirty.count)], [0]);
    assert.equal(columns.dirty[0], DIRTY.QUEUED | DIRTY.RESUMED | DIRTY.PULL | DIRTY.ACK);
    dirty.resume(8);
    assert.deepEqual([...dirty.list.subarray(0, dirty.count)], [0, 1]);
  });

  it('never outgrow the places for parked ones', () => {
    const dirty = new DirtyFlows(new TcpColumns(4));
    for (let round = 0; round < 10; round++) {
      for (let flow = 0; flow < 4; flow++) dirty.park(flow, DIRTY.PULL, flow & 1);
      if ((round & 1) === 0) for (let flow = 0; flow < 4; flow++) dirty.unpark(flow);
    }
    dirty.resume(0);
    dirty.resume(1);
    assert.deepEqual([...dirty.list.subarray(0, dirty.count)].sort(), [0, 1, 2, 3]);
  });
});
