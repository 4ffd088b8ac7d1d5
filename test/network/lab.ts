/**
 * What tests of a running network have around them: a machine of their own to be on (a network and a mount namespace, which end with the process), namespaces in it,
 * and a network made by `createNetwork`, which runs on this process's event loop. So a test never waits without letting that loop turn.
 *
 *     await onOwnMachine(import.meta.url);
 *     describe('...', () => { const lab = inLab('red', 'blue'); it('...', async () => { await lab.apply(`...`); ... }) });
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Failure } from '#tapster/base/result.js';
import { parseConfig } from '#tapster/config/parse-config.js';
import { createNetwork } from '#tapster/network/network.js';
import type { ApplyOptions, RunningNetwork } from '#tapster/network/running-network.js';
import type { ApplyView, EventView, InterfaceView, TapView } from '#tapster/network/views.js';
import { report } from '../support/netns/lab.ts';
import { type Ended, endAll, eventually, execute, Program, type StartOptions } from '../support/netns/process.ts';

const OWN_MACHINE = 'TAPSTER_TEST_OWN_MACHINE';
const SET_UP =
  'mount -t tmpfs tmpfs /run && mkdir -p /run/netns /var/run/netns && ip link set lo up && echo "0 2147483647" > /proc/sys/net/ipv4/ping_group_range && exec "$@"';
/** Whatever is started ends when who started it is killed. */
const MORTAL = ['setpriv', '--pdeathsig', 'KILL'];
/** Ends what hangs. */
const PING_SECONDS = '60';
const EVENT_MS = 60_000;
const CLIENT = fileURLToPath(new URL('../support/netns/client.js', import.meta.url));
const PEER = fileURLToPath(new URL('./peer.js', import.meta.url));

/**
 * Goes on on a machine of the test file's own: the file is run once more there, and what its tests report goes where this process's reports go. Where there can be no
 * such machine, there is one test, which is skipped and says why; `undefined` is returned on the own machine only.
 */
export async function onOwnMachine(url: string): Promise<void> {
  if (process.env[OWN_MACHINE] === url) return;
  const enter = ['--net', '--mount', ...MORTAL, 'sh', '-c', SET_UP, 'sh'];
  const probe = spawnSync('unshare', [...enter, 'sh', '-c', ': <> /dev/net/tun'], { encoding: 'utf8' });
  if (probe.status !== 0) {
    const why = `no network namespace with a tun device here: ${probe.error?.message ?? probe.stderr.trim()}`;
    await test(fileURLToPath(url), { skip: why }, () => {});
    process.exit(0);
  }
  const env = { ...process.env, [OWN_MACHINE]: url };
  const inner = spawn('unshare', [...enter, process.execPath, ...process.execArgv, fileURLToPath(url)], {
    stdio: 'inherit',
    env,
  });
  const [status] = (await once(inner, 'close')) as [number | null];
  process.exit(status ?? 1);
}

/** Words that come before a program's to have it started in a namespace of `ip netns`. */
function inside(namespace: string): string[] {
  return ['nsenter', `--net=/run/netns/${namespace}`, ...MORTAL];
}

export interface PingOptions {
  readonly from?: string;
  readonly bytes?: number;
  readonly ttl?: number;
  readonly dontFragment?: boolean;
  /** So many, all at once: 100 at most, which the buffer of ping(8) holds. */
  readonly count?: number;
}

export interface Pinged {
  readonly answered: boolean;
  /** All that ping(8) printed. */
  readonly text: string;
}

