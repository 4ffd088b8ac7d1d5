/**
 * What values of a configuration must be to each other: names that exist, things that exclude each other, nothing twice.
 *
 * An entry that the schema refused is not judged here, nor is what refers to it: half of a thing says nothing true about the other half.
 */
import { equalAddress, formatIpPrefix, type IpAddress, isIpv4, isLinkLocal, prefixContains } from '../base/address.ts';
import { MTU_IPV6_MIN } from '../base/limits.ts';
import { didYouMean } from '../base/spelling.ts';
import {
  bviName,
  type Config,
  hostNameOf,
  type InterfaceConfig,
  MTU_DEFAULT,
  onlyGuestOf,
  type Port,
  type PublishConfig,
  ports,
  vlanName,
} from './config.ts';
import { formatPath, type Problem, shortValue } from './problem.ts';
import { formatPublish } from './publish.ts';
import { sameValue } from './same-value.ts';
import { TAP_SCHEMA } from './tap-schema.ts';
import type { YamlSource } from './yaml-source.ts';

const DEFAULT_TAP = TAP_SCHEMA.parse({});

type Path = readonly (string | number)[];

/** Tells a problem: of the value at `path`, or of the key where `value` is undefined. */
type Tell = (code: string, path: Path, value: unknown, message: string) => void;

/** `refused`: what is wrong already. */
export function crossProblems(config: Config, refused: readonly Problem[], source: YamlSource): Problem[] {
  const found: Problem[] = [];
  const wrong = new Set(refused.map(({ path }) => entryOf(path)));
  const tell: Tell = (code, path, value, message) => {
    if (wrong.has(entryOf(path))) return;
    const place = value === undefined ? source.placeOfKey(path) : source.placeOfValue(path);
    found.push({ code, ...place, path, value: shortValue(value), message });
  };
  for (const [name, entry] of Object.entries(config.interfaces)) {
    const [side, other] = otherSides(entry);
    if (other !== undefined) {
      tell('excluded', ['interfaces', name, other], undefined, `excludes ${side}: an interface has one other side`);
    }
    if (side !== 'tap') continue;
    checkTap(['interfaces', name, 'tap'], entry, tell);
    if (config.defaults.taps === 'disabled') {
      tell(
        'taps-disabled',
        ['interfaces', name],
        undefined,
        'is a tap, and defaults.taps is "disabled": remove one of them',
      );
    }
  }
  checkUnique(config, tell);
  for (const port of ports(config)) checkPort(config, port, tell);
  checkReferences(config, refused, tell);
  return found;
}

/** Keys of an interface that a virtual machine is plugged into. */
const MACHINES = ['stream', 'datagram', 'vhostUser'] as const;

/** What is at the other end: one of these; nothing is said of a tap with all defaults. */
function otherSides({ tap, ...others }: InterfaceConfig): readonly string[] {
  const machines = MACHINES.filter((kind) => others[kind] !== undefined);
  return machines.length === 0 || !sameValue(tap, DEFAULT_TAP) ? [...machines, 'tap'] : machines;
}

/** The interface or bridge that a path is in; of lists the whole, since indexes have moved where entries were cut out. */
function entryOf(path: Path): string {
  return path.slice(0, typeof path[1] === 'number' ? 1 : 2).join('/');
}

