import assert from 'node:assert/strict';
import { closeSync, openSync } from 'node:fs';
import { describe, it } from 'node:test';
import { descriptorLimit, openDescriptors } from './descriptor-limit.ts';

describe('descriptors', () => {
  it('are counted', () => {
    const before = openDescriptors();
    const opened = Array.from({ length: 20 }, () => openSync('/dev/null', 'r'));
    assert.equal(openDescriptors(), before + 20);
    for (const fd of opened) closeSync(fd);
    assert.equal(openDescriptors(), before);
  });

  it('have a limit, which is never lowered', () => {
    const limit = descriptorLimit();
    assert.ok(limit > 20);
    assert.equal(descriptorLimit(10), limit);
    assert.ok(descriptorLimit(limit + 1) >= limit);
  });
});
