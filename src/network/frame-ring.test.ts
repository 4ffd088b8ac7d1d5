import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { FrameRing } from './frame-ring.ts';

function pair(bytes: number): { puts: FrameRing; takes: FrameRing } {
  const memory = FrameRing.memory(bytes);
  return { puts: new FrameRing(memory), takes: new FrameRing(memory) };
}

function frame(seed: number, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (seed * 31 + i) & 0xff);
}

function taken(ring: FrameRing): { interfaceIndex: number; bytes: Uint8Array } | undefined {
  const length = ring.next();
  if (length === 0) return undefined;
  const bytes = new Uint8Array(length);
  const { interfaceIndex } = ring;
  ring.take(bytes, 0);
  return { interfaceIndex, bytes };
}

describe('a ring of frames', () => {
  it('gives what it was given, in order', () => {
    const { puts, takes } = pair(1024);
    assert.ok(puts.put(3, frame(1, 60), 0, 60));
    assert.ok(puts.put(4, frame(2, 100), 10, 61));
    assert.deepEqual(taken(takes), { interfaceIndex: 3, bytes: frame(1, 60) });
    assert.deepEqual(taken(takes), { interfaceIndex: 4, bytes: frame(2, 100).subarray(10, 71) });
    assert.equal(taken(takes), undefined);
  });

  it('takes nothing when it is full, and goes on when there is room again', () => {
    const { puts, takes } = pair(256);
    let count = 0;
    while (puts.put(count, frame(count, 40), 0, 40)) count++;
    assert.equal(count, 5);
    assert.equal(taken(takes)!.interfaceIndex, 0);
    assert.equal(taken(takes)!.interfaceIndex, 1);
    assert.ok(puts.put(5, frame(5, 40), 0, 40));
    for (const expected of [2, 3, 4, 5]) assert.equal(taken(takes)!.interfaceIndex, expected);
  });

  it('asks to be woken once, and not when there is a frame', () => {
    const { puts, takes } = pair(256);
    assert.equal(puts.isAwaited(), false);
    assert.equal(takes.await(), false);
    puts.put(1, frame(1, 20), 0, 20);
    assert.equal(puts.isAwaited(), true);
    assert.equal(puts.isAwaited(), false);
    assert.equal(takes.await(), true);
    assert.equal(puts.isAwaited(), false);
  });

  it('is a queue, whatever is put and taken', () => {
    const steps = fc.array(
      fc.oneof(fc.integer({ min: 1, max: 300 }), fc.constant(0)), // a frame of that length; 0: take one
      { maxLength: 400 },
    );
    fc.assert(
      fc.property(steps, (lengths) => {
        const { puts, takes } = pair(1024);
        const model: Uint8Array[] = [];
        lengths.forEach((length, step) => {
          if (length === 0) {
            assert.deepEqual(taken(takes)?.bytes, model.shift());
          } else if (puts.put(step, frame(step, length), 0, length)) {
            model.push(frame(step, length));
          } else {
            // Lost at the end of the ring is less than the room of the frame that did not fit there: this one, or one that waits.
            const rooms = [...model, { length }].map((each) => each.length + 11);
            const used = rooms.reduce((sum, room) => sum + room, 0);
            assert.ok(used + Math.max(...rooms) > 1024);
          }
        });
      }),
      // The third waits behind a gap that the last one would not have made.
      { examples: [[[253, 0, 193, 285, 253, 1]]] },
    );
  });

  it('works between threads', async () => {
    const memory = FrameRing.memory(4096);
    const total = 20_000;
    const script = `
      import { workerData } from 'node:worker_threads';
      const { FrameRing } = await import(workerData.ring);
      const ring = new FrameRing(workerData.memory);
      const bytes = new Uint8Array(256);
      for (let i = 0; i < workerData.total; i++) {
        const length = 4 + (i % 200);
        bytes.fill(i & 0xff, 0, length);
        while (!ring.put(i, bytes, 0, length));
      }`;
    const ring = new URL('./frame-ring.js', import.meta.url).href;
    const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(script)}`), {
      workerData: { ring, memory, total },
    });
    const takes = new FrameRing(memory);
    const bytes = new Uint8Array(256);
    let count = 0;
    let wrong = 0;
    while (count < total) {
      const length = takes.next();
      if (length === 0) {
        await new Promise((resolve) => setImmediate(resolve));
        continue;
      }
      if (takes.interfaceIndex !== count || length !== 4 + (count % 200)) wrong++;
      takes.take(bytes, 0);
      if (bytes[0] !== (count & 0xff) || bytes[length - 1] !== (count & 0xff)) wrong++;
      count++;
    }
    assert.equal(wrong, 0);
    await worker.terminate();
  });
});
