import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Packets } from '../packet/packets.ts';
import { drop } from './drop.ts';
import { Graph } from './graph.ts';
import { ARC_NEXT, FRAME_PACKETS_MAX, type GraphNode } from './node.ts';
import { REASON } from './reasons.ts';

/** Drops packets 0 and 1 for two reasons; the others go on, or are dropped for a third. */
function node(name: string, ...next: string[]): GraphNode {
  return {
    name,
    next,
    process(packets, frame, count, arcs): void {
      for (let i = 0; i < count; i++) {
        const reason = [REASON.broadcast, REASON.multicast][frame[i]];
        if (reason !== undefined) arcs[i] = drop(packets, frame[i], reason);
        else arcs[i] = next.length > 0 ? ARC_NEXT : drop(packets, frame[i], REASON['not-for-us']);
      }
    },
  };
}

function made(): { graph: Graph; send: (count: number) => void } {
  const graph = new Graph([node('first', 'second'), node('second')]);
  const packets = new Packets(1 << 20, FRAME_PACKETS_MAX);
  const frame = Int32Array.from({ length: 16 }, () => packets.allocate(64));
  return { graph, send: (count) => graph.run(0, packets, frame, count) };
}

describe('errors', () => {
  it('are drops by node and reason', () => {
    const { graph, send } = made();
    assert.deepEqual(graph.errors.values(), []);
    send(16);
    send(1);
    assert.deepEqual(graph.errors.values(), [
      { node: 'first', reason: 'multicast', packets: 1 },
      { node: 'first', reason: 'broadcast', packets: 2 },
      { node: 'second', reason: 'not-for-us', packets: 14 },
    ]);
  });

  it('begin anew when cleared, while the counters of the graph go on', () => {
    const { graph, send } = made();
    send(2);
    graph.errors.clear();
    assert.deepEqual(graph.errors.values(), []);
    send(1);
    assert.deepEqual(graph.errors.values(), [{ node: 'first', reason: 'broadcast', packets: 1 }]);
    assert.deepEqual(graph.counters()[0].drops, { multicast: 1, broadcast: 2 });
    graph.errors.clear();
    graph.errors.clear();
    assert.deepEqual(graph.errors.values(), []);
  });
});
