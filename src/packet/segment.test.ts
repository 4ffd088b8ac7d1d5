import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import * as ipv4 from '../wire/ipv4.ts';
import * as ipv6 from '../wire/ipv6.ts';
import * as tcp from '../wire/tcp.ts';
import * as udp from '../wire/udp.ts';
import * as vnet from '../wire/vnet-header.ts';
import {
  type LargeFrame,
  largeFrames,
  ORDINARY,
  putLargeFrame,
  readFrame,
  twoArenas,
} from './large-frame-fixture.test.ts';
import { NO_PACKET, type Packets, VNET_HEADER_BYTES } from './packets.ts';
import { REFUSED, Segmenter } from './segment.ts';

/** The segments of a frame, each with its virtio-net header in front; the arena is emptied whenever it is full. */
function cut(large: LargeFrame, partial: boolean, segmentArenaBytes?: number): Uint8Array[] {
  const { packets, segments } = twoArenas(segmentArenaBytes);
  const packet = putLargeFrame(packets, large);
  const before = packets.bytes.slice();
  const segmenter = new Segmenter(segments);
  const count = segmenter.begin(packets, packet);
  const frames: Uint8Array[] = [];
  while (!segmenter.done) {
    const segment = segmenter.next(partial);
    if (segment === NO_PACKET) {
      assert.ok(segments.count > 0);
      segments.reset();
      continue;
    }
    const start = segments.start[segment];
    frames.push(segments.bytes.slice(start - VNET_HEADER_BYTES, start + segments.length[segment]));
  }
  assert.equal(frames.length, count);
  assert.equal(Buffer.compare(packets.bytes, before), 0, 'the source is only read');
  return frames;
}

/** What must be so for the segments of any frame. */
function assertSegments(large: LargeFrame, frames: readonly Uint8Array[], partial: boolean): void {
  const { packets } = twoArenas();
  const packet = putLargeFrame(packets, large);
  const start = packets.start[packet];
  const whole = readFrame(packets.bytes.slice(start, start + packets.length[packet] - large.paddingBytes));
  const segments = frames.map((frame) => readFrame(frame.subarray(VNET_HEADER_BYTES)));

  assert.deepEqual(Buffer.concat(segments.map(({ payload }) => payload)), Buffer.from(large.payload));
  let sequence = whole.sequence;
  for (const [i, segment] of segments.entries()) {
    const isLast = i === segments.length - 1;
    assert.ok(isLast || segment.payload.length === large.segmentBytes);
    assert.ok(!isLast || segment.payload.length <= large.segmentBytes);
    assert.ok(partial ? segment.isPartial : segment.isValid);
    assert.deepEqual(segment.headers, whole.headers);
    assert.equal(segment.sequence, large.isTcp ? sequence | 0 : 0);
    assert.equal(segment.identification, large.isIpv6 ? 0 : (large.identification + i) & 0xffff);
    const cleared = (i > 0 ? tcp.CWR : 0) | (isLast ? 0 : tcp.FIN | tcp.PSH);
    assert.equal(segment.tcpFlags, whole.tcpFlags & ~cleared);
    sequence += segment.payload.length;
  }
}

/** How many segments it would be cut into, after `spoil`. */
function begin(large: LargeFrame, spoil: (packets: Packets, start: number, header: number) => void): number {
  const { packets, segments } = twoArenas();
  const packet = putLargeFrame(packets, large);
  const start = packets.start[packet];
  spoil(packets, start, start - VNET_HEADER_BYTES);
  return new Segmenter(segments).begin(packets, packet);
}

const UDP: LargeFrame = { ...ORDINARY, isTcp: false, tcpFlags: 0 };
const IPV6: LargeFrame = { ...ORDINARY, isIpv6: true };

