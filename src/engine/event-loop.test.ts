import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ERRNO } from '../sys/errno.ts';
import { EventLoop, type RxMode, strongestMode } from './event-loop.ts';

/** A machine whose clock goes on by 100 us with each look, and an engine that has `work` turns to do. */
class Machine {
  poll: number = 9;
  turns: number = 0;
  work: number = 0;
  watched: (() => void) | undefined;
  unwatched: number = 0;
  handle: number = 1;
  idle: boolean = true;
  distantBytes: number = 0;
  /** What each turn was to ask for. */
  readonly spinsUs: number[] = [];
  readonly fatal: unknown[] = [];
  failure: Error | undefined;
  #nowUs: number = 0;

  nowUs(): number {
    this.#nowUs += 100;
    return this.#nowUs;
  }

  watchReadable(fd: number, callback: () => void): number {
    assert.equal(fd, this.poll);
    this.watched = callback;
    return this.handle;
  }

  unwatch(): void {
    this.unwatched++;
  }

  /** Something comes after so long a sleep. */
  wake(sleptUs: number): void {
    this.#nowUs += sleptUs;
    this.watched?.();
  }

  turn(spinUs: number): boolean {
    if (this.failure !== undefined) throw this.failure;
    this.spinsUs.push(spinUs);
    this.turns++;
    this.work--;
    return this.work > 0;
  }

  start(mode?: RxMode): EventLoop {
    return new EventLoop(this, this, (error) => this.fatal.push(error), mode);
  }
}

