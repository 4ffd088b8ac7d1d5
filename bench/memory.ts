/** Resident memory of what moves the packets, against a Node that does nothing. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Benchmark, Candidate, Case, Measurement } from './harness.ts';
import { clientWords, SERVER_WORDS } from './iperf.ts';
import { type Network, TAPSTER_NETWORK } from './network.ts';
import { complaint, membersOf, type Program, said, start, sweep } from './process.ts';
import type { Settings } from './settings.ts';

export const OF_IDLE_NODE = 2;
const LIMIT_MS = 90_000;
const SETTLE_MS = 400;
const MTU = 65_520;
const STREAMS = 8;
const ROUNDS_MAX = 3;
export const NODE = 'node, idle';

export function memoryBenchmark(networks: readonly Network[], settings: Settings): Benchmark {
  const movers = networks.filter(({ processes }) => processes !== undefined);
  return {
    name: 'memory',
    question: 'How much memory is resident?',
    cases: [
      makeCase('idle', movers, () => []),
      makeCase('after throughput runs both ways', movers, (network) => throughputRuns(network, settings)),
    ],
  };
}

function makeCase(name: string, movers: readonly Network[], before: (network: Network) => readonly string[]): Case {
  const node: Candidate = { name: NODE, measure: measureNode };
  return {
    name,
    unit: 'MiB',
    better: 'less',
    reference: NODE,
    roundsMax: ROUNDS_MAX,
    candidates: [
      node,
      ...movers.map((network) => ({ name: network.name, measure: () => measure(network, before(network)) })),
    ],
    goals: [{ candidate: TAPSTER_NETWORK.name, against: [NODE], limit: OF_IDLE_NODE }],
  };
}

export async function measureNode(): Promise<Measurement> {
  const program = start([process.execPath, '-e', 'setInterval(() => {}, 1000); console.log("up")'], LIMIT_MS);
  await said(program);
  await sleep(SETTLE_MS);
  const bytes = largest(program, /^node$/);
  sweep(program.child);
  await program.ended;
  return { value: bytes / 2 ** 20 };
}

/** A command that does what is to be done before, says so and waits. */
async function measure(network: Network, before: readonly string[]): Promise<Measurement> {
  const server = start(network.onHost([...SERVER_WORDS, '--bind', network.hostOwnAddress]), LIMIT_MS);
  await said(server);
  const script = [...before, 'echo up', 'read -r end'].join('\n');
  const program = await network.start(['sh', '-ec', script], MTU, LIMIT_MS);
  const early = await said(program);
  await sleep(SETTLE_MS);
  const bytes = early === undefined ? residentBytes(network, program) : 0;
  sweep(program.child);
  sweep(server.child);
  const outcome = await program.ended;
  await server.ended;
  return bytes > 0 ? { value: bytes / 2 ** 20 } : { failed: complaint(early ?? outcome, LIMIT_MS) };
}

function throughputRuns(network: Network, { amount }: Settings): readonly string[] {
  return (['out', 'in'] as const).map((direction) => {
    const words = clientWords(network, { direction, streams: STREAMS, mtu: MTU, amount });
    return `${words.join(' ')} > /dev/null`;
  });
}

/** Of the process that moves the packets: the largest one of that name. */
export function residentBytes(network: Pick<Network, 'processes'>, program: Program): number {
  return largest(program, network.processes ?? /^$/);
}

function largest({ sessions }: Program, name: RegExp): number {
  const all = sessions.flatMap((session) => membersOf(session)).map((pid) => residentOf(pid, name));
  return Math.max(0, ...all);
}

/** VmRSS of /proc/PID/status without RssShmem, if it has that name: memory that it shares is a virtual machine's. */
function residentOf(pid: number, name: RegExp): number {
  try {
    const text = readFileSync(`/proc/${pid}/status`, 'latin1');
    if (!name.test(/^Name:\t(.*)$/m.exec(text)?.[1] ?? '')) return 0;
    const kilobytes = (field: string): number =>
      Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1] ?? 0);
    return (kilobytes('VmRSS') - kilobytes('RssShmem')) * 1024;
  } catch {
    return 0;
  }
}
