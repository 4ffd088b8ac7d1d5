import assert from 'node:assert/strict';
import { it } from 'node:test';
import { EMPTY_CONFIG } from './empty-config.ts';
import { parseConfig } from './parse-config.ts';
import { plan } from './plan.ts';

it('an engine without anything is what an empty file says', () => {
  const parsed = parseConfig('');
  assert.ok(parsed.ok);
  assert.deepEqual(plan(EMPTY_CONFIG, parsed.value), []);
  assert.deepEqual(JSON.parse(JSON.stringify(parsed.value)), JSON.parse(JSON.stringify(EMPTY_CONFIG)));
});
