/** Virtual machines: small frames through the queues of vhost-user, streams between a machine and the host, and the memory that this takes. */
import { fileURLToPath } from 'node:url';
import { whyNoGuestImage } from './guest-image.ts';
import { endGuestLab, GUEST_NETWORKS, type GuestNetwork, guestLab, passtVersion } from './guest-lab.ts';
import { machineVersion } from './guest-machine.ts';
import type { Benchmark, Candidate, Case, Measurement } from './harness.ts';
import { measureNode, NODE, OF_IDLE_NODE, residentBytes } from './memory.ts';
import { complaint, start } from './process.ts';
import type { Settings } from './settings.ts';
import { measureTestpmd, whyNoTestpmd } from './testpmd.ts';

const LIMIT_MS = 60_000;
const RINGS: string = fileURLToPath(new URL('./guest-rings-run.js', import.meta.url));
const OURS = 'tapster';
const PASST = 'passt';
const MPPS = 3;
const PASST_MTU = 65_520;
/** With small frames the guest's own processor may be the limit, whoever is at the other end: so the peer is asked with them, too. */
const PASST_SMALL = 'passt, MTU 1500';

const WAYS = {
  in: '64 bytes from the guest, dropped behind ethernet-input',
  out: '64 bytes to the guest',
  bridged: '64 bytes from one guest to another, bridged',
} as const;

interface Comparison {
  readonly network: GuestNetwork;
  readonly mtu: number;
  /** Of passt's throughput, at least. */
  readonly speed: number;
  /** Of the processor's time that passt takes, at most. */
  readonly cost?: number;
  /** Whether passt is asked with that MTU, too. */
  readonly small?: boolean;
}

const COMPARISONS: readonly Comparison[] = [
  { network: 'vhost-user', mtu: 1500, speed: 1.5, cost: 0.7 },
  { network: 'stream', mtu: 1500, speed: 1, small: true },
  { network: 'stream', mtu: PASST_MTU, speed: 1 },
];

export function guestBenchmark(settings: Settings): Benchmark {
  const hasMachine = whyNoStreams() === undefined;
  const hasPasst = whyNoPasst() === undefined;
  return {
    name: 'guest',
    question: 'How fast is the network of a virtual machine?',
    finish: endGuestLab,
    cases: [
      ...(hasMachine ? COMPARISONS.flatMap((each) => streamCases(each, hasPasst, settings)) : []),
      ...ringCases(settings),
      ...(whyNoTestpmd() === undefined ? testpmdCases(settings) : []),
      ...(hasMachine ? (['vhost-user', 'stream'] as const).map((each) => memoryCase(each, hasPasst, settings)) : []),
    ],
  };
}

/** Versions of what only this is measured with. */
export function guestPrograms(): readonly string[] {
  return [machineVersion(), passtVersion()].flatMap((version) => ('found' in version ? version.found : []));
}

/** What can't be measured here. */
export function missingGuest(): readonly string[] {
  const noStreams = whyNoStreams();
  const reasons = {
    streams: noStreams,
    passt: noStreams === undefined ? whyNoPasst() : undefined,
    testpmd: whyNoTestpmd(),
  };
  return Object.entries(reasons).flatMap(([what, why]) => (why === undefined ? [] : `guest, ${what}: ${why}`));
}

function whyNoStreams(): string | undefined {
  const machine = machineVersion();
  return 'missing' in machine ? `QEMU: ${machine.missing}` : whyNoGuestImage();
}

function whyNoPasst(): string | undefined {
  const version = passtVersion();
  return 'missing' in version ? version.missing : undefined;
}

/** One queue each way, on one processor. The other side costs nothing, and is never late. */
function ringCases({ visits }: Settings): readonly Case[] {
  const speeds = Object.entries(WAYS).map(
    ([what, name]): Case => ({
      name: `vhost-user, ${name}`,
      unit: 'Mpps',
      better: 'more',
      candidates: [{ name: OURS, measure: () => measureRings([], what, visits) }],
      goals: [{ candidate: OURS, against: [], limit: MPPS }],
    }),
  );
  const collections: Case = {
    name: 'vhost-user, garbage collections in 1,000,000 frames of each',
    unit: 'times',
    better: 'less',
    roundsMax: 3,
    candidates: [{ name: OURS, measure: () => measureRings(['--expose-gc'], 'collections', visits / 4) }],
    goals: [{ candidate: OURS, against: [], limit: 0, everyRound: true }],
  };
  return [...speeds, collections];
}

