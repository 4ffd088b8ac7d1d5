import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type DeliveryPatience, waitUntilDelivered } from './session-delivery.ts';

const PATIENCE: DeliveryPatience = { lookMs: 1, withoutProgressMs: 30, withoutHeldMs: 10 };
const NEVER = new Promise<void>(() => {});

interface Left {
  flows: number;
  bytes: number;
  acceptedBytes?: number;
}

/** Waits for flows of which `look` says what is left, look by look. Returns how often it looked, what it said, and how long it took. */
async function wait(
  look: (count: number) => Left,
  interrupted: Promise<void> = NEVER,
): Promise<{ looks: number; logged: string[]; tookMs: number }> {
  const logged: string[] = [];
  let looks = 0;
  const startedAt = performance.now();
  const hooks = { log: (_level: string, message: string) => logged.push(message) };
  await waitUntilDelivered(
    { undelivered: () => ({ acceptedBytes: 0, ...look(looks++) }) },
    interrupted,
    hooks,
    PATIENCE,
  );
  return { looks, logged, tookMs: performance.now() - startedAt };
}

describe('the end of a session', () => {
  it('is at once when all was delivered', async () => {
    const { looks, logged } = await wait(() => ({ flows: 0, bytes: 0 }));
    assert.deepEqual([looks, logged], [1, []]);
  });

  it('comes when the last flow has ended, however long that takes, as long as something moves', async () => {
    const { looks, logged, tookMs } = await wait((count) => ({ flows: count < 60 ? 1 : 0, bytes: 60 - count }));
    assert.equal(looks, 61);
    assert.ok(tookMs > PATIENCE.withoutProgressMs);
    assert.deepEqual(logged, []);
  });

  it('does not wait long for flows of which nothing is held', async () => {
    const { logged, tookMs } = await wait(() => ({ flows: 3, bytes: 0 }));
    assert.ok(tookMs >= PATIENCE.withoutHeldMs);
    assert.deepEqual(logged, []);
  });

  it('goes on while the guest sends steadily, though nothing is ever held', async () => {
    const { looks } = await wait((count) => ({ flows: count < 60 ? 1 : 0, bytes: 0, acceptedBytes: count }));
    assert.equal(looks, 61);
  });

  it('gives a host up that takes nothing, and says what it did not get', async () => {
    const { logged, tookMs } = await wait(() => ({ flows: 1, bytes: 1234 }));
    assert.ok(tookMs >= PATIENCE.withoutProgressMs);
    assert.deepEqual(logged, ['1234 bytes that the command sent were not taken by the hosts that it sent them to']);
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
