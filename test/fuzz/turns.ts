/** Turns of an engine on a simulated host, and time that passes there. */
import assert from 'node:assert/strict';
import type { Engine } from '#tapster/engine/engine.js';
import { PollSet } from '#tapster/sys/simulated/poll.js';
import type { SimulatedSys } from '#tapster/sys/simulated.js';

const TURNS_MAX = 20_000;

/** Turns until there is nothing to do at this moment. */
export function settle(sys: SimulatedSys, engine: Engine, afterTurn: () => void): void {
  const poll = sys.descriptor(engine.poll);
  assert.ok(poll instanceof PollSet);
  for (let turns = 0; turns < TURNS_MAX; turns++) {
    sys.advance(0);
    const more = engine.turn();
    afterTurn();
    if (!more && poll.readiness() === 0 && sys.clock.nextUs() > sys.nowUs()) return;
  }
  assert.fail('the engine has always more to do');
}

/** Lets time pass, with turns wherever something happens. */
export function wait(sys: SimulatedSys, engine: Engine, us: number, afterTurn: () => void): void {
  const until = sys.nowUs() + us;
  settle(sys, engine, afterTurn);
  while (sys.clock.nextUs() <= until) {
    sys.advance(sys.clock.nextUs() - sys.nowUs());
    settle(sys, engine, afterTurn);
  }
  sys.advance(until - sys.nowUs());
  settle(sys, engine, afterTurn);
}
