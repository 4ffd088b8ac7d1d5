import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type DeliveryPatience, waitUntilDelivered } from './session-delivery.ts';

const PATIENCE: DeliveryPatience = { lookMs: 1, looksWithoutProgress: 30, looksWithoutHeld: 10 };
const NEVER = new Promise<void>(() => {});

interface Left {
  flows: number;
  bytes: number;
  acceptedBytes?: number;
}

/** Waits for flows of which `look` says what is left, look by look. Returns how often it looked, and what it said. */
async function wait(
  look: (count: number) => Left,
  interrupted: Promise<void> = NEVER,
): Promise<{ looks: number; logged: string[] }> {
  const logged: string[] = [];
  let looks = 0;
  const hooks = { log: (_level: string, message: string) => logged.push(message) };
  await waitUntilDelivered(
    { undelivered: () => ({ acceptedBytes: 0, ...look(looks++) }) },
    interrupted,
    hooks,
    PATIENCE,
  );
  return { looks, logged };
}

describe('the end of a session', () => {
  it('is at once when all was delivered', async () => {
    const { looks, logged } = await wait(() => ({ flows: 0, bytes: 0 }));
    assert.deepEqual([looks, logged], [1, []]);
  });

  it('comes when the last flow has ended, however long that takes, as long as something moves', async () => {
    const { looks, logged } = await wait((count) => ({ flows: count < 60 ? 1 : 0, bytes: 60 - count }));
    assert.equal(looks, 61);
    assert.deepEqual(logged, []);
  });

  it('does not wait long for flows of which nothing is held', async () => {
    const { looks, logged } = await wait(() => ({ flows: 3, bytes: 0 }));
    assert.equal(looks, 1 + PATIENCE.looksWithoutHeld);
    assert.deepEqual(logged, []);
  });

  it('goes on while the guest sends steadily, though nothing is ever held', async () => {
    const { looks } = await wait((count) => ({ flows: count < 60 ? 1 : 0, bytes: 0, acceptedBytes: count }));
    assert.equal(looks, 61);
  });

  it('gives a host up that takes nothing, and says what it did not get', async () => {
    const { looks, logged } = await wait(() => ({ flows: 1, bytes: 1234 }));
    assert.equal(looks, 1 + PATIENCE.looksWithoutProgress);
    assert.deepEqual(logged, ['1234 bytes that the command sent were not taken by the hosts that it sent them to']);
  });

  it('does not give up for the time alone that passes while nobody lets us run', async () => {
    const { looks } = await wait((count) => {
      if (count === 1) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 60);
      return { flows: count < 5 ? 1 : 0, bytes: 0 };
    });
    assert.equal(looks, 6);
  });

  it('is at once when it is interrupted, before or meanwhile', async () => {
    const before = await wait(() => ({ flows: 1, bytes: 5 }), Promise.resolve());
    assert.deepEqual([before.looks, before.logged.length], [1, 1]);
    let interrupt: () => void = () => {};
    const interrupted = new Promise<void>((resolve) => {
      interrupt = resolve;
    });
    // Something moves with every look: without the interruption it would last for ever.
    const meanwhile = await wait((count) => {
      if (count === 5) interrupt();
      return { flows: 1, bytes: 1000 + count };
    }, interrupted);
    assert.ok(meanwhile.looks <= 8, String(meanwhile.looks));
  });
});
