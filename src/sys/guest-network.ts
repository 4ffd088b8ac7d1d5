/**
 * The network inside a namespace: what it is to be (`planGuestNetwork`, a pure function of the host's and the user's wishes), and setting it up over
 * rtnetlink (`configureGuest`).
 *
 * The guest has the host's addresses and routes, so that it finds the network that its user knows; whatever it sends is translated to host sockets anyway. A
 * family that the host does not have gets private addresses, so that the host's loopback and published ports work over it nevertheless.
 */
import {
  equalAddress,
  IpAddress,
  type IpPrefix,
  isIpv4,
  isLinkLocal,
  MacAddress,
  parseIpAddress,
  parseIpPrefix,
  prefixContains,
} from '../base/address.ts';
import { failure, type Result, success } from '../base/result.ts';
import type { HostFamily, HostNetwork } from './host-network.ts';
import { addAddress, SCOPE } from './netlink/address.ts';
import { findLink, type Link, setLink } from './netlink/link.ts';
import { addRoute, everywhere } from './netlink/route.ts';
import { Netlink } from './netlink/socket.ts';

/** The largest IP packet but for what a kernel takes off for alignment: TCP then fills a 64 KiB frame of the tap with one segment. */
export const GUEST_MTU_DEFAULT = 65_520;

/**
 * Packets that may wait in the interface's queue: a whole TCP window must fit, even in segments of MTU 1500. What does not fit is dropped by the guest's own
 * kernel, and its connections collapse to a few Mbit/s.
 */
export const GUEST_TX_QUEUE_LENGTH = 16_384;

/**
 * There is no congestion between a guest and us: the window that we advertise limits it, and the host's own kernel does congestion control where there is a
 * network. An algorithm that paces (BBR, the default on many machines) measures round trips of a few microseconds there, and sends at half the speed.
 * Reno is in every kernel, and every namespace may have it.
 */
const GUEST_CONGESTION_CONTROL = 'reno';

/** Locally administered (bit 1 of the first byte); "tap" in ASCII. Each guest has a link of its own, so they may all have the same. */
const GUEST_MAC_DEFAULT = new MacAddress(0x0274, 0x61700001);

/** Where the host has no network of the family. A gateway that is the guest's own address gives way to the second. */
const FALLBACK = {
  ipv4: { address: prefix('10.0.2.100/24'), gateways: [address('10.0.2.2'), address('10.0.2.3')] },
  ipv6: { address: prefix('fd74:6170:7374:6572::100/64'), gateways: [address('fe80::1'), address('fe80::2')] },
} as const;

const LOOPBACK_INDEX = 1;

export interface GuestNetwork {
  readonly interfaceName: string;
  readonly mac: MacAddress;
  readonly mtu: number;
  readonly txQueueLength: number;
  /** Both families, the preferred of each first. The routes to their networks come with them. */
  readonly addresses: readonly IpPrefix[];
  /** The default routes, and others. */
  readonly routes: readonly GuestRoute[];
  /** The gateways of the default routes; undefined for a family that is left out. */
  readonly ipv4Gateway: IpAddress | undefined;
  readonly ipv6Gateway: IpAddress | undefined;
  /** The guest's IPv6 link-local address, made of its MAC (RFC 4291, appendix A). */
  readonly linkLocal: IpAddress | undefined;
}

export interface GuestRoute {
  readonly destination: IpPrefix;
  /** Undefined: the destination is on the link. A gateway need not be in any of the guest's networks. */
  readonly gateway?: IpAddress | undefined;
  /** Undefined: the kernel's own choice. */
  readonly metric?: number | undefined;
}

/** What the user wants otherwise than the host has it. */
export interface GuestNetworkOverrides {
  readonly interfaceName: string;
  readonly families: 'both' | '4' | '6';
  /** Those of a family replace the host's of that family, and its routes but the default one. */
  readonly addresses?: readonly IpPrefix[] | undefined;
  /** One for each family, at most. */
  readonly gateways?: readonly IpAddress[] | undefined;
  readonly mac?: MacAddress | undefined;
  readonly mtu?: number | undefined;
}

