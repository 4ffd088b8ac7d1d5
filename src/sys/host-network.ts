/**
 * The host's own network, as far as a guest is to have the same: for each family the interface with the default route, its addresses, its gateway, and the
 * other routes that lead out of it.
 *
 * The best default route is the one with the lowest metric in the main table, whose interface is up and has an address of the family. Routes by policy rules are not seen.
 */
import {
  type IpAddress,
  type IpPrefix,
  isIpv4,
  isLinkLocal,
  isMulticast,
  type MacAddress,
  prefixContains,
} from '../base/address.ts';
import { failure, type Result, success } from '../base/result.ts';
import { ADDRESS_FLAG, type InterfaceAddress, listAddresses, SCOPE } from './netlink/address.ts';
import { type Link, listLinks } from './netlink/link.ts';
import { listRoutes, type Route } from './netlink/route.ts';
import { Netlink } from './netlink/socket.ts';

/** Addresses and routes that are taken over for each family; a host with more keeps them to itself. */
const ADDRESSES_MAX = 16;
const ROUTES_MAX = 64;

export interface HostNetwork {
  /** Undefined: no default route, or no address. */
  readonly ipv4: HostFamily | undefined;
  readonly ipv6: HostFamily | undefined;
}

/** One family on the interface that leads out. */
export interface HostFamily {
  readonly interfaceName: string;
  readonly interfaceIndex: number;
  readonly mtu: number;
  readonly mac: MacAddress | undefined;
  /** Of global scope, at least one, the preferred first. */
  readonly addresses: readonly IpPrefix[];
  /** Undefined on links without one: point-to-point, tunnels. */
  readonly gateway: IpAddress | undefined;
  readonly metric: number;
  /** Routes out of this interface to other networks than its own. */
  readonly routes: readonly HostRoute[];
}

export interface HostRoute {
  readonly destination: IpPrefix;
  /** Undefined: the destination is on the link. */
  readonly gateway: IpAddress | undefined;
  readonly metric: number;
}

/** `interfaceName`: the network behind this interface; undefined: behind that of the best default route. */
export function readHostNetwork(interfaceName?: string): Result<HostNetwork> {
  const opened = Netlink.open();
  if (!opened.ok) return opened;
  const netlink = opened.value;
  try {
    const links = listLinks(netlink);
    if (!links.ok) return links;
    const addresses = listAddresses(netlink);
    if (!addresses.ok) return addresses;
    const routes = listRoutes(netlink);
    if (!routes.ok) return routes;
    if (interfaceName === undefined) return success(selectHostNetwork(links.value, addresses.value, routes.value));
    const link = links.value.find(({ name }) => name === interfaceName);
    if (link === undefined) {
      return failure('interface-missing', `there is no interface ${interfaceName} here: name one that "ip link" shows`);
    }
    return success(selectHostNetwork([link], addresses.value, routes.value));
  } finally {
    netlink.close();
  }
}

/** Chooses among what the kernel listed. */
export function selectHostNetwork(
  links: readonly Link[],
  addresses: readonly InterfaceAddress[],
  routes: readonly Route[],
): HostNetwork {
  return {
    ipv4: selectFamily(links, ofFamily(addresses, true, addressOf), ofFamily(routes, true, destinationOf)),
    ipv6: selectFamily(links, ofFamily(addresses, false, addressOf), ofFamily(routes, false, destinationOf)),
  };
}

function selectFamily(
  links: readonly Link[],
  addresses: readonly InterfaceAddress[],
  routes: readonly Route[],
): HostFamily | undefined {
  const defaults = routes
    .filter((route) => route.destination.length === 0 && !route.dead)
    .sort((a, b) => a.metric - b.metric);
  for (const route of defaults) {
    const link = links.find((each) => each.index === route.interfaceIndex);
    const own = selectAddresses(addresses.filter((each) => each.interfaceIndex === route.interfaceIndex));
    if (link === undefined || !link.up || link.loopback || own.length === 0) continue;
    return {
      interfaceName: link.name,
      interfaceIndex: link.index,
      mtu: link.mtu,
      mac: link.mac,
      addresses: own,
      gateway: route.gateway,
      metric: route.metric,
      routes: otherRoutes(routes, link.index, own),
    };
  }
  return undefined;
}

/** Addresses that others may see. What is temporary, deprecated or not yet verified is taken only where there is nothing better. */
function selectAddresses(addresses: readonly InterfaceAddress[]): IpPrefix[] {
  const global = addresses.filter(
    (each) => each.scope === SCOPE.UNIVERSE && (each.flags & ADDRESS_FLAG.DAD_FAILED) === 0,
  );
  const worst = Math.min(...global.map(unfitness));
  const fit = global.filter((each) => unfitness(each) === worst);
  return fit.slice(0, ADDRESSES_MAX).map((each) => each.prefix);
}

/** 0: lasting; the higher, the less an address is worth keeping for the life of a guest. */
function unfitness({ prefix, flags }: InterfaceAddress): number {
  if ((flags & ADDRESS_FLAG.TENTATIVE) !== 0) return 3;
  if ((flags & ADDRESS_FLAG.DEPRECATED) !== 0) return 2;
  // For IPv4 the bit says that the network has an address before this one: as good as any.
  return (flags & ADDRESS_FLAG.TEMPORARY) !== 0 && !isIpv4(prefix.address) ? 1 : 0;
}

function otherRoutes(routes: readonly Route[], interfaceIndex: number, own: readonly IpPrefix[]): HostRoute[] {
  return routes
    .filter((route) => route.interfaceIndex === interfaceIndex && !route.dead && route.destination.length > 0)
    .filter(({ destination }) => !isLinkLocalNetwork(destination) && !isMulticast(destination.address))
    .filter((route) => route.gateway !== undefined || !own.some((prefix) => isSameNetwork(prefix, route.destination)))
    .slice(0, ROUTES_MAX)
    .map(({ destination, gateway, metric }) => ({ destination, gateway, metric }));
}

function isSameNetwork(a: IpPrefix, b: IpPrefix): boolean {
  return a.length === b.length && prefixContains(a, b.address);
}

/** fe80::/64 is there on every interface; a route to 169.254.0.0/16 is somebody's choice. */
function isLinkLocalNetwork(prefix: IpPrefix): boolean {
  return isLinkLocal(prefix.address) && !isIpv4(prefix.address);
}

function ofFamily<T>(values: readonly T[], ipv4: boolean, address: (value: T) => IpAddress): T[] {
  return values.filter((value) => isIpv4(address(value)) === ipv4);
}

function addressOf(each: InterfaceAddress): IpAddress {
  return each.prefix.address;
}

function destinationOf(route: Route): IpAddress {
  return route.destination.address;
}
