/** What sessions share, whoever their guest is: the sandbox, and serving until somebody ends it. */
import { constants } from 'node:os';
import { failure, type Result, success } from '../base/result.ts';
import type { LinuxSys } from '../sys/linux.ts';
import { resolvConfFiles } from '../sys/resolv-conf.ts';
import { applySandbox } from '../sys/sandbox.ts';
import type { Closers } from './closers.ts';
import type { Engine } from './engine.ts';
import { EventLoop, type RxMode } from './event-loop.ts';
import { enginePlan, whyNoSandbox } from './sandbox-policy.ts';
import type { SessionHooks } from './session-host.ts';
import { SignalReader, type SignalReaderSys } from './signal-reader.ts';

/** Those that ask for an end. */
const ENDING: readonly NodeJS.Signals[] = ['SIGHUP', 'SIGINT', 'SIGQUIT', 'SIGTERM'];

/** The end of a session that no command's end is. */
export class SessionEnd {
  readonly #ended: Promise<number>;
  #end: (status: number) => void = () => {};

  constructor() {
    this.#ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  /** What comes first counts. */
  end(status: number): void {
    this.#end(status);
  }

  /** Signals end the session, with the status that shells give them. */
  followSignals(closers: Closers): void {
    const onSignal = (signal: NodeJS.Signals): void => this.#end(128 + constants.signals[signal]);
    for (const signal of ENDING) process.once(signal, onSignal);
    closers.add(() => {
      for (const signal of ENDING) process.removeListener(signal, onSignal);
    });
  }

  /**
   * The same beside a command, which has what the terminal sends from the terminal, and may live on: a debugger does, and a machine gets Ctrl-C as a key. What somebody sends to us
   * is an end.
   */
  followSignalsBesideCommand(sys: SignalReaderSys, closers: Closers): void {
    const reader = new SignalReader(
      sys,
      ENDING.map((name) => constants.signals[name]),
      (signal, fromTerminal) => {
        if (!fromTerminal) this.#end(128 + signal);
      },
    );
    closers.add(() => reader.close());
  }

  /** Runs the engine until the end, and resolves with the exit status. A mistake of ours rejects. */
  async serve(sys: LinuxSys, engine: Engine, closers: Closers, mode?: RxMode): Promise<number> {
    let fail: (error: unknown) => void = () => {};
    const broken = new Promise<never>((_resolve, reject) => {
      fail = reject;
    });
    const loop = new EventLoop(sys, engine, fail, mode);
    closers.add(() => loop.stop());
    return await Promise.race([this.#ended, broken]);
  }
}

/** Whether there can be a sandbox, where one is wanted. To be asked first. */
export function checkSandbox(wanted: boolean): Result<void> {
  const unsafe = wanted ? whyNoSandbox(process.env) : undefined;
  return unsafe === undefined ? success(undefined) : failure('sandbox-impossible', unsafe);
}

/** Gives away, for good, what the engine does not need. `childPid`: the one process that may still be signalled, beside our own. */
export function confine(wanted: boolean, childPid: number, hooks: Pick<SessionHooks, 'log'>): Result<void> {
  if (!wanted) return success(undefined);
  const applied = applySandbox(enginePlan(childPid, resolvConfFiles()));
  if (!applied.ok) return applied;
  for (const note of applied.value) hooks.log('info', `sandbox: ${note}`);
  return success(undefined);
}
