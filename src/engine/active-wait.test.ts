import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ACTIVE_WAIT_US, ActiveWait } from './active-wait.ts';

const SHORT_US = 30;
const LONG_US = 5_000;

/** Sleeps that pass until the next trial, which is left to the caller. */
function sleepsUntilTrial(wait: ActiveWait): number {
  for (let sleeps = 0; ; sleeps++) {
    if (wait.spinUs > 0) return sleeps;
    wait.woke(SHORT_US);
  }
}

describe('active waiting', () => {
  it('begins when a sleep was so short that it would have been spared', () => {
    const wait = new ActiveWait();
    assert.equal(wait.spinUs, 0);
    wait.woke(LONG_US);
    assert.equal(wait.spinUs, 0);
    wait.woke(SHORT_US);
    assert.equal(wait.spinUs, ACTIVE_WAIT_US);
  });

  it('goes on as long as it finds something now and then', () => {
    const wait = new ActiveWait();
    sleepsUntilTrial(wait);
    for (let i = 0; i < 100; i++) {
      wait.asked(i % 4 === 0);
      assert.equal(wait.spinUs, ACTIVE_WAIT_US);
    }
  });

  it('ends when the answers stay away', () => {
    const wait = new ActiveWait();
    sleepsUntilTrial(wait);
    wait.asked(true);
    let asked = 0;
    for (; wait.spinUs > 0; asked++) wait.asked(false);
    assert.equal(asked, 8);
  });

  it('is tried ever more rarely where it never helps, as on a machine whose only processor is ours', () => {
    const wait = new ActiveWait();
    const pauses: number[] = [];
    for (let trial = 0; trial < 14; trial++) {
      pauses.push(sleepsUntilTrial(wait));
      wait.asked(false);
    }
    assert.deepEqual(pauses, [1, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1024, 1024]);
  });

  it('is tried at once again when it has helped since', () => {
    const wait = new ActiveWait();
    for (let trial = 0; trial < 6; trial++) {
      sleepsUntilTrial(wait);
      wait.asked(false);
    }
    sleepsUntilTrial(wait);
    wait.asked(true);
    while (wait.spinUs > 0) wait.asked(false);
    assert.equal(sleepsUntilTrial(wait), 1);
  });

  it('rests while a stream goes to someone distant, and goes on behind it', () => {
    const wait = new ActiveWait();
    sleepsUntilTrial(wait);
    wait.asked(true);
    let bytes = 0;
    let nowUs = 1_000_000;
    const carry = (rate: number): number => {
      nowUs += 10_000;
      bytes += rate * 10_000;
      wait.carried(bytes, nowUs);
      return wait.spinUs;
    };
    assert.equal(carry(15), ACTIVE_WAIT_US, 'small questions and answers are none');
    assert.equal(carry(25), 0);
    wait.carried(bytes, nowUs + 9_999);
    assert.equal(wait.spinUs, 0, 'a stream may halt');
    assert.equal(carry(15), ACTIVE_WAIT_US);
  });
});