export function planGuestNetwork(host: HostNetwork | undefined, overrides: GuestNetworkOverrides): GuestNetwork {
  const { families, interfaceName, mac = GUEST_MAC_DEFAULT, mtu = GUEST_MTU_DEFAULT } = overrides;
  const ipv4 = families === '6' ? undefined : planFamily(host?.ipv4, overrides, true);
  const ipv6 = families === '4' ? undefined : planFamily(host?.ipv6, overrides, false);
  return {
    interfaceName,
    mac,
    mtu,
    txQueueLength: GUEST_TX_QUEUE_LENGTH,
    addresses: [...(ipv4?.addresses ?? []), ...(ipv6?.addresses ?? [])],
    routes: [...(ipv4?.routes ?? []), ...(ipv6?.routes ?? [])],
    ipv4Gateway: ipv4?.gateway,
    ipv6Gateway: ipv6?.gateway,
    linkLocal: ipv6 === undefined ? undefined : linkLocalAddress(mac),
  };
}

/**
 * Sets the network up in the namespace that the descriptor's netlink socket was opened in. `extent` 'link': the interface comes up with its MAC and its link-local
 * address, and all else is left to a DHCP client or router advertisements inside; 'down': it has its MAC, and does not come up.
 */
export function configureGuest(
  netlinkFd: number,
  plan: GuestNetwork,
  extent: 'all' | 'link' | 'down' = 'all',
): Result<void> {
  const netlink = new Netlink(netlinkFd);
  const loopback = raiseLoopback(netlinkFd);
  if (!loopback.ok) return loopback;
  const found = findLink(netlink, plan.interfaceName);
  if (!found.ok) return found;
  if (extent === 'down') {
    const { mac, txQueueLength } = plan;
    const changed = setLink(netlink, found.value.index, { mac, txQueueLength });
    return changed.ok
      ? changed
      : refused('guest-link-failed', `${plan.interfaceName} does not take MAC ${mac}`, changed);
  }
  const link = raiseInterface(netlink, found.value, plan);
  if (!link.ok) return link;
  const addresses = addAddresses(netlink, found.value.index, plan, extent);
  return addresses.ok && extent === 'all' ? addRoutes(netlink, found.value.index, plan) : addresses;
}

/** Brings `lo` up in the namespace that the descriptor's netlink socket was opened in. */
export function raiseLoopback(netlinkFd: number): Result<void> {
  const raised = setLink(new Netlink(netlinkFd), LOOPBACK_INDEX, { up: true });
  return raised.ok ? raised : refused('guest-loopback-failed', 'lo can not be brought up', raised);
}

/**
 * The sysctls that a guest's namespace needs before its interface comes up. `gid`: who may use ping sockets; undefined: everyone. `advertised`: whether the
 * guest configures itself from router advertisements.
 */
export function guestSysctls(
  interfaceName: string,
  gid: number | undefined,
  advertised: boolean = false,
): { path: string; value: string }[] {
  const accept = advertised ? '1' : '0';
  const ipv6 = (name: string, value: string): { path: string; value: string } => ({
    path: `/proc/sys/net/ipv6/conf/${interfaceName}/${name}`,
    value,
  });
  return [
    { path: '/proc/sys/net/ipv4/ping_group_range', value: gid === undefined ? '0 2147483647' : `${gid} ${gid}` },
    { path: '/proc/sys/net/ipv4/ip_unprivileged_port_start', value: '0' },
    { path: '/proc/sys/net/ipv4/tcp_congestion_control', value: GUEST_CONGESTION_CONTROL },
    ipv6('disable_ipv6', '0'),
    // Nobody else is on the link: an address is usable at once.
    ipv6('accept_dad', '0'),
    ipv6('accept_ra', accept),
    ipv6('autoconf', accept),
  ];
}

/** Those for a namespace of somebody else's. `configured`: by us, so that the guest takes no addresses from router advertisements beside. */
export function joinedSysctls(interfaceName: string, configured: boolean): { path: string; value: string }[] {
  const accept = configured ? ['accept_ra', 'autoconf'] : [];
  return guestSysctls(interfaceName, undefined).filter(({ path }) => {
    const name = path.slice(path.lastIndexOf('/') + 1);
    return name === 'tcp_congestion_control' || accept.includes(name);
  });
}

interface FamilyPlan {
  readonly addresses: readonly IpPrefix[];
  readonly gateway: IpAddress;
  readonly routes: readonly GuestRoute[];
}

