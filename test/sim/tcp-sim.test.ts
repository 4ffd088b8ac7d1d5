/**
 * TCP through the whole engine in simulated worlds, each from one seed. To see one again:
 *
 *     TAPSTER_SEED=17 node --test dist/test/sim/tcp-sim.test.js
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { World } from './world.ts';

const SEEDS = 50;

const chosen = process.env['TAPSTER_SEED'];
const first = Number(chosen ?? 1);
const last = chosen === undefined ? Number(process.env['TAPSTER_SEEDS'] ?? SEEDS) : first;

describe('tcp in simulated worlds', () => {
  for (let seed = first; seed <= last; seed++) {
    it(`carries every byte once and in order, or resets (TAPSTER_SEED=${seed})`, () => {
      const world = new World({ seed });
      world.run();
      assert.deepEqual(world.problems(), [], JSON.stringify(world.plan));
      assert.deepEqual(world.close(), []);
    });
  }
});
