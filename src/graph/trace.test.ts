import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { TRACE_HOPS_MAX, TRACE_PACKETS_MAX, TRACE_TEXT_BYTES_MAX } from '../base/limits.ts';
import { Packets } from '../packet/packets.ts';
import { drop } from './drop.ts';
import { type Feature, Graph } from './graph.ts';
import { ARC_DONE, ARC_DROP, ARC_NEXT, type Clock, FRAME_PACKETS_MAX, type GraphNode } from './node.ts';
import { REASON } from './reasons.ts';
import type { TraceRecord } from './trace.ts';

type Decide = (packet: number, packets: Packets) => number;

function node(name: string, next: readonly string[], decide: Decide, text?: (packet: number) => string): GraphNode {
  return {
    name,
    next,
    process(packets, frame, count, arcs): void {
      for (let i = 0; i < count; i++) arcs[i] = decide(frame[i], packets);
    },
    ...(text === undefined ? {} : { describe: (_packets, packet): string => text(packet) }),
  };
}

/** Moves on by 10 us each time that it is read. */
function ticking(): Clock {
  let us = 1_000_000;
  return {
    nowUs: () => {
      us += 10;
      return us;
    },
  };
}

/** input sorts even packets to left and odd ones to right; left drops packet 0; both lead to output. */
function sorting(features: readonly Feature[] = [], extra: readonly GraphNode[] = []): Graph {
  return new Graph(
    [
      node(
        'input',
        ['left', 'right'],
        (packet) => ARC_NEXT + (packet & 1),
        (packet) => `in ${packet}`,
      ),
      node('left', ['output'], (packet, packets) => (packet === 0 ? drop(packets, 0, REASON.multicast) : ARC_NEXT)),
      node('right', ['output'], () => ARC_NEXT),
      ...extra,
      node(
        'output',
        [],
        () => ARC_DONE,
        (packet) => `out ${packet}`,
      ),
    ],
    features,
    ticking(),
  );
}

function send(graph: Graph, count: number, entry: string = 'input'): void {
  const packets = new Packets(1 << 20, FRAME_PACKETS_MAX);
  const frame = Int32Array.from({ length: count }, () => packets.allocate(64));
  graph.run(graph.indexOf(entry), packets, frame, count);
}

/** A record's nodes and decisions: `input > left`, `left ! multicast`, `output .`. */
function way({ hops }: TraceRecord): string[] {
  return hops.map(({ node: name, decision }) => {
    if (decision.kind === 'next') return `${name} > ${decision.node}`;
    return decision.kind === 'drop' ? `${name} ! ${decision.reason}` : `${name} .`;
  });
}

function ways(graph: Graph): string[][] {
  return graph.trace.records().map(way);
}