function checkTap(path: Path, { tap, address: ours, vlans }: InterfaceConfig, tell: Tell): void {
  const { host } = tap;
  host.address.forEach(({ address }, index) => {
    if (!ours.some((own) => equalAddress(own.address, address))) return;
    tell(
      'duplicate',
      [...path, 'host', 'address', index],
      String(address),
      'is our address too: the two ends need one each',
    );
  });
  if (host.bridge !== undefined && host.address.length > 0) {
    tell(
      'excluded',
      [...path, 'host', 'bridge'],
      host.bridge,
      'excludes host.address: the bridge has the address, not its member',
    );
  }
  if (tap.attach && host.name === undefined) {
    tell('name-needed', [...path, 'attach'], true, 'needs host.name: which tap is meant?');
  }
  if (tap.groCoalesce && tap.offload !== 'gso') {
    tell('gso-needed', [...path, 'groCoalesce'], true, 'needs "offload: gso"');
  }
  if (tap.mode === 'tun' && (host.mac !== undefined || host.bridge !== undefined)) {
    const key = host.mac !== undefined ? 'mac' : 'bridge';
    tell(
      'excluded',
      [...path, 'host', key],
      String(host[key]),
      'has no meaning with "mode: tun", which carries no frames',
    );
  }
  if (tap.mode === 'tun' && tap.backend === 'vhost-net') {
    tell(
      'excluded',
      [...path, 'backend'],
      tap.backend,
      'excludes "mode: tun": the kernel takes packets from vhost-net for Ethernet frames; leave it out',
    );
  }
  const [vlan] = Object.keys(vlans);
  if (tap.mode === 'tun' && vlan !== undefined) {
    tell(
      'excluded',
      [...path.slice(0, -1), 'vlans', vlan],
      undefined,
      'has no meaning with "mode: tun": a packet without an Ethernet header has no VLAN tag',
    );
  }
  if (tap.placement.length > tap.queues) {
    tell(
      'too-many',
      [...path, 'placement'],
      tap.placement,
      `places more than the ${tap.queues} there are: raise "queues"`,
    );
  }
  host.gateway.forEach((gateway, index) => {
    const at = [...path, 'host', 'gateway', index];
    if (host.gateway.findIndex((other) => isIpv4(other) === isIpv4(gateway)) < index) {
      tell('duplicate', at, String(gateway), 'is the second of its family: a namespace has one default route of each');
    } else if (!isLinkLocal(gateway) && !host.address.some((prefix) => prefixContains(prefix, gateway))) {
      tell('gateway-unreachable', at, String(gateway), 'lies in no network of host.address');
    }
  });
}

function checkPort(config: Config, { path, served, port }: Port, tell: Tell): void {
  const { address, publish } = served;
  const at = new Set<string>();
  address.forEach((prefix, index) => {
    const text = formatIpPrefix(prefix);
    if (at.has(text)) tell('duplicate', [...path, 'address', index], text, 'is listed twice');
    at.add(text);
  });
  if (publish.length > 0 && config.uplink === undefined) {
    tell('uplink-needed', [...path, 'publish'], undefined, 'needs an uplink: add "uplink: { translate: host }"');
  }
  checkTargets(config, { path, served }, tell);
  const mtu = served.mtu ?? MTU_DEFAULT;
  const ipv6 = address.findIndex((prefix) => !isIpv4(prefix.address));
  if (mtu < MTU_IPV6_MIN && ipv6 >= 0) {
    const text = formatIpPrefix(address[ipv6]!);
    tell(
      'mtu-small',
      [...path, 'address', ipv6],
      text,
      `needs an MTU of ${MTU_IPV6_MIN} or more (RFC 8200), not ${mtu}`,
    );
  }
  checkServices(path, served, tell);
  if (port === undefined) return;
  const isTun = path.length === 2 && config.interfaces[path[1]!]?.tap.mode === 'tun';
  if (port.bridge !== undefined && address.length > 0) {
    tell('excluded', [...path, 'bridge'], port.bridge, 'excludes address: give the address to the bridge, as its bvi');
  } else if (port.bridge !== undefined && isTun) {
    tell('excluded', [...path, 'bridge'], port.bridge, 'excludes "mode: tun": only frames can be bridged');
  }
  if (port.bridge === undefined && port.splitHorizonGroup > 0) {
    tell('bridge-needed', [...path, 'splitHorizonGroup'], port.splitHorizonGroup, 'needs "bridge"');
  }
}

