/**
 * What the nodes that configure a guest (ARP, NDP, DHCP, DHCPv6) tell it. A value: what changes at run time, such as the DNS servers, is
 * changed by giving the nodes a new one (`configure`).
 */
import type { IpAddress, IpPrefix, MacAddress } from '../base/address.ts';

export interface ServiceConfig {
  /** The address at which the guest finds us, whatever IP address it asks for. */
  readonly ourMac: MacAddress;
  /** The only client that DHCP gives the address to; left out, whoever asks is given it. */
  readonly guestMac?: MacAddress;
  /** The largest IP packet that the guest may send and will be sent, in bytes. */
  readonly mtu: number;
  /** False: neither DHCP nor router advertisements tell it. */
  readonly tellsMtu?: boolean;
  /** Left out: the guest has no IPv4, and no question about it is answered. */
  readonly ipv4?: Ipv4Service;
  /** Left out: the guest has no IPv6, and no question about it is answered. */
  readonly ipv6?: Ipv6Service;
  /** What the guest appends to short names; text that is no domain name is passed over. */
  readonly searchDomains: readonly string[];
  readonly hostName?: string;
  /** The guest's name with its domain. */
  readonly fullName?: string;
  /** How long the addresses are given for; 0xffffffff: for ever. */
  readonly leaseSeconds: number;
  /** Whether each service speaks at all. ARP always does. */
  readonly dhcp: boolean;
  readonly dhcpv6: boolean;
  readonly ndp: boolean;
  readonly ra: boolean;
}

/** Only ARP speaks: for a guest that has its addresses already. */
export const NO_SERVICES: Omit<ServiceConfig, 'ourMac' | 'mtu'> = {
  searchDomains: [],
  leaseSeconds: 3600,
  dhcp: false,
  dhcpv6: false,
  ndp: false,
  ra: false,
};

export interface Ipv4Service {
  /** The guest's address, and the prefix of its network. */
  readonly address: IpPrefix;
  /** We are the gateway, and DHCP's server has its address. It may lie outside the guest's network. */
  readonly gateway: IpAddress;
  readonly dns: readonly IpAddress[];
  /** Routes besides the default route; without a gateway of their own: on the link. */
  readonly routes: readonly ServiceRoute[];
}

export interface ServiceRoute {
  readonly destination: IpPrefix;
  readonly gateway?: IpAddress;
}

export interface Ipv6Service {
  /** The guest's address, and the prefix of its network. */
  readonly address: IpPrefix;
  /** The default route's address as the guest was told it, link-local or global. */
  readonly gateway: IpAddress;
  /** The address that our advertisements and replies come from. */
  readonly ourLinkLocal: IpAddress;
  readonly dns: readonly IpAddress[];
}