describe('the trace', () => {
  it('records the way of the next packets that enter a node, and of no more', () => {
    const graph = sorting();
    assert.equal(graph.trace.active, false);
    assert.deepEqual(graph.trace.add('input', 3), { ok: true, value: { node: 'input', count: 3 } });
    send(graph, 2);
    assert.deepEqual(graph.trace.awaited(), [{ node: 'input', count: 1 }]);
    assert.equal(graph.trace.active, true);
    send(graph, 4);
    assert.deepEqual(ways(graph), [
      ['input > left', 'left ! multicast'],
      ['input > right', 'right > output', 'output .'],
      ['input > left', 'left ! multicast'],
    ]);
    assert.deepEqual(graph.trace.awaited(), []);
    assert.equal(graph.trace.active, false);
    send(graph, 4);
    assert.equal(graph.trace.records().length, 3);
  });

  it('has the time of each visit, and the line of the node or else of the packet', () => {
    const graph = sorting();
    graph.trace.add('input', 2);
    send(graph, 2);
    const [dropped, done] = graph.trace.records();
    const { number, rxInterface, frameBytes, hopsLeftOut } = done;
    assert.deepEqual(
      { number, rxInterface, frameBytes, hopsLeftOut },
      {
        number: 2,
        rxInterface: -1,
        frameBytes: 64,
        hopsLeftOut: 0,
      },
    );
    const zeros = '00:00:00:00:00:00';
    const line = `ethernet ${zeros} > ${zeros}: type 0x0000 len 50`;
    assert.deepEqual(
      [...dropped.hops, ...done.hops].map(({ atUs, text }) => [atUs, text]),
      [
        [1_000_010, 'in 0'],
        [1_000_020, line],
        [1_000_010, 'in 1'],
        [1_000_030, line],
        [1_000_040, 'out 1'],
      ],
    );
  });

  it('begins wherever it is asked to', () => {
    const graph = sorting();
    graph.trace.add('right', 1);
    send(graph, 6);
    assert.deepEqual(ways(graph), [['right > output', 'output .']]);
  });

  it('watches several nodes at once, and counts a packet once', () => {
    const graph = sorting();
    graph.trace.add('input', 2);
    graph.trace.add('output', 2);
    graph.trace.add('left', 1);
    assert.deepEqual(graph.trace.awaited(), [
      { node: 'input', count: 2 },
      { node: 'left', count: 1 },
      { node: 'output', count: 2 },
    ]);
    send(graph, 8);
    // Packets 0 and 1 at input, 2 at left, and at output the first that are not known yet: 4 and 6.
    assert.deepEqual(ways(graph), [
      ['input > left', 'left ! multicast'],
      ['input > right', 'right > output', 'output .'],
      ['left > output', 'output .'],
      ['output .'],
      ['output .'],
    ]);
    assert.deepEqual(
      graph.trace.records().map(({ hops }) => hops[hops.length - 1].text.slice(0, 5)),
      ['ether', 'out 1', 'out 2', 'out 4', 'out 6'],
    );
  });

  it('adds up what is asked for one node, each with its filter', () => {
    const graph = sorting();
    graph.trace.add('input', 1, (_packets, packet) => packet === 5);
    assert.deepEqual(
      graph.trace.add('input', 2, (packets) => packets.length[0] === 64),
      {
        ok: true,
        value: { node: 'input', count: 3 },
      },
    );
    graph.trace.add('input', 1, () => false);
    send(graph, 8);
    assert.deepEqual(
      graph.trace.records().map(({ hops }) => hops[0].text),
      ['in 0', 'in 1', 'in 5'],
    );
    assert.deepEqual(graph.trace.awaited(), [{ node: 'input', count: 1 }]);
  });

  it('names the features that stand on the way', () => {
    const feature = node('feature', ['output'], () => ARC_NEXT);
    const graph = sorting([{ before: 'output', node: 'feature' }], [feature]);
    graph.trace.add('right', 1);
    send(graph, 2);
    assert.deepEqual(ways(graph), [['right > feature', 'feature > output', 'output .']]);
  });

  it('follows a packet that visits a node twice, in one record', () => {
    let visits = 0;
    const graph = new Graph([
      node('first', ['second'], () => (visits++ < 2 ? ARC_NEXT : ARC_DONE)),
      node('second', ['first'], () => ARC_NEXT),
    ]);
    graph.trace.add('first', 2);
    send(graph, 1, 'first');
    assert.deepEqual(ways(graph), [
      ['first > second', 'second > first', 'first > second', 'second > first', 'first .'],
    ]);
    assert.deepEqual(graph.trace.awaited(), [{ node: 'first', count: 1 }]);
  });

  it('follows what a node puts in the place of a packet, also when it exchanges two', () => {
    const exchange: GraphNode = {
      name: 'exchange',
      next: ['end'],
      process(_packets, frame, count, arcs): void {
        frame.subarray(0, count).reverse();
        arcs.fill(ARC_NEXT, 0, count);
      },
    };
    const end = node(
      'end',
      [],
      (packet, packets) => (packet === 1 ? drop(packets, packet, REASON.broadcast) : ARC_DONE),
      String,
    );
    const graph = new Graph([exchange, end]);
    graph.trace.add('exchange', 3);
    send(graph, 3, 'exchange');
    assert.deepEqual(ways(graph), [
      ['exchange > end', 'end .'],
      ['exchange > end', 'end ! broadcast'],
      ['exchange > end', 'end .'],
    ]);
    assert.deepEqual(
      graph.trace.records().map(({ hops }) => hops[1].text),
      ['2', '1', '0'],
    );
  });

  it('takes a later turn with the same numbers for other packets', () => {
    const graph = sorting();
    graph.trace.add('right', 1);
    send(graph, 2);
    graph.trace.add('output', 1, (_packets, packet) => packet === 2);
    send(graph, 2);
    assert.deepEqual(ways(graph), [['right > output', 'output .']]);
  });

  it('forgets all that it has and was asked for when cleared', () => {
    const graph = sorting();
    graph.trace.add('input', 5);
    send(graph, 2);
    const before = graph.trace.records();
    graph.trace.clear();
    assert.equal(before.length, 2);
    assert.deepEqual([graph.trace.records(), graph.trace.awaited(), graph.trace.active], [[], [], false]);
    send(graph, 2);
    assert.deepEqual(graph.trace.records(), []);
    graph.trace.add('input', 1);
    send(graph, 2);
    assert.deepEqual(
      graph.trace.records().map(({ number }) => number),
      [1],
    );
  });

  it('gives values away, not its own', () => {
    const graph = sorting();
    graph.trace.add('input', 1);
    send(graph, 1);
    (graph.trace.records()[0].hops as unknown[]).length = 0;
    assert.equal(graph.trace.records()[0].hops.length, 2);
  });

  it('says what is wrong with a request', () => {
    const graph = sorting();
    const code = (name: string, count: number): string => {
      const result = graph.trace.add(name, count);
      return result.ok ? 'ok' : `${result.failure.code}: ${result.failure.message}`;
    };
    assert.equal(
      code('inptu', 1),
      'trace-node-unknown: there is no node "inptu"; there are input, left, right, output',
    );
    for (const count of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      assert.match(code('input', count), /^trace-count-invalid: .* use a whole number from 1 on$/);
    }
    assert.equal(graph.trace.active, false);
  });

  it('keeps a bounded number of packets, awaited ones counted', () => {
    const graph = sorting();
    assert.equal(graph.trace.add('input', TRACE_PACKETS_MAX + 1).ok, false);
    assert.equal(graph.trace.add('input', TRACE_PACKETS_MAX).ok, true);
    const full = graph.trace.add('left', 1);
    assert.equal(full.ok, false);
    assert.equal(!full.ok && full.failure.code, 'trace-full');
    for (let sent = 0; sent < TRACE_PACKETS_MAX + FRAME_PACKETS_MAX; sent += FRAME_PACKETS_MAX) {
      send(graph, FRAME_PACKETS_MAX);
    }
    assert.equal(graph.trace.records().length, TRACE_PACKETS_MAX);
    assert.equal(graph.trace.add('input', 1).ok, false);
    graph.trace.clear();
    assert.equal(graph.trace.add('input', 1).ok, true);
  });

  it('keeps a bounded number of visits, and counts the others', () => {
    let left = TRACE_HOPS_MAX + 3;
    const graph = new Graph([node('around', ['around'], () => (--left > 0 ? ARC_NEXT : ARC_DONE))]);
    graph.trace.add('around', 1);
    send(graph, 1, 'around');
    const [record] = graph.trace.records();
    assert.equal(record.hops.length, TRACE_HOPS_MAX);
    assert.equal(record.hopsLeftOut, 3);
    assert.equal(graph.trace.active, false);
  });

  it('keeps a bounded line of printable text, whatever a node says', () => {
    const texts = ['x'.repeat(TRACE_TEXT_BYTES_MAX + 1), 'a\n\u001b[2J\u0000b\u007f\u00e9'];
    const graph = new Graph([
      node(
        'odd',
        [],
        () => ARC_DONE,
        (packet) => texts[packet],
      ),
    ]);
    graph.trace.add('odd', 2);
    send(graph, 2, 'odd');
    assert.deepEqual(
      graph.trace.records().map(({ hops }) => hops[0].text),
      ['x'.repeat(TRACE_TEXT_BYTES_MAX), 'a??[2J?b??'],
    );
  });

  it('records exactly the way that each packet goes, whatever the nodes decide', () => {
    const arc = fc.integer({ min: ARC_DROP, max: ARC_NEXT + 2 });
    const decisions = fc.array(fc.array(arc, { minLength: 8, maxLength: 8 }), { minLength: 4, maxLength: 4 });
    fc.assert(
      fc.property(decisions, fc.integer({ min: 0, max: 16 }), fc.nat({ max: 12 }), (table, count, asked) => {
        const went: string[][] = Array.from({ length: count }, () => []);
        const names = ['n0', 'n1', 'n2', 'n3'];
        const graph = new Graph(
          names.map((name, at) =>
            node(name, [names[(at + 1) % 4], names[(at + 2) % 4], names[(at + 3) % 4]], (packet, packets) => {
              const decided = went[packet].length < 10 ? table[at][packet % 8] : ARC_DONE;
              packets.reason[packet] = REASON.multicast;
              const to = decided >= ARC_NEXT ? `> n${(at + decided - 1) % 4}` : ['! multicast', '.'][decided];
              went[packet].push(`${name} ${to}`);
              return decided;
            }),
          ),
        );
        if (asked > 0) graph.trace.add('n0', asked);
        send(graph, count, 'n0');
        assert.deepEqual(ways(graph), went.slice(0, asked));
        assert.equal(graph.trace.active, asked > count);
      }),
      { numRuns: 100 },
    );
  });
});