/** A published port leads to somebody: to an address of the tap's other side, of those who are alone there, or the one that it says. */
function checkTargets(config: Config, { path, served }: Pick<Port, 'path' | 'served'>, tell: Tell): void {
  const isDevice = path[0] === 'interfaces' && path.length === 2;
  const host = isDevice ? (config.interfaces[path[1]!]?.tap.host.address ?? []) : [];
  if (host.length > 0 || onlyGuestOf(served) !== undefined) return;
  served.publish.forEach((rule, index) => {
    if (rule.toAddress !== undefined) return;
    const right = 'write to whom, as in 8080:10.0.0.2:80, or give "services.dhcp.pool" one address only';
    tell('target-needed', [...path, 'publish', index], formatPublish(rule), `leads to nobody who is known: ${right}`);
  });
}

function checkServices(path: Path, { address, services }: Port['served'], tell: Tell): void {
  for (const service of ['dhcp', 'ra', 'dns'] as const) {
    if (services[service] === undefined) continue;
    const family = service === 'dhcp' ? 'IPv4' : service === 'ra' ? 'IPv6' : 'IP';
    const found = address.some((prefix) => family === 'IP' || isIpv4(prefix.address) === (family === 'IPv4'));
    if (!found)
      tell('address-needed', [...path, 'services', service], undefined, `needs an ${family} address of the interface`);
  }
  const pool = services.dhcp?.pool;
  if (pool !== undefined && !address.some((net) => prefixContains(net, pool.first) && prefixContains(net, pool.last))) {
    const text = `${pool.first}-${pool.last}`;
    tell('pool-outside', [...path, 'services', 'dhcp', 'pool'], text, 'lies in no network of the interface');
  }
}

/** Ids of taps, names in a namespace, our addresses, routes, neighbours and published ports are there once. */
function checkUnique(config: Config, tell: Tell): void {
  const seen = new Map<string, Path>();
  const once = (key: string, path: Path, value: unknown): void => {
    const first = seen.get(key);
    if (first === undefined) seen.set(key, path);
    else tell('duplicate', path, value, `is taken by ${formatPath(first)}: choose another`);
  };
  /** One problem a rule is enough. */
  const checkPublish = (rule: PublishConfig, path: Path): void => {
    for (let number = rule.firstPort; number <= rule.lastPort; number++) {
      const key = `port ${rule.protocol} ${rule.address ?? ''} ${number}`;
      const taken = seen.has(key);
      once(key, path, `${number}/${rule.protocol}`);
      if (taken) return;
    }
  };
  for (const [name, { tap, ...others }] of Object.entries(config.interfaces)) {
    const kind = MACHINES.find((each) => others[each] !== undefined);
    if (kind !== undefined) {
      const { socket, peer } = { peer: undefined, ...others[kind]! };
      once(`socket ${socket}`, ['interfaces', name, kind, 'socket'], socket);
      if (peer !== undefined) once(`socket ${peer}`, ['interfaces', name, kind, 'peer'], peer);
      continue;
    }
    const path = ['interfaces', name, 'tap'];
    if (tap.id !== undefined) once(`id ${tap.id}`, [...path, 'id'], tap.id);
    const hostName = hostNameOf(name, tap);
    const key = `host ${tap.host.namespace ?? ''} ${hostName}`;
    if (tap.host.name === undefined) once(key, ['interfaces', name], undefined);
    else once(key, [...path, 'host', 'name'], hostName);
  }
  for (const { path, served } of ports(config)) {
    const { address, publish } = served;
    const own = new Set(address.map(({ address: each }) => String(each)));
    for (const each of own) {
      const index = address.findIndex((prefix) => String(prefix.address) === each);
      // Every interface may have the same link-local address (RFC 4291, section 2.5.6).
      if (!isLinkLocal(address[index]!.address)) once(`address ${each}`, [...path, 'address', index], each);
    }
    for (const [index, rule] of publish.entries()) checkPublish(rule, [...path, 'publish', index]);
  }
  config.routes.forEach(({ to }, index) => {
    once(`route ${formatIpPrefix(to)}`, ['routes', index, 'to'], formatIpPrefix(to));
  });
  config.neighbours.forEach(({ interface: name, address }, index) => {
    once(`neighbour ${name} ${address}`, ['neighbours', index, 'address'], String(address));
  });
}

