/**
 * The network of a `tapster run` session as values: what the guest gets, what its files say, what its services tell it, and what policy makes of
 * its addresses. Pure but for reading the host's /etc/hosts.
 */
import { readFileSync } from 'node:fs';
import {
  equalAddress,
  type IpAddress,
  isIpv4,
  isLinkLocal,
  MacAddress,
  parseIpAddress,
  prefixContains,
} from '../base/address.ts';
import { assert } from '../base/assert.ts';
import type { HostPolicyConfig } from '../flow/host-policy.ts';
import type { ServiceConfig } from '../nodes/service-config.ts';
import type { GuestNetwork } from '../sys/guest-network.ts';
import type { HostFamily, HostNetwork } from '../sys/host-network.ts';
import { RESOLV_CONF_PATH, type ResolvConf, renderResolvConf } from '../sys/resolv-conf.ts';
import type { RunOptions } from './run-options.ts';

/** Under this name the host's loopback can be reached, with `--host-loopback`. */
export const HOST_NAME = 'host.tapster.internal';

const HOSTS_PATH = '/etc/hosts';

/** Ours on the link, locally administered: the guest's has a 1 at the end (`sys/guest-network.ts`). */
const OUR_MAC: MacAddress = new MacAddress(0x0274, 0x617000fe);

/**
 * Addresses of ours inside, which no network of the host has: the link-local block of IPv4 is not routed (RFC 3927), and the prefix of IPv6 is a unique local one (RFC 4193)
 * whose digits spell "tapster".
 */
const DNS_IPV4 = known('169.254.1.53');
const DNS_IPV6 = known('fd74:6170:7374:6572::53');
const HOST_IPV6 = known('fd74:6170:7374:6572::1');
/** Router advertisements and DHCPv6 replies come from a link-local address, which a gateway need not have. */
const ROUTER_IPV6 = known('fe80::1');

/** How long DHCP and DHCPv6 leases last: nobody else wants the address. */
const LEASE_SECONDS = 86_400;

export interface SessionNetwork {
  readonly services: ServiceConfig;
  readonly policy: HostPolicyConfig;
  /** Files that look different inside. */
  readonly files: readonly { readonly path: string; readonly content: string }[];
  /** Address of `HOST_NAME`, for each family that has one. */
  readonly hostAddresses: readonly IpAddress[];
}

export function planSession(
  options: RunOptions,
  host: HostNetwork,
  guest: GuestNetwork,
  resolvConf: ResolvConf,
): SessionNetwork {
  const dns = dnsAddresses(options, guest);
  const loopback = loopbackAddresses(options, guest);
  const hostAddresses = [true, false].flatMap((ipv4) => {
    const usable = loopback.filter((each) => isIpv4(each) === ipv4 && (ipv4 || !isLinkLocal(each)));
    return usable.slice(0, 1);
  });
  return {
    services: planServices(options, guest, dns, options.dns === 'none' ? [] : resolvConf.search),
    policy: planPolicy(options, host, guest, dns, loopback, resolvConf),
    files: planFiles(options, dns, hostAddresses, resolvConf),
    hostAddresses,
  };
}

/** The guest's resolv.conf. */
export function guestResolvConf(options: RunOptions, dns: readonly IpAddress[], host: ResolvConf): string | undefined {
  if (options.dns === 'none') return undefined;
  // One name leads to all of the host's servers: whether one of them fails over to the next is ours to see to.
  const servers = options.dns === 'forward' ? dns.slice(0, 1) : dns;
  return renderResolvConf(servers, host.search, host.options);
}

/** Which servers the guest is told. */
export function dnsAddresses(options: RunOptions, guest: GuestNetwork): readonly IpAddress[] {
  if (options.dns === 'none') return [];
  if (options.dns !== 'forward') return options.dns;
  const addresses: IpAddress[] = [];
  if (guest.ipv4Gateway !== undefined) addresses.push(DNS_IPV4);
  if (guest.ipv6Gateway !== undefined) addresses.push(DNS_IPV6);
  return addresses;
}

function loopbackAddresses(options: RunOptions, guest: GuestNetwork): readonly IpAddress[] {
  const { hostLoopback } = options;
  if (hostLoopback === undefined) return [];
  const wanted = hostLoopback === 'gateway' ? [guest.ipv4Gateway, guest.ipv6Gateway] : [hostLoopback];
  const reachable = wanted.filter((each) => each !== undefined && hasFamily(guest, each)) as IpAddress[];
  if (guest.ipv6Gateway === undefined || reachable.some((each) => equalAddress(each, HOST_IPV6))) return reachable;
  return [...reachable, HOST_IPV6];
}

function hasFamily(guest: GuestNetwork, address: IpAddress): boolean {
  return (isIpv4(address) ? guest.ipv4Gateway : guest.ipv6Gateway) !== undefined;
}

