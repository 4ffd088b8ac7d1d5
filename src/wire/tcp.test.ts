import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  assertNoPrefixPasses,
  assertSameBytes,
  cut,
  empty,
  frame,
  NETWORK,
  RST_IPV4,
  SYN_IPV4,
  SYN_IPV6,
  viewOf,
} from './captured.test.ts';
import { assertFieldsHold, assertNeverLeaves, BYTE, INT32, UINT16 } from './properties.test.ts';
import * as tcp from './tcp.ts';

const AT_IPV4 = NETWORK + 20;
const AT_IPV6 = NETWORK + 40;

describe('tcp', () => {
  it('reads a captured SYN', () => {
    assert.equal(tcp.check(SYN_IPV4, AT_IPV4, SYN_IPV4.byteLength), 40);
    assert.equal(tcp.sourcePort(SYN_IPV4, AT_IPV4), 0x8f56);
    assert.equal(tcp.destinationPort(SYN_IPV4, AT_IPV4), 80);
    assert.equal(tcp.sequence(SYN_IPV4, AT_IPV4), 0xa836877c | 0);
    assert.equal(tcp.acknowledgment(SYN_IPV4, AT_IPV4), 0);
    assert.equal(tcp.flags(SYN_IPV4, AT_IPV4), tcp.SYN);
    assert.equal(tcp.window(SYN_IPV4, AT_IPV4), 64_240);
    assert.equal(tcp.checksum(SYN_IPV4, AT_IPV4), 0xe9ce);
    assert.equal(tcp.urgent(SYN_IPV4, AT_IPV4), 0);
    assert.deepEqual(optionsOf(cut(SYN_IPV4, AT_IPV4)), [1460, 10, 1, 1, 0x6b76205d, 0, -1, 0]);
  });

  it('finds the checksums of captured segments right, and any other wrong', () => {
    for (const [view, at] of [
      [SYN_IPV4, AT_IPV4],
      [RST_IPV4, AT_IPV4],
      [SYN_IPV6, AT_IPV6],
    ] as const) {
      assert.equal(tcp.verifyChecksum(view, NETWORK, at, view.byteLength), true);
      const copy = viewOf(new Uint8Array(view.buffer));
      tcp.setWindow(copy, at, 1);
      assert.equal(tcp.verifyChecksum(copy, NETWORK, at, copy.byteLength), false);
      tcp.writeChecksum(copy, NETWORK, at, copy.byteLength);
      assert.equal(tcp.verifyChecksum(copy, NETWORK, at, copy.byteLength), true);
    }
  });

  it('writes the same bytes as a captured RST', () => {
    const view = viewOf(new Uint8Array(RST_IPV4.buffer));
    new Uint8Array(view.buffer).fill(0xee, AT_IPV4);
    assert.equal(tcp.writeHeader(view, AT_IPV4, 80, 0x8f56, 0, 0xa836877d, 20, tcp.RST | tcp.ACK, 0), 20);
    tcp.writeChecksum(view, NETWORK, AT_IPV4, view.byteLength);
    assertSameBytes(view, RST_IPV4);
  });

  it('writes the options of a SYN, with and without a window scale', () => {
    const view = empty(28);
    tcp.setDataOffset(view, 0, 28);
    assert.equal(tcp.writeSynOptions(view, 0, 1460, 7), 8);
    assertSameBytes(cut(view, 20), frame('020405b4 01030307'));
    assert.deepEqual(optionsOf(view).slice(0, 2), [1460, 7]);
    assert.equal(tcp.writeSynOptions(view, 0, 65_495, -1), tcp.synOptionsBytes(-1));
    tcp.setDataOffset(view, 0, 24);
    assert.deepEqual(optionsOf(view).slice(0, 2), [65_495, -1]);
  });

  it('reads SACK blocks', () => {
    const view = withOptions('0101 0512 00000001 00000002 fffffff0 00000000');
    const found = optionsOf(view);
    assert.equal(found[tcp.OPTION_SACK_AT], 24);
    assert.equal(found[tcp.OPTION_SACK_BLOCKS], 2);
    assert.equal(view.getInt32(found[tcp.OPTION_SACK_AT] + 8), -16);
  });

  it('takes a window scale above 14 for 14', () => {
    assert.equal(optionsOf(withOptions('0303ff00'))[tcp.OPTION_WINDOW_SCALE], 14);
  });

  it('keeps what stood in front of a malformed option', () => {
    const found = new Int32Array(tcp.OPTION_WORDS);
    for (const options of ['020405b4 01010102', '020405b4 01010800', '020405b4 01010801', '020405b4 0101080a']) {
      assert.equal(tcp.readOptions(withOptions(options), 0, found), tcp.OPTIONS_INVALID);
      assert.equal(found[tcp.OPTION_MSS], 1460);
    }
  });

  it('skips an option of the wrong size and what follows the end', () => {
    assert.deepEqual(optionsOf(withOptions('0203ff 0402 00 0204')), [-1, -1, 1, 0, 0, 0, -1, 0]);
  });

  it('refuses every shorter header, and an impossible data offset', () => {
    assertNoPrefixPasses(tcp.check, cut(SYN_IPV4, AT_IPV4), 40);
    const view = empty(40);
    tcp.setDataOffset(view, 0, 16);
    assert.equal(tcp.check(view, 0, 40), tcp.DATA_OFFSET_INVALID);
    tcp.setDataOffset(view, 0, 44);
    assert.equal(tcp.check(view, 0, 40), tcp.DATA_OFFSET_INVALID);
  });

  it('holds what was set', () =>
    assertFieldsHold(20, [
      { get: tcp.sourcePort, set: tcp.setSourcePort, range: UINT16 },
      { get: tcp.destinationPort, set: tcp.setDestinationPort, range: UINT16 },
      { get: tcp.sequence, set: tcp.setSequence, range: INT32 },
      { get: tcp.acknowledgment, set: tcp.setAcknowledgment, range: INT32 },
      { get: tcp.dataOffset, set: tcp.setDataOffset, range: [0, 60], unit: 4 },
      { get: tcp.flags, set: tcp.setFlags, range: BYTE },
      { get: tcp.window, set: tcp.setWindow, range: UINT16 },
      { get: tcp.checksum, set: tcp.setChecksum, range: UINT16 },
      { get: tcp.urgent, set: tcp.setUrgent, range: UINT16 },
    ]));

  it('never leaves a header that passed, options included', () => {
    const found = new Int32Array(tcp.OPTION_WORDS);
    assertNeverLeaves(tcp.check, 70, [...new Array<number>(12).fill(0), 0xa0], (view, _end, headerBytes) => {
      tcp.urgent(view, 0);
      const bytes = tcp.readOptions(view, 0, found);
      assert.ok(bytes === tcp.OPTIONS_INVALID || bytes === headerBytes - 20);
      const blocks = found[tcp.OPTION_SACK_AT];
      if (blocks >= 0) assert.ok(blocks + 8 * found[tcp.OPTION_SACK_BLOCKS] <= headerBytes);
    });
  });

  it('never leaves the header, whatever options of known kinds say', () => {
    const option = fc.tuple(fc.constantFrom(0, 1, 2, 3, 4, 5, 8, 30), fc.nat({ max: 20 }), fc.nat({ max: 255 }));
    fc.assert(
      fc.property(fc.array(option, { maxLength: 20 }), (options) => {
        const bytes = options.flat().slice(0, 40);
        const view = empty(20 + ((bytes.length + 3) & ~3));
        tcp.setDataOffset(view, 0, view.byteLength);
        bytes.forEach((byte, i) => {
          view.setUint8(20 + i, byte);
        });
        tcp.readOptions(view, 0, new Int32Array(tcp.OPTION_WORDS));
      }),
    );
  });
});

function optionsOf(view: DataView): number[] {
  const found = new Int32Array(tcp.OPTION_WORDS);
  assert.equal(tcp.readOptions(view, 0, found), tcp.dataOffset(view, 0) - 20);
  return [...found];
}

function withOptions(hex: string): DataView {
  const options = frame(hex);
  const view = empty(20 + ((options.byteLength + 3) & ~3));
  tcp.setDataOffset(view, 0, view.byteLength);
  new Uint8Array(view.buffer).set(new Uint8Array(options.buffer), 20);
  return view;
}
