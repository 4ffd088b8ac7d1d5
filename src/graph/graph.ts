/**
 * The graph: moves packets from node to node, counts, and drops.
 *
 * Each node has a pending frame. `run` puts packets before the entry node and then, as long as any node has packets, lets that node decide for all of
 * its pending packets in one call and scatters them by the arcs that it wrote. Every packet ends on arc DROP (counted by node and
 * reason) or DONE. Nodes never make more packets than they got, so no frame overflows.
 *
 * Three ways to look inside hang on it, and cost next to nothing while nobody looks: `trace`, `runtime` and `errors`.
 */
import { assert } from '../base/assert.ts';
import { grown } from '../base/column.ts';
import type { Packets } from '../packet/packets.ts';
import { Errors } from './errors.ts';
import { ARC_DONE, ARC_DROP, ARC_NEXT, type Clock, FRAME_PACKETS_MAX, type GraphNode } from './node.ts';
import { REASON_NAMES } from './reasons.ts';
import { Runtime } from './runtime.ts';
import { Trace } from './trace.ts';

/** What the graph counted for one node since it was made: these only grow. */
export interface NodeCounters {
  readonly name: string;
  readonly calls: number;
  readonly packets: number;
  /** Packets dropped here, by name of reason; only those above zero. */
  readonly drops: Readonly<Record<string, number>>;
}

/** A node that sees what is on its way to another one, both by name. At most one on each way. What enters the graph (`run`) is on no way yet, and passes by. */
export interface Feature {
  readonly before: string;
  readonly node: string;
  /** Only what comes from these nodes. Left out: from all. */
  readonly from?: readonly string[];
}

/** For graphs that nobody asks for times. */
const STOPPED_CLOCK: Clock = { nowUs: () => 0 };

export class Graph {
  /** The way of single packets. */
  readonly trace: Trace;
  /** What each node has to do, and the time that it takes. */
  readonly runtime: Runtime;
  /** What was dropped, and can be cleared. */
  readonly errors: Errors;
  readonly #nodes: readonly GraphNode[];
  /** For each node, the indexes of its next nodes: `#next[node][arc - ARC_NEXT]`. */
  readonly #next: readonly Int32Array[];
  /** For each node two frames: one gathers while the other is processed. */
  readonly #gathering: Int32Array[];
  readonly #processing: Int32Array[];
  readonly #pending: Int32Array;
  readonly #arcs: Uint8Array = new Uint8Array(FRAME_PACKETS_MAX);
  readonly #calls: Float64Array;
  readonly #packets: Float64Array;
  readonly #packetsMax: Int32Array;
  readonly #drops: Float64Array;
  /** By interface that dropped packets came in by; grows as there are any. */
  #interfaceDrops: Float64Array = new Float64Array(16);

