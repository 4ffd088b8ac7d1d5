/**
 * `path-run.js WHAT VISITS`: the packet path without system calls. Prints nanoseconds per packet, or for `collections` how
 * many there were in a million packets. For `deoptimizations`, run with `--trace-deopt`, the trace itself is the answer,
 * between the deoptimizations of two functions of ours that are made to fail: see `path.ts`.
 */
import { PerformanceObserver, performance } from 'node:perf_hooks';
import { setImmediate as later } from 'node:timers/promises';
import { FRAME_PACKETS_MAX } from '#tapster/graph/node.js';
import { PathEngine } from './path-engine.ts';
import { NodePath, type Visit } from './path-nodes.ts';

const BATCHES = 20;
const COLLECTION_PACKETS = 1_000_000;

const [what = '', visitsText = ''] = process.argv.slice(2);
const visits = Number(visitsText);
if (what === 'collections') await countCollections();
else if (what === 'deoptimizations') traceDeoptimizations();
else process.stdout.write(`${measure(makeVisit(what))}\n`);

function makeVisit(name: string): Visit {
  if (name === 'udp-out' || name === 'tcp-out') {
    const engine = new PathEngine();
    return name === 'udp-out' ? () => engine.turnOfDatagrams() : () => engine.turnOfSegments();
  }
  const path = new NodePath();
  if (name === 'graph') return () => path.runGraph();
  const node = path.nodes.find((each) => each.name === name);
  if (node === undefined) throw new Error(`there is no ${name} here`);
  return path.visitOf(node);
}

/** The best of several batches: what is above it was somebody else's work. */
function measure(visit: Visit): number {
  const each = Math.ceil(visits / BATCHES);
  for (let i = 0; i < visits / 4; i++) visit();
  let leastMs = Number.POSITIVE_INFINITY;
  for (let batch = 0; batch < BATCHES; batch++) {
    const startMs = performance.now();
    for (let i = 0; i < each; i++) visit();
    leastMs = Math.min(leastMs, performance.now() - startMs);
  }
  return (leastMs * 1e6) / each / FRAME_PACKETS_MAX;
}

async function countCollections(): Promise<void> {
  const path = new NodePath();
  const engine = new PathEngine();
  const round = (): void => {
    path.runGraph();
    engine.turnOfDatagrams();
    engine.turnOfSegments();
  };
  for (let i = 0; i < visits; i++) round();
  gc?.();
  const times: number[] = [];
  const observer = new PerformanceObserver((list) => {
    for (const { startTime } of list.getEntries()) times.push(startTime);
  });
  observer.observe({ entryTypes: ['gc'] });
  await later();
  const startMs = performance.now();
  const rounds = visits < 1000 ? visits : COLLECTION_PACKETS / FRAME_PACKETS_MAX / 3;
  for (let i = 0; i < rounds; i++) round();
  const endMs = performance.now();
  // A collection that must be seen: otherwise nothing is known.
  gc?.();
  await later();
  await later();
  if (!times.some((at) => at >= endMs)) throw new Error('collections are not seen: is --expose-gc given?');
  process.stdout.write(`${times.filter((at) => at >= startMs && at < endMs).length}\n`);
}

function traceDeoptimizations(): void {
  const path = new NodePath();
  const engine = new PathEngine();
  const round = (): void => {
    path.runGraph();
    engine.turnOfDatagrams();
    engine.turnOfSegments();
  };
  for (let i = 0; i < visits; i++) round();
  deoptimize(markWarm);
  for (let i = 0; i < visits; i++) round();
  deoptimize(markEnd);
}

/** Has a function compiled for integers and calls it with text: the trace says so, with its name. */
function deoptimize(mark: (a: number, b: number) => number): void {
  const untilMs = performance.now() + 150;
  let sum = 0;
  while (performance.now() < untilMs) {
    for (let i = 0; i < 10_000; i++) sum = (sum + mark(i, sum)) | 0;
  }
  mark('a' as unknown as number, sum);
}

function markWarm(a: number, b: number): number {
  let sum = 0;
  for (let i = 0; i < 50; i++) sum = (sum + a * b + i) | 0;
  return sum;
}

function markEnd(a: number, b: number): number {
  let sum = 1;
  for (let i = 0; i < 50; i++) sum = (sum + a * b - i) | 0;
  return sum;
}
