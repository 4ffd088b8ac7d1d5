import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import * as ipv4 from '../wire/ipv4.ts';
import * as ipv6 from '../wire/ipv6.ts';
import { emitFragments, NO_ROOM, NOT_CUT } from './fragment.ts';
import { type Packet, Packets } from './packets.ts';

/** A packet of IPv4 with these options (a multiple of 4 bytes) and `payloadBytes` that count up. */
function packet4(packets: Packets, payloadBytes: number, options: readonly number[], fragmentWord: number): Packet {
  const headerBytes = 20 + options.length;
  const packet = packets.allocate(14 + headerBytes + payloadBytes);
  const { view, bytes } = packets;
  const at = packets.start[packet] + 14;
  packets.network[packet] = at;
  ipv4.writeHeader(view, at, headerBytes + payloadBytes, 17, 1, 2, 64, 0, 5, 0);
  ipv4.setHeaderBytes(view, at, headerBytes);
  view.setUint16(at + 6, fragmentWord);
  bytes.set(options, at + 20);
  for (let i = 0; i < payloadBytes; i++) bytes[at + headerBytes + i] = i;
  ipv4.writeChecksum(view, at);
  return packet;
}

function cut(packets: Packets, packet: Packet, mtu: number): { result: number; pieces: Packet[] } {
  const pieces: Packet[] = [];
  const result = emitFragments(packets, packet, mtu, 5, { emit: (piece) => void pieces.push(piece) });
  return { result, pieces };
}

const payloadOf = (packets: Packets, piece: Packet): number[] => [
  ...packets.bytes.subarray(packets.transport[piece], packets.end[piece]),
];

describe('fragments', () => {
  it('cover an IPv4 payload without gaps, each no larger than the MTU, fragments of a fragment too', () => {
    const sizes = fc.record({
      payloadBytes: fc.integer({ min: 0, max: 3000 }),
      mtu: fc.integer({ min: 68, max: 1500 }),
      offset: fc.integer({ min: 0, max: 1000 }),
      more: fc.boolean(),
    });
    fc.assert(
      fc.property(sizes, ({ payloadBytes, mtu, offset, more }) => {
        const packets = new Packets(256 * 1024, 256);
        const whole = packet4(packets, payloadBytes, [], (more ? ipv4.MORE_FRAGMENTS : 0) | offset);
        const { result, pieces } = cut(packets, whole, mtu);
        assert.equal(result, pieces.length);
        let next = offset * 8;
        pieces.forEach((piece, i) => {
          const { view } = packets;
          const at = packets.network[piece];
          assert.ok(packets.end[piece] - at <= mtu && ipv4.totalLength(view, at) === packets.end[piece] - at);
          assert.ok(ipv4.verifyChecksum(view, at));
          assert.deepEqual([ipv4.fragmentOffset(view, at), ipv4.identification(view, at)], [next, 5]);
          assert.equal(ipv4.moreFragments(view, at), more || i < pieces.length - 1);
          next += packets.end[piece] - packets.transport[piece];
        });
        const bytes = pieces.flatMap((piece) => payloadOf(packets, piece));
        assert.deepEqual(bytes, payloadOf4(packets, whole));
      }),
    );
  });

  it('carry the options that are to be copied, and the first one all', () => {
    const options = [0x07, 7, 4, 1, 2, 3, 4, 1, 0x94, 4, 0, 0];
    const packets = new Packets(256 * 1024, 256);
    const { pieces } = cut(packets, packet4(packets, 200, options, 0), 100);
    const optionsOf = (piece: Packet): number[] => [
      ...packets.bytes.subarray(packets.network[piece] + 20, packets.transport[piece]),
    ];
    assert.equal(pieces.length, 4);
    assert.deepEqual(optionsOf(pieces[0]), options);
    for (const piece of pieces.slice(1)) {
      assert.deepEqual(optionsOf(piece), [1, 1, 1, 1, 1, 1, 1, 1, 0x94, 4, 0, 0]);
      assert.ok(ipv4.verifyChecksum(packets.view, packets.network[piece]));
    }
  });

  it('survive options that can not be read', () => {
    for (const options of [
      [0x07, 0, 0, 0],
      [0x07, 1, 0, 0],
      [0x07, 40, 0, 0],
      [1, 1, 1, 0x07],
    ]) {
      const packets = new Packets(256 * 1024, 256);
      assert.equal(cut(packets, packet4(packets, 200, options, 0), 100).result, 3);
    }
  });

  it('are not made where nothing fits, beyond what a datagram may hold, or without room', () => {
    const packets = new Packets(8192, 64);
    const { result, pieces } = cut(packets, packet4(packets, 100, [], 0), 27);
    assert.deepEqual([result, pieces.length], [NOT_CUT, 0]);
    assert.equal(cut(packets, packet4(packets, 100, [], 0x1fff), 68).result, NOT_CUT);
    assert.equal(cut(packets, packet4(packets, 6000, [], 0), 576).result, NO_ROOM);
  });

  it('have a header of their own in IPv6', () => {
    const packets = new Packets(64 * 1024, 64);
    const packet = packets.allocate(14 + 40 + 3000);
    const at = packets.start[packet] + 14;
    packets.network[packet] = at;
    ipv6.writeHeader(packets.view, at, 3000, 17, 64, 0, 0);
    const { result, pieces } = cut(packets, packet, 1280);
    assert.equal(result, 3);
    let next = 0;
    for (const piece of pieces) {
      const network = packets.network[piece];
      assert.equal(ipv6.nextHeader(packets.view, network), ipv6.HEADER_FRAGMENT);
      assert.equal(ipv6.payloadLength(packets.view, network), packets.end[piece] - network - 40);
      assert.ok(packets.end[piece] - network <= 1280);
      const header = network + 40;
      assert.equal(ipv6.fragmentNextHeader(packets.view, header), 17);
      assert.equal(ipv6.fragmentOffset(packets.view, header), next);
      assert.equal(ipv6.fragmentIdentification(packets.view, header), 5);
      assert.equal(ipv6.moreFragments(packets.view, header), piece !== pieces[2]);
      next += packets.end[piece] - packets.transport[piece];
    }
    assert.equal(next, 3000);
  });
});

function payloadOf4(packets: Packets, packet: Packet): number[] {
  const at = packets.network[packet];
  return [...packets.bytes.subarray(at + ipv4.headerBytes(packets.view, at), packets.end[packet])];
}
