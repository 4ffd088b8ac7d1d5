/**
 * The lab: a small internet, its servers, and `tapster` on the host in it. `inLab` describes tests once and runs them as root and as an ordinary user.
 */
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe } from 'node:test';
import { Internet, type InternetOptions, whyNoInternet } from './internet.ts';
import { type Ended, endAll, Program, type StartOptions } from './process.ts';
import { asUser, CHECKOUT, checkoutPath, environmentOf, nodeOf, type User } from './user.ts';

/** A line of `--flows`. */
export interface FlowLine {
  readonly event: 'open' | 'close';
  readonly id: number;
  readonly time: string;
  readonly protocol: string;
  readonly direction: 'out' | 'in';
  readonly guest: { readonly address: string; readonly port: number };
  readonly remote: { readonly address: string; readonly port: number };
  readonly target?: { readonly address: string; readonly port: number };
  readonly name?: string;
  readonly outcome: string;
  readonly packetsOut: number;
  readonly packetsIn: number;
  readonly bytesOut: number;
  readonly bytesIn: number;
  readonly durationMs: number;
  readonly rttUs?: number;
}

export interface Ran extends Ended {
  /** How each flow ended, in that order. */
  readonly closed: readonly FlowLine[];
  readonly opened: readonly FlowLine[];
}

export interface LabOptions extends InternetOptions {
  /** Who runs the tests; undefined: both. */
  readonly users?: readonly User[];
}

/** How a test process is told to end early: its exit handler cleans up. */
const ENDING = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Describes tests that run once for each user; where namespaces can't be made, they are skipped and say why. */
export function inLab(title: string, define: (lab: Lab) => void, options: LabOptions = {}): void {
  const why = whyNoInternet();
  for (const user of options.users ?? (['root', 'user'] as const)) {
    describe(`${title}, as ${user === 'root' ? 'root' : 'an ordinary user'}`, { skip: why ?? false }, () => {
      const lab = new Lab(user, options);
      before(() => lab.up());
      after(() => lab.down());
      define(lab);
    });
  }
}

export class Lab {
  readonly user: User;
  readonly #options: LabOptions;
  #internet: Internet | undefined;
  #folder: string = '';
  #files: number = 0;
  #server: Program | undefined;

  constructor(user: User, options: LabOptions) {
    this.user = user;
    this.#options = options;
  }

  async up(): Promise<void> {
    this.#folder = mkdtempSync(join(tmpdir(), 'tapster-test-'));
    chmodSync(this.#folder, 0o777);
    this.#internet = new Internet(this.#options);
    process.once('exit', this.#removeAll);
    for (const signal of ENDING) process.once(signal, this.#endBySignal);
    this.#server = this.inNet(this.nodeProgram('server', 'internet'), { timeoutMs: 0 });
    await this.#server.says(/^ready$/m);
  }

  async down(): Promise<void> {
    await endAll();
    process.off('exit', this.#removeAll);
    for (const signal of ENDING) process.off(signal, this.#endBySignal);
    this.#removeAll();
  }

  get internet(): Internet {
    return this.#internet!;
  }

  /** What the servers have to tell: see `server.ts`. */
  get server(): Program {
    return this.#server!;
  }

  /** What a service of the servers' tells next: see `server.ts`. */
  serverTells(service: string): Promise<Record<string, unknown>> {
    const seen = this.server.stdout.length;
    const line = new RegExp(`^\\{"service":"${service}".*\\}$`, 'm');
    const told = this.server.says(line, seen).then(([json]) => JSON.parse(json) as Record<string, unknown>);
    // Who failed before does not wait for it any more.
    told.catch(() => {});
    return told;
  }

  flows(path: string): FlowLine[] {
    return readFlows(path);
  }

  /** The words of one of the programs beside this file, for root. */
  nodeProgram(name: 'server' | 'client', ...words: readonly string[]): readonly string[] {
    return [process.execPath, `${CHECKOUT}dist/test/support/netns/${name}.js`, ...words];
  }

  /** The words of `client.ts` as a command of Tapster's. */
  client(...words: readonly string[]): string[] {
    return [nodeOf(this.user), checkoutPath(this.user, 'dist/test/support/netns/client.js'), ...words];
  }

  /** The same for a shell. */
  clientText(...words: readonly string[]): string {
    return this.client(...words)
      .map(quote)
      .join(' ');
  }

  /** Starts a program in the internet. */
  inNet(words: readonly string[], options: StartOptions = {}): Program {
    return new Program([...this.internet.in(this.internet.net), ...words], options);
  }

  /** Starts a program on the host, beside Tapster. */
  onHost(words: readonly string[], options: StartOptions = {}): Program {
    return new Program([...this.internet.in(this.internet.host), ...words], options);
  }

  /** The words that start `tapster` on the host, as the lab's user. */
  tapster(...words: readonly string[]): readonly string[] {
    const { user } = this;
    return [...this.asUserOnHost(), nodeOf(user), checkoutPath(user, 'dist/cli/main.js'), ...words];
  }

  asUserOnHost(): readonly string[] {
    return [...this.internet.in(this.internet.host), ...asUser(this.user)];
  }

  /** Starts `tapster` on the host with any words. Its process is the program's: its id is Tapster's. */
  start(words: readonly string[], options: StartOptions = {}): Program {
    return new Program(this.tapster(...words), { env: environmentOf(this.user), cwd: '/', ...options });
  }

  /** `tapster run OPTIONS -- COMMAND`, to its end. */
  async run(options: readonly string[], command: readonly string[], how: StartOptions = {}): Promise<Ran> {
    const flowsPath = this.newPath('flows');
    const words = ['run', '--flows', flowsPath, ...options, '--', ...command];
    const ended = await this.start(words, how).ended;
    const flows = readFlows(flowsPath);
    return {
      ...ended,
      opened: flows.filter(({ event }) => event === 'open'),
      closed: flows.filter(({ event }) => event === 'close'),
    };
  }

  /** Runs a shell's command line inside. */
  runShell(options: readonly string[], line: string, how: StartOptions = {}): Promise<Ran> {
    return this.run(options, ['sh', '-c', line], how);
  }

  /** A path that nothing is at yet, in a folder that everybody may write to. */
  newPath(name: string): string {
    return join(this.#folder, `${this.#files++}-${name}`);
  }

  readonly #endBySignal = (): never => process.exit(1);

  readonly #removeAll = (): void => {
    this.#internet?.remove();
    if (this.#folder !== '') rmSync(this.#folder, { recursive: true, force: true });
  };
}

function readFlows(path: string): FlowLine[] {
  if (!existsSync(path)) return [];
  const lines = readFileSync(path, 'utf8').split('\n').filter(Boolean);
  return lines.map((line) => JSON.parse(line) as FlowLine);
}

/** The last line of a program's output, which is what `client.ts` found out. */
export function report<T = Record<string, unknown>>(ended: Ended): T {
  const line = ended.stdout.trimEnd().split('\n').at(-1) ?? '';
  try {
    return JSON.parse(line) as T;
  } catch {
    throw new Error(`no report; status ${ended.status}\nstdout: ${ended.stdout}\nstderr: ${ended.stderr}`);
  }
}

/** An address and a port as URLs have them. */
export function authority(address: string, port?: number): string {
  const host = address.includes(':') ? `[${address}]` : address;
  return port === undefined ? host : `${host}:${port}`;
}

export function quote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
