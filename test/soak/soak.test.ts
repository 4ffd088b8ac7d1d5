/** A soak of ten seconds, so that it can't rot; `npm run soak -- --minutes 10` is the real one. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { whyNoInternet } from '../support/netns/internet.ts';
import { lacking } from '../support/netns/programs.ts';
import { soak } from './soak.ts';

const MINUTES = 0.2;

describe('mixed traffic', () => {
  it('is carried byte by byte, and leaves memory and descriptors as they were', {
    skip: whyNoInternet() ?? lacking('ping'),
  }, async () => {
    const lines: string[] = [];
    const problems = await soak({ minutes: MINUTES, user: 'user', say: (line) => lines.push(line) });
    assert.deepEqual(problems, [], lines.join('\n'));
  });
});
