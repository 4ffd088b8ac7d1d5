/**
 * Configurations of a network for fuzzing: one that has something of everything, and changes to it, each of which can be on or off. The names, MAC addresses
 * and networks are few, so that frames of `network-frames.ts` find them.
 */
import assert from 'node:assert/strict';
import { formatIpAddress, type IpPrefix, isIpv4, MacAddress, prefixContains } from '#tapster/base/address.js';
import type { BridgeConfig, Config, InterfaceConfig, PortConfig } from '#tapster/config/config.js';
import { parseConfig } from '#tapster/config/parse-config.js';

/** Interfaces with a device, in the order in which inputs number them. */
export const DEVICES: readonly string[] = ['tap0', 'tap1', 'tap2', 'tap3', 'tap4', 'tun0'];
export const TUN = 5;

const WHOLE = `
interfaces:
  tap0:
    tap: { backend: read-write, id: 0 }
    mac: 02:fe:00:00:00:00
    address: [10.0.0.1/24, fd00::1/64]
    services:
      dhcp: { pool: 10.0.0.100-10.0.0.103, lease: 5m, searchDomains: [lab.example] }
      ra: { interval: 10s, lifetime: 30m }
      dns: { servers: [198.51.100.7] }
    publish: ["8080:10.0.0.2:80", "5353:10.0.0.2:53/udp", "8081:[fd00::2]:80"]
    vlans: { 100: { address: [10.0.100.1/24] }, 7: { bridge: lan } }
  tap1:
    mtu: 1300
    tap: { backend: read-write, id: 1, offload: csum }
    mac: 02:fe:00:00:00:01
    address: [10.0.1.1/24, "fd00:1::1/64"]
  tap2: { tap: { backend: read-write, id: 2 }, mac: "02:fe:00:00:00:02", bridge: lan }
  tap3: { tap: { backend: read-write, id: 3 }, mac: "02:fe:00:00:00:03", bridge: lan, splitHorizonGroup: 1 }
  tap4: { tap: { backend: read-write, id: 4, offload: gso }, mac: "02:fe:00:00:00:04", bridge: lan, splitHorizonGroup: 1 }
  tun0: { tap: { backend: read-write, id: 5, mode: tun }, mac: "02:fe:00:00:00:05", address: [10.0.3.1/24, "fd00:3::1/64"] }
bridges:
  lan:
    ageing: 5s
    bvi: { mac: "02:fe:00:00:00:10", address: [10.0.2.1/24, "fd00:2::1/64"], services: { ra: {}, dhcp: {} } }
uplink: { translate: host, hostLoopback: gateway, flowsMax: 16 }
routes:
  - { to: 0.0.0.0/0, via: uplink }
  - { to: "::/0", via: uplink }
  - { to: 10.9.0.0/16, via: [10.0.0.9, 10.0.1.9, 10.0.2.9] }
  - { to: "fd00:9::/64", via: ["fd00::9", "fd00:1::9"] }
  - { to: 10.8.0.0/16, via: drop }
  - { to: 10.7.0.0/16, via: tap1 }
  - { to: "fd00:6::/64", via: "fe80::9%tap0" }
  - { to: 10.6.0.0/16, via: 10.0.3.9 }
neighbours:
  - { interface: tap0, address: 10.0.0.9, mac: "02:00:00:00:00:09" }
  - { interface: tap1, address: "fd00:1::9", mac: "02:00:00:00:00:19" }
  - { interface: tap1, address: "fd00:1::2", mac: "02:00:00:00:01:00" }
  - { interface: tap1, address: 10.0.1.2, mac: "02:00:00:00:01:00" }
  - { interface: tap0, address: "fd00::2", mac: "02:00:00:00:00:00" }
`;

type Change = (config: Config) => Config;

const parsed = parseConfig(WHOLE);
assert.ok(parsed.ok, parsed.ok ? '' : parsed.failure.message);
const BASE: Config = parsed.value;

/** Addresses that are ours in any of the configurations. */
export const OURS: ReadonlySet<string> = new Set(
  [
    '10.0.0.1',
    'fd00::1',
    '10.0.100.1',
    '10.0.1.1',
    'fd00:1::1',
    '10.0.3.1',
    'fd00:3::1',
    '10.0.2.1',
    'fd00:2::1',
  ].concat(
    ['10.0.4.1'],
    // Link-local ones, made of the MAC addresses.
    [0, 1, 2, 3, 4, 5, 0x10, 0xee].map((last) => `fe80::fe:ff:fe00:${last.toString(16)}`),
  ),
);

