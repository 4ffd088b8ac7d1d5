import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { FRAME_PACKETS_MAX } from '../graph/node.ts';
import {
  type LargeFrame,
  largeFrames,
  ORDINARY,
  putLargeFrame,
  readFrame,
  twoArenas,
} from '../packet/large-frame-fixture.test.ts';
import { type LinkOffload, NO_OFFLOAD } from '../packet/offload.ts';
import { type Packet, Packets, VNET_HEADER_BYTES } from '../packet/packets.ts';
import { ERRNO } from '../sys/errno.ts';
import type { SimulatedDevice } from '../sys/simulated/device.ts';
import { SimulatedSys } from '../sys/simulated.ts';
import * as vnet from '../wire/vnet-header.ts';
import type { Link } from './link.ts';
import { SoftwareOffload } from './software-offload.ts';
import { TapLink } from './tap.ts';

const CHECKSUM_ONLY: LinkOffload = { ...NO_OFFLOAD, checksum: true };
const ALL: LinkOffload = { checksum: true, tcpSegmentation: true, udpSegmentation: true };

/** A tap with these offloads behind software that has the others. It has virtio-net headers where it has any. */
class Bench {
  readonly sys: SimulatedSys = new SimulatedSys();
  readonly device: SimulatedDevice = this.sys.device();
  readonly packets: Packets;
  readonly link: SoftwareOffload;
  readonly segments: Packets;
  readonly tap: TapLink;
  readonly #frame: Int32Array = new Int32Array(FRAME_PACKETS_MAX);
  readonly #headerBytes: number;

  constructor(offload: LinkOffload = NO_OFFLOAD, segmentArenaBytes?: number) {
    const { memory, packets, segments } = twoArenas(segmentArenaBytes);
    this.packets = packets;
    this.segments = segments;
    this.#headerBytes = offload.checksum ? VNET_HEADER_BYTES : 0;
    const arenaMemory = this.sys.register(memory);
    const hasVnetHeader = offload.checksum;
    this.tap = new TapLink(this.sys, { name: 'eth0', fd: this.device.fd, hasVnetHeader, offload, arenaMemory });
    this.link = new SoftwareOffload(this.tap, segments);
  }

