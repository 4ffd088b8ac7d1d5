/** The search for the smallest input that still fails: parts left out, then bytes left out, then bytes made zero. */
import { concatenate, type FuzzTarget } from './target.ts';

/** What `fails` is asked at most: an input of many frames takes its time. */
const TRIALS_MAX = 4000;
const MILLISECONDS_MAX = 10_000;

export function minimise(target: FuzzTarget, input: Uint8Array, fails: (candidate: Uint8Array) => boolean): Uint8Array {
  const until = performance.now() + MILLISECONDS_MAX;
  let trials = TRIALS_MAX;
  const check = (candidate: Uint8Array): boolean => trials-- > 0 && performance.now() < until && fails(candidate);
  const { split, join } = target;
  let smallest = input;
  if (split !== undefined && join !== undefined) {
    const parts = reduce(split.call(target, smallest), (left) => check(join.call(target, left)));
    for (let i = 0; i < parts.length; i++) {
      parts[i] = reduceBytes(parts[i]!, (part) => check(join.call(target, parts.with(i, part))));
    }
    smallest = join.call(target, parts);
    return check(smallest) ? smallest : input;
  }
  smallest = reduceBytes(smallest, check);
  return smallest;
}

function reduceBytes(bytes: Uint8Array, fails: (candidate: Uint8Array) => boolean): Uint8Array {
  const units = Array.from(bytes, (byte) => Uint8Array.of(byte));
  const left = concatenate(reduce(units, (some) => fails(concatenate(some))));
  for (let at = 0; at < left.length; at++) {
    if (left[at] === 0) continue;
    const zeroed = left.slice();
    zeroed[at] = 0;
    if (fails(zeroed)) left[at] = 0;
  }
  return left;
}

/** Leaves out runs of units, half of them first, then ever shorter ones, as long as what is left fails. */
function reduce(units: readonly Uint8Array[], fails: (left: Uint8Array[]) => boolean): Uint8Array[] {
  let left = [...units];
  for (let run = Math.ceil(left.length / 2); run >= 1; run = run === 1 ? 0 : Math.ceil(run / 2)) {
    for (let at = 0; at < left.length; ) {
      const candidate = left.toSpliced(at, run);
      if (fails(candidate)) left = candidate;
      else at += run;
    }
  }
  return left;
}
