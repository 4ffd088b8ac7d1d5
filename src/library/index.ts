/** What `import 'tapster'` gives. Each name is documented where it is defined. */
// biome-ignore-all lint/performance/noBarrelFile: this is the package's surface
export {
  formatIpAddress,
  formatIpPrefix,
  formatMacAddress,
  type IpAddress,
  type IpPrefix,
  ipv4Address,
  type MacAddress,
  parseIpAddress,
  parseIpPrefix,
  parseMacAddress,
} from '../base/address.ts';
export { ApiError, type ProblemDocument } from '../control/api-error.ts';
export {
  type Client,
  type ConfigDocument,
  type Configuration,
  type ConnectOptions,
  connect,
  type EventsOptions,
  type InterfaceDetail,
  type NeighbourDocument,
  type RouteDocument,
} from '../control/client.ts';
export type { ApplyOptions, CaptureOptions, Clearable, FlowQuery, PingOptions } from '../network/running-network.ts';
export type {
  ActionView,
  ApplyView,
  BridgeView,
  CaptureView,
  EngineView,
  ErrorView,
  EventView,
  FlowView,
  HardwareView,
  InterfaceCountersView,
  InterfaceView,
  NeighbourView,
  NodeView,
  PingView,
  QueueView,
  RouteHopView,
  RouteView,
  StationView,
  TapView,
  ThreadView,
  TraceView,
  UnmetView,
} from '../network/views.ts';
export { describeFrame } from '../packet/describe.ts';
/** Reading and writing protocol headers in a DataView: `ipv4.source(view, at)`. Nothing is allocated; `check` says whether the bytes are there. */
export * as arp from '../wire/arp.ts';
export * as checksum from '../wire/checksum.ts';
export * as ethernet from '../wire/ethernet.ts';
export * as icmp from '../wire/icmp.ts';
export * as icmpv6 from '../wire/icmpv6.ts';
export * as ipv4 from '../wire/ipv4.ts';
export * as ipv6 from '../wire/ipv6.ts';
export * as tcp from '../wire/tcp.ts';
export * as udp from '../wire/udp.ts';
export { createEngine } from './create-engine.ts';
export { CUSTOM_NODE_PLACES, type CustomNode, DROP, PASS, type PacketColumns } from './custom-node.ts';
export type { CreateEngineOptions, Engine } from './engine.ts';
export type { FrameHeader, GsoType } from './frame-header.ts';
export { openTap } from './open-tap.ts';
export type {
  FramePort,
  OpenTapOptions,
  Sendable,
  Tap,
  TapBatch,
  TapCounters,
  TapOffload,
  TapQueue,
} from './tap.ts';
export { TapsterError } from './tapster-error.ts';