function planFamily(host: HostFamily | undefined, overrides: GuestNetworkOverrides, ipv4: boolean): FamilyPlan {
  const fallback = ipv4 ? FALLBACK.ipv4 : FALLBACK.ipv6;
  const wanted = overrides.addresses?.filter((each) => isIpv4(each.address) === ipv4) ?? [];
  const gatewayWanted = overrides.gateways?.find((each) => isIpv4(each) === ipv4);
  const addresses = wanted.length > 0 ? wanted : (host?.addresses ?? [fallback.address]);
  const candidates = [gatewayWanted, host?.gateway, ...fallback.gateways].filter((each) => each !== undefined);
  // The host's gateway may be of the other family (RFC 8950), or be what the user wants as the guest's address.
  const gateway = candidates.find(
    (each) => isIpv4(each) === ipv4 && !addresses.some((own) => equalAddress(own.address, each)),
  )!;
  const others = wanted.length > 0 ? [] : (host?.routes ?? []);
  return { addresses, gateway, routes: [{ destination: everywhere(gateway), gateway }, ...others] };
}

/** The link-local address is made by us, to be there at once; the kernel makes it when it has noticed the carrier. */
function raiseInterface(netlink: Netlink, link: Link, plan: GuestNetwork): Result<void> {
  const { mac, mtu, txQueueLength } = plan;
  // A kernel without IPv6 does not take the second setting, and needs it not.
  setLink(netlink, link.index, { linkLocalByKernel: false });
  const changed = setLink(netlink, link.index, { mac, mtu, txQueueLength });
  if (!changed.ok) {
    return refused(
      'guest-link-failed',
      `${plan.interfaceName} does not take MAC ${mac} and MTU ${mtu}: is the MAC a unicast one, the MTU between 68 and 65521, with IPv6 at least 1280?`,
      changed,
    );
  }
  const up = setLink(netlink, link.index, { up: true });
  return up.ok ? up : refused('guest-link-failed', `${plan.interfaceName} can not be brought up`, up);
}

function addAddresses(netlink: Netlink, index: number, plan: GuestNetwork, extent: 'all' | 'link'): Result<void> {
  if (plan.linkLocal !== undefined) {
    const added = addAddress(netlink, index, { address: plan.linkLocal, length: 64 }, SCOPE.LINK);
    if (!added.ok) return addressFailure(plan.linkLocal, added);
  }
  for (const each of extent === 'all' ? plan.addresses : []) {
    const added = addAddress(netlink, index, each, isLinkLocal(each.address) ? SCOPE.LINK : SCOPE.UNIVERSE);
    if (!added.ok) return addressFailure(each.address, added);
  }
  return success(undefined);
}

function addRoutes(netlink: Netlink, index: number, plan: GuestNetwork): Result<void> {
  // A gateway is looked up through the routes that are there already: those on the link come first.
  const ordered = [...plan.routes].sort((a, b) => Number(a.gateway !== undefined) - Number(b.gateway !== undefined));
  for (const { destination, gateway, metric } of ordered) {
    const onlink = gateway !== undefined && !isOnLink(gateway, plan.addresses);
    const added = addRoute(netlink, { destination, gateway, metric, interfaceIndex: index, onlink });
    if (!added.ok) return refused('guest-route-failed', 'a route of the guest can not be added', added);
  }
  return success(undefined);
}

function isOnLink(gateway: IpAddress, addresses: readonly IpPrefix[]): boolean {
  if (isLinkLocal(gateway) && !isIpv4(gateway)) return true;
  return addresses.some((each) => prefixContains(each, gateway));
}

/** fe80::/64 and the MAC as a modified EUI-64: the universal/local bit inverted, ff:fe in the middle. */
function linkLocalAddress(mac: MacAddress): IpAddress {
  const third = mac.low >>> 24;
  const first = ((mac.high ^ 0x0200) << 16) | (third << 8) | 0xff;
  return new IpAddress(0xfe800000 | 0, 0, first, 0xfe000000 | (mac.low & 0xffffff));
}

function addressFailure(which: IpAddress, result: Result<void>): Result<never> {
  const advice = isIpv4(which) ? '' : '; where the kernel has no IPv6, leave it out with -4';
  return refused('guest-address-failed', `the guest can not have the address ${which}${advice}`, result);
}

function refused(code: string, message: string, result: Result<unknown>): Result<never> {
  if (result.ok) return failure(code, message);
  return failure(code, `${message}: ${result.failure.message}`, result.failure);
}

function address(text: string): IpAddress {
  return parseIpAddress(text)!;
}

function prefix(text: string): IpPrefix {
  return parseIpPrefix(text)!;
}
