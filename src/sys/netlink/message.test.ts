import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseIpAddress, parseMacAddress } from '../../base/address.ts';
import {
  attributeAddress,
  attributeMac,
  attributeText,
  attributeUint8,
  attributeUint32,
  LITTLE_ENDIAN,
  MESSAGE_HEADER_BYTES,
  nestedAttributes,
  Request,
  readAttributes,
  readMessages,
} from './message.ts';

const skip = LITTLE_ENDIAN ? false : 'the literal is of a little-endian machine';

test('a request has the bytes that "ip link set dev lo mtu 1500" sends', { skip }, () => {
  // strace -e sendmsg ip link set dev lo mtu 1500, its sequence set to 7
  const captured = '28000000 1000 0500 07000000 00000000  00 00 0000 01000000 00000000 00000000  0800 0400 dc050000';
  const request = new Request(16, 4).uint8(0, 0).uint16(0).uint32(1).uint32(0).uint32(0).attributeUint32(4, 1500);
  assert.equal(hex(request.bytes(7)), captured.replaceAll(' ', ''));
});

test('what is written is read again', () => {
  const address4 = parseIpAddress('192.0.2.7')!;
  const address6 = parseIpAddress('2001:db8::7')!;
  const mac = parseMacAddress('02:74:61:70:00:01')!;
  const bytes = new Request(24, 0)
    .attributeUint8(1, 200)
    .attributeText(2, 'eth0')
    .attributeAddress(3, address4)
    .attributeAddress(4, address6)
    .attributeMac(5, mac)
    .nested(6, (outer) => outer.nested(7, (inner) => inner.attributeUint32(8, 0xfffffffe)))
    .bytes(1);
  const [message, ...more] = readMessages(bytes);
  assert.equal(more.length, 0);
  const attributes = readAttributes(message.view, message.at, message.end);
  assert.equal(attributeUint8(attributes, 1), 200);
  assert.equal(attributeText(attributes, 2), 'eth0');
  assert.deepEqual(attributeAddress(attributes, 3), address4);
  assert.deepEqual(attributeAddress(attributes, 4), address6);
  assert.deepEqual(attributeMac(attributes, 5), mac);
  assert.equal(attributeUint32(nestedAttributes(nestedAttributes(attributes, 6), 7), 8), 0xfffffffe);
});

test('an attribute that is absent or too short is undefined', () => {
  const bytes = new Request(24, 0)
    .attribute(1, Uint8Array.of())
    .attribute(2, Uint8Array.of(1, 2, 3))
    .bytes(1);
  const [message] = readMessages(bytes);
  const attributes = readAttributes(message.view, message.at, message.end);
  assert.equal(attributeUint8(attributes, 1), undefined);
  assert.equal(attributeText(attributes, 1), '');
  assert.equal(attributeUint32(attributes, 2), undefined);
  assert.equal(attributeAddress(attributes, 2), undefined);
  assert.equal(attributeMac(attributes, 2), undefined);
  assert.equal(attributeText(attributes, 9), undefined);
  assert.equal(nestedAttributes(attributes, 9).size, 0);
});

test('every shorter prefix of a message is no message', () => {
  const bytes = new Request(24, 0).attributeUint32(1, 5).bytes(1);
  for (let length = 0; length < bytes.length; length++) {
    assert.deepEqual(readMessages(bytes.subarray(0, length)), []);
  }
});

test('random bytes never lead outside of the datagram, and reading ends', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 256 }), fc.nat(64), (bytes, length) => {
      // Half of the runs get a plausible first length, to reach the attributes.
      if (bytes.length > MESSAGE_HEADER_BYTES && length > MESSAGE_HEADER_BYTES) {
        bytes.set([Math.min(length, bytes.length), 0, 0, 0]);
      }
      for (const message of readMessages(bytes)) {
        assert.ok(message.at <= message.end && message.end <= bytes.length);
        for (const payload of readAttributes(message.view, message.at, message.end).values()) {
          assert.ok(payload.byteOffset + payload.byteLength <= bytes.byteOffset + message.end);
        }
      }
    }),
  );
});

test('a request that outgrows its bytes is our bug', () => {
  const request = new Request(24, 0);
  assert.throws(() => request.attribute(1, new Uint8Array(2000)), RangeError);
});

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