/** Inputs know them by number: further ones come last. */
const CHANGES: readonly Change[] = [
  ...DEVICES.map((name) => without(name)),
  ...DEVICES.map((name) => port(name, (entry) => ({ ...entry, up: false }))),
  ...['tap0', 'tap1'].flatMap((name) => [
    port(name, (entry) => ({ ...entry, address: entry.address.filter(({ address }) => isIpv4(address)) })),
    port(name, (entry) => ({ ...entry, address: entry.address.filter(({ address }) => !isIpv4(address)) })),
  ]),
  port('tap1', (entry) => ({ ...entry, mtu: 600 })),
  port('tap1', (entry) => ({ ...entry, mac: new MacAddress(0x02fe, 0xee) })),
  port('tap1', (entry) => ({ ...entry, promiscuous: true })),
  port('tap0', (entry) => ({ ...entry, mtu: 1280 })),
  ...(['dhcp', 'ra', 'dns'] as const).map((service) =>
    port('tap0', (entry) => ({ ...entry, services: { ...entry.services, [service]: undefined } })),
  ),
  ...[0, 1, 2].map((rule) => port('tap0', (entry) => ({ ...entry, publish: entry.publish.toSpliced(rule, 1) }))),
  vlan('100', undefined),
  vlan('7', undefined),
  vlan('100', { up: false }),
  vlan('7', { bridge: undefined }),
  port('tap2', (entry) => ({ ...entry, bridge: undefined, address: [prefixOf('10.0.4.1', entry)] })),
  port('tap3', (entry) => ({ ...entry, bridge: undefined })),
  port('tap2', (entry) => ({ ...entry, splitHorizonGroup: 1 })),
  port('tap3', (entry) => ({ ...entry, splitHorizonGroup: 0 })),
  port('tap4', (entry) => ({ ...entry, tap: { ...entry.tap, offload: 'none' } })),
  port('tap1', (entry) => ({ ...entry, tap: { ...entry.tap, offload: 'gso' } })),
  (config) => ({ ...config, bridges: {} }),
  bridge((lan) => ({ ...lan, bvi: undefined })),
  bridge((lan) => ({ ...lan, learn: false })),
  bridge((lan) => ({ ...lan, flood: false })),
  bridge((lan) => ({ ...lan, ageing: 0 })),
  bridge((lan) => ({ ...lan, bvi: lan.bvi && { ...lan.bvi, mtu: 576 } })),
  (config) => ({ ...config, uplink: undefined }),
  (config) => ({ ...config, uplink: config.uplink && { ...config.uplink, tcp: false } }),
  ...BASE.routes.map((_, index) => (config: Config) => ({
    ...config,
    routes: config.routes.filter(({ to }) => to !== BASE.routes[index]!.to),
  })),
  hops((via) => via.slice(1)),
  hops((via) => via.slice(0, 1)),
  hops((via) => via.map((hop, index) => ({ ...hop, weight: index + 1 }))),
  (config) => ({ ...config, neighbours: config.neighbours.slice(1) }),
  (config) => ({ ...config, neighbours: config.neighbours.slice(0, 1) }),
  (config) => ({ ...config, interfaces: {}, defaults: { ...config.defaults, taps: 'disabled' } }),
  port('tap3', (entry) => ({ ...entry, mtu: 600 })),
  port('tap4', (entry) => ({ ...entry, tap: { ...entry.tap, groCoalesce: entry.tap.offload === 'gso' } })),
  port('tap0', (entry) => ({ ...entry, tap: { ...entry.tap, offload: 'gso', groCoalesce: true } })),
  port('tap0', (entry) => ({ ...entry, tap: { ...entry.tap, offload: 'none', groCoalesce: false } })),
  refused,
];

export const CHANGES_COUNT: number = CHANGES.length;

/** The configuration with the changes that are on. */
export function configOf(on: readonly boolean[]): Config {
  const config = agreed(CHANGES.reduce((each, change, index) => (on[index] === true ? change(each) : each), BASE));
  return on[CHANGES.indexOf(refused)] === true ? config : withReachedHops(config);
}

