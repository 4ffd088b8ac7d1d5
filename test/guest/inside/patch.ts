/** Two taps in namespaces of their own, and a wire between them that is our links: what one receives the other transmits. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { closeSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Result } from '#tapster/base/result.js';
import { type OpenedTapLink, openTapLink, type TapBackend } from '#tapster/engine/tap-backend.js';
import { FRAME_PACKETS_MAX } from '#tapster/graph/node.js';
import { Packets } from '#tapster/packet/packets.js';
import { type HostTap, type OffloadLevel, openHostTap } from '#tapster/sys/host-tap.js';
import { LinuxSys } from '#tapster/sys/linux.js';
import { openNetworkNamespace } from '#tapster/sys/namespace-path.js';
import { POLL, POLL_OPERATION } from '#tapster/sys/sys.js';

export interface PatchOptions {
  readonly backend: TapBackend;
  readonly ringSizes?: { readonly rx: number; readonly tx: number };
  readonly offloads?: OffloadLevel;
}

/** The namespaces, the same for all tests; the tap in each is eth0. */
export const ENDS = [
  { namespace: 'red', address: '10.1.0.1', address6: 'fd01::1' },
  { namespace: 'blue', address: '10.1.0.2', address6: 'fd01::2' },
] as const;

const CHILD = fileURLToPath(new URL('./child.js', import.meta.url));
const CHILD_TIMEOUT_MS = 60_000;

export class Patch {
  readonly sys: LinuxSys = new LinuxSys();
  readonly taps: readonly HostTap[];
  readonly links: readonly OpenedTapLink['link'][];
  /** Frames that each link received. */
  readonly received: number[] = [0, 0];
  /** Frames of it that the other one refused. */
  readonly refused: number[] = [0, 0];
  readonly #packets: Packets = new Packets();
  readonly #frame: Int32Array = new Int32Array(FRAME_PACKETS_MAX);
  readonly #poll: number = this.sys.pollCreate();
  readonly #watch: number;
  #closed: boolean = false;

  constructor({ backend, ringSizes = { rx: 256, tx: 256 }, offloads = 'segmentation' }: PatchOptions) {
    const arenaMemory = this.sys.register(this.#packets.bytes);
    this.taps = ENDS.map(({ namespace }) => openTapIn(namespace, offloads));
    const whole = offloads === 'segmentation';
    const offload = { checksum: offloads !== 'off', tcpSegmentation: whole, udpSegmentation: false };
    this.links = this.taps.map(({ name, fds }) => {
      const options = { name, tapFd: fds[0]!, hasVnetHeader: true, offload, backend, ringSizes, arenaMemory };
      const opened = unwrap(openTapLink(this.sys, options));
      assert.equal(opened.backend, backend);
      return opened.link;
    });
    for (const [i, { fd }] of this.links.entries()) {
      this.sys.pollControl(this.#poll, POLL_OPERATION.ADD, fd, POLL.IN, i);
    }
    for (const end of ENDS) configure(end);
    this.#watch = this.sys.watchReadable(this.#poll, () => this.#turn());
  }

  close(): void {
    this.#closed = true;
    this.sys.unwatch(this.#watch);
    for (const link of this.links) link.close();
    for (const { netlink } of this.taps) netlink.close();
    closeSync(this.#poll);
  }

  #turn(): void {
    let more = false;
    for (const [from, link] of this.links.entries()) {
      const got = link.receive(this.#packets, this.#frame, FRAME_PACKETS_MAX);
      assert.ok(got >= 0, `${ENDS[from]!.namespace}: ${got}`);
      this.received[from]! += got;
      const to = this.links[1 - from]!;
      if (got > 0) this.refused[from]! += got - to.transmit(this.#packets, this.#frame, got);
      this.#packets.reset();
      more ||= got > 0;
    }
    // As the engine does: what was not read to its end is read again, though nothing be readable.
    if (more) setImmediate(() => this.#closed || this.#turn());
  }
}

/** Runs a program in a namespace: what it prints. Our event loop goes on meanwhile. */
export function runIn(namespace: string, ...words: readonly string[]): Promise<string> {
  const child = spawn('ip', ['netns', 'exec', namespace, ...words], {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: CHILD_TIMEOUT_MS,
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
  return new Promise((resolve, reject) => {
    child.on('close', (status, signal) => {
      if (status === 0) resolve(output);
      else reject(new Error(`${words.join(' ')} in ${namespace} ended with ${status ?? signal}: ${output}`));
    });
  });
}

/** Runs `child.ts`: see there. */
export function childIn(namespace: string, ...words: readonly string[]): Promise<string> {
  return runIn(namespace, process.execPath, CHILD, ...words);
}

export function ip(...words: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync('ip', words, { encoding: 'utf8' });
  assert.equal(status, 0, `ip ${words.join(' ')}: ${stderr}`);
  return stdout;
}

export function unwrap<T>(result: Result<T>): T {
  assert.ok(result.ok, JSON.stringify(result));
  return result.value;
}

export function openTapIn(namespace: string, offloads: OffloadLevel): HostTap {
  if (!ip('netns', 'list').includes(namespace)) ip('netns', 'add', namespace);
  const { fd } = unwrap(openNetworkNamespace(namespace));
  const tap = unwrap(openHostTap({ name: 'eth0', namespaceFd: fd, offloads }));
  closeSync(fd);
  return tap;
}

export function configure({ namespace, address, address6 }: (typeof ENDS)[number]): void {
  ip('-n', namespace, 'addr', 'add', `${address}/24`, 'dev', 'eth0');
  ip('-n', namespace, 'addr', 'add', `${address6}/64`, 'dev', 'eth0', 'nodad');
  ip('-n', namespace, 'link', 'set', 'eth0', 'up');
}
