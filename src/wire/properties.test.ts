/** Properties that every header of this folder has. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { type Check, viewOf } from './captured.test.ts';

export interface Field {
  readonly get: (view: DataView, at: number) => number;
  readonly set: (view: DataView, at: number, value: number) => void;
  /** Values that it can have, both included. */
  readonly range: readonly [number, number];
  /** It counts in units of so many; 1 where nothing is said. */
  readonly unit?: number;
}

export const BYTE: readonly [number, number] = [0, 0xff];
export const UINT16: readonly [number, number] = [0, 0xffff];
export const INT32: readonly [number, number] = [-0x8000_0000, 0x7fff_ffff];

/** A field holds what was set, whatever stood there, and setting it changes no other field. */
export function assertFieldsHold(headerBytes: number, fields: readonly Field[]): void {
  const at = 3;
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: at + headerBytes, maxLength: at + headerBytes }),
      fc.nat({ max: fields.length - 1 }),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      (background, chosen, fraction) => {
        const view = viewOf(background);
        const { set, range, unit = 1 } = fields[chosen];
        const value = range[0] + Math.floor((fraction * (range[1] - range[0] + 1)) / unit) * unit;
        const expected = fields.map((field, i) => (i === chosen ? value : field.get(view, at)));
        set(view, at, value);
        assert.deepEqual(
          fields.map((field) => field.get(view, at)),
          expected,
        );
        assert.deepEqual([...new Uint8Array(view.buffer, 0, at)], [...background.subarray(0, at)]);
      },
    ),
  );
}

/**
 * Where `check` passes random bytes, `read` stays within them: a DataView that ends with them throws otherwise. `start` are bytes that make it
 * likelier that `check` passes.
 */
export function assertNeverLeaves(
  check: Check,
  bytesMax: number,
  start: readonly number[],
  read: (view: DataView, end: number, headerBytes: number) => void,
): void {
  let passed = 0;
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: bytesMax, size: 'max' }), fc.boolean(), (bytes, isLikely) => {
      if (isLikely) bytes.set(start.slice(0, bytes.length));
      const view = viewOf(bytes);
      const headerBytes = check(view, 0, bytes.length);
      if (headerBytes < 0) return;
      passed++;
      assert.ok(headerBytes <= bytes.length);
      read(view, bytes.length, headerBytes);
    }),
    { numRuns: 2000 },
  );
  assert.ok(passed > 0, 'check never passed, so nothing was tested');
}
