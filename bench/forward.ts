/** What a running network forwards between two namespaces: small frames, streams; and what a look-up costs in large tables. */
import { spawnSync } from 'node:child_process';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { compiled } from './compile.ts';
import {
  addressesInBlue,
  frameConfig,
  frameScripts,
  startEngine,
  startReference,
  streamConfig,
  type Way,
} from './forward-movers.ts';
import type { Benchmark, Case, Measurement } from './harness.ts';
import { measureStreams, UNPACED } from './iperf.ts';
import { complaint, type Program, said, start, sweep } from './process.ts';
import type { Settings } from './settings.ts';
import { BLUE_VETH_ADDRESS, inside, type TwoNamespaces, twoNamespaces } from './two-namespaces.ts';

const OF_C = 0.9;
const OF_LINUX_BRIDGE = 0.6;
const OF_ONE_WORKER = 1.6;
const OF_SMALL_TABLES = 2;

const OURS = 'tapster';
const C = 'C reference';
const LINUX_BRIDGE = 'Linux bridge';
const ONE_WORKER = 'one worker';
const SMALL_TABLES = '10 interfaces, 10 routes';
const SMALL: Tables = { interfaces: 10, routes: 10 };
const LARGE: Tables = { interfaces: 1000, routes: 100_000 };
/** Only to see that it runs. */
const LARGE_QUICK: Tables = { interfaces: 100, routes: 1000 };

const WAYS: readonly Way[] = ['bridged', 'routed'];
const LIMIT_MS = 90_000;
const MTU = 1500;
/** What the first tap's queue holds while nobody reads. */
const QUEUE_FRAMES = 4000;
/** Fills that warm the program up. */
const WARM_FILLS_MAX = 25;
/** Two that are busy, and one for everything else: below that the two share with whoever counts, and with the kernel's own work. */
const PROCESSORS_FOR_TWO_WORKERS = 3;
const TABLES: string = fileURLToPath(new URL('./forward-tables-run.js', import.meta.url));

interface Tables {
  readonly interfaces: number;
  readonly routes: number;
}

export function forwardBenchmark(settings: Settings): Benchmark {
  return {
    name: 'forward',
    question: 'How fast does a running network forward between two namespaces?',
    cases: [
      ...WAYS.map((way) => frameCase(way, settings)),
      ...WAYS.flatMap((way) => streamCases(way, settings)),
      workersCase(settings),
      ...tableCases(settings),
    ],
  };
}

/** What can't be judged here. */
export function missingForward(): readonly string[] {
  if (hasProcessorsForTwo()) return [];
  const reason = `two workers and whoever counts share ${cpus().length} processors`;
  return [`forward, two workers: the goal of ${OF_ONE_WORKER} x one is not judged, because ${reason}`];
}

function frameCase(way: Way, { fills }: Settings): Case {
  return {
    name: `64 bytes, ${way}`,
    unit: 'Mpps',
    better: 'more',
    reference: C,
    candidates: [
      { name: C, measure: () => measureFrames('bridged', fills, (pair) => startReference(pair, LIMIT_MS)) },
      {
        name: OURS,
        measure: () => measureFrames(way, fills, (pair) => startEngine(frameConfig(way, pair), pair, LIMIT_MS)),
      },
    ],
    goals: [{ candidate: OURS, against: [C], limit: OF_C }],
  };
}

/** Two queues of each tap, and so many workers. */
function workersCase({ fills }: Settings): Case {
  const measure = (placement: readonly number[]): Promise<Measurement> =>
    measureFrames('routed', fills, (pair) =>
      startEngine(frameConfig('routed', pair, { queues: 2, placement }), pair, LIMIT_MS),
    );
  return {
    name: 'two queues on two workers, 64 bytes, routed',
    unit: 'Mpps',
    better: 'more',
    reference: ONE_WORKER,
    candidates: [
      { name: ONE_WORKER, measure: () => measure([0, 0]) },
      { name: OURS, measure: () => measure([0, 1]) },
    ],
    goals: hasProcessorsForTwo() ? [{ candidate: OURS, against: [ONE_WORKER], limit: OF_ONE_WORKER }] : [],
  };
}

function hasProcessorsForTwo(): boolean {
  return cpus().length >= PROCESSORS_FOR_TWO_WORKERS;
}