/** `dns` and `search` are what the guest is told. */
export function planServices(
  options: RunOptions,
  guest: GuestNetwork,
  dns: readonly IpAddress[],
  search: readonly string[],
): ServiceConfig {
  const ipv4 = guest.addresses.find((each) => isIpv4(each.address));
  const ipv6 = guest.addresses.find((each) => !isIpv4(each.address));
  const { ipv4Gateway, ipv6Gateway } = guest;
  const routes = guest.routes
    .filter((route) => isIpv4(route.destination.address) && route.destination.length > 0)
    .map(({ destination, gateway }) => (gateway === undefined ? { destination } : { destination, gateway }));
  return {
    ourMac: OUR_MAC,
    ...(options.anyClient === true ? {} : { guestMac: guest.mac }),
    mtu: guest.mtu,
    ...(ipv4 === undefined || ipv4Gateway === undefined
      ? {}
      : { ipv4: { address: ipv4, gateway: ipv4Gateway, dns: dns.filter(isIpv4), routes } }),
    ...(ipv6 === undefined || ipv6Gateway === undefined
      ? {}
      : {
          ipv6: {
            address: ipv6,
            gateway: ipv6Gateway,
            ourLinkLocal: isLinkLocal(ipv6Gateway) ? ipv6Gateway : ROUTER_IPV6,
            dns: dns.filter((each) => !isIpv4(each)),
          },
        }),
    searchDomains: search,
    leaseSeconds: LEASE_SECONDS,
    dhcp: true,
    dhcpv6: true,
    ndp: true,
    ra: true,
  };
}

function planPolicy(
  options: RunOptions,
  host: HostNetwork,
  guest: GuestNetwork,
  dns: readonly IpAddress[],
  loopback: readonly IpAddress[],
  resolvConf: ResolvConf,
): HostPolicyConfig {
  const callers = [guest.ipv4Gateway, guest.ipv6Gateway === undefined ? undefined : HOST_IPV6];
  return {
    tcp: options.tcp,
    udp: options.udp,
    icmp: options.icmp,
    allowMetadata: options.allowMetadata,
    dnsAddresses: options.dns === 'forward' ? dns : [],
    namedServers: options.dns === 'forward' ? [] : dns,
    resolvers: resolvConf.nameservers,
    loopbackAddresses: loopback,
    ownAddresses: ownAddresses(host, guest),
    guestAddresses: guest.addresses.map((each) => each.address),
    callerAddresses: callers.filter((each) => each !== undefined),
    scopeId: host.ipv6?.interfaceIndex ?? host.ipv4?.interfaceIndex ?? 0,
  };
}

/** Ours, whether they lead to the loopback or nowhere: those that we invented, for the host's network has nobody there. */
function ownAddresses(host: HostNetwork, guest: GuestNetwork): IpAddress[] {
  const gateways = [
    isNeighbour(host.ipv4, guest.ipv4Gateway) ? undefined : guest.ipv4Gateway,
    isNeighbour(host.ipv6, guest.ipv6Gateway) ? undefined : guest.ipv6Gateway,
  ].filter((each) => each !== undefined);
  const router = guest.ipv6Gateway === undefined || isLinkLocal(guest.ipv6Gateway) ? [] : [ROUTER_IPV6];
  return [...gateways, ...router, HOST_IPV6];
}

/** Whether the guest's gateway is somebody whom the host may reach at that address. */
export function isNeighbour(family: HostFamily | undefined, gateway: IpAddress | undefined): boolean {
  if (family === undefined || gateway === undefined) return false;
  if (family.gateway !== undefined && equalAddress(family.gateway, gateway)) return true;
  return family.addresses.some((each) => prefixContains(each, gateway));
}

function planFiles(
  options: RunOptions,
  dns: readonly IpAddress[],
  hostAddresses: readonly IpAddress[],
  resolvConf: ResolvConf,
): { path: string; content: string }[] {
  const files: { path: string; content: string }[] = [];
  const content = guestResolvConf(options, dns, resolvConf);
  if (content !== undefined) files.push({ path: RESOLV_CONF_PATH, content });
  if (hostAddresses.length > 0) {
    files.push({ path: HOSTS_PATH, content: guestHosts(readHosts(), hostAddresses) });
  }
  return files;
}

/** The guest's /etc/hosts. A session inside a session finds the outer one's name in its host's file: the inner one is meant. */
export function guestHosts(text: string, hostAddresses: readonly IpAddress[]): string {
  const lines = text.split('\n').filter((line) => !(line.split('#')[0] ?? '').split(/\s+/).includes(HOST_NAME));
  if (lines.at(-1) === '') lines.pop();
  return [...lines, ...hostAddresses.map((address) => `${address} ${HOST_NAME}`)].map((line) => `${line}\n`).join('');
}

function readHosts(): string {
  try {
    return readFileSync(HOSTS_PATH, 'utf8');
  } catch {
    return '';
  }
}

function known(text: string): IpAddress {
  const address = parseIpAddress(text);
  assert(address !== undefined, `${text} is an address`);
  return address;
}
