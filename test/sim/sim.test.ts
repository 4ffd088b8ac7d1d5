/**
 * The whole engine in simulated worlds, each from one seed (see `world.ts`). More of them: `npm run sim -- --seeds 2000`. To see one again:
 *
 *     npm run sim -- --seed 17
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { World } from './world.ts';
import { CANARIES } from './world-sys.ts';

const SEEDS = 200;
/** Most show in the first world; a reset that was none needs one that somebody resets in the middle. */
const CANARY_SEEDS = 60;

describe('simulated worlds', () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    it(`carry every byte once and in order, or reset, and leave nothing behind (npm run sim -- --seed ${seed})`, () => {
      const world = new World({ seed });
      world.run();
      assert.deepEqual(world.problems(), [], JSON.stringify(world.plan));
      assert.deepEqual(world.close(), []);
    });
  }
});

describe('a world with a bug on purpose', () => {
  for (const canary of CANARIES) {
    it(`is found out: ${canary}`, () => {
      const isFound = (seed: number): boolean => {
        const world = new World({ seed, canary, plan: { resets: 8 } });
        world.run();
        return world.problems().length > 0 || world.close().length > 0;
      };
      assert.ok(Array.from({ length: CANARY_SEEDS }, (_, i) => i + 1).some(isFound));
    });
  }

  it('is the same world each time', () => {
    const [first, second] = [new World({ seed: 3 }), new World({ seed: 3 })];
    first.run();
    second.run();
    assert.deepEqual([first.turns, first.sys.clock.nowUs], [second.turns, second.sys.clock.nowUs]);
  });
});
