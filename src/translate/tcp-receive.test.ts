import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import fc from 'fast-check';
import { TCP_HELD_BYTES_MAX } from '../base/limits.ts';
import { ERRNO } from '../sys/errno.ts';
import { OFFLOAD, pattern, TcpBench, type TcpBenchOptions } from './tcp-bench.test.ts';

let bench: TcpBench;

function start(options: TcpBenchOptions = {}): void {
  bench = new TcpBench(options);
}

afterEach(() => bench.close());

describe('tcp: from the guest to the host', () => {
  it('gives the segments of one frame to the socket with one call, and acknowledges once', () => {
    start();
    const guest = bench.connected();
    let calls = 0;
    const { sendVector } = bench.sys;
    bench.sys.sendVector = (...args) => {
      calls++;
      return sendVector.apply(bench.sys, args);
    };
    for (let i = 0; i < 10; i++) guest.send('A', { data: pattern(100, i * 100) });
    assert.deepEqual(guest.take(), ['A 1 ack 1001']);
    assert.equal(calls, 1);
    assert.deepEqual(bench.peer.received, pattern(1000));
  });

  it('carries numbers across 2^31 and 2^32', () => {
    for (const isn of [0x7fff_ffff - 500, -500, -1, 0x7fff_ffff]) {
      start({ iss: isn });
      const guest = bench.connected({ echo: true }, {}, { isn });
      for (let i = 0; i < 5; i++) {
        assert.deepEqual(guest.ask('A', { data: pattern(300, i * 300) }), [
          `A ${1 + i * 300} ack ${301 + i * 300}`,
          `A ${1 + i * 300}+300 ack ${301 + i * 300}`,
        ]);
      }
      assert.deepEqual(guest.received, [...pattern(1500)]);
      bench.close();
    }
    start();
  });

  it('takes what is new of a segment that overlaps, and acknowledges what is not new', () => {
    start();
    const guest = bench.connected();
    guest.ask('A', { data: pattern(100) });
    assert.deepEqual(guest.ask('A', { seq: 1, data: pattern(100) }), ['A 1 ack 101']);
    assert.deepEqual(guest.ask('A', { seq: 51, data: pattern(100, 50) }), ['A 1 ack 151']);
    assert.deepEqual(bench.peer.received, pattern(150));
  });

  it('keeps what lies ahead of a gap, and asks for the gap each time', () => {
    start();
    const guest = bench.connected();
    assert.deepEqual(guest.ask('A', { seq: 101, data: pattern(100, 100) }), ['A 1 ack 1']);
    assert.deepEqual(guest.ask('A', { seq: 301, data: pattern(100, 300) }), ['A 1 ack 1']);
    assert.deepEqual(guest.ask('A', { seq: 151, data: pattern(150, 150) }), ['A 1 ack 1']);
    assert.equal(bench.peer.receivedBytes, 0);
    assert.deepEqual(guest.ask('A', { seq: 1, data: pattern(100) }), ['A 1 ack 401']);
    assert.deepEqual(bench.peer.received, pattern(400));
  });

  it('remembers a bounded number of gaps', () => {
    start();
    const guest = bench.connected();
    for (let i = 1; i <= 40; i++) guest.send('A', { seq: 1 + i * 20, data: pattern(10, i * 20) });
    assert.deepEqual(guest.take(), ['A 1 ack 1']);
    for (let i = 0; i <= 40; i++) guest.ask('A', { seq: 1 + i * 20, data: pattern(20, i * 20) });
    assert.deepEqual(bench.peer.received, pattern(820));
  });

  it('delivers any cutting, repetition and order of a stream once and in order', () => {
    const bytes = 4000;
    const piece = fc.record({ at: fc.nat(bytes - 1), length: fc.integer({ min: 1, max: 900 }), turn: fc.boolean() });
    const whole = pattern(bytes);
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), fc.boolean(), (pieces, slow) => {
        start({ sys: slow ? { faults: { sendVector: { short: 0.3, again: 0.2 } } } : {} });
        const guest = bench.connected({}, {}, { isn: -1000 });
        const give = (at: number, length: number): void => {
          const end = Math.min(bytes, at + length);
          guest.send(end === bytes ? 'FA' : 'A', { seq: 1 + at, data: whole.subarray(at, end) });
        };
        for (const { at, length, turn } of pieces) {
          give(at, length);
          if (turn) bench.settle();
        }
        for (let at = 0; at < bytes; at += 1000) give(at, 1000);
        bench.settle();
        give(3900, 100);
        bench.wait(50);
        assert.deepEqual(guest.take().at(-1), `A 1 ack ${bytes + 2}`);
        assert.deepEqual(bench.peer.received, whole);
        assert.ok(bench.peer.sawEnd);
        bench.close();
      }),
      { numRuns: 60, seed: 1 },
    );
    start();
  });

  it('takes short writes, and passing shortages', () => {
    for (const odds of [{ short: 0.8 }, { again: 0.7 }, { noBuffers: 0.7 }, { noMemory: 0.7, short: 0.3 }]) {
      start({ sys: { faults: { sendVector: odds } } });
      const guest = bench.connected();
      for (let i = 0; i < 50; i++) {
        guest.send('A', { data: pattern(1000, i * 1000) });
        bench.wait(1);
      }
      guest.send('FA');
      bench.wait(100);
      assert.equal(guest.take().at(-1), 'A 1 ack 50002');
      assert.deepEqual(bench.peer.received, pattern(50_000));
      assert.ok(bench.peer.sawEnd);
      bench.close();
    }
    start();
  });

  it('asks again for a socket that had no memory and says nothing', () => {
    start();
    const guest = bench.connected();
    const { sendVector } = bench.sys;
    bench.sys.sendVector = () => -ERRNO.ENOBUFS;
    assert.deepEqual(guest.ask('A', { data: 100 }), ['A 1 ack 101']);
    bench.sys.sendVector = sendVector;
    bench.wait(150);
    assert.equal(bench.peer.receivedBytes, 0);
    bench.wait(100);
    assert.equal(bench.peer.receivedBytes, 100);
  });

  it('asks it again too while the guest is waited for: for acknowledgements, or for a window', () => {
    for (const window of [65_535, 0]) {
      start();
      const guest = bench.connected();
      guest.ask('A', { window });
      bench.peer.send(pattern(100));
      bench.wait(1);
      const { sendVector } = bench.sys;
      bench.sys.sendVector = () => -ERRNO.ENOBUFS;
      guest.send('A', { ack: 1, window, data: 100 });
      bench.wait(50);
      bench.sys.sendVector = sendVector;
      bench.wait(200);
      assert.equal(bench.peer.receivedBytes, 100, `with a window of ${window}`);
      bench.close();
    }
    start();
  });

  it('closes the window before a host that does not read, loses nothing, and opens it again', () => {
    start({ sys: { sendBytesMax: 4000 } });
    const guest = bench.connected({ reading: 'manual', receiveBytesMax: 4000 });
    let window = TCP_HELD_BYTES_MAX;
    for (let at = 0; window > 0; at += 16_000) {
      const length = Math.min(16_000, window);
      guest.ask('A', { data: pattern(length, at) });
      const told = guest.segments.at(-1)!;
      assert.equal(told.ack, 1 + at + length);
      window = told.window;
    }
    const held = guest.next - 1;
    assert.ok(held >= TCP_HELD_BYTES_MAX && held < TCP_HELD_BYTES_MAX + 16_000, `${held}`);
    // A byte beyond: the probe of a guest that waits (RFC 9293, section 3.8.6.1).
    const probe = { seq: guest.next, data: pattern(1, held) };
    assert.deepEqual(guest.ask('A', probe), [`A 1 ack ${held + 1}`]);
    assert.equal(guest.segments[0].window, 0);
    bench.wait(10_000);
    assert.deepEqual(guest.take(), []);

    bench.peer.setReading('fast');
    bench.wait(10);
    const updates = guest.take();
    assert.ok(updates.length >= 1 && updates.length <= 5, updates.join('; '));
    assert.ok(guest.segments.at(-1)!.window > (TCP_HELD_BYTES_MAX * 3) / 4);
    assert.deepEqual(bench.peer.received, pattern(held));
    assert.deepEqual(guest.ask('A', probe), [`A 1 ack ${held + 2}`]);
  });

  it('cuts off what lies beyond the window', () => {
    start({ sys: { sendBytesMax: 1000 } });
    const guest = bench.connected({ reading: 'manual', receiveBytesMax: 1000 });
    for (let at = 0; at < TCP_HELD_BYTES_MAX - 60_000; at += 60_000) guest.ask('A', { data: pattern(60_000, at) });
    for (let i = 0; i < 3; i++) guest.ask('FA', { data: pattern(60_000, guest.next - 1), seq: guest.next });
    const { ack, window } = guest.segments.at(-1)!;
    assert.equal(window, 0);
    assert.ok(ack <= TCP_HELD_BYTES_MAX + 2001);
    bench.peer.setReading('fast');
    bench.wait(10);
    assert.equal(bench.peer.receivedBytes, ack - 1);
    assert.equal(bench.peer.sawEnd, false, 'the FIN behind the window was not taken');
  });

  it('has the guest send again what finds no room in the store', () => {
    start({ heldBytesMax: 64 * 1024, sys: { sendBytesMax: 1000 } });
    const first = bench.connected({ reading: 'manual', receiveBytesMax: 1000 });
    first.ask('A', { data: pattern(50_000) });
    const { peer } = bench;
    const second = bench.connected({ reading: 'manual', receiveBytesMax: 1000 }, {}, { port: 81 });
    // One chunk is all that there is, and the first flow has it.
    assert.deepEqual(second.ask('FA', { data: pattern(5000) }), ['A 1 ack 1001']);
    assert.deepEqual(second.ask('FA', { seq: 1001, data: pattern(4000, 1000) }), ['A 1 ack 2001']);
    assert.deepEqual(second.ask('A', { seq: 3001, data: pattern(100, 3000) }), ['A 1 ack 2001']);
    peer.setReading('fast');
    bench.peer.setReading('fast');
    bench.wait(10);
    second.take();
    assert.deepEqual(second.ask('FA', { seq: 2001, data: pattern(3000, 2000) }), ['A 1 ack 5002']);
    bench.wait(10);
    assert.deepEqual(bench.peer.received, pattern(5000));
    assert.ok(bench.peer.sawEnd);
    assert.deepEqual(peer.received, pattern(50_000));
    assert.equal(bench.engine.tcp.heldBytes, 0);
  });

  it('promises the less, the more of the store is in use, but nothing less than before', () => {
    const storeBytes = 64 * 1024 * 1024;
    start({ heldBytesMax: storeBytes, offload: OFFLOAD, sys: { sendBytesMax: 1000 } });
    const promised = (port: number): number => {
      const guest = bench.connected({ reading: 'manual', receiveBytesMax: 1000 }, {}, { port });
      const window = (): number => {
        // A keep-alive is answered with what we know.
        guest.ask('A', { seq: 0 });
        return guest.segments.at(-1)!.window;
      };
      const before = window();
      for (let sent = 0; sent + 60_000 <= before; sent += 60_000) guest.ask('A', { data: 60_000, gso: 1460 });
      assert.ok(window() >= before - guest.next + 1, 'what was promised is');
      return before;
    };
    const windows = [4001, 4002, 4003, 4004].map(promised);
    assert.equal(windows[0], storeBytes / 256);
    for (let i = 1; i < windows.length; i++) assert.ok(windows[i]! < windows[i - 1]!, windows.join(' '));
  });

  it('answers keep-alive and window probes, and what it does not understand, with what it knows', () => {
    start();
    const guest = bench.connected();
    guest.ask('A', { data: 10 });
    const state = ['A 1 ack 11'];
    assert.deepEqual(guest.ask('A', { seq: 10 }), state, 'keep-alive');
    assert.deepEqual(guest.ask('A', { seq: 10, data: 1 }), state, 'keep-alive with a byte of garbage');
    assert.deepEqual(guest.ask('A', { seq: 11, ack: 99_999 }), state, 'acknowledges what was never sent');
    assert.deepEqual(guest.ask('S', { seq: 11 }), state, 'a SYN in the window');
    assert.deepEqual(guest.ask('A', { seq: -70_000, data: 10 }), state, 'from long ago');
    assert.deepEqual(guest.ask('A', { seq: 0x7fff_0000, data: 10 }), state, 'from far ahead');
    assert.deepEqual(guest.ask('', { seq: 11, data: 10 }), [], 'without ACK');
    assert.equal(bench.peer.receivedBytes, 10);
    assert.equal(bench.engine.tcp.heldBytes, 0);
  });

  it('takes a super-segment whole', () => {
    start({ offload: { checksum: true, tcpSegmentation: true, udpSegmentation: false } });
    const guest = bench.connected();
    assert.deepEqual(guest.ask('A', { data: pattern(60_000), gso: 1460 }), ['A 1 ack 60001']);
    assert.deepEqual(bench.peer.received, pattern(60_000));
  });
});
