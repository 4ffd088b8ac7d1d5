import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { PollHandler } from '../flow/poll-handler.ts';
import { Tokens } from './tokens.ts';

function recorder(): PollHandler & { heard: string[] } {
  const heard: string[] = [];
  return { heard, ready: (events, token) => heard.push(`${events} ${token}`) };
}

describe('tokens of the poll set', () => {
  it('are negative, each its own, and lead to who holds them', () => {
    const tokens = new Tokens();
    const [a, b] = [recorder(), recorder()];
    assert.deepEqual([tokens.allocate(a), tokens.allocate(b)], [-1, -2]);
    tokens.dispatch(1, -2);
    tokens.dispatch(4, -1);
    assert.deepEqual([a.heard, b.heard], [['4 -1'], ['1 -2']]);
  });

  it('lead nowhere when they were released, or never handed out', () => {
    const tokens = new Tokens();
    const a = recorder();
    const token = tokens.allocate(a);
    tokens.release(token);
    tokens.dispatch(1, token);
    tokens.dispatch(1, -100);
    assert.deepEqual(a.heard, []);
  });

  it('are used again', () => {
    const tokens = new Tokens();
    const first = tokens.allocate(recorder());
    tokens.allocate(recorder());
    tokens.release(first);
    const successor = recorder();
    assert.equal(tokens.allocate(successor), first);
    tokens.dispatch(1, first);
    assert.deepEqual(successor.heard, [`1 ${first}`]);
    assert.equal(tokens.allocate(recorder()), -3);
  });

  it('are released once', () => {
    const tokens = new Tokens();
    const token = tokens.allocate(recorder());
    tokens.release(token);
    assert.throws(() => tokens.release(token), /a token is released once/);
  });

  it('come in ranges that are used again, whole or in parts', () => {
    const tokens = new Tokens();
    const [ports, other] = [recorder(), recorder()];
    assert.equal(tokens.allocateRange(ports, 3), -1);
    assert.equal(tokens.allocateRange(other, 2), -4);
    assert.equal(tokens.allocate(other), -6);
    tokens.dispatch(1, -3);
    tokens.dispatch(1, -4);
    assert.deepEqual([ports.heard, other.heard], [['1 -3'], ['1 -4']]);
    tokens.releaseRange(-4, 2);
    tokens.releaseRange(-1, 3);
    tokens.dispatch(1, -2);
    assert.deepEqual(ports.heard, ['1 -3']);
    assert.equal(tokens.allocateRange(ports, 4), -1);
    assert.equal(tokens.allocateRange(ports, 1), -5);
    assert.equal(tokens.allocateRange(ports, 1), -7);
    assert.throws(() => tokens.releaseRange(-7, 2), /a token is released once/);
  });
});
