/** What a worker tells of itself once a second. Its counters begin anew with each report: who gets them adds them up. */
import type { FastPath } from './fast-path.ts';
import type { WorkerReport } from './worker-messages.ts';

export class Reporter {
  readonly #path: FastPath;
  readonly #nowS: () => number;
  #reportedS: number;
  #utilization: ReturnType<typeof performance.eventLoopUtilization> = performance.eventLoopUtilization();

  constructor(path: FastPath, nowS: () => number) {
    this.#path = path;
    this.#nowS = nowS;
    this.#reportedS = nowS();
  }

  report(): WorkerReport {
    const { graph, turns } = this.#path;
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, this.#utilization);
    this.#utilization = now;
    return {
      carried: this.#carried(),
      sent: this.#sent(),
      heard: this.#heard(),
      turns,
      busyRatio: utilization,
      runtime: graph.runtime.values(),
      errors: graph.errors.values(),
    };
  }

  #carried(): Float64Array {
    const { graph, output, replica } = this.#path;
    const { interfaces } = replica.forwarding;
    const rows: number[] = [];
    for (let index = 0; index < interfaces.end; index++) {
      const link = output.counters(index);
      const row = [
        link.rxPackets + interfaces.rxPackets[index]!,
        link.rxBytes + interfaces.rxBytes[index]!,
        link.txPackets + interfaces.txPackets[index]!,
        link.txBytes + interfaces.txBytes[index]!,
        link.txErrors,
        graph.droppedOf(index),
      ];
      if (row.some((value) => value > 0)) rows.push(index, ...row);
    }
    output.clearCounters();
    interfaces.clearCounters();
    graph.clearInterfaceDrops();
    return Float64Array.from(rows);
  }

  #sent(): Float64Array {
    const { adjacencies } = this.#path.replica.forwarding;
    const rows: number[] = [];
    this.#path.replica.visitNeighbours((neighbour, adjacency) => {
      const packets = adjacencies.packets[adjacency]!;
      if (packets > 0) rows.push(neighbour, packets, adjacencies.bytes[adjacency]!);
    });
    adjacencies.clearCounters();
    return Float64Array.from(rows);
  }

  #heard(): Int32Array {
    const rows: number[] = [];
    const sinceS = this.#reportedS;
    this.#reportedS = this.#nowS();
    this.#path.replica.forwarding.l2fib.visitHeard(sinceS, (bridge, high, low, index) => {
      rows.push(bridge, high, low, index);
    });
    return Int32Array.from(rows);
  }
}
