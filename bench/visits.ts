/** Measuring something that is done again and again, without ever waiting. */
import { PerformanceObserver, performance } from 'node:perf_hooks';
import { setImmediate as later } from 'node:timers/promises';

const BATCHES = 20;

/** Milliseconds for each visit in the best of several batches: what is above it was somebody else's work. */
export function bestMs(visit: () => void, visits: number): number {
  const each = Math.ceil(visits / BATCHES);
  for (let i = 0; i < visits / 4; i++) visit();
  let leastMs = Number.POSITIVE_INFINITY;
  for (let batch = 0; batch < BATCHES; batch++) {
    const startMs = performance.now();
    for (let i = 0; i < each; i++) visit();
    leastMs = Math.min(leastMs, performance.now() - startMs);
  }
  return leastMs / each;
}

/** Garbage collections during so many visits, behind others that warm up. Needs `--expose-gc`. */
export async function countCollections(visit: () => void, warmUp: number, visits: number): Promise<number> {
  for (let i = 0; i < warmUp; i++) visit();
  gc?.();
  const times: number[] = [];
  const observer = new PerformanceObserver((list) => {
    for (const { startTime } of list.getEntries()) times.push(startTime);
  });
  observer.observe({ entryTypes: ['gc'] });
  await later();
  const startMs = performance.now();
  for (let i = 0; i < visits; i++) visit();
  const endMs = performance.now();
  // A collection that must be seen: otherwise nothing is known.
  gc?.();
  await later();
  await later();
  if (!times.some((at) => at >= endMs)) throw new Error('collections are not seen: is --expose-gc given?');
  return times.filter((at) => at >= startMs && at < endMs).length;
}
