/**
 * The soak: Tapster under mixed traffic for a time, and what it holds at the end against what it held after warm-up.
 *
 * Everything that is carried is compared, byte by byte or by hash. Flat means, between the first and the last third of the samples behind the warm-up, by their medians:
 *
 * | what                   | may grow by                     | why that much                                                  |
 * | ---------------------- | ------------------------------- | -------------------------------------------------------------- |
 * | heap after collection  | 10 %, or 2 MB                   | code that is compiled late                                     |
 * | external memory        | 10 %, or 13 MB                  | the store for slow hosts grows in slabs of 4 MiB and stays     |
 * | resident set           | 15 %, or 32 MB                  | both, and what the allocator keeps                             |
 *
 * When the traffic is over, no TCP flow is left, and no more descriptors than before it, but one for each datagram flow that has not timed out.
 */
import { closeSync, existsSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs';
import { Lab } from '../support/netns/lab.ts';
import { eventually, Program } from '../support/netns/process.ts';
import { checkoutPath, environmentOf, nodeOf, type User } from '../support/netns/user.ts';
import type { Beat } from './tapster.ts';
import type { Tally } from './traffic.ts';

export interface SoakOptions {
  readonly minutes: number;
  readonly user: User;
  /** Hears a line every ten seconds, and the verdict. */
  readonly say: (line: string) => void;
}

interface Sample {
  readonly atMs: number;
  readonly residentBytes: number;
  readonly heapBytes: number;
  readonly externalBytes: number;
  readonly descriptors: number;
  readonly flows: number;
}

const SAMPLE_MS = 1000;
const LINE_MS = 10_000;
const WARM_UP_SHARE = 0.3;
/** Datagrams may be lost, when the machine is busy: one in so many. */
const LOST_DATAGRAMS_SHARE = 0.001;
const MB = 1_000_000;

const BOUNDS: readonly {
  readonly name: string;
  readonly of: (sample: Sample) => number;
  readonly share: number;
  readonly bytes: number;
}[] = [
  { name: 'heap', of: ({ heapBytes }) => heapBytes, share: 0.1, bytes: 2 * MB },
  { name: 'external memory', of: ({ externalBytes }) => externalBytes, share: 0.1, bytes: 13 * MB },
  { name: 'resident set', of: ({ residentBytes }) => residentBytes, share: 0.15, bytes: 32 * MB },
];

/** Returns what was wrong, in words; empty when all is well. */
export async function soak(options: SoakOptions): Promise<string[]> {
  const lab = new Lab(options.user, {});
  await lab.up();
  try {
    return await new Soak(lab, options).run();
  } finally {
    await lab.down();
  }
}

class Soak {
  readonly #lab: Lab;
  readonly #options: SoakOptions;
  readonly #flows: OpenFlows;
  readonly #samples: Sample[] = [];
  #tapster: Program | undefined;

  constructor(lab: Lab, options: SoakOptions) {
    this.#lab = lab;
    this.#options = options;
    this.#flows = new OpenFlows(lab.newPath('flows'));
  }

  async run(): Promise<string[]> {
    const { minutes, say } = this.#options;
    const tapster = this.#start();
    await tapster.says(/^"ready"$/m);
    const before = descriptorsOf(tapster.pid);
    const outside = this.#lab.inNet([process.execPath, TRAFFIC, 'outside'], { keepInput: true, timeoutMs: 0 });
    await outside.says(/^"ready"$/m);
    const durationMs = minutes * 60_000;
    const startedAt = performance.now();
    let lineAt = LINE_MS;
    for (let atMs = 0; atMs < durationMs; atMs = performance.now() - startedAt) {
      await new Promise((resolve) => setTimeout(resolve, SAMPLE_MS));
      this.#sample(atMs);
      if (atMs < lineAt) continue;
      lineAt += LINE_MS;
      say(this.#line(atMs, [tapster, outside]));
    }
    outside.endInput();
    const called = await outside.ended;
    tapster.endInput();
    await tapster.says(/^"done"$/m);
    const left = await this.#whatIsLeft(before);
    tapster.kill('SIGTERM');
    await tapster.ended;
    const tallies = [lastTally(tapster.stdout), lastTally(called.stdout)];
    for (const { done, bytes } of tallies) say(`${(bytes / MB).toFixed(0)} MB: ${JSON.stringify(done)}`);
    return [...tallies.flatMap(failures), ...this.#growth(), ...left];
  }

  #start(): Program {
    const { user } = this.#options;
    const inside = [nodeOf(user), checkoutPath(user, 'dist/test/soak/traffic.js'), 'inside'];
    const published = ['-p', '7000', '-p', '7001/udp'];
    const words = ['run', '-q', '--flows', this.#flows.path, ...published, '--', ...inside];
    const program = [nodeOf(user), '--expose-gc', checkoutPath(user, 'dist/test/soak/tapster.js'), ...words];
    this.#tapster = new Program([...this.#lab.asUserOnHost(), ...program], {
      env: environmentOf(user),
      cwd: '/',
      keepInput: true,
      timeoutMs: 0,
    });
    return this.#tapster;
  }

  #sample(atMs: number): void {
    const { pid, stderr } = this.#tapster!;
    const beat = stderr.match(/.*"beat":(\{.*?\})\}\n$/)?.[1];
    if (beat === undefined) return;
    const { heapBytes, externalBytes } = JSON.parse(beat) as Beat;
    const descriptors = descriptorsOf(pid);
    this.#flows.read();
    const flows = this.#flows.count();
    this.#samples.push({ atMs, residentBytes: residentBytesOf(pid), heapBytes, externalBytes, descriptors, flows });
  }

  #line(atMs: number, programs: readonly Program[]): string {
    const sample = this.#samples.at(-1);
    if (sample === undefined) return 'no sample yet';
    const { residentBytes, heapBytes, externalBytes, descriptors, flows } = sample;
    const tallies = programs.map(({ stdout }) => lastTally(stdout));
    const bytes = tallies.reduce((sum, each) => sum + each.bytes, 0);
    const done = tallies.flatMap((each) => Object.values(each.done)).reduce((sum, count) => sum + count, 0);
    const failed = tallies.flatMap((each) => Object.values(each.failed)).reduce((sum, count) => sum + count, 0);
    const held = `resident ${mb(residentBytes)}, heap ${mb(heapBytes)}, external ${mb(externalBytes)}`;
    const carried = `${mb(bytes)}, ${done} conversations, ${failed} failed`;
    return `${(atMs / 1000).toFixed(0)} s: ${carried}; ${flows} flows, ${descriptors} descriptors; ${held}`;
  }

  /** What has grown between the first and the last third behind the warm-up. */
  #growth(): string[] {
    const all = this.#samples;
    const warm = all.slice(Math.floor(all.length * WARM_UP_SHARE));
    const third = Math.floor(warm.length / 3);
    if (third === 0) return [`only ${all.length} samples: it was too short to say anything`];
    const problems: string[] = [];
    for (const { name, of, share, bytes } of BOUNDS) {
      const first = median(warm.slice(0, third).map(of));
      const last = median(warm.slice(-third).map(of));
      this.#options.say(`${name}: ${mb(first)}, at the end ${mb(last)}`);
      if (last > Math.max(first * (1 + share), first + bytes))
        problems.push(`${name} grew from ${mb(first)} to ${mb(last)}`);
    }
    return problems;
  }

  /** Nobody talks any more. */
  async #whatIsLeft(before: number): Promise<string[]> {
    const flows = this.#flows;
    const { pid } = this.#tapster!;
    const isClear = (): boolean => {
      flows.read();
      return flows.count('tcp') === 0 && descriptorsOf(pid) <= before + flows.count();
    };
    try {
      await eventually('no TCP flow is left', isClear);
      this.#options.say(
        `at the end ${flows.count()} datagram flows, ${descriptorsOf(pid)} descriptors, before ${before}`,
      );
      return [];
    } catch {
      return [
        `${flows.count('tcp')} TCP flows and ${descriptorsOf(pid)} descriptors are left; before there were ${before}`,
      ];
    }
  }
}

