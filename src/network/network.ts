/**
 * A running network: what `tapster up` runs and `createEngine` gives. It becomes what a configuration says, stays that, and tells of itself (`running-network.ts`).
 *
 * All changes stand in one line: `apply`, losses and their repair. Between two of their actions the engine has its turns.
 */
import { formatIpWords, formatMacAddress, MacAddress } from '../base/address.ts';
import { type Failure, failure, type Result, success } from '../base/result.ts';
import type { Config, LoggingConfig } from '../config/config.ts';
import { EMPTY_CONFIG } from '../config/empty-config.ts';
import type { Part } from '../config/parts.ts';
import type { Action } from '../config/plan.ts';
import { EventLoop } from '../engine/event-loop.ts';
import { type FlowLog, openFlowLog } from '../engine/flow-log.ts';
import type { FlowRecord } from '../engine/flow-record.ts';
import type { Insertion } from '../graph/insert-nodes.ts';
import { compileFilter } from '../packet/filter/compile.ts';
import { errnoName } from '../sys/errno.ts';
import { readHostNetwork } from '../sys/host-network.ts';
import { LinuxSys } from '../sys/linux.ts';
import { ChangeLine } from './change-line.ts';
import { Configurator } from './configurator.ts';
import { DataPlane } from './data-plane.ts';
import { EventLog } from './event-log.ts';
import type { MachineEvent } from './machine-parts.ts';
import { flowView, NetworkViews } from './network-views.ts';
import { PartBuilder } from './part-builder.ts';
import { Pinger } from './pinger.ts';
import { isDevice, type MachinePort } from './port.ts';
import { Replication } from './replication.ts';
import type {
  ApplyOptions,
  CaptureOptions,
  Clearable,
  FlowQuery,
  PingOptions,
  RunningNetwork,
} from './running-network.ts';
import { Threads } from './threads.ts';
import { traceViews } from './trace-views.ts';
import { followHostResolvers } from './uplink-resolvers.ts';
import type {
  ActionView,
  ApplyView,
  BridgeView,
  CaptureView,
  EngineView,
  ErrorView,
  EventView,
  FlowView,
  HardwareView,
  InterfaceView,
  NeighbourView,
  NodeView,
  PingView,
  RouteView,
  StationView,
  TapView,
  ThreadView,
  TraceView,
} from './views.ts';
import { Workers } from './workers.ts';

export type LogLevel = LoggingConfig['level'];

export interface NetworkOptions {
  readonly name: string;
  readonly version: string;
  /** Hears of everything; what is worth a line is for the caller to say, and for `logging.level` of the configuration. */
  log(level: LogLevel, message: string): void;
  /** Flows with the host at one time; `FLOWS_MAX_DEFAULT` unless said. Fixed for the engine's life. */
  readonly flowsMax?: number;
  /** Further nodes of the graph. */
  readonly nodes?: readonly Insertion[];
}

/** How often it is looked whether what is there has gone, and what is unmet can be again. */
const REPAIR_MS = 1000;

/** An engine without anything, which runs. */
export async function createNetwork(options: NetworkOptions): Promise<Result<RunningNetwork>> {
  return success(new Network(options));
}

class Network implements RunningNetwork {
  readonly #options: NetworkOptions;
  readonly #events: EventLog = new EventLog();
  readonly #plane: DataPlane;
  readonly #builder: PartBuilder;
  readonly #views: NetworkViews;
  readonly #pinger: Pinger;
  readonly #configurator: Configurator;
  readonly #changes: ChangeLine = new ChangeLine();
  readonly #workers: Workers;
  readonly #threads: Threads;
  readonly #loop: EventLoop;
  readonly #repairs: NodeJS.Timeout;
  readonly #resolvers: { close(): void };
  readonly #startedMs: number = performance.now();
  #logging: LoggingConfig = EMPTY_CONFIG.logging;
  #flowLog: FlowLog | undefined;
  #closed: boolean = false;

