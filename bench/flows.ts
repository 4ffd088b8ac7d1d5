/** Many open TCP flows, of which one is busy: what the idle ones cost us. */

import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { compiled } from './compile.ts';
import type { Benchmark, Case, Measurement } from './harness.ts';
import { residentBytes } from './memory.ts';
import { type Network, TAPSTER_NETWORK } from './network.ts';
import { complaint, type Program, said, sweep } from './process.ts';
import type { Settings } from './settings.ts';
import { answerOf, serve, TRAFFIC_PORT } from './traffic.ts';

const BYTES_PER_FLOW_MAX = 512;
const SPEED_AMONG_IDLE = 0.95;
const MTU = 65_520;
/** Flows before the memory is looked at first: with them the program has warmed up. */
const FIRST_FLOWS = 500;
/** A thousand take less than a second. */
const LIMIT_MS = 60_000;
/** Descriptors of a process that has a socket for each flow, beside these. */
const OTHER_DESCRIPTORS = 200;
/** As often as the memory is looked at before it is believed to stand still. */
const SETTLE_MS = 300;
const ROUNDS_MAX = 3;

export function flowsBenchmark(networks: readonly Network[], settings: Settings): Benchmark {
  const tapster = networks.find(({ name }) => name === TAPSTER_NETWORK.name);
  const cases = tapster === undefined ? [] : flowCounts(settings).flatMap((count) => casesOf(tapster, count, settings));
  return { name: 'flows', question: 'What do open, idle TCP flows cost?', cases };
}

/** What can't be measured here. */
export function missingFlows({ flows }: Settings): readonly string[] {
  const limit = descriptorLimit();
  return flows
    .filter((count) => count > limit - OTHER_DESCRIPTORS)
    .map(
      (count) => `flows, ${count}: that many sockets need "ulimit -n" of ${count + OTHER_DESCRIPTORS}; here ${limit}`,
    );
}

/** Those that the limit of descriptors allows, and for what it does not, as many as it allows. */
function flowCounts({ flows }: Settings): readonly number[] {
  const most = descriptorLimit() - OTHER_DESCRIPTORS;
  return [...new Set(flows.map((count) => Math.min(count, Math.floor(most / 1000) * 1000)))].filter(
    (n) => n > FIRST_FLOWS,
  );
}

function casesOf(tapster: Network, count: number, { milliseconds }: Settings): readonly Case[] {
  const memory: Case = {
    name: `${count} idle: our memory for each`,
    unit: 'bytes',
    better: 'less',
    roundsMax: ROUNDS_MAX,
    candidates: [{ name: tapster.name, measure: () => measureMemory(tapster, count) }],
    goals: [{ candidate: tapster.name, against: [], limit: BYTES_PER_FLOW_MAX }],
  };
  const speed: Case = {
    name: `${count} idle: a busy one`,
    unit: 'Gbit/s',
    better: 'more',
    reference: 'tapster alone',
    roundsMax: ROUNDS_MAX,
    candidates: [
      { name: tapster.name, measure: () => measureSpeed(tapster, count, milliseconds) },
      { name: 'tapster alone', measure: () => measureSpeed(tapster, 0, milliseconds) },
    ],
    goals: [{ candidate: tapster.name, against: ['tapster alone'], limit: SPEED_AMONG_IDLE }],
  };
  return [memory, speed];
}

function measureMemory(network: Network, count: number): Promise<Measurement> {
  return withFlows(network, count, 1, async (program) => {
    const before = await settled(network, program);
    program.child.stdin!.write('more\n');
    if ((await said(program)) !== undefined) return undefined;
    const after = await settled(network, program);
    return (after - before) / (count - FIRST_FLOWS);
  });
}

function measureSpeed(network: Network, count: number, milliseconds: number): Promise<Measurement> {
  return withFlows(network, count, milliseconds, async (program) => {
    if (count > 0) {
      program.child.stdin!.write('more\n');
      await said(program);
    }
    program.child.stdin!.write('go\n');
    return answerOf(await program.ended);
  });
}

/** Opens the first flows, or none, and lets `measure` do the rest. */
async function withFlows(
  network: Network,
  count: number,
  milliseconds: number,
  measure: (program: Program) => Promise<number | undefined>,
): Promise<Measurement> {
  const served = await serve(network, LIMIT_MS);
  if ('failed' in served) return served;
  const first = Math.min(FIRST_FLOWS, count);
  const numbers = [TRAFFIC_PORT, first, count - first, milliseconds].map(String);
  const words = [compiled('traffic-client'), 'flows', network.hostAddress, ...numbers];
  const program = await network.start(words, MTU, LIMIT_MS);
  const early = await said(program);
  const value = early === undefined ? await measure(program) : undefined;
  sweep(program.child);
  const outcome = await program.ended;
  await served.stop();
  return value === undefined ? { failed: complaint(early ?? outcome, LIMIT_MS) } : { value };
}

/** The memory when it has not changed for a while: garbage is collected late. */
async function settled(network: Network, program: Program): Promise<number> {
  await sleep(SETTLE_MS);
  return residentBytes(network, program);
}

/** The hard limit: whoever needs descriptors raises the soft one to it. */
function descriptorLimit(): number {
  const line = /^Max open files +\S+ +(\S+)/m.exec(readFileSync('/proc/self/limits', 'latin1'));
  return line?.[1] === 'unlimited' ? Number.POSITIVE_INFINITY : Number(line?.[1] ?? 0);
}
