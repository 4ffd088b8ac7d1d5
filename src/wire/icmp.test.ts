import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  assertNoPrefixPasses,
  assertSameBytes,
  cut,
  ECHO_REQUEST,
  empty,
  NETWORK,
  PORT_UNREACHABLE,
  viewOf,
} from './captured.test.ts';
import * as icmp from './icmp.ts';
import * as ipv4 from './ipv4.ts';
import { assertFieldsHold, assertNeverLeaves, BYTE, UINT16 } from './properties.test.ts';

const AT = NETWORK + 20;

describe('icmp', () => {
  it('reads a captured echo request', () => {
    assert.equal(icmp.check(ECHO_REQUEST, AT, ECHO_REQUEST.byteLength), 8);
    assert.equal(icmp.type(ECHO_REQUEST, AT), icmp.ECHO_REQUEST);
    assert.equal(icmp.code(ECHO_REQUEST, AT), 0);
    assert.equal(icmp.checksum(ECHO_REQUEST, AT), 0x8b68);
    assert.equal(icmp.identifier(ECHO_REQUEST, AT), 0x3490);
    assert.equal(icmp.sequence(ECHO_REQUEST, AT), 1);
    assert.equal(icmp.isError(ECHO_REQUEST, AT), false);
    assert.equal(icmp.verifyChecksum(ECHO_REQUEST, AT, ECHO_REQUEST.byteLength), true);
  });

  it('reads a captured error and the datagram that it quotes', () => {
    const end = PORT_UNREACHABLE.byteLength;
    assert.equal(icmp.type(PORT_UNREACHABLE, AT), icmp.DESTINATION_UNREACHABLE);
    assert.equal(icmp.code(PORT_UNREACHABLE, AT), icmp.PORT_UNREACHABLE);
    assert.equal(icmp.isError(PORT_UNREACHABLE, AT), true);
    assert.equal(icmp.verifyChecksum(PORT_UNREACHABLE, AT, end), true);
    const original = icmp.original(AT);
    assert.equal(ipv4.check(PORT_UNREACHABLE, original, end), 20);
    assert.equal(ipv4.destination(PORT_UNREACHABLE, original), 0x0a000202);
  });

  it('writes the same bytes', () => {
    const echo = viewOf(new Uint8Array(ECHO_REQUEST.buffer));
    new Uint8Array(echo.buffer).fill(0xee, AT, AT + 8);
    icmp.writeEcho(echo, AT, icmp.ECHO_REQUEST, 0x3490, 1);
    icmp.writeChecksum(echo, AT, echo.byteLength);
    assertSameBytes(echo, ECHO_REQUEST);
    const error = viewOf(new Uint8Array(PORT_UNREACHABLE.buffer));
    new Uint8Array(error.buffer).fill(0xee, AT, AT + 8);
    icmp.writeError(error, AT, icmp.DESTINATION_UNREACHABLE, icmp.PORT_UNREACHABLE, 0);
    icmp.writeChecksum(error, AT, error.byteLength);
    assertSameBytes(error, PORT_UNREACHABLE);
  });

  it('carries the MTU of the next hop and the pointer', () => {
    const view = empty(8);
    icmp.writeError(view, 0, icmp.DESTINATION_UNREACHABLE, icmp.FRAGMENTATION_NEEDED, 1400);
    assert.equal(icmp.mtu(view, 0), 1400);
    view.setUint8(4, 9);
    assert.equal(icmp.pointer(view, 0), 9);
  });

  it('refuses every shorter header', () => assertNoPrefixPasses(icmp.check, cut(ECHO_REQUEST, AT, AT + 8), 8));

  it('holds what was set', () =>
    assertFieldsHold(8, [
      { get: icmp.type, set: icmp.setType, range: BYTE },
      { get: icmp.code, set: icmp.setCode, range: BYTE },
      { get: icmp.checksum, set: icmp.setChecksum, range: UINT16 },
      { get: icmp.identifier, set: icmp.setIdentifier, range: UINT16 },
      { get: icmp.sequence, set: icmp.setSequence, range: UINT16 },
    ]));

  it('never leaves a message that passed', () =>
    assertNeverLeaves(icmp.check, 30, [3, 4], (view, end) => {
      icmp.isError(view, 0);
      icmp.mtu(view, 0);
      icmp.verifyChecksum(view, 0, end);
      assert.ok(icmp.original(0) <= end);
    }));
});
