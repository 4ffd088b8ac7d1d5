import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { TCP_HELD_BYTES_MAX } from '../base/limits.ts';
import type { StreamService } from '../sys/simulated/peer.ts';
import { type Conversation, pattern, TcpBench } from './tcp-bench.test.ts';

/**
 * A guest that lies: any segments, with numbers around all edges that there are. Nothing that it does may throw, run in circles, or leave anything behind;
 * what the host gets is a beginning of what it would have got from an honest guest.
 */
describe('tcp: a guest that lies', () => {
  const edge = fc.constantFrom(0, 1, 2, 100, 1461, 65_536, TCP_HELD_BYTES_MAX, TCP_HELD_BYTES_MAX + 1, 0x7fff_ffff);
  const around = fc.record({ edge, sign: fc.constantFrom(-1, 1), off: fc.integer({ min: -2, max: 2 }) });
  const number = around.map(({ edge, sign, off }) => sign * edge + off);
  const segment = fc.record({
    flags: fc.constantFrom('A', 'A', 'A', 'A', 'FA', 'S', 'SA', 'R', 'RA', 'F', '', 'SFRA', 'UA'),
    seq: fc.oneof({ weight: 3, arbitrary: fc.constant(undefined) }, { weight: 2, arbitrary: number }),
    ack: fc.oneof({ weight: 3, arbitrary: fc.constant(undefined) }, { weight: 2, arbitrary: number }),
    window: fc.constantFrom(0, 1, 100, 65_535),
    length: fc.constantFrom(0, 0, 1, 100, 1460, 9000),
    mss: fc.constantFrom(-1, 0, 1, 1460, 65_535),
    scale: fc.constantFrom(-1, 0, 7, 14, 255),
    /** -1: in the same frame as the one before. */
    waitMs: fc.constantFrom(-1, -1, 0, 0, 1, 250, 5000, 100_000),
  });
  const host = fc.constantFrom<StreamService>(
    {},
    { echo: true },
    { reading: 'manual', receiveBytesMax: 1000 },
    { outcome: 'refuse' },
    { outcome: 'no-route' },
    { connectDelayUs: 1000, onConnect: (peer) => peer.send(pattern(100_000)) },
    { onConnect: (peer) => peer.end() },
    { onConnect: (peer) => peer.reset() },
    { onData: (_bytes, peer) => peer.reset() },
    { onConnect: (peer) => peer.close() },
  );

  function play(bench: TcpBench, guest: Conversation, segments: readonly Step[]): void {
    for (const { flags, seq, ack, window, length, mss, scale, waitMs } of segments) {
      const syn = flags.includes('S') ? { mss, scale } : {};
      const at = seq === undefined ? guest.next : guest.next + seq;
      // Whatever is at a place of the stream is always the same there, as long as it is near.
      const data = Math.abs(at) < 10_000_000 ? pattern(length, at - 1) : pattern(length);
      guest.send(flags, {
        ...(seq === undefined ? {} : { seq: at }),
        ...(ack === undefined ? {} : { ack: guest.expected + ack }),
        window,
        data,
        ...syn,
      });
      if (waitMs >= 0) bench.wait(waitMs);
    }
  }

  type Step = typeof segment extends fc.Arbitrary<infer T> ? T : never;

  it('breaks nothing, and leaves nothing', () => {
    fc.assert(
      fc.property(
        fc.array(segment, { maxLength: 40 }),
        fc.boolean(),
        host,
        fc.boolean(),
        fc.constantFrom(1, 64),
        (segments, opens, service, peekOffset, flowsMax) => {
          const bench = new TcpBench({ sys: { peekOffset, sendBytesMax: 2000 }, flowsMax, heldBytesMax: 256 * 1024 });
          const guest = opens ? bench.connected(service) : bench.talk(service);
          play(bench, guest, segments);
          assert.ok(bench.engine.tcp.heldBytes <= 256 * 1024);
          assert.ok(bench.flows.count <= 1);
          bench.close();
          assert.equal(bench.engine.tcp.heldBytes, 0);
          assert.equal(bench.engine.timers, 0);
        },
      ),
      { numRuns: 400, seed: 11 },
    );
  });

  it('does not get stuck for ever either: a guest that falls silent is forgotten', () => {
    fc.assert(
      fc.property(fc.array(segment, { maxLength: 15 }), host, (segments, service) => {
        const bench = new TcpBench({ sys: { sendBytesMax: 2000 } });
        const guest = bench.connected(service);
        play(bench, guest, segments);
        bench.wait(4 * 3_600_000);
        // What has ended its side, and may be gone, is kept for as long as bytes of it wait for a host.
        if (service.reading === 'manual' && bench.flows.count > 0) {
          bench.peer.setReading('fast');
          bench.wait(4 * 3_600_000);
        }
        assert.equal(bench.flows.count, 0);
        bench.close();
      }),
      { numRuns: 15, seed: 12 },
    );
  });
});
