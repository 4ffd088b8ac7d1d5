/** The packet path alone, without system calls: time, garbage collections, deoptimizations. */
import { fileURLToPath } from 'node:url';
import type { Benchmark, Case, Measurement } from './harness.ts';
import { complaint, start } from './process.ts';
import type { Settings } from './settings.ts';

const LIMIT_MS = 120_000;
const ETHERNET_IP4_FLOW_NS = 60;
const RUN: string = fileURLToPath(new URL('./path-run.js', import.meta.url));
const OURS = 'tapster';

/** What `path-run.ts` can measure in nanoseconds for each packet. */
const STRETCHES = {
  'ethernet-input': 'ethernet-input',
  'ip4-input': 'ip4-input',
  'ip6-input': 'ip6-input',
  'udp-input': 'flow look-up, among 10000',
  graph: 'Ethernet, IPv4 and flow look-up, through the graph',
  'udp-out': 'a whole turn, UDP out',
  'tcp-out': 'a whole turn, TCP out',
} as const;

export function pathBenchmark({ visits }: Settings): Benchmark {
  const cases: Case[] = Object.entries(STRETCHES).map(([what, name]) => ({
    name,
    unit: 'ns per packet',
    better: 'less',
    candidates: [{ name: OURS, measure: () => measureTime(what, visits) }],
    goals: what === 'graph' ? [{ candidate: OURS, against: [], limit: ETHERNET_IP4_FLOW_NS }] : [],
  }));
  cases.push(
    countCase('garbage collections in 1,000,000 packets', () => countCollections(visits)),
    countCase('deoptimizations after warm-up', () => countDeoptimizations(visits)),
  );
  return { name: 'path', question: 'What does the packet path cost without system calls?', cases };
}

function countCase(name: string, measure: () => Promise<Measurement>): Case {
  const goals = [{ candidate: OURS, against: [], limit: 0, everyRound: true as const }];
  return { name, unit: 'times', better: 'less', roundsMax: 3, candidates: [{ name: OURS, measure }], goals };
}

async function measureTime(what: string, visits: number): Promise<Measurement> {
  const outcome = await start([process.execPath, RUN, what, String(visits)], LIMIT_MS).ended;
  const value = Number(outcome.stdout);
  return outcome.status === 0 && value > 0 ? { value } : { failed: complaint(outcome, LIMIT_MS) };
}

async function countCollections(visits: number): Promise<Measurement> {
  const words = [process.execPath, '--expose-gc', RUN, 'collections', String(visits / 4)];
  const outcome = await start(words, LIMIT_MS).ended;
  return outcome.status === 0 ? { value: Number(outcome.stdout) } : { failed: complaint(outcome, LIMIT_MS) };
}

/** What `path-run.ts` has around the path: loops that end are left by functions that were compiled for going on. */
const OF_THE_BENCHMARK: readonly string[] = ['markWarm', 'deoptimize', 'traceDeoptimizations'];

/** V8 writes a line for each, with the function's name. */
async function countDeoptimizations(visits: number): Promise<Measurement> {
  const words = [process.execPath, '--trace-deopt', RUN, 'deoptimizations', String(visits / 4)];
  const outcome = await start(words, LIMIT_MS).ended;
  const names = deoptimizedFunctions(outcome.stdout);
  const from = names.indexOf('markWarm');
  const to = names.indexOf('markEnd', from);
  if (outcome.status !== 0) return { failed: complaint(outcome, LIMIT_MS) };
  if (from < 0 || to < 0) return { failed: 'the deoptimizations that must happen were not seen' };
  return { value: names.slice(from, to).filter((name) => !OF_THE_BENCHMARK.includes(name)).length };
}

/** Of `[bailout (kind: deopt-eager, reason: ...): begin. deoptimizing 0x... <JSFunction NAME (sfi = ...)>, ...]`. */
export function deoptimizedFunctions(trace: string): string[] {
  return [...trace.matchAll(/begin\. deoptimizing 0x[0-9a-f]+ <JSFunction ([^ >]*)/g)].map(([, name = '']) => name);
}
