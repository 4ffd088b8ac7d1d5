/**
 * The configuration of an engine with many interfaces, as a value: what `tapster up` reads from a file, what an engine is changed to, and what it says
 * that it is. Everything here is plain data that has been judged: addresses are addresses, names are known, defaults are filled in (`undefined` is left
 * where leaving out means something of its own). `schema.ts` makes it from text; `plan.ts` compares two.
 */
import { equalAddress, type IpAddress, type IpPrefix, type MacAddress } from '../base/address.ts';

export interface Config {
  readonly interfaces: Readonly<Record<string, InterfaceConfig>>;
  readonly bridges: Readonly<Record<string, BridgeConfig>>;
  readonly routes: readonly RouteConfig[];
  readonly neighbours: readonly NeighbourConfig[];
  /** Undefined: nothing is translated to host sockets. */
  readonly uplink?: UplinkConfig | undefined;
  readonly logging: LoggingConfig;
  readonly defaults: DefaultsConfig;
}

/** What an interface and a VLAN sub-interface have in common. */
export interface PortConfig {
  /** Our addresses on it. */
  readonly address: readonly IpPrefix[];
  /** Bytes of an IP packet; undefined: `MTU_DEFAULT`, or for a sub-interface what the interface has. */
  readonly mtu?: number | undefined;
  readonly up: boolean;
  /** The bridge that it is a member of. */
  readonly bridge?: string | undefined;
  /** Members of a bridge with the same group above 0 do not reach each other. */
  readonly splitHorizonGroup: number;
  readonly services: ServicesConfig;
  readonly publish: readonly PublishConfig[];
}

export interface InterfaceConfig extends PortConfig {
  readonly tap: TapConfig;
  /** A virtual machine's device instead of the tap: one of these. */
  readonly stream?: StreamConfig | undefined;
  readonly datagram?: DatagramConfig | undefined;
  readonly vhostUser?: VhostUserConfig | undefined;
  /** Our own MAC address; undefined: drawn when the interface is made. */
  readonly mac?: MacAddress | undefined;
  readonly promiscuous: boolean;
  /** Sub-interfaces, by their VLAN number in decimal. */
  readonly vlans: Readonly<Record<string, PortConfig>>;
}

/** A socket that a virtual machine is plugged into: QEMU's `-netdev stream`. */
export interface StreamConfig {
  readonly socket: string;
}

/** Two sockets that send each other a datagram for each frame, ours and the machine's: QEMU's `-netdev dgram`. */
export interface DatagramConfig {
  readonly socket: string;
  readonly peer: string;
}

/** A socket by which a virtual machine shares its memory and its queues with us: QEMU's `-netdev vhost-user`. */
export interface VhostUserConfig {
  readonly socket: string;
  /** Pairs: the most that the machine may use. */
  readonly queues: number;
  readonly rxMode: TapConfig['rxMode'];
}

export interface TapConfig {
  readonly id?: number | undefined;
  readonly host: TapHostConfig;
  readonly queues: number;
  readonly ringSizes: { readonly rx: number; readonly tx: number };
  readonly offload: 'gso' | 'csum' | 'none';
  readonly groCoalesce: boolean;
  readonly persist: boolean;
  readonly attach: boolean;
  readonly mode: 'tap' | 'tun';
  readonly backend: 'auto' | 'read-write' | 'vhost-net';
  readonly rxMode: 'polling' | 'interrupt' | 'adaptive';
  /** The worker of each queue; 0, the main thread, for those without one. */
  readonly placement: readonly number[];
}

/** The kernel's side of a tap. */
export interface TapHostConfig {
  readonly name?: string | undefined;
  /** A name, an absolute path or `pid:N`; undefined: the engine's own. */
  readonly namespace?: string | undefined;
  readonly address: readonly IpPrefix[];
  /** Default routes in the namespace, at most one of each family. */
  readonly gateway: readonly IpAddress[];
  readonly mac?: MacAddress | undefined;
  readonly mtu?: number | undefined;
  /** A bridge of the kernel's. */
  readonly bridge?: string | undefined;
}

export interface ServicesConfig {
  readonly dhcp?: DhcpConfig | undefined;
  readonly ra?: RouterAdvertisementConfig | undefined;
  readonly dns?: DnsConfig | undefined;
}

export interface DhcpConfig {
  /** Undefined: all of the interface's network but our address. */
  readonly pool?: AddressRange | undefined;
  /** Milliseconds. */
  readonly lease: number;
  /** Undefined: the interface's address. */
  readonly gateway?: IpAddress | undefined;
  readonly dns: readonly IpAddress[];
  readonly searchDomains: readonly string[];
}

export interface AddressRange {
  readonly first: IpAddress;
  readonly last: IpAddress;
}

export interface RouterAdvertisementConfig {
  /** Milliseconds. */
  readonly interval: number;
  /** Milliseconds; 0: we are no default router. */
  readonly lifetime: number;
  readonly managed: boolean;
  readonly other: boolean;
  readonly dns: readonly IpAddress[];
}

