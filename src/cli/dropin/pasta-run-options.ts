/** From what a command line of pasta or passt asks for to the values that sessions take. Pure. */
import { type IpAddress, type IpPrefix, isIpv4 } from '../../base/address.ts';
import { FLOWS_MAX_DEFAULT } from '../../base/limits.ts';
import type { ForwardSpec } from '../../engine/forward-rules.ts';
import type { GuestOptions } from '../../engine/guest-options.ts';
import type { JoinOptions } from '../../engine/join-session.ts';
import type { NetworkDetails } from '../../engine/network-details.ts';
import type { PublishRule, RunOptions } from '../../engine/run-options.ts';
import type { FamilyPair, GuestAddress, Namespace, PastaOptions, VirtualMachine } from './pasta-options.ts';

/** What an Ethernet has without further agreement, for a guest that is told of no MTU. */
const MTU_UNTOLD = 1500;
const VM_SOCKET = (number: number): string => `/tmp/passt_${number}.socket`;

/** For a namespace with a command in it. */
export function toRunOptions(options: PastaOptions, namespace: Namespace, command: readonly string[]): RunOptions {
  return { ...common(options), ...ofNamespace(namespace), command, details: detailsOf(options, namespace) };
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
    ...common(options),
    details: detailsOf(options, undefined),
    socket: descriptor === undefined ? (socketPath ?? { pathOf: VM_SOCKET }) : undefined,
    connectPath: undefined,
    fd: descriptor,
    vhostUserPairs: vhostUser ? 1 : 0,
    datagrams: false,
    oneOff,
  };
}

function common(options: PastaOptions): RunOptions {
  const { families, mtu, tcp, udp, icmp, pcapPath, verbosity } = options;
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
    publish: publishOf(options),
    hostLoopback: undefined,
    allowMetadata: true,
    ...{ tcp, udp, icmp },
    flowsMax: FLOWS_MAX_DEFAULT,
    pcapPath,
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
  const { dns, search, dnsHosts, hostLoopback } = options;
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
    dhcp: options.dhcp,
    dhcpv6: options.dhcpv6,
    ndp: options.ndp,
    ra: options.ra,
    loopbackAddresses: hostLoopback === 'gateway' ? 'gateway' : both(hostLoopback),
    sharedAddresses: both(options.guestAddressAtHost),
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

/** Without `-u`, the ports of `-t` are those of UDP as well. */
function publishOf({ tcp, udp, tcpIn, udpIn, udpInFollowsTcp }: PastaOptions): PublishRule[] {
  return [...(tcp ? rulesOf('tcp', tcpIn) : []), ...(udp ? rulesOf('udp', udpInFollowsTcp ? tcpIn : udpIn) : [])];
}

function rulesOf(protocol: 'tcp' | 'udp', { rules }: ForwardSpec): PublishRule[] {
  return rules.map(({ address, firstPort, lastPort, toPort }) => ({ protocol, address, firstPort, lastPort, toPort }));
}

function both<T>({ ipv4, ipv6 }: FamilyPair<T>): T[] {
  return [ipv4, ipv6].filter((each) => each !== undefined);
}
