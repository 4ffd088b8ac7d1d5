import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { NO_OFFLOAD } from '../packet/offload.ts';
import { Packets } from '../packet/packets.ts';
import { CaptureLink, type CaptureSink } from './capture.ts';
import type { Link } from './link.ts';

/** Receives `arriving` frames, and takes at most `room` of those sent. */
function fakeLink(arriving: number, room: number): Link {
  return {
    name: 'fake',
    offload: NO_OFFLOAD,
    receive(packets, frame, framesMax) {
      for (let i = 0; i < Math.min(arriving, framesMax); i++) frame[i] = packets.allocate(60);
      return arriving < 0 ? arriving : Math.min(arriving, framesMax);
    },
    transmit: (_packets, _frame, count) => Math.min(room, count),
    close() {},
  };
}

function recorder(): CaptureSink & { readonly seen: string[] } {
  const seen: string[] = [];
  return {
    seen,
    received: (_packets, packet) => seen.push(`in ${packet}`),
    transmitted: (_packets, packet) => seen.push(`out ${packet}`),
    turnEnded: () => seen.push('turn'),
  };
}

describe('CaptureLink', () => {
  it('shows frames in order, and only those that were taken', () => {
    const sink = recorder();
    const link = new CaptureLink(fakeLink(2, 1), sink);
    const packets = new Packets(65_536, 16);
    const frame = new Int32Array(8);
    assert.equal(link.receive(packets, frame, 8), 2);
    assert.equal(link.transmit(packets, frame, 2), 1);
    link.turnEnded(packets);
    assert.deepEqual(sink.seen, ['in 0', 'in 1', 'out 0', 'turn']);
  });

  it('passes errors on and shows nothing then', () => {
    const sink = recorder();
    const link = new CaptureLink(fakeLink(-5, -5), sink);
    const packets = new Packets(65_536, 16);
    assert.equal(link.receive(packets, new Int32Array(8), 8), -5);
    assert.equal(link.transmit(packets, new Int32Array(8), 1), -5);
    assert.deepEqual(sink.seen, []);
  });

  it('is the link that it is around in name and offloads', () => {
    const inner = fakeLink(0, 0);
    const link = new CaptureLink(inner, recorder());
    assert.equal(link.name, inner.name);
    assert.equal(link.offload, inner.offload);
  });
});
