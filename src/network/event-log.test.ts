import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { EVENTS_KEPT_MAX } from '../base/limits.ts';
import { EventLog } from './event-log.ts';

describe('an event log', () => {
  it('keeps events with their number and time, the newest last', () => {
    let now = 1000;
    const log = new EventLog(() => now++);
    log.add('interface', 'interface-up', 'tap0 is up', { name: 'tap0' });
    log.add('error', 'engine-broken', 'a mistake');
    assert.deepEqual(log.list(), [
      { id: 1, at: 1000, type: 'interface', event: 'interface-up', message: 'tap0 is up', data: { name: 'tap0' } },
      { id: 2, at: 1001, type: 'error', event: 'engine-broken', message: 'a mistake' },
    ]);
    assert.deepEqual(
      log.list(1).map(({ id }) => id),
      [2],
    );
    assert.deepEqual([log.list(0), log.list(-1)], [[], []]);
  });

  it('keeps so many, and forgets the oldest', () => {
    const log = new EventLog();
    for (let i = 0; i < EVENTS_KEPT_MAX + 3; i++) log.add('error', 'e', '');
    const ids = log.list().map(({ id }) => id);
    assert.deepEqual([ids.length, ids[0], ids.at(-1)], [EVENTS_KEPT_MAX, 4, EVENTS_KEPT_MAX + 3]);
    log.clear();
    assert.deepEqual(log.list(), []);
    log.add('error', 'e', '');
    assert.equal(log.list()[0]?.id, EVENTS_KEPT_MAX + 4, 'numbers are not used again');
  });

  it('tells who listens, until they do not', () => {
    const log = new EventLog();
    const heard: string[] = [];
    assert.equal(log.isHeard, false);
    const leave = log.subscribe(({ event }) => heard.push(event));
    assert.equal(log.isHeard, true);
    log.add('interface', 'kept', '');
    log.pass('flow', 'passed', '', {});
    leave();
    log.add('interface', 'late', '');
    assert.deepEqual(heard, ['kept', 'passed']);
    assert.deepEqual(
      log.list().map(({ event }) => event),
      ['kept', 'late'],
    );
    assert.equal(log.isHeard, false);
  });
});
