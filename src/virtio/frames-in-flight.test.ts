import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { FramesInFlight } from './frames-in-flight.ts';

const AT = 64;
const BYTES = 1024;

describe('the room for frames in flight', () => {
  it('never gives out a byte twice, and all of it again when all came back', () => {
    const step = fc.record({ bytes: fc.integer({ min: 1, max: 400 }), release: fc.nat(3), pick: fc.nat(7) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const room = new FramesInFlight(AT, BYTES, 8);
        const free = [0, 1, 2, 3, 4, 5, 6, 7];
        const out: { id: number; at: number; bytes: number }[] = [];
        for (const { bytes, release, pick } of steps) {
          const at = room.place(bytes);
          if (at >= 0) {
            assert.ok(at % 4 === 0 && at >= AT && at + bytes <= AT + BYTES);
            for (const other of out) assert.ok(at + bytes <= other.at || other.at + other.bytes <= at);
            const id = free.splice(pick % free.length, 1)[0]!;
            room.hold(id, at, bytes);
            out.push({ id, at, bytes });
          }
          for (let i = 0; i < release && out.length > 0; i++) {
            const { id } = out.splice(pick % out.length, 1)[0]!;
            room.release(id);
            free.push(id);
          }
        }
        for (const { id } of out) room.release(id);
        assert.equal(room.place(BYTES), AT);
      }),
    );
  });

  it('gives nothing where there is no room in one piece', () => {
    const room = new FramesInFlight(0, 100, 4);
    room.hold(0, room.place(40), 40);
    room.hold(1, room.place(40), 40);
    assert.equal(room.place(40), -1);
    room.release(0);
    assert.equal(room.place(36), 0, 'at the start again');
    assert.equal(room.place(40), -1, 'which would look as if nothing were out');
    assert.equal(room.place(20), 80);
  });
});
