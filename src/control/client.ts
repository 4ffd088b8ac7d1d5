/**
 * The client of a running engine: what `tapster ctl` is made of, and what `import { connect } from 'tapster'` gives.
 *
 *     const engine = await connect();
 *     for (const { name, counters } of await engine.interfaces()) console.log(name, counters.rxPackets);
 *
 * Each method is one request and throws an `ApiError`. Whatever changes the configuration changes all of it or nothing. Loads no package.
 */
import type { ApplyOptions, CaptureOptions, Clearable, FlowQuery, PingOptions } from '../network/running-network.ts';
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
import { endpointOf } from './endpoint.ts';
import { readEvents } from './event-reader.ts';
import { type Answer, type Call, HttpClient } from './http-client.ts';
import { etagOf, revisionOf } from './revision-tag.ts';

export interface ConnectOptions {
  /** An absolute path. Excludes `name` and `url`. */
  readonly socketPath?: string;
  /** Of an engine of the present user. Left out, as all: `main`. */
  readonly name?: string;
  /** As `http://127.0.0.1:7100`: loopback addresses only. */
  readonly url?: string;
  /** Goes with `url`. */
  readonly token?: string;
  /** No answer for so long: the request fails. Left out: 150 seconds, more than the longest change or ping. */
  readonly timeoutMs?: number;
}

/** Plain JSON, as it is written in a file: docs/config.md. */
export type ConfigDocument = Readonly<Record<string, unknown>>;

export interface Configuration {
  /** With all defaults. */
  readonly document: ConfigDocument;
  readonly revision: number;
}

/** One interface, sub-interface (`tap0.100`) or BVI (`bvi.lan`). */
export interface InterfaceDetail {
  readonly name: string;
  /** As it stands in the configuration. */
  readonly config?: ConfigDocument;
  /** Left out: it is not there now, see `EngineView.unmet`. */
  readonly interface?: InterfaceView;
  readonly hardware?: HardwareView;
  readonly tap?: TapView;
}

/** As it stands in the configuration: `{ to: '0.0.0.0/0', via: 'uplink' }`. */
export interface RouteDocument {
  readonly to: string;
  readonly via: string | readonly (string | { readonly via: string; readonly weight?: number })[];
}

export interface NeighbourDocument {
  readonly interface: string;
  readonly address: string;
  readonly mac: string;
}

export interface EventsOptions {
  /** Left out: all. */
  readonly types?: readonly EventView['type'][];
  /** Begin behind the event of this number, as far as the engine still knows them. Left out: with what happens from now on. */
  readonly after?: number;
  /** Told when the engine left out events: they were too many for how fast they were read, or it has forgotten them. */
  readonly onLost?: (count: number) => void;
  readonly signal?: AbortSignal;
}

export interface Client {
  /** Where it is connected to, for messages. */
  readonly where: string;

  engine(): Promise<EngineView>;
  /** Asks it to end; it does when this was answered. */
  stopEngine(): Promise<void>;

  configuration(): Promise<Configuration>;
  /** Changes the network to what the document says; text is YAML, whose mistakes are told with line and column. */
  putConfiguration(document: ConfigDocument | string, options?: ApplyOptions): Promise<ApplyView>;

  interfaces(): Promise<InterfaceView[]>;
  interface(name: string): Promise<InterfaceDetail>;
  /** `tap0.100` makes a sub-interface of `tap0`, `bvi.lan` the BVI of bridge `lan`. */
  createInterface(name: string, value: ConfigDocument, options?: ApplyOptions): Promise<ApplyView>;
  /** By a merge patch (RFC 7396): what is `null` goes back to its default. */
  changeInterface(name: string, patch: ConfigDocument, options?: ApplyOptions): Promise<ApplyView>;
  deleteInterface(name: string, options?: ApplyOptions): Promise<ApplyView>;
  hardware(): Promise<HardwareView[]>;
  taps(): Promise<TapView[]>;

  bridges(): Promise<BridgeView[]>;
  createBridge(name: string, value: ConfigDocument, options?: ApplyOptions): Promise<ApplyView>;
  changeBridge(name: string, patch: ConfigDocument, options?: ApplyOptions): Promise<ApplyView>;
  deleteBridge(name: string, options?: ApplyOptions): Promise<ApplyView>;
  stations(bridge?: string): Promise<StationView[]>;

  routes(family: 'ipv4' | 'ipv6', query?: { readonly within?: string; readonly limit?: number }): Promise<RouteView[]>;
  addRoute(route: RouteDocument, options?: ApplyOptions): Promise<ApplyView>;
  deleteRoute(to: string, options?: ApplyOptions): Promise<ApplyView>;

  neighbours(query?: { readonly interface?: string }): Promise<NeighbourView[]>;
  addNeighbour(neighbour: NeighbourDocument, options?: ApplyOptions): Promise<ApplyView>;
  deleteNeighbour(interfaceName: string, address: string, options?: ApplyOptions): Promise<ApplyView>;

