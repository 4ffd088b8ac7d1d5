/**
 * Puts further nodes before nodes of a graph, before the graph is made: what a program adds of its own.
 *
 * Whatever was on its way to a node goes to the inserted one, and from there on; also what comes to it as a feature of another node. Several before one node stand in the order in which they
 * are given. Features that stand before it already come first.
 */
import { failure, type Result, success } from '../base/result.ts';
import type { Feature } from './graph.ts';
import type { GraphNode } from './node.ts';

export interface Insertion {
  readonly name: string;
  readonly before: string;
  /** The node, whose arc 2 leads to `next`. */
  make(next: string): GraphNode;
}

/** What a graph is made of. */
export interface GraphPlan {
  readonly nodes: readonly GraphNode[];
  readonly features: readonly Feature[];
}

/** Fails where a node to stand before is not there, or a name is taken. */
export function insertNodes(plan: GraphPlan, insertions: readonly Insertion[]): Result<GraphPlan> {
  const taken = new Set(plan.nodes.map(({ name }) => name));
  for (const { name, before } of insertions) {
    if (!plan.nodes.some((node) => node.name === before)) {
      const names = plan.nodes.map((node) => node.name).join(', ');
      return failure('node-missing', `${name} can not stand before ${before}: there are the nodes ${names}`);
    }
    if (taken.has(name)) return failure('node-exists', `there is a node ${name} already: take another name`);
    taken.add(name);
  }
  const targets = new Set(insertions.map(({ before }) => before));
  let result = plan;
  for (const target of targets) {
    const here = insertions.filter(({ before }) => before === target);
    result = insertBefore(result, target, here);
  }
  return success(result);
}

function insertBefore({ nodes, features }: GraphPlan, target: string, insertions: readonly Insertion[]): GraphPlan {
  const first = insertions[0].name;
  const made = insertions.map((each, i) => each.make(insertions[i + 1]?.name ?? target));
  const kept = features.map((each) => {
    if (each.node === target) return { ...each, node: first };
    // The inserted nodes are on none of its ways.
    return each.before === target ? { ...each, from: each.from ?? namesOf(nodes, each.node) } : each;
  });
  const isTaken = (name: string): boolean => kept.some(({ before, from }) => before === target && from?.includes(name));
  const from = nodes.filter(({ name, next }) => next.includes(target) && !isTaken(name)).map(({ name }) => name);
  const at = nodes.findIndex(({ name }) => name === target);
  return {
    nodes: [...nodes.slice(0, at), ...made, ...nodes.slice(at)],
    features: [...kept, { before: target, node: first, from }],
  };
}

function namesOf(nodes: readonly GraphNode[], but: string): string[] {
  return nodes.map(({ name }) => name).filter((name) => name !== but);
}