/** The same with another's driver, which runs at the same time. */
function testpmdCases({ milliseconds, quick }: Settings): readonly Case[] {
  return (['in', 'bridged'] as const).map((way) => ({
    name: `vhost-user, testpmd, ${WAYS[way]}`,
    unit: 'million per s of processor time',
    better: 'more',
    candidates: [{ name: OURS, measure: () => measureTestpmd(way, milliseconds, quick) }],
    goals: [{ candidate: OURS, against: [], limit: MPPS }],
  }));
}

async function measureRings(options: readonly string[], what: string, visits: number): Promise<Measurement> {
  const outcome = await start([process.execPath, ...options, RINGS, what, String(visits)], LIMIT_MS).ended;
  if (outcome.status !== 0) return { failed: complaint(outcome, LIMIT_MS) };
  return { value: Number(outcome.stdout) };
}

/** For each direction, how fast, and what that cost the host: of the same transfers. */
function streamCases(
  { network, mtu, speed, cost, small = false }: Comparison,
  hasPasst: boolean,
  settings: Settings,
): readonly Case[] {
  return (['out', 'in'] as const).flatMap((direction) => {
    const way = direction === 'out' ? 'from the guest to the host' : 'from the host to the guest';
    const name = `TCP ${way}, ${network}, MTU ${mtu}`;
    const pairs = [
      ...(hasPasst ? [transfers(PASST, 'passt', direction, PASST_MTU, settings)] : []),
      ...(hasPasst && small ? [transfers(PASST_SMALL, 'passt', direction, mtu, settings)] : []),
      transfers(OURS, network, direction, mtu, settings),
    ];
    const against = hasPasst ? [PASST] : [];
    const alike = small ? [{ candidate: OURS, against: [PASST_SMALL], limit: speed }] : [];
    const common = hasPasst ? { reference: PASST } : {};
    return [
      {
        ...common,
        name,
        unit: 'Gbit/s',
        better: 'more',
        candidates: pairs.map((pair) => pair.speed),
        goals: hasPasst ? [{ candidate: OURS, against, limit: speed }, ...alike] : [],
      },
      {
        ...common,
        name: `${name}: the network's processor time`,
        unit: 's per GB',
        better: 'less',
        candidates: pairs.map((pair) => pair.cost),
        goals: hasPasst && cost !== undefined ? [{ candidate: OURS, against, limit: cost }] : [],
      },
    ] satisfies Case[];
  });
}

/** Two candidates: the one transfers, the other tells, in the same order, what each transfer has cost. */
function transfers(
  name: string,
  network: GuestNetwork,
  direction: 'out' | 'in',
  mtu: number,
  { transferMilliseconds }: Settings,
): { readonly speed: Candidate; readonly cost: Candidate } {
  const costs: Measurement[] = [];
  const speed = async (): Promise<Measurement> => {
    const lab = await guestLab(availableNetworks(), transferMilliseconds);
    const moved = 'failed' in lab ? lab : await lab.transfer(network, direction, mtu, transferMilliseconds);
    costs.push('failed' in moved ? moved : { value: moved.cpuSecondsPerGigabyte });
    return 'failed' in moved ? moved : { value: moved.gigabits };
  };
  return {
    speed: { name, measure: speed },
    cost: { name, measure: async () => costs.shift() ?? { failed: 'there was no transfer' } },
  };
}

/** Once, behind all streams. What belongs to the machine is not counted. */
function memoryCase(network: 'vhost-user' | 'stream', hasPasst: boolean, { transferMilliseconds }: Settings): Case {
  const measure = async (which: GuestNetwork, processes: RegExp): Promise<Measurement> => {
    const lab = await guestLab(availableNetworks(), transferMilliseconds);
    return 'failed' in lab ? lab : { value: residentBytes({ processes }, lab.program(which)) / 2 ** 20 };
  };
  return {
    name: `resident memory, ${network}`,
    unit: 'MiB',
    better: 'less',
    reference: NODE,
    roundsMax: 1,
    candidates: [
      { name: NODE, measure: measureNode },
      ...(hasPasst ? [{ name: PASST, measure: () => measure('passt', /^passt/) }] : []),
      { name: OURS, measure: () => measure(network, /^node$/) },
    ],
    goals: [{ candidate: OURS, against: [NODE], limit: OF_IDLE_NODE }],
  };
}

function availableNetworks(): readonly GuestNetwork[] {
  return GUEST_NETWORKS.filter((network) => network !== 'passt' || whyNoPasst() === undefined);
}
