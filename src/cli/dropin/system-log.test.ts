import assert from 'node:assert/strict';
import { it } from 'node:test';
import { systemLogLine } from './system-log.ts';

it('a line for the system log says how serious it is, when, and who says it', () => {
  const now = new Date(2026, 10, 3, 4, 5, 6);
  assert.equal(systemLogLine('pasta', 42, 'info', 'hello', now), '<30>Nov  3 04:05:06 pasta[42]: hello');
  assert.equal(systemLogLine('passt', 7, 'error', 'no', now), '<27>Nov  3 04:05:06 passt[7]: no');
});
