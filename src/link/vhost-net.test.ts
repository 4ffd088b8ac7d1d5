import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { FRAME_BYTES_MAX, VHOST_TRANSMIT_BYTES } from '../base/limits.ts';
import { Packets } from '../packet/packets.ts';
import { ERRNO } from '../sys/errno.ts';
import { pattern, VhostBench } from './vhost-device-fixture.test.ts';
import { vhostNetLayout } from './vhost-net.ts';

const SIZES: readonly number[] = [14, 60, 244, 245, 1514, 2036, 2037, 4084, 4085, 9000, 30_000, FRAME_BYTES_MAX];

describe('the memory of a vhost-net link', () => {
  it('has room for all parts, aligned, and for the largest frame in the receive buffers', () => {
    for (const size of [1, 2, 256, 32_768]) {
      const layout = vhostNetLayout(size, size);
      for (const { descriptors, available, used } of [layout.receive, layout.transmit]) {
        assert.deepEqual([descriptors % 16, available % 2, used % 4], [0, 0, 0]);
      }
      assert.ok(size * layout.receiveBufferBytes >= FRAME_BYTES_MAX + 12);
      assert.ok(layout.transmit.used + 6 + 8 * size <= layout.receiveBuffersAt);
      assert.equal(layout.bytes, layout.transmitRoomAt + VHOST_TRANSMIT_BYTES);
    }
    for (const size of [0, 3, 65_536]) assert.throws(() => vhostNetLayout(size, 8), RangeError);
  });
});

