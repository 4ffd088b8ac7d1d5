import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { NETWORK, SYN_IPV6, viewOf } from './captured.test.ts';
import * as checksum from './checksum.ts';

describe('checksum', () => {
  it('sums the example of RFC 1071, section 3', () => {
    const view = viewOf(Uint8Array.of(0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7));
    assert.equal(checksum.sum(view, 0, 8, 0), 0xddf2);
    assert.equal(checksum.finish(0xddf2), 0x220d);
  });

  it('sums as the definition does, of any length and at any place', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 200 }),
        fc.nat({ max: 7 }),
        fc.nat({ max: 0xffff }),
        (bytes, skip, initial) => {
          const at = Math.min(skip, bytes.length);
          assert.equal(
            checksum.sum(viewOf(bytes), at, bytes.length - at, initial),
            byDefinition(bytes.subarray(at), initial),
          );
        },
      ),
    );
  });

  it('does not overflow on the largest packet of the largest words', () => {
    const bytes = new Uint8Array(65_535).fill(0xff);
    assert.equal(checksum.sum(viewOf(bytes), 0, bytes.length, 0xffff), byDefinition(bytes, 0xffff));
  });

  it('is 0 only for nothing but zeros', () => {
    assert.equal(checksum.sum(viewOf(new Uint8Array(40)), 0, 40, 0), 0);
    assert.equal(checksum.sum(viewOf(new Uint8Array(40).fill(0xff)), 0, 40, 0), 0xffff);
  });

  it('sums pieces of even length one after another', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat({ max: 50 }), (bytes, half) => {
        const first = Math.min(half * 2, bytes.length & ~1);
        const view = viewOf(bytes);
        const parts = checksum.sum(view, first, bytes.length - first, checksum.sum(view, 0, first, 0));
        assert.equal(parts, checksum.sum(view, 0, bytes.length, 0));
      }),
    );
  });

  it('updates a checksum to what summing all again gives', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 20, maxLength: 20 }),
        fc.nat({ max: 9 }),
        fc.nat({ max: 0xffff }),
        fc.integer(),
        (bytes, word, short, long) => {
          // A header of nothing but zeros does not exist, and is the one case where the two differ.
          bytes[0] = 0x45;
          const view = viewOf(bytes);
          const before = wholeChecksum(view);
          const at = Math.max(word * 2, 2);
          const updated = checksum.update16(before, view.getUint16(at), short);
          view.setUint16(at, short);
          assert.equal(updated, wholeChecksum(view));

          const longAt = Math.min(at, 16);
          const again = checksum.update32(updated, view.getInt32(longAt), long);
          view.setInt32(longAt, long);
          assert.equal(again, wholeChecksum(view));
        },
      ),
    );
  });

  it('completes a partial checksum to the whole one', () => {
    const whole = viewOf(new Uint8Array(SYN_IPV6.buffer));
    const transport = NETWORK + 40;
    const field = transport + 16;
    const captured = whole.getUint16(field);
    checksum.writePartial(whole, NETWORK, transport, whole.byteLength, 6, field);
    // What a device does: it sums all from the transport header on, the field included.
    const completed = checksum.finish(checksum.sum(whole, transport, whole.byteLength - transport, 0));
    assert.equal(completed, captured);
    checksum.writeTransport(whole, NETWORK, transport, whole.byteLength, 6, field);
    assert.equal(whole.getUint16(field), captured);
    assert.equal(checksum.verifyTransport(whole, NETWORK, transport, whole.byteLength, 6), true);
    whole.setUint8(transport, whole.getUint8(transport) ^ 1);
    assert.equal(checksum.verifyTransport(whole, NETWORK, transport, whole.byteLength, 6), false);
  });
});

function wholeChecksum(view: DataView): number {
  return checksum.finish(checksum.sum(view, 0, view.byteLength, 0));
}

function byDefinition(bytes: Uint8Array, initial: number): number {
  let total = initial;
  for (let i = 0; i < bytes.length; i += 2) {
    total += (bytes[i] << 8) | (i + 1 < bytes.length ? bytes[i + 1] : 0);
    if (total > 0xffff) total -= 0xffff;
  }
  return total;
}