/** A namespace of `ip netns`, and what runs in it. */
export class Namespace {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
    ip('netns', 'add', name);
    // No address is tried before it is used, nobody asks for routers, and errors are not limited.
    this.shell(`
      cd /proc/sys/net
      for each in all default; do echo 0 > ipv6/conf/$each/accept_dad; echo 0 > ipv6/conf/$each/router_solicitations; done
      echo 0 > ipv4/icmp_ratelimit; echo 0 > ipv6/icmp/ratelimit
      ip link set lo up`);
  }

  /** For what needs nothing of the network: it stands still meanwhile. */
  shell(script: string): string {
    const [program, ...words] = [...inside(this.name), 'sh', '-ec', script];
    const { status, stdout, stderr } = spawnSync(program!, words, { encoding: 'utf8' });
    assert.equal(status, 0, `${script}: ${stderr}`);
    return stdout;
  }

  /** What `ip` tells as data. */
  list<T = Record<string, unknown>>(...words: readonly string[]): T[] {
    return JSON.parse(this.shell(`ip -j ${words.join(' ')}`) || '[]') as T[];
  }

  start(words: readonly string[], options: StartOptions = {}): Program {
    return new Program([...inside(this.name), ...words], options);
  }

  run(...words: readonly string[]): Promise<Ended> {
    return execute([...inside(this.name), ...words]);
  }

  /** Of `test/support/netns/client.ts`. */
  async client<T = Record<string, unknown>>(...words: readonly string[]): Promise<T> {
    return report<T>(await this.run(process.execPath, CLIENT, ...words));
  }

  /** Echo of TCP and UDP at port 7, a reader at port 9: see `peer.ts`. */
  async serve(): Promise<Program> {
    const program = this.start([process.execPath, PEER, 'serve'], { timeoutMs: 0 });
    await program.says(/^ready$/m);
    return program;
  }

  /** Has so much of the pattern sent from there, so often at once: the program says so when it is in full swing, and in the end what it read. */
  fetch(address: string, bytes: number, count: number): Program {
    return this.start([process.execPath, PEER, 'fetch', address, String(bytes), String(count)]);
  }

  /** A conversation with the echo server at an address, which lasts. */
  async talk(address: string): Promise<Talk> {
    const program = this.start([process.execPath, PEER, 'talk', address], { keepInput: true, timeoutMs: 0 });
    await program.says(/^connected$/m);
    return new Talk(program);
  }

  /** Sends exactly as many as it is told, and waits until each is answered, or an error comes. */
  async ping(address: string, options: PingOptions = {}): Promise<Pinged> {
    const { count = 1 } = options;
    const text = await this.#ping(['-c', String(count), '-l', String(count), '-W', PING_SECONDS], address, options);
    return { answered: text.includes(` ${count} received`), text };
  }

  /** Pings until it is answered: links come up in their own time. Then as many more as are asked for, all of which must be answered. */
  async reach(address: string, options: PingOptions = {}): Promise<void> {
    await eventually(`${this.name} reaches ${address}`, async () =>
      / [1-9]\d* received/.test(await this.#ping(['-c', '1', '-w', PING_SECONDS, '-i', '0.2'], address, options)),
    );
    if (options.count === undefined) return;
    const all = await this.ping(address, options);
    assert.ok(all.answered, all.text);
  }

  async #ping(how: readonly string[], address: string, options: PingOptions): Promise<string> {
    const { from, bytes, ttl, dontFragment = false } = options;
    const words = [
      ...['ping', '-n', ...how],
      ...(from === undefined ? [] : ['-I', from]),
      ...(bytes === undefined ? [] : ['-s', String(bytes)]),
      ...(ttl === undefined ? [] : ['-t', String(ttl)]),
      ...(dontFragment ? ['-M', 'do'] : []),
      address,
    ];
    const { stdout, stderr } = await this.run(...words);
    return `${stdout}${stderr}`;
  }

  delete(): void {
    ip('netns', 'del', this.name);
  }
}

export class Talk {
  readonly #program: Program;

  constructor(program: Program) {
    this.#program = program;
  }

  /** Says a word and waits until it comes back. */
  async say(word: string): Promise<void> {
    const from = this.#program.stdout.length;
    this.#program.write(`${word}\n`);
    await this.#program.says(new RegExp(`^echo ${word}$`, 'm'), from);
  }

