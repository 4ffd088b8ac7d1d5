import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatDuration, parseDurationMs } from './duration.ts';

test('durations are a number and a unit, and nothing else', () => {
  assert.equal(parseDurationMs('300s'), 300_000);
  assert.equal(parseDurationMs('1.5h'), 5_400_000);
  for (const text of ['', '300', 's', '-1s', '1e3s', '1 s', '1s ', '.5s'])
    assert.equal(parseDurationMs(text), undefined);
});

test('what is written is read again', () => {
  fc.assert(fc.property(fc.nat(), (ms) => assert.equal(parseDurationMs(formatDuration(ms)), ms)));
  assert.equal(formatDuration(300_000), '5m');
  assert.equal(formatDuration(0), '0ms');
});
