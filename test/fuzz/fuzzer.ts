/**
 * The loop: takes an input that was interesting, or makes one, mutates it, runs it, and keeps it when it reached code that none had reached.
 *
 * Everything is drawn from one seed. Without coverage the corpus and fresh inputs are all that mutation starts from. Coverage is asked once for a batch, and only when that has
 * reached something new for each input of it again: asking takes longer than running.
 */
import { Random } from '#tapster/base/random.js';
import type { Coverage } from './coverage.ts';
import { minimise } from './minimise.ts';
import { mutate } from './mutate.ts';
import type { FuzzTarget } from './target.ts';

export interface FuzzOptions {
  readonly seed: number;
  readonly milliseconds: number;
  /** Stops there, too. */
  readonly executionsMax: number;
  readonly corpus: readonly Uint8Array[];
  readonly coverage: Coverage | undefined;
}

export interface Failure {
  /** The smallest input that was found to fail in the same way. */
  readonly input: Uint8Array;
  readonly error: Error;
}

export interface FuzzReport {
  readonly executions: number;
  readonly milliseconds: number;
  /** Inputs that reached something new. */
  readonly kept: readonly Uint8Array[];
  readonly failure: Failure | undefined;
}

const BATCH = 64;
/** How many of the inputs are made afresh. */
const FRESH = 0.25;
const POOL_MAX = 2000;

export async function fuzz(target: FuzzTarget, options: FuzzOptions): Promise<FuzzReport> {
  const { coverage, milliseconds, executionsMax } = options;
  const random = new Random(options.seed);
  const pool = [...options.corpus];
  const kept: Uint8Array[] = [];
  const started = performance.now();
  const report = (executions: number, failure?: Failure): FuzzReport => ({
    executions,
    milliseconds: performance.now() - started,
    kept,
    failure,
  });
  let executions = 0;
  for (const input of options.corpus) {
    const error = await attempt(target, input);
    if (error !== undefined) return report(executions, await shrink(target, input, error));
    executions++;
  }
  coverage?.take();
  while (executions < executionsMax && performance.now() - started < milliseconds) {
    const batch: Uint8Array[] = [];
    while (batch.length < BATCH && executions < executionsMax && performance.now() - started < milliseconds) {
      const input = next(target, pool, random);
      const error = await attempt(target, input);
      executions++;
      if (error !== undefined) return report(executions, await shrink(target, input, error));
      batch.push(input);
    }
    if (coverage === undefined) continue;
    const fresh = coverage.take();
    if (fresh.size === 0) continue;
    const found = await coverage.attribute(fresh, batch, (input) => target.run(input));
    kept.push(...found);
    pool.push(...found);
    if (pool.length > POOL_MAX) pool.splice(0, pool.length - POOL_MAX);
  }
  return report(executions);
}

/** Runs one input. Returns what was wrong, if anything was. */
export async function attempt(target: FuzzTarget, input: Uint8Array): Promise<Error | undefined> {
  try {
    const started = performance.now();
    await target.run(input);
    if (performance.now() - started <= target.millisecondsMax) return undefined;
    // A busy machine takes its time; a slow input takes the processor's, each time.
    const least = Math.min(await processorTime(target, input), await processorTime(target, input));
    if (least <= target.millisecondsMax) return undefined;
    return new Error(
      `took ${Math.round(least)} ms for ${input.length} bytes; ${target.millisecondsMax} ms are allowed`,
    );
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

/** In milliseconds, of all threads: collecting garbage counts. */
async function processorTime(target: FuzzTarget, input: Uint8Array): Promise<number> {
  const started = process.cpuUsage();
  await target.run(input);
  const { user, system } = process.cpuUsage(started);
  return (user + system) / 1000;
}

function next(target: FuzzTarget, pool: readonly Uint8Array[], random: Random): Uint8Array {
  if (pool.length === 0 || random.chance(FRESH)) {
    const fresh = target.generate(random).subarray(0, target.bytesMax);
    return random.chance(0.5) ? fresh : mutate(target, fresh, fresh, random);
  }
  // The newest are the least explored.
  const newest = Math.max(0, pool.length - 20);
  const chosen = random.chance(0.5) ? random.between(newest, pool.length - 1) : random.below(pool.length);
  return mutate(target, pool[chosen]!, pool[random.below(pool.length)]!, random);
}

async function shrink(target: FuzzTarget, input: Uint8Array, error: Error): Promise<Failure> {
  const kind = kindOf(error);
  const smallest = await minimise(target, input, async (candidate) => {
    const other = await attempt(target, candidate);
    return other !== undefined && kindOf(other) === kind;
  });
  return { input: smallest, error: (await attempt(target, smallest)) ?? error };
}

/** Two failures are the same when they say the same, but for numbers. */
function kindOf(error: Error): string {
  return error.message.replace(/-?\d+/g, '#').slice(0, 80);
}
