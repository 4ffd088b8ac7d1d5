/** From what a command line of pasta or passt asks for to the values that sessions take. Pure. */
import { type IpAddress, type IpPrefix, isIpv4 } from '../../base/address.ts';
import { FLOWS_MAX_DEFAULT } from '../../base/limits.ts';
import { type ForwardOptions, type ForwardSpec, NO_FORWARDS } from '../../engine/forward-rules.ts';
import type { GuestOptions } from '../../engine/guest-options.ts';
import type { JoinOptions } from '../../engine/join-session.ts';
import type { NetworkDetails } from '../../engine/network-details.ts';
import type { RunOptions } from '../../engine/run-options.ts';
import type { FamilyPair, GuestAddress, Namespace, PastaOptions, VirtualMachine } from './pasta-options.ts';

/** What an Ethernet has without further agreement, for a guest that is told of no MTU. */
const MTU_UNTOLD = 1500;
const VM_SOCKET = (number: number): string => `/tmp/passt_${number}.socket`;

/** For a namespace with a command in it. */
export function toRunOptions(options: PastaOptions, namespace: Namespace, command: readonly string[]): RunOptions {
  return {
    ...common(options, namespace),
    ...ofNamespace(namespace),
    command,
    details: detailsOf(options, namespace),
  };
}

/** For a namespace that is there. */
export function toJoinOptions(options: PastaOptions, namespace: Namespace): JoinOptions {
  const { target, userNamespace, endsWithPath } = namespace;
  const { text, ends } =
    target.kind === 'pid'
      ? { text: `pid:${target.pid}`, ends: true }
      : { text: target.kind === 'path' ? target.path : '', ends: endsWithPath };
  return {
    ...toRunOptions(options, namespace, []),
    networkNamespace: text,
    userNamespacePath: userNamespace.kind === 'path' ? userNamespace.path : undefined,
    endsWithNamespace: ends,
  };
}

/** For a virtual machine. */
export function toGuestOptions(options: PastaOptions, machine: VirtualMachine): GuestOptions {
  const { socketPath, descriptor, vhostUser, oneOff } = machine;
  return {
    ...common(options, undefined),
    details: detailsOf(options, undefined),
    socket: descriptor === undefined ? (socketPath ?? { pathOf: VM_SOCKET }) : undefined,
    connectPath: undefined,
    fd: descriptor,
    vhostUserPairs: vhostUser ? 1 : 0,
    datagrams: false,
    oneOff,
    rxMode: 'adaptive',
  };
}

function common(options: PastaOptions, namespace: Namespace | undefined): RunOptions {
  const { families, mtu, tcp, udp, icmp, pcapPath, verbosity } = options;
  const forwards = forwardsOf(options, namespace);
  return {
    command: [],
    root: true,
    interfaceName: '',
    families,
    addresses: addressesOf(options),
    gateways: both(options.gateways),
    mac: undefined,
    anyClient: true,
    mtu: mtu === 0 ? MTU_UNTOLD : mtu,
    configure: false,
    dns: 'none',
    publish: [],
    ...(forwards === undefined ? {} : { forwards }),
    hostLoopback: undefined,
    allowMetadata: true,
    ...{ tcp, udp, icmp },
    flowsMax: FLOWS_MAX_DEFAULT,
    pcapPath,
    classicPcap: true,
    flowsPath: undefined,
    summary: false,
    sandbox: true,
    verbosity: verbosity === 'quiet' ? 'quiet' : verbosity === 'normal' ? 'normal' : 'verbose',
  };
}

function ofNamespace({ interfaceName, mac, configure }: Namespace): Partial<RunOptions> {
  return { interfaceName: interfaceName ?? '', mac, configure };
}

function detailsOf(options: PastaOptions, namespace: Namespace | undefined): NetworkDetails {
  const { dns, search, dnsHosts, hostLoopback, outboundAddresses, outboundInterfaces } = options;
  const resolvers = both(dnsHosts);
  const gatewayGiven = both(options.gateways).length > 0;
  return {
    ourMac: options.mac,
    hostInterface: options.interfaceName,
    copyAddresses: namespace?.copyAddresses ?? true,
    copyRoutes: (namespace?.copyRoutes ?? true) && !gatewayGiven,
    netmaskLength: options.netmaskLength,
    dnsAddresses: both(options.dnsForward),
    resolvers: resolvers.length === 0 ? undefined : resolvers,
    toldDns: options.dhcpDns ? dns : [],
    toldSearch: options.dhcpSearch ? search : [],
    tellsMtu: options.mtu !== 0,
    hostName: options.hostname,
    fullName: options.fqdn,
    dhcp: options.dhcp,
    dhcpv6: options.dhcpv6,
    ndp: options.ndp,
    ra: options.ra,
    loopbackAddresses: hostLoopback === 'gateway' ? 'gateway' : both(hostLoopback),
    sharedAddresses: both(options.guestAddressAtHost),
    spliceOnly: namespace?.spliceOnly ?? false,
    outbound: {
      addresses: both(outboundAddresses),
      ipv4Interface: outboundInterfaces.ipv4,
      ipv6Interface: outboundInterfaces.ipv6,
    },
  };
}

function addressesOf({ addresses, netmaskLength }: PastaOptions): IpPrefix[] {
  return both(addresses).map(({ address, prefixLength }: GuestAddress) => ({
    address,
    length: prefixLength ?? (isIpv4(address) ? (netmaskLength ?? classLength(address)) : 64),
  }));
}

/** Of the network that an IPv4 address was in before networks had lengths (RFC 791, section 3.2). */
function classLength({ w3 }: IpAddress): number {
  const first = w3 >>> 24;
  return first < 128 ? 8 : first < 192 ? 16 : 24;
}

/** Undefined: nothing is forwarded, and nothing will be. */
function forwardsOf(options: PastaOptions, namespace: Namespace | undefined): ForwardOptions | undefined {
  const { tcp, udp, tcpIn, tcpOut, udpOut, udpInFollowsTcp, freebind } = options;
  const udpIn = udpInFollowsTcp ? unmapped(tcpIn) : options.udpIn;
  const forwards = {
    tcpIn: tcp ? tcpIn : NO_FORWARDS,
    udpIn: udp ? udpIn : NO_FORWARDS,
    tcpOut: tcp ? tcpOut : NO_FORWARDS,
    udpOut: udp ? udpOut : NO_FORWARDS,
  };
  const isNothing = Object.values(forwards).every(({ rules, auto }) => rules.length + auto.length === 0);
  if (isNothing && options.controlPath === undefined) return undefined;
  return {
    ...forwards,
    udpFollows: udpInFollowsTcp,
    splice: namespace?.splice ?? false,
    hostLoopbackToNamespaceLoopback: namespace?.hostLoopbackToNamespaceLoopback ?? false,
    freebind,
  };
}

/** UDP that follows TCP has the same ports on both sides, as far as it can have them. */
function unmapped({ rules, auto }: ForwardSpec): ForwardSpec {
  return { rules: rules.map((rule) => ({ ...rule, toPort: rule.firstPort, weak: true })), auto };
}

function both<T>({ ipv4, ipv6 }: FamilyPair<T>): T[] {
  return [ipv4, ipv6].filter((each) => each !== undefined);
}
