/** The benchmarks that there are, in the order of the page. */
import { dropinBenchmark } from './dropin.ts';
import { flowsBenchmark, missingFlows } from './flows.ts';
import { forwardBenchmark, missingForward } from './forward.ts';
import { framesBenchmark } from './frames.ts';
import { guestBenchmark, missingGuest } from './guest.ts';
import type { Benchmark } from './harness.ts';
import { memoryBenchmark } from './memory.ts';
import { type Network, PEERS, VETH } from './network.ts';
import { pathBenchmark } from './path.ts';
import { roundTripBenchmark } from './round-trips.ts';
import type { Settings } from './settings.ts';
import { startBenchmark } from './start.ts';
import { tcpBenchmark } from './tcp.ts';
import { udpBenchmark } from './udp.ts';

type Make = (networks: readonly Network[], settings: Settings) => Benchmark;

const BENCHMARKS: Readonly<Record<string, Make>> = {
  'tcp-out': (networks, settings) => tcpBenchmark('out', networks, settings),
  'tcp-in': (networks, settings) => tcpBenchmark('in', networks, settings),
  'tcp-rr': (networks, settings) => roundTripBenchmark('tcp-rr', networks, settings),
  'udp-rr': (networks, settings) => roundTripBenchmark('udp-rr', networks, settings),
  'tcp-crr': (networks, settings) => roundTripBenchmark('tcp-crr', networks, settings),
  'udp-out': (networks, settings) => udpBenchmark('out', networks, settings),
  'udp-in': (networks, settings) => udpBenchmark('in', networks, settings),
  flows: flowsBenchmark,
  frames: (_networks, settings) => framesBenchmark(settings),
  forward: (_networks, settings) => forwardBenchmark(settings),
  guest: (_networks, settings) => guestBenchmark(settings),
  dropin: dropinBenchmark,
  path: (_networks, settings) => pathBenchmark(settings),
  start: startBenchmark,
  memory: memoryBenchmark,
};

const WITH_PEERS_IN_QUICK = 'tcp-rr';

export const BENCHMARK_NAMES: readonly string[] = Object.keys(BENCHMARKS);

export function benchmarks(names: readonly string[], networks: readonly Network[], settings: Settings): Benchmark[] {
  const wanted = names.length === 0 ? BENCHMARK_NAMES : BENCHMARK_NAMES.filter((name) => names.includes(name));
  // Of each peer, one measurement is enough to know that it works.
  const few = networks.filter((network) => !PEERS.includes(network) && network !== VETH);
  return wanted.map((name) => {
    if (!settings.quick) return BENCHMARKS[name]!(networks, settings);
    const benchmark = BENCHMARKS[name]!(name === WITH_PEERS_IN_QUICK ? networks : few, settings);
    return { ...benchmark, cases: benchmark.cases.map((each) => ({ ...each, goals: [] })) };
  });
}

/** What can't be measured on this machine, whatever networks there are. */
export function missingMeasurements(settings: Settings): readonly string[] {
  return [...missingFlows(settings), ...missingForward(), ...missingGuest()];
}
