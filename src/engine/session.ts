/**
 * What all sessions have in common, whoever their guest is: what they are asked for and whom they tell, what is to be undone in the end, and their first steps, before there is
 * an engine. A command in a new namespace is `run-session.ts`, a namespace that exists `join-session.ts`, a machine `guest-session.ts`.
 */
import { type Result, success } from '../base/result.ts';
import { LinuxSys } from '../sys/linux.ts';
import { Closers } from './closers.ts';
import type { RunOptions } from './run-options.ts';
import { SessionForwards } from './session-forwards.ts';
import { type SessionHooks, SessionHost } from './session-host.ts';

/** A session that has begun. */
export interface SessionBeginning {
  readonly host: SessionHost;
  /** Undefined: nothing is forwarded. */
  readonly forwards: SessionForwards | undefined;
}

export abstract class Session<Options extends RunOptions, Hooks extends SessionHooks> {
  protected readonly options: Options;
  protected readonly hooks: Hooks;
  protected readonly closers: Closers = new Closers();
  protected readonly sys: LinuxSys = new LinuxSys();

  constructor(options: Options, hooks: Hooks) {
    this.options = options;
    this.hooks = hooks;
  }

  /** Resolves with the exit status; a failure is ours. Either way nothing has been left behind then. */
  async runToEnd(): Promise<Result<number>> {
    try {
      return await this.run();
    } finally {
      await this.closers.closeAll();
    }
  }

  protected abstract run(): Promise<Result<number>>;

  /** Plans the guest's network, opens published ports, and starts what opens those that are forwarded, with the rights that we have now. */
  protected begin(): Result<SessionBeginning> {
    const planned = SessionHost.plan(this.sys, this.options, this.hooks, this.closers);
    if (!planned.ok) return planned;
    const published = planned.value.openPublished();
    if (!published.ok) return published;
    const forwards = SessionForwards.begin(this.options.forwards, this.hooks, this.closers);
    return forwards.ok ? success({ host: planned.value, forwards: forwards.value }) : forwards;
  }
}
