import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { availableRingBytes, descriptorTableBytes, isEventDue, isQueueSize, usedRingBytes } from './split-ring.ts';

test('the parts have the sizes of the specification', () => {
  assert.deepEqual([descriptorTableBytes(256), availableRingBytes(256), usedRingBytes(256)], [4096, 518, 2054]);
});

test('sizes are powers of two within bounds', () => {
  const sizes = [1, 2, 256, 32_768];
  assert.ok(sizes.every(isQueueSize));
  assert.ok(![0, -1, 3, 255, 65_536, 1.5, Number.NaN].some(isQueueSize));
});

test('an event is due when the index passes the entry that was asked for', () => {
  const uint16 = fc.nat(0xffff);
  fc.assert(
    fc.property(uint16, fc.nat(0x7fff), uint16, (before, moved, event) => {
      // Walks the indexes one by one, as the specification puts it.
      let due = false;
      for (let step = 0; step < moved; step++) due ||= ((before + step) & 0xffff) === event;
      assert.equal(isEventDue(event, before, (before + moved) & 0xffff), due);
    }),
  );
});
