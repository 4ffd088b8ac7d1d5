import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Packets } from '../packet/packets.ts';
import { Graph } from './graph.ts';
import { ARC_DONE, ARC_NEXT, FRAME_PACKETS_MAX, type GraphNode } from './node.ts';
import type { NodeRuntime } from './runtime.ts';

/** A clock that only `advanceUs` and being read move, and a count of the times that it was read. */
class Watch {
  us: number = 5_000_000;
  reads: number = 0;

  nowUs(): number {
    this.reads++;
    return this.us;
  }
}

/** Each packet takes `us` of the watch's time, and then the way to the next node, if there is one. */
function node(watch: Watch, name: string, us: number, ...next: string[]): GraphNode {
  return {
    name,
    next,
    process(_packets, _frame, count, arcs): void {
      watch.us += us * count;
      arcs.fill(next.length > 0 ? ARC_NEXT : ARC_DONE, 0, count);
    },
  };
}

function made(): { graph: Graph; watch: Watch; send: (count: number) => void } {
  const watch = new Watch();
  const nodes = [node(watch, 'input', 0.25, 'output'), node(watch, 'idle', 1), node(watch, 'output', 2)];
  const graph = new Graph(nodes, [], watch);
  const packets = new Packets(1 << 20, FRAME_PACKETS_MAX);
  const frame = Int32Array.from({ length: FRAME_PACKETS_MAX }, () => packets.allocate(64));
  return { graph, watch, send: (count) => graph.run(0, packets, frame, count) };
}

function named(graph: Graph, name: string): NodeRuntime | undefined {
  return graph.runtime.values().find((each) => each.name === name);
}

const NOTHING = { calls: 0, packets: 0, packetsPerCall: 0, packetsMax: 0 };

describe('runtime statistics', () => {
  it('count calls, packets and the largest frame, and read no clock', () => {
    const { graph, watch, send } = made();
    send(3);
    send(256);
    send(5);
    const counted = { calls: 3, packets: 264, packetsPerCall: 88, packetsMax: 256 };
    assert.deepEqual(graph.runtime.values(), [
      { name: 'input', ...counted },
      { name: 'idle', ...NOTHING },
      { name: 'output', ...counted },
    ]);
    assert.equal(watch.reads, 0);
  });

  it('time each visit while enabled, with one look at the clock for each', () => {
    const { graph, watch, send } = made();
    send(100);
    graph.runtime.enable();
    send(10);
    send(30);
    assert.equal(watch.reads, 6, 'for each run, when it begins and behind each of two visits');
    assert.equal(named(graph, 'input')?.nsPerPacket, 250);
    assert.equal(named(graph, 'output')?.nsPerPacket, 2000);
    assert.equal(named(graph, 'output')?.packets, 140, 'what was not timed is counted too');
    assert.deepEqual(named(graph, 'idle'), { name: 'idle', ...NOTHING });
    graph.runtime.disable();
    send(10);
    assert.equal(watch.reads, 6);
    assert.equal(named(graph, 'input')?.nsPerPacket, 250);
  });

  it('take a finer clock', () => {
    const { graph, watch, send } = made();
    const fine = new Watch();
    graph.runtime.enable({ nowUs: () => fine.nowUs() + watch.us * 2 });
    send(10);
    assert.equal(named(graph, 'input')?.nsPerPacket, 500);
    assert.equal(watch.reads, 0);
    graph.runtime.clear();
    graph.runtime.enable();
    send(10);
    assert.equal(named(graph, 'input')?.nsPerPacket, 250);
  });

  it("begin anew when cleared, but not the graph's own counters", () => {
    const { graph, send } = made();
    graph.runtime.enable();
    send(100);
    graph.runtime.clear();
    assert.deepEqual(named(graph, 'input'), { name: 'input', ...NOTHING });
    send(7);
    assert.deepEqual(named(graph, 'input'), {
      name: 'input',
      calls: 1,
      packets: 7,
      packetsPerCall: 7,
      packetsMax: 7,
      nsPerPacket: 250,
    });
    assert.equal(graph.counters()[0].packets, 107);
  });

  it('go together with a trace', () => {
    const { graph, send } = made();
    graph.runtime.enable();
    graph.trace.add('input', 1);
    send(4);
    assert.equal(named(graph, 'output')?.nsPerPacket, 2000);
    assert.equal(graph.trace.records()[0].hops.length, 2);
  });
});