  constructor(options: NetworkOptions) {
    this.#options = options;
    const sys = new LinuxSys();
    this.#plane = new DataPlane(sys, {
      ...(options.flowsMax === undefined ? {} : { flowsMax: options.flowsMax }),
      nodes: options.nodes ?? [],
      onConflict: (index, address, mac) => {
        const name = this.#plane.ports.nameOf(index) ?? String(index);
        const message = `${mac} on ${name} claims our address ${address}`;
        this.#tell('warning', 'neighbour', 'address-conflict', message, { interface: name, address: `${address}` });
      },
      flowSink: {
        opened: (record) => this.#flowEvent('flow-opened', record),
        closed: (record) => this.#flowEvent('flow-closed', record),
      },
      onCaptureEnded: (view) => {
        const message = `capture ${view.name} of ${view.interface} has ended (${view.ended}): ${view.packets} packets`;
        this.#tell('info', 'capture', 'capture-ended', message, { ...view });
      },
    });
    this.#builder = new PartBuilder(this.#plane, (logging) => this.#setLogging(logging));
    this.#builder.taps.onRefused = (name, why) => {
      const message = `${name} is read and written: ${why.message}`;
      this.#tell('warning', 'interface', 'vhost-net-refused', message, { interface: name, code: why.code });
    };
    this.#builder.machines.onMachine = (port, event, about) => this.#machineEvent(port, event, about);
    this.#pinger = new Pinger(this.#plane);
    const replication = new Replication(this.#plane, () => this.#builder.forwarding.bridges);
    this.#builder.onChanged = (part) => replication.partChanged(part);
    this.#workers = new Workers(this.#plane, replication, options.nodes === undefined || options.nodes.length === 0, {
      workerLost: (worker, queues, why) => this.#workerLost(worker, queues, why),
      linkLost: (index, errno) => this.#linkLost(index, errno),
    });
    this.#views = new NetworkViews(this.#plane, this.#builder, this.#workers);
    this.#threads = new Threads(this.#plane.engine, this.#workers, () => this.#views.hardware());
    this.#configurator = new Configurator(this.#builder, {
      changing: (actions) => this.#recallTaps(actions),
      lost: (parts, why) => this.#partsLost(parts, why),
      met: (part) => this.#tell('info', 'configuration', 'part-met', `${part.key} is there again`, { part: part.key }),
    });
    this.#resolvers = followHostResolvers(this.#plane.policy);
    const host = readHostNetwork();
    if (host.ok) this.#plane.policy.setScopeId(host.value.ipv6?.interfaceIndex ?? host.value.ipv4?.interfaceIndex ?? 0);
    this.#plane.wiring.resolver.listener = {
      found: (neighbour) => this.#neighbourEvent('neighbour-found', neighbour),
      lost: (neighbour) => this.#neighbourEvent('neighbour-lost', neighbour),
    };
    this.#plane.engine.onLinkLost = (index, errno) => this.#linkLost(index, errno);
    this.#loop = new EventLoop(sys, this.#plane.engine, (error) => this.#broken(error));
    this.#repairs = setInterval(() => this.#lookAfter(), REPAIR_MS);
    this.#repairs.unref();
  }

  engine(): EngineView {
    const { name, version } = this.#options;
    const uptimeSeconds = Math.floor((performance.now() - this.#startedMs) / 1000);
    const { revision, unmet } = this.#configurator;
    return { name, version, pid: process.pid, uptimeSeconds, revision, unmet };
  }

  configuration(): { config: Config; revision: number } {
    return { config: this.#configurator.config, revision: this.#configurator.revision };
  }

  apply(config: Config, options?: ApplyOptions): Promise<Result<ApplyView>> {
    return this.#changes.run(async () => {
      if (this.#closed) return failure('engine-closed', 'the engine is ending');
      const applied = await this.#configurator.apply(config, options);
      if (options?.dryRun !== true) await this.#place(true);
      if (applied.ok && !applied.value.dryRun && applied.value.actions.length > 0) {
        const { revision, actions } = applied.value;
        const message = `revision ${revision}: ${actions.length} ${actions.length === 1 ? 'change' : 'changes'}`;
        for (const action of actions) this.#interfaceEvent(action);
        this.#tell('info', 'configuration', 'configuration-applied', message, { revision, actions });
      }
      return applied;
    });
  }

  interfaces(): InterfaceView[] {
    return this.#views.interfaces();
  }

  hardware(): HardwareView[] {
    return this.#views.hardware();
  }

  taps(): TapView[] {
    return this.#views.taps();
  }

  bridges(): BridgeView[] {
    return this.#views.bridges();
  }

  stations(bridge?: string): StationView[] {
    return this.#views.stations(bridge);
  }

  routes(family: 'ipv4' | 'ipv6', query?: { readonly within?: string; readonly limit?: number }): Result<RouteView[]> {
    return this.#views.routes(family, query);
  }

  neighbours(query?: { readonly interface?: string }): NeighbourView[] {
    return this.#views.neighbours(query);
  }

  flows(query?: FlowQuery): FlowView[] {
    return this.#views.flows(query);
  }

  threads(): ThreadView[] {
    return this.#threads.list();
  }

  runtime(): NodeView[] {
    return this.#threads.runtime();
  }

  errors(): ErrorView[] {
    return this.#threads.errors();
  }

  eventLog(limit?: number): EventView[] {
    return this.#events.list(limit);
  }

  onEvent(listener: (event: EventView) => void): () => void {
    return this.#events.subscribe(listener);
  }

  addTrace(node: string, count: number, filter?: string): Result<{ node: string; count: number }> {
    const { trace } = this.#plane.engine.graph;
    const compiled = filter === undefined ? undefined : compileFilter(filter);
    if (compiled?.ok === false) return compiled;
    const added = trace.add(node, count, compiled?.value);
    this.#placeSoon();
    return added;
  }

  traces(): TraceView[] {
    return traceViews(this.#plane.engine.graph.trace.records(), (index) => this.#plane.ports.nameOf(index));
  }

  nodes(): string[] {
    return this.#plane.engine.nodeCounters().map(({ name }) => name);
  }

  clear(what: Clearable): void {
    const { engine, forwarding, wiring } = this.#plane;
    switch (what) {
      case 'interfaces':
        engine.clearInterfaceCounters();
        forwarding.adjacencies.clearCounters();
        forwarding.interfaces.clearCounters();
        break;
      case 'runtime':
      case 'errors':
        this.#threads.clear(what);
        break;
      case 'trace':
        engine.graph.trace.clear();
        break;
      case 'l2fib':
        forwarding.l2fib.flush();
        break;
      case 'neighbours':
        for (const { index } of this.#plane.ports) wiring.resolver.table.flush(index);
        break;
      case 'event-log':
        this.#events.clear();
        break;
    }
  }

  startCapture(options: CaptureOptions): Result<CaptureView> {
    const started = this.#plane.captures.start(options);
    this.#placeSoon();
    return started;
  }

  stopCapture(name: string): Promise<Result<CaptureView>> {
    return this.#plane.captures.stop(name);
  }

  captures(): CaptureView[] {
    return this.#plane.captures.list();
  }

  ping(options: PingOptions): Promise<Result<PingView>> {
    return this.#pinger.ping(options);
  }

  close(): Promise<void> {
    clearInterval(this.#repairs);
    return this.#changes.run(async () => {
      if (this.#closed) return;
      this.#closed = true;
      await this.#workers.close();
      // Who is behind the links is told before these go.
      this.#plane.engine.closeFlows(-1);
      this.#plane.wiring.withdraw();
      this.#builder.taps.release();
      this.#builder.machines.release();
      this.#loop.stop();
      this.#plane.engine.close();
      this.#resolvers.close();
      await this.#plane.captures.close();
      await this.#flowLog?.close();
    });
  }

  #lookAfter(): void {
    this.#builder.taps.tellOfLost();
    void this.#changes.run(() => this.#repair());
  }

  /** May be called within a turn: what follows is done when it has ended. */
  #linkLost(index: number, errno: number): void {
    const port = this.#plane.ports.at(index);
    if (port === undefined || !isDevice(port)) return;
    if (port.kind !== 'tap') {
      this.#builder.machines.lose(port, errno);
      return;
    }
    if (port.device.lost) return;
    port.device.lost = true;
    const message = `the kernel's side of ${port.name} has gone (${errnoName(errno)})`;
    void this.#changes.run(async () => {
      await this.#workers.recall([index]);
      // A change that was in line before may have taken it away, or made another of its name.
      if (this.#plane.ports.at(index) !== port) return;
      this.#configurator.lose(port.name, { code: 'interface-lost', message });
    });
  }

  async #repair(): Promise<void> {
    if (this.#closed) return;
    await this.#configurator.repair();
    await this.#place(false);
  }

  /** Has queues served by their workers. */
  async #place(anew: boolean): Promise<void> {
    await this.#workers.place(anew);
    this.#loop.mode = this.#workers.mainMode;
  }

  /** Somebody has begun to look at packets. */
  #placeSoon(): void {
    void this.#changes.run(() => this.#place(false));
  }

  /** Workers let go of taps that are about to go, or to be changed. */
  async #recallTaps(actions: readonly Action[]): Promise<void> {
    const indexes = actions.flatMap(({ do: verb, part: { contents } }) => {
      if (verb === 'add' || contents.kind !== 'tap') return [];
      return this.#plane.ports.find(contents.interface)?.index ?? [];
    });
    await this.#workers.recall(indexes);
  }

  /** A machine's coming and going is its interface's link state. */
  #machineEvent({ name }: MachinePort, event: MachineEvent, about: string): void {
    const because = about === '' ? '' : ` (${about})`;
    switch (event) {
      case 'attached':
        this.#tell('info', 'interface', 'link-up', `${about} is plugged into ${name}`, {
          interface: name,
          peer: about,
        });
        break;
      case 'detached':
        this.#tell('info', 'interface', 'link-down', `the guest of ${name} has gone${because}`, { interface: name });
        break;
      case 'refused': {
        const message = `${about} was sent away from ${name}: there is a guest already`;
        this.#tell('warning', 'interface', 'guest-refused', message, { interface: name, peer: about });
        break;
      }
      case 'failed':
        this.#tell('warning', 'interface', 'guest-failed', `the guest of ${name}: ${about}`, { interface: name });
    }
  }

  #workerLost(worker: number, queues: readonly string[], why: string): void {
    const served = queues.length === 0 ? '' : `; the main thread serves ${queues.join(', ')} now`;
    this.#tell('error', 'error', 'worker-lost', `worker ${worker} has ended (${why})${served}`, { worker, queues });
  }

  #partsLost(parts: readonly Part[], why: Failure): void {
    const lost = parts.map(({ key }) => key);
    const [first] = lost;
    this.#tell('warning', 'interface', 'interface-lost', why.message, { part: first, lost });
  }

  #setLogging(logging: LoggingConfig): Result<void> {
    if (logging.flows !== this.#logging.flows) {
      const opened = logging.flows === undefined ? undefined : openFlowLog(logging.flows, this.#warn);
      if (opened?.ok === false) return opened;
      void this.#flowLog?.close();
      this.#flowLog = opened?.value;
    }
    this.#logging = logging;
    return success(undefined);
  }

  /** Interfaces that came, went, and changed their state. */
  #interfaceEvent({ action, part }: ActionView): void {
    const [kind, name] = part.split(' ');
    const events = { interface: ['interface-created', 'interface-removed'], up: ['interface-up', 'interface-down'] };
    const event = kind === 'interface' || kind === 'up' ? events[kind][action === 'add' ? 0 : 1] : undefined;
    if (event === undefined || name === undefined || action === 'change') return;
    this.#tell('debug', 'interface', event, `${name}: ${event.replace('interface-', '')}`, { interface: name });
  }

  #neighbourEvent(event: 'neighbour-found' | 'neighbour-lost', neighbour: number): void {
    const { table } = this.#plane.wiring.resolver;
    const word = (i: number): number => table.word(neighbour, i);
    const address = formatIpWords(word(0), word(1), word(2), word(3));
    const name = this.#plane.ports.nameOf(table.interfaceIndex(neighbour)) ?? '';
    const mac = formatMacAddress(new MacAddress(table.macHigh[neighbour]!, table.macLow[neighbour]!));
    const what = event === 'neighbour-found' ? `is at ${mac}` : 'does not answer any more';
    this.#tell('debug', 'neighbour', event, `${address} on ${name} ${what}`, { interface: name, address, mac });
  }

  #flowEvent(event: 'flow-opened' | 'flow-closed', record: FlowRecord): void {
    if (event === 'flow-opened') this.#flowLog?.opened(record);
    else this.#flowLog?.closed(record);
    if (!this.#events.isHeard) return;
    const view = flowView(record, this.#plane.ports.nameOf(record.interfaceIndex) ?? '');
    const message = `${view.protocol} ${view.guest} ${view.direction === 'out' ? '->' : '<-'} ${view.remote}`;
    this.#events.pass('flow', event, message, { ...view });
  }

  #tell(level: LogLevel, type: EventView['type'], event: string, message: string, data?: EventView['data']): void {
    this.#options.log(level, message);
    this.#events.add(type, event, message, data);
  }

  readonly #warn = (message: string): void => this.#tell('warning', 'error', 'log-failed', message);

  #broken(error: unknown): void {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.#tell('error', 'error', 'engine-broken', `the engine has stopped, by a mistake of ours: ${text}`);
  }
}
