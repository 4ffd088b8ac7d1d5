/** From what a command line of slirp4netns asks for to the values that a session takes. Pure. */
import { isAbsolute, resolve } from 'node:path';
import { IpAddress, type IpPrefix, MacAddress, parseIpAddress } from '../../base/address.ts';
import { assert } from '../../base/assert.ts';
import { FLOWS_MAX_DEFAULT } from '../../base/limits.ts';
import { type ForwardOptions, NO_FORWARDS } from '../../engine/forward-rules.ts';
import type { JoinOptions } from '../../engine/join-session.ts';
import type { NetworkDetails } from '../../engine/network-details.ts';
import type { Outbound } from '../../engine/outbound-sys.ts';
import type { Slirp4netnsOptions } from './slirp4netns-options.ts';

/** The plan of IPv6, which no option changes. */
const IPV6 = {
  gateway: known('fd00::2'),
  dns: known('fd00::3'),
  namespace: { address: known('fd00::100'), length: 64 },
} as const;

/** Without the first two bytes, which all of ours have, the gateway's address. */
const OUR_MAC_HIGH = 0x5255;

/** Forwards come by the API socket alone, over the interface: callers of the host's loopback are seen at the gateway's address. */
const BY_REQUEST: ForwardOptions = {
  tcpIn: NO_FORWARDS,
  udpIn: NO_FORWARDS,
  udpFollows: false,
  tcpOut: NO_FORWARDS,
  udpOut: NO_FORWARDS,
  splice: false,
  hostLoopbackToNamespaceLoopback: false,
  freebind: false,
};

export function toSlirpJoinOptions(options: Slirp4netnsOptions): JoinOptions {
  const { target, userNamespacePath, interfaceName, configure, mac, mtu, ipv6, plan } = options;
  const { apiSocketPath, exitDescriptor } = options;
  assert(target.kind === 'pid' || target.kind === 'path', 'other targets are refused before');
  const path = target.kind === 'path' && !isAbsolute(target.path) ? resolve(target.path) : undefined;
  return {
    networkNamespace: target.kind === 'pid' ? `pid:${target.pid}` : (path ?? target.path),
    userNamespacePath,
    // Whoever starts it ends it: a namespace may have other processes than the one that it is named by.
    endsWithNamespace: false,
    ...(exitDescriptor === undefined ? {} : { endDescriptor: exitDescriptor }),
    command: [],
    root: true,
    interfaceName: interfaceName ?? '',
    families: ipv6 ? 'both' : '4',
    addresses: addressesOf(options),
    gateways: ipv6 ? [plan.gateway, IPV6.gateway] : [plan.gateway],
    mac,
    anyClient: true,
    mtu,
    configure,
    details: detailsOf(options),
    dns: 'none',
    publish: [],
    ...(apiSocketPath === undefined ? {} : { forwards: BY_REQUEST }),
    hostLoopback: undefined,
    allowMetadata: true,
    ...{ tcp: true, udp: true, icmp: true },
    flowsMax: FLOWS_MAX_DEFAULT,
    pcapPath: undefined,
    flowsPath: undefined,
    summary: false,
    sandbox: true,
    verbosity: 'normal',
  };
}

/** Who is not configured asks by DHCP, and gets the first address of those that are handed out. */
function addressesOf({ configure, network, plan, ipv6 }: Slirp4netnsOptions): IpPrefix[] {
  const ipv4 = { address: configure ? plan.namespace : plan.dhcpFirst, length: network.length };
  return ipv6 ? [ipv4, IPV6.namespace] : [ipv4];
}

function detailsOf(options: Slirp4netnsOptions): NetworkDetails {
  const { plan, ipv6, dns, hostLoopback } = options;
  const pair = (ipv4: IpAddress, other: IpAddress): IpAddress[] => (ipv6 ? [ipv4, other] : [ipv4]);
  const dnsAddresses = dns ? pair(plan.dns, IPV6.dns) : [];
  return {
    ourMac: new MacAddress(OUR_MAC_HIGH, plan.gateway.w3),
    hostInterface: undefined,
    copyAddresses: false,
    copyRoutes: false,
    netmaskLength: undefined,
    dnsAddresses,
    resolvers: undefined,
    toldDns: dnsAddresses,
    toldSearch: [],
    tellsMtu: true,
    hostName: undefined,
    fullName: undefined,
    dhcp: true,
    dhcpv6: false,
    ndp: ipv6,
    ra: ipv6,
    loopbackAddresses: hostLoopback ? pair(plan.gateway, IPV6.gateway) : [],
    sharedAddresses: [],
    spliceOnly: false,
    outbound: outboundOf(options),
  };
}

function outboundOf({ outboundIpv4, outboundIpv6 }: Slirp4netnsOptions): Outbound {
  const given = [outboundIpv4, outboundIpv6];
  const [ipv4Interface, ipv6Interface] = given.map((each) => (typeof each === 'string' ? each : undefined));
  return { addresses: given.filter((each) => each instanceof IpAddress), ipv4Interface, ipv6Interface };
}

function known(text: string): IpAddress {
  const address = parseIpAddress(text);
  assert(address !== undefined, `${text} is an address`);
  return address;
}
