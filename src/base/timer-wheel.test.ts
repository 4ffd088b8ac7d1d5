import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { TimerWheel } from './timer-wheel.ts';

const TICK_MS = 8;
const IDS = 24;
const FINE_TURN_MS = 8192;
const HOUR_MS = 3_600_000;

/** Delays around every border of the wheel: a tick, a turn of the fine level, a turn of the far one. */
const delay = fc.oneof(
  fc.integer({ min: -50, max: 50 }),
  fc.integer({ min: FINE_TURN_MS - 40, max: FINE_TURN_MS + 40 }),
  fc.integer({ min: 1024 * FINE_TURN_MS - 9000, max: 1024 * FINE_TURN_MS + 9000 }),
  fc.integer({ min: 0, max: 20 * HOUR_MS }),
);

interface Model {
  nowMs: number;
  deadlines: Map<number, number>;
}
type Step = (wheel: TimerWheel, model: Model) => void;

const setting: fc.Arbitrary<Step> = fc.tuple(fc.nat(IDS - 1), delay).map(
  ([id, delayMs]): Step =>
    (wheel, model) => {
      wheel.set(id, model.nowMs + delayMs);
      model.deadlines.set(id, Math.max(model.nowMs + delayMs, nextTickMs(model.nowMs)));
    },
);

const cancelling: fc.Arbitrary<Step> = fc.nat(IDS - 1).map(
  (id): Step =>
    (wheel, model) => {
      wheel.cancel(id);
      model.deadlines.delete(id);
    },
);

const advancing: fc.Arbitrary<Step> = fc.tuple(delay, fc.integer({ min: 1, max: 6 })).map(([delayMs, room]): Step => {
  return (wheel, model) => {
    model.nowMs += Math.max(0, delayMs);
    const due = [...model.deadlines].filter(([, deadline]) => tickOf(deadline) * TICK_MS <= model.nowMs);
    const fired = advanceAll(wheel, model.nowMs, room);
    assert.deepEqual(
      fired.slice().sort((a, b) => a - b),
      due.map(([id]) => id).sort((a, b) => a - b),
    );
    for (let i = 1; i < fired.length; i++) {
      const [earlier, later] = [model.deadlines.get(fired[i - 1])!, model.deadlines.get(fired[i])!];
      assert.ok(tickOf(earlier) <= tickOf(later), 'the earliest first');
    }
    for (const id of fired) model.deadlines.delete(id);
  };
});

/** Sleeps as an engine does, from one `nextDeadlineMs` to the next. */
const sleeping: fc.Arbitrary<Step> = fc.constant((wheel, model) => {
  const wake = wheel.nextDeadlineMs();
  if (model.deadlines.size === 0) {
    assert.equal(wake, Number.POSITIVE_INFINITY);
    return;
  }
  const first = Math.min(...[...model.deadlines.values()].map((deadline) => tickOf(deadline) * TICK_MS));
  assert.ok(wake <= first, 'no deadline is slept through');
  assert.ok(wake > model.nowMs - TICK_MS, 'and time goes on');
  if (first - model.nowMs < FINE_TURN_MS - TICK_MS) assert.ok(wake > first - FINE_TURN_MS);
  const fired = advanceAll(wheel, Math.max(wake, model.nowMs), IDS);
  model.nowMs = Math.max(wake, model.nowMs);
  for (const id of fired) {
    assert.ok(model.deadlines.get(id)! <= model.nowMs);
    model.deadlines.delete(id);
  }
});

test('agrees with a list of deadlines, whatever is set, moved, cancelled and slept', () => {
  const steps = fc.array(fc.oneof(setting, setting, cancelling, advancing, sleeping), { minLength: 20, maxLength: 60 });
  fc.assert(
    fc.property(fc.constantFrom(0, 5, 123_456_789, 1_790_000_000_123), steps, (startMs, list) => {
      const wheel = new TimerWheel(IDS, startMs);
      const model: Model = { nowMs: startMs, deadlines: new Map() };
      for (const step of list) {
        step(wheel, model);
        assert.equal(wheel.count, model.deadlines.size);
        for (let id = 0; id < IDS; id++) assert.equal(wheel.isSet(id), model.deadlines.has(id));
      }
    }),
    { numRuns: 300 },
  );
});

test('never fires early, and at the tick', () => {
  const wheel = new TimerWheel(4, 1000);
  wheel.set(2, 1017);
  assert.deepEqual(advanceAll(wheel, 1017, 4), []);
  assert.equal(wheel.nextDeadlineMs(), 1024);
  assert.deepEqual(advanceAll(wheel, 1023, 4), []);
  assert.deepEqual(advanceAll(wheel, 1024, 4), [2]);
  assert.equal(wheel.isSet(2), false);
});

test('a deadline in the past fires with the next tick', () => {
  const wheel = new TimerWheel(4, 1000);
  wheel.set(0, 0);
  assert.deepEqual(advanceAll(wheel, 1008, 4), [0]);
});

test('what does not fit into `expired` comes with the next call, at the same time', () => {
  const wheel = new TimerWheel(100, 0);
  for (let id = 0; id < 100; id++) wheel.set(id, 80 + (id >> 5) * 8);
  const expired = new Int32Array(30);
  const seen = new Set<number>();
  for (const expected of [30, 30, 30, 10, 0]) {
    const count = wheel.advance(200, expired);
    assert.equal(count, expected);
    for (let i = 0; i < count; i++) seen.add(expired[i]);
  }
  assert.equal(seen.size, 100);
});

test('a deadline that never comes does no harm', () => {
  const wheel = new TimerWheel(2, 0);
  wheel.set(0, Number.POSITIVE_INFINITY);
  wheel.set(1, 100 * 24 * HOUR_MS);
  assert.deepEqual(advanceAll(wheel, 100 * 24 * HOUR_MS, 4), [1]);
  assert.equal(wheel.count, 1);
});

test('50,000 timers hours ahead do not slow down the tick', () => {
  const ids = 50_000;
  const wheel = new TimerWheel(ids, 0);
  for (let id = 0; id < ids; id++) wheel.set(id, 2 * HOUR_MS + id);
  const expired = new Int32Array(256);
  const startedMs = performance.now();
  for (let nowMs = 0; nowMs < 20 * TICK_MS * 1000; nowMs += TICK_MS) {
    wheel.nextDeadlineMs();
    assert.equal(wheel.advance(nowMs, expired), 0);
  }
  // 20,000 ticks; a wheel of one level looks at 50 timers in each, and searches them all for the next deadline: a minute.
  assert.ok(performance.now() - startedMs < 20_000);
  assert.equal(advanceAll(wheel, 3 * HOUR_MS, 256).length, ids);
});

function advanceAll(wheel: TimerWheel, nowMs: number, room: number): number[] {
  const expired = new Int32Array(room);
  const fired: number[] = [];
  for (;;) {
    const count = wheel.advance(nowMs, expired);
    if (count === 0) return fired;
    fired.push(...expired.subarray(0, count));
  }
}

function tickOf(deadlineMs: number): number {
  return Math.ceil(deadlineMs / TICK_MS);
}

function nextTickMs(nowMs: number): number {
  return (Math.floor(nowMs / TICK_MS) + 1) * TICK_MS;
}
