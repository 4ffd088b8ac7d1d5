import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { JOINS_OPEN_MAX } from '../base/limits.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as ipv6 from '../wire/ipv6.ts';
import * as tcp from '../wire/tcp.ts';
import { arenas, cut, join, joinVector, nth, type Piece, put } from './join-fixture.test.ts';
import { VNET_HEADER_BYTES } from './packets.ts';

/** What a sender may do next in one of its streams. */
const KINDS = [
  'data',
  'data',
  'data',
  'data',
  'large',
  'partial',
  'push',
  'short',
  'ack',
  'gap',
  'window',
  'wrong',
  'cwr',
] as const;

const events = fc.array(fc.record({ stream: fc.nat({ max: JOINS_OPEN_MAX + 2 }), kind: fc.constantFrom(...KINDS) }), {
  maxLength: 120,
  size: 'max',
});

describe('a vector that is joined', () => {
  it('is the same once it is cut again, stream by stream, byte by byte', () => {
    let joins = 0;
    fc.assert(
      fc.property(events, fc.nat({ max: JOINS_OPEN_MAX + 2 }), (happenings, few) => {
        const senders = new Map<number, { sequence: number; identification: number; window: number }>();
        const { before, after, frames } = join(
          happenings.map(({ stream, kind }, i) => next(stream % (few + 1), kind, i, senders)),
        );
        joins += before.length - frames.length;
        assert.deepEqual(byStream(cut(after)), byStream(cut(before)));
      }),
      { numRuns: 150 },
    );
    assert.ok(joins > 500, `${joins} frames were joined`);
  });

  it('holds no more and no fewer frames, whatever the bytes, and nothing outside is read or written', () => {
    const changes = fc.array(fc.tuple(fc.nat({ max: 7 }), fc.nat({ max: 90 }), fc.nat({ max: 0xff })), {
      maxLength: 4,
    });
    fc.assert(
      fc.property(changes, fc.boolean(), fc.nat({ max: 7 }), fc.nat(), (bytes, isIpv6, cutFrame, cutAt) => {
        const { packets, segments } = arenas();
        const vector = Int32Array.from([0, 1, 2, 3, 4, 5, 6, 7], (n) => put(packets, nth(n, { isIpv6 })));
        for (const [n, at, value] of bytes) packets.bytes[packets.start[vector[n]] - VNET_HEADER_BYTES + at] = value;
        const shorter = vector[cutFrame];
        packets.length[shorter] = cutAt % (packets.length[shorter] + 1);
        const { after } = joinVector(packets, segments, vector);
        const outside = segments.bytes.subarray(segments.used);
        assert.ok(outside.every((byte) => byte === 0xaa));
        for (const frame of after) assert.ok(frame.length <= VNET_HEADER_BYTES + 66 + 20 + 800);
      }),
      { numRuns: 300 },
    );
  });
});

/** The next frame of a stream. The third stream's identification stays, others are of IPv6 or have a tag. */
function next(
  stream: number,
  kind: (typeof KINDS)[number],
  i: number,
  senders: Map<number, { sequence: number; identification: number; window: number }>,
): Piece {
  const sender = senders.get(stream) ?? { sequence: -300, identification: 0xfffe, window: 500 };
  senders.set(stream, sender);
  const bytes = kind === 'ack' ? 0 : kind === 'short' ? 60 : kind === 'large' ? 250 : 100;
  if (kind === 'gap') sender.sequence++;
  if (kind === 'window') sender.window++;
  const { sequence, identification, window } = sender;
  sender.sequence = (sequence + bytes) | 0;
  if (stream !== 2) sender.identification = (identification + Math.ceil(bytes / 100)) & 0xffff;
  const flags = { push: tcp.PSH, cwr: tcp.CWR }[kind as string] ?? 0;
  return {
    stream,
    isLarge: kind === 'large',
    frame: {
      ...{ sequence, identification, tcpFlags: tcp.ACK | flags, isPartial: kind === 'partial' || kind === 'large' },
      ...{ isIpv6: stream % 3 === 1, vlanTags: stream % 4 === 3 ? 1 : 0 },
      payload: Uint8Array.from({ length: bytes }, (_, at) => (i * 7 + at) & 0xff),
    },
    change: ({ view, transport }) => tcp.setWindow(view, transport, window),
    spoil: ({ view, transport }) => {
      if (kind === 'wrong') tcp.setChecksum(view, transport, tcp.checksum(view, transport) ^ 0x0101);
    },
  };
}

/** Frames of each stream in their order. An identification that stayed says nothing; a sum of 0 is one of 0xffff. */
function byStream(frames: readonly Uint8Array[]): Map<number, string[]> {
  const streams = new Map<number, string[]>();
  for (const frame of frames) {
    const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
    const network = 14 + (ethernet.type(view, 0) === 0x8100 ? 4 : 0);
    const isIpv6 = view.getUint8(network) >>> 4 === 6;
    const transport = network + (isIpv6 ? ipv6.HEADER_BYTES : ipv4.HEADER_BYTES);
    const stream = tcp.sourcePort(view, transport) - 4000;
    if (tcp.checksum(view, transport) === 0xffff) tcp.setChecksum(view, transport, 0);
    if (stream === 2) view.setUint16(network + 4, 0);
    if (stream === 2) ipv4.setHeaderChecksum(view, network, 0);
    streams.set(stream, [...(streams.get(stream) ?? []), Buffer.from(frame).toString('hex')]);
  }
  return new Map([...streams].sort(([a], [b]) => a - b));
}
