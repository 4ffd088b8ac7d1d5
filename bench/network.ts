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
import { type Outcome, start, sweep } from './process.ts';
import { STAGE_GATEWAY } from './stage.ts';

export interface Network {
  readonly name: string;
  /** The largest MTU that it can have; undefined where it has none of its own. */
  readonly mtuMax: number | undefined;
  /** The address inside that leads to the host's 127.0.0.1. */
  readonly hostAddress: string;
  /** The program's name and version, or why it can't be measured. */
  readonly version: () => { readonly found: string } | { readonly missing: string };
  /** Runs a command inside, until it ends or `limitMs` have passed. */
  readonly run: (words: readonly string[], mtu: number, limitMs: number) => Promise<Outcome>;
}

/** pasta leads the address of the host's default route to the host itself, so the others have the same. */
const GATEWAY: string = defaultGateway() ?? STAGE_GATEWAY;

const TAPSTER: string = fileURLToPath(new URL('../cli/main.js', import.meta.url));
const PASTA: string = process.env['PASTA'] ?? 'pasta';
const SLIRP4NETNS: string = process.env['SLIRP4NETNS'] ?? 'slirp4netns';

/** No network between: the kernel's own loopback, with the same client and server. */
export const LOOPBACK: Network = {
  name: 'loopback',
  mtuMax: undefined,
  hostAddress: '127.0.0.1',
  version: () => ({ found: '' }),
  run: (words, _mtu, limitMs) => start(words, limitMs).ended,
};

const tapster: Network = {
  name: 'tapster',
  mtuMax: 65_520,
  hostAddress: GATEWAY,
  version: () => versionOf([process.execPath, TAPSTER, '--version']),
  run: (words, mtu, limitMs) => {
    const options = ['run', '--mtu', String(mtu), '--host-loopback', GATEWAY, '--quiet'];
    return start([process.execPath, TAPSTER, ...options, '--', ...words], limitMs).ended;
  },
};

const pasta: Network = {
  name: 'pasta',
  mtuMax: 65_520,
  hostAddress: GATEWAY,
  // Debian's build of 2023 does not know its own version.
  version: () => versionOf([PASTA, '--version'], 'passt'),
  run: (words, mtu, limitMs) =>
    start([PASTA, '--config-net', '--quiet', '--mtu', String(mtu), '--', ...words], limitMs).ended,
};

const slirp4netns: Network = {
  name: 'slirp4netns',
  mtuMax: 65_520,
  hostAddress: '10.0.2.2',
  version: () => versionOf([SLIRP4NETNS, '--version']),
  run: runInSlirp4netns,
};

export const NETWORKS: readonly Network[] = [LOOPBACK, tapster, pasta, slirp4netns];

/** It serves a namespace that somebody else has made: a shell that waits in one until the network is there. */
async function runInSlirp4netns(words: readonly string[], mtu: number, limitMs: number): Promise<Outcome> {
  const wait = ['sh', '-c', 'echo made; read -r go; exec "$@"', 'sh', ...words];
  const inside = start(['unshare', '--user', '--map-root-user', '--net', '--', ...wait], limitMs);
  const made = await Promise.race([once(inside.child.stdout!, 'data'), inside.ended]);
  if (!Array.isArray(made)) return made;
  const options = ['--configure', `--mtu=${mtu}`, '--ready-fd=3', String(inside.child.pid), 'tap0'];
  const network = start([SLIRP4NETNS, ...options], limitMs, ['pipe']);
  const ready = await Promise.race([once(network.child.stdio[3] as Readable, 'data'), network.ended]);
  if (!Array.isArray(ready)) {
    sweep(inside.child);
    return ready;
  }
  inside.child.stdin!.write('go\n');
  const outcome = await inside.ended;
  sweep(network.child);
  const said = await network.ended;
  return { ...outcome, stdout: outcome.stdout.replace(/^made\n/, ''), stderr: outcome.stderr + said.stderr };
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
function versionOf(words: readonly string[], debianPackage?: string): { found: string } | { missing: string } {
  const [program = '', ...args] = words;
  const asked = spawnSync(program, args, { encoding: 'utf8', timeout: 10_000 });
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