/** How many flows are open, from the log of flows as it grows. */
class OpenFlows {
  readonly path: string;
  readonly #open = new Map<number, string>();
  #at = 0;
  #rest = '';

  constructor(path: string) {
    this.path = path;
  }

  count(protocol?: string): number {
    if (protocol === undefined) return this.#open.size;
    return [...this.#open.values()].filter((each) => each === protocol).length;
  }

  read(): void {
    if (!existsSync(this.path)) return;
    const fd = openSync(this.path, 'r');
    const chunk = Buffer.alloc(1 << 20);
    for (
      let got = readSync(fd, chunk, 0, chunk.length, this.#at);
      got > 0;
      got = readSync(fd, chunk, 0, chunk.length, this.#at)
    ) {
      this.#at += got;
      const lines = (this.#rest + chunk.toString('latin1', 0, got)).split('\n');
      this.#rest = lines.pop()!;
      for (const line of lines) this.#take(JSON.parse(line) as { event: string; id: number; protocol: string });
    }
    closeSync(fd);
  }

  #take({ event, id, protocol }: { readonly event: string; readonly id: number; readonly protocol: string }): void {
    if (event === 'open') this.#open.set(id, protocol);
    else this.#open.delete(id);
  }
}

/** Outside of Tapster's namespace it is root who runs it. */
const TRAFFIC = checkoutPath('root', 'dist/test/soak/traffic.js');

function lastTally(stdout: string): Tally {
  const line = stdout
    .split('\n')
    .filter((each) => each.startsWith('{'))
    .at(-1);
  return line === undefined ? { done: {}, failed: {}, bytes: 0 } : (JSON.parse(line) as Tally);
}

function failures({ done, failed }: Tally): string[] {
  return Object.entries(failed).flatMap(([what, count]) => {
    const [kind = ''] = what.split(':');
    const isLoss = what.endsWith(': lost') && count <= Math.max(1, (done[kind] ?? 0) * LOST_DATAGRAMS_SHARE);
    return isLoss ? [] : [`${count} times ${what}`];
  });
}

function descriptorsOf(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

function residentBytesOf(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/status`, 'utf8').match(/^VmRSS:\s+(\d+) kB$/m)?.[1] ?? 0) * 1024;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1]!;
}

function mb(bytes: number): string {
  return `${(bytes / MB).toFixed(1)} MB`;
}
