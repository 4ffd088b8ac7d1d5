import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import * as udp from '../wire/udp.ts';
import * as vnet from '../wire/vnet-header.ts';
import { finishChecksum } from './finish-checksum.ts';
import { largeFrames, ORDINARY, putLargeFrame, readFrame, twoArenas } from './large-frame-fixture.test.ts';
import { Packets, VNET_HEADER_BYTES } from './packets.ts';

describe('finishChecksum', () => {
  it('completes what a guest left to its device', () => {
    fc.assert(
      fc.property(largeFrames, (frame) => {
        const { packets } = twoArenas();
        const packet = putLargeFrame(packets, { ...frame, isPartial: true, paddingBytes: 0 });
        const start = packets.start[packet];
        const header = start - VNET_HEADER_BYTES;
        vnet.setGso(packets.view, header, vnet.GSO_NONE, 0, 0);
        const before = packets.bytes.slice(start, packets.end[packet]);
        assert.ok(finishChecksum(packets, packet));
        const after = packets.bytes.slice(start, packets.end[packet]);
        assert.ok(readFrame(after).isValid);
        assert.deepEqual(readFrame(after).payload, readFrame(before).payload);
        assert.deepEqual(packets.bytes.slice(header, start), new Uint8Array(VNET_HEADER_BYTES));
      }),
    );
  });

  it('writes 0 as 0xffff', () => {
    const { packets } = twoArenas();
    const payload = new Uint8Array(4);
    const udpFrame = { ...ORDINARY, isTcp: false, payload, isPartial: true };
    const once = putLargeFrame(packets, udpFrame);
    vnet.setGso(packets.view, packets.start[once] - VNET_HEADER_BYTES, vnet.GSO_NONE, 0, 0);
    finishChecksum(packets, once);
    const field = 14 + 20 + udp.CHECKSUM_OFFSET;
    payload.set(packets.bytes.subarray(packets.start[once] + field, packets.start[once] + field + 2));
    const again = putLargeFrame(packets, udpFrame);
    vnet.setGso(packets.view, packets.start[again] - VNET_HEADER_BYTES, vnet.GSO_NONE, 0, 0);
    assert.ok(finishChecksum(packets, again));
    assert.equal(packets.view.getUint16(packets.start[again] + field), 0xffff);
    assert.ok(readFrame(packets.bytes.slice(packets.start[again], packets.end[again])).isValid);
  });

  it('changes nothing where the claims do not fit, and nothing outside the frame ever', () => {
    fc.assert(
      fc.property(fc.nat({ max: 200 }), fc.nat({ max: 0xffff }), fc.nat({ max: 0xffff }), (length, start, offset) => {
        const packets = new Packets(4096, 8);
        packets.bytes.fill(0x55);
        packets.allocate(3);
        const packet = packets.allocate(length);
        const at = packets.start[packet];
        vnet.setChecksum(packets.view, at - VNET_HEADER_BYTES, start % 300, offset % 300);
        const before = packets.bytes.slice();
        const fits = start % 300 >= 14 && (start % 300) + (offset % 300) + 2 <= length;
        assert.equal(finishChecksum(packets, packet), fits);
        if (!fits) assert.deepEqual(packets.bytes, before);
        assert.deepEqual(packets.bytes.subarray(0, at - VNET_HEADER_BYTES), before.subarray(0, at - VNET_HEADER_BYTES));
        assert.deepEqual(packets.bytes.subarray(at + length), before.subarray(at + length));
      }),
    );
  });
});
