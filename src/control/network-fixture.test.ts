/** A network that is none: it remembers what it was told, plans changes as the real one does, and has one of each thing to show. */
import { failure, type Result, success } from '../base/result.ts';
import type { Config } from '../config/config.ts';
import { describeAction } from '../config/describe-action.ts';
import { checkConfig } from '../config/parse-config.ts';
import { plan } from '../config/plan.ts';
import type {
  ApplyOptions,
  CaptureOptions,
  Clearable,
  FlowQuery,
  PingOptions,
  RunningNetwork,
} from '../network/running-network.ts';
import type {
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
} from '../network/views.ts';

/** `FakeNetwork` begins with it. */
export const CONFIG = {
  interfaces: {
    tap0: { tap: { host: { name: 'eth0', namespace: 'red' } }, address: ['10.0.0.1/24'] },
    tap1: { bridge: 'lan' },
  },
  bridges: { lan: {} },
  routes: [{ to: '10.9.0.0/16', via: '10.0.0.9' }],
};

export class FakeNetwork implements RunningNetwork {
  /** Names of calls with their arguments, as JSON. */
  readonly calls: string[] = [];
  /** The next `apply` fails with it. */
  failNext: ReturnType<typeof failure> | undefined = undefined;
  /** Called within `apply`, before it judges the revision. */
  whileApplying: () => Promise<void> | void = () => {};
  readonly log: EventView[] = [];
  readonly listeners: Set<(event: EventView) => void> = new Set();
  config: Config;
  revision = 1;
  applying = 0;

  constructor(config: unknown = CONFIG) {
    const parsed = checkConfig(config);
    if (!parsed.ok) throw new Error(parsed.failure.message);
    this.config = parsed.value;
  }

  /** Something happens. */
  emit(event: Partial<EventView> = {}): EventView {
    const id = (this.log.at(-1)?.id ?? 0) + 1;
    const full: EventView = {
      id,
      at: 1_700_000_000_000,
      type: 'interface',
      event: 'interface-up',
      message: 'tap0 is up',
      ...event,
    };
    this.log.push(full);
    for (const listener of this.listeners) listener(full);
    return full;
  }

  engine(): EngineView {
    const { revision } = this;
    return { name: 'main', version: '0.1.0', pid: process.pid, uptimeSeconds: 1.5, revision, unmet: [] };
  }

  configuration(): { readonly config: Config; readonly revision: number } {
    return { config: this.config, revision: this.revision };
  }

  async apply(config: Config, { dryRun = false, ifRevision }: ApplyOptions = {}): Promise<Result<ApplyView>> {
    if (++this.applying > 1) throw new Error('two at one time');
    await this.whileApplying();
    this.applying--;
    const { failNext } = this;
    this.failNext = undefined;
    if (failNext !== undefined) return failNext;
    if (ifRevision !== undefined && ifRevision !== this.revision) {
      return failure('revision-conflict', `the configuration is at revision ${this.revision}, not ${ifRevision}`);
    }
    const actions = plan(this.config, config).map((action) => {
      return { action: action.do, part: action.part.key, text: describeAction(action) };
    });
    if (!dryRun) {
      this.config = config;
      this.revision++;
    }
    return success({ revision: this.revision, dryRun, actions });
  }

  interfaces(): InterfaceView[] {
    const counters = { rxPackets: 7, rxBytes: 700, txPackets: 5, txBytes: 500, txErrors: 1, rxDrops: 2 };
    return [
      {
        name: 'tap0',
        index: 1,
        kind: 'tap',
        up: true,
        linkUp: true,
        mac: '02:fe:00:00:00:01',
        mtu: 1500,
        promiscuous: false,
        addresses: ['10.0.0.1/24'],
        services: [],
        counters,
      },
    ];
  }

  hardware(): HardwareView[] {
    return [
      {
        name: 'tap0',
        index: 1,
        device: 'tap',
        backend: 'read-write',
        linkUp: true,
        queues: [{ queue: 0, worker: 0, mode: 'interrupt' }],
        offloads: [],
        software: { segmented: 0, segments: 0, checksummed: 0, dropped: 0, joined: 0, joinedFrames: 0 },
      },
    ];
  }

  taps(): TapView[] {
    return [
      {
        name: 'tap0',
        index: 1,
        id: 0,
        mac: '02:fe:00:00:00:01',
        up: true,
        mode: 'tap',
        backend: 'read-write',
        rxQueues: 1,
        txQueues: 1,
        rxRingSize: 256,
        txRingSize: 256,
        offload: 'none',
        groCoalesce: false,
        persist: false,
        attach: false,
        host: {
          name: 'eth0',
          index: 2,
          namespace: 'red',
          mac: '02:00:00:00:00:02',
          mtu: 1500,
          addresses: ['10.0.0.2/24'],
          gateways: ['10.0.0.1'],
          up: true,
          carrier: true,
        },
      },
    ];
  }

