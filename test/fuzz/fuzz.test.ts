/**
 * A short fuzz of every target, 20 s in all, and the corpus. The dice are the same each time, so that a change is judged and not luck: new ones are thrown by `npm run fuzz`, and
 * `TAPSTER_FUZZ_SEED` has others here. A failing input is printed with the command that needs no dice.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readCorpus, toHex } from './corpus.ts';
import { attempt, fuzz } from './fuzzer.ts';
import { parseSettings, type Settings } from './settings.ts';
import { canaryTarget } from './targets/canary.ts';
import { forwardingCanaryTarget } from './targets/forwarding.ts';
import { virtqueueCanaryTarget } from './targets/virtqueue.ts';
import { TARGETS } from './targets.ts';

const ALL_MS = 20_000;
/** Found within seconds, on a machine that has nothing else to do. */
const CANARY_MS = 100_000;
const seed = Number(process.env['TAPSTER_FUZZ_SEED'] ?? 1);

describe(`fuzzing with seed ${seed}`, () => {
  for (const target of TARGETS) {
    it(target.name, async () => {
      for (const { name, input } of readCorpus(target.name)) {
        assert.equal((await attempt(target, input))?.stack, undefined, `test/fuzz/corpus/${target.name}/${name}`);
      }
      const corpus = readCorpus(target.name).map(({ input }) => input);
      const milliseconds = ALL_MS / TARGETS.length;
      const { failure, executions } = await fuzz(target, {
        seed,
        milliseconds,
        executionsMax: 100_000,
        corpus,
        coverage: undefined,
      });
      const again = failure && `npm run fuzz -- ${target.name} --input=${toHex(failure.input)}`;
      assert.equal(failure?.error.stack, undefined, again);
      assert.ok(executions > 0);
    });
  }
});

describe('the canary', () => {
  const options = { seed, milliseconds: CANARY_MS, executionsMax: 1_000_000, corpus: [], coverage: undefined };

  it('is found, and made small', async () => {
    const { failure } = await fuzz(canaryTarget(true), options);
    assert.ok(failure !== undefined, `with seed ${seed} the planted bug is not found`);
    // A magic, a count, a byte, and few options, the last of them option 9 with a length that is not there.
    assert.match(toHex(failure.input), /^7a0[1-3]00.{0,28}09..$/);
    assert.ok((await attempt(canaryTarget(true), failure.input)) !== undefined, 'and fails again');
  });

  it('is found in a running network', async () => {
    const { failure } = await fuzz(forwardingCanaryTarget, options);
    assert.match(String(failure?.error.message), /a station is behind a member of its bridge/);
  });

  it('is found in virtqueues', async () => {
    const { failure } = await fuzz(virtqueueCanaryTarget, options);
    assert.ok(failure !== undefined, `with seed ${seed} the planted bug is not found`);
  });

  it('is silent without the bug', async () => {
    const { failure } = await fuzz(canaryTarget(false), { ...options, milliseconds: 500 });
    assert.equal(failure, undefined);
  });

  it('is found with the same input by the same seed', async () => {
    const first = await fuzz(canaryTarget(true), options);
    const second = await fuzz(canaryTarget(true), options);
    assert.equal(first.executions, second.executions);
    assert.deepEqual(first.failure?.input, second.failure?.input);
  });
});

describe('the words of npm run fuzz', () => {
  it('are targets and options', () => {
    const settings = parseSettings(['dns', '--seconds', '5', '--seed=7', '--frames', '100', '--guided']) as Settings;
    assert.deepEqual(settings.targets, ['dns']);
    assert.deepEqual([settings.seconds, settings.seed, settings.inputsMax, settings.guided], [5, 7, 100, true]);
  });

  it('are refused with the usage', () => {
    assert.match(String(parseSettings(['--secnods', '5'])), /--secnods is no option/);
    assert.match(String(parseSettings(['--seed', 'x'])), /--seed "x" is no number/);
  });
});
