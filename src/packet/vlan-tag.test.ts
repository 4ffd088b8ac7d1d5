import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import * as vnet from '../wire/vnet-header.ts';
import { largeFrames, ORDINARY, putLargeFrame, readFrame, twoArenas } from './large-frame-fixture.test.ts';
import { NO_PACKET, type Packet, Packets, VNET_HEADER_BYTES } from './packets.ts';
import { copyTagged, NOT_TAGGED, TAG_INVALID, tagOf, untag } from './vlan-tag.ts';

/** A frame of zeros but for the type and the tag. */
function put(packets: Packets, length: number, type: number, tag: number): Packet {
  const packet = packets.allocate(length);
  const at = packets.start[packet];
  packets.bytes.fill(0, at, at + length);
  if (length >= 14) packets.view.setUint16(at + 12, type);
  if (length >= 16) packets.view.setUint16(at + 14, tag);
  return packet;
}

/** Virtio-net header and frame. */
function whole(packets: Packets, packet: Packet): Uint8Array {
  const start = packets.start[packet];
  return packets.bytes.slice(start - VNET_HEADER_BYTES, start + packets.length[packet]);
}

describe('a VLAN tag', () => {
  it('is found, with any priority', () => {
    const { packets } = twoArenas();
    const tag = (length: number, type: number, value: number): number =>
      tagOf(packets, put(packets, length, type, value));
    assert.equal(tag(60, 0x8100, 100), 100);
    assert.equal(tag(60, 0x8100, 0xe000 | 4094), 4094);
    assert.equal(tag(60, 0x8100, 0xf000), 0, 'a priority only');
    assert.equal(tag(18, 0x8100, 1), 1);
  });

  it('is not found where there is none, or a wrong one', () => {
    const { packets } = twoArenas();
    const tag = (length: number, type: number, value: number): number =>
      untag(packets, put(packets, length, type, value));
    assert.equal(tag(60, 0x0800, 100), NOT_TAGGED);
    assert.equal(tag(60, 0x88a8, 100), NOT_TAGGED);
    assert.equal(tag(13, 0x8100, 0), NOT_TAGGED);
    assert.equal(tag(14, 0x8100, 100), TAG_INVALID);
    assert.equal(tag(17, 0x8100, 100), TAG_INVALID);
    assert.equal(tag(60, 0x8100, 0xfff), TAG_INVALID);
  });

  it('is not taken off where a checksum would start within it', () => {
    const { packets } = twoArenas();
    const packet = put(packets, 60, 0x8100, 7);
    const header = packets.start[packet] - VNET_HEADER_BYTES;
    vnet.setChecksum(packets.view, header, 17, 6);
    const before = whole(packets, packet);
    assert.equal(untag(packets, packet), TAG_INVALID);
    assert.deepEqual(whole(packets, packet), before);
    vnet.setChecksum(packets.view, header, 18, 6);
    assert.equal(untag(packets, packet), 7);
    assert.equal(vnet.checksumStart(packets.view, header + 4), 14);
  });

  it('leaves an inner tag, and what shares nothing with it', () => {
    const { packets } = twoArenas();
    const before = packets.allocate(60);
    packets.bytes.fill(0x11, packets.start[before], packets.start[before] + 60);
    const packet = putLargeFrame(packets, { ...ORDINARY, vlanTags: 2 });
    packets.view.setUint16(packets.start[packet] + 12, 0x8100);
    assert.equal(untag(packets, packet), 100);
    assert.equal(tagOf(packets, packet), 101);
    assert.ok(packets.bytes.subarray(packets.start[before], packets.start[before] + 60).every((byte) => byte === 0x11));
  });

  it('put in and taken off again leaves the frame as it was', () => {
    fc.assert(
      fc.property(largeFrames, fc.integer({ min: 1, max: 4094 }), (large, id) => {
        const { packets, segments } = twoArenas();
        const packet = putLargeFrame(packets, large);
        packets.flow[packet] = 33;
        packets.txInterface[packet] = 4;
        const before = whole(packets, packet);
        const copy = copyTagged(packets, packet, segments, id);
        assert.deepEqual(whole(packets, packet), before, 'the frame itself is not touched');
        assert.deepEqual([segments.flow[copy], segments.txInterface[copy]], [33, 4]);
        const start = segments.start[copy];
        assert.equal(vnet.check(segments.view, start - VNET_HEADER_BYTES, segments.length[copy]), VNET_HEADER_BYTES);
        assert.equal(segments.length[copy], packets.length[packet] + 4);
        assert.equal(tagOf(segments, copy), id);
        if (large.paddingBytes === 0) {
          const tagged = readFrame(segments.bytes.slice(start, start + segments.length[copy]));
          const frame = readFrame(before.slice(VNET_HEADER_BYTES));
          assert.deepEqual([tagged.payload, tagged.isValid], [frame.payload, frame.isValid]);
        }
        assert.equal(untag(segments, copy), id);
        assert.deepEqual(whole(segments, copy), before);
      }),
      { numRuns: 60 },
    );
  });

  it('is not put in where there is no room', () => {
    const { packets } = twoArenas();
    const packet = put(packets, 60, 0x0800, 0);
    const bytes = new Packets(72, 4, packets.bytes, 128 * 1024);
    assert.equal(copyTagged(packets, packet, bytes, 1), NO_PACKET);
    assert.equal(bytes.count, 0);
  });

  it('keeps random bytes within the frame', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (random) => {
        const packets = new Packets(512, 4);
        const packet = packets.allocate(Math.max(random.length - VNET_HEADER_BYTES, 0));
        const start = packets.start[packet];
        packets.bytes.set(random, start - VNET_HEADER_BYTES);
        packets.bytes.fill(0xaa, start + packets.length[packet]);
        const { length } = packets;
        const before = length[packet];
        const id = untag(packets, packet);
        assert.equal(length[packet], id >= 0 ? before - 4 : before);
        assert.ok(packets.bytes.subarray(packets.start[packet] + length[packet]).every((byte) => byte === 0xaa));
      }),
    );
  });
});
