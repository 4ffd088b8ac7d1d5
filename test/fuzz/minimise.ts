/** The search for the smallest input that still fails: parts left out, then bytes left out, then bytes made zero. */
import { concatenate, type FuzzTarget } from './target.ts';

/** What `fails` is asked at most: an input of many frames takes its time. */
const TRIALS_MAX = 4000;
const MILLISECONDS_MAX = 10_000;

type Fails<T> = (candidate: T) => Promise<boolean>;

export async function minimise(target: FuzzTarget, input: Uint8Array, fails: Fails<Uint8Array>): Promise<Uint8Array> {
  const until = performance.now() + MILLISECONDS_MAX;
  let trials = TRIALS_MAX;
  const check: Fails<Uint8Array> = async (candidate) =>
    trials-- > 0 && performance.now() < until && (await fails(candidate));
  const { split, join } = target;
  let smallest = input;
  if (split !== undefined && join !== undefined) {
    const parts = await reduce(split.call(target, smallest), (left) => check(join.call(target, left)));
    for (let i = 0; i < parts.length; i++) {
      parts[i] = await reduceBytes(parts[i]!, (part) => check(join.call(target, parts.with(i, part))));
    }
    smallest = join.call(target, parts);
    return (await check(smallest)) ? smallest : input;
  }
  smallest = await reduceBytes(smallest, check);
  return smallest;
}

async function reduceBytes(bytes: Uint8Array, fails: Fails<Uint8Array>): Promise<Uint8Array> {
  const units = Array.from(bytes, (byte) => Uint8Array.of(byte));
  const left = concatenate(await reduce(units, (some) => fails(concatenate(some))));
  for (let at = 0; at < left.length; at++) {
    if (left[at] === 0) continue;
    const zeroed = left.slice();
    zeroed[at] = 0;
    if (await fails(zeroed)) left[at] = 0;
  }
  return left;
}

/** Leaves out runs of units, half of them first, then ever shorter ones, as long as what is left fails. */
async function reduce(units: readonly Uint8Array[], fails: Fails<Uint8Array[]>): Promise<Uint8Array[]> {
  let left = [...units];
  for (let run = Math.ceil(left.length / 2); run >= 1; run = run === 1 ? 0 : Math.ceil(run / 2)) {
    for (let at = 0; at < left.length; ) {
      const candidate = left.toSpliced(at, run);
      if (await fails(candidate)) left = candidate;
      else at += run;
    }
  }
  return left;
}
