/**
 * What programs that we stand in for can ask of a guest's network, and `tapster run` can not, as a value. With it nothing is there that was not asked for: no name for
 * the host, no addresses of ours, no files inside.
 */
import type { IpAddress, MacAddress } from '../base/address.ts';
import type { Outbound } from './outbound-sys.ts';

export interface NetworkDetails {
  /** Ours on the link. */
  readonly ourMac: MacAddress;
  /** The interface of the host whose addresses and routes the guest has; undefined: that of the default routes. */
  readonly hostInterface: string | undefined;
  /** False: the first address of each family only. */
  readonly copyAddresses: boolean;
  /** False: the default routes only. */
  readonly copyRoutes: boolean;
  /** Of the IPv4 address, instead of the host's. */
  readonly netmaskLength: number | undefined;
  /** Where the guest finds DNS servers of the host's; ports 53 and 853. */
  readonly dnsAddresses: readonly IpAddress[];
  /** Those servers; undefined: those in the host's resolv.conf. */
  readonly resolvers: readonly IpAddress[] | undefined;
  /** What the guest is told by DHCP, DHCPv6 and router advertisements; `host`: what the host's resolv.conf says. */
  readonly toldDns: 'host' | readonly IpAddress[];
  readonly toldSearch: 'host' | readonly string[];
  readonly tellsMtu: boolean;
  readonly hostName: string | undefined;
  /** With its domain. */
  readonly fullName: string | undefined;
  readonly dhcp: boolean;
  readonly dhcpv6: boolean;
  readonly ndp: boolean;
  readonly ra: boolean;
  /** Addresses that are the host's loopback, seen from the guest. */
  readonly loopbackAddresses: 'gateway' | readonly IpAddress[];
  /** Addresses that are, seen from the guest, the host at the address that both have. */
  readonly sharedAddresses: readonly IpAddress[];
  /** The guest has no interface: there is only what is moved from loopback to loopback. */
  readonly spliceOnly: boolean;
  /** By which of the host's addresses and interfaces sockets leave. */
  readonly outbound: Outbound;
}
