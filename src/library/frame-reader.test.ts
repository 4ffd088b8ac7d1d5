import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FrameReader, type ReaderSys } from './frame-reader.ts';

const FRAMES = 256;

/** A device that always has more frames than a batch takes. */
class EndlessSys implements ReaderSys {
  words: Int32Array = new Int32Array(0);
  referenced: boolean = true;
  closed: number[] = [];

  nowUs = (): number => performance.now() * 1000;
  register = (memory: Uint8Array | Int32Array): number => {
    if (memory instanceof Int32Array) this.words = memory;
    return 0;
  };
  unregister = (): void => {};
  close = (fd: number): number => this.closed.push(fd);
  readFrames = (): number => {
    for (let i = 0; i < FRAMES; i++) this.words.set([72 * i, 72], 2 * i);
    return FRAMES;
  };
  pollCreate = (): number => 77;
  pollControl = (): number => 0;
  pollCollect = (): number => 0;
  watchReadable = (): number => 1;
  unwatch = (): void => {};
  watchReference = (_: number, keepsAlive: boolean): void => {
    this.referenced = keepsAlive;
  };
}

function endless(): { readonly sys: EndlessSys; readonly reader: FrameReader } {
  const sys = new EndlessSys();
  const source = { name: 'tap0', mode: 'tap' as const, queues: [{ fd: 9, index: 0 }], received: () => {} };
  return { sys, reader: new FrameReader(sys, source) };
}

test('who always finds frames leaves the event loop its turn', { timeout: 60_000 }, async () => {
  const { reader } = endless();
  let isOver = false;
  setTimeout(() => {
    isOver = true;
  }, 20);
  let frames = 0;
  for await (const batch of reader) {
    frames += batch.count;
    if (isOver) break;
  }
  assert.ok(frames > FRAMES);
});

test('closing gives back what was opened, once', async () => {
  const { sys, reader } = endless();
  const frames = reader[Symbol.asyncIterator]();
  assert.equal((await frames.next()).done, false);
  assert.equal(sys.referenced, false);
  reader.close();
  reader.close();
  assert.deepEqual(sys.closed, [77]);
  assert.deepEqual(await frames.next(), { done: true, value: undefined });
});
