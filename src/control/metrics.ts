/**
 * What the network counts, in Prometheus' text format. Everything is read when it is asked for: nobody who never asks pays, not even for watching the event
 * loop. Names are `tapster_...`, and those of the process as everywhere.
 */
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import { API_LIST_MAX } from '../base/limits.ts';
import type { RunningNetwork } from '../network/running-network.ts';
import type { InterfaceCountersView } from '../network/views.ts';

/** Flows looked at for `tapster_flows`: the newest. */
const FLOWS_COUNTED_MAX = API_LIST_MAX;

export class Metrics {
  readonly #network: RunningNetwork;
  #registry: Registry | undefined;

  constructor(network: RunningNetwork) {
    this.#network = network;
    this.#registry = undefined;
  }

  async text(): Promise<{ readonly contentType: string; readonly text: string }> {
    this.#registry ??= registryOf(this.#network);
    return { contentType: this.#registry.contentType, text: await this.#registry.metrics() };
  }
}

const COUNTERS: readonly (readonly [keyof InterfaceCountersView, string, string])[] = [
  ['rxPackets', 'receive_packets', 'Packets received.'],
  ['rxBytes', 'receive_bytes', 'Bytes of frames received.'],
  ['rxDrops', 'receive_drops', 'Packets dropped on the way in, whatever the node.'],
  ['txPackets', 'transmit_packets', 'Frames that the link took.'],
  ['txBytes', 'transmit_bytes', 'Bytes of frames that the link took.'],
  ['txErrors', 'transmit_errors', 'Frames that the link did not take.'],
];

function registryOf(network: RunningNetwork): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  engineMetrics(registry, network);
  interfaceMetrics(registry, network);
  nodeMetrics(registry, network);
  tableMetrics(registry, network);
  return registry;
}

function engineMetrics(registry: Registry, network: RunningNetwork): void {
  gauge(registry, 'tapster_info', 'The engine that this is; always 1.', ['name', 'version'], (set) => {
    const { name, version } = network.engine();
    set(1, { name, version });
  });
  gauge(registry, 'tapster_uptime_seconds', 'Since the engine began.', [], (set) =>
    set(network.engine().uptimeSeconds),
  );
  gauge(registry, 'tapster_configuration_revision', 'Grows with each change of the configuration.', [], (set) =>
    set(network.engine().revision),
  );
  gauge(registry, 'tapster_configuration_unmet', 'Parts of the configuration that are not there.', [], (set) =>
    set(network.engine().unmet.length),
  );
  gauge(registry, 'tapster_thread_busy_ratio', 'Share of time that a thread worked.', ['worker'], (set) => {
    for (const { worker, busyRatio } of network.threads()) set(busyRatio, { worker: String(worker) });
  });
  counter(registry, 'tapster_thread_turns_total', 'Turns of a thread.', ['worker'], (add) => {
    for (const { worker, turns } of network.threads()) add(turns, { worker: String(worker) });
  });
}

function interfaceMetrics(registry: Registry, network: RunningNetwork): void {
  for (const [key, name, help] of COUNTERS) {
    counter(registry, `tapster_interface_${name}_total`, help, ['interface'], (add) => {
      for (const each of network.interfaces()) add(each.counters[key], { interface: each.name });
    });
  }
  gauge(
    registry,
    'tapster_interface_up',
    'Whether an interface carries anything: admin state and link.',
    ['interface'],
    (set) => {
      for (const { name, up, linkUp } of network.interfaces()) set(up && linkUp ? 1 : 0, { interface: name });
    },
  );
}

function nodeMetrics(registry: Registry, network: RunningNetwork): void {
  counter(registry, 'tapster_node_packets_total', 'Packets that a node was given.', ['node', 'worker'], (add) => {
    for (const { node, worker, packets } of network.runtime()) add(packets, { node, worker: String(worker) });
  });
  counter(registry, 'tapster_node_vectors_total', 'Frames that a node was given.', ['node', 'worker'], (add) => {
    for (const { node, worker, vectors } of network.runtime()) add(vectors, { node, worker: String(worker) });
  });
  counter(registry, 'tapster_node_drops_total', 'Packets that a node dropped.', ['node', 'reason'], (add) => {
    for (const { node, reason, packets } of network.errors()) add(packets, { node, reason });
  });
}

function tableMetrics(registry: Registry, network: RunningNetwork): void {
  gauge(
    registry,
    'tapster_flows',
    `Flows that the engine still knows, by how they are or ended; of more than ${FLOWS_COUNTED_MAX} the newest.`,
    ['protocol', 'outcome'],
    (set) => {
      const counts = new Map<string, { protocol: string; outcome: string; count: number }>();
      for (const { protocol, outcome } of network.flows({ limit: FLOWS_COUNTED_MAX })) {
        const key = `${protocol} ${outcome}`;
        const entry = counts.get(key) ?? { protocol, outcome, count: 0 };
        entry.count++;
        counts.set(key, entry);
      }
      for (const { protocol, outcome, count } of counts.values()) set(count, { protocol, outcome });
    },
  );
  gauge(registry, 'tapster_bridge_stations', 'MAC addresses that a bridge knows.', ['bridge'], (set) => {
    for (const { name, stations } of network.bridges()) set(stations, { bridge: name });
  });
  gauge(registry, 'tapster_routes_configured', 'Routes of the configuration.', [], (set) =>
    set(network.configuration().config.routes.length),
  );
  gauge(registry, 'tapster_neighbours', 'Neighbours, by state.', ['state'], (set) => {
    const counts = new Map<string, number>();
    for (const { state } of network.neighbours()) counts.set(state, (counts.get(state) ?? 0) + 1);
    for (const [state, count] of counts) set(count, { state });
  });
}

type Tell = (value: number, labels?: Record<string, string>) => void;

function gauge(registry: Registry, name: string, help: string, labelNames: string[], read: (set: Tell) => void): void {
  new Gauge({
    name,
    help,
    labelNames,
    registers: [registry],
    collect() {
      this.reset();
      read((value, labels = {}) => this.set(labels, value));
    },
  });
}

/** Of what is counted elsewhere. */
function counter(
  registry: Registry,
  name: string,
  help: string,
  labelNames: string[],
  read: (add: Tell) => void,
): void {
  new Counter({
    name,
    help,
    labelNames,
    registers: [registry],
    collect() {
      this.reset();
      read((value, labels = {}) => this.inc(labels, value));
    },
  });
}