  /**
   * `nodes` in the order in which they are visited; each name in a node's `next` must be among them. `features` are nodes put before others by
   * configuration: every arc to the node that a feature is for leads to the feature instead, but for the feature's own. `clock` is read only for the
   * trace and for runtime statistics, while somebody asks for them.
   */
  constructor(nodes: readonly GraphNode[], features: readonly Feature[] = [], clock: Clock = STOPPED_CLOCK) {
    this.#nodes = nodes;
    const index = new Map(nodes.map((node, at) => [node.name, at]));
    assert(index.size === nodes.length, 'each node has a name of its own');
    checkFeatures(index, features);
    this.#next = nodes.map((node) =>
      Int32Array.from(node.next, (name) => {
        const feature = features.find((each) => isOnWay(each, node.name, name));
        const to = index.get(feature?.node ?? name);
        assert(to !== undefined, `node ${node.name} leads to ${feature?.node ?? name}, which is not in the graph`);
        return to;
      }),
    );
    this.#gathering = nodes.map(() => new Int32Array(FRAME_PACKETS_MAX));
    this.#processing = nodes.map(() => new Int32Array(FRAME_PACKETS_MAX));
    this.#pending = new Int32Array(nodes.length);
    this.#calls = new Float64Array(nodes.length);
    this.#packets = new Float64Array(nodes.length);
    this.#drops = new Float64Array(nodes.length * REASON_NAMES.length);
    this.trace = new Trace(nodes, this.#next, clock);
    this.runtime = new Runtime(nodes, { calls: this.#calls, packets: this.#packets }, clock);
    this.errors = new Errors(nodes, this.#drops);
    this.#packetsMax = this.runtime.packetsMax;
  }

  /** The index of a node, for `run`. */
  indexOf(name: string): number {
    const index = this.#nodes.findIndex((node) => node.name === name);
    assert(index >= 0, `${name} is a node of the graph`);
    return index;
  }

  /** Sends `count` packets of `frame` through the graph, from node `entry` on, to their end. */
  run(entry: number, packets: Packets, frame: Int32Array, count: number): void {
    const first = this.#gathering[entry];
    for (let i = 0; i < count; i++) first[i] = frame[i];
    this.#pending[entry] = count;
    const { runtime } = this;
    const isTimed = runtime.enabled;
    if (isTimed) runtime.begin();
    let node = entry;
    while (node < this.#nodes.length) {
      const pending = this.#pending[node];
      if (pending === 0) {
        node++;
        continue;
      }
      const visited = node;
      node = this.#visit(visited, packets);
      if (isTimed) runtime.visited(visited, pending);
    }
  }

  /** What each node has seen, in the order of the graph. */
  counters(): NodeCounters[] {
    return this.#nodes.map((node, index) => {
      const drops: Record<string, number> = {};
      REASON_NAMES.forEach((name, reason) => {
        const dropped = this.#drops[index * REASON_NAMES.length + reason];
        if (dropped > 0) drops[name] = dropped;
      });
      return { name: node.name, calls: this.#calls[index], packets: this.#packets[index], drops };
    });
  }

  /** Packets that were dropped of those that came in by an interface, since `clearInterfaceDrops`. */
  droppedOf(interfaceIndex: number): number {
    return this.#interfaceDrops[interfaceIndex] ?? 0;
  }

  /** Counts packets that came in by an interface and were dropped in the graph of another thread. */
  addDropsOf(interfaceIndex: number, count: number): void {
    this.#countDropsOf(interfaceIndex, count);
  }

  clearInterfaceDrops(): void {
    this.#interfaceDrops.fill(0);
  }

  /** Lets one node decide for its pending packets, and scatters them. Returns the first node that may have packets now. */
  #visit(index: number, packets: Packets): number {
    const node = this.#nodes[index];
    const frame = this.#gathering[index];
    const count = this.#pending[index];
    this.#gathering[index] = this.#processing[index];
    this.#processing[index] = frame;
    this.#pending[index] = 0;
    this.#calls[index]++;
    this.#packets[index] += count;
    if (count > this.#packetsMax[index]) this.#packetsMax[index] = count;

    const arcs = this.#arcs;
    if (this.trace.active) this.#processTraced(index, packets, frame, count);
    else node.process(packets, frame, count, arcs);

    const next = this.#next[index];
    const pending = this.#pending;
    const gathering = this.#gathering;
    if (isUniform(arcs, count)) {
      if (arcs[0] === ARC_DONE) return index;
      const to = arcs[0] >= ARC_NEXT ? next[arcs[0] - ARC_NEXT] : -1;
      if (to >= 0 && pending[to] === 0) {
        // All go to one node that has none yet, as nearly always: it gets the frame itself.
        this.#processing[index] = gathering[to];
        gathering[to] = frame;
        pending[to] = count;
        return Math.min(to, index);
      }
    }
    let earliest = index;
    for (let i = 0; i < count; i++) {
      const arc = arcs[i];
      if (arc >= ARC_NEXT) {
        const to = next[arc - ARC_NEXT];
        gathering[to][pending[to]++] = frame[i];
        if (to < earliest) earliest = to;
      } else if (arc === ARC_DROP) {
        this.#drops[index * REASON_NAMES.length + packets.reason[frame[i]]]++;
        this.#countDropsOf(packets.rxInterface[frame[i]], 1);
      } else {
        assert(arc === ARC_DONE, 'an arc is drop, done, or one of the next nodes');
      }
    }
    return earliest;
  }

  #countDropsOf(interfaceIndex: number, count: number): void {
    if (interfaceIndex < 0) return;
    if (interfaceIndex >= this.#interfaceDrops.length) {
      this.#interfaceDrops = grown(this.#interfaceDrops, new Float64Array(interfaceIndex * 2));
    }
    this.#interfaceDrops[interfaceIndex] += count;
  }

  #processTraced(index: number, packets: Packets, frame: Int32Array, count: number): void {
    this.trace.enter(index, packets, frame, count);
    this.#nodes[index].process(packets, frame, count, this.#arcs);
    this.trace.leave(index, packets, frame, this.#arcs);
  }
}

function checkFeatures(nodes: ReadonlyMap<string, number>, features: readonly Feature[]): void {
  for (const { before, node } of features) {
    assert(nodes.has(before), `feature ${node} stands before ${before}, which is not in the graph`);
    assert(nodes.has(node), `feature ${node} is a node of the graph`);
    assert(!features.some((each) => each.node === before), `feature ${node} stands before a node that is no feature`);
  }
  for (const { before } of features) {
    for (const from of nodes.keys()) {
      const count = features.filter((each) => isOnWay(each, from, before)).length;
      assert(count <= 1, `there is one feature at most on the way from ${from} to ${before}`);
    }
  }
}

function isOnWay({ before, node, from }: Feature, source: string, destination: string): boolean {
  return before === destination && node !== source && (from?.includes(source) ?? true);
}

function isUniform(arcs: Uint8Array, count: number): boolean {
  const first = arcs[0];
  for (let i = 1; i < count; i++) if (arcs[i] !== first) return false;
  return true;
}