for (const eventIndex of [false, true]) {
  describe(`a vhost-net link ${eventIndex ? 'with' : 'without'} EVENT_IDX`, () => {
    it('receives frames of every size, joined, with their headers', () => {
      for (const receiveSize of [1, 4, 32]) {
        const bench = new VhostBench({ eventIndex, receiveSize });
        for (const [i, size] of SIZES.entries()) {
          assert.ok(bench.deviceSends(pattern(size, i), 0xab), `${size} bytes`);
          assert.ok(bench.sys.readable);
          assert.equal(bench.receive(), 1);
          assert.deepEqual(bench.received(1), [pattern(size, i)]);
          const start = bench.packets.start[bench.frame[0]]!;
          const header = [...bench.packets.bytes.subarray(start - 12, start)];
          assert.deepEqual(header, [...new Array(10).fill(0xab), 0, 0]);
          assert.ok(!bench.sys.readable);
          bench.packets.reset();
        }
      }
    });

    it('sends frames of every size, from any place in the arena', () => {
      const bench = new VhostBench({ eventIndex });
      for (const [i, size] of SIZES.entries()) {
        for (const shift of [0, 1, 2, 3]) {
          bench.packets.used += shift;
          const packet = bench.packets.allocate(size + shift);
          bench.packets.start[packet]! += shift;
          bench.packets.length[packet] = size;
          const start = bench.packets.start[packet]!;
          bench.packets.bytes.fill(0xcd, start - 12, start);
          bench.packets.bytes.set(pattern(size, i), start);
          bench.frame[0] = packet;
          assert.equal(bench.link.transmit(bench.packets, bench.frame, 1), 1);
          bench.packets.reset();
          bench.packets.bytes.fill(0);
          const [got, ...others] = bench.deviceGets();
          assert.equal(others.length, 0);
          assert.deepEqual(got!.frame, pattern(size, i), `${size} bytes, ${shift}`);
          assert.deepEqual([...got!.header], [...new Array(10).fill(0xcd), 0, 0]);
        }
      }
    });

    it('loses and changes nothing both ways, whatever the turns, for longer than the indexes count', () => {
      const turn = fc.record({ frames: fc.nat(12), most: fc.integer({ min: 1, max: 9 }), size: fc.nat(9000) });
      fc.assert(
        fc.property(fc.array(turn, { minLength: 20, maxLength: 30 }), (turns) => {
          const bench = new VhostBench({ eventIndex, receiveSize: 16, transmitSize: 16 });
          const sent: Uint8Array[] = [];
          const waiting: Uint8Array[] = [];
          const pass = (most: number): void => {
            const count = bench.receive(most);
            assert.ok(count >= 0);
            for (const frame of bench.received(count)) assert.deepEqual(frame, sent.shift());
            waiting.push(...bench.received(count));
            const taken = bench.link.transmit(bench.packets, bench.frame, count);
            assert.equal(taken, count, 'the device has taken all that came before');
            assert.deepEqual(
              bench.deviceGets().map(({ frame }) => frame),
              waiting.splice(0),
            );
            bench.packets.reset();
          };
          for (const { frames, most, size } of turns) {
            for (let i = 0; i < frames; i++) {
              const frame = pattern(14 + ((size + i * 97) % 3000), size + i);
              // Buffers that were taken for a frame that has too few stay with the device.
              if (16 - inUse(sent) < 1) break;
              assert.ok(bench.deviceSends(frame));
              sent.push(frame);
            }
            pass(most);
          }
          while (sent.length > 0) pass(9);
        }),
        { numRuns: 20 },
      );
    });

    it('is woken by what comes when it had looked last, and by nothing while it reads', () => {
      const bench = new VhostBench({ eventIndex });
      assert.equal(bench.receive(), 0);
      bench.deviceSends(pattern(60, 1));
      assert.ok(bench.sys.readable);
      bench.deviceSends(pattern(60, 2));
      assert.equal(bench.receive(1), 1);
      bench.sys.called = false;
      bench.deviceSends(pattern(60, 3));
      assert.ok(!bench.sys.readable, 'it reads still');
      assert.equal(bench.receive(), 2);
      bench.deviceSends(pattern(60, 4));
      assert.ok(bench.sys.readable);
    });

    it('has no interrupts when it is polled, and misses nothing when it has them again', () => {
      const bench = new VhostBench({ eventIndex });
      bench.link.setInterrupts(false);
      assert.equal(bench.receive(), 0);
      bench.deviceSends(pattern(60, 1));
      assert.ok(!bench.sys.readable);
      assert.equal(bench.receive(), 1);
      bench.deviceSends(pattern(60, 2));
      bench.link.setInterrupts(true);
      assert.ok(bench.sys.readable, 'by our own hand');
      assert.equal(bench.receive(), 1);
      bench.deviceSends(pattern(60, 3));
      assert.ok(bench.sys.readable);
    });

    it('refuses what the ring has no entry for, and takes more when the device is done', () => {
      const bench = new VhostBench({ eventIndex, transmitSize: 4 });
      const frames = [1, 2, 3, 4, 5, 6].map((seed) => pattern(100, seed));
      assert.equal(bench.send(frames), 4);
      assert.equal(bench.link.ringFull, 2);
      assert.deepEqual(
        bench.deviceGets().map(({ frame }) => frame),
        frames.slice(0, 4),
      );
      assert.equal(bench.send(frames.slice(4)), 2);
    });

    it('refuses what there is no room for, and uses the room in a circle', () => {
      const bench = new VhostBench({ eventIndex, transmitSize: 64 });
      const frame = pattern(FRAME_BYTES_MAX, 1);
      let taken = 0;
      while (bench.send([frame]) === 1) {
        taken++;
        bench.packets.reset();
      }
      assert.equal(taken, Math.floor(VHOST_TRANSMIT_BYTES / (FRAME_BYTES_MAX + 15)));
      const held = bench.deviceGets(true);
      // Done in another order than that in which they came.
      for (const { id } of held.slice(1, 5).reverse()) bench.tx.use([id, 0]);
      assert.equal(bench.send([frame]), 0, 'the oldest is still out');
      bench.tx.use([held[0]!.id, 0]);
      bench.packets.reset();
      assert.equal(bench.send([pattern(FRAME_BYTES_MAX, 2), pattern(1000, 3)]), 2);
      const got = bench.deviceGets(true);
      assert.deepEqual(
        got.map((each) => each.frame),
        [pattern(FRAME_BYTES_MAX, 2), pattern(1000, 3)],
      );
    });
  });
}

