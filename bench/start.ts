/** How long a network takes to start, and to carry its first packet. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { compiled } from './compile.ts';
import type { Benchmark, Candidate, Case, Measurement } from './harness.ts';
import { type Network, TAPSTER_NETWORK } from './network.ts';
import { complaint, start, sweep } from './process.ts';
import type { Settings } from './settings.ts';
import { TRAFFIC_PORT } from './traffic.ts';

const OF_NODE = 4;
const LIMIT_MS = 60_000;
/** A packet may arrive when its sender has gone. */
const LATE_MS = 5_000;
const MTU = 65_520;
const NODE = 'node -e 0';

export function startBenchmark(networks: readonly Network[], settings: Settings): Benchmark {
  const movers = networks.filter(({ processes }) => processes !== undefined);
  const asked = settings.quick ? movers.filter(({ name }) => name === TAPSTER_NETWORK.name) : movers;
  return {
    name: 'start',
    question: 'How long does it take until a command has run, and until its first packet has arrived?',
    cases: [makeCase('true', asked, measureTrue), makeCase('first packet', asked, measureFirstPacket)],
  };
}

function makeCase(name: string, movers: readonly Network[], measure: (network: Network) => Promise<Measurement>): Case {
  const node: Candidate = { name: NODE, measure: measureNode };
  return {
    name,
    unit: 'ms',
    better: 'less',
    reference: NODE,
    candidates: [node, ...movers.map((network) => ({ name: network.name, measure: () => measure(network) }))],
    goals: [{ candidate: TAPSTER_NETWORK.name, against: [NODE], limit: OF_NODE }],
  };
}

async function measureNode(): Promise<Measurement> {
  return { value: (await start([process.execPath, '-e', '0'], LIMIT_MS).ended).milliseconds };
}

async function measureTrue(network: Network): Promise<Measurement> {
  const outcome = await (await network.start(['true'], MTU, LIMIT_MS)).ended;
  return outcome.status === 0 ? { value: outcome.milliseconds } : { failed: complaint(outcome, LIMIT_MS) };
}

/** From the start to the datagram's arrival: the end does not count. */
async function measureFirstPacket(network: Network): Promise<Measurement> {
  const socket = createSocket('udp4');
  socket.bind(TRAFFIC_PORT, network.hostOwnAddress);
  await once(socket, 'listening');
  const arrived = once(socket, 'message').then(() => performance.now());
  const startedMs = performance.now();
  const words = [compiled('traffic-client'), 'first', network.hostAddress, String(TRAFFIC_PORT)];
  const program = await network.start(words, MTU, LIMIT_MS);
  const ended = program.ended.then(async (outcome) => {
    await sleep(LATE_MS);
    return { outcome };
  });
  const atMs = await Promise.race([arrived, ended]);
  sweep(program.child);
  await program.ended;
  socket.close();
  if (typeof atMs === 'number') return { value: atMs - startedMs };
  return { failed: `the packet did not arrive: ${complaint(atMs.outcome, LIMIT_MS)}` };
}
