import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { TraceRecord } from '../graph/trace.ts';
import { traceViews } from './trace-views.ts';

const RECORD = {
  number: 1,
  rxInterface: 0,
  frameBytes: 98,
  hops: [
    { node: 'ip4-rewrite', atUs: 1, text: 'adjacency 9 to 10.0.1.2 on interface 1', decision: { kind: 'done' } },
    {
      node: 'bridge-input',
      atUs: 2,
      text: 'bridge 0 interface 0: a > b, behind interface 1',
      decision: { kind: 'done' },
    },
    { node: 'ip4-rewrite', atUs: 3, text: 'adjacency 9 to 10.0.1.2 on interface 7', decision: { kind: 'done' } },
  ],
  hopsLeftOut: 0,
} as unknown as TraceRecord;

describe('a traced packet as it is told', () => {
  it('names interfaces that are there, and numbers others', () => {
    const [view] = traceViews([RECORD], (index) => ['tap0', 'tap1'][index]);
    assert.equal(view?.interface, 'tap0');
    assert.deepEqual(
      view?.hops.map(({ text }) => text),
      [
        'adjacency 9 to 10.0.1.2 on tap1',
        'bridge 0 tap0: a > b, behind tap1',
        'adjacency 9 to 10.0.1.2 on interface 7',
      ],
    );
  });

  it('says that the interface that a packet came from has gone', () => {
    assert.equal(traceViews([RECORD], () => undefined)[0]?.interface, 'interface 0, which has gone');
  });
});
