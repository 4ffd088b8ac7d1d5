import assert from 'node:assert/strict';
import { constants } from 'node:os';
import { describe, it } from 'node:test';
import { SI_KERNEL } from '../sys/linux.ts';
import type { CommandStatus, CommandStopped } from '../sys/namespace.ts';
import { SessionSignals } from './session-signals.ts';

const { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH, SIGCONT, SIGSTOP, SIGKILL } = constants.signals;
const BY_KILL = 0;
const SIGNAL_FD = 50;
const CONTROL_FD = 51;
const EXITED: CommandStatus = { kind: 'exited', code: 0 };

/** A system and a command that note what is done with them. */
class Stage {
  readonly controlFd: number = CONTROL_FD;
  readonly log: string[] = [];
  group: number = 77;
  foreground: number = 77;
  status: CommandStatus | CommandStopped | undefined;
  readonly #watches: Map<number, { fd: number; callback: () => void }> = new Map();
  #handles: number = 0;
  #memory: Int32Array = new Int32Array();
  #pending: number[] = [];

  register(memory: Uint8Array | Int32Array): number {
    this.#memory = memory as Int32Array;
    return 1;
  }

  unregister(): void {
    this.log.push('unregister');
  }

  read(fd: number): number {
    assert.equal(fd, SIGNAL_FD);
    const words = this.#pending.splice(0, this.#memory.length);
    this.#memory.set(words);
    return words.length === 0 ? -11 : words.length * 4;
  }

  watchReadable(fd: number, callback: () => void): number {
    this.#watches.set(++this.#handles, { fd, callback });
    return this.#handles;
  }

  unwatch(handle: number): void {
    this.log.push(`unwatch ${this.#watches.get(handle)?.fd}`);
    this.#watches.delete(handle);
  }

  signalDescriptor(signals: readonly number[]): number {
    assert.deepEqual(signals, [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH]);
    return SIGNAL_FD;
  }

  signalRestore(): number {
    this.log.push('restore');
    return 0;
  }

  raise(signal: number): number {
    this.log.push(`raise ${signal}`);
    return 0;
  }

  terminalForeground(): number {
    return this.foreground;
  }

  setTerminalForeground(_fd: number, group: number): number {
    this.log.push(`foreground ${group}`);
    return 0;
  }

  processGroup(): number {
    return this.group;
  }

  signal(number: number): void {
    this.log.push(`signal ${number}`);
  }

  readStatus(): CommandStatus | CommandStopped | undefined {
    return this.status;
  }

  /** Signals arrive, each a number and a code. */
  arrive(...signals: [number, number][]): void {
    this.#pending.push(...signals.flatMap(([number, code]) => [number, code, 4711]));
    this.#wake(SIGNAL_FD);
  }

  tell(status: CommandStatus | CommandStopped | undefined): void {
    this.status = status;
    this.#wake(CONTROL_FD);
  }

  #wake(fd: number): void {
    for (const watch of [...this.#watches.values()]) if (watch.fd === fd) watch.callback();
  }
}

async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  const pending = Symbol('pending');
  return (await Promise.race([promise, new Promise((resolve) => setImmediate(() => resolve(pending)))])) !== pending;
}

function start(stage: Stage = new Stage()): { stage: Stage; signals: SessionSignals } {
  return { stage, signals: new SessionSignals(stage, stage) };
}

describe('signals of a session', () => {
  it('go to the command when a process sent them, and not when the terminal did', () => {
    const { stage } = start();
    stage.arrive([SIGTERM, BY_KILL], [SIGINT, SI_KERNEL], [SIGWINCH, SI_KERNEL], [SIGUSR1, BY_KILL]);
    stage.arrive([SIGWINCH, BY_KILL]);
    assert.deepEqual(stage.log, [`signal ${SIGTERM}`, `signal ${SIGUSR1}`, `signal ${SIGWINCH}`]);
  });

  it('are all read, more than fit into one read too', () => {
    const { stage } = start();
    stage.arrive(...Array.from({ length: 16 }, (): [number, number] => [SIGUSR2, BY_KILL]));
    assert.equal(stage.log.length, 16);
    // Nothing there after all: no harm.
    stage.arrive();
    assert.equal(stage.log.length, 16);
  });

  it('do not cut the delivery short when the command lives on after them', async () => {
    const { stage, signals } = start();
    stage.arrive([SIGINT, SI_KERNEL]);
    stage.tell(EXITED);
    assert.deepEqual(await signals.commandEnded(), EXITED);
    assert.equal(await isSettled(signals.interrupted()), false);
  });

  it('cut the delivery short when the command died of them', async () => {
    const { stage, signals } = start();
    stage.arrive([SIGINT, SI_KERNEL]);
    stage.tell({ kind: 'signalled', signal: SIGINT });
    assert.equal(await isSettled(signals.interrupted()), true);
  });

  it('cut the delivery short when they come behind the end of the command', async () => {
    const { stage, signals } = start();
    stage.tell(EXITED);
    stage.arrive([SIGWINCH, SI_KERNEL]);
    assert.equal(await isSettled(signals.interrupted()), false);
    stage.arrive([SIGHUP, BY_KILL]);
    assert.equal(await isSettled(signals.interrupted()), true);
  });

  it('that only the command got leave time for the delivery', async () => {
    const { stage, signals } = start();
    stage.tell({ kind: 'signalled', signal: SIGKILL });
    assert.equal(await isSettled(signals.commandEnded()), true);
    assert.equal(await isSettled(signals.interrupted()), false);
  });
});

describe("the command's end", () => {
  it('is told once, and its descriptor is not watched any more', async () => {
    const { stage, signals } = start();
    stage.tell(undefined);
    assert.equal(await isSettled(signals.commandEnded()), false);
    stage.tell(EXITED);
    assert.deepEqual(stage.log, [`unwatch ${CONTROL_FD}`]);
    assert.deepEqual(await signals.commandEnded(), EXITED);
    signals.close();
    assert.deepEqual(stage.log.slice(1), [`unwatch ${SIGNAL_FD}`, 'restore', 'unregister']);
  });

  it('is not what stopping is: we stop too, and it goes on when we do', async () => {
    const { stage, signals } = start();
    stage.tell({ kind: 'stopped', signal: SIGSTOP });
    assert.deepEqual(stage.log, [`raise ${SIGSTOP}`, `signal ${SIGCONT}`]);
    assert.equal(await isSettled(signals.commandEnded()), false);
  });
});

describe('the terminal', () => {
  function close(before: number, after: number, group: number = 77): string[] {
    const stage = new Stage();
    stage.foreground = before;
    stage.group = group;
    const { signals } = start(stage);
    stage.foreground = after;
    signals.close();
    return stage.log.filter((line) => line.startsWith('foreground'));
  }

  it('is taken back when a shell inside kept it', () => {
    assert.deepEqual(close(77, 99), ['foreground 77']);
  });

  it('is left alone where it is ours, was not ours, or is none', () => {
    assert.deepEqual(close(77, 77), []);
    assert.deepEqual(close(88, 99), []);
    assert.deepEqual(close(-25, -25), []);
  });
});
