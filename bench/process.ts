/**
 * Programs under measurement: started in a session of their own, ended within a time limit, and swept up with all that
 * they started.
 *
 * A network of the kind that is measured here consists of several processes, and one whose client dies can go on
 * spinning and spoil everything that is measured after it. A session's number is inherited by every descendant that
 * does not ask for another, and can be read of any process: so whatever carries it is killed.
 */
import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';

/** Of what a program printed, so much is kept for a message. */
const PRINTED_MAX = 300;

export interface Outcome {
  /** Undefined: it did not end within its time. */
  readonly status: number | undefined;
  /** From its start to its end, in milliseconds. */
  readonly milliseconds: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Program {
  readonly child: ChildProcess;
  readonly ended: Promise<Outcome>;
  /** The sessions that it consists of: its own and that of any program beside it. */
  readonly sessions: readonly number[];
}

const running = new Set<ChildProcess>();

/** Starts a program whose whole session is killed when `limitMs` have passed. `extra`: more descriptors, from 3 on. */
export function start(words: readonly string[], limitMs: number, extra: readonly 'pipe'[] = []): Program {
  const [program = '', ...args] = words;
  const startedMs = performance.now();
  const stdio: StdioOptions = ['pipe', 'pipe', 'pipe', ...extra];
  const child = spawn(program, args, { stdio, detached: true });
  running.add(child);
  let stdout = '';
  let stderr = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const ended = new Promise<Outcome>((resolve) => {
    let timedOut = false;
    let milliseconds = 0;
    const limit = setTimeout(() => {
      timedOut = true;
      sweep(child);
    }, limitMs);
    child.once('exit', () => {
      milliseconds = performance.now() - startedMs;
    });
    const finish = (status: number | undefined): void => {
      clearTimeout(limit);
      sweep(child);
      running.delete(child);
      resolve({ status: timedOut ? undefined : status, milliseconds, stdout, stderr });
    };
    child.once('error', (error) => {
      stderr += error.message;
      finish(127);
    });
    child.once('close', (code) => finish(code ?? 128));
  });
  return { child, ended, sessions: child.pid === undefined ? [] : [child.pid] };
}

/** Waits until the program has printed something; its outcome when it ends instead. */
export async function said(program: Program): Promise<Outcome | undefined> {
  const first = await Promise.race([once(program.child.stdout!, 'data'), program.ended]);
  return Array.isArray(first) ? undefined : first;
}

/** Kills the program and everything in its session. */
export function sweep(child: ChildProcess): void {
  const session = child.pid;
  if (session === undefined) return;
  for (const pid of membersOf(session)) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It has ended meanwhile.
    }
  }
}

/** Kills all that runs: we end. */
export function sweepAll(): void {
  for (const child of running) sweep(child);
}

/** Why a program has no result, with the end of what it printed. */
export function complaint(outcome: Outcome, limitMs: number): string {
  const what = outcome.status === undefined ? `did not end within ${limitMs / 1000} s` : `status ${outcome.status}`;
  const printed = `${outcome.stderr}\n${outcome.stdout}`.replace(/\s+/g, ' ').trim();
  return printed === '' ? `${what}, and printed nothing` : `${what}, and printed: ${printed.slice(-PRINTED_MAX)}`;
}

/** What the scheduler has given to all threads of a program (/proc/PID/task/TID/schedstat, the first number). */
export function cpuSeconds({ sessions }: Program): number {
  let nanoseconds = 0;
  for (const pid of sessions.flatMap((session) => membersOf(session))) {
    try {
      for (const task of readdirSync(`/proc/${pid}/task`)) {
        nanoseconds += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'latin1').split(' ')[0]);
      }
    } catch {
      // It has ended meanwhile.
    }
  }
  return nanoseconds / 1e9;
}

/** Processes of the program's session. */
export function membersOf(session: number): number[] {
  const members: number[] = [];
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (Number.isInteger(pid) && sessionOf(pid) === session) members.push(pid);
  }
  return members;
}

/**
 * The sixth field of /proc/PID/stat (proc(5)); the second is the program's name in parentheses, which may hold
 * anything.
 */
function sessionOf(pid: number): number | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[3]);
  } catch {
    return undefined;
  }
}
