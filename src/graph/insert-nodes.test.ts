import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Packets } from '../packet/packets.ts';
import { type Feature, Graph } from './graph.ts';
import { type Insertion, insertNodes } from './insert-nodes.ts';
import { ARC_DONE, ARC_NEXT, FRAME_PACKETS_MAX, type GraphNode } from './node.ts';

/** A node that sends all packets its first way, and notes that it saw them. */
function station(trail: string[], name: string, ...next: string[]): GraphNode {
  return {
    name,
    next,
    process: (_packets, _frame, count, arcs) => {
      trail.push(name);
      arcs.fill(next.length === 0 ? ARC_DONE : ARC_NEXT, 0, count);
    },
  };
}

/** The nodes that packets visit, with others inserted. */
function walk(features: Feature[], ...insertions: [name: string, before: string][]): string {
  const trail: string[] = [];
  const nodes = [
    station(trail, 'input', 'local'),
    station(trail, 'lookup', 'local'),
    station(trail, 'local', 'output'),
    station(trail, 'output'),
  ];
  const inserted: Insertion[] = insertions.map(([name, before]) => ({
    ...{ name, before, make: (next: string) => station(trail, name, next) },
  }));
  const plan = insertNodes({ nodes, features }, inserted);
  assert.ok(plan.ok, JSON.stringify(plan));
  const graph = new Graph(plan.value.nodes, plan.value.features);
  const packets = new Packets(65_536, FRAME_PACKETS_MAX);
  graph.run(graph.indexOf('input'), packets, Int32Array.of(packets.allocate(60)), 1);
  return trail.join(' ');
}

describe('a node that is inserted', () => {
  it('stands before the one that it names', () => {
    assert.equal(walk([], ['mine', 'output']), 'input local mine output');
    assert.equal(walk([], ['mine', 'local']), 'input mine local output');
  });

  it('has others of the same place behind it, in their order', () => {
    assert.equal(walk([], ['a', 'output'], ['b', 'output'], ['c', 'local']), 'input c local a b output');
  });

  it('stands before a node that is a feature of another', () => {
    const lookup = [{ before: 'local', node: 'lookup', from: ['input'] }];
    assert.equal(walk(lookup), 'input lookup local output');
    assert.equal(walk(lookup, ['mine', 'lookup']), 'input mine lookup local output');
    assert.equal(walk(lookup, ['a', 'lookup'], ['b', 'lookup'], ['c', 'local']), 'input a b lookup c local output');
  });

  it('stands behind a feature of the same node', () => {
    assert.equal(walk([{ before: 'local', node: 'lookup' }], ['mine', 'local']), 'input lookup mine local output');
  });

  it('needs a place and a name of its own', () => {
    const make = (next: string): GraphNode => station([], 'mine', next);
    const nodes = [station([], 'input')];
    const missing = insertNodes({ nodes, features: [] }, [{ name: 'mine', before: 'nowhere', make }]);
    assert.equal(
      missing.ok ? '' : missing.failure.message,
      'mine can not stand before nowhere: there are the nodes input',
    );
    const taken = insertNodes({ nodes, features: [] }, [{ name: 'input', before: 'input', make }]);
    assert.equal(taken.ok ? '' : taken.failure.code, 'node-exists');
  });
});
