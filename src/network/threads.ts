/** What the threads of a running network have done: the main one's graph and those of workers, side by side or added up. What workers tell is up to a second old. */
import type { Engine } from '../engine/engine.ts';
import type { ErrorCount } from '../graph/errors.ts';
import type { NodeRuntime } from '../graph/runtime.ts';
import type { HardwareView, NodeView, ThreadView } from './views.ts';
import type { Workers } from './workers.ts';

/** A ratio is of so much time at least. */
const SAMPLE_MS = 1000;

export class Threads {
  readonly #engine: Engine;
  readonly #workers: Workers;
  readonly #hardware: () => readonly HardwareView[];
  #utilization: ReturnType<typeof performance.eventLoopUtilization> = performance.eventLoopUtilization();
  #sampledMs: number = performance.now();
  #busyRatio: number = 0;

  constructor(engine: Engine, workers: Workers, hardware: () => readonly HardwareView[]) {
    this.#engine = engine;
    this.#workers = workers;
    this.#hardware = hardware;
  }

  list(): ThreadView[] {
    const queues = this.#hardware().flatMap(({ name, queues }) =>
      queues.map(({ queue, worker }) => ({ name: `${name}:${queue}`, worker })),
    );
    const served = (number: number): string[] =>
      queues.filter(({ worker }) => worker === number).map(({ name }) => name);
    const main = { worker: 0, name: 'main', thread: process.pid, turns: this.#engine.turns, busyRatio: this.#sample() };
    const others = this.#workers.threads().map(({ worker, thread, report }) => ({
      ...{ worker, name: `worker-${worker}`, thread, turns: report?.turns ?? 0, busyRatio: report?.busyRatio ?? 0 },
    }));
    return [main, ...others].map((thread) => ({ ...thread, queues: served(thread.worker) }));
  }

  /** Times are there from the first time that somebody asked. */
  runtime(): NodeView[] {
    const { runtime } = this.#engine.graph;
    if (!runtime.enabled) runtime.enable();
    this.#workers.timeNodes();
    const others = this.#workers.threads();
    return [
      ...runtime.values().map((node) => nodeView(0, node)),
      ...others.flatMap(({ worker, report }) => (report?.runtime ?? []).map((node) => nodeView(worker, node))),
    ];
  }

  /** Of all threads together. */
  errors(): ErrorCount[] {
    const own = this.#engine.graph.errors.values();
    const sums = new Map<string, ErrorCount>();
    for (const error of [...own, ...this.#workers.threads().flatMap(({ report }) => report?.errors ?? [])]) {
      const key = `${error.node} ${error.reason}`;
      sums.set(key, { ...error, packets: error.packets + (sums.get(key)?.packets ?? 0) });
    }
    return [...sums.values()];
  }

  clear(what: 'runtime' | 'errors'): void {
    this.#engine.graph[what].clear();
    this.#workers.clear(what);
  }

  #sample(): number {
    const nowMs = performance.now();
    if (nowMs - this.#sampledMs < SAMPLE_MS) return this.#busyRatio;
    const now = performance.eventLoopUtilization();
    this.#busyRatio = performance.eventLoopUtilization(now, this.#utilization).utilization;
    this.#utilization = now;
    this.#sampledMs = nowMs;
    return this.#busyRatio;
  }
}

function nodeView(worker: number, node: NodeRuntime): NodeView {
  const { name, calls, packets, packetsPerCall, packetsMax, nsPerPacket } = node;
  return {
    ...{ node: name, worker, calls, vectors: calls, packets, packetsPerVector: packetsPerCall, packetsMax },
    ...(nsPerPacket === undefined ? {} : { nsPerPacket }),
  };
}
