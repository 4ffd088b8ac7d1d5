/** A program that was started: its output as it comes, line by line for who waits, and how it ended. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';

/** These end what hangs, and nothing else: a busy machine may take its time. */
const TIMEOUT_MS = 180_000;
const SILENCE_MS = 120_000;
const EVENTUALLY_MS = 60_000;

/** Programs that have been started and have not ended. */
const alive = new Set<Program>();

export interface Ended {
  /** Exit status, or 128 + signal as a shell would say. */
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
  /** The standard output byte by byte. */
  readonly output: Buffer;
  /** From start to end. */
  readonly durationMs: number;
}

export interface StartOptions {
  /** Given to the standard input, which is then closed. Without it the standard input is closed at once, unless `keepInput`. */
  readonly input?: string | Buffer;
  readonly keepInput?: boolean;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** How long it may take; 0: as long as the tests do. */
  readonly timeoutMs?: number;
}

export class Program {
  readonly ended: Promise<Ended>;
  readonly #words: readonly string[];
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #output: Buffer[] = [];
  readonly #errors: Buffer[] = [];
  readonly #waiting: Set<() => void> = new Set();
  #hasEnded: boolean = false;

  constructor(words: readonly string[], options: StartOptions = {}) {
    this.#words = words;
    const startedAt = performance.now();
    const [program, ...rest] = words;
    this.#child = spawn(program!, rest, {
      stdio: 'pipe',
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      ...(options.env === undefined ? {} : { env: { ...options.env } }),
    });
    alive.add(this);
    this.#collect(this.#child.stdout, this.#output);
    this.#collect(this.#child.stderr, this.#errors);
    // A program that ends without reading its input is no failure of the test.
    this.#child.stdin.on('error', () => {});
    if (options.input !== undefined) this.#child.stdin.end(options.input);
    else if (!options.keepInput) this.#child.stdin.end();
    this.ended = this.#end(startedAt, options.timeoutMs ?? TIMEOUT_MS);
    // Who does not wait for the end does not want to hear of it.
    this.ended.catch(() => {});
  }

  get pid(): number {
    return this.#child.pid!;
  }

  get stdout(): string {
    return Buffer.concat(this.#output).toString();
  }

  get stderr(): string {
    return Buffer.concat(this.#errors).toString();
  }

  /** Resolves with the match when the expression matches what was written, on either stream; `from`: characters of the output that are passed over. */
  async says(expression: RegExp, from: number = 0): Promise<RegExpMatchArray> {
    const deadline = performance.now() + SILENCE_MS;
    for (;;) {
      const match = this.stdout.slice(from).match(expression) ?? this.stderr.match(expression);
      if (match !== null) return match;
      if (this.#hasEnded) throw new Error(`ended without saying ${expression}: ${this.#describe()}`);
      const leftMs = deadline - performance.now();
      if (leftMs < 0) throw new Error(`did not say ${expression} within ${SILENCE_MS} ms: ${this.#describe()}`);
      await this.#something(leftMs);
    }
  }

  write(text: string): void {
    this.#child.stdin.write(text);
  }

  endInput(): void {
    this.#child.stdin.end();
  }

  /** Stops taking its output, so that the pipe fills. */
  pauseOutput(): void {
    this.#child.stdout.pause();
  }

  resumeOutput(): void {
    this.#child.stdout.resume();
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  #collect(stream: NodeJS.ReadableStream, into: Buffer[]): void {
    stream.on('data', (chunk: Buffer) => {
      into.push(chunk);
      this.#wake();
    });
  }

  /** Resolves when something was written, the program has ended, or the time is over. */
  async #something(timeoutMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      timer = setTimeout(resolve, timeoutMs);
      this.#waiting.add(resolve);
    });
    clearTimeout(timer);
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }

  async #end(startedAt: number, timeoutMs: number): Promise<Ended> {
    let timedOut = false;
    const giveUp = (): void => {
      timedOut = true;
      this.#child.kill('SIGKILL');
      // A grandchild may hold the pipes: they end here all the same.
      this.#child.stdout.destroy();
      this.#child.stderr.destroy();
    };
    const timer = timeoutMs > 0 ? setTimeout(giveUp, timeoutMs) : undefined;
    try {
      const [code, signal] = (await once(this.#child, 'close')) as [number | null, NodeJS.Signals | null];
      if (timedOut) throw new Error(`no end within ${timeoutMs} ms: ${this.#describe()}`);
      return {
        status: code ?? 128 + signalNumber(signal!),
        stdout: this.stdout,
        stderr: this.stderr,
        output: Buffer.concat(this.#output),
        durationMs: performance.now() - startedAt,
      };
    } finally {
      clearTimeout(timer);
      alive.delete(this);
      this.#hasEnded = true;
      this.#wake();
    }
  }

  #describe(): string {
    const tail = (text: string): string => text.slice(-2000);
    return `${this.#words.join(' ')}\nstdout: ${tail(this.stdout)}\nstderr: ${tail(this.stderr)}`;
  }
}

/** Runs a program to its end. */
export function execute(words: readonly string[], options: StartOptions = {}): Promise<Ended> {
  return new Program(words, options).ended;
}

/** Ends what a failed test left running. */
export async function endAll(): Promise<void> {
  const left = [...alive];
  for (const program of left) program.kill('SIGKILL');
  await Promise.allSettled(left.map((program) => program.ended));
}

/** Resolves when `condition` holds; fails with `what` when it does not come to hold. For conditions that nobody announces. */
export async function eventually(
  what: string,
  condition: () => boolean | Promise<boolean>,
  timeoutMs: number = EVENTUALLY_MS,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`still not so after ${timeoutMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/**
 * For what a busy machine may spoil now and then, and a fault of ours spoils each time: how quick something is, or that nothing was sent twice. `attempt` returns what was
 * spoilt, and nothing when all was well once; what it throws is a failure at once.
 */
export async function inOneOf(tries: number, attempt: () => Promise<string | undefined>): Promise<void> {
  const spoilt: string[] = [];
  while (spoilt.length < tries) {
    const what = await attempt();
    if (what === undefined) return;
    spoilt.push(what);
  }
  throw new Error(`in none of ${tries} tries: ${spoilt.join('; ')}`);
}

/** What `inOneOf` is to hear of something that was to take less. */
export function tookTooLong(ms: number, msMax: number): string | undefined {
  return ms < msMax ? undefined : `took ${ms} ms, not less than ${msMax}`;
}

function signalNumber(signal: NodeJS.Signals): number {
  return SIGNAL_NUMBERS[signal] ?? 0;
}

const SIGNAL_NUMBERS: Partial<Record<NodeJS.Signals, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGKILL: 9,
  SIGTERM: 15,
  SIGSYS: 31,
};
