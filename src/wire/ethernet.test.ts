import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  ARP_REQUEST,
  assertNoPrefixPasses,
  assertSameBytes,
  cut,
  empty,
  ROUTER_SOLICITATION,
} from './captured.test.ts';
import * as ethernet from './ethernet.ts';
import { assertFieldsHold, assertNeverLeaves, INT32, UINT16 } from './properties.test.ts';

describe('ethernet', () => {
  it('reads a captured frame', () => {
    assert.equal(ethernet.check(ARP_REQUEST, 0, ARP_REQUEST.byteLength), 14);
    assert.equal(ethernet.destinationHigh(ARP_REQUEST, 0), ethernet.BROADCAST_HIGH);
    assert.equal(ethernet.destinationLow(ARP_REQUEST, 0), ethernet.BROADCAST_LOW);
    assert.equal(ethernet.sourceHigh(ARP_REQUEST, 0), 0x0200);
    assert.equal(ethernet.sourceLow(ARP_REQUEST, 0), 0x0a);
    assert.equal(ethernet.type(ARP_REQUEST, 0), ethernet.TYPE_ARP);
  });

  it('tells broadcast, multicast and unicast apart', () => {
    assert.equal(ethernet.isBroadcast(ARP_REQUEST, 0), true);
    assert.equal(ethernet.isMulticast(ARP_REQUEST, 0), true);
    assert.equal(ethernet.isBroadcast(ROUTER_SOLICITATION, 0), false);
    assert.equal(ethernet.isMulticast(ROUTER_SOLICITATION, 0), true);
    const unicast = empty(14);
    ethernet.setDestination(unicast, 0, 0x0200, -1);
    assert.equal(ethernet.isBroadcast(unicast, 0), false);
    assert.equal(ethernet.isMulticast(unicast, 0), false);
  });

  it('writes the same bytes', () => {
    const view = empty(14);
    assert.equal(ethernet.writeHeader(view, 0, 0x3333, 2, 0x0200, 0x0a, ethernet.TYPE_IPV6), 14);
    assertSameBytes(view, cut(ROUTER_SOLICITATION, 0, 14));
  });

  it('refuses every shorter frame', () => assertNoPrefixPasses(ethernet.check, cut(ARP_REQUEST, 0, 14), 14));

  it('holds what was set', () =>
    assertFieldsHold(14, [
      {
        get: ethernet.destinationHigh,
        set: (view, at, value) => ethernet.setDestination(view, at, value, ethernet.destinationLow(view, at)),
        range: UINT16,
      },
      {
        get: ethernet.destinationLow,
        set: (view, at, value) => ethernet.setDestination(view, at, ethernet.destinationHigh(view, at), value),
        range: INT32,
      },
      {
        get: ethernet.sourceHigh,
        set: (view, at, value) => ethernet.setSource(view, at, value, ethernet.sourceLow(view, at)),
        range: UINT16,
      },
      {
        get: ethernet.sourceLow,
        set: (view, at, value) => ethernet.setSource(view, at, ethernet.sourceHigh(view, at), value),
        range: INT32,
      },
      { get: ethernet.type, set: ethernet.setType, range: UINT16 },
    ]));

  it('never leaves a frame that passed', () =>
    assertNeverLeaves(ethernet.check, 20, [], (view) => {
      ethernet.isBroadcast(view, 0);
      ethernet.isMulticast(view, 0);
      ethernet.sourceLow(view, 0);
      ethernet.type(view, 0);
    }));
});