  /** As configured; null: none. */
  uplink(): Promise<ConfigDocument | null>;
  /** Null takes it away. */
  setUplink(value: ConfigDocument | null, options?: ApplyOptions): Promise<ApplyView>;

  flows(query?: FlowQuery): Promise<FlowView[]>;
  threads(): Promise<ThreadView[]>;
  runtime(): Promise<NodeView[]>;
  errors(): Promise<ErrorView[]>;
  eventLog(limit?: number): Promise<EventView[]>;
  /** What happens, until the engine ends, the signal comes, or the loop is left. */
  events(options?: EventsOptions): AsyncIterable<EventView>;
  /** In Prometheus' text format. */
  metrics(): Promise<string>;

  addTrace(node: string, count: number, filter?: string): Promise<{ readonly node: string; readonly count: number }>;
  traces(): Promise<TraceView[]>;
  nodes(): Promise<string[]>;
  clear(what: Clearable): Promise<void>;

  startCapture(options: CaptureOptions): Promise<CaptureView>;
  stopCapture(name: string): Promise<CaptureView>;
  captures(): Promise<CaptureView[]>;

  ping(options: PingOptions): Promise<PingView>;

  /** Ends what is under way. Nothing has to be closed for the program to end. */
  close(): Promise<void>;
}

/** Finds the engine, and asks it whether it is one. */
export async function connect(options: ConnectOptions = {}): Promise<Client> {
  const { endpoint, where } = endpointOf(options);
  const client = new ApiClient(new HttpClient(endpoint), where);
  await client.engine();
  return client;
}

class ApiClient implements Client {
  readonly where: string;
  readonly #http: HttpClient;

  constructor(http: HttpClient, where: string) {
    this.where = where;
    this.#http = http;
  }

  engine(): Promise<EngineView> {
    return this.#get('/v1/engine');
  }

  async stopEngine(): Promise<void> {
    await this.#http.send({ method: 'POST', path: '/v1/stop' });
  }

  async configuration(): Promise<Configuration> {
    const answer = await this.#http.send({ method: 'GET', path: '/v1/config' });
    return { document: jsonOf(answer), revision: revisionOf(answer.etag) ?? 0 };
  }

  putConfiguration(document: ConfigDocument | string, options?: ApplyOptions): Promise<ApplyView> {
    const headers = typeof document === 'string' ? { 'content-type': 'application/yaml' } : undefined;
    return this.#apply({ method: 'PUT', path: '/v1/config', body: document, headers }, options);
  }

  interfaces(): Promise<InterfaceView[]> {
    return this.#get('/v1/interfaces');
  }

  interface(name: string): Promise<InterfaceDetail> {
    return this.#get(`/v1/interfaces/${encodeURIComponent(name)}`);
  }

  createInterface(name: string, value: ConfigDocument, options?: ApplyOptions): Promise<ApplyView> {
    return this.#apply({ method: 'POST', path: '/v1/interfaces', body: { name, config: value } }, options);
  }

  changeInterface(name: string, patch: ConfigDocument, options?: ApplyOptions): Promise<ApplyView> {
    return this.#apply(mergePatch(`/v1/interfaces/${encodeURIComponent(name)}`, patch), options);
  }

  deleteInterface(name: string, options?: ApplyOptions): Promise<ApplyView> {
    return this.#apply({ method: 'DELETE', path: `/v1/interfaces/${encodeURIComponent(name)}` }, options);
  }

  hardware(): Promise<HardwareView[]> {
    return this.#get('/v1/hardware-interfaces');
  }

  taps(): Promise<TapView[]> {
    return this.#get('/v1/taps');
  }

  bridges(): Promise<BridgeView[]> {
    return this.#get('/v1/bridges');
  }

  createBridge(name: string, value: ConfigDocument, options?: ApplyOptions): Promise<ApplyView> {
    return this.#apply({ method: 'POST', path: '/v1/bridges', body: { name, config: value } }, options);
  }

  changeBridge(name: string, patch: ConfigDocument, options?: ApplyOptions): Promise<ApplyView> {
    return this.#apply(mergePatch(`/v1/bridges/${encodeURIComponent(name)}`, patch), options);
  }

  deleteBridge(name: string, options?: ApplyOptions): Promise<ApplyView> {
    return this.#apply({ method: 'DELETE', path: `/v1/bridges/${encodeURIComponent(name)}` }, options);
  }

  stations(bridge?: string): Promise<StationView[]> {
    return this.#get('/v1/l2fib', { bridge });
  }

  routes(family: 'ipv4' | 'ipv6', query: { within?: string; limit?: number } = {}): Promise<RouteView[]> {
    return this.#get('/v1/routes', { family, ...query });
  }

