/** UDP one way: how many datagrams arrive of more than anybody can carry. */
import type { Benchmark, Case } from './harness.ts';
import { LOOPBACK, type Network } from './network.ts';
import { candidates, goalAgainstPeers } from './networks.ts';
import type { Settings } from './settings.ts';
import { ask } from './traffic.ts';

const OF_BEST_PEER = 2;
const MTU = 65_520;
const SMALL_BYTES = 64;
const SIZES = [SMALL_BYTES, 1400, 32_768] as const;

export function udpBenchmark(direction: 'out' | 'in', networks: readonly Network[], settings: Settings): Benchmark {
  const way = direction === 'out' ? 'from a namespace to the host' : 'from the host into a namespace';
  const cases = SIZES.filter((bytes) => !settings.quick || bytes === 1400).map((bytes) =>
    makeCase(direction, bytes, networks, settings),
  );
  return { name: `udp-${direction}`, question: `How many UDP datagrams arrive ${way}?`, cases };
}

function makeCase(
  direction: 'out' | 'in',
  bytes: number,
  networks: readonly Network[],
  { milliseconds }: Settings,
): Case {
  const small = bytes === SMALL_BYTES;
  const convert = (perSecond: number): number => (small ? perSecond / 1000 : (perSecond * bytes * 8) / 1e9);
  const words = [`udp-${direction}`, bytes, milliseconds];
  return {
    name: `${bytes} bytes`,
    unit: small ? '1000 datagrams/s' : 'Gbit/s',
    better: 'more',
    reference: LOOPBACK.name,
    candidates: candidates(networks, (network) => ask(network, { words, mtu: MTU, milliseconds, convert })),
    goals: [goalAgainstPeers(OF_BEST_PEER)],
  };
}
