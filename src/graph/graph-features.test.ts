import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Packets } from '../packet/packets.ts';
import { type Feature, Graph } from './graph.ts';
import { ARC_DONE, ARC_NEXT, FRAME_PACKETS_MAX, type GraphNode } from './node.ts';

/** A node that sends all its packets one way and notes them. */
class Station implements GraphNode {
  readonly name: string;
  readonly next: readonly string[];
  readonly seen: number[] = [];

  constructor(name: string, ...next: string[]) {
    this.name = name;
    this.next = next;
  }

  process(_packets: Packets, frame: Int32Array, count: number, arcs: Uint8Array): void {
    for (let i = 0; i < count; i++) {
      this.seen.push(frame[i]);
      // Every second packet takes the second way where there is one.
      arcs[i] = this.next.length === 0 ? ARC_DONE : ARC_NEXT + (i % this.next.length);
    }
  }
}

/** Runs packets through nodes, and returns who saw how many, in the order of `nodes`. */
function walk(nodes: Station[], features: Feature[], entry: string, count: number = 4): Record<string, number> {
  const graph = new Graph(nodes, features);
  const packets = new Packets(65_536, FRAME_PACKETS_MAX);
  const frame = Int32Array.from({ length: count }, () => packets.allocate(60));
  graph.run(graph.indexOf(entry), packets, frame, count);
  assert.deepEqual(
    graph.counters().map((node) => node.packets),
    nodes.map((node) => node.seen.length),
  );
  return Object.fromEntries(nodes.map((node) => [node.name, node.seen.length]));
}

describe('a feature', () => {
  it('stands on every arc to the node that it is for, and on no other', () => {
    const nodes = (): Station[] => [
      new Station('input', 'left', 'right'),
      new Station('left', 'output'),
      new Station('right', 'output'),
      new Station('output'),
      new Station('feature', 'output'),
    ];
    assert.deepEqual(walk(nodes(), [], 'input'), { input: 4, left: 2, right: 2, output: 4, feature: 0 });
    const both = walk(nodes(), [{ before: 'output', node: 'feature' }], 'input');
    assert.deepEqual(both, { input: 4, left: 2, right: 2, output: 4, feature: 4 });
    const one = walk(nodes(), [{ before: 'left', node: 'feature' }], 'input');
    assert.deepEqual(one, { input: 4, left: 0, right: 2, output: 4, feature: 2 });
  });

  it('may stand in the list before or behind the node that it is for', () => {
    const features = [{ before: 'output', node: 'feature' }];
    const expected = [3, 3, 3];
    const first = walk(
      [new Station('feature', 'output'), new Station('input', 'output'), new Station('output')],
      features,
      'input',
      3,
    );
    assert.deepEqual(Object.values(first), expected);
    const last = walk(
      [new Station('input', 'output'), new Station('output'), new Station('feature', 'output')],
      features,
      'input',
      3,
    );
    assert.deepEqual(Object.values(last), expected);
  });

  it('may use packets up, or lead elsewhere', () => {
    const nodes = [new Station('input', 'output'), new Station('output'), new Station('feature')];
    assert.deepEqual(walk(nodes, [{ before: 'output', node: 'feature' }], 'input'), {
      input: 4,
      output: 0,
      feature: 4,
    });
  });

  it('is passed by where packets enter', () => {
    const nodes = [new Station('input'), new Station('feature', 'input')];
    assert.deepEqual(walk(nodes, [{ before: 'input', node: 'feature' }], 'input'), { input: 4, feature: 0 });
  });

  it('passes whole frames', () => {
    const nodes = [new Station('input', 'output'), new Station('output'), new Station('feature', 'output')];
    const seen = walk(nodes, [{ before: 'output', node: 'feature' }], 'input', FRAME_PACKETS_MAX);
    assert.deepEqual(Object.values(seen), [256, 256, 256]);
  });

  it('is refused where it can not be: our own mistakes', () => {
    const make =
      (...features: Feature[]) =>
      () =>
        new Graph([new Station('input', 'output'), new Station('output'), new Station('feature', 'output')], features);
    assert.throws(make({ before: 'nobody', node: 'feature' }), /stands before nobody, which is not in the graph/);
    assert.throws(make({ before: 'output', node: 'nobody' }), /feature nobody is a node of the graph/);
    assert.throws(make({ before: 'output', node: 'output' }), /no feature/);
    assert.throws(
      make({ before: 'output', node: 'feature' }, { before: 'output', node: 'input' }),
      /one feature at most/,
    );
  });
});