/** With routes whose next hop is on none of our networks: such a configuration fails at one of its last parts, and all is undone. */
function refused(config: Config): Config {
  return config;
}

function withReachedHops(config: Config): Config {
  const interfaces = Object.entries(config.interfaces);
  const ports = interfaces.flatMap(([name, entry]) => [
    { name, address: entry.address },
    ...Object.entries(entry.vlans).map(([id, { address }]) => ({ name: `${name}.${id}`, address })),
  ]);
  const bvis = Object.entries(config.bridges).flatMap(([name, { bvi }]) =>
    bvi ? [{ name, address: bvi.address }] : [],
  );
  const all = [...ports, ...bvis];
  const isReached = (
    to: IpPrefix,
    { address: hop, interface: by }: Config['routes'][number]['via'][number],
  ): boolean => {
    const own = all.filter(({ name }) => by === undefined || name === by).flatMap(({ address }) => address);
    if (hop !== undefined) return by !== undefined || own.some((network) => prefixContains(network, hop));
    return by === undefined || own.some(({ address }) => isIpv4(address) === isIpv4(to.address));
  };
  const routes = config.routes.map((route) => ({ ...route, via: route.via.filter((hop) => isReached(route.to, hop)) }));
  return { ...config, routes: routes.filter(({ via }) => via.length > 0) };
}

/** Without what names something that is not there: a file that does is refused. */
function agreed(config: Config): Config {
  const names = new Set(Object.keys(config.interfaces));
  const interfaces = Object.fromEntries(
    Object.entries(config.interfaces).map(([name, entry]) => {
      const vlans = Object.entries(entry.vlans).map(([id, sub]) => [id, agreedPort(config, sub)] as const);
      return [name, { ...agreedPort(config, entry), vlans: Object.fromEntries(vlans) }];
    }),
  );
  const routes = config.routes
    .map((route) => ({
      ...route,
      via: route.via.filter(
        (hop) =>
          (hop.interface === undefined || names.has(hop.interface)) &&
          (hop.kind !== 'uplink' || config.uplink !== undefined),
      ),
    }))
    .filter(({ via }) => via.length > 0);
  const neighbours = config.neighbours.filter((neighbour) => names.has(neighbour.interface));
  return { ...config, interfaces, routes, neighbours };
}

function agreedPort<P extends PortConfig>(config: Config, entry: P): P {
  const isThere = entry.bridge !== undefined && config.bridges[entry.bridge] !== undefined;
  return {
    ...entry,
    bridge: isThere ? entry.bridge : undefined,
    publish: config.uplink === undefined ? [] : entry.publish,
  };
}

function without(name: string): Change {
  return (config) => ({
    ...config,
    interfaces: Object.fromEntries(Object.entries(config.interfaces).filter(([each]) => each !== name)),
  });
}

function port(name: string, change: (entry: InterfaceConfig) => InterfaceConfig): Change {
  return (config) => {
    const entry = config.interfaces[name];
    return entry === undefined ? config : { ...config, interfaces: { ...config.interfaces, [name]: change(entry) } };
  };
}

/** Of tap0; undefined: none. */
function vlan(id: string, change: Partial<PortConfig> | undefined): Change {
  return port('tap0', (entry) => {
    const { [id]: sub, ...others } = entry.vlans;
    if (sub === undefined || change === undefined) return { ...entry, vlans: others };
    return { ...entry, vlans: { ...others, [id]: { ...sub, ...change } } };
  });
}

function bridge(change: (lan: BridgeConfig) => BridgeConfig): Change {
  return (config) => {
    const { lan } = config.bridges as { lan?: BridgeConfig };
    return lan === undefined ? config : { ...config, bridges: { lan: change(lan) } };
  };
}

/** Of the routes with several. */
function hops(change: (via: Config['routes'][number]['via']) => Config['routes'][number]['via']): Change {
  return (config) => ({
    ...config,
    routes: config.routes.map((route) => (route.via.length > 1 ? { ...route, via: change(route.via) } : route)),
  });
}

function prefixOf(text: string, { address }: PortConfig): IpPrefix {
  const found = address.find((prefix) => formatIpAddress(prefix.address) === text);
  if (found !== undefined) return found;
  const made = parseConfig(`interfaces: { x: { tap: {}, address: [${text}/24] } }`);
  assert.ok(made.ok);
  return made.value.interfaces['x']!.address[0]!;
}