describe('Segmenter', () => {
  it('cuts TCP over IPv4', () => {
    const frames = cut(ORDINARY, false);
    assert.deepEqual(
      frames.map((frame) => frame.length),
      [1526, 1526, 12 + 66 + 4000 - 2 * 1448],
    );
    assert.ok(frames.every((frame) => frame.subarray(0, VNET_HEADER_BYTES).every((byte) => byte === 0)));
    assertSegments(ORDINARY, frames, false);
  });

  it('makes of any frame segments that put together are the frame', () => {
    fc.assert(fc.property(largeFrames, (large) => assertSegments(large, cut(large, false), false)));
  });

  it('leaves checksums to a link that completes them', () => {
    fc.assert(
      fc.property(largeFrames, (large) => {
        const frames = cut(large, true);
        assertSegments(large, frames, true);
        for (const frame of frames) {
          const view = new DataView(frame.buffer);
          assert.equal(vnet.check(view, 0, frame.length - VNET_HEADER_BYTES), VNET_HEADER_BYTES);
          assert.equal(vnet.flags(view, 0), vnet.FLAG_NEEDS_CSUM);
          assert.equal(vnet.gsoType(view, 0), vnet.GSO_NONE);
        }
      }),
      { numRuns: 50 },
    );
  });

  it('goes on where it was after its arena was emptied', () => {
    const large = { ...ORDINARY, payload: ORDINARY.payload.slice(0, 3999) };
    assertSegments(large, cut(large, false, 1600), false);
  });

  it('makes one segment of a frame that fits one, and of one without payload', () => {
    for (const bytes of [0, 1, 1448]) {
      const large = { ...ORDINARY, tcpFlags: 0xff, payload: ORDINARY.payload.slice(0, bytes) };
      const frames = cut(large, false);
      assert.equal(frames.length, 1);
      assertSegments(large, frames, false);
    }
  });

  it('sends a UDP checksum of 0 as 0xffff', () => {
    // Where its payload holds what was the checksum, that becomes 0.
    const payload = new Uint8Array(8);
    const [frame] = cut({ ...UDP, payload, segmentBytes: 4 }, false);
    const at = VNET_HEADER_BYTES + 14 + 20 + udp.CHECKSUM_OFFSET;
    payload.set(frame.subarray(at, at + 2), 2);
    const [again] = cut({ ...UDP, payload, segmentBytes: 4 }, false);
    assert.deepEqual([...again.subarray(at, at + 2)], [0xff, 0xff]);
    assert.ok(readFrame(again.subarray(VNET_HEADER_BYTES)).isValid);
  });

  it('keeps the final destination in the sums of a packet on a source route', () => {
    // As only the sender can know it, the partial checksum says another destination than the header.
    const { packets, segments } = twoArenas();
    const packet = putLargeFrame(packets, { ...IPV6, networkOptions: [] });
    const { view } = packets;
    const network = packets.start[packet] + 14;
    const finalWord = 0x1234;
    const transport = network + ipv6.HEADER_BYTES;
    tcp.setChecksum(view, transport, (tcp.checksum(view, transport) + finalWord - 2) & 0xffff);
    const segmenter = new Segmenter(segments);
    assert.equal(segmenter.begin(packets, packet), 3);
    for (let i = 0; i < 3; i++) {
      const at = segments.start[segmenter.next(false)] + 14;
      segments.view.setInt32(ipv6.destinationAt(at) + 12, finalWord);
      const end = at + ipv6.HEADER_BYTES + ipv6.payloadLength(segments.view, at);
      assert.ok(tcp.verifyChecksum(segments.view, at, at + ipv6.HEADER_BYTES, end));
    }
  });
});

