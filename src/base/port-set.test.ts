import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { PORT_MAX, type PortRange, PortSet } from './port-set.ts';

const ALL: PortRange = { first: 0, last: PORT_MAX };

/** Near each other and near the borders of words, so that ranges meet. */
const port = fc.oneof(fc.integer({ min: 0, max: 130 }), fc.integer({ min: 65_400, max: PORT_MAX }));
const range = fc.tuple(port, port).map(([a, b]): PortRange => ({ first: Math.min(a, b), last: Math.max(a, b) }));

describe('PortSet', () => {
  it('has what was put in, and nothing else', () => {
    fc.assert(
      fc.property(fc.array(range, { maxLength: 6 }), range, (ranges, asked) => {
        const set = new PortSet();
        for (const each of ranges) set.add(each);
        const model = (p: number): boolean => ranges.some(({ first, last }) => first <= p && p <= last);
        let lowest: number | undefined;
        for (let p = asked.last; p >= asked.first; p--) {
          assert.equal(set.has(p), model(p));
          if (model(p)) lowest = p;
        }
        assert.equal(set.firstIn(asked), lowest);
        const inside = set.inside(asked);
        const outside = set.outside(asked);
        const pieces = [...inside, ...outside].sort((a, b) => a.first - b.first);
        assert.equal(pieces[0]?.first, asked.first);
        assert.equal(pieces.at(-1)?.last, asked.last);
        for (const [i, piece] of pieces.entries()) if (i > 0) assert.equal(piece.first, pieces[i - 1]!.last + 1);
        for (const { first } of inside) assert.ok(model(first));
        for (const { first } of outside) assert.ok(!model(first));
      }),
      { numRuns: 60 },
    );
  });

  it('holds all ports', () => {
    const set = new PortSet();
    set.add(ALL);
    assert.deepEqual(set.inside(ALL), [ALL]);
    const copy = new PortSet();
    copy.addAll(set);
    assert.deepEqual(copy.outside(ALL), []);
  });
});
