import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { NO_OFFLOAD } from '../packet/offload.ts';
import { Packets } from '../packet/packets.ts';
import type { CaptureSink } from './capture.ts';
import { CapturePoint } from './capture-point.ts';
import type { Link } from './link.ts';

/** Receives two frames each time, takes one of those that are sent, and says what it was told. */
function fakeLink(told: string[]): Link {
  return {
    name: 'fake',
    offload: NO_OFFLOAD,
    receive(packets, frame) {
      for (let i = 0; i < 2; i++) frame[i] = packets.allocate(60);
      return 2;
    },
    transmit: (_packets, _frame, count) => Math.min(1, count),
    turnEnded: () => told.push('inner: turn'),
    close: () => told.push('inner: close'),
  };
}

function sink(name: string, seen: string[], first: () => void = () => {}): CaptureSink {
  return {
    received(_packets, packet) {
      seen.push(`${name}: in ${packet}`);
      first();
    },
    transmitted: (_packets, packet) => seen.push(`${name}: out ${packet}`),
    turnEnded: () => seen.push(`${name}: turn`),
  };
}

function turn(point: CapturePoint): void {
  const packets = new Packets(65_536, 16);
  const frame = new Int32Array(8);
  assert.equal(point.receive(packets, frame, 8), 2);
  assert.equal(point.transmit(packets, frame, 2), 1);
  point.turnEnded(packets);
}

describe('CapturePoint', () => {
  it('shows frames to those who are there, and nothing when nobody is', () => {
    const seen: string[] = [];
    const point = new CapturePoint(fakeLink(seen));
    turn(point);
    assert.deepEqual(seen.splice(0), ['inner: turn']);
    const [a, b] = [sink('a', seen), sink('b', seen)];
    point.add(a);
    point.add(b);
    point.add(a);
    turn(point);
    const shown = [
      'a: in 0',
      'a: in 1',
      'b: in 0',
      'b: in 1',
      'a: out 0',
      'b: out 0',
      'inner: turn',
      'a: turn',
      'b: turn',
    ];
    assert.deepEqual(seen.splice(0), shown);
    point.remove(a);
    turn(point);
    assert.deepEqual(seen, ['b: in 0', 'b: in 1', 'b: out 0', 'inner: turn', 'b: turn']);
  });

  it('lets a sink leave while it is shown a frame', () => {
    const seen: string[] = [];
    const point = new CapturePoint(fakeLink(seen));
    const leaving = sink('leaving', seen, () => point.remove(leaving));
    point.add(leaving);
    point.add(sink('other', seen));
    turn(point);
    assert.deepEqual(seen.slice(-4), ['other: in 1', 'other: out 0', 'inner: turn', 'other: turn']);
  });

  it('passes errors on and shows nothing then', () => {
    const seen: string[] = [];
    const point = new CapturePoint({ ...fakeLink(seen), receive: () => -5, transmit: () => -5 });
    point.add(sink('a', seen));
    const packets = new Packets(65_536, 16);
    assert.equal(point.receive(packets, new Int32Array(8), 8), -5);
    assert.equal(point.transmit(packets, new Int32Array(8), 1), -5);
    assert.deepEqual(seen, []);
  });

  it('is the link that it is around in all else, with offloads that change', () => {
    const told: string[] = [];
    const inner = { ...fakeLink(told), offload: NO_OFFLOAD };
    const point = new CapturePoint(inner);
    assert.equal(point.name, 'fake');
    assert.equal(point.offload, NO_OFFLOAD);
    inner.offload = { ...NO_OFFLOAD };
    assert.equal(point.offload, inner.offload);
    point.close();
    assert.deepEqual(told, ['inner: close']);
  });
});
