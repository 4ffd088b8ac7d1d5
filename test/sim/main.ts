/**
 * Runs worlds for `scripts/sim.mjs`: `main.js FROM TO [STEP] [--canary NAME]` runs the seeds FROM, FROM + STEP, ... below TO and prints one JSON line for each that
 * failed, and one at the end.
 */

import { World } from './world.ts';
import { CANARIES, type Canary } from './world-sys.ts';

const [from = '1', to = '2', step = '1', ...rest] = process.argv.slice(2);
const canary = rest[0] === '--canary' ? (rest[1] as Canary) : undefined;
if (canary !== undefined && !CANARIES.includes(canary)) throw new Error(`no canary ${canary}: ${CANARIES.join(', ')}`);

let turns = 0;
let worlds = 0;
for (let seed = Number(from); seed < Number(to); seed += Number(step)) {
  const { problems, plan, turns: spent } = runWorld(seed);
  turns += spent;
  worlds++;
  if (problems.length > 0) console.log(JSON.stringify({ seed, problems: problems.slice(0, 10), plan }));
}
console.log(JSON.stringify({ worlds, turns }));

function runWorld(seed: number): { problems: string[]; plan: unknown; turns: number } {
  const world = new World({ seed, ...(canary === undefined ? {} : { canary }) });
  try {
    world.run();
    const problems = world.problems();
    const left = problems.length > 0 ? [] : world.close().map((open) => `left open: ${open}`);
    return { problems: [...problems, ...left], plan: world.plan, turns: world.turns };
  } catch (error) {
    return { problems: [String((error as Error).stack)], plan: world.plan, turns: world.turns };
  }
}
