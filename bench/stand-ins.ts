/**
 * Programs that give a namespace a network when somebody else has made it, and lead ports of the host there: Tapster in place of pasta and of slirp4netns, and these
 * themselves.
 */
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { TAPSTER } from './network.ts';
import { complaint, said, start, sweep } from './process.ts';

const LIMIT_MS = 90_000;
/** A namespace is there as long as a whole measurement. */
const ROOM_MS = 60_000;
const POLL_MS = 5;
/** The namespace's own, in the plan of slirp4netns. */
const SLIRP_GUEST = '10.0.2.100';

export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** A stand-in at work. */
export interface Serving {
  /** From its start until it says that all is ready. */
  readonly milliseconds: number;
  /** Of the process that moves packets. */
  readonly pid: number;
  readonly stop: () => Promise<void>;
}

export interface StandIn {
  readonly name: string;
  /** Serves the namespace of a process, with these ports of the host's TCP leading to the same ones there. */
  readonly serve: (pid: number, ports: PortRange) => Promise<Serving | { readonly failed: string }>;
}

/** A namespace with a user namespace around it, made by somebody, and words that run a program inside. */
export interface Room {
  readonly pid: number;
  readonly inside: (words: readonly string[]) => readonly string[];
  readonly stop: () => Promise<void>;
}

export async function makeRoom(): Promise<Room | { readonly failed: string }> {
  const script = 'ip link set lo up && echo made && exec sleep 600';
  const program = start(['unshare', '--user', '--map-root-user', '--net', '--', 'sh', '-c', script], ROOM_MS);
  const ended = await said(program);
  if (ended !== undefined) return { failed: `a namespace: ${complaint(ended, ROOM_MS)}` };
  const pid = program.child.pid!;
  return {
    pid,
    inside: (words) => ['nsenter', '--preserve-credentials', '--user', '--net', `--target=${pid}`, '--', ...words],
    stop: async () => {
      sweep(program.child);
      await program.ended;
    },
  };
}

const OURS: readonly string[] = [process.execPath, TAPSTER];
export const TAPSTER_AS_PASTA: StandIn = { name: 'tapster', serve: (...how) => servePasta([...OURS, 'pasta'], ...how) };
export const TAPSTER_AS_SLIRP4NETNS: StandIn = {
  name: 'tapster slirp4netns',
  serve: (...how) => serveSlirp4netns([...OURS, 'slirp4netns'], ...how),
};
export const PASTA: StandIn = {
  name: 'pasta',
  serve: (...how) => servePasta([process.env['PASTA'] ?? 'pasta'], ...how),
};
export const SLIRP4NETNS: StandIn = {
  name: 'slirp4netns',
  serve: (...how) => serveSlirp4netns([process.env['SLIRP4NETNS'] ?? 'slirp4netns'], ...how),
};

/** The program that was started ends when the daemon that it leaves behind is ready. */
async function servePasta(
  program: readonly string[],
  pid: number,
  { first, last }: PortRange,
): Promise<Serving | { readonly failed: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'tapster-bench-'));
  const pidPath = join(folder, 'pid');
  const ports = ['-t', `${first}-${last}`, '-u', 'none', '-T', 'none', '-U', 'none'];
  const words = [...program, '--config-net', '--quiet', ...ports, '-P', pidPath, String(pid)];
  const outcome = await start(words, LIMIT_MS).ended;
  const daemon = outcome.status === 0 ? Number(readFileSync(pidPath, 'utf8')) : 0;
  const stop = async (): Promise<void> => {
    if (daemon > 0) await endProcess(daemon);
    rmSync(folder, { recursive: true, force: true });
  };
  if (daemon > 0) return { milliseconds: outcome.milliseconds, pid: daemon, stop };
  await stop();
  return { failed: complaint(outcome, LIMIT_MS) };
}

async function serveSlirp4netns(
  program: readonly string[],
  pid: number,
  { first, last }: PortRange,
): Promise<Serving | { readonly failed: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'tapster-bench-'));
  const apiPath = join(folder, 'api');
  const options = ['--configure', '--mtu=65520', '--ready-fd=3', `--api-socket=${apiPath}`];
  const startedMs = performance.now();
  const network = start([...program, ...options, String(pid), 'tap0'], ROOM_MS, ['pipe']);
  const stop = async (): Promise<void> => {
    sweep(network.child);
    await network.ended;
    rmSync(folder, { recursive: true, force: true });
  };
  const ready = await Promise.race([once(network.child.stdio[3] as Readable, 'data'), network.ended]);
  const milliseconds = performance.now() - startedMs;
  if (!Array.isArray(ready)) {
    await stop();
    return { failed: complaint(ready, LIMIT_MS) };
  }
  for (let port = first; port <= last; port++) {
    const answer = await forward(apiPath, port);
    if (!answer.includes('"error"')) continue;
    await stop();
    return { failed: answer };
  }
  return { milliseconds, pid: network.child.pid!, stop };
}

async function forward(path: string, port: number): Promise<string> {
  const ports = { host_addr: '127.0.0.1', host_port: port, guest_addr: SLIRP_GUEST, guest_port: port };
  const socket = connect({ path, allowHalfOpen: true });
  socket.end(JSON.stringify({ execute: 'add_hostfwd', arguments: { proto: 'tcp', ...ports } }));
  let text = '';
  for await (const chunk of socket) text += String(chunk);
  return text;
}

/** A daemon is nobody's child. */
async function endProcess(pid: number): Promise<void> {
  try {
    process.kill(pid, 'SIGTERM');
    for (const endMs = performance.now() + LIMIT_MS; performance.now() < endMs; await sleep(POLL_MS)) {
      process.kill(pid, 0);
    }
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has gone.
  }
}