function checkReferences(config: Config, refused: readonly Problem[], tell: Tell): void {
  const all = ports(config);
  const places = refused.filter(({ path }) => path[0] === 'interfaces' || path[0] === 'bridges');
  /** A name that is written, if with something wrong behind it. */
  const isRefused = (name: string): boolean =>
    places.some(({ path }) => path[1] === undefined || name.split('.').includes(String(path[1])));
  const byName = new Map(all.map((port) => [port.name, port]));
  for (const { path, port } of all) {
    if (port?.bridge === undefined || Object.hasOwn(config.bridges, port.bridge) || isRefused(port.bridge)) continue;
    const near = didYouMean(port.bridge, Object.keys(config.bridges));
    const right = near === '' ? `: add "bridges: { ${port.bridge}: {} }"` : near;
    tell('bridge-unknown', [...path, 'bridge'], port.bridge, `is no bridge${right}`);
  }
  const checkName = (name: string, path: Path): void => {
    if (byName.has(name) || isRefused(name)) return;
    const derived = [...byName.keys()];
    tell('interface-unknown', path, name, `is no interface${didYouMean(name, derived) || hint(config)}`);
  };
  config.neighbours.forEach(({ interface: name, address }, index) => {
    checkName(name, ['neighbours', index, 'interface']);
    const port = byName.get(name);
    if (port !== undefined && !isRefused(name) && !isLinkLocal(address) && !isConnected(port, address)) {
      tell('neighbour-unreachable', ['neighbours', index, 'address'], String(address), `lies in no network of ${name}`);
    }
  });
  const uplinkRefused = refused.some(({ path }) => path[0] === 'uplink');
  config.routes.forEach(({ to, via }, index) => {
    via.forEach((hop, number) => {
      const path = via.length === 1 ? ['routes', index, 'via'] : ['routes', index, 'via', number];
      if (hop.kind === 'uplink' && config.uplink === undefined && !uplinkRefused) {
        tell('uplink-needed', path, 'uplink', 'needs an uplink: add "uplink: { translate: host }"');
      }
      if (hop.interface !== undefined) checkName(hop.interface, path);
      if (hop.address === undefined) return;
      if (isIpv4(hop.address) !== isIpv4(to.address)) {
        tell('family-mixed', path, String(hop.address), 'is of another family than the network that it leads to');
      } else if (hop.interface === undefined && places.length === 0) {
        const right = isLinkLocal(hop.address) ? `: which interface? write ${hop.address}%NAME` : '';
        if (!isLinkLocal(hop.address) && all.some((port) => isConnected(port, hop.address!))) return;
        tell('gateway-unreachable', path, String(hop.address), `lies in no network of an interface${right}`);
      }
    });
  });
}

function isConnected(port: Port, address: IpAddress): boolean {
  return port.served.address.some((prefix) => prefixContains(prefix, address));
}

/** Names that are derived are the ones that people do not find. */
function hint(config: Config): string {
  const names = Object.keys(config.interfaces);
  const [bridge] = Object.entries(config.bridges).find(([, { bvi }]) => bvi !== undefined) ?? [];
  const [parent, vlan] = Object.entries(config.interfaces)
    .map(([name, { vlans }]) => [name, Object.keys(vlans)[0]] as const)
    .find(([, number]) => number !== undefined) ?? [undefined, undefined];
  if (bridge !== undefined) names.push(bviName(bridge));
  if (parent !== undefined && vlan !== undefined) names.push(vlanName(parent, vlan));
  return names.length === 0 ? ': there are none' : `: there are ${names.slice(0, 8).join(', ')}`;
}
