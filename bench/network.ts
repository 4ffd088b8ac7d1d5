/**
 * The networks that are compared: each runs a command somewhere from where the host's loopback is reached by another
 * way.
 *
 * Every one of them is started anew for each measurement, so that none suffers from what an earlier one left behind,
 * and each has the settings that serve it best.
 */
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { type Program, start, sweep } from './process.ts';
import { STAGE_GATEWAY } from './stage.ts';
import { VETH_HOST_ADDRESS, veth } from './veth.ts';

export type Version = { readonly found: string } | { readonly missing: string };

export interface Network {
  readonly name: string;
  /** The largest MTU that it can have; undefined where it has none of its own. */
  readonly mtuMax: number | undefined;
  /** The address inside that leads to the host's server. */
  readonly hostAddress: string;
  /** The address that the server on the host has. */
  readonly hostOwnAddress: string;
  /** What finds the processes that move packets, among those that `start` started, by their names. */
  readonly processes?: RegExp;
  /** The program's name and version, or why it can't be measured. */
  readonly version: () => Version | Promise<Version>;
  /** The words that run a command on the network's host. */
  readonly onHost: (words: readonly string[]) => readonly string[];
  /** Runs a command inside, until it ends or `limitMs` have passed; its standard streams are the program's. */
  readonly start: (words: readonly string[], mtu: number, limitMs: number) => Promise<Program>;
}

/** pasta leads the address of the host's default route to the host itself, so the others have the same. */
export const GATEWAY: string = defaultGateway() ?? STAGE_GATEWAY;
export const HOST: Pick<Network, 'hostOwnAddress' | 'onHost'> = {
  hostOwnAddress: '127.0.0.1',
  onHost: (words) => words,
};

export const TAPSTER: string = fileURLToPath(new URL('../bin/tapster.js', import.meta.url));
const PASTA: string = process.env['PASTA'] ?? 'pasta';
const SLIRP4NETNS: string = process.env['SLIRP4NETNS'] ?? 'slirp4netns';

/** No network between: the kernel's own loopback, with the same client and server. */
export const LOOPBACK: Network = {
  ...HOST,
  name: 'loopback',
  mtuMax: undefined,
  hostAddress: '127.0.0.1',
  version: () => ({ found: '' }),
  start: async (words, _mtu, limitMs) => start(words, limitMs),
};

/** The kernel alone between two namespaces: what somebody with privilege would have. */
export const VETH: Network = {
  name: 'veth',
  mtuMax: 65_535,
  hostAddress: VETH_HOST_ADDRESS,
  hostOwnAddress: VETH_HOST_ADDRESS,
  version: () => veth.check(),
  onHost: (words) => veth.onHost(words),
  start: async (words, mtu, limitMs) => start(veth.inside(words, mtu), limitMs),
};

export const TAPSTER_NETWORK: Network = {
  ...HOST,
  name: 'tapster',
  mtuMax: 65_520,
  hostAddress: GATEWAY,
  processes: /^node$/,
  version: () => versionOf([process.execPath, TAPSTER, '--version']),
  start: async (words, mtu, limitMs) => {
    const options = ['run', '--mtu', String(mtu), '--host-loopback', GATEWAY, '--quiet'];
    return start([process.execPath, TAPSTER, ...options, '--', ...words], limitMs);
  },
};

const pasta: Network = {
  ...HOST,
  name: 'pasta',
  mtuMax: 65_520,
  hostAddress: GATEWAY,
  processes: /^pas(ta|st)/,
  // Debian's build of 2023 does not know its own version.
  version: () => versionOf([PASTA, '--version'], 'passt'),
  start: async (words, mtu, limitMs) =>
    start([PASTA, '--config-net', '--quiet', '--mtu', String(mtu), '--', ...words], limitMs),
};

const slirp4netns: Network = {
  ...HOST,
  name: 'slirp4netns',
  mtuMax: 65_520,
  hostAddress: '10.0.2.2',
  processes: /^slirp4netns/,
  version: () => versionOf([SLIRP4NETNS, '--version']),
  start: startInSlirp4netns,
};

/** Other programs that do what we do. */
export const PEERS: readonly Network[] = [pasta, slirp4netns];
export const NETWORKS: readonly Network[] = [LOOPBACK, VETH, TAPSTER_NETWORK, ...PEERS];

/** It serves a namespace that somebody else has made: a shell that waits in one until the network is there. */
async function startInSlirp4netns(words: readonly string[], mtu: number, limitMs: number): Promise<Program> {
  const wait = ['sh', '-c', 'echo made >&2; read -r go; exec "$@"', 'sh', ...words];
  const inside = start(['unshare', '--user', '--map-root-user', '--net', '--', ...wait], limitMs);
  const made = await Promise.race([once(inside.child.stderr!, 'data'), inside.ended]);
  if (!Array.isArray(made)) return inside;
  const options = ['--configure', `--mtu=${mtu}`, '--ready-fd=3', String(inside.child.pid), 'tap0'];
  const network = start([SLIRP4NETNS, ...options], limitMs, ['pipe']);
  const ready = await Promise.race([once(network.child.stdio[3] as Readable, 'data'), network.ended]);
  if (!Array.isArray(ready)) {
    sweep(inside.child);
    return network;
  }
  inside.child.stdin!.write('go\n');
  const ended = inside.ended.then(async (outcome) => {
    sweep(network.child);
    const { stderr } = await network.ended;
    return { ...outcome, stderr: outcome.stderr.replace(/^made\n/, '') + stderr };
  });
  return { child: inside.child, ended, sessions: [inside.child.pid!, network.child.pid!] };
}

/** /proc/net/route: hexadecimal words in the processor's own byte order; 0 is everywhere. */
function defaultGateway(): string | undefined {
  const routes = readFileSync('/proc/net/route', 'latin1')
    .split('\n')
    .map((line) => line.split('\t'));
  const gateway = routes.find(([, destination, via]) => destination === '00000000' && via !== '00000000')?.[2];
  if (gateway === undefined) return undefined;
  return new Uint8Array(Uint32Array.of(Number.parseInt(gateway, 16)).buffer).join('.');
}

/** The first line that a program says of itself, or what its Debian package says. */
export function versionOf(words: readonly string[], debianPackage?: string): Version {
  const [program = '', ...args] = words;
  const asked = spawnSync(program, args, { encoding: 'utf8', timeout: 60_000 });
  if (asked.error !== undefined || asked.status !== 0) {
    const why = (asked.error as NodeJS.ErrnoException | undefined)?.code === 'ENOENT' ? 'not installed' : asked.stderr;
    return { missing: why.trim() };
  }
  const line = asked.stdout.split('\n', 1)[0]!.trim();
  if (debianPackage === undefined || !line.includes('unknown')) return { found: line };
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the format is dpkg-query's.
  const known = spawnSync('dpkg-query', ['--show', '--showformat=${Version}', debianPackage], { encoding: 'utf8' });
  return { found: known.status === 0 ? `${program} (Debian ${known.stdout.trim()})` : line };
}
