import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FRAME_PACKETS_MAX } from '../graph/node.ts';
import { NO_OFFLOAD } from '../packet/offload.ts';
import { Packets, VNET_HEADER_BYTES } from '../packet/packets.ts';
import { ERRNO } from '../sys/errno.ts';
import type { SimulatedDevice } from '../sys/simulated/device.ts';
import { SimulatedSys } from '../sys/simulated.ts';
import { TapLink } from './tap.ts';

/** A tap at both ends: the device that the test sends and receives by, and our link on it. */
class Bench {
  readonly sys: SimulatedSys = new SimulatedSys();
  readonly device: SimulatedDevice = this.sys.device();
  readonly packets: Packets;
  readonly frame: Int32Array = new Int32Array(FRAME_PACKETS_MAX);
  readonly link: TapLink;
  readonly #headerBytes: number;

  constructor(hasVnetHeader: boolean, arenaBytes: number = 1024 * 1024, packetsMax: number = 300, headroom = 0) {
    this.packets = new Packets(arenaBytes, packetsMax);
    this.#headerBytes = hasVnetHeader ? VNET_HEADER_BYTES : 0;
    this.link = new TapLink(this.sys, {
      name: 'eth0',
      fd: this.device.fd,
      hasVnetHeader,
      offload: NO_OFFLOAD,
      arenaMemory: this.sys.register(this.packets.bytes),
      headroom,
    });
  }

