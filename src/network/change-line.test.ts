import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Breather, ChangeLine } from './change-line.ts';

describe('changes in a line', () => {
  it('are made one at a time, in the order in which they were asked for', async () => {
    const line = new ChangeLine();
    const log: string[] = [];
    const slow = async (name: string): Promise<string> => {
      log.push(`${name} begins`);
      await new Promise((resolve) => setImmediate(resolve));
      log.push(`${name} ends`);
      return name;
    };
    const names = await Promise.all(['a', 'b', 'c'].map((name) => line.run(() => slow(name))));
    assert.deepEqual(names, ['a', 'b', 'c']);
    assert.deepEqual(log, ['a begins', 'a ends', 'b begins', 'b ends', 'c begins', 'c ends']);
  });

  it('go on after one that throws, of which only who asked for it hears', async () => {
    const line = new ChangeLine();
    const broken = line.run(async () => {
      throw new Error('a mistake');
    });
    const next = line.run(async () => 'done');
    await assert.rejects(broken, /a mistake/);
    assert.equal(await next, 'done');
  });
});

describe('a breather', () => {
  it('lets others have a turn when it has been busy, and not before', async () => {
    let turns = 0;
    const count = (): void => {
      turns++;
    };
    setImmediate(count);
    let nowMs = 1000;
    const breather = new Breather(() => nowMs);
    await breather.breathe();
    assert.equal(turns, 0);
    nowMs += 6;
    await breather.breathe();
    assert.equal(turns, 1);
  });
});