describe('a vhost-net link', () => {
  it('kicks only when the device wants it', () => {
    const bench = new VhostBench();
    const before = bench.sys.kicks.length;
    bench.send([pattern(60, 1), pattern(60, 2)]);
    assert.equal(bench.sys.kicks.length, before + 1);
    bench.send([pattern(60, 3)]);
    assert.equal(bench.sys.kicks.length, before + 1, 'it has not looked yet');
    bench.deviceGets();
    bench.send([pattern(60, 4)]);
    assert.equal(bench.sys.kicks.length, before + 2);
  });

  it('stops where the arena is full, and asks to be called again', () => {
    const packets = new Packets(FRAME_BYTES_MAX + 100, 10);
    const bench = new VhostBench({ packets, receiveSize: 32 });
    for (const seed of [1, 2]) bench.deviceSends(pattern(1000, seed));
    assert.equal(bench.receive(), 1);
    assert.equal(bench.receive(), 0);
    assert.ok(bench.sys.readable);
    packets.reset();
    assert.equal(bench.receive(), 1);
    assert.deepEqual(bench.received(1), [pattern(1000, 2)]);
  });

  it('leaves room in front where it is asked to', () => {
    const bench = new VhostBench({ headroom: 14 });
    bench.deviceSends(pattern(60, 1));
    bench.deviceSends(pattern(61, 2));
    assert.equal(bench.receive(), 2);
    assert.deepEqual(bench.received(2), [pattern(60, 1), pattern(61, 2)]);
    const [first, second] = [...bench.frame].map((packet) => bench.packets.start[packet]!);
    assert.ok(second! - (first! + 60) >= 14 + 12);
  });

  it('counts frames that can not be, and goes on behind them', () => {
    const bench = new VhostBench({ receiveSize: 32 });
    bench.deviceSends(new Uint8Array(0));
    bench.deviceSends(pattern(FRAME_BYTES_MAX + 1, 1));
    bench.deviceSends(pattern(60, 2));
    assert.equal(bench.receive(), 1);
    assert.deepEqual([bench.received(1), bench.link.receiveErrors], [[pattern(60, 2)], 2]);
  });

  it('breaks on what can not be in a ring, and says so', () => {
    const wrongs: readonly ((bench: VhostBench) => void)[] = [
      (bench) => bench.rx.use([99, 60]),
      (bench) => bench.rx.use([bench.rx.next()!.id, 1_000_000]),
      (bench) => bench.rx.use([bench.rx.next()!.id, 11]),
      (bench) => {
        const { id, at } = bench.rx.next()!;
        bench.memory[at + 10] = 2;
        bench.rx.use([id, 100]);
      },
      (bench) => {
        bench.tx.use([3, 0]);
        bench.send([pattern(60, 1)]);
      },
    ];
    for (const [i, wrong] of wrongs.entries()) {
      const bench = new VhostBench();
      wrong(bench);
      assert.equal(bench.receive(), -ERRNO.EPROTO, `the wrong number ${i}`);
      assert.ok(bench.sys.readable);
      assert.equal(bench.receive(), -ERRNO.EPROTO);
      assert.equal(bench.send([pattern(60, 1)]), 0);
    }
  });

  it('gives what was whole before it broke', () => {
    const bench = new VhostBench();
    bench.deviceSends(pattern(60, 1));
    bench.rx.use([99, 60]);
    assert.equal(bench.receive(), 1);
    assert.equal(bench.receive(), -ERRNO.EPROTO);
  });

  it('tells of an error that the kernel reports, polled or not', () => {
    for (const interrupts of [true, false]) {
      const bench = new VhostBench();
      bench.link.setInterrupts(interrupts);
      bench.sys.failed = true;
      let result = 0;
      for (let i = 0; i < 5000 && result === 0; i++) result = bench.receive();
      assert.equal(result, -ERRNO.EIO);
    }
  });

  it('closes the device before all else, and forgets the memory', () => {
    const bench = new VhostBench();
    bench.link.close();
    assert.equal(bench.sys.closed[0], 900);
    assert.equal(bench.sys.closed.length, 5);
    assert.throws(() => bench.sys.unregister(0), RangeError);
  });
});

/** Buffers of 4,096 bytes that these frames take. */
function inUse(frames: readonly Uint8Array[]): number {
  return frames.reduce((sum, frame) => sum + Math.ceil((frame.length + 12) / 4096), 0);
}