  /** The guest sends frames of these bytes, each all of one value. */
  guestSends(...frames: [length: number, value: number][]): void {
    for (const [length, value] of frames) {
      const bytes = new Uint8Array(this.#headerBytes + length).fill(value);
      bytes.fill(0xee, 0, this.#headerBytes);
      this.device.send(bytes);
    }
  }

  receive(framesMax: number = FRAME_PACKETS_MAX): number {
    return this.link.receive(this.packets, this.frame, framesMax);
  }

  /** `length:value` of what was received; all bytes are of the value, and the header before them is of `header`. */
  received(count: number, header: number): string[] {
    const { bytes, start, length, end } = this.packets;
    return [...this.frame.subarray(0, count)].map((packet) => {
      const at = start[packet];
      assert.equal(end[packet], at + length[packet]);
      assert.ok(bytes.subarray(at - VNET_HEADER_BYTES, at).every((byte) => byte === header));
      const value = bytes[at];
      assert.ok(bytes.subarray(at, at + length[packet]).every((byte) => byte === value));
      return `${length[packet]}:${value}`;
    });
  }

  /** Sends frames of 60 bytes with these values, and returns how many were taken. */
  send(...values: number[]): number {
    values.forEach((value, i) => {
      const packet = this.packets.allocate(60);
      this.packets.bytes.fill(value, this.packets.start[packet], this.packets.start[packet] + 60);
      this.frame[i] = packet;
    });
    return this.link.transmit(this.packets, this.frame, values.length);
  }

  guestGot(): string[] {
    return this.device.receive().map((frame) => `${frame.length}:${frame.at(-1)}`);
  }
}

for (const hasVnetHeader of [true, false]) {
  const header = hasVnetHeader ? 0xee : 0;
  const headerBytes = hasVnetHeader ? VNET_HEADER_BYTES : 0;

  describe(`a tap ${hasVnetHeader ? 'with' : 'without'} virtio-net headers`, () => {
    it('reads frames in order, one behind another', () => {
      const bench = new Bench(hasVnetHeader);
      bench.guestSends([60, 1], [1514, 2], [61, 3], [60, 4]);
      assert.equal(bench.receive(), 4);
      assert.deepEqual(bench.received(4, header), ['60:1', '1514:2', '61:3', '60:4']);
      assert.ok(bench.packets.used < 2000);
      assert.equal(bench.receive(), 0);
    });

    it('clears what was in the arena before', () => {
      const bench = new Bench(hasVnetHeader);
      bench.packets.bytes.fill(0x77);
      bench.guestSends([60, 1], [60, 2]);
      assert.deepEqual(bench.received(bench.receive(), header), ['60:1', '60:2']);
    });

    it('leaves room in front of each frame and its header where it is asked to', () => {
      const bench = new Bench(hasVnetHeader, 1024 * 1024, 300, 14);
      bench.packets.bytes.fill(0x77);
      bench.guestSends([61, 1], [60, 2]);
      assert.deepEqual(bench.received(bench.receive(), header), ['61:1', '60:2']);
      const { bytes, start } = bench.packets;
      assert.deepEqual([...start.subarray(0, 2)], [26, 114]);
      for (const at of [0, 88]) assert.ok(bytes.subarray(at, at + 14).every((byte) => byte === 0x77));
    });

    it('reads no more than it was asked for, and what the arena has room for', () => {
      const bench = new Bench(hasVnetHeader, 200_000, 300);
      bench.guestSends(...Array.from({ length: 5 }, (_, i): [number, number] => [60_000, i]));
      assert.equal(bench.receive(1), 1);
      assert.equal(bench.receive(), 2);
      assert.equal(bench.receive(), 0);
      bench.packets.reset();
      assert.equal(bench.receive(), 2);
    });

    it('reads no more packets than there are columns', () => {
      const bench = new Bench(hasVnetHeader, 1024 * 1024, 3);
      bench.guestSends(...Array.from({ length: 5 }, (_, i): [number, number] => [60, i]));
      bench.packets.allocate(60);
      assert.equal(bench.receive(), 2);
      assert.equal(bench.receive(), 0);
      assert.equal(bench.packets.count, 3);
    });

    it('tells that the device is gone', () => {
      const bench = new Bench(hasVnetHeader);
      bench.device.failReads(ERRNO.EBADFD);
      assert.equal(bench.receive(), -ERRNO.EBADFD);
    });

    it('tells what it had read before an error', () => {
      const bench = new Bench(hasVnetHeader);
      bench.guestSends([60, 1]);
      bench.receive();
      bench.guestSends([60, 2]);
      assert.equal(bench.receive(), 1);
    });

    it('writes frames in order', () => {
      const bench = new Bench(hasVnetHeader);
      assert.equal(bench.send(1, 2, 3), 3);
      assert.deepEqual(bench.guestGot(), [`${60 + headerBytes}:1`, `${60 + headerBytes}:2`, `${60 + headerBytes}:3`]);
      assert.equal(bench.link.writeErrors, 0);
    });

    it('goes on behind a frame that the kernel refuses, in the middle or at the end', () => {
      for (const errno of [ERRNO.EINVAL, ERRNO.EIO, ERRNO.ENOMEM]) {
        const bench = new Bench(hasVnetHeader);
        const got: number[] = [];
        bench.device.onFrame = (frame) => {
          const value = frame.at(-1) ?? -1;
          got.push(value);
          // The next frame is refused: when it is come to, and when it is tried first.
          if (value === 1 || value === 3) bench.device.failWrites(errno, 2);
        };
        assert.equal(bench.send(1, 2, 3, 4), 2);
        assert.deepEqual(got, [1, 3]);
        assert.equal(bench.link.writeErrors, 2);
      }
    });

    it('gives a device up that is gone or full, and counts every frame', () => {
      for (const errno of [ERRNO.EBADFD, ERRNO.EAGAIN]) {
        const bench = new Bench(hasVnetHeader);
        bench.device.failWrites(errno, 1);
        assert.equal(bench.send(1, 2, 3), 0);
        assert.equal(bench.link.writeErrors, 3);
        assert.deepEqual(bench.guestGot(), []);
      }
    });

    it('closes its descriptor and lets its memory go', () => {
      const bench = new Bench(hasVnetHeader);
      bench.link.close();
      assert.deepEqual(bench.sys.openDescriptors(), []);
    });
  });
}

describe('a frame of nothing but a virtio-net header', () => {
  it('is passed over, and takes no room', () => {
    const bench = new Bench(true);
    bench.guestSends([60, 1], [0, 0], [60, 2], [0, 0]);
    assert.deepEqual(bench.received(bench.receive(), 0xee), ['60:1', '60:2']);
    const short = new Bench(true);
    short.device.send(new Uint8Array(5));
    assert.equal(short.receive(), 0);
    assert.equal(short.packets.count, 0);
  });
});
