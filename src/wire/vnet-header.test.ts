import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assertNoPrefixPasses, assertSameBytes, empty, frame } from './captured.test.ts';
import { assertFieldsHold, BYTE, UINT16 } from './properties.test.ts';
import * as vnet from './vnet-header.ts';

/** In front of a frame of 64 KiB of TCP over IPv4 from a tap: 66 bytes of headers, segments of 1448, checksum at 34 + 16. */
const SEGMENTS = frame('01 01 4200 a805 2200 1000 0000');
const FRAME_BYTES = 65_226;

describe('vnet-header', () => {
  it('reads the header of a large segment', () => {
    assert.equal(vnet.check(SEGMENTS, 0, FRAME_BYTES), 12);
    assert.equal(vnet.flags(SEGMENTS, 0), vnet.FLAG_NEEDS_CSUM);
    assert.equal(vnet.gsoType(SEGMENTS, 0), vnet.GSO_TCPV4);
    assert.equal(vnet.headerLength(SEGMENTS, 0), 66);
    assert.equal(vnet.gsoSize(SEGMENTS, 0), 1448);
    assert.equal(vnet.checksumStart(SEGMENTS, 0), 34);
    assert.equal(vnet.checksumOffset(SEGMENTS, 0), 16);
    assert.equal(vnet.bufferCount(SEGMENTS, 0), 0);
  });

  it('writes the same bytes, whole or in steps', () => {
    const view = empty(12);
    vnet.writeHeader(view, 0, vnet.FLAG_NEEDS_CSUM, vnet.GSO_TCPV4, 66, 1448, 34, 16);
    assertSameBytes(view, SEGMENTS);
    vnet.clear(view, 0);
    assertSameBytes(view, empty(12));
    vnet.setChecksum(view, 0, 34, 16);
    vnet.setGso(view, 0, vnet.GSO_TCPV4, 1448, 66);
    assertSameBytes(view, SEGMENTS);
  });

  it('goes along when the frame begins earlier or later', () => {
    const view = empty(12);
    vnet.writeHeader(view, 0, vnet.FLAG_NEEDS_CSUM, vnet.GSO_TCPV4, 66, 1448, 34, 16);
    vnet.moveFrameStart(view, 0, 4);
    assert.deepEqual([vnet.headerLength(view, 0), vnet.checksumStart(view, 0)], [70, 38]);
    vnet.moveFrameStart(view, 0, -4);
    assertSameBytes(view, SEGMENTS);
    vnet.moveFrameStart(view, 0, -40);
    assert.deepEqual([vnet.headerLength(view, 0), vnet.checksumStart(view, 0)], [26, 0]);
    assert.equal(vnet.check(view, 0, FRAME_BYTES), vnet.CHECKSUM_RANGE_INVALID);
    vnet.setChecksum(view, 0, 0xfffe, 16);
    vnet.moveFrameStart(view, 0, 4);
    assert.equal(vnet.checksumStart(view, 0), 0xffff);
  });

  it('stays as it is where it asks for nothing', () => {
    const view = empty(12);
    vnet.moveFrameStart(view, 0, 14);
    assertSameBytes(view, empty(12));
  });

  it('refuses every shorter header', () =>
    assertNoPrefixPasses((view, at) => vnet.check(view, at, FRAME_BYTES), SEGMENTS, 12));

  it('passes a header that asks for nothing', () => assert.equal(vnet.check(empty(12), 0, 14), 12));

  it('refuses what a hostile guest asks for', () => {
    const cases: readonly (readonly [string, number, (view: DataView) => void])[] = [
      ['checksum in the Ethernet header', vnet.CHECKSUM_RANGE_INVALID, (view) => vnet.setChecksum(view, 0, 13, 0)],
      ['checksum behind the frame', vnet.CHECKSUM_RANGE_INVALID, (view) => vnet.setChecksum(view, 0, 34, 65)],
      ['checksum behind a frame cut short', vnet.CHECKSUM_RANGE_INVALID, (view) => vnet.setChecksum(view, 0, 99, 0)],
      ['offset that wraps', vnet.CHECKSUM_RANGE_INVALID, (view) => vnet.setChecksum(view, 0, 34, 0xffff)],
      ['segments of nothing', vnet.GSO_SIZE_INVALID, (view) => vnet.setGso(view, 0, vnet.GSO_TCPV4, 0, 54)],
      ['unknown segments', vnet.GSO_TYPE_UNKNOWN, (view) => vnet.setGso(view, 0, 2, 1448, 54)],
      ['ECN alone', vnet.GSO_TYPE_UNKNOWN, (view) => vnet.setGso(view, 0, vnet.GSO_ECN, 1448, 54)],
      ['ECN of UDP', vnet.GSO_TYPE_UNKNOWN, (view) => vnet.setGso(view, 0, vnet.GSO_UDP_L4 | vnet.GSO_ECN, 1, 54)],
      ['headers behind the frame', vnet.HEADER_LENGTH_INVALID, (view) => vnet.setGso(view, 0, vnet.GSO_TCPV4, 1, 101)],
      ['segments without checksum', vnet.GSO_WITHOUT_CHECKSUM, (view) => vnet.setFlags(view, 0, 0)],
    ];
    for (const [what, expected, spoil] of cases) {
      const view = empty(12);
      vnet.writeHeader(view, 0, vnet.FLAG_NEEDS_CSUM, vnet.GSO_TCPV4, 54, 10, 34, 16);
      assert.equal(vnet.check(view, 0, 100), 12);
      spoil(view);
      assert.equal(vnet.check(view, 0, 100), expected, what);
    }
  });

  it('passes a checksum in the last two bytes', () => {
    const view = empty(12);
    vnet.setChecksum(view, 0, 34, 64);
    assert.equal(vnet.check(view, 0, 100), 12);
  });

  it('holds what was set', () =>
    assertFieldsHold(12, [
      { get: vnet.flags, set: vnet.setFlags, range: BYTE },
      {
        get: vnet.gsoType,
        set: (view, at, value) => vnet.setGso(view, at, value, vnet.gsoSize(view, at), vnet.headerLength(view, at)),
        range: BYTE,
      },
      {
        get: vnet.gsoSize,
        set: (view, at, value) => vnet.setGso(view, at, vnet.gsoType(view, at), value, vnet.headerLength(view, at)),
        range: UINT16,
      },
      {
        get: vnet.headerLength,
        set: (view, at, value) => vnet.setGso(view, at, vnet.gsoType(view, at), vnet.gsoSize(view, at), value),
        range: UINT16,
      },
      { get: vnet.bufferCount, set: vnet.setBufferCount, range: UINT16 },
    ]));
});
