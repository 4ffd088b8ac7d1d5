import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { endpoint } from '../sys/simulated/endpoint.ts';
import type { SimulatedPeer } from '../sys/simulated/peer.ts';
import { SimulatedSys } from '../sys/simulated.ts';
import { SOCKET_FAMILY, SOCKET_PROTOCOL, SOCKET_TYPE } from '../sys/sys.ts';
import { pattern } from './tcp-bench.test.ts';
import { TcpHeld } from './tcp-held.ts';

const CHUNK = 64 * 1024;
const MEBIBYTE = 1024 * 1024;

/** A connected socket, whose other end reads at once. */
function socket(sys: SimulatedSys): { fd: number; peer: SimulatedPeer } {
  sys.network.stream('192.0.2.1', 80, {});
  const fd = sys.socket(SOCKET_FAMILY.INET, SOCKET_TYPE.STREAM, SOCKET_PROTOCOL.DEFAULT);
  const { address, port } = endpoint('192.0.2.1', 80);
  sys.connect(fd, Int32Array.of(address.w0, address.w1, address.w2, address.w3, port, 0));
  sys.advance(0);
  return { fd, peer: sys.network.peers.at(-1)! };
}

describe('the store for slow hosts', () => {
  it('gives back in order what was put in, in whatever order, as a plain array would', () => {
    const step = fc.record({
      ahead: fc.nat(100_000),
      length: fc.integer({ min: 1, max: 50_000 }),
      drain: fc.boolean(),
    });
    const whole = pattern(3 * MEBIBYTE);
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), fc.integer(), (steps, first) => {
        const sys = new SimulatedSys({ faults: { sendVector: { short: 0.3, again: 0.1 } } });
        const { fd, peer } = socket(sys);
        const held = new TcpHeld(sys, 1, 4 * MEBIBYTE);
        // The next position in order; everything before it is in the store or with the socket.
        let next = 0;
        for (const { ahead, length, drain } of steps) {
          const gap = ahead < 20_000 ? 0 : ahead;
          if (held.bytes(0) + gap + length > MEBIBYTE) continue;
          if (gap === 0) {
            next += held.append(0, whole, next, length);
            next += held.join(0, (first + next) | 0);
          } else {
            held.keepAhead(0, (first + next + gap) | 0, gap, whole, next + gap, length);
          }
          if (drain) held.drain(0, fd);
          sys.advance(1000);
        }
        while (held.bytes(0) > 0) {
          held.drain(0, fd);
          sys.advance(1000);
        }
        assert.deepEqual(peer.received, whole.subarray(0, next));
        held.release(0);
        assert.equal(held.usedBytes, 0);
      }),
      { numRuns: 100, seed: 3 },
    );
  });

  it('takes no more than its bound, and as much again when that is free', () => {
    const sys = new SimulatedSys({ sendBytesMax: 10 * MEBIBYTE });
    const { fd } = socket(sys);
    const held = new TcpHeld(sys, 2, 3 * CHUNK);
    const bytes = pattern(MEBIBYTE);
    assert.equal(held.append(0, bytes, 0, 2 * CHUNK), 2 * CHUNK);
    assert.equal(held.append(1, bytes, 0, 2 * CHUNK), CHUNK);
    assert.equal(held.append(1, bytes, 0, 10), 0);
    assert.equal(held.keepAhead(1, 100, 50, bytes, 0, 10), false);
    assert.equal(held.usedBytes, 3 * CHUNK);
    assert.equal(held.drain(0, fd), 2 * CHUNK);
    assert.equal(held.isUsed(0), false);
    assert.equal(held.append(1, bytes, 0, MEBIBYTE), 2 * CHUNK);
    held.release(1);
    assert.equal(held.usedBytes, 0);
  });

  it('keeps nothing of a segment so far ahead that there is no room to reach it', () => {
    const sys = new SimulatedSys();
    const held = new TcpHeld(sys, 1, 2 * CHUNK);
    assert.equal(held.keepAhead(0, 1000, 3 * CHUNK, pattern(10), 0, 10), false);
    assert.equal(held.usedBytes, 0);
    assert.equal(held.isUsed(0), false);
  });

  it('spans slabs', () => {
    const sys = new SimulatedSys({ sendBytesMax: 20 * MEBIBYTE });
    const { fd, peer } = socket(sys);
    const held = new TcpHeld(sys, 3, 12 * MEBIBYTE);
    const bytes = pattern(5 * MEBIBYTE);
    assert.equal(held.append(0, bytes, 0, 3 * MEBIBYTE), 3 * MEBIBYTE);
    assert.equal(held.append(1, bytes, 0, 5 * MEBIBYTE), 5 * MEBIBYTE);
    assert.equal(held.drain(1, fd), 5 * MEBIBYTE);
    peer.setReading('fast');
    for (let i = 0; i < 200; i++) sys.advance(0);
    assert.equal(Buffer.compare(peer.received, bytes), 0);
  });
});
