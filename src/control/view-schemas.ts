/** What the network tells (`network/views.ts`), as schemas: for the OpenAPI document, and checked by the compiler to be the same. */
import { z } from 'zod';
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
} from '../network/views.ts';
import type { ProblemDocument } from './api-error.ts';
import type { ConfigDocument, InterfaceDetail } from './client.ts';

/** Names of schemas in the OpenAPI document. Not in zod's own registry: a program that holds an engine has its names for itself. */
export const SCHEMA_NAMES: Map<z.ZodType, string> = new Map();

const text = z.string();
const flag = z.boolean();
const count = z.int().min(0);
const names = z.array(text);
const direction = z.array(z.enum(['rx', 'tx']));
const backend = z.enum(['read-write', 'vhost-net']);

function named<Value>(name: string, schema: z.ZodType<Value>): z.ZodType<Value> {
  SCHEMA_NAMES.set(schema, name);
  return schema;
}

export const DOCUMENT_VIEW: z.ZodType<ConfigDocument> = z
  .record(text, z.unknown())
  .describe('As in a file: docs/config.md, and the body of `PUT /v1/config`.');

export const ENGINE_VIEW: z.ZodType<EngineView> = named(
  'Engine',
  z.strictObject({
    name: text,
    version: text,
    pid: count,
    uptimeSeconds: z.number(),
    revision: count.describe('Grows with each change of the configuration.'),
    unmet: z
      .array(z.strictObject({ part: text, code: text, message: text }))
      .describe('What the configuration wants and is not there.'),
  }),
);

export const INTERFACE_VIEW: z.ZodType<InterfaceView> = named(
  'Interface',
  z.strictObject({
    name: text,
    index: count.describe('Never used again while the engine runs.'),
    kind: z.enum(['tap', 'stream', 'datagram', 'vhost-user', 'vlan', 'bvi']),
    up: flag.describe('Admin state.'),
    linkUp: flag.describe('Whether the other side can hear us.'),
    mac: text,
    mtu: count,
    promiscuous: flag,
    addresses: names,
    bridge: text.exactOptional(),
    splitHorizonGroup: count.exactOptional(),
    vlan: count.exactOptional(),
    parent: text.exactOptional(),
    services: names,
    counters: z.strictObject({
      rxPackets: count,
      rxBytes: count,
      txPackets: count,
      txBytes: count,
      txErrors: count.describe('Frames that the link did not take.'),
      rxDrops: count.describe('Dropped on the way in, whatever the node.'),
    }),
  }),
);

export const HARDWARE_VIEW: z.ZodType<HardwareView> = named(
  'HardwareInterface',
  z.strictObject({
    name: text,
    index: count,
    device: text,
    backend: z.enum(['read-write', 'vhost-net', 'socket', 'shared-memory']),
    socket: text.exactOptional().describe('Where a virtual machine is plugged in.'),
    linkUp: flag,
    queues: z.array(
      z.strictObject({ queue: count, worker: count, mode: z.enum(['polling', 'interrupt', 'adaptive']) }),
    ),
    offloads: names,
    software: z
      .strictObject({
        segmented: count,
        segments: count,
        checksummed: count,
        dropped: count,
        joined: count,
        joinedFrames: count,
      })
      .describe(
        'Frames cut into segments and checksums completed for a link that does not do it, and frames joined into large ones for one that takes these.',
      ),
  }),
);

export const TAP_VIEW: z.ZodType<TapView> = named(
  'Tap',
  z.strictObject({
    name: text,
    index: count,
    id: count,
    mac: text,
    up: flag,
    mode: z.enum(['tap', 'tun']),
    backend,
    rxQueues: count,
    txQueues: count,
    rxRingSize: count,
    txRingSize: count,
    offload: z.enum(['gso', 'csum', 'none']),
    groCoalesce: flag,
    persist: flag,
    attach: flag,
    host: z.strictObject({
      name: text,
      index: count,
      namespace: text.exactOptional(),
      bridge: text.exactOptional(),
      mac: text,
      mtu: count,
      addresses: names,
      gateways: names,
      up: flag,
      carrier: flag,
    }),
  }),
);

export const INTERFACE_DETAIL: z.ZodType<InterfaceDetail> = named(
  'InterfaceDetail',
  z.strictObject({
    name: text,
    config: DOCUMENT_VIEW.exactOptional(),
    interface: INTERFACE_VIEW.exactOptional(),
    hardware: HARDWARE_VIEW.exactOptional(),
    tap: TAP_VIEW.exactOptional(),
  }),
);

export const BRIDGE_VIEW: z.ZodType<BridgeView> = named(
  'Bridge',
  z.strictObject({
    name: text,
    learn: flag,
    flood: flag,
    ageingSeconds: z.number(),
    bvi: text.exactOptional(),
    members: z.array(z.strictObject({ interface: text, splitHorizonGroup: count })),
    stations: count,
    counters: z.record(text, count),
  }),
);

