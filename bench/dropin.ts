/** Tapster in place of pasta and slirp4netns: until it is ready, what goes through its published ports, and what many of them cost. */
import { readFileSync } from 'node:fs';
import type { Benchmark, Candidate, Case, Measurement } from './harness.ts';
import { measureStreams } from './iperf.ts';
import { LOOPBACK, type Network } from './network.ts';
import { start } from './process.ts';
import type { Settings } from './settings.ts';
import {
  makeRoom,
  PASTA,
  type PortRange,
  type Room,
  type Serving,
  SLIRP4NETNS,
  type StandIn,
  TAPSTER_AS_PASTA,
  TAPSTER_AS_SLIRP4NETNS,
} from './stand-ins.ts';
import { ask } from './traffic.ts';

const READY_MS = 250;
const STREAM_OF_PASTA = 1;
const STREAM_OF_SLIRP4NETNS = 3;
const CONNECTIONS_OF_PASTA = 0.8;
const MANY_OF_ONE = 2;
const BYTES_PER_PORT = 300;
const MTU = 65_520;

/** Of the server for streams, and of those for round trips. */
const PORTS: PortRange = { first: 5300, last: 5420 };
const ONE: PortRange = { first: 5300, last: 5300 };
/** An ordinary user has no others. */
const UNPRIVILEGED_FIRST = 1024;
const PORT_LAST = 65_535;
const QUICK_LAST = 2047;
/** Descriptors that are left for all but ports. */
const OTHER_DESCRIPTORS = 1_500;

export function dropinBenchmark(networks: readonly Network[], settings: Settings): Benchmark {
  const known = (each: StandIn): boolean => networks.some(({ name }) => name === each.name);
  const pasta = known(PASTA) ? [PASTA] : [];
  const slirp4netns = known(SLIRP4NETNS) ? [SLIRP4NETNS] : [];
  const movers = [TAPSTER_AS_PASTA, ...pasta, ...slirp4netns];
  const reference = pasta.map(({ name }) => ({ reference: name }))[0] ?? {};
  const tapster = TAPSTER_AS_PASTA.name;
  const stream: Case = {
    name: 'stream to a published port',
    unit: 'Gbit/s',
    better: 'more',
    ...reference,
    candidates: movers.map((each) => through(each, (network) => measureStreams(network, streamTest(settings)))),
    goals: [
      { candidate: tapster, against: [PASTA.name], limit: STREAM_OF_PASTA },
      { candidate: tapster, against: [SLIRP4NETNS.name], limit: STREAM_OF_SLIRP4NETNS },
    ],
  };
  const { roundTripMilliseconds: milliseconds } = settings;
  const question = { words: ['tcp-crr', milliseconds], mtu: MTU, milliseconds };
  const connections: Case = {
    name: 'connections to a published port',
    unit: 'connections/s',
    better: 'more',
    ...reference,
    candidates: movers.map((each) => through(each, (network) => ask(network, question))),
    goals: [{ candidate: tapster, against: [PASTA.name], limit: CONNECTIONS_OF_PASTA }],
  };
  return {
    name: 'dropin',
    question: 'How soon is it ready in the place of others, and what goes through its published ports?',
    cases: [
      { ...readiness([...movers, TAPSTER_AS_SLIRP4NETNS]), ...reference },
      stream,
      connections,
      ...manyPorts(pasta, settings),
    ],
  };
}

function readiness(movers: readonly StandIn[]): Case {
  const measure = async (each: StandIn): Promise<Measurement> =>
    withRoom((room) => withServing(each, room, ONE, async ({ milliseconds }) => ({ value: milliseconds })));
  return {
    name: 'ready in a namespace',
    unit: 'ms',
    better: 'less',
    candidates: movers.map((each) => ({ name: each.name, measure: () => measure(each) })),
    goals: [TAPSTER_AS_PASTA, TAPSTER_AS_SLIRP4NETNS].map(({ name }) => ({
      candidate: name,
      against: [],
      limit: READY_MS,
    })),
  };
}

/** All ports that an ordinary user may have, or as many as there may be descriptors. */
function manyPorts(pasta: readonly StandIn[], { quick }: Settings): Case[] {
  const last = quick ? QUICK_LAST : Math.min(PORT_LAST, UNPRIVILEGED_FIRST + descriptorsMax() - OTHER_DESCRIPTORS);
  const many = { first: UNPRIVILEGED_FIRST, last };
  const count = last - UNPRIVILEGED_FIRST + 1;
  const time = (each: StandIn, ports: PortRange, name: string): Candidate => ({
    name,
    measure: () =>
      withRoom((room) => withServing(each, room, ports, async ({ milliseconds }) => ({ value: milliseconds }))),
  });
  const resident = (ports: PortRange): Promise<number | { readonly failed: string }> =>
    withRoom((room) => withServing(TAPSTER_AS_PASTA, room, ports, async ({ pid }) => residentBytes(pid)));
  const measureBytes = async (): Promise<Measurement> => {
    const [one, all] = [await resident(ONE), await resident(many)];
    if (typeof one !== 'number') return one;
    return typeof all === 'number' ? { value: Math.max(0, all - one) / count } : all;
  };
  const { name } = TAPSTER_AS_PASTA;
  const oneName = `${name}, 1 port`;
  const starts: Case = {
    name: `ready with ${count} ports`,
    unit: 'ms',
    better: 'less',
    reference: oneName,
    candidates: [
      time(TAPSTER_AS_PASTA, ONE, oneName),
      time(TAPSTER_AS_PASTA, many, name),
      ...pasta.map((each) => time(each, many, each.name)),
    ],
    goals: [{ candidate: name, against: [oneName], limit: MANY_OF_ONE }],
  };
  // Another four starts, for a number that means nothing of so few.
  if (quick) return [starts];
  return [
    starts,
    {
      name: `memory of each of ${count} ports`,
      unit: 'B',
      better: 'less',
      candidates: [{ name, measure: measureBytes }],
      goals: [{ candidate: name, against: [], limit: BYTES_PER_PORT }],
    },
  ];
}

function streamTest({ amount }: Settings): Parameters<typeof measureStreams>[1] {
  return { direction: 'out', streams: 1, mtu: MTU, amount };
}

/** From the host's loopback to a server in a namespace. */
function through(standIn: StandIn, measure: (network: Network) => Promise<Measurement>): Candidate {
  const network = (room: Room): Network => ({
    ...LOOPBACK,
    name: standIn.name,
    hostOwnAddress: '0.0.0.0',
    onHost: room.inside,
    start: async (words, _mtu, limitMs) => start(words, limitMs),
  });
  return {
    name: standIn.name,
    measure: () => withRoom((room) => withServing(standIn, room, PORTS, () => measure(network(room)))),
  };
}

async function withRoom<T>(use: (room: Room) => Promise<T>): Promise<T | { readonly failed: string }> {
  const room = await makeRoom();
  if ('failed' in room) return room;
  try {
    return await use(room);
  } finally {
    await room.stop();
  }
}

async function withServing<T>(
  standIn: StandIn,
  room: Room,
  ports: PortRange,
  use: (serving: Serving) => Promise<T>,
): Promise<T | { readonly failed: string }> {
  const serving = await standIn.serve(room.pid, ports);
  if ('failed' in serving) return serving;
  try {
    return await use(serving);
  } finally {
    await serving.stop();
  }
}

function residentBytes(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]) * 1024;
}

function descriptorsMax(): number {
  return Number(/^Max open files\s+\d+\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1]);
}
