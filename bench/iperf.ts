/** One run of iperf3: a server on the host's loopback for one test, a client in a network. */
import type { Measurement } from './harness.ts';
import type { Network } from './network.ts';
import { complaint, said, start, sweep } from './process.ts';

/** Beyond what the test itself takes: starting a network and the client, and the two agreeing on an end. */
const LIMIT_MS = 60_000;

const PORT = 5307;
export const SERVER_WORDS: readonly string[] = ['iperf3', '--server', '--forceflush', '--port', String(PORT)];

export interface StreamTest {
  /** `out`: from the network to the host; `in`: the other way. The client is inside in both. */
  readonly direction: 'out' | 'in';
  readonly streams: number;
  readonly mtu: number;
  /** What client and server are to use instead of what their kernels would. */
  readonly congestionControl?: string;
  /** Seconds, or bytes for a run that shall be as short as can be. */
  readonly amount: { readonly seconds: number } | { readonly bytes: number };
}

/** What is needed of a network. */
type Between = Pick<Network, 'hostAddress' | 'hostOwnAddress' | 'onHost' | 'start'>;

/** A congestion control that does not pace, and that every kernel has. */
export const UNPACED = 'reno';

/** Gbit/s of payload that the receiver took. */
export async function measureStreams(network: Between, test: StreamTest): Promise<Measurement> {
  const limitMs = LIMIT_MS + ('seconds' in test.amount ? test.amount.seconds * 1000 : 0);
  // A server for each test: one whose client has died may wait for it for ever.
  const server = start(network.onHost([...SERVER_WORDS, '--one-off', '--bind', network.hostOwnAddress]), limitMs);
  const ended = await said(server);
  if (ended !== undefined) return { failed: `iperf3 --server: ${complaint(ended, limitMs)}` };
  const outcome = await (await network.start(clientWords(network, test), test.mtu, limitMs)).ended;
  sweep(server.child);
  await server.ended;
  const gigabits = outcome.status === 0 ? receivedGigabits(outcome.stdout) : undefined;
  return gigabits === undefined ? { failed: complaint(outcome, limitMs) } : { value: gigabits };
}

export function clientWords(
  network: Pick<Network, 'hostAddress'>,
  { direction, streams, amount, congestionControl }: StreamTest,
): string[] {
  const words = ['iperf3', '--client', network.hostAddress, '--port', String(PORT), '--parallel', String(streams)];
  if (direction === 'in') words.push('--reverse');
  if (congestionControl !== undefined) words.push('--congestion', congestionControl);
  if ('seconds' in amount) words.push('--time', String(amount.seconds));
  else words.push('--bytes', String(amount.bytes));
  return [...words, '--interval', '0', '--json'];
}

function receivedGigabits(text: string): number | undefined {
  try {
    const report = JSON.parse(text) as { end?: { sum_received?: { bits_per_second?: number } } };
    const bits = report.end?.sum_received?.bits_per_second;
    return bits === undefined || !(bits > 0) ? undefined : bits / 1e9;
  } catch {
    return undefined;
  }
}
