/**
 * What can be asked of and told to a running network: the one interface between it and whoever controls it. The API is made of it, and so are tests. All of it
 * runs on the engine's thread, between turns; what takes longer than a moment gives a promise.
 *
 * Changes go by the configuration: whoever creates an interface changes the value and applies it (`configuration`, `apply`). So everything that is there stands in the
 * configuration, and every change is all or nothing.
 */
import type { Result } from '../base/result.ts';
import type { Config } from '../config/config.ts';
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
} from './views.ts';

export interface RunningNetwork {
  engine(): EngineView;
  /** As it was applied last. */
  configuration(): { readonly config: Config; readonly revision: number };
  /**
   * Changes the network to what `config` says, or leaves everything as it was. Fails with `revision-conflict` where `ifRevision` is not the present one. One at a time:
   * a second one waits.
   */
  apply(config: Config, options?: ApplyOptions): Promise<Result<ApplyView>>;

  interfaces(): InterfaceView[];
  hardware(): HardwareView[];
  taps(): TapView[];
  bridges(): BridgeView[];
  stations(bridge?: string): StationView[];
  /** At most `limit` routes of the family, those that cover or lie under `within` where that is given. */
  routes(family: 'ipv4' | 'ipv6', query?: { readonly within?: string; readonly limit?: number }): Result<RouteView[]>;
  neighbours(query?: { readonly interface?: string }): NeighbourView[];
  /** The newest first. */
  flows(query?: FlowQuery): FlowView[];
  threads(): ThreadView[];

  /** Times are there from the first time that somebody asked. */
  runtime(): NodeView[];
  errors(): ErrorView[];
  /** The newest last; at most `limit`. */
  eventLog(limit?: number): EventView[];
  /** Calls `listener` with each event from now on, until the returned function is called. */
  onEvent(listener: (event: EventView) => void): () => void;

  /** Asks for the next `count` packets that enter the node; `filter` in pcap syntax. */
  addTrace(node: string, count: number, filter?: string): Result<{ readonly node: string; readonly count: number }>;
  traces(): TraceView[];
  /** Names of the nodes that packets can be traced at. */
  nodes(): string[];
  clear(what: Clearable): void;

  startCapture(options: CaptureOptions): Result<CaptureView>;
  stopCapture(name: string): Promise<Result<CaptureView>>;
  captures(): CaptureView[];

  /** From our own address on the way there. */
  ping(options: PingOptions): Promise<Result<PingView>>;

  /** Ends all flows and takes down what was made. */
  close(): Promise<void>;
}

export interface ApplyOptions {
  readonly dryRun?: boolean;
  readonly ifRevision?: number;
}

export interface FlowQuery {
  readonly interface?: string;
  readonly protocol?: FlowView['protocol'];
  readonly limit?: number;
}

export const CLEARABLE = ['interfaces', 'runtime', 'errors', 'trace', 'l2fib', 'neighbours', 'event-log'] as const;
export type Clearable = (typeof CLEARABLE)[number];

export interface CaptureOptions {
  /** Left out: the interface's, and a number where that is taken. */
  readonly name?: string;
  /** `any`: all that there are, and those that come. */
  readonly interface: string;
  /** Absolute. It must not be there. */
  readonly file: string;
  /** Left out: both. */
  readonly directions?: readonly ('rx' | 'tx')[];
  /** As pcap-filter(7) has it. */
  readonly filter?: string;
  readonly packetsMax?: number;
  readonly bytesMax?: number;
  readonly bytesPerPacketMax?: number;
}

export interface PingOptions {
  readonly address: string;
  /** Left out: 5. */
  readonly count?: number;
  /** Left out: 1000. */
  readonly intervalMs?: number;
  /** Bytes of the echo request's data. Left out: 56. */
  readonly size?: number;
  /** For link-local addresses. */
  readonly interface?: string;
}
