/**
 * What each node had to do, and how long that took: for people who look for where the time goes.
 *
 * Calls, packets and the largest frame are always counted. Times are taken only after `enable`: then the graph reads the clock once per visit, and what passed
 * since it was read last, the visit and the scattering of its packets, was that node's. `clear` begins anew here and leaves the graph's own counters, which only
 * grow, as they are.
 */
import type { Clock, GraphNode } from './node.ts';

/** One node since the last `clear`. */
export interface NodeRuntime {
  readonly name: string;
  readonly calls: number;
  readonly packets: number;
  /** 0 without calls. */
  readonly packetsPerCall: number;
  /** The largest frame. */
  readonly packetsMax: number;
  /** Only of what was timed; left out where nothing was. */
  readonly nsPerPacket?: number;
}

/** What the graph counts, one of each for each node; these only grow. */
export interface VisitCounters {
  readonly calls: Float64Array;
  readonly packets: Float64Array;
}

export class Runtime {
  /** Whether visits are timed: read by the graph when it begins to run. */
  enabled: boolean = false;
  /** For each node, the largest frame since the last `clear`: written by the graph. */
  readonly packetsMax: Int32Array;
  readonly #nodes: readonly GraphNode[];
  readonly #counters: VisitCounters;
  readonly #ownClock: Clock;
  #clock: Clock;
  #lastUs: number = 0;
  readonly #timedPackets: Float64Array;
  readonly #timedUs: Float64Array;
  /** The counters as they were at the last `clear`. */
  readonly #clearedCalls: Float64Array;
  readonly #clearedPackets: Float64Array;

  constructor(nodes: readonly GraphNode[], counters: VisitCounters, clock: Clock) {
    this.#nodes = nodes;
    this.#counters = counters;
    this.#ownClock = clock;
    this.#clock = clock;
    this.packetsMax = new Int32Array(nodes.length);
    this.#timedPackets = new Float64Array(nodes.length);
    this.#timedUs = new Float64Array(nodes.length);
    this.#clearedCalls = new Float64Array(nodes.length);
    this.#clearedPackets = new Float64Array(nodes.length);
  }

  /** Times visits from now on. `clock` where the graph's is too coarse. */
  enable(clock: Clock = this.#ownClock): void {
    this.#clock = clock;
    this.enabled = true;
  }

  /** Reads no clock any more; what was timed stays. */
  disable(): void {
    this.enabled = false;
  }

  /** In the order of the graph, each node that was called or not. */
  values(): NodeRuntime[] {
    return this.#nodes.map(({ name }, node) => {
      const calls = this.#counters.calls[node] - this.#clearedCalls[node];
      const packets = this.#counters.packets[node] - this.#clearedPackets[node];
      const timed = this.#timedPackets[node];
      return {
        name,
        calls,
        packets,
        packetsPerCall: calls === 0 ? 0 : packets / calls,
        packetsMax: this.packetsMax[node],
        ...(timed === 0 ? {} : { nsPerPacket: (this.#timedUs[node] * 1000) / timed }),
      };
    });
  }

  clear(): void {
    this.#clearedCalls.set(this.#counters.calls);
    this.#clearedPackets.set(this.#counters.packets);
    this.packetsMax.fill(0);
    this.#timedPackets.fill(0);
    this.#timedUs.fill(0);
  }

  /** For the graph: it begins to run. */
  begin(): void {
    this.#lastUs = this.#clock.nowUs();
  }

  /** For the graph: what passed since it began, or since the last visit, was this node's. */
  visited(node: number, count: number): void {
    const nowUs = this.#clock.nowUs();
    this.#timedUs[node] += nowUs - this.#lastUs;
    this.#timedPackets[node] += count;
    this.#lastUs = nowUs;
  }
}
