import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  assertNoPrefixPasses,
  assertSameBytes,
  cut,
  empty,
  FRAGMENT_IPV4,
  frame,
  NETWORK,
  PORT_UNREACHABLE,
  SYN_IPV4,
  viewOf,
} from './captured.test.ts';
import * as ipv4 from './ipv4.ts';
import { assertFieldsHold, assertNeverLeaves, BYTE, INT32, UINT16 } from './properties.test.ts';

/** An IGMP report of Linux, with a router alert option. */
const WITH_OPTIONS = frame(
  '46c00028 00004000 0102cd0b 0a00020f e0000016 94040000',
  '2200ea03 00000001 04000000 e00000fb',
);

describe('ipv4', () => {
  it('reads a captured packet', () => {
    assert.equal(ipv4.check(PORT_UNREACHABLE, NETWORK, PORT_UNREACHABLE.byteLength), 20);
    assert.equal(ipv4.headerBytes(PORT_UNREACHABLE, NETWORK), 20);
    assert.equal(ipv4.typeOfService(PORT_UNREACHABLE, NETWORK), 0xc0);
    assert.equal(ipv4.dscp(PORT_UNREACHABLE, NETWORK), 48);
    assert.equal(ipv4.ecn(PORT_UNREACHABLE, NETWORK), 0);
    assert.equal(ipv4.totalLength(PORT_UNREACHABLE, NETWORK), 61);
    assert.equal(ipv4.identification(PORT_UNREACHABLE, NETWORK), 0xdc4b);
    assert.equal(ipv4.isFragment(PORT_UNREACHABLE, NETWORK), false);
    assert.equal(ipv4.dontFragment(PORT_UNREACHABLE, NETWORK), false);
    assert.equal(ipv4.timeToLive(PORT_UNREACHABLE, NETWORK), 64);
    assert.equal(ipv4.protocol(PORT_UNREACHABLE, NETWORK), ipv4.PROTOCOL_ICMP);
    assert.equal(ipv4.source(PORT_UNREACHABLE, NETWORK), 0x0a000202);
    assert.equal(ipv4.destination(PORT_UNREACHABLE, NETWORK), 0x0a00020f);
    assert.equal(ipv4.verifyChecksum(PORT_UNREACHABLE, NETWORK), true);
  });

  it('reads a captured fragment', () => {
    assert.equal(ipv4.check(FRAGMENT_IPV4, NETWORK, FRAGMENT_IPV4.byteLength), 20);
    assert.equal(ipv4.isFragment(FRAGMENT_IPV4, NETWORK), true);
    assert.equal(ipv4.moreFragments(FRAGMENT_IPV4, NETWORK), false);
    assert.equal(ipv4.fragmentOffset(FRAGMENT_IPV4, NETWORK), 1480);
    assert.equal(ipv4.identification(FRAGMENT_IPV4, NETWORK), 0x5f08);
  });

  it('reads a header with options', () => {
    assert.equal(ipv4.check(WITH_OPTIONS, 0, WITH_OPTIONS.byteLength), 24);
    assert.equal(ipv4.dontFragment(WITH_OPTIONS, 0), true);
    const copy = viewOf(new Uint8Array(WITH_OPTIONS.buffer));
    ipv4.writeChecksum(copy, 0);
    assert.equal(ipv4.verifyChecksum(copy, 0), true);
    copy.setUint8(23, 1);
    assert.equal(ipv4.verifyChecksum(copy, 0), false);
  });

  it('writes the same bytes', () => {
    const view = empty(20);
    const bytes = ipv4.writeHeader(view, 0, 60, 6, 0x0a00020f, 0x0a000202, 64, 0, 0x2cd4, ipv4.DONT_FRAGMENT);
    assert.equal(bytes, 20);
    assertSameBytes(view, cut(SYN_IPV4, NETWORK, NETWORK + 20));
  });

  it('refuses every shorter packet', () => {
    assertNoPrefixPasses(ipv4.check, cut(SYN_IPV4, NETWORK), 20);
    assertNoPrefixPasses(ipv4.check, WITH_OPTIONS, 24);
  });

  it('refuses impossible headers, each for its reason', () => {
    const check = (first: number, total: number): number => {
      const view = empty(40);
      view.setUint8(0, first);
      ipv4.setTotalLength(view, 0, total);
      return ipv4.check(view, 0, 40);
    };
    assert.equal(check(0x45, 40), 20);
    assert.equal(check(0x65, 40), ipv4.WRONG_VERSION);
    assert.equal(check(0x44, 40), ipv4.HEADER_LENGTH_INVALID);
    assert.equal(check(0x4b, 40), ipv4.HEADER_LENGTH_INVALID);
    assert.equal(check(0x45, 19), ipv4.TOTAL_LENGTH_INVALID);
    assert.equal(check(0x45, 0), ipv4.TOTAL_LENGTH_INVALID);
    assert.equal(check(0x45, 41), ipv4.TOTAL_LENGTH_INVALID);
    assert.equal(ipv4.check(empty(19), 0, 19), ipv4.TOO_SHORT);
  });

  it('holds what was set', () =>
    assertFieldsHold(20, [
      { get: ipv4.typeOfService, set: ipv4.setTypeOfService, range: BYTE },
      { get: ipv4.totalLength, set: ipv4.setTotalLength, range: UINT16 },
      { get: ipv4.identification, set: ipv4.setIdentification, range: UINT16 },
      { get: ipv4.fragmentWord, set: (view, at, value) => ipv4.setFragment(view, at, value, 0), range: UINT16 },
      { get: ipv4.timeToLive, set: ipv4.setTimeToLive, range: BYTE },
      { get: ipv4.protocol, set: ipv4.setProtocol, range: BYTE },
      { get: ipv4.headerChecksum, set: ipv4.setHeaderChecksum, range: UINT16 },
      { get: ipv4.source, set: ipv4.setSource, range: INT32 },
      { get: ipv4.destination, set: ipv4.setDestination, range: INT32 },
    ]));

  it('holds a fragment offset', () =>
    assertFieldsHold(20, [
      {
        get: ipv4.fragmentOffset,
        set: (view, at, value) => ipv4.setFragment(view, at, ipv4.MORE_FRAGMENTS, value),
        range: [0, 0x1fff * 8],
        unit: 8,
      },
    ]));

  it('keeps the checksum right when a field changes with it', () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer(), fc.nat({ max: 255 }), fc.nat({ max: 0xffff }), (from, to, ttl, total) => {
        const view = empty(20);
        ipv4.writeHeader(view, 0, 20, 17, 1, 2, 64, 0, 3, 0);
        ipv4.setSourceAndChecksum(view, 0, from);
        ipv4.setDestinationAndChecksum(view, 0, to);
        ipv4.setTimeToLiveAndChecksum(view, 0, ttl);
        ipv4.setTotalLengthAndChecksum(view, 0, total);
        const updated = ipv4.headerChecksum(view, 0);
        ipv4.writeChecksum(view, 0);
        assert.equal(updated, ipv4.headerChecksum(view, 0));
        assert.equal(ipv4.source(view, 0), from);
        assert.equal(ipv4.timeToLive(view, 0), ttl);
      }),
    );
  });

  it('never leaves a packet that passed', () =>
    assertNeverLeaves(ipv4.check, 80, [0x46, 0, 0, 30], (view, end) => {
      ipv4.verifyChecksum(view, 0);
      ipv4.destination(view, 0);
      assert.ok(ipv4.totalLength(view, 0) <= end);
    }));
});