describe('Segmenter.begin', () => {
  const IP = 14;
  const TCP = IP + 20;

  it('refuses what a guest should not have asked for', () => {
    const cases: readonly (readonly [string, LargeFrame, (packets: Packets, start: number, header: number) => void])[] =
      [
        ['UFO', UDP, ({ view }, _, header) => vnet.setGso(view, header, vnet.GSO_UDP, 1448, 42)],
        ['an unknown kind', UDP, ({ view }, _, header) => vnet.setGso(view, header, 2, 1448, 42)],
        ['UDP as TCP', UDP, ({ view }, _, header) => vnet.setGso(view, header, vnet.GSO_TCPV4, 1448, 42)],
        ['TCP as UDP', ORDINARY, ({ view }, _, header) => vnet.setGso(view, header, vnet.GSO_UDP_L4, 1448, 42)],
        ['IPv4 as IPv6', ORDINARY, ({ view }, _, header) => vnet.setGso(view, header, vnet.GSO_TCPV6, 1448, 54)],
        ['IPv6 as IPv4', IPV6, ({ view }, _, header) => vnet.setGso(view, header, vnet.GSO_TCPV4, 1448, 54)],
        ['no size', ORDINARY, ({ view }, _, header) => vnet.setGso(view, header, vnet.GSO_TCPV4, 0, 54)],
        ['too many segments', ORDINARY, ({ view }, _, header) => vnet.setGso(view, header, vnet.GSO_TCPV4, 1, 54)],
        ['no checksum', ORDINARY, ({ view }, _, header) => vnet.setFlags(view, header, 0)],
        ['a checksum elsewhere', ORDINARY, ({ view }, _, header) => vnet.setChecksum(view, header, TCP + 2, 16)],
        ['a checksum in another field', ORDINARY, ({ view }, _, header) => vnet.setChecksum(view, header, TCP, 14)],
        ['an EtherType of no IP', ORDINARY, ({ view }, start) => view.setUint16(start + 12, 0x0806)],
        ['three VLAN tags', { ...ORDINARY, vlanTags: 2 }, ({ view }, start) => view.setUint16(start + 20, 0x8100)],
        ['a longer IPv4 packet', ORDINARY, ({ view }, start) => ipv4.setTotalLength(view, start + IP, 5000)],
        [
          'an IPv4 packet shorter than its header',
          ORDINARY,
          ({ view }, start) => ipv4.setTotalLength(view, start + IP, 19),
        ],
        ['a longer TCP header', ORDINARY, ({ view }, start) => ipv4.setTotalLength(view, start + IP, 50)],
        ['a TCP header too short', ORDINARY, ({ view }, start) => tcp.setDataOffset(view, start + TCP, 16)],
        ['a longer datagram', UDP, ({ view }, start) => udp.setLength(view, start + TCP, 4009)],
        ['a datagram too short', UDP, ({ view }, start) => udp.setLength(view, start + TCP, 7)],
        ['an IPv4 fragment', ORDINARY, ({ view }, start) => ipv4.setFragment(view, start + IP, ipv4.MORE_FRAGMENTS, 0)],
        ['a longer IPv6 packet', IPV6, ({ view }, start) => ipv6.setPayloadLength(view, start + IP, 5000)],
        ['an IPv6 packet of nothing', IPV6, ({ view }, start) => ipv6.setPayloadLength(view, start + IP, 0)],
        ['an IPv6 fragment', { ...IPV6, networkOptions: [1] }, spoilIntoFragment],
        [
          'an extension header too long',
          { ...IPV6, networkOptions: [1] },
          ({ view }, start) => view.setUint8(start + 55, 255),
        ],
      ];
    for (const [what, large, spoil] of cases) {
      assert.ok(begin(large, () => {}) > 0, what);
      assert.equal(begin(large, spoil), REFUSED, what);
    }
  });

  it('refuses or cuts, whatever the bytes, and never reads or writes outside', () => {
    fc.assert(
      fc.property(
        largeFrames,
        fc.array(fc.tuple(fc.nat({ max: 130 }), fc.nat({ max: 0xff })), { maxLength: 4 }),
        fc.nat(),
        (large, changes, cutAt) => {
          const { packets, segments } = twoArenas();
          const packet = putLargeFrame(packets, large);
          const header = packets.start[packet] - VNET_HEADER_BYTES;
          for (const [at, value] of changes) packets.bytes[header + at] = value;
          packets.length[packet] = cutAt % (packets.length[packet] + 1);
          const before = packets.bytes.slice();
          const segmenter = new Segmenter(segments);
          let left = segmenter.begin(packets, packet);
          for (; left > 0; left--) {
            if (segmenter.next(false) !== NO_PACKET) continue;
            segments.reset();
            assert.notEqual(segmenter.next(false), NO_PACKET);
          }
          assert.ok(segmenter.done);
          assert.equal(Buffer.compare(packets.bytes, before), 0);
        },
      ),
      { numRuns: 300 },
    );
  });
});

function spoilIntoFragment({ view }: Packets, start: number): void {
  view.setUint8(start + 14 + 6, ipv6.HEADER_FRAGMENT);
  view.setUint16(start + 14 + ipv6.HEADER_BYTES + 2, 1);
}
