/** What a worker tells of itself once a second, and what the main thread does with it. Counters begin anew with each report, and are added up there. */
import type { DataPlane } from './data-plane.ts';
import type { FastPath } from './fast-path.ts';
import { CARRIED_NUMBERS, type WorkerReport } from './worker-messages.ts';

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
    this.#path.replica.forwarding.l2fib.visitHeard(sinceS, (bridge, high, low, index, heardS) => {
      rows.push(bridge, high, low, index, heardS);
    });
    return Int32Array.from(rows);
  }
}

/** Counts what a worker has carried as if it had been carried here, and hears the stations that it has heard. */
export function addReport({ engine, forwarding, wiring }: DataPlane, { carried, sent, heard }: WorkerReport): void {
  const { interfaces, adjacencies, l2fib } = forwarding;
  for (let at = 0; at < carried.length; at += CARRIED_NUMBERS) {
    const [index, rxPackets, rxBytes, txPackets, txBytes, txErrors, drops] = carried.subarray(at);
    if (!interfaces.has(index!)) continue;
    interfaces.rxPackets[index!]! += rxPackets!;
    interfaces.rxBytes[index!]! += rxBytes!;
    interfaces.txPackets[index!]! += txPackets!;
    interfaces.txBytes[index!]! += txBytes!;
    engine.countLost(index!, txErrors!);
    engine.graph.addDropsOf(index!, drops!);
  }
  for (let at = 0; at < sent.length; at += 3) {
    const adjacency = wiring.resolver.adjacency(sent[at]!);
    if (!adjacencies.has(adjacency)) continue;
    adjacencies.packets[adjacency]! += sent[at + 1]!;
    adjacencies.bytes[adjacency]! += sent[at + 2]!;
  }
  for (let at = 0; at < heard.length; at += 5) {
    const [bridge, high, low, index, heardS] = heard.subarray(at, at + 5);
    l2fib.heard(bridge!, high!, low!, index!, heardS!);
  }
}