  /** Resolves with what ended it. */
  async broken(): Promise<string> {
    const [, why] = await this.#program.says(/^ended (\S+)$/m);
    return why!;
  }

  async end(): Promise<void> {
    this.#program.endInput();
    await this.#program.ended;
  }
}

export class Lab {
  readonly events: EventView[] = [];
  readonly logged: string[] = [];
  readonly #listeners: Set<() => void> = new Set();
  #network: RunningNetwork | undefined;

  async up(): Promise<void> {
    const made = await createNetwork({
      ...{ name: 'test', version: '0', log: (level, message) => void this.logged.push(`${level}: ${message}`) },
    });
    assert.ok(made.ok, JSON.stringify(made));
    this.#network = made.value;
    this.#network.onEvent((event) => {
      this.events.push(event);
      for (const listener of this.#listeners) listener();
    });
  }

  async down(): Promise<void> {
    await endAll();
    await this.#network?.close();
  }

  get network(): RunningNetwork {
    return this.#network!;
  }

  async apply(text: string, options?: ApplyOptions): Promise<ApplyView> {
    const applied = await this.network.apply(configOf(text), options);
    assert.ok(applied.ok, applied.ok ? '' : `${applied.failure.code}: ${applied.failure.message}`);
    return applied.value;
  }

  /** Applies what can not be. */
  async refuse(text: string, options?: ApplyOptions): Promise<Failure> {
    const applied = await this.network.apply(configOf(text), options);
    assert.ok(!applied.ok, 'this should have been refused');
    return applied.failure;
  }

  /** The next event of that name, or one that has been. */
  async heard(event: string, matches: (event: EventView) => boolean = () => true): Promise<EventView> {
    const found = (): EventView | undefined => this.events.find((each) => each.event === event && matches(each));
    const there = found();
    if (there !== undefined) return there;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no such event ${event} within ${EVENT_MS} ms`)), EVENT_MS);
      const listener = (): void => {
        const came = found();
        if (came === undefined) return;
        clearTimeout(timer);
        this.#listeners.delete(listener);
        resolve(came);
      };
      this.#listeners.add(listener);
    });
  }

  interface(name: string): InterfaceView {
    const found = this.network.interfaces().find((each) => each.name === name);
    assert.ok(found, `no interface ${name}`);
    return found;
  }

  tap(name: string): TapView {
    const found = this.network.taps().find((each) => each.name === name);
    assert.ok(found, `no tap ${name}`);
    return found;
  }

  /** How often a packet was dropped for a reason, at whatever node. */
  dropped(reason: string): number {
    const counted = this.network.errors().filter((each) => each.reason === reason);
    return counted.reduce((sum, { packets }) => sum + packets, 0);
  }
}

/** A network for the tests of a suite. */
export function inLab(): Lab {
  const lab = new Lab();
  before(() => lab.up());
  after(() => lab.down());
  return lab;
}

export function configOf(text: string): Extract<ReturnType<typeof parseConfig>, { ok: true }>['value'] {
  const parsed = parseConfig(text);
  assert.ok(parsed.ok, parsed.ok ? '' : JSON.stringify(parsed.problems));
  return parsed.value;
}

/** On the machine itself, where the uplink's sockets are: what a namespace has with `serve`. */
export async function serveHere(): Promise<Program> {
  const program = new Program([...MORTAL, process.execPath, PEER, 'serve'], { timeoutMs: 0 });
  await program.says(/^ready$/m);
  return program;
}

/** The same as `Namespace.client`. */
export async function clientHere<T = Record<string, unknown>>(...words: readonly string[]): Promise<T> {
  return report<T>(await execute([...MORTAL, process.execPath, CLIENT, ...words]));
}

/** On the machine itself, outside of all namespaces. */
export function ip(...words: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync('ip', words, { encoding: 'utf8' });
  assert.equal(status, 0, `ip ${words.join(' ')}: ${stderr}`);
  return stdout;
}
