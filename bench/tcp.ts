/** TCP throughput out of a network and into it: streams between the network and a server on the host's loopback. */
import type { Benchmark, Case } from './harness.ts';
import { measureStreams, type StreamTest } from './iperf.ts';
import { LOOPBACK, type Network } from './network.ts';
import type { Settings } from './settings.ts';

/** What `tapster` is to reach against bare loopback. */
const GOALS = { out: 0.45, in: 0.6 } as const;
const MTUS = [65_520, 1500] as const;
const STREAMS = [1, 8] as const;

export function tcpBenchmark(direction: 'out' | 'in', networks: readonly Network[], settings: Settings): Benchmark {
  const way = direction === 'out' ? 'from a namespace to the host' : 'from the host into a namespace';
  const cases: Case[] = [];
  for (const mtu of MTUS) {
    for (const streams of STREAMS) {
      // One of each is enough to know that they work.
      if (settings.quick && (mtu === 1500) !== (streams === 8)) continue;
      cases.push(makeCase(networks, { direction, mtu, streams, amount: settings.amount }, settings.quick));
    }
  }
  return { name: `tcp-${direction}`, question: `How much TCP payload goes ${way}?`, cases };
}

function makeCase(networks: readonly Network[], test: StreamTest, quick: boolean): Case {
  const { direction, mtu, streams } = test;
  return {
    name: `MTU ${mtu}, ${streams === 1 ? '1 stream' : `${streams} streams`}`,
    unit: 'Gbit/s',
    better: 'more',
    reference: LOOPBACK.name,
    candidates: networks.map((network) => ({ name: network.name, measure: () => measureStreams(network, test) })),
    goals: quick ? [] : [{ candidate: 'tapster', against: LOOPBACK.name, ratio: GOALS[direction] }],
  };
}
