/** What interfaces serve, from what is configured: the settings of the DHCP server and of router advertisements, with their defaults filled in. */
import { type IpPrefix, ipv4Address, isIpv4, isLinkLocal, prefixContains, prefixMask } from '../base/address.ts';
import type { ServicesConfig } from '../config/config.ts';
import type { DhcpServerSettings } from '../nodes/dhcp-server.ts';
import type { RouterSettings } from '../nodes/router-advertiser.ts';

/**
 * Undefined where there is no DHCP, or no IPv4 address to serve from. The network is that which the pool is in, or else the first. DNS servers that are not named: our
 * address, where we pass questions on.
 */
export function dhcpSettings(
  services: ServicesConfig,
  addresses: readonly IpPrefix[],
  mtu: number,
): DhcpServerSettings | undefined {
  const { dhcp, dns } = services;
  if (dhcp === undefined) return undefined;
  const { pool } = dhcp;
  const network = addresses.find((each) => isIpv4(each.address) && (!pool || prefixContains(each, pool.first)));
  if (network === undefined) return undefined;
  const named = dhcp.dns.filter(isIpv4);
  const hostBits = ~prefixMask(network.length);
  return {
    network,
    first: pool?.first ?? ipv4Address(network.address.w3 & ~hostBits),
    last: pool?.last ?? ipv4Address(network.address.w3 | hostBits),
    leaseMs: dhcp.lease,
    router: dhcp.gateway ?? network.address,
    dns: named.length > 0 || dns === undefined ? named : [network.address],
    searchDomains: dhcp.searchDomains,
    mtu,
  };
}

/** Undefined where nothing is advertised. DNS servers that are not named: our first address that is not link-local, where we pass questions on. */
export function routerSettings(services: ServicesConfig, addresses: readonly IpPrefix[]): RouterSettings | undefined {
  const { dns, ra } = services;
  if (ra === undefined) return undefined;
  const named = ra.dns.filter((address) => !isIpv4(address));
  const ours = addresses.filter(({ address }) => !isIpv4(address) && !isLinkLocal(address)).slice(0, 1);
  return {
    intervalMs: ra.interval,
    lifetimeMs: ra.lifetime,
    managed: ra.managed,
    other: ra.other,
    dns: named.length > 0 || dns === undefined ? named : ours.map(({ address }) => address),
  };
}