  bridges(): BridgeView[] {
    const members = [{ interface: 'tap1', splitHorizonGroup: 0 }];
    return [
      { name: 'lan', learn: true, flood: true, ageingSeconds: 300, members, stations: 1, counters: { flooded: 3 } },
    ];
  }

  stations(bridge?: string): StationView[] {
    this.#call('stations', bridge);
    return [{ bridge: 'lan', mac: '02:00:00:00:00:03', interface: 'tap1', kind: 'learnt', ageSeconds: 4 }];
  }

  routes(family: 'ipv4' | 'ipv6', query: { within?: string; limit?: number } = {}): Result<RouteView[]> {
    this.#call('routes', family, query);
    if (query.within === 'nowhere') return failure('network-invalid', 'nowhere is no address and no network');
    const via = [
      { kind: 'address' as const, address: '10.0.0.9', interface: 'tap0', weight: 1, packets: 3, bytes: 300 },
    ];
    return success([{ to: '10.9.0.0/16', origin: 'configured', via }]);
  }

  neighbours(query: { interface?: string } = {}): NeighbourView[] {
    this.#call('neighbours', query);
    return [{ interface: 'tap0', address: '10.0.0.2', mac: '02:00:00:00:00:02', state: 'reachable', waiting: 0 }];
  }

  flows(query: FlowQuery = {}): FlowView[] {
    this.#call('flows', query);
    return [
      {
        id: 3,
        interface: 'tap0',
        protocol: 'tcp',
        direction: 'out',
        guest: '10.0.0.2:40000',
        remote: '192.0.2.1:443',
        name: 'example.org',
        outcome: 'open',
        packetsOut: 4,
        packetsIn: 5,
        bytesOut: 400,
        bytesIn: 5000,
        durationMs: 12.5,
        rttUs: 900,
      },
    ];
  }

  threads(): ThreadView[] {
    return [{ worker: 0, name: 'main', thread: process.pid, queues: ['tap0:0'], turns: 9, busyRatio: 0.25 }];
  }

  runtime(): NodeView[] {
    const counts = { calls: 2, vectors: 2, packets: 10, packetsPerVector: 5, packetsMax: 6, nsPerPacket: 80.5 };
    return [{ node: 'ip4-lookup', worker: 0, ...counts }];
  }

  errors(): ErrorView[] {
    return [{ node: 'ip4-lookup', reason: 'no-route', packets: 2 }];
  }

  eventLog(limit?: number): EventView[] {
    return limit === undefined ? [...this.log] : this.log.slice(-limit);
  }

  onEvent(listener: (event: EventView) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  addTrace(node: string, count: number, filter?: string): Result<{ readonly node: string; readonly count: number }> {
    this.#call('addTrace', node, count, filter);
    if (!this.nodes().includes(node)) return failure('trace-node-unknown', `there is no node ${node}`);
    return success({ node, count });
  }

  traces(): TraceView[] {
    const hops = [{ node: 'ip4-lookup', atUs: 1.5, text: '10.0.0.2 > 10.0.0.1', decision: 'to ip-local' }];
    return [{ number: 1, interface: 'tap0', frameBytes: 98, hops, hopsLeftOut: 0 }];
  }

  nodes(): string[] {
    return ['ip4-lookup', 'ip6-lookup'];
  }

  clear(what: Clearable): void {
    this.#call('clear', what);
  }

  startCapture(options: CaptureOptions): Result<CaptureView> {
    this.#call('startCapture', options);
    return success(this.#capture(options, true));
  }

  async stopCapture(name: string): Promise<Result<CaptureView>> {
    if (name !== 'tap0') return failure('capture-unknown', `there is no capture ${name}`);
    return success(this.#capture({ interface: name, file: '/tmp/a.pcap' }, false));
  }

  captures(): CaptureView[] {
    return [this.#capture({ interface: 'tap0', file: '/tmp/a.pcap' }, true)];
  }

  async ping(options: PingOptions): Promise<Result<PingView>> {
    this.#call('ping', options);
    const { address } = options;
    return success({
      address,
      sent: 1,
      received: 1,
      replies: [{ sequence: 1, from: address, bytes: 64, rttUs: 55.5, ttl: 64 }],
    });
  }

  async close(): Promise<void> {}

  #capture(options: CaptureOptions, active: boolean): CaptureView {
    const counts = { packets: 1, bytes: 98, filtered: 0 };
    return { name: options.interface, directions: ['rx', 'tx'], ...options, ...counts, active };
  }

  #call(...call: unknown[]): void {
    this.calls.push(JSON.stringify(call));
  }
}
