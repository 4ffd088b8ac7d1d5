/** The benchmarks that there are. */
import type { Benchmark } from './harness.ts';
import type { Network } from './network.ts';
import type { Settings } from './settings.ts';
import { tcpBenchmark } from './tcp.ts';

export const BENCHMARK_NAMES: readonly string[] = ['tcp-out', 'tcp-in'];

export function benchmarks(networks: readonly Network[], settings: Settings): readonly Benchmark[] {
  return [tcpBenchmark('out', networks, settings), tcpBenchmark('in', networks, settings)];
}
