import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { JOINS_OPEN_MAX, SEGMENTS_PER_FRAME_MAX } from '../base/limits.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as ipv6 from '../wire/ipv6.ts';
import * as tcp from '../wire/tcp.ts';
import * as vnet from '../wire/vnet-header.ts';
import { Joiner } from './join.ts';
import { arenas, bytesOf, cut, join, joinVector, nth, type Piece, type Places, put } from './join-fixture.test.ts';
import { type LargeFrame, largeFrames, ORDINARY, putLargeFrame } from './large-frame-fixture.test.ts';
import { VNET_HEADER_BYTES } from './packets.ts';
import { Segmenter } from './segment.ts';

describe('Joiner', () => {
  it('makes one frame of the segments of one', () => {
    const { after, frames } = join([0, 1, 2].map((n) => nth(n)));
    assert.deepEqual(frames, [3]);
    const [frame] = after;
    const view = new DataView(frame.buffer);
    const { length } = frame;
    assert.equal(vnet.check(view, 0, length - VNET_HEADER_BYTES), VNET_HEADER_BYTES);
    assert.deepEqual([vnet.gsoType(view, 0), vnet.gsoSize(view, 0)], [vnet.GSO_TCPV4, 100]);
    assert.deepEqual([vnet.headerLength(view, 0), length], [66, VNET_HEADER_BYTES + 66 + 300]);
  });

  it('makes of the segments of any frame the frame', () => {
    const joinable = largeFrames
      .filter(({ payload, isTcp }) => payload.length > 0 && isTcp)
      .map((large) => ({
        ...large,
        networkOptions: [],
        tcpFlags: (large.tcpFlags & (tcp.ECE | tcp.PSH | tcp.FIN)) | tcp.ACK,
        isPartial: true,
        paddingBytes: 0,
      }));
    fc.assert(
      fc.property(joinable, fc.boolean(), (large, partial) => {
        const { packets, segments } = arenas();
        const packet = putLargeFrame(segments, large);
        const whole = bytesOf(segments, packet);
        // The segments lie behind the frame, and are gone when it is made again.
        const made = new Segmenter(segments);
        made.begin(segments, packet);
        const frames: Uint8Array[] = [];
        while (!made.done) frames.push(bytesOf(segments, made.next(partial)));
        segments.reset();
        const vector = Int32Array.from(frames, (frame) => {
          const copy = packets.allocate(frame.length - VNET_HEADER_BYTES);
          packets.bytes.set(frame, packets.start[copy] - VNET_HEADER_BYTES);
          return copy;
        });
        const { after } = joinVector(packets, segments, vector);
        assert.equal(after.length, 1);
        if (frames.length > 1) assert.deepEqual(after[0], whole);
        else assert.deepEqual(after, frames);
      }),
      { numRuns: 200 },
    );
  });

  it('joins to a large frame, a large frame, and both with others', () => {
    const large = (n: number, segments: number, more = 0): Piece => ({
      ...nth(n, { payload: ORDINARY.payload.slice(0, 100 * segments + more), isPartial: true }),
      isLarge: true,
    });
    const { before, after, frames } = join([nth(0), large(1, 3), nth(4), large(5, 2, 7), nth(8)]);
    assert.deepEqual(frames, [4, 1]);
    assert.deepEqual(cut(after), cut(before));
  });

  it('lets a shorter segment, PSH and FIN be the last', () => {
    const shorter = nth(1, { payload: ORDINARY.payload.slice(0, 99) });
    for (const last of [
      shorter,
      nth(1, { tcpFlags: tcp.ACK | tcp.PSH }),
      nth(1, { tcpFlags: tcp.ACK | tcp.FIN | tcp.PSH }),
    ]) {
      const next = nth(2, { sequence: 100 + (last.frame?.payload?.length ?? 100) });
      const { before, after, frames } = join([nth(0), last, next]);
      assert.deepEqual(frames, [2, 1]);
      assert.deepEqual(cut(after), cut(before));
    }
  });

  it('joins across the ends of numbers', () => {
    const at = { sequence: 0x7fff_ffff - 50, identification: 0xffff };
    const next = { sequence: (at.sequence + 100) | 0, identification: 0 };
    assert.deepEqual(join([{ frame: at }, { frame: next }]).frames, [2]);
    assert.deepEqual(join([{ frame: { sequence: -50 } }, { frame: { sequence: 50, identification: 1 } }]).frames, [2]);
  });

  it('leaves padding away', () => {
    const { after, frames } = join([nth(0, { paddingBytes: 3 }), nth(1, { paddingBytes: 2 })]);
    assert.deepEqual(frames, [2]);
    assert.equal(after[0].length, VNET_HEADER_BYTES + 66 + 200);
  });

  it('takes an identification that stays for one that counts, where nothing may be fragmented', () => {
    const same = { identification: 0 };
    assert.deepEqual(join([nth(0, same), nth(1, same), nth(2, same)]).frames, [3]);
    const mayFragment = ({ view, network }: Places) => ipv4.setFragment(view, network, 0, 0);
    const mayBe = (piece: Piece): Piece => ({ ...piece, change: mayFragment });
    assert.deepEqual(join([mayBe(nth(0)), mayBe(nth(1))]).frames, [2]);
    assert.deepEqual(join([mayBe(nth(0, same)), mayBe(nth(1, same))]).frames, [1, 1]);
  });

  it('trusts a checksum that the sender has left to us or has checked, and looks at others', () => {
    const wrong = ({ view, transport }: Places) => tcp.setChecksum(view, transport, 1);
    const spoiled: Piece = { ...nth(1), spoil: wrong };
    assert.deepEqual(join([nth(0), spoiled, nth(2)]).frames, [1, 1, 1]);
    assert.deepEqual(join([spoiled, nth(2), nth(3)]).frames, [1, 2]);
    const checked = (places: Places) => vnet.setFlags(places.view, places.header, vnet.FLAG_DATA_VALID);
    assert.deepEqual(join([nth(0), { ...nth(1), spoil: checked }]).frames, [2]);
    assert.deepEqual(join([nth(0, { isPartial: true }), nth(1), nth(2, { isPartial: true })]).frames, [3]);
    assert.deepEqual(join([nth(0), { ...nth(1, { isPartial: true }), spoil: wrong }]).frames, [1, 1]);
  });

  it('joins what is not different', () => {
    for (const second of [changed(() => {}), spoiled(() => {}), large({})])
      assert.deepEqual(join([nth(0), second]).frames, [2]);
  });

  const IPV6 = { isIpv6: true };
  const different: readonly (readonly [string, Piece, Piece])[] = [
    ['a gap', nth(0), nth(2, { identification: 1 })],
    ['a segment that comes again', nth(0), nth(0, { identification: 1 })],
    ['a longer segment', nth(0), nth(1, { payload: ORDINARY.payload.slice(0, 101) })],
    ['no payload', nth(0), nth(1, { payload: new Uint8Array() })],
    ['another identification', nth(0), nth(1, { identification: 2 })],
    ['another port', nth(0), { ...nth(1), stream: 1 }],
    ['another acknowledgment', nth(0), changed(({ view, transport }) => tcp.setAcknowledgment(view, transport, 78))],
    ['another window', nth(0), changed(({ view, transport }) => tcp.setWindow(view, transport, 501))],
    ['an urgent pointer', nth(0), changed(({ view, transport }) => tcp.setUrgent(view, transport, 1))],
    ['a reserved bit', nth(0), changed(({ view, transport }) => view.setUint8(transport + 12, 0x81))],
    ['another timestamp', nth(0), changed(({ view, transport }) => view.setUint8(transport + 31, 99))],
    ['more options', nth(0), nth(1, { tcpOptions: 4 })],
    ['fewer options', nth(0), nth(1, { tcpOptions: 2 })],
    ['ECE', nth(0), nth(1, { tcpFlags: tcp.ACK | tcp.ECE })],
    ['CWR', nth(0), nth(1, { tcpFlags: tcp.ACK | tcp.CWR })],
    ['CWR in front', nth(0, { tcpFlags: tcp.ACK | tcp.CWR }), nth(1)],
    ['SYN', nth(0), nth(1, { tcpFlags: tcp.ACK | tcp.SYN })],
    ['RST', nth(0), nth(1, { tcpFlags: tcp.ACK | tcp.RST })],
    ['URG', nth(0), nth(1, { tcpFlags: tcp.ACK | tcp.URG })],
    ['no ACK', nth(0, { tcpFlags: 0 }), nth(1, { tcpFlags: 0 })],
    ['PSH in front', nth(0, { tcpFlags: tcp.ACK | tcp.PSH }), nth(1)],
    ['another type of service', nth(0), changed(({ view, network }) => ipv4.setTypeOfService(view, network, 3))],
    ['another time to live', nth(0), changed(({ view, network }) => ipv4.setTimeToLive(view, network, 63))],
    ['no DF', nth(0), changed(({ view, network }) => ipv4.setFragment(view, network, 0, 0))],
    ['another source', nth(0), changed(({ view, network }) => ipv4.setSource(view, network, 1))],
    ['another destination', nth(0), changed(({ view, network }) => ipv4.setDestination(view, network, 1))],
    ['IPv4 options', nth(0, { networkOptions: [1] }), nth(1, { networkOptions: [1] })],
    [
      'a fragment',
      nth(0),
      changed(({ view, network }) => ipv4.setFragment(view, network, ipv4.DONT_FRAGMENT | ipv4.MORE_FRAGMENTS, 0)),
    ],
    ['a wrong IPv4 checksum', nth(0), spoiled(({ view, network }) => ipv4.setHeaderChecksum(view, network, 1))],
    ['IPv6', nth(0), nth(1, IPV6)],
    ['another flow label', nth(0, IPV6), changed(({ view, network }) => ipv6.setFlowLabel(view, network, 1), IPV6)],
    ['another class', nth(0, IPV6), changed(({ view, network }) => ipv6.setTrafficClass(view, network, 1), IPV6)],
    ['another hop limit', nth(0, IPV6), changed(({ view, network }) => ipv6.setHopLimit(view, network, 63), IPV6)],
    ['another IPv6 source', nth(0, IPV6), changed(({ view, network }) => view.setUint8(network + 23, 9), IPV6)],
    ['another IPv6 destination', nth(0, IPV6), changed(({ view, network }) => view.setUint8(network + 39, 9), IPV6)],
    ['extension headers', nth(0, { ...IPV6, networkOptions: [1] }), nth(1, { ...IPV6, networkOptions: [1] })],
    ['a tag', nth(0), nth(1, { vlanTags: 1 })],
    [
      'another tag',
      nth(0, { vlanTags: 1 }),
      spoiled(({ view, start }) => view.setUint8(start + 15, 7), { vlanTags: 1 }),
    ],
    ['another MAC address', nth(0), spoiled(({ view, start }) => view.setUint8(start + 11, 7))],
    ['UDP', nth(0, { isTcp: false }), nth(1, { isTcp: false })],
    ['another EtherType', nth(0), spoiled(({ view, start }) => ethernet.setType(view, start, 0x0806))],
    ['segments of another size', nth(0), large({ segmentBytes: 50 })],
    ['an unfinished large frame', large({ segmentBytes: 60, sequence: 0, identification: 0 }), nth(1)],
    ['large frames with CWR', nth(0), large({}, ({ view, header }) => view.setUint8(header + 1, 0x81))],
    ['large frames of the wrong kind', nth(0), large({}, ({ view, header }) => view.setUint8(header + 1, 4))],
    ['a checksum elsewhere', nth(0), large({}, ({ view, header }) => vnet.setChecksum(view, header, 36, 16))],
    ['a checksum in another field', nth(0), large({}, ({ view, header }) => vnet.setChecksum(view, header, 34, 14))],
    ['a checksum outside', nth(0), large({}, ({ view, header }) => vnet.setChecksum(view, header, 34, 60_000))],
  ];

  for (const [what, first, second] of different) {
    it(`does not join: ${what}`, () => {
      const { before, after } = join([first, second]);
      assert.deepEqual(after, before);
    });
  }

  function changed(change: (places: Places) => void, frame: Partial<LargeFrame> = {}): Piece {
    return { ...nth(1, frame), change };
  }

  function spoiled(spoil: (places: Places) => void, frame: Partial<LargeFrame> = {}): Piece {
    return { ...nth(1, frame), spoil };
  }

  function large(frame: Partial<LargeFrame>, spoil: (places: Places) => void = () => {}): Piece {
    return { ...nth(1, { isPartial: true, ...frame }), isLarge: true, spoil };
  }

  it('joins IPv6, behind tags too', () => {
    for (const frame of [{ isIpv6: true }, { isIpv6: true, vlanTags: 2 }, { vlanTags: 1 }]) {
      const { before, after, frames } = join([nth(0, frame), nth(1, frame)]);
      assert.deepEqual(frames, [2]);
      assert.deepEqual(cut(after), cut(before));
    }
  });

  it('keeps the order within a stream: what is not joined ends what was begun', () => {
    const ack = nth(2, { payload: new Uint8Array() });
    assert.deepEqual(join([nth(0), nth(1), ack, nth(2), nth(3)]).frames, [2, 1, 2]);
    const fragment: Piece = {
      ...nth(9),
      stream: 9,
      change: ({ view, network }) => ipv4.setFragment(view, network, 0, 800),
    };
    assert.deepEqual(join([nth(0), fragment, nth(1)]).frames, [1, 1, 1]);
    const other: Piece = { ...ack, stream: 1 };
    assert.deepEqual(join([nth(0), other, nth(1)]).frames, [2, 1]);
    const datagram = nth(0, { isTcp: false });
    assert.deepEqual(join([nth(0), datagram, nth(1)]).frames, [2, 1]);
  });

  it('makes no packet of more than 65,535 bytes', () => {
    for (const isIpv6 of [false, true]) {
      const payload = new Uint8Array(1000);
      const room = 65_535 - 32 - (isIpv6 ? 40 : 20);
      const pieces = Array.from({ length: 66 }, (_, n) =>
        nth(n, { isIpv6, sequence: 1000 * n, payload: n === 65 ? payload.slice(0, room - 65_000) : payload }),
      );
      const { after, frames } = join(pieces);
      assert.deepEqual(frames, [66]);
      assert.equal(after[0].length, VNET_HEADER_BYTES + 14 + 65_535);
      const more = join([
        ...pieces.slice(0, -1),
        nth(65, { ...pieces[65].frame, payload: payload.slice(0, room - 64_999) }),
      ]);
      assert.deepEqual(more.frames, [65, 1]);
    }
  });

  it('makes no frame of more segments than anybody cuts', () => {
    const tiny = (n: number, bytes: number): Piece => ({
      ...nth(n, { sequence: n, payload: new Uint8Array(bytes), segmentBytes: 1, isPartial: true }),
      isLarge: true,
    });
    const half = SEGMENTS_PER_FRAME_MAX / 2;
    assert.deepEqual(join([tiny(0, half), tiny(half, half)]).frames, [2]);
    assert.deepEqual(join([tiny(0, half), tiny(half, half + 1)]).frames, [1, 1]);
  });

  it('joins as many streams at a time as it may, and gives up the oldest', () => {
    const streams = (count: number, n: number) => Array.from({ length: count }, (_, stream) => ({ ...nth(n), stream }));
    const all = JOINS_OPEN_MAX;
    assert.deepEqual(join([...streams(all, 0), ...streams(all, 1)]).frames, Array(all).fill(2));
    const { frames } = join([...streams(all + 1, 0), ...streams(all + 1, 1).slice(1)]);
    assert.deepEqual(frames, [1, ...Array(all).fill(2)]);
  });

  it('keeps whom a frame belongs to, and wants an arena behind the frames', () => {
    const { packets, segments } = arenas();
    const vector = Int32Array.of(put(packets, nth(0)), put(packets, nth(1)));
    packets.rxInterface[vector[0]] = 1;
    packets.txInterface[vector[0]] = 2;
    packets.flow[vector[0]] = 3;
    const joiner = new Joiner(segments, 2);
    joiner.plan(packets, vector, 2);
    const joined = joiner.join(0);
    assert.deepEqual([segments.rxInterface[joined], segments.txInterface[joined], segments.flow[joined]], [1, 2, 3]);
    assert.throws(() => new Joiner(packets, 2).plan(segments, vector, 2), /tapster bug/);
  });
});
