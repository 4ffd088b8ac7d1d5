/**
 * The network of a session with `NetworkDetails`, as values: which of the host's network the guest gets, what its services tell it, and what policy makes of its
 * addresses. What `session-network.ts` is for `tapster run`. Pure.
 *
 * A family that the host has not is left out, unless the guest is given an address of it. Where the host has neither, there are link-local addresses (RFC 3927), so that the
 * host itself can be reached.
 */
import { type IpAddress, type IpPrefix, isIpv4, isLoopback, parseIpAddress, parseIpPrefix } from '../base/address.ts';
import { assert } from '../base/assert.ts';
import type { Resolver } from '../flow/resolvers.ts';
import type { GuestNetwork, GuestNetworkOverrides } from '../sys/guest-network.ts';
import type { HostFamily, HostNetwork } from '../sys/host-network.ts';
import type { ResolvConf } from '../sys/resolv-conf.ts';
import type { NetworkDetails } from './network-details.ts';
import type { RunOptions } from './run-options.ts';
import { isNeighbour, planServices, type SessionNetwork } from './session-network.ts';

/** Where the host has no network at all. */
const LOCAL_ADDRESS: IpPrefix = known(parseIpPrefix('169.254.2.1/16'));
const LOCAL_GATEWAY: IpAddress = known(parseIpAddress('169.254.2.2'));
/** For ever (RFC 2131, section 3.3): nobody else wants the address. */
const LEASE_SECONDS = 0xffffffff;
/** The name of the interface inside, where the host has none to take it from. */
const INTERFACE_NAME = 'tap0';

/** What the guest may know of the host's network. */
export function shownHost(host: HostNetwork, details: NetworkDetails): HostNetwork {
  const shown = (family: HostFamily | undefined): HostFamily | undefined => {
    if (family === undefined) return undefined;
    const addresses = details.copyAddresses ? family.addresses : family.addresses.slice(0, 1);
    return { ...family, addresses, routes: details.copyRoutes ? family.routes : [] };
  };
  const { netmaskLength } = details;
  const ipv4 = shown(host.ipv4);
  const masked = (each: IpPrefix): IpPrefix => ({ address: each.address, length: netmaskLength ?? each.length });
  return {
    ipv4: ipv4 === undefined ? undefined : { ...ipv4, addresses: ipv4.addresses.map(masked) },
    ipv6: shown(host.ipv6),
  };
}

/** What `planGuestNetwork` is to do otherwise than the host has it. */
export function detailedOverrides(options: RunOptions, host: HostNetwork): GuestNetworkOverrides {
  const { addresses, gateways, mac, mtu, families } = options;
  const interfaceName =
    options.interfaceName || (host.ipv4?.interfaceName ?? host.ipv6?.interfaceName ?? INTERFACE_NAME);
  const has = (ipv4: boolean): boolean =>
    (ipv4 ? host.ipv4 : host.ipv6) !== undefined || addresses.some(({ address }) => isIpv4(address) === ipv4);
  const ofHost: RunOptions['families'] = has(true) === has(false) ? 'both' : has(true) ? '4' : '6';
  const own = { interfaceName, families: families === 'both' ? ofHost : families, mac, mtu };
  if (has(true)) return { ...own, addresses, gateways };
  return { ...own, addresses: [...addresses, LOCAL_ADDRESS], gateways: [...gateways, LOCAL_GATEWAY] };
}

export function planDetailed(
  options: RunOptions,
  details: NetworkDetails,
  host: HostNetwork,
  guest: GuestNetwork,
  resolvConf: ResolvConf,
): SessionNetwork {
  const gateways = [guest.ipv4Gateway, guest.ipv6Gateway].filter((each) => each !== undefined);
  const loopback = details.loopbackAddresses === 'gateway' ? gateways : details.loopbackAddresses;
  const dns = planDns(details, loopback, resolvConf);
  const { resolvers } = details;
  const search = details.toldSearch === 'host' ? resolvConf.search : details.toldSearch;
  const { hostName, fullName } = details;
  return {
    services: {
      ...planServices(options, guest, dns.told, search),
      ...(hostName === undefined ? {} : { hostName }),
      ...(fullName === undefined ? {} : { fullName }),
      ourMac: details.ourMac,
      leaseSeconds: LEASE_SECONDS,
      tellsMtu: details.tellsMtu,
      dhcp: details.dhcp,
      dhcpv6: details.dhcpv6,
      ndp: details.ndp,
      ra: details.ra,
    },
    policy: {
      tcp: options.tcp,
      udp: options.udp,
      icmp: options.icmp,
      allowMetadata: options.allowMetadata,
      dnsAddresses: dns.addresses,
      dnsTls: true,
      namedServers: [],
      resolvers: resolvers === undefined ? resolvConf.nameservers : resolvers.map(toResolver),
      loopbackAddresses: loopback,
      sharedAddresses: details.sharedAddresses,
      ownAddresses: gateways.filter((each) => !isNeighbour(isIpv4(each) ? host.ipv4 : host.ipv6, each)),
      guestAddresses: guest.addresses.map(({ address }) => address),
      callerAddresses: [true, false].flatMap((ipv4) => {
        const ofFamily = (each: IpAddress): boolean => isIpv4(each) === ipv4;
        return [loopback.find(ofFamily) ?? gateways.find(ofFamily)].filter((each) => each !== undefined);
      }),
      scopeId: host.ipv6?.interfaceIndex ?? host.ipv4?.interfaceIndex ?? 0,
    },
    files: [],
    hostAddresses: [],
  };
}

/**
 * A server on the host itself can't be told of as it is. Where the host's loopback has another address inside, the guest is told that one, and port 53 there leads to
 * the server, wherever on the loopback it listens.
 */
function planDns(
  { dnsAddresses, toldDns }: NetworkDetails,
  loopback: readonly IpAddress[],
  { nameservers }: ResolvConf,
): { readonly addresses: readonly IpAddress[]; readonly told: readonly IpAddress[] } {
  if (toldDns !== 'host') return { addresses: dnsAddresses, told: toldDns };
  const addresses = [...dnsAddresses];
  const told: IpAddress[] = [];
  for (const { address } of nameservers) {
    const ofFamily = (each: IpAddress): boolean => isIpv4(each) === isIpv4(address);
    if (!isLoopback(address)) {
      told.push(address);
      continue;
    }
    const seen = addresses.find(ofFamily) ?? loopback.find(ofFamily);
    if (seen === undefined) continue;
    if (!addresses.includes(seen)) addresses.push(seen);
    if (!told.includes(seen)) told.push(seen);
  }
  return { addresses, told };
}

function toResolver(address: IpAddress): Resolver {
  return { address, scopeId: 0 };
}

function known<T>(value: T | undefined): T {
  assert(value !== undefined, 'the addresses of this file are addresses');
  return value;
}
