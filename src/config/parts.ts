/**
 * A configuration as a set of parts: what an engine creates, removes and changes one by one. Each has a key (what it is), contents, and the keys of the parts
 * that must be there before it.
 */
import {
  formatIpPrefix,
  type IpAddress,
  type IpPrefix,
  isIpv4,
  type MacAddress,
  prefixContains,
} from '../base/address.ts';
import {
  bviName,
  type Config,
  type DatagramConfig,
  type DefaultsConfig,
  type DhcpConfig,
  type DnsConfig,
  type Hop,
  hostMtuOf,
  hostNameOf,
  type InterfaceConfig,
  type LoggingConfig,
  MTU_DEFAULT,
  onlyGuestOf,
  type Port,
  type PortConfig,
  type PublishConfig,
  ports,
  type RouterAdvertisementConfig,
  type StreamConfig,
  type TapConfig,
  type UplinkConfig,
  type VhostUserConfig,
  vlanName,
} from './config.ts';
import { formatPublish } from './publish.ts';

/** In the order in which they are created; they are removed in the opposite one. */
const ORDER: readonly Contents['kind'][] = [
  'defaults',
  'logging',
  'bridge',
  'tap',
  'stream',
  'datagram',
  'vhost-user',
  'vlan',
  'bvi',
  'host-address',
  'host-gateway',
  'address',
  'member',
  'uplink',
  'neighbour',
  'route',
  'service',
  'publish',
  'up',
];

/** What a part is, by its kind. `interface` is a name among interfaces, as `tap0`, `tap0.100` or `bvi.lan`. */
export type Contents =
  | ({ readonly kind: 'defaults' } & DefaultsConfig)
  | ({ readonly kind: 'logging' } & LoggingConfig)
  | {
      readonly kind: 'bridge';
      readonly bridge: string;
      readonly ageing: number;
      readonly learn: boolean;
      readonly flood: boolean;
    }
  | TapPart
  | MachinePart
  | {
      readonly kind: 'vlan';
      readonly interface: string;
      readonly parent: string;
      readonly vlan: number;
      readonly mtu: number;
    }
  | {
      readonly kind: 'bvi';
      readonly interface: string;
      readonly bridge: string;
      readonly mac: MacAddress | undefined;
      readonly mtu: number;
    }
  | { readonly kind: 'host-address'; readonly interface: string; readonly address: IpPrefix }
  | { readonly kind: 'host-gateway'; readonly interface: string; readonly gateway: IpAddress }
  | { readonly kind: 'address'; readonly interface: string; readonly address: IpPrefix }
  | { readonly kind: 'member'; readonly interface: string; readonly bridge: string; readonly splitHorizonGroup: number }
  | ({ readonly kind: 'uplink' } & UplinkConfig)
  | { readonly kind: 'neighbour'; readonly interface: string; readonly address: IpAddress; readonly mac: MacAddress }
  | { readonly kind: 'route'; readonly to: IpPrefix; readonly via: readonly Hop[] }
  | ServicePart
  | { readonly kind: 'publish'; readonly interface: string; readonly rule: PublishConfig }
  | { readonly kind: 'up'; readonly interface: string };

export interface TapPart {
  readonly kind: 'tap';
  readonly interface: string;
  readonly hostName: string;
  readonly hostMtu: number;
  readonly mac: MacAddress | undefined;
  readonly mtu: number;
  readonly promiscuous: boolean;
  /** Addresses and gateways of `tap.host` are parts of their own. */
  readonly tap: TapConfig;
}

/** An interface that a virtual machine is plugged into. */
export type MachinePart = {
  readonly interface: string;
  readonly mac: MacAddress | undefined;
  readonly mtu: number;
  readonly promiscuous: boolean;
} & (
  | { readonly kind: 'stream'; readonly settings: StreamConfig }
  | { readonly kind: 'datagram'; readonly settings: DatagramConfig }
  | { readonly kind: 'vhost-user'; readonly settings: VhostUserConfig }
);

export type ServicePart = { readonly kind: 'service'; readonly interface: string } & (
  | { readonly service: 'dhcp'; readonly settings: DhcpConfig }
  | { readonly service: 'ra'; readonly settings: RouterAdvertisementConfig }
  | { readonly service: 'dns'; readonly settings: DnsConfig }
);

export interface Part {
  readonly key: string;
  readonly needs: readonly string[];
  readonly contents: Contents;
}

/** The parts by key, in the order in which they can be created. */
export function partsOf(config: Config): Map<string, Part> {
  const parts: Part[] = [];
  const add = (contents: Contents, ...needs: string[]): void => {
    parts.push({ key: keyOf(contents), needs, contents });
  };
  add({ kind: 'defaults', ...config.defaults });
  add({ kind: 'logging', ...config.logging });
  if (config.uplink !== undefined) add({ kind: 'uplink', ...config.uplink });
  addBridges(config, add);
  addDevices(config, add);
  const all = ports(config);
  for (const port of all) addPort(port, add);
  for (const neighbour of config.neighbours) {
    add({ kind: 'neighbour', ...neighbour }, interfaceKey(neighbour.interface));
  }
  for (const { to, via } of config.routes) add({ kind: 'route', to, via }, ...hopNeeds(to, via, all));
  const rank = new Map<string, number>(ORDER.map((kind, index) => [kind, index]));
  parts.sort((a, b) => rank.get(a.contents.kind)! - rank.get(b.contents.kind)!);
  return new Map(parts.map((part) => [part.key, part]));
}

type Add = (contents: Contents, ...needs: string[]) => void;