export const STATION_VIEW: z.ZodType<StationView> = named(
  'Station',
  z.strictObject({
    bridge: text,
    mac: text,
    interface: text,
    kind: z.enum(['learnt', 'static', 'bvi']),
    ageSeconds: z.number().exactOptional(),
  }),
);

export const ROUTE_VIEW: z.ZodType<RouteView> = named(
  'Route',
  z.strictObject({
    to: text,
    origin: z.enum(['local', 'connected', 'configured']),
    via: z.array(
      z.strictObject({
        kind: z.enum(['local', 'connected', 'address', 'interface', 'uplink', 'drop']),
        address: text.exactOptional(),
        interface: text.exactOptional(),
        weight: count,
        packets: count,
        bytes: count,
      }),
    ),
  }),
);

export const NEIGHBOUR_VIEW: z.ZodType<NeighbourView> = named(
  'Neighbour',
  z.strictObject({ interface: text, address: text, mac: text.exactOptional(), state: text, waiting: count }),
);

export const FLOW_PROTOCOL: z.ZodType<FlowView['protocol']> = z.enum(['tcp', 'udp', 'icmp', 'icmpv6']);

export const FLOW_VIEW: z.ZodType<FlowView> = named(
  'Flow',
  z.strictObject({
    id: count,
    interface: text,
    protocol: FLOW_PROTOCOL,
    direction: z.enum(['out', 'in']),
    guest: text,
    remote: text,
    target: text.exactOptional(),
    name: text.exactOptional(),
    outcome: text,
    packetsOut: count,
    packetsIn: count,
    bytesOut: count,
    bytesIn: count,
    durationMs: z.number(),
    rttUs: z.number().exactOptional(),
  }),
);

export const NODE_VIEW: z.ZodType<NodeView> = named(
  'NodeRuntime',
  z.strictObject({
    node: text,
    worker: count,
    calls: count,
    vectors: count,
    packets: count,
    packetsPerVector: z.number(),
    packetsMax: count,
    nsPerPacket: z.number().exactOptional(),
  }),
);

export const ERROR_VIEW: z.ZodType<ErrorView> = named(
  'ErrorCounter',
  z.strictObject({ node: text, reason: text, packets: count }),
);

export const THREAD_VIEW: z.ZodType<ThreadView> = named(
  'Thread',
  z.strictObject({ worker: count, name: text, thread: count, queues: names, turns: count, busyRatio: z.number() }),
);

export const EVENT_TYPES: readonly EventView['type'][] = [
  'interface',
  'neighbour',
  'flow',
  'error',
  'configuration',
  'capture',
];

export const EVENT_VIEW: z.ZodType<EventView> = named(
  'Event',
  z.strictObject({
    id: count,
    at: z.number().describe('Milliseconds since the epoch.'),
    type: z.enum(EVENT_TYPES as [EventView['type'], ...EventView['type'][]]),
    event: text,
    message: text,
    data: z.record(text, z.unknown()).exactOptional(),
  }),
);

export const TRACE_VIEW: z.ZodType<TraceView> = named(
  'Trace',
  z.strictObject({
    number: count,
    interface: text.exactOptional(),
    frameBytes: count,
    hops: z.array(z.strictObject({ node: text, atUs: z.number(), text, decision: text })),
    hopsLeftOut: count,
  }),
);

export const CAPTURE_VIEW: z.ZodType<CaptureView> = named(
  'Capture',
  z.strictObject({
    name: text,
    interface: text,
    file: text,
    directions: direction,
    filter: text.exactOptional(),
    packetsMax: count.exactOptional(),
    bytesMax: count.exactOptional(),
    bytesPerPacketMax: count.exactOptional(),
    packets: count,
    bytes: count,
    filtered: count,
    dropped: count.exactOptional(),
    active: flag,
    ended: text.exactOptional(),
  }),
);

export const PING_VIEW: z.ZodType<PingView> = named(
  'Ping',
  z.strictObject({
    address: text,
    sent: count,
    received: count,
    replies: z.array(
      z.strictObject({
        sequence: count,
        from: text,
        bytes: count,
        rttUs: z.number().exactOptional(),
        ttl: count.exactOptional(),
        error: text.exactOptional(),
      }),
    ),
  }),
);

const ACTION_VIEW: z.ZodType<ActionView> = z.strictObject({
  action: z.enum(['add', 'remove', 'change']),
  part: text,
  text,
});

export const APPLY_VIEW: z.ZodType<ApplyView> = named(
  'Applied',
  z.strictObject({ revision: count, dryRun: flag, actions: z.array(ACTION_VIEW) }),
);

export const PROBLEM_DOCUMENT: z.ZodType<ProblemDocument> = named(
  'Problem',
  z.strictObject({
    type: text.describe('`urn:tapster:problem:` and the code.'),
    title: text,
    status: count,
    detail: text,
    code: text.describe('Stable, for programs.'),
    problems: z
      .array(
        z.strictObject({
          code: text,
          line: count.describe('Counts from 1; 0: it was no text.'),
          column: count,
          path: z.array(z.union([text, count])),
          value: text,
          message: text,
        }),
      )
      .readonly()
      .exactOptional(),
  }),
);
