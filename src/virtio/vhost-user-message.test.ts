import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  checkMessage,
  MESSAGE_HEADER_BYTES,
  MESSAGE_PAYLOAD_BYTES_MAX,
  REPLY_BYTES_MAX,
  REQUEST,
  readHeader,
  readLogPlace,
  readMacAddress,
  readNumber,
  readRegion,
  readRegions,
  readRingAddresses,
  readRingDescriptor,
  readRingState,
  writeNumberReply,
  writeRingStateReply,
} from './vhost-user-message.ts';

function viewOf(...words: readonly number[]): DataView {
  return new DataView(Uint32Array.from(words).buffer);
}

/** As QEMU 7.2 sends them. */
const SET_VRING_ADDR = viewOf(9, 1, 40, 1, 0, 0x1000_0000, 0x7f55, 0x1000_2000, 0x7f55, 0x1000_1000, 0x7f55, 0, 0);
const SET_MEM_TABLE = viewOf(5, 9, 40, 1, 0, 0, 0, 0x4000_0000, 0, 0xc000_0000, 0x7f55, 0x8_0000, 0);

function payloadOf(message: DataView): DataView {
  return new DataView(message.buffer, MESSAGE_HEADER_BYTES);
}

describe('vhost-user messages', () => {
  it('are read as they come', () => {
    assert.deepEqual(readHeader(SET_MEM_TABLE), { request: 5, needsReply: true, payloadBytes: 40 });
    assert.deepEqual(readRingAddresses(payloadOf(SET_VRING_ADDR)), {
      index: 1,
      descriptors: 0x7f55_1000_0000,
      used: 0x7f55_1000_2000,
      available: 0x7f55_1000_1000,
      log: -1,
    });
    assert.equal(readRingAddresses(viewOf(1, 1, 0, 0, 0, 0, 0, 0, 0x1000, 2)).log, 0x2_0000_1000);
    assert.deepEqual(readLogPlace(viewOf(0x8000, 0, 0, 1)), { bytes: 0x8000, offset: 0x1_0000_0000 });
    assert.equal(`${readMacAddress(viewOf(0x1200_5452, 0x5634))}`, '52:54:00:12:34:56');
    const region = { guestAddress: 0, bytes: 0x4000_0000, userAddress: 0x7f55_c000_0000, offset: 0x8_0000 };
    assert.deepEqual(readRegions(payloadOf(SET_MEM_TABLE)), [region]);
    assert.deepEqual(readRegion(payloadOf(SET_MEM_TABLE)), region);
    assert.deepEqual(readRingState(viewOf(3, 256)), { index: 3, value: 256 });
    assert.deepEqual(readRingDescriptor(viewOf(0x103, 0)), { index: 3, isNone: true });
    assert.deepEqual(readRingDescriptor(viewOf(1, 0)), { index: 1, isNone: false });
    assert.equal(readNumber(viewOf(1, 2)), 0x2_0000_0001n);
    assert.equal(readRegion(viewOf(0, 0, 0, 0x20_0000, 1, 0, 0, 0, 0, 0)).guestAddress, Number.POSITIVE_INFINITY);
  });

  it('are told from what is none', () => {
    assert.match(String(readHeader(viewOf(1, 0, 0))), /version 0/);
    assert.match(String(readHeader(viewOf(1, 5, 0))), /reply/);
    assert.match(String(readHeader(viewOf(1, 1, MESSAGE_PAYLOAD_BYTES_MAX + 1))), /513 bytes/);
  });

  it('are checked against what their request needs', () => {
    const check = (
      request: number,
      payloadBytes: number,
      descriptors: number,
      payload: DataView = viewOf(0, 0),
    ): string => checkMessage({ request, payloadBytes, needsReply: false }, payload, descriptors);
    assert.equal(check(REQUEST.SET_VRING_ADDR, 40, 0), '');
    assert.equal(check(REQUEST.SET_MEM_TABLE, 40, 1, payloadOf(SET_MEM_TABLE)), '');
    assert.match(check(REQUEST.SET_VRING_ADDR, 39, 0), /39 bytes/);
    assert.match(check(REQUEST.SET_OWNER, 0, 1), /1 descriptors/);
    assert.match(check(REQUEST.ADD_MEM_REG, 40, 0), /0 descriptors/);
    assert.match(check(REQUEST.SET_VRING_KICK, 8, 2), /2 descriptors/);
    assert.match(check(REQUEST.SET_MEM_TABLE, 40, 2, viewOf(2, 0)), /2 regions in 40 bytes/);
    assert.match(check(REQUEST.SET_MEM_TABLE, 300, 2, viewOf(3, 0)), /3 regions with 2 descriptors/);
    assert.match(check(REQUEST.SET_MEM_TABLE, 512, 8, viewOf(9, 0)), /9 regions/);
    assert.match(check(22, 0, 0), /not negotiated/);
  });

  it('are never read beyond their end', () => {
    const readers = new Map<number, (payload: DataView) => unknown>([
      [REQUEST.SET_FEATURES, readNumber],
      [REQUEST.SET_MEM_TABLE, readRegions],
      [REQUEST.SET_VRING_NUM, readRingState],
      [REQUEST.SET_VRING_ADDR, readRingAddresses],
      [REQUEST.SET_VRING_KICK, readRingDescriptor],
      [REQUEST.ADD_MEM_REG, readRegion],
      [REQUEST.REM_MEM_REG, readRegion],
    ]);
    const requests = fc.constantFrom(...readers.keys());
    const sizes = fc.oneof(fc.constantFrom(8, 40, 72, 264), fc.nat(MESSAGE_PAYLOAD_BYTES_MAX));
    const contents = fc.tuple(requests, sizes, fc.nat(9), fc.nat(9), fc.integer());
    fc.assert(
      fc.property(contents, ([request, payloadBytes, descriptors, first, seed]) => {
        const payload = new DataView(new Uint8Array(payloadBytes).fill(seed).buffer);
        if (payloadBytes >= 4) payload.setUint32(0, first, true);
        if (checkMessage({ request, payloadBytes, needsReply: false }, payload, descriptors) === '') {
          readers.get(request)!(payload);
        }
      }),
    );
  });

  it('are answered in their form', () => {
    const view = new DataView(new ArrayBuffer(REPLY_BYTES_MAX));
    assert.equal(writeNumberReply(view, 15, 0x1_0000_0002n), 20);
    assert.deepEqual([...new Uint32Array(view.buffer)], [15, 5, 8, 2, 1]);
    assert.equal(writeRingStateReply(view, 11, { index: 1, value: 77 }), 20);
    assert.deepEqual([...new Uint32Array(view.buffer)], [11, 5, 8, 1, 77]);
  });
});