/** As programs find their kernels; and, for comparison, with a congestion control that does not pace. */
function streamCases(way: Way, { amount, quick }: Settings): readonly Case[] {
  const controls = quick ? [undefined] : [undefined, UNPACED];
  return controls.map((congestionControl): Case => {
    const test = {
      direction: 'out',
      streams: 1,
      mtu: MTU,
      amount,
      ...(congestionControl && { congestionControl }),
    } as const;
    const measure = (address: string, config?: (pair: TwoNamespaces) => unknown): Promise<Measurement> =>
      measureBetween(config, (pair) =>
        measureStreams(
          {
            hostAddress: address,
            hostOwnAddress: address,
            onHost: (words) => inside(pair.blue, words),
            start: async (words, _mtu, limitMs) => start(inside(pair.red, words), limitMs),
          },
          test,
        ),
      );
    return {
      name: `TCP, ${way}, MTU ${MTU}, gso${congestionControl === undefined ? '' : `, all with ${congestionControl}`}`,
      unit: 'Gbit/s',
      better: 'more',
      reference: LINUX_BRIDGE,
      candidates: [
        { name: LINUX_BRIDGE, measure: () => measure(BLUE_VETH_ADDRESS) },
        { name: OURS, measure: () => measure(addressesInBlue(way).own, (pair) => streamConfig(way, pair)) },
      ],
      goals:
        congestionControl === undefined ? [{ candidate: OURS, against: [LINUX_BRIDGE], limit: OF_LINUX_BRIDGE }] : [],
    };
  });
}

/** Makes what moves frames, and lets `measure` do the rest. Without a configuration there is the Linux bridge. */
async function measureBetween(
  config: ((pair: TwoNamespaces) => unknown) | undefined,
  measure: (pair: TwoNamespaces) => Promise<Measurement>,
): Promise<Measurement> {
  const pair = await twoNamespaces();
  if ('failed' in pair) return pair;
  if (config === undefined) return measure(pair);
  return withMover(startEngine(config(pair), pair, LIMIT_MS), () => measure(pair));
}

async function measureFrames(way: Way, fills: number, run: (pair: TwoNamespaces) => Program): Promise<Measurement> {
  const pair = await twoNamespaces();
  if ('failed' in pair) return pair;
  const mover = run(pair);
  return withMover(mover, async () => {
    const { red, blue } = frameScripts(way);
    const problem = shell(pair.red, red) ?? shell(pair.blue, blue);
    if (problem !== undefined) return { failed: problem };
    const { station, own } = addressesInBlue(way);
    const processes = [pair.red, pair.blue, mover.child.pid!].map(String);
    const numbers = [...processes, station, own, ...[QUEUE_FRAMES, Math.min(WARM_FILLS_MAX, fills), fills].map(String)];
    const outcome = await start(inside(pair.yard, [compiled('forward-meter'), ...numbers]), LIMIT_MS).ended;
    const [frames = 0, nanoseconds = 0] = outcome.stdout.trim().split(' ').map(Number);
    if (outcome.status !== 0 || !(frames > 0)) return { failed: complaint(outcome, LIMIT_MS) };
    return { value: (frames / nanoseconds) * 1000 };
  });
}

/** Its taps go with it. */
async function withMover(mover: Program, measure: () => Promise<Measurement>): Promise<Measurement> {
  const early = await said(mover);
  const value = early === undefined ? await measure() : { failed: complaint(early, LIMIT_MS) };
  sweep(mover.child);
  await mover.ended;
  return value;
}

function shell(process: number, script: string): string | undefined {
  const [program = '', ...words] = inside(process, ['sh', '-ec', script]);
  const { status, stderr } = spawnSync(program, words, { encoding: 'utf8' });
  return status === 0 ? undefined : stderr.trim();
}

/** Without any system call: what the size of the tables costs. */
function tableCases({ visits, quick }: Settings): readonly Case[] {
  const large = quick ? LARGE_QUICK : LARGE;
  const names = { ip4: 'IPv4 look-up', ip6: 'IPv6 look-up', turn: 'a whole turn, routed, the other interfaces idle' };
  return Object.entries(names).map(([what, name]) => ({
    name: `${name}: ${large.interfaces} interfaces, ${large.routes} routes`,
    unit: 'ns per packet',
    better: 'less',
    reference: SMALL_TABLES,
    candidates: [
      { name: SMALL_TABLES, measure: () => measureTables(what, SMALL, visits) },
      { name: OURS, measure: () => measureTables(what, large, visits) },
    ],
    goals: [{ candidate: OURS, against: [SMALL_TABLES], limit: OF_SMALL_TABLES }],
  }));
}

async function measureTables(what: string, { interfaces, routes }: Tables, visits: number): Promise<Measurement> {
  const words = [process.execPath, TABLES, what, ...[interfaces, routes, visits].map(String)];
  const outcome = await start(words, LIMIT_MS).ended;
  const value = Number(outcome.stdout);
  return outcome.status === 0 && value > 0 ? { value } : { failed: complaint(outcome, LIMIT_MS) };
}
