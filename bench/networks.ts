/** Which of the networks there are on this machine, and what is asked of all of them alike. */
import type { Candidate, Measurement } from './harness.ts';
import { NETWORKS, type Network, PEERS, TAPSTER_NETWORK } from './network.ts';
import type { Goal } from './result.ts';

export interface Available {
  readonly networks: readonly Network[];
  /** Versions of what is measured. */
  readonly programs: readonly string[];
  /** What can't be, with the reason. */
  readonly missing: readonly string[];
}

export async function findNetworks(): Promise<Available> {
  const networks: Network[] = [];
  const programs: string[] = [];
  const missing: string[] = [];
  for (const network of NETWORKS) {
    const version = await network.version();
    if ('missing' in version) missing.push(`${network.name}: ${version.missing}`);
    else {
      networks.push(network);
      if (version.found !== '') programs.push(version.found);
    }
  }
  return { networks, programs, missing };
}

export function candidates(
  networks: readonly Network[],
  measure: (network: Network) => Promise<Measurement>,
): readonly Candidate[] {
  return networks.map((network) => ({ name: network.name, measure: () => measure(network) }));
}

/** Tapster against one other network. */
export function goalAgainst({ name }: Network, limit: number): Goal {
  return { candidate: TAPSTER_NETWORK.name, against: [name], limit };
}

/** Tapster against whichever peer does best. */
export function goalAgainstPeers(limit: number): Goal {
  return { candidate: TAPSTER_NETWORK.name, against: PEERS.map(({ name }) => name), limit };
}