function nextIteration(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

describe('the event loop', () => {
  it('takes a turn at once, and one whenever the poll set is readable', () => {
    const machine = new Machine();
    const loop = machine.start();
    assert.equal(machine.turns, 1);
    machine.wake(1000);
    machine.work = 3;
    machine.wake(1000);
    assert.equal(machine.turns, 5);
    loop.stop();
  });

  it('asks on for a moment before it sleeps where sleeps are short, as long as something comes', () => {
    const machine = new Machine();
    const loop = machine.start();
    machine.wake(1000);
    machine.wake(10);
    assert.deepEqual(machine.spinsUs, [0, 0, 0, 50], 'nothing came');
    machine.spinsUs.length = 0;
    machine.idle = false;
    machine.wake(10);
    const asked = machine.spinsUs.length;
    assert.ok(asked > 5 && asked < 40, `something came, until the stretch was over: ${asked}`);
    assert.ok(machine.spinsUs.slice(1).every((spinUs) => spinUs === 50));
    loop.stop();
  });

  it('does not ask on while a stream goes to someone distant', () => {
    const machine = new Machine();
    const loop = machine.start();
    machine.distantBytes = 1_000_000;
    machine.wake(10_000);
    machine.wake(10);
    assert.deepEqual(machine.spinsUs, [0, 0, 0], 'though the last sleep was short');
    machine.wake(10_000);
    assert.deepEqual(machine.spinsUs, [0, 0, 0, 0, 50]);
    loop.stop();
  });

  it('gives the rest of the program its chance when there is always something to do', async () => {
    const machine = new Machine();
    machine.work = Number.POSITIVE_INFINITY;
    const loop = machine.start();
    const stretch = machine.turns;
    assert.ok(stretch > 5 && stretch < 40, String(stretch));
    await nextIteration();
    assert.equal(machine.turns, 2 * stretch);
    loop.stop();
  });

  it('goes on once in each iteration, however often the poll set wakes it', async () => {
    const machine = new Machine();
    machine.work = Number.POSITIVE_INFINITY;
    const loop = machine.start();
    const stretch = machine.turns;
    for (let iteration = 0; iteration < 10; iteration++) {
      machine.watched?.();
      await nextIteration();
    }
    // One stretch for the start, and in each iteration one for the watch and one for the immediate.
    assert.ok(machine.turns <= 21 * stretch, `${machine.turns / stretch} stretches`);
    loop.stop();
  });

  it('is still when it was stopped', async () => {
    const machine = new Machine();
    machine.work = Number.POSITIVE_INFINITY;
    const loop = machine.start();
    machine.watched?.();
    loop.stop();
    loop.stop();
    const { turns } = machine;
    await nextIteration();
    machine.watched?.();
    assert.equal(machine.turns, turns);
    assert.equal(machine.unwatched, 1);
  });

  it('ends with the first bug, and tells it', async () => {
    const machine = new Machine();
    machine.work = Number.POSITIVE_INFINITY;
    machine.start();
    machine.failure = new Error('tapster bug');
    machine.watched?.();
    await nextIteration();
    assert.deepEqual(machine.fatal, [machine.failure]);
    assert.equal(machine.unwatched, 1);
  });

  it('tells when there is no watching', () => {
    const machine = new Machine();
    machine.handle = -ERRNO.EMFILE;
    machine.start();
    assert.match(String(machine.fatal[0]), /can't be watched: EMFILE/);
    assert.deepEqual([machine.turns, machine.unwatched], [0, 0]);
  });
});

describe('the mode of the event loop', () => {
  it('interrupt sleeps at once, however short the sleeps are', () => {
    const machine = new Machine();
    const loop = machine.start('interrupt');
    for (let i = 0; i < 10; i++) machine.wake(10);
    assert.deepEqual(machine.spinsUs, Array(11).fill(0));
    loop.stop();
  });

  it('polling asks all the time, and gives the rest of the program its chance each time that nothing came', async () => {
    const machine = new Machine();
    const loop = machine.start('polling');
    assert.deepEqual(machine.spinsUs, [0, 200]);
    let timers = 0;
    let called = (): void => {};
    const timer = setInterval(() => ++timers === 4 && called(), 1);
    const fourTimes = new Promise<void>((resolve) => {
      called = resolve;
    });
    for (let iteration = 1; iteration < 200; iteration++) {
      assert.equal(machine.turns, 2 * iteration);
      await nextIteration();
    }
    await fourTimes;
    clearInterval(timer);
    loop.stop();
  });

  it('polling goes on for a stretch where something comes, and no longer', async () => {
    const machine = new Machine();
    machine.idle = false;
    const loop = machine.start('polling');
    const stretch = machine.turns;
    assert.ok(stretch > 5 && stretch < 40, String(stretch));
    await nextIteration();
    assert.equal(machine.turns, 2 * stretch);
    loop.stop();
    await nextIteration();
    assert.equal(machine.turns, 2 * stretch);
  });

  it('changes while the loop sleeps, and while it polls', async () => {
    const machine = new Machine();
    const loop = machine.start();
    assert.deepEqual([loop.mode, machine.turns], ['adaptive', 1]);
    await nextIteration();
    assert.equal(machine.turns, 1, 'it sleeps');
    loop.mode = 'polling';
    loop.mode = 'polling';
    await nextIteration();
    await nextIteration();
    assert.ok(machine.turns >= 3, 'it was woken');
    loop.mode = 'interrupt';
    await nextIteration();
    const { turns } = machine;
    await nextIteration();
    assert.equal(machine.turns, turns, 'it sleeps again');
    machine.wake(10);
    assert.equal(machine.turns, turns + 1);
    assert.equal(machine.spinsUs.at(-1), 0);
    loop.mode = 'adaptive';
    machine.wake(10);
    assert.equal(machine.spinsUs.at(-1), 50);
    loop.stop();
  });

  it('does not start what was stopped', async () => {
    const machine = new Machine();
    const loop = machine.start();
    loop.stop();
    loop.mode = 'polling';
    await nextIteration();
    assert.equal(machine.turns, 1);
  });

  it('is the strongest of all queues', () => {
    assert.equal(strongestMode([]), 'interrupt');
    assert.equal(strongestMode(['interrupt', 'interrupt']), 'interrupt');
    assert.equal(strongestMode(['interrupt', 'adaptive', 'interrupt']), 'adaptive');
    assert.equal(strongestMode(['adaptive', 'polling', 'interrupt']), 'polling');
  });
});
