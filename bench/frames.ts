/** Small frames from one TAP device to another, through the graph and through a C program that does nothing in between. */
import { fileURLToPath } from 'node:url';
import type { Benchmark, Case, Measurement } from './harness.ts';
import { complaint, start } from './process.ts';
import type { Settings } from './settings.ts';

const OF_C = 0.9;
const LIMIT_MS = 60_000;
const RUN: string = fileURLToPath(new URL('./frames-run.js', import.meta.url));
const C = 'C reference';

/** How much of the graph is between. */
const DEPTHS = { ethernet: 'Ethernet', ip4: 'Ethernet and IPv4' } as const;

export function framesBenchmark({ fills }: Settings): Benchmark {
  const cases = Object.entries(DEPTHS).map(
    ([depth, name]): Case => ({
      name: `64 bytes, ${name}`,
      unit: 'Mpps',
      better: 'more',
      reference: C,
      candidates: [
        { name: C, measure: () => measure('c', fills) },
        { name: 'tapster', measure: () => measure(depth, fills) },
      ],
      goals: [{ candidate: 'tapster', against: [C], limit: OF_C }],
    }),
  );
  return { name: 'frames', question: 'How many frames go from one TAP device to another?', cases };
}

async function measure(what: string, fills: number): Promise<Measurement> {
  const words = ['unshare', '--user', '--map-root-user', '--net', process.execPath, RUN, what, String(fills)];
  const outcome = await start(words, LIMIT_MS).ended;
  const [frames = 0, nanoseconds = 0] = outcome.stdout.trim().split(' ').map(Number);
  if (outcome.status !== 0 || !(frames > 0)) return { failed: complaint(outcome, LIMIT_MS) };
  return { value: (frames / nanoseconds) * 1000 };
}
