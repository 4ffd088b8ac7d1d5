/** TCP throughput out of a network and into it: streams between the network and a server on the host. */
import type { Benchmark, Case } from './harness.ts';
import { measureStreams, type StreamTest, UNPACED } from './iperf.ts';
import { LOOPBACK, type Network, PEERS } from './network.ts';
import { candidates, goalAgainst, goalAgainstPeers } from './networks.ts';
import type { Goal } from './result.ts';
import type { Settings } from './settings.ts';

/** What `tapster` is to reach against bare loopback. */
const OF_LOOPBACK = { out: 0.6, in: 0.8 } as const;
const OF_SLIRP4NETNS = 4;
const OF_BEST_PEER = 1.3;
const MTUS = [65_520, 1500] as const;
const STREAMS = [1, 8] as const;

export function tcpBenchmark(direction: 'out' | 'in', networks: readonly Network[], settings: Settings): Benchmark {
  const way = direction === 'out' ? 'from a namespace to the host' : 'from the host into a namespace';
  const cases: Case[] = [];
  for (const mtu of MTUS) {
    for (const streams of STREAMS) {
      // One is enough to know that it works.
      if (settings.quick && !(mtu === 1500 && streams === 8)) continue;
      cases.push(makeCase(networks, { direction, mtu, streams, amount: settings.amount }));
    }
  }
  if (!settings.quick) {
    const test = { direction, mtu: MTUS[0], streams: 1, amount: settings.amount, congestionControl: UNPACED } as const;
    // For comparison: what Tapster is to reach is measured as programs find their kernels.
    cases.push({ ...makeCase(networks, test), name: `MTU ${MTUS[0]}, 1 stream, all with ${UNPACED}`, goals: [] });
  }
  return { name: `tcp-${direction}`, question: `How much TCP payload goes ${way}?`, cases };
}

function makeCase(networks: readonly Network[], test: StreamTest): Case {
  const { direction, mtu, streams } = test;
  const slirp4netns = PEERS.find(({ name }) => name === 'slirp4netns')!;
  const goals: Goal[] = [
    goalAgainst(LOOPBACK, OF_LOOPBACK[direction]),
    goalAgainst(slirp4netns, OF_SLIRP4NETNS),
    goalAgainstPeers(OF_BEST_PEER),
  ];
  return {
    name: `MTU ${mtu}, ${streams === 1 ? '1 stream' : `${streams} streams`}`,
    unit: 'Gbit/s',
    better: 'more',
    reference: LOOPBACK.name,
    candidates: candidates(networks, (network) => measureStreams(network, test)),
    goals,
  };
}
