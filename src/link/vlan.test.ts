import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FRAME_PACKETS_MAX } from '../graph/node.ts';
import { ORDINARY, putLargeFrame, readFrame } from '../packet/large-frame-fixture.test.ts';
import { type LinkOffload, NO_OFFLOAD } from '../packet/offload.ts';
import { type Packet, Packets, VNET_HEADER_BYTES } from '../packet/packets.ts';
import * as vnet from '../wire/vnet-header.ts';
import type { Link } from './link.ts';
import { SoftwareOffload } from './software-offload.ts';
import { VlanLink } from './vlan.ts';

const ARENA_BYTES = 256 * 1024;
const TAGGED_BYTES = 128 * 1024;

/** A parent that keeps what it gets, but takes no more than `capacity` frames of a batch. */
class Parent implements Link {
  readonly name: string = 'eth0';
  offload: LinkOffload = NO_OFFLOAD;
  capacity: number = FRAME_PACKETS_MAX;
  readonly batches: number[] = [];
  readonly got: Uint8Array[] = [];
  closed: boolean = false;

  receive(): number {
    return 0;
  }

  transmit({ bytes, start, length }: Packets, frame: Int32Array, count: number): number {
    this.batches.push(count);
    const taken = Math.min(count, this.capacity);
    for (const packet of frame.subarray(0, taken)) {
      this.got.push(bytes.slice(start[packet] - VNET_HEADER_BYTES, start[packet] + length[packet]));
    }
    return taken;
  }

  close(): void {
    this.closed = true;
  }
}

class Bench {
  readonly parent: Parent = new Parent();
  readonly packets: Packets;
  readonly tagged: Packets;
  readonly segments: Packets;
  readonly link: VlanLink;

  constructor() {
    const memory = new Uint8Array(ARENA_BYTES + 2 * TAGGED_BYTES);
    this.packets = new Packets(ARENA_BYTES, 300, memory);
    this.tagged = new Packets(TAGGED_BYTES, 300, memory, ARENA_BYTES);
    this.segments = new Packets(TAGGED_BYTES, 300, memory, ARENA_BYTES + TAGGED_BYTES);
    this.link = new VlanLink('eth0.100', this.parent, 100, this.tagged);
  }

  put(length: number, value: number): Packet {
    const packet = this.packets.allocate(length);
    const start = this.packets.start[packet];
    this.packets.bytes.fill(value, start, start + length);
    return packet;
  }

  send(...packets: Packet[]): number {
    return this.link.transmit(this.packets, Int32Array.from(packets), packets.length);
  }
}

describe('a VLAN sub-interface', () => {
  it('sends frames by its parent, with a tag between addresses and type', () => {
    const { link, parent, packets, ...bench } = new Bench();
    const packet = packets.allocate(60);
    const start = packets.start[packet];
    for (let i = 0; i < 60; i++) packets.bytes[start + i] = i;
    vnet.writeHeader(packets.view, start - VNET_HEADER_BYTES, vnet.FLAG_NEEDS_CSUM, vnet.GSO_TCPV4, 54, 10, 34, 16);
    const before = packets.bytes.slice(0, packets.used);
    assert.equal(link.transmit(packets, Int32Array.of(packet), 1), 1);
    assert.deepEqual(packets.bytes.subarray(0, packets.used), before, 'the frame may be others, too');
    const [got] = parent.got as [Uint8Array];
    const frame = got.subarray(VNET_HEADER_BYTES);
    assert.deepEqual([...frame.subarray(0, 12)], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    assert.deepEqual([...frame.subarray(12, 20)], [0x81, 0, 0, 100, 12, 13, 14, 15]);
    assert.deepEqual([frame.length, frame.at(-1)], [64, 59]);
    const view = new DataView(got.buffer);
    assert.deepEqual(
      [vnet.headerLength(view, 0), vnet.checksumStart(view, 0), vnet.checksumOffset(view, 0), vnet.gsoSize(view, 0)],
      [58, 38, 16, 10],
    );
    assert.equal(bench.tagged.count, 0);
  });

  it('keeps the order, in batches that its arena has room for', () => {
    const bench = new Bench();
    const packets = [60_000, 100, 60_000, 60_000, 60].map((length, i) => bench.put(length, i));
    assert.equal(bench.send(...packets), 5);
    assert.deepEqual(bench.parent.batches, [3, 2]);
    assert.deepEqual(
      bench.parent.got.map((frame) => `${frame.length - VNET_HEADER_BYTES}:${frame.at(-1)}`),
      ['60004:0', '104:1', '60004:2', '60004:3', '64:4'],
    );
    assert.equal(bench.tagged.count, 0);
  });

  it('gives its parent no more frames at a time than fit into one', () => {
    const bench = new Bench();
    const packets = Array.from({ length: FRAME_PACKETS_MAX }, () => bench.put(60, 1));
    assert.equal(bench.send(...packets), FRAME_PACKETS_MAX);
    assert.deepEqual(bench.parent.batches, [FRAME_PACKETS_MAX]);
    bench.parent.capacity = 10;
    assert.equal(bench.send(...packets), 10);
  });

  it('loses a frame that is larger than any may be, and no other', () => {
    const bench = new Bench();
    assert.equal(bench.send(bench.put(60, 1), bench.put(131_060, 2), bench.put(60, 3)), 2);
    assert.deepEqual(
      bench.parent.got.map((frame) => frame.at(-1)),
      [1, 3],
    );
  });

  it('has frames cut behind their tags where its parent can not', () => {
    const { parent, segments, tagged, packets } = new Bench();
    const link = new VlanLink('eth0.100', new SoftwareOffload(parent, segments), 100, tagged);
    const packet = putLargeFrame(packets, ORDINARY);
    assert.equal(link.transmit(packets, Int32Array.of(packet), 1), 1);
    const got = parent.got.map((frame) => readFrame(frame.subarray(VNET_HEADER_BYTES)));
    assert.deepEqual(
      got.map(({ isValid, headers }) => [isValid, headers[12], headers[15]]),
      [1, 2, 3].map(() => [true, 0x81, 100]),
    );
    assert.deepEqual(Buffer.concat(got.map(({ payload }) => payload)), Buffer.from(ORDINARY.payload));
  });

  it('has the offloads that its parent has now, receives nothing, and leaves its parent open', () => {
    const bench = new Bench();
    assert.deepEqual(bench.link.offload, NO_OFFLOAD);
    bench.parent.offload = { checksum: true, tcpSegmentation: true, udpSegmentation: false };
    assert.equal(bench.link.offload, bench.parent.offload);
    assert.equal(bench.link.receive(), 0);
    bench.link.close();
    assert.equal(bench.parent.closed, false);
  });

  it('is of a VLAN that there can be, with an arena that is empty and large enough', () => {
    const { parent, tagged, packets } = new Bench();
    for (const vlan of [0, 4095]) assert.throws(() => new VlanLink('x', parent, vlan, tagged), /1 to 4094/);
    assert.throws(() => new VlanLink('x', parent, 1, new Packets(60_000, 10)), /room for the largest/);
    packets.allocate(60);
    assert.throws(() => new VlanLink('x', parent, 1, packets), /room for the largest/);
  });
});
