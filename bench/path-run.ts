/**
 * `path-run.js WHAT VISITS`: the packet path without system calls. Prints nanoseconds per packet, or for `collections` how
 * many there were in a million packets. For `deoptimizations`, run with `--trace-deopt`, the trace itself is the answer,
 * between the deoptimizations of two functions of ours that are made to fail: see `path.ts`.
 */
import { performance } from 'node:perf_hooks';
import { FRAME_PACKETS_MAX } from '#tapster/graph/node.js';
import { PathEngine } from './path-engine.ts';
import { NodePath, type Visit } from './path-nodes.ts';
import { bestMs, countCollections } from './visits.ts';

const COLLECTION_PACKETS = 1_000_000;

const [what = '', visitsText = ''] = process.argv.slice(2);
const visits = Number(visitsText);
if (what === 'collections') await printCollections();
else if (what === 'deoptimizations') traceDeoptimizations();
else process.stdout.write(`${(bestMs(makeVisit(what), visits) * 1e6) / FRAME_PACKETS_MAX}\n`);

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

async function printCollections(): Promise<void> {
  const rounds = visits < 1000 ? visits : COLLECTION_PACKETS / FRAME_PACKETS_MAX / 3;
  process.stdout.write(`${await countCollections(makeRound(), visits, rounds)}\n`);
}

function traceDeoptimizations(): void {
  const round = makeRound();
  for (let i = 0; i < visits; i++) round();
  deoptimize(markWarm);
  for (let i = 0; i < visits; i++) round();
  deoptimize(markEnd);
}

function makeRound(): Visit {
  const path = new NodePath();
  const engine = new PathEngine();
  return () => {
    path.runGraph();
    engine.turnOfDatagrams();
    engine.turnOfSegments();
  };
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
