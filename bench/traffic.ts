/** One question of our own client to our own server (`c/traffic.h`): the server on the host, the client in a network. */
import { compiled } from './compile.ts';
import type { Measurement } from './harness.ts';
import type { Network } from './network.ts';
import { complaint, type Outcome, type Program, said, start, sweep } from './process.ts';

/** The first port of `c/traffic.h`. */
export const TRAFFIC_PORT = 5400;

/** Beyond what the question itself takes. */
const LIMIT_MS = 60_000;

export interface Question {
  /** The client's name for it, and its numbers. */
  readonly words: readonly (string | number)[];
  readonly mtu: number;
  /** What it takes at least. */
  readonly milliseconds: number;
  /** Makes the client's number one of the case's unit. */
  readonly convert?: (value: number) => number;
}

export async function ask(network: Network, { words, mtu, milliseconds, convert }: Question): Promise<Measurement> {
  const limitMs = LIMIT_MS + milliseconds;
  const served = await serve(network, limitMs);
  if ('failed' in served) return served;
  const [question = '', ...numbers] = words.map(String);
  const client = [compiled('traffic-client'), question, network.hostAddress, String(TRAFFIC_PORT), ...numbers];
  const outcome = await (await network.start(client, mtu, limitMs)).ended;
  await served.stop();
  const value = answerOf(outcome);
  return value === undefined ? { failed: complaint(outcome, limitMs) } : { value: convert?.(value) ?? value };
}

/** Starts the server where the network's host is. */
export async function serve(
  network: Pick<Network, 'hostOwnAddress' | 'onHost'>,
  limitMs: number,
): Promise<{ readonly stop: () => Promise<void> } | { readonly failed: string }> {
  const address = network.hostOwnAddress;
  const words = network.onHost([compiled('traffic-server'), address, String(TRAFFIC_PORT)]);
  const server: Program = start(words, limitMs + 2_000);
  const ended = await said(server);
  if (ended !== undefined) return { failed: `traffic-server: ${complaint(ended, limitMs)}` };
  return {
    stop: async () => {
      sweep(server.child);
      await server.ended;
    },
  };
}

/** The last line is the number. */
export function answerOf({ status, stdout }: Outcome): number | undefined {
  if (status !== 0) return undefined;
  const value = Number(stdout.trimEnd().split('\n').at(-1));
  return Number.isFinite(value) && value > 0 ? value : undefined;
}
