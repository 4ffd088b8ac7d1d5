import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  assertNoPrefixPasses,
  assertSameBytes,
  cut,
  empty,
  NETWORK,
  UDP_IPV4,
  UDP_IPV6,
  viewOf,
} from './captured.test.ts';
import * as checksum from './checksum.ts';
import { assertFieldsHold, assertNeverLeaves, UINT16 } from './properties.test.ts';
import * as udp from './udp.ts';

const AT_IPV4 = NETWORK + 20;
const AT_IPV6 = NETWORK + 40;

describe('udp', () => {
  it('reads a captured datagram', () => {
    assert.equal(udp.check(UDP_IPV4, AT_IPV4, UDP_IPV4.byteLength), 8);
    assert.equal(udp.sourcePort(UDP_IPV4, AT_IPV4), 0xea17);
    assert.equal(udp.destinationPort(UDP_IPV4, AT_IPV4), 4242);
    assert.equal(udp.length(UDP_IPV4, AT_IPV4), 13);
    assert.equal(udp.checksum(UDP_IPV4, AT_IPV4), 0xa947);
    assert.equal(udp.verifyChecksum(UDP_IPV4, NETWORK, AT_IPV4), true);
    assert.equal(udp.verifyChecksum(UDP_IPV6, NETWORK, AT_IPV6), true);
  });

  it('writes the same bytes', () => {
    const view = viewOf(new Uint8Array(UDP_IPV6.buffer));
    new Uint8Array(view.buffer).fill(0xee, AT_IPV6, AT_IPV6 + 8);
    assert.equal(udp.writeHeader(view, AT_IPV6, 0x8497, 4242, 13), 8);
    udp.writeChecksum(view, NETWORK, AT_IPV6);
    assertSameBytes(view, UDP_IPV6);
  });

  it('lets the checksum be absent over IPv4 and not over IPv6', () => {
    const four = viewOf(new Uint8Array(UDP_IPV4.buffer));
    udp.setChecksum(four, AT_IPV4, 0);
    assert.equal(udp.verifyChecksum(four, NETWORK, AT_IPV4), true);
    const six = viewOf(new Uint8Array(UDP_IPV6.buffer));
    udp.setChecksum(six, AT_IPV6, 0);
    assert.equal(udp.verifyChecksum(six, NETWORK, AT_IPV6), false);
  });

  it('writes a checksum that comes out as 0 as 0xffff', () => {
    const view = viewOf(new Uint8Array(UDP_IPV4.buffer));
    // The source port makes the sum of all the rest up to 0xffff.
    udp.setSourcePort(view, AT_IPV4, 0);
    udp.writeChecksum(view, NETWORK, AT_IPV4);
    udp.setSourcePort(view, AT_IPV4, udp.checksum(view, AT_IPV4));
    udp.writeChecksum(view, NETWORK, AT_IPV4);
    assert.equal(udp.checksum(view, AT_IPV4), 0xffff);
    assert.equal(udp.verifyChecksum(view, NETWORK, AT_IPV4), true);
  });

  it('writes a partial checksum that a device completes', () => {
    const view = viewOf(new Uint8Array(UDP_IPV4.buffer));
    udp.writePartialChecksum(view, NETWORK, AT_IPV4);
    assert.equal(checksum.finish(checksum.sum(view, AT_IPV4, 13, 0)), 0xa947);
  });

  it('refuses every shorter datagram, and impossible lengths', () => {
    assertNoPrefixPasses(udp.check, cut(UDP_IPV4, AT_IPV4), 8);
    for (const length of [0, 7, 21]) {
      const view = empty(20);
      udp.setLength(view, 0, length);
      assert.equal(udp.check(view, 0, 20), udp.LENGTH_INVALID);
    }
  });

  it('holds what was set', () =>
    assertFieldsHold(8, [
      { get: udp.sourcePort, set: udp.setSourcePort, range: UINT16 },
      { get: udp.destinationPort, set: udp.setDestinationPort, range: UINT16 },
      { get: udp.length, set: udp.setLength, range: UINT16 },
      { get: udp.checksum, set: udp.setChecksum, range: UINT16 },
    ]));

  it('never leaves a datagram that passed', () =>
    assertNeverLeaves(udp.check, 60, [0, 0, 0, 0, 0, 9], (view, end) => {
      assert.ok(udp.length(view, 0) <= end);
      checksum.sum(view, 0, udp.length(view, 0), 0);
    }));
});
