/**
 * What a running network tells of itself: plain data, the same in the library, in the API's answers and behind `tapster ctl`. Numbers have their unit in
 * their name; addresses are text; what is not known is left out. Lists come in the order of creation unless said otherwise.
 */

/** Where a network comes from, and for how long it is there. */
export interface EngineView {
  readonly name: string;
  readonly version: string;
  readonly pid: number;
  readonly uptimeSeconds: number;
  /** Grows with each change of the configuration. */
  readonly revision: number;
  /** What the configuration wants and is not there: see `UnmetView`. */
  readonly unmet: readonly UnmetView[];
}

/** A part of the configuration that is not there now, though it was, or could not be brought back. */
export interface UnmetView {
  /** As `interface tap0`. */
  readonly part: string;
  readonly code: string;
  readonly message: string;
}

export interface InterfaceCountersView {
  readonly rxPackets: number;
  readonly rxBytes: number;
  /** Frames that the link took. */
  readonly txPackets: number;
  readonly txBytes: number;
  /** Frames that the link did not take. */
  readonly txErrors: number;
  /** Dropped on the way in, whatever the node: those that `show errors` has of packets of this interface are among them. */
  readonly rxDrops: number;
}

/** `show interface`: everything that packets come and go by. */
export interface InterfaceView {
  /** `tap0`, `tap0.100` or `bvi.lan`. */
  readonly name: string;
  /** Never used again while the engine runs. */
  readonly index: number;
  readonly kind: 'tap' | 'stream' | 'datagram' | 'vhost-user' | 'vlan' | 'bvi';
  /** Admin state. */
  readonly up: boolean;
  /** Whether the other side can hear us: its device is there and up. */
  readonly linkUp: boolean;
  readonly mac: string;
  readonly mtu: number;
  readonly promiscuous: boolean;
  readonly addresses: readonly string[];
  /** The bridge that it is a member of, or whose BVI it is. */
  readonly bridge?: string;
  readonly splitHorizonGroup?: number;
  readonly vlan?: number;
  readonly parent?: string;
  /** Services that are configured: `dhcp`, `ra`, `dns`. */
  readonly services: readonly string[];
  readonly counters: InterfaceCountersView;
}

/** `show hardware-interfaces`: what is behind an interface. */
export interface HardwareView {
  readonly name: string;
  readonly index: number;
  /** `tap`, `tun`, `stream`, `vhost-user`. */
  readonly device: string;
  readonly backend: 'read-write' | 'vhost-net' | 'socket' | 'shared-memory';
  /** Where a virtual machine is plugged in. */
  readonly socket?: string;
  readonly linkUp: boolean;
  readonly queues: readonly QueueView[];
  readonly offloads: readonly string[];
  /** Work that the software did: frames cut into segments and checksums completed for a link that lacks it, and frames joined into large ones (`joinedFrames`) for one that takes these. */
  readonly software: {
    readonly segmented: number;
    readonly segments: number;
    readonly checksummed: number;
    readonly dropped: number;
    readonly joined: number;
    readonly joinedFrames: number;
  };
}

export interface QueueView {
  readonly queue: number;
  readonly worker: number;
  readonly mode: 'polling' | 'interrupt' | 'adaptive';
}

/** `show tap`: the kernel's side, as `sw_interface_tap_v2_dump` has it. */
export interface TapView {
  readonly name: string;
  readonly index: number;
  readonly id: number;
  readonly mac: string;
  readonly up: boolean;
  readonly mode: 'tap' | 'tun';
  readonly backend: 'read-write' | 'vhost-net';
  readonly rxQueues: number;
  readonly txQueues: number;
  readonly rxRingSize: number;
  readonly txRingSize: number;
  readonly offload: 'gso' | 'csum' | 'none';
  readonly groCoalesce: boolean;
  readonly persist: boolean;
  readonly attach: boolean;
  readonly host: {
    readonly name: string;
    /** The kernel's number of it. */
    readonly index: number;
    readonly namespace?: string;
    readonly bridge?: string;
    readonly mac: string;
    readonly mtu: number;
    readonly addresses: readonly string[];
    readonly gateways: readonly string[];
    readonly up: boolean;
    readonly carrier: boolean;
  };
}

/** `show bridge-domain`. */
export interface BridgeView {
  readonly name: string;
  readonly learn: boolean;
  readonly flood: boolean;
  /** 0: stations are never forgotten. */
  readonly ageingSeconds: number;
  readonly bvi?: string;
  readonly members: readonly { readonly interface: string; readonly splitHorizonGroup: number }[];
  readonly stations: number;
  readonly counters: Readonly<Record<string, number>>;
}

/** `show l2fib`. */
export interface StationView {
  readonly bridge: string;
  readonly mac: string;
  readonly interface: string;
  readonly kind: 'learnt' | 'static' | 'bvi';
  /** Since it was heard last; only of those that were learnt. */
  readonly ageSeconds?: number;
}

