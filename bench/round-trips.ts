/** Latency: one byte there and one back, and whole connections, one at a time. */
import type { Benchmark, Case } from './harness.ts';
import { LOOPBACK, type Network } from './network.ts';
import { candidates, goalAgainstPeers } from './networks.ts';
import type { Settings } from './settings.ts';
import { ask } from './traffic.ts';

/** Of a peer's time, at most. */
const ROUND_TRIP_LIMIT = 1.25;
/** Of a peer's connections per second, at least. */
const CONNECTIONS_LIMIT = 1;
const MTU = 65_520;

const QUESTIONS = {
  'tcp-rr': 'How long does a round trip of one byte take on a TCP connection?',
  'udp-rr': 'How long does a round trip of one byte take with UDP?',
  'tcp-crr': 'How often in a second: connect, one request, one answer, the end?',
} as const;

export function roundTripBenchmark(
  name: keyof typeof QUESTIONS,
  networks: readonly Network[],
  { roundTripMilliseconds: milliseconds }: Settings,
): Benchmark {
  const perSecond = name === 'tcp-crr';
  const asked: Case = {
    name: perSecond ? 'connections' : '1 byte',
    unit: perSecond ? 'connections/s' : 'us',
    better: perSecond ? 'more' : 'less',
    reference: LOOPBACK.name,
    candidates: candidates(networks, (network) =>
      ask(network, { words: [name, milliseconds], mtu: MTU, milliseconds }),
    ),
    goals: [goalAgainstPeers(perSecond ? CONNECTIONS_LIMIT : ROUND_TRIP_LIMIT)],
  };
  return { name, question: QUESTIONS[name], cases: [asked] };
}
