import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  assertNoPrefixPasses,
  assertSameBytes,
  cut,
  ECHO_REQUEST_IPV6,
  empty,
  NETWORK,
  PORT_UNREACHABLE_IPV6,
  viewOf,
} from './captured.test.ts';
import * as icmpv6 from './icmpv6.ts';
import * as ipv6 from './ipv6.ts';
import { assertFieldsHold, assertNeverLeaves, BYTE, UINT16 } from './properties.test.ts';

const AT = NETWORK + 40;

describe('icmpv6', () => {
  it('reads a captured echo request', () => {
    assert.equal(icmpv6.check(ECHO_REQUEST_IPV6, AT, ECHO_REQUEST_IPV6.byteLength), 8);
    assert.equal(icmpv6.type(ECHO_REQUEST_IPV6, AT), icmpv6.ECHO_REQUEST);
    assert.equal(icmpv6.code(ECHO_REQUEST_IPV6, AT), 0);
    assert.equal(icmpv6.identifier(ECHO_REQUEST_IPV6, AT), 0x3491);
    assert.equal(icmpv6.sequence(ECHO_REQUEST_IPV6, AT), 1);
    assert.equal(icmpv6.isError(ECHO_REQUEST_IPV6, AT), false);
    assert.equal(icmpv6.verifyChecksum(ECHO_REQUEST_IPV6, NETWORK, AT, ECHO_REQUEST_IPV6.byteLength), true);
  });

  it('reads a captured error and the packet that it quotes', () => {
    const end = PORT_UNREACHABLE_IPV6.byteLength;
    assert.equal(icmpv6.type(PORT_UNREACHABLE_IPV6, AT), icmpv6.DESTINATION_UNREACHABLE);
    assert.equal(icmpv6.code(PORT_UNREACHABLE_IPV6, AT), icmpv6.PORT_UNREACHABLE);
    assert.equal(icmpv6.isError(PORT_UNREACHABLE_IPV6, AT), true);
    assert.equal(icmpv6.verifyChecksum(PORT_UNREACHABLE_IPV6, NETWORK, AT, end), true);
    const original = icmpv6.original(AT);
    assert.equal(ipv6.check(PORT_UNREACHABLE_IPV6, original, end), 40);
    assert.equal(ipv6.nextHeader(PORT_UNREACHABLE_IPV6, original), 17);
  });

  it('writes the same bytes', () => {
    const echo = viewOf(new Uint8Array(ECHO_REQUEST_IPV6.buffer));
    new Uint8Array(echo.buffer).fill(0xee, AT, AT + 8);
    icmpv6.writeEcho(echo, AT, icmpv6.ECHO_REQUEST, 0x3491, 1);
    icmpv6.writeChecksum(echo, NETWORK, AT, echo.byteLength);
    assertSameBytes(echo, ECHO_REQUEST_IPV6);
    const error = viewOf(new Uint8Array(PORT_UNREACHABLE_IPV6.buffer));
    new Uint8Array(error.buffer).fill(0xee, AT, AT + 8);
    icmpv6.writeError(error, AT, icmpv6.DESTINATION_UNREACHABLE, icmpv6.PORT_UNREACHABLE, 0);
    icmpv6.writeChecksum(error, NETWORK, AT, error.byteLength);
    assertSameBytes(error, PORT_UNREACHABLE_IPV6);
  });

  it('carries MTU and pointer as unsigned words', () => {
    const view = empty(8);
    icmpv6.writeError(view, 0, icmpv6.PACKET_TOO_BIG, 0, 1280);
    assert.equal(icmpv6.mtu(view, 0), 1280);
    icmpv6.writeError(view, 0, icmpv6.PARAMETER_PROBLEM, icmpv6.NEXT_HEADER_UNKNOWN, 0xffff_ffff);
    assert.equal(icmpv6.pointer(view, 0), 0xffff_ffff);
  });

  it('refuses every shorter header', () => assertNoPrefixPasses(icmpv6.check, cut(ECHO_REQUEST_IPV6, AT, AT + 8), 8));

  it('holds what was set', () =>
    assertFieldsHold(8, [
      { get: icmpv6.type, set: icmpv6.setType, range: BYTE },
      { get: icmpv6.code, set: icmpv6.setCode, range: BYTE },
      { get: icmpv6.checksum, set: icmpv6.setChecksum, range: UINT16 },
      { get: icmpv6.identifier, set: icmpv6.setIdentifier, range: UINT16 },
      { get: icmpv6.sequence, set: icmpv6.setSequence, range: UINT16 },
    ]));

  it('never leaves a message that passed', () =>
    assertNeverLeaves(icmpv6.check, 30, [2, 0], (view, end) => {
      icmpv6.mtu(view, 0);
      icmpv6.pointer(view, 0);
      assert.ok(icmpv6.original(0) <= end);
    }));
});