  send(...packets: Packet[]): number {
    this.#frame.set(packets);
    return this.link.transmit(this.packets, this.#frame, packets.length);
  }

  put(large: LargeFrame): Packet {
    return putLargeFrame(this.packets, large);
  }

  /** A frame that is not to be cut; its checksum may be partial. */
  putSmall(small: LargeFrame): Packet {
    const packet = this.put(small);
    vnet.setGso(this.packets.view, this.header(packet), vnet.GSO_NONE, 0, 0);
    return packet;
  }

  header(packet: Packet): number {
    return this.packets.start[packet] - VNET_HEADER_BYTES;
  }

  /** The frames that the guest got, without virtio-net headers. */
  got(): Uint8Array[] {
    return this.device.receive().map((frame) => frame.subarray(this.#headerBytes));
  }

  counters(): string {
    const { segmented, segments, checksummed, dropped } = this.link;
    return `${segmented} cut into ${segments}, ${checksummed} checksummed, ${dropped} dropped`;
  }
}

function filled(bytes: number): Uint8Array {
  return ORDINARY.payload.slice(0, bytes);
}

const SMALL: LargeFrame = { ...ORDINARY, payload: filled(100) };

describe('SoftwareOffload around a link without offloads', () => {
  it('finishes any mixture of frames, in order', () => {
    const frames = fc.array(fc.tuple(largeFrames, fc.boolean()), { maxLength: 3 });
    fc.assert(
      fc.property(frames, fc.constantFrom(128 * 1024, 66_000), (mixture, segmentArenaBytes) => {
        const bench = new Bench(NO_OFFLOAD, segmentArenaBytes);
        const sent = mixture.map(([frame, isLarge]) =>
          isLarge ? bench.put(frame) : bench.putSmall({ ...frame, paddingBytes: 0 }),
        );
        assert.equal(bench.send(...sent), sent.length);
        const got = bench.got().map(readFrame);
        assert.ok(got.every(({ isValid }) => isValid));
        const expected = Buffer.concat(mixture.map(([{ payload }]) => payload));
        assert.deepEqual(Buffer.concat(got.map(({ payload }) => payload)), expected);
        assert.equal(bench.segments.count, 0);
      }),
      { numRuns: 60 },
    );
  });

  it('counts what it does', () => {
    const bench = new Bench();
    const ufo = bench.put({ ...ORDINARY, isTcp: false });
    vnet.setGso(bench.packets.view, bench.header(ufo), vnet.GSO_UDP, 1448, 42);
    const wrong = bench.putSmall(SMALL);
    vnet.setChecksum(bench.packets.view, bench.header(wrong), 60_000, 16);
    const complete = bench.putSmall({ ...SMALL, isPartial: false });
    const partial = bench.putSmall(SMALL);
    assert.equal(bench.send(complete, ufo, partial, bench.put(ORDINARY), wrong, bench.put(SMALL)), 4);
    assert.equal(bench.counters(), '2 cut into 4, 1 checksummed, 2 dropped');
    const lengths = bench.got().map((frame) => frame.length);
    assert.deepEqual(lengths, [166, 166, 1514, 1514, 66 + 4000 - 2 * 1448, 166]);
  });

  it('empties the virtio-net header of a frame that needs nothing', () => {
    const bench = new Bench();
    const packet = bench.putSmall({ ...SMALL, isPartial: false });
    vnet.setBufferCount(bench.packets.view, bench.header(packet), 1);
    assert.equal(bench.send(packet), 1);
    const header = bench.header(packet);
    assert.deepEqual(bench.packets.bytes.slice(header, header + 12), new Uint8Array(12));
    assert.equal(bench.counters(), '0 cut into 0, 0 checksummed, 0 dropped');
  });

  it('may be given the same bytes more than once', () => {
    const bench = new Bench();
    const once = bench.putSmall(SMALL);
    const large = bench.put(ORDINARY);
    assert.equal(bench.send(once, once, large, large), 4);
    assert.equal(bench.send(once, large), 2);
    const got = bench.got();
    assert.equal(got.length, 3 + 3 * 3);
    assert.ok(got.every((frame) => readFrame(frame).isValid));
    assert.equal(bench.counters(), '3 cut into 9, 1 checksummed, 0 dropped');
  });

  it('cuts a frame into more segments than there is room for at once', () => {
    const bench = new Bench(NO_OFFLOAD, 70_000);
    const large = { ...ORDINARY, payload: new Uint8Array(65_000).fill(7), segmentBytes: 40 };
    assert.equal(bench.send(bench.put(large), bench.putSmall(SMALL)), 2);
    const got = bench.got();
    assert.equal(got.length, 1625 + 1);
    assert.ok(got.every((frame) => readFrame(frame).isValid));
  });

  it('counts a frame as taken when its last segment was', () => {
    const bench = new Bench();
    const frames = [bench.put(ORDINARY), bench.put(ORDINARY), bench.putSmall(SMALL)];
    let written = 0;
    bench.device.onFrame = () => {
      if (++written === 4) bench.device.failWrites(ERRNO.EAGAIN, 3);
    };
    assert.equal(bench.send(...frames), 1);
    assert.equal(bench.tap.writeErrors, 3);
    assert.equal(bench.segments.count, 0);
    bench.device.failWrites(ERRNO.EBADFD, 3);
    assert.equal(bench.send(...frames), 0);
  });
});

describe('SoftwareOffload around a link with some offloads', () => {
  it('leaves the checksums of segments to a link that completes them', () => {
    const bench = new Bench(CHECKSUM_ONLY);
    const small = bench.putSmall(SMALL);
    assert.equal(bench.send(small, bench.put(ORDINARY)), 2);
    const got = bench.device.receive();
    assert.equal(got.length, 4);
    for (const frame of got) {
      assert.equal(vnet.flags(new DataView(frame.buffer, frame.byteOffset), 0), vnet.FLAG_NEEDS_CSUM);
      assert.ok(readFrame(frame.slice(VNET_HEADER_BYTES)).isPartial);
    }
    assert.equal(bench.counters(), '1 cut into 3, 0 checksummed, 0 dropped');
  });

  it('passes on what the link takes, and drops what nobody offers', () => {
    const bench = new Bench(ALL);
    const udp = bench.put({ ...ORDINARY, isTcp: false });
    const ufo = bench.put({ ...ORDINARY, isTcp: false });
    vnet.setGso(bench.packets.view, bench.header(ufo), vnet.GSO_UDP, 1448, 42);
    assert.equal(bench.send(bench.put(ORDINARY), ufo, udp, bench.putSmall(SMALL)), 3);
    assert.deepEqual(
      bench.got().map((frame) => frame.length),
      [4066, 4042, 166],
    );
    assert.equal(bench.counters(), '0 cut into 0, 0 checksummed, 1 dropped');
  });

  it('cuts only of the kind that the link does not take', () => {
    const bench = new Bench({ ...ALL, udpSegmentation: false });
    assert.equal(bench.send(bench.put(ORDINARY), bench.put({ ...ORDINARY, isTcp: false })), 2);
    assert.deepEqual(
      bench.got().map((frame) => frame.length),
      [4066, 1490, 1490, 42 + 4000 - 2 * 1448],
    );
  });

  it('does not leave segmentation to a link that completes no checksums', () => {
    const bench = new Bench({ ...ALL, checksum: false });
    assert.equal(bench.send(bench.put(ORDINARY)), 1);
    assert.equal(bench.counters(), '1 cut into 3, 0 checksummed, 0 dropped');
  });
});

describe('SoftwareOffload', () => {
  it('hands a frame on in one call where there is nothing to cut, in runs where there is', () => {
    const calls: string[] = [];
    const inner: Link = {
      name: 'inner',
      offload: NO_OFFLOAD,
      receive: () => 5,
      transmit: (packets, _frame, count) => {
        calls.push(`${count} of ${packets === arenas.packets ? 'frames' : 'segments'}`);
        return count;
      },
      turnEnded: () => calls.push('turn'),
      close: () => calls.push('close'),
    };
    const arenas = twoArenas();
    const link = new SoftwareOffload(inner, arenas.segments);
    const large = putLargeFrame(arenas.packets, ORDINARY);
    const small = putLargeFrame(arenas.packets, SMALL);
    vnet.setGso(arenas.packets.view, arenas.packets.start[small] - VNET_HEADER_BYTES, vnet.GSO_NONE, 0, 0);
    assert.equal(link.transmit(arenas.packets, Int32Array.of(small, small), 2), 2);
    assert.equal(link.transmit(arenas.packets, Int32Array.of(small, large, large, small, small, large), 6), 6);
    assert.equal(link.receive(arenas.packets, new Int32Array(8), 8), 5);
    link.turnEnded(arenas.packets);
    link.close();
    const mixed = ['1 of frames', '6 of segments', '2 of frames', '3 of segments'];
    assert.deepEqual(calls, ['2 of frames', ...mixed, 'turn', 'close']);
    assert.equal(link.name, 'inner');
    assert.equal(link.offload, inner.offload);
    assert.deepEqual(link.unfinished, { checksum: true, tcpSegmentation: true, udpSegmentation: false });
  });

  it('keeps where a frame comes from and goes to', () => {
    const seen: number[] = [];
    const { packets, segments } = twoArenas();
    const inner: Link = {
      name: 'inner',
      offload: NO_OFFLOAD,
      receive: () => 0,
      transmit: ({ rxInterface, txInterface, flow }, frame, count) => {
        for (const packet of frame.subarray(0, count))
          seen.push(rxInterface[packet], txInterface[packet], flow[packet]);
        return count;
      },
      close() {},
    };
    const packet = putLargeFrame(packets, SMALL);
    packets.rxInterface[packet] = 1;
    packets.txInterface[packet] = 2;
    packets.flow[packet] = 3;
    new SoftwareOffload(inner, segments).transmit(packets, Int32Array.of(packet), 1);
    assert.deepEqual(seen, [1, 2, 3]);
  });

  it('wants room for the largest segment', () => {
    const bench = new Bench();
    assert.throws(() => new SoftwareOffload(bench.tap, new Packets(65_000, 8)), /tapster bug/);
  });

  it('survives any virtio-net header', () => {
    fc.assert(
      fc.property(
        largeFrames,
        fc.uint8Array({ minLength: 12, maxLength: 12 }),
        fc.nat({ max: 5 }),
        (frame, header, kind) => {
          const bench = new Bench();
          const packet = bench.put({ ...frame, payload: frame.payload.subarray(0, 2000) });
          bench.packets.bytes.set(header, bench.header(packet));
          vnet.setGso(bench.packets.view, bench.header(packet), kind, header[4] | ((header[5] & 3) << 8), header[2]);
          const taken = bench.send(packet);
          assert.equal(taken + bench.link.dropped, 1);
          assert.equal(bench.tap.writeErrors, 0);
        },
      ),
      { numRuns: 300 },
    );
  });
});
