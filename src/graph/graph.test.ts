import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Packets } from '../packet/packets.ts';
import { drop } from './drop.ts';
import { Graph } from './graph.ts';
import { ARC_DONE, ARC_DROP, ARC_NEXT, FRAME_PACKETS_MAX, type GraphNode } from './node.ts';
import { REASON, REASON_NAMES } from './reasons.ts';

/** A node that decides by `decide`, and notes the frames that it saw. */
function node(
  name: string,
  next: readonly string[],
  decide: (packet: number, packets: Packets) => number,
): GraphNode & { readonly frames: number[][] } {
  const frames: number[][] = [];
  return {
    name,
    next,
    frames,
    process(packets, frame, count, arcs): void {
      frames.push([...frame.subarray(0, count)]);
      for (let i = 0; i < count; i++) arcs[i] = decide(frame[i], packets);
    },
  };
}

function packetsOf(count: number): { packets: Packets; frame: Int32Array } {
  const packets = new Packets(1 << 20, FRAME_PACKETS_MAX);
  const frame = Int32Array.from({ length: count }, () => packets.allocate(64));
  return { packets, frame };
}

describe('the graph', () => {
  it('moves packets by arcs, each frame in one call and in order', () => {
    const first = node('first', ['odd', 'even'], (packet) => ARC_NEXT + (packet % 2 === 0 ? 1 : 0));
    const odd = node('odd', [], () => ARC_DONE);
    const even = node('even', [], () => ARC_DONE);
    const graph = new Graph([first, odd, even]);
    const { packets, frame } = packetsOf(6);
    graph.run(graph.indexOf('first'), packets, frame, 6);
    assert.deepEqual([first.frames, odd.frames, even.frames], [[[0, 1, 2, 3, 4, 5]], [[1, 3, 5]], [[0, 2, 4]]]);
    graph.run(graph.indexOf('even'), packets, frame, 1);
    assert.deepEqual(even.frames, [[0, 2, 4], [0]]);
  });

  it('counts drops by node and reason', () => {
    const only = node('only', [], (packet, packets) =>
      packet === 0 ? ARC_DONE : drop(packets, packet, packet === 1 ? REASON.multicast : REASON.broadcast),
    );
    const graph = new Graph([only]);
    const { packets, frame } = packetsOf(4);
    graph.run(0, packets, frame, 4);
    graph.run(0, packets, frame, 2);
    const drops = { multicast: 2, broadcast: 2 };
    assert.deepEqual(graph.counters(), [{ name: 'only', calls: 2, packets: 6, drops }]);
    assert.equal(drop(packets, 0, REASON.none), ARC_DROP);
  });

  it('visits an earlier node again that a later one leads to, as reassembly does', () => {
    const join = node('join', ['split'], (packet) => (packet < 2 ? ARC_NEXT : ARC_DONE));
    let rounds = 0;
    const split = node('split', ['join'], (packet) => (packet === 0 && rounds++ < 3 ? ARC_NEXT : ARC_DONE));
    const graph = new Graph([join, split]);
    const { packets, frame } = packetsOf(3);
    graph.run(0, packets, frame, 3);
    assert.deepEqual(join.frames, [[0, 1, 2], [0], [0], [0]]);
    assert.deepEqual(split.frames, [[0, 1], [0], [0], [0]]);
  });

  it('lets a node put another packet in the place of one of its own', () => {
    const { packets, frame } = packetsOf(2);
    const swap: GraphNode = {
      name: 'swap',
      next: ['end'],
      process(_packets, own, count, arcs): void {
        own[0] = 1;
        arcs.fill(ARC_NEXT, 0, count);
      },
    };
    const end = node('end', [], () => ARC_DONE);
    new Graph([swap, end]).run(0, packets, frame, 1);
    assert.deepEqual(end.frames, [[1]]);
    assert.equal(frame[0], 0, "the caller's frame is not touched");
  });

  it('puts features before nodes, on every way to them but their own', () => {
    const nodes = (): ReturnType<typeof node>[] => [
      node('a', ['target'], () => ARC_NEXT),
      node('b', ['target'], () => ARC_NEXT),
      node('feature', ['target'], (packet, packets) => (packet === 0 ? drop(packets, 0, REASON.none) : ARC_NEXT)),
      node('target', [], () => ARC_DONE),
    ];
    const [a, b, feature, target] = nodes();
    const graph = new Graph([a, b, feature, target], [{ before: 'target', node: 'feature' }]);
    const { packets, frame } = packetsOf(2);
    graph.run(0, packets, frame, 2);
    graph.run(1, packets, frame, 2);
    assert.deepEqual(feature.frames, [
      [0, 1],
      [0, 1],
    ]);
    assert.deepEqual(target.frames, [[1], [1]]);
  });

  it('brings every packet to an end, whatever the nodes decide', () => {
    const arc = fc.integer({ min: ARC_DROP, max: ARC_NEXT + 2 });
    const decisions = fc.array(fc.array(arc, { minLength: 8, maxLength: 8 }), { minLength: 4, maxLength: 4 });
    const count = fc.integer({ min: 0, max: FRAME_PACKETS_MAX });
    fc.assert(
      fc.property(decisions, count, (table, packetCount) => {
        const names = ['n0', 'n1', 'n2', 'n3'];
        let left = 2000;
        const nodes = names.map((name, at) =>
          node(name, [names[(at + 1) % 4], names[(at + 2) % 4], names[(at + 3) % 4]], (packet) =>
            left-- > 0 ? table[at][packet % 8] : ARC_DONE,
          ),
        );
        const graph = new Graph(nodes);
        const { packets, frame } = packetsOf(packetCount);
        graph.run(0, packets, frame, packetCount);
        const first = nodes[0].frames[0] ?? [];
        assert.deepEqual(first, [...frame]);
        for (const each of nodes) for (const seen of each.frames) assert.equal(new Set(seen).size, seen.length);
      }),
      { numRuns: 100 },
    );
  });

  it('refuses what does not fit together, and arcs that there are not', () => {
    const end = node('end', [], () => ARC_DONE);
    assert.throws(() => new Graph([node('a', ['nowhere'], () => ARC_DONE)]), /leads to nowhere/);
    assert.throws(() => new Graph([end, end]), /a name of its own/);
    assert.throws(() => new Graph([end]).indexOf('other'), /other is a node/);
    const { packets, frame } = packetsOf(1);
    assert.throws(() => new Graph([node('bad', [], () => ARC_NEXT)]).run(0, packets, frame, 1));
  });

  it('has a name for every reason', () => {
    for (const [name, number] of Object.entries(REASON)) assert.equal(REASON_NAMES[number], name);
  });
});