function keyOf(contents: Contents): string {
  switch (contents.kind) {
    case 'bridge':
      return bridgeKey(contents.bridge);
    case 'tap':
    case 'stream':
    case 'datagram':
    case 'vhost-user':
    case 'vlan':
    case 'bvi':
      return interfaceKey(contents.interface);
    case 'host-address':
    case 'address':
      return `${contents.kind} ${contents.interface} ${formatIpPrefix(contents.address)}`;
    case 'host-gateway':
      return `${contents.kind} ${contents.interface} ${contents.gateway}`;
    case 'neighbour':
      return `${contents.kind} ${contents.interface} ${contents.address}`;
    case 'route':
      return `route ${formatIpPrefix(contents.to)}`;
    case 'service':
      return `service ${contents.interface} ${contents.service}`;
    case 'publish':
      return `publish ${contents.interface} ${formatPublish(contents.rule)}`;
    case 'member':
    case 'up':
      return `${contents.kind} ${contents.interface}`;
    default:
      return contents.kind;
  }
}

function interfaceKey(name: string): string {
  return `interface ${name}`;
}

function bridgeKey(name: string): string {
  return `bridge ${name}`;
}

function addBridges(config: Config, add: Add): void {
  for (const [bridge, { bvi, ageing, learn, flood }] of Object.entries(config.bridges)) {
    add({ kind: 'bridge', bridge, ageing, learn, flood });
    if (bvi === undefined) continue;
    const name = bviName(bridge);
    add({ kind: 'bvi', interface: name, bridge, mac: bvi.mac, mtu: bvi.mtu ?? MTU_DEFAULT }, bridgeKey(bridge));
  }
}

function addDevices(config: Config, add: Add): void {
  for (const [name, entry] of Object.entries(config.interfaces)) {
    const { stream, datagram, vhostUser, mac, promiscuous } = entry;
    const mtu = entry.mtu ?? MTU_DEFAULT;
    const common = { interface: name, mac, mtu, promiscuous };
    if (stream !== undefined) add({ kind: 'stream', ...common, settings: stream });
    else if (datagram !== undefined) add({ kind: 'datagram', ...common, settings: datagram });
    else if (vhostUser !== undefined) add({ kind: 'vhost-user', ...common, settings: vhostUser });
    else addTap(config, name, entry, add);
    for (const [vlan, sub] of Object.entries(entry.vlans)) {
      const own = { interface: vlanName(name, vlan), parent: name, vlan: Number(vlan), mtu: sub.mtu ?? mtu };
      add({ kind: 'vlan', ...own }, interfaceKey(name));
    }
  }
}

function addTap(config: Config, name: string, entry: InterfaceConfig, add: Add): void {
  const { tap, mac, promiscuous } = entry;
  const mtu = entry.mtu ?? MTU_DEFAULT;
  const host = { ...tap.host, address: [], gateway: [] };
  add({
    kind: 'tap',
    interface: name,
    hostName: hostNameOf(name, tap),
    hostMtu: hostMtuOf(config, entry),
    mac,
    mtu,
    promiscuous,
    tap: { ...tap, host },
  });
  for (const address of tap.host.address) add({ kind: 'host-address', interface: name, address }, interfaceKey(name));
  for (const gateway of tap.host.gateway) {
    const within = tap.host.address.filter((prefix) => prefixContains(prefix, gateway));
    const needs = within.map((address) => keyOf({ kind: 'host-address', interface: name, address }));
    add({ kind: 'host-gateway', interface: name, gateway }, interfaceKey(name), ...needs);
  }
}

function addPort({ name, served, port }: Port, add: Add): void {
  const needs = interfaceKey(name);
  for (const address of served.address) add({ kind: 'address', interface: name, address }, needs);
  addServices(name, served, needs, add);
  for (const rule of served.publish) {
    const toAddress = rule.toAddress ?? onlyGuestOf(served);
    add({ kind: 'publish', interface: name, rule: { ...rule, toAddress } }, needs, 'uplink');
  }
  if (port?.bridge !== undefined) {
    const member = { interface: name, bridge: port.bridge, splitHorizonGroup: port.splitHorizonGroup };
    add({ kind: 'member', ...member }, needs, bridgeKey(port.bridge));
  }
  if (port?.up ?? true) add({ kind: 'up', interface: name }, needs);
}

function addServices(name: string, { services }: Pick<PortConfig, 'services'>, needs: string, add: Add): void {
  const common = { kind: 'service', interface: name } as const;
  if (services.dhcp !== undefined) add({ ...common, service: 'dhcp', settings: services.dhcp }, needs);
  if (services.ra !== undefined) add({ ...common, service: 'ra', settings: services.ra }, needs);
  if (services.dns !== undefined) add({ ...common, service: 'dns', settings: services.dns }, needs);
}

/** A hop needs its interface, or the uplink, or the addresses in whose networks it lies; an interface alone those from which neighbours are asked there. */
function hopNeeds(to: IpPrefix, via: readonly Hop[], all: readonly Port[]): string[] {
  const needs = new Set<string>();
  for (const { kind, address, interface: name } of via) {
    if (kind === 'uplink') needs.add('uplink');
    if (name !== undefined) needs.add(interfaceKey(name));
    if (address === undefined && name === undefined) continue;
    for (const port of all) {
      if (name !== undefined && port.name !== name) continue;
      for (const prefix of port.served.address) {
        const helps =
          address === undefined ? isIpv4(prefix.address) === isIpv4(to.address) : prefixContains(prefix, address);
        if (!helps) continue;
        needs.add(keyOf({ kind: 'address', interface: port.name, address: prefix }));
      }
    }
  }
  return [...needs];
}
