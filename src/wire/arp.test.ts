import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as arp from './arp.ts';
import { ARP_REPLY, ARP_REQUEST, assertNoPrefixPasses, assertSameBytes, cut, empty, NETWORK } from './captured.test.ts';
import { assertFieldsHold, assertNeverLeaves, UINT16 } from './properties.test.ts';

const GUEST = 0x0a00020f;
const GATEWAY = 0x0a000202;

describe('arp', () => {
  it('reads a captured reply', () => {
    assert.equal(arp.check(ARP_REPLY, NETWORK, ARP_REPLY.byteLength), 28);
    assert.equal(arp.operation(ARP_REPLY, NETWORK), arp.OPERATION_REPLY);
    assert.equal(arp.senderHigh(ARP_REPLY, NETWORK), 0x0200);
    assert.equal(arp.senderLow(ARP_REPLY, NETWORK), 0x0b);
    assert.equal(arp.senderAddress(ARP_REPLY, NETWORK), GATEWAY);
    assert.equal(arp.targetHigh(ARP_REPLY, NETWORK), 0x0200);
    assert.equal(arp.targetLow(ARP_REPLY, NETWORK), 0x0a);
    assert.equal(arp.targetAddress(ARP_REPLY, NETWORK), GUEST);
  });

  it('writes the same bytes', () => {
    const view = empty(28);
    arp.writePacket(view, 0, arp.OPERATION_REQUEST, 0x0200, 0x0a, GUEST, 0, 0, GATEWAY);
    assertSameBytes(view, cut(ARP_REQUEST, NETWORK));
    arp.writePacket(view, 0, arp.OPERATION_REPLY, 0x0200, 0x0b, GATEWAY, 0x0200, 0x0a, GUEST);
    assertSameBytes(view, cut(ARP_REPLY, NETWORK));
  });

  it('refuses every shorter packet, and other types', () => {
    assertNoPrefixPasses(arp.check, cut(ARP_REQUEST, NETWORK), 28);
    for (const at of [1, 2, 4, 5]) {
      const view = empty(28);
      arp.writePacket(view, 0, arp.OPERATION_REQUEST, 0, 0, 0, 0, 0, 0);
      view.setUint8(at, 0x7f);
      assert.equal(arp.check(view, 0, 28), arp.WRONG_TYPE);
    }
  });

  it('holds what was set', () => assertFieldsHold(28, [{ get: arp.operation, set: arp.setOperation, range: UINT16 }]));

  it('never leaves a packet that passed', () =>
    assertNeverLeaves(arp.check, 40, [0, 1, 8, 0, 6, 4], (view) => {
      arp.senderAddress(view, 0);
      arp.targetLow(view, 0);
      arp.targetAddress(view, 0);
    }));
});
