import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Graph, type NodeCounters } from '../graph/graph.ts';
import { insertNodes } from '../graph/insert-nodes.ts';
import { ARC_DONE, ARC_NEXT, FRAME_PACKETS_MAX, type GraphNode } from '../graph/node.ts';
import { Packets } from '../packet/packets.ts';
import { asInsertion, type CustomNode, checkCustomNodes, DROP } from './custom-node.ts';

const PACKETS = 4;

function station(name: string, ...next: string[]): GraphNode {
  const arc = next.length === 0 ? ARC_DONE : ARC_NEXT;
  return { name, next, process: (_packets, _frame, count, arcs) => void arcs.fill(arc, 0, count) };
}

/** What the nodes counted when packets went by the custom one twice, and what it failed with. */
function run(process: CustomNode['process']): { readonly counters: NodeCounters[]; readonly errors: string[] } {
  const errors: string[] = [];
  const custom: CustomNode = { name: 'mine', before: 'ip4-lookup', process };
  const insertion = asInsertion(custom, (error) => errors.push(String(error)));
  const plan = insertNodes({ nodes: [station('input', 'ip4-lookup'), station('ip4-lookup')], features: [] }, [
    insertion,
  ]);
  assert.ok(plan.ok);
  const graph = new Graph(plan.value.nodes, plan.value.features);
  const packets = new Packets(65_536, FRAME_PACKETS_MAX);
  for (let turn = 0; turn < 2; turn++) {
    const frame = Int32Array.from({ length: PACKETS }, () => packets.allocate(60));
    graph.run(graph.indexOf('input'), packets, frame, PACKETS);
    packets.reset();
  }
  return { counters: graph.counters().filter(({ name }) => name !== 'input'), errors };
}

describe('a custom node', () => {
  it('lets everything pass unless it says otherwise', () => {
    let seen = 0;
    const { counters, errors } = run((_packets, _frame, count) => {
      seen += count;
    });
    assert.equal(seen, 2 * PACKETS);
    assert.deepEqual(
      counters.map(({ name, packets, drops }) => [name, packets, drops]),
      [
        ['custom-mine', 8, {}],
        ['ip4-lookup', 8, {}],
      ],
    );
    assert.deepEqual(errors, []);
  });

  it('drops what it says', () => {
    const { counters } = run((_packets, _frame, _count, verdicts) => {
      verdicts[1] = DROP;
    });
    assert.deepEqual(counters[0]?.drops, { 'policy-refused': 2 });
    assert.equal(counters[1]?.packets, 6);
  });

  it('that throws or says nonsense drops its packets, and is told of once', () => {
    const thrown = run(() => {
      throw new Error('a bug');
    });
    assert.deepEqual(thrown.errors, ['Error: a bug']);
    assert.deepEqual(thrown.counters[0]?.drops, { 'policy-refused': 8 });
    const nonsense = run((_packets, _frame, _count, verdicts) => {
      verdicts[3] = 7;
    });
    assert.match(nonsense.errors[0] ?? '', /the node custom-mine wrote the verdict 7/);
    assert.equal(nonsense.counters[1]?.packets, 0);
  });

  it('has a name and a place', () => {
    const good: CustomNode = { name: 'port-knocker', before: 'ip4-lookup', process: () => {} };
    assert.ok(checkCustomNodes([good]).ok);
    const wrong = [{ ...good, name: 'Port Knocker' }, { ...good, before: 'drop' }, { ...good, process: 1 }, good];
    for (const each of wrong) {
      const checked = checkCustomNodes([good, each as CustomNode]);
      assert.equal(checked.ok ? '' : checked.failure.code, 'node-invalid');
    }
  });
});