  addRoute(route: RouteDocument, options?: ApplyOptions): Promise<ApplyView> {
    return this.#apply({ method: 'POST', path: '/v1/routes', body: route }, options);
  }

  deleteRoute(to: string, options?: ApplyOptions): Promise<ApplyView> {
    return this.#apply({ method: 'DELETE', path: '/v1/routes', query: { to } }, options);
  }

  neighbours(query: { interface?: string } = {}): Promise<NeighbourView[]> {
    return this.#get('/v1/neighbours', query);
  }

  addNeighbour(neighbour: NeighbourDocument, options?: ApplyOptions): Promise<ApplyView> {
    return this.#apply({ method: 'POST', path: '/v1/neighbours', body: neighbour }, options);
  }

  deleteNeighbour(interfaceName: string, address: string, options?: ApplyOptions): Promise<ApplyView> {
    const query = { interface: interfaceName, address };
    return this.#apply({ method: 'DELETE', path: '/v1/neighbours', query }, options);
  }

  uplink(): Promise<ConfigDocument | null> {
    return this.#get('/v1/uplink');
  }

  setUplink(value: ConfigDocument | null, options?: ApplyOptions): Promise<ApplyView> {
    if (value === null) return this.#apply({ method: 'DELETE', path: '/v1/uplink' }, options);
    return this.#apply({ method: 'PUT', path: '/v1/uplink', body: value }, options);
  }

  flows(query: FlowQuery = {}): Promise<FlowView[]> {
    return this.#get('/v1/flows', { ...query });
  }

  threads(): Promise<ThreadView[]> {
    return this.#get('/v1/threads');
  }

  runtime(): Promise<NodeView[]> {
    return this.#get('/v1/runtime');
  }

  errors(): Promise<ErrorView[]> {
    return this.#get('/v1/errors');
  }

  eventLog(limit?: number): Promise<EventView[]> {
    return this.#get('/v1/event-log', { limit });
  }

  async *events({ types, after, onLost, signal }: EventsOptions = {}): AsyncGenerator<EventView, void, undefined> {
    const call: Call = {
      method: 'GET',
      path: '/v1/events',
      query: { types: types?.join(',') },
      headers: {
        accept: 'text/event-stream',
        ...(after === undefined ? {} : { 'last-event-id': String(after) }),
      },
    };
    if (signal?.aborted) return;
    for await (const { event, data } of readEvents(this.#http.stream(call, signal))) {
      if (event === 'lost') onLost?.((JSON.parse(data) as { count: number }).count);
      else yield JSON.parse(data) as EventView;
    }
  }

  async metrics(): Promise<string> {
    return (await this.#http.send({ method: 'GET', path: '/metrics', headers: { accept: 'text/plain' } })).text;
  }

  addTrace(node: string, count: number, filter?: string): Promise<{ readonly node: string; readonly count: number }> {
    return this.#post('/v1/trace', { node, count, filter });
  }

  traces(): Promise<TraceView[]> {
    return this.#get('/v1/trace');
  }

  nodes(): Promise<string[]> {
    return this.#get('/v1/nodes');
  }

  async clear(what: Clearable): Promise<void> {
    await this.#http.send({ method: 'POST', path: '/v1/clear', body: { what } });
  }

  startCapture(options: CaptureOptions): Promise<CaptureView> {
    return this.#post('/v1/captures', options);
  }

  async stopCapture(name: string): Promise<CaptureView> {
    return jsonOf(await this.#http.send({ method: 'DELETE', path: `/v1/captures/${encodeURIComponent(name)}` }));
  }

  captures(): Promise<CaptureView[]> {
    return this.#get('/v1/captures');
  }

  ping(options: PingOptions): Promise<PingView> {
    return this.#post('/v1/ping', options);
  }

  async close(): Promise<void> {
    this.#http.close();
  }

  async #get<T>(path: string, query?: Call['query']): Promise<T> {
    return jsonOf(await this.#http.send({ method: 'GET', path, query }));
  }

  async #post<T>(path: string, body: unknown): Promise<T> {
    return jsonOf(await this.#http.send({ method: 'POST', path, body }));
  }

  async #apply(call: Call, { dryRun, ifRevision }: ApplyOptions = {}): Promise<ApplyView> {
    const query = { ...call.query, dryRun };
    const headers = { ...call.headers, ...(ifRevision === undefined ? {} : { 'if-match': etagOf(ifRevision) }) };
    return jsonOf(await this.#http.send({ ...call, query, headers }));
  }
}

function mergePatch(path: string, patch: ConfigDocument): Call {
  return { method: 'PATCH', path, body: patch, headers: { 'content-type': 'application/merge-patch+json' } };
}

function jsonOf<T>({ text }: Answer): T {
  return JSON.parse(text) as T;
}
