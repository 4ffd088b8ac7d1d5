/**
 * Packets that were dropped, by node and reason, since somebody last cleared the list: for people. Metrics read the graph's counters, which only grow and
 * know of no `clear`.
 */
import type { GraphNode } from './node.ts';
import { REASON_NAMES } from './reasons.ts';

/** Packets that one node dropped for one reason. */
export interface ErrorCount {
  readonly node: string;
  /** A name of `REASON`. */
  readonly reason: string;
  readonly packets: number;
}

export class Errors {
  readonly #nodes: readonly GraphNode[];
  readonly #drops: Float64Array;
  /** The drops as they were at the last `clear`. */
  readonly #cleared: Float64Array;

  /** `drops[node * REASON_NAMES.length + reason]` is what the graph counts. */
  constructor(nodes: readonly GraphNode[], drops: Float64Array) {
    this.#nodes = nodes;
    this.#drops = drops;
    this.#cleared = new Float64Array(drops.length);
  }

  /** What was dropped, in the order of the graph and of the reasons; only those above zero. */
  values(): ErrorCount[] {
    return this.#nodes.flatMap(({ name }, node) =>
      REASON_NAMES.map((reason, number) => {
        const at = node * REASON_NAMES.length + number;
        return { node: name, reason, packets: this.#drops[at] - this.#cleared[at] };
      }).filter(({ packets }) => packets > 0),
    );
  }

  clear(): void {
    this.#cleared.set(this.#drops);
  }
}
