import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LENT_PIECES_MAX } from '../base/limits.ts';
import { Packets } from '../packet/packets.ts';
import { SimulatedSys } from '../sys/simulated.ts';
import { isSegment, LENT_FRAME_BYTES_MIN, LENT_HEAD_BYTES, LentPayload } from './lent-payload.ts';

const HEADERS: readonly (readonly [string, boolean, readonly number[]])[] = [
  ['TCP over IPv4', true, ipv4(5, 6, 0, 5)],
  ['with all options that there can be', true, ipv4(15, 6, 0, 15)],
  ['with DF', true, ipv4(5, 6, 0x4000, 5)],
  ['UDP over IPv4', false, ipv4(5, 17, 0, 5)],
  ['a first fragment', false, ipv4(5, 6, 0x2000, 5)],
  ['a last fragment', false, ipv4(5, 6, 1, 5)],
  ['TCP over IPv6', true, ipv6(6, 5)],
  ['with all TCP options', true, ipv6(6, 15)],
  ['UDP over IPv6', false, ipv6(17, 5)],
  ['behind an extension header', false, ipv6(0, 5)],
  ['ARP', false, [0x08, 0x06]],
];

function ipv4(words: number, protocol: number, fragment: number, tcpWords: number): number[] {
  const header = [0x40 | words, 0, 0x40, 0, 0, 0, fragment >> 8, fragment & 0xff, 64, protocol];
  return [0x08, 0x00, ...header, ...Array(words * 4 - 10 + 12).fill(0), tcpWords << 4];
}

function ipv6(next: number, tcpWords: number): number[] {
  return [0x86, 0xdd, 0x60, 0, 0, 0, 0x40, 0, next, 64, ...Array(32 + 12).fill(0), tcpWords << 4];
}

describe('isSegment', () => {
  for (const [name, is, header] of HEADERS) {
    it(`is ${is} for ${name}`, () => {
      const view = new DataView(new ArrayBuffer(LENT_HEAD_BYTES));
      for (const [i, byte] of header.entries()) view.setUint8(12 + i, byte);
      assert.equal(isSegment(view, 0), is);
    });
  }

  it('reads no further than the bytes that are copied', () => {
    const view = new DataView(new ArrayBuffer(LENT_HEAD_BYTES));
    for (let byte = 0; byte < 256; byte++) {
      new Uint8Array(view.buffer).fill(byte);
      for (const type of [0x0800, 0x86dd]) {
        view.setUint16(12, type);
        isSegment(view, 0);
      }
    }
  });
});

describe('LentPayload', () => {
  function lentPayload(): LentPayload {
    return new LentPayload(
      new SimulatedSys(),
      0,
      () => 0,
      () => {},
    );
  }

  it('lends what is large, to packets that nobody else has lent to', () => {
    const packets = new Packets();
    const lent = lentPayload();
    assert.ok(lent.canLend(packets, LENT_FRAME_BYTES_MIN, LENT_PIECES_MAX));
    assert.ok(!lent.canLend(packets, LENT_FRAME_BYTES_MIN, LENT_PIECES_MAX + 1));
    assert.ok(!lent.canLend(packets, LENT_FRAME_BYTES_MIN - 1, 1));
    packets.lender = lentPayload();
    assert.ok(!lent.canLend(packets, LENT_FRAME_BYTES_MIN, 1));
    packets.reset();
    assert.ok(lent.canLend(packets, LENT_FRAME_BYTES_MIN, 1));
  });
});
