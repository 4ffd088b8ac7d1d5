import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { it } from 'node:test';
import { ctlReference } from './reference.ts';

const PAGE = new URL('../../../docs/ctl.md', import.meta.url);

it('docs/ctl.md is what the grammar says (node dist/cli/ctl/write-reference.js writes it)', () => {
  assert.equal(readFileSync(PAGE, 'utf8'), ctlReference());
});