export interface DnsConfig {
  /** Empty: the host's own resolvers. */
  readonly servers: readonly IpAddress[];
}

/** Ports of the host that lead to somebody behind an interface. */
export interface PublishConfig {
  readonly protocol: 'tcp' | 'udp';
  /** The host's address to listen at; undefined: all, both families. */
  readonly address: IpAddress | undefined;
  readonly firstPort: number;
  readonly lastPort: number;
  /** Undefined: whoever is alone there (`onlyGuestOf`), else whoever the tap's namespace holds, at its own address. */
  readonly toAddress: IpAddress | undefined;
  readonly toPort: number;
}

export interface BridgeConfig {
  /** Milliseconds; 0: stations are never forgotten. */
  readonly ageing: number;
  readonly learn: boolean;
  readonly flood: boolean;
  /** Our own leg in the bridge, an interface named `bvi.` and the bridge's name. */
  readonly bvi?: BviConfig | undefined;
}

export interface BviConfig {
  readonly address: readonly IpPrefix[];
  readonly services: ServicesConfig;
  readonly publish: readonly PublishConfig[];
  readonly mac?: MacAddress | undefined;
  readonly mtu?: number | undefined;
}

export interface RouteConfig {
  readonly to: IpPrefix;
  readonly via: readonly Hop[];
}

/** Where a route leads; several hops share its flows by weight. */
export interface Hop {
  readonly kind: 'address' | 'interface' | 'uplink' | 'drop';
  /** Of kind `address`. */
  readonly address?: IpAddress | undefined;
  /** Of kind `interface`; of kind `address`, where its network does not tell (`fe80::1%tap0`). */
  readonly interface?: string | undefined;
  readonly weight: number;
}

export interface NeighbourConfig {
  readonly interface: string;
  readonly address: IpAddress;
  readonly mac: MacAddress;
}

/** The translation of `tapster run`, for packets that a route leads to it. */
export interface UplinkConfig {
  readonly translate: 'host';
  readonly tcp: boolean;
  readonly udp: boolean;
  readonly icmp: boolean;
  /** The address that stands for the host's own loopback; `gateway`: our address on the interface that asks. */
  readonly hostLoopback?: 'gateway' | IpAddress | undefined;
  readonly allowMetadata: boolean;
  readonly flowsMax: number;
}

export interface LoggingConfig {
  readonly level: 'error' | 'warning' | 'info' | 'debug';
  readonly format: 'text' | 'json';
  /** JSON lines of flows. */
  readonly flows?: string | undefined;
}

export interface DefaultsConfig {
  readonly hostMtu?: number | undefined;
  /** `disabled`: no tap can be created. */
  readonly taps: 'enabled' | 'disabled';
}

export const MTU_DEFAULT: number = 1500;

/** The name of a bridge's BVI among interfaces. No interface can be named so in a file: names there have no dot. */
export function bviName(bridge: string): string {
  return `bvi.${bridge}`;
}

/** The name of a VLAN sub-interface among interfaces. */
export function vlanName(parent: string, vlan: string): string {
  return `${parent}.${vlan}`;
}

/** What the kernel's side is called: as configured, else `tap` and the id, else as the interface. */
export function hostNameOf(name: string, tap: TapConfig): string {
  return tap.host.name ?? (tap.id === undefined ? name : `tap${tap.id}`);
}

/** The kernel's side has the MTU configured for it, else the default for all, else that of ours. */
export function hostMtuOf(config: Config, port: InterfaceConfig): number {
  return port.tap.host.mtu ?? config.defaults.hostMtu ?? port.mtu ?? MTU_DEFAULT;
}

/** Who is alone behind a port, as far as the configuration tells: whoever is given the only address of its DHCP pool. */
export function onlyGuestOf({ services }: Pick<PortConfig, 'services'>): IpAddress | undefined {
  const pool = services.dhcp?.pool;
  return pool !== undefined && equalAddress(pool.first, pool.last) ? pool.first : undefined;
}

/** Every place where packets come and go: interfaces, their sub-interfaces, and the BVIs of bridges. */
export function ports(config: Config): Port[] {
  const found: Port[] = [];
  for (const [name, port] of Object.entries(config.interfaces)) {
    found.push({ name, path: ['interfaces', name], served: port, port });
    for (const [vlan, sub] of Object.entries(port.vlans)) {
      const path = ['interfaces', name, 'vlans', vlan];
      found.push({ name: vlanName(name, vlan), path, served: sub, port: sub });
    }
  }
  for (const [name, { bvi }] of Object.entries(config.bridges)) {
    if (bvi === undefined) continue;
    found.push({ name: bviName(name), path: ['bridges', name, 'bvi'], served: bvi, port: undefined });
  }
  return found;
}

export interface Port {
  readonly name: string;
  /** Where it stands in the configuration. */
  readonly path: readonly string[];
  /** What interfaces, sub-interfaces and BVIs have in common. */
  readonly served: Pick<PortConfig, 'address' | 'services' | 'publish' | 'mtu'>;
  /** Undefined: a BVI. */
  readonly port: PortConfig | undefined;
}
