/**
 * One virtual machine in three networks: ours over vhost-user, ours over QEMU's stream socket, and passt's. All are there at the same time, and asked in turns; those that are
 * not asked sleep.
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { GuestMachine } from './guest-machine.ts';
import { GATEWAY, HOST, TAPSTER, type Version, versionOf } from './network.ts';
import { complaint, cpuSeconds, type Program, start, sweep } from './process.ts';
import { serve, TRAFFIC_PORT } from './traffic.ts';

const PASST: string = process.env['PASST'] ?? 'passt';
const LIFE_MS = 600_000;
const SOCKET_MS = 60_000;
const ASK_AGAIN_MS = 20;
const MTU_MAX = 65_520;

export const GUEST_NETWORKS = ['vhost-user', 'stream', 'passt'] as const;
export type GuestNetwork = (typeof GUEST_NETWORKS)[number];

export interface Transfer {
  readonly gigabits: number;
  /** Of the network's processes. */
  readonly cpuSecondsPerGigabyte: number;
}

interface Failed {
  readonly failed: string;
}

export function passtVersion(): Version {
  return versionOf([PASST, '--version'], 'passt');
}

let lab: Promise<GuestLab | Failed> | undefined;

/** The one laboratory, made when it is asked for first. Each network has transferred that long each way by then, in small frames and in large ones: a program that is always there is warm. */
export function guestLab(networks: readonly GuestNetwork[], milliseconds: number): Promise<GuestLab | Failed> {
  lab ??= GuestLab.make(networks, milliseconds);
  return lab;
}

export async function endGuestLab(): Promise<void> {
  const made = await lab;
  if (made !== undefined && 'end' in made) await made.end();
}

export class GuestLab {
  readonly #machine: GuestMachine;
  readonly #programs: ReadonlyMap<GuestNetwork, Program>;
  /** Of each network, the words that run a command where its device is. */
  readonly #inside: ReadonlyMap<GuestNetwork, string>;
  readonly #stopServer: () => Promise<void>;

  static async make(networks: readonly GuestNetwork[], warmUpMs: number): Promise<GuestLab | Failed> {
    const folder = mkdtempSync(join(tmpdir(), 'tapster-bench-'));
    process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
    const programs = new Map<GuestNetwork, Program>();
    for (const network of networks) {
      const socket = join(folder, network);
      const program = start(wordsOf(network, socket), LIFE_MS);
      programs.set(network, program);
      const failed = await appears(socket, program);
      if (failed !== undefined) return { failed: `${network}: ${failed}` };
    }
    const machine = await GuestMachine.boot(networks.map((network) => deviceWords(network, join(folder, network))));
    if ('failed' in machine) return machine;
    const inside = new Map<GuestNetwork, string>();
    for (const [i, network] of networks.entries()) {
      const words = await separate(machine, `eth${i}`);
      if (words === undefined) return { failed: `${network}: the device has no address: ${await machine.end()}` };
      inside.set(network, words);
    }
    const served = await serve(HOST, LIFE_MS);
    if ('failed' in served) return served;
    const made = new GuestLab(machine, programs, inside, served.stop);
    for (const network of networks) {
      for (const mtu of [1500, MTU_MAX]) {
        for (const direction of ['out', 'in'] as const) await made.transfer(network, direction, mtu, warmUpMs);
      }
    }
    return made;
  }

  private constructor(
    machine: GuestMachine,
    programs: ReadonlyMap<GuestNetwork, Program>,
    inside: ReadonlyMap<GuestNetwork, string>,
    stopServer: () => Promise<void>,
  ) {
    this.#machine = machine;
    this.#programs = programs;
    this.#inside = inside;
    this.#stopServer = stopServer;
  }

  async end(): Promise<void> {
    await this.#machine.end();
    await this.#stopServer();
    for (const { child, ended } of this.#programs.values()) {
      sweep(child);
      await ended;
    }
  }

  /** The network's processes. */
  program(network: GuestNetwork): Program {
    return this.#programs.get(network)!;
  }

  /** Moves bytes between the guest and the host, as seen from the guest. */
  async transfer(
    network: GuestNetwork,
    direction: 'out' | 'in',
    mtu: number,
    milliseconds: number,
  ): Promise<Transfer | Failed> {
    const program = this.program(network);
    const device = `eth${[...this.#inside.keys()].indexOf(network)}`;
    const client = `traffic-client-static tcp-${direction} ${GATEWAY} ${TRAFFIC_PORT} ${milliseconds}`;
    const beforeS = cpuSeconds(program);
    const printed = await this.#machine.run(
      `${this.#inside.get(network)} sh -c 'ip link set ${device} mtu ${mtu} && ${client}'`,
    );
    const spentS = cpuSeconds(program) - beforeS;
    const [bytes = 0, gigabits = 0] = (printed ?? '').trim().split('\n').slice(-2).map(Number);
    if (!(bytes > 0 && gigabits > 0)) return { failed: `the client printed: ${printed ?? 'nothing'}` };
    return { gigabits, cpuSecondsPerGigabyte: (spentS / bytes) * 1e9 };
  }
}

function wordsOf(network: GuestNetwork, socket: string): readonly string[] {
  // With its best MTU, as the others.
  if (network === 'passt') {
    return [PASST, '--foreground', '--quiet', '--stderr', '--mtu', String(MTU_MAX), '--socket', socket];
  }
  const ours = [process.execPath, TAPSTER, 'guest', '--quiet', '--socket', socket, '--host-loopback', GATEWAY];
  return network === 'stream' ? ours : [...ours, '--vhost-user'];
}

function deviceWords(network: GuestNetwork, socket: string): readonly string[] {
  // QEMU 7.2 crashes under emulation where a device of vhost-user has interrupts of its own; all are alike.
  const device = ['-device', `virtio-net-pci,netdev=${network},vectors=0`];
  if (network !== 'vhost-user') {
    return ['-netdev', `stream,id=${network},server=off,addr.type=unix,addr.path=${socket}`, ...device];
  }
  return [
    ...['-chardev', `socket,id=rings,path=${socket}`, '-netdev', `vhost-user,id=${network},chardev=rings`],
    ...device,
  ];
}

/** Puts a device into a namespace of its own, and has it get an address there. Returns the words that lead there. */
async function separate(machine: GuestMachine, device: string): Promise<string | undefined> {
  const isInside = '[ "$(readlink /proc/$process/ns/net)" != "$(readlink /proc/$$/ns/net)" ]';
  const line = `unshare -n sleep 100000 & process=$!; until ${isInside}; do :; done; echo $process`;
  const process = (await machine.run(line))?.trim();
  const inside = `nsenter -t ${process} -n`;
  const lease = `udhcpc -i ${device} -n -q -t 20 -T 1 -s /lease`;
  const got = await machine.run(
    `ip link set ${device} netns ${process} && ${inside} ip link set ${device} up && ${inside} ${lease}`,
  );
  return got === undefined ? undefined : inside;
}

/** Waits for the socket. Returns why it does not come. */
async function appears(socket: string, program: Program): Promise<string | undefined> {
  for (let waitedMs = 0; waitedMs < SOCKET_MS; waitedMs += ASK_AGAIN_MS) {
    if (existsSync(socket)) return undefined;
    await sleep(ASK_AGAIN_MS);
  }
  sweep(program.child);
  return complaint(await program.ended, SOCKET_MS);
}