/** `show ip fib`: by address, then from the shortest prefix to the longest. */
export interface RouteView {
  readonly to: string;
  /** `local`: an address of ours; `connected`: its network; `configured`: a route of the configuration. */
  readonly origin: 'local' | 'connected' | 'configured';
  readonly via: readonly RouteHopView[];
}

export interface RouteHopView {
  readonly kind: 'local' | 'connected' | 'address' | 'interface' | 'uplink' | 'drop';
  readonly address?: string;
  readonly interface?: string;
  readonly weight: number;
  readonly packets: number;
  readonly bytes: number;
}

/** `show ip neighbors`. */
export interface NeighbourView {
  readonly interface: string;
  readonly address: string;
  /** Left out: not known. */
  readonly mac?: string;
  /** As `reachable`, `stale`, `incomplete`, `failed`, `static`. */
  readonly state: string;
  /** Packets that wait for it. */
  readonly waiting: number;
}

/** `show flows`: conversations with the host. */
export interface FlowView {
  readonly id: number;
  readonly interface: string;
  readonly protocol: 'tcp' | 'udp' | 'icmp' | 'icmpv6';
  readonly direction: 'out' | 'in';
  readonly guest: string;
  readonly remote: string;
  /** Where the host's socket really goes, if not to `remote`. */
  readonly target?: string;
  readonly name?: string;
  readonly outcome: string;
  readonly packetsOut: number;
  readonly packetsIn: number;
  readonly bytesOut: number;
  readonly bytesIn: number;
  readonly durationMs: number;
  readonly rttUs?: number;
}

/** `show runtime`, of one node. */
export interface NodeView {
  readonly node: string;
  readonly worker: number;
  readonly calls: number;
  /** Frames: a call has one. */
  readonly vectors: number;
  readonly packets: number;
  readonly packetsPerVector: number;
  readonly packetsMax: number;
  /** Left out: not timed. */
  readonly nsPerPacket?: number;
}

/** `show errors`. */
export interface ErrorView {
  readonly node: string;
  readonly reason: string;
  readonly packets: number;
}

/** `show threads`. */
export interface ThreadView {
  readonly worker: number;
  readonly name: string;
  readonly thread: number;
  /** As `tap0:0`: interface and queue. */
  readonly queues: readonly string[];
  readonly turns: number;
  readonly busyRatio: number;
}

/** `show event-log`, and `/v1/events`. */
export interface EventView {
  /** Counted from 1 since the engine began. */
  readonly id: number;
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly type: 'interface' | 'neighbour' | 'flow' | 'error' | 'configuration' | 'capture';
  /** As `interface-up`, `interface-lost`, `neighbour-changed`, `flow-opened`. */
  readonly event: string;
  readonly message: string;
  /** What the event is about: a view of it, or part of one. */
  readonly data?: Readonly<Record<string, unknown>>;
}

/** `show trace`: one packet's way. */
export interface TraceView {
  readonly number: number;
  /** Left out: from no interface. */
  readonly interface?: string;
  readonly frameBytes: number;
  readonly hops: readonly {
    readonly node: string;
    readonly atUs: number;
    readonly text: string;
    /** As `to ip4-lookup`, `dropped: no-route`, `done`. */
    readonly decision: string;
  }[];
  readonly hopsLeftOut: number;
}

/** A capture of one interface, or of all: `pcap trace`. */
export interface CaptureView {
  readonly name: string;
  /** `any`: all of them. */
  readonly interface: string;
  readonly file: string;
  readonly directions: readonly ('rx' | 'tx')[];
  readonly filter?: string;
  readonly packetsMax?: number;
  readonly bytesMax?: number;
  readonly bytesPerPacketMax?: number;
  readonly packets: number;
  readonly bytes: number;
  /** Packets that the filter refused. */
  readonly filtered: number;
  /** Packets that are missing in the file, because the disk was too slow. Left out: none. */
  readonly dropped?: number;
  readonly active: boolean;
  /** Why it has ended: a limit, a failure. */
  readonly ended?: string;
}

export interface PingView {
  readonly address: string;
  readonly sent: number;
  readonly received: number;
  readonly replies: readonly {
    readonly sequence: number;
    readonly from: string;
    readonly bytes: number;
    /** Left out: not an answer but an error, or nothing. */
    readonly rttUs?: number;
    readonly ttl?: number;
    /** As `host unreachable`, `no answer`. */
    readonly error?: string;
  }[];
}

/** What an action of `apply` does: `+ route 0.0.0.0/0 via uplink`. */
export interface ActionView {
  readonly action: 'add' | 'remove' | 'change';
  /** The part's key. */
  readonly part: string;
  readonly text: string;
}

export interface ApplyView {
  readonly revision: number;
  /** Whether they were only computed. */
  readonly dryRun: boolean;
  readonly actions: readonly ActionView[];
}
