/** Every option of pasta and passt: how it is written, what help says of it, and what it changes in the value. */
import { parseDnsAddress } from '../parse/address.ts';
import { parseInterfaceName } from '../parse/interface-name.ts';
import { type Parsed, wrong } from '../parse/parsed.ts';
import { flag, one, row } from './option-row.ts';
import {
  ADDRESSES,
  inside,
  NO_ADDRESSES,
  ofMachine,
  ofNamespace,
  outboundInterface,
  outdated,
  type PastaOption,
  pair,
  ports,
  SERVICES,
  service,
  takeAddress,
  takeConnected,
  takeDns,
  takeMapping,
  takeSearch,
} from './pasta-option.ts';
import {
  readDomain,
  readGuestSide,
  readHostInterface,
  readMac,
  readNetmask,
  readPath,
  readSocketPath,
  readUnicast,
  readUserName,
  readWhole,
} from './values.ts';

/** 64 KiB: less could not hold what a start tells of. */
const LOG_BYTES_MIN = 65_536;
/** Of a uint32, as file systems without large files have it. */
const LOG_BYTES_MAX = 4_294_967_296;
/** The least that IPv4 gets by with (RFC 791, section 3.2). */
const MTU_MIN = 68;
const MTU_MAX = 65_535;
const STATS_SECONDS_MAX = 2_147_483;

const PROCESS = 'Process and logging';
const DNS = 'Names';
const NAMESPACE = 'Namespace';
const MACHINE = 'Virtual machine';

export const PASTA_TABLE: readonly PastaOption[] = [
  {
    ...row(PROCESS, 'd', 'debug', '', 'tell more, and not to the system log'),
    take: (draft) => {
      if (draft.verbosity !== 'trace') draft.verbosity = 'debug';
      return undefined;
    },
  },
  flag(PROCESS, '', 'trace', 'tell of each packet; implies --debug', { verbosity: 'trace' }),
  one(PROCESS, '', 'stats', 'DELAY', 'tell counters every DELAY seconds at most', seconds, 'statsSeconds'),
  flag(PROCESS, 'q', 'quiet', 'tell of mistakes only', { verbosity: 'quiet' }),
  flag(PROCESS, 'f', 'foreground', 'stay in the foreground', { foreground: true }),
  flag(PROCESS, 'e', 'stderr', 'no effect, for old callers', {}),
  one(PROCESS, 'l', 'log-file', 'PATH', 'log to a file', readPath, 'logPath'),
  one(PROCESS, '', 'log-size', 'BYTES', 'size of that file (1048576)', logBytes, 'logBytesMax'),
  one(PROCESS, '', 'runas', 'USER[:GROUP]', 'become this user (nobody, for root)', readUserName, 'runAs'),
  one(PROCESS, 'c', 'conf-path', 'PATH', 'socket that takes changes', readSocketPath, 'controlPath'),
  flag(PROCESS, 'h', 'help', 'show this help', {}),
  flag(PROCESS, '', 'version', 'show the version', {}),
  one(PROCESS, 'p', 'pcap', 'FILE', "capture the guest's packets", readPath, 'pcapPath'),
  one(PROCESS, 'P', 'pid', 'FILE', 'write the PID when ready', readPath, 'pidPath'),
  flag(PROCESS, '', 'chroot-fallback', 'chroot where the root file system allows nothing better', {
    chrootFallback: true,
  }),

  one(ADDRESSES, 'm', 'mtu', 'MTU', 'MTU to tell of, 0 for none (65520)', mtu, 'mtu'),
  {
    ...row(ADDRESSES, 'a', 'address', 'ADDR[/LENGTH]', "one for each family (the host's)"),
    take: takeAddress,
  },
  one(ADDRESSES, 'n', 'netmask', 'MASK', 'of the IPv4 address, as mask or length', readNetmask, 'netmaskLength'),
  one(ADDRESSES, 'M', 'mac-addr', 'MAC', 'of this side (9a:55:9a:55:9a:55)', readMac, 'mac'),
  pair(ADDRESSES, 'g', 'gateway', 'ADDR', "one for each family (the host's)", readGuestSide, 'gateways'),
  one(ADDRESSES, 'i', 'interface', 'NAME', 'copy from this interface of the host', readHostInterface, 'interfaceName'),
  pair(ADDRESSES, 'o', 'outbound', 'ADDR', 'bind sockets to this address', readUnicast, 'outboundAddresses'),
  outboundInterface('outbound-if4', 'bind IPv4 sockets to this interface', 'ipv4'),
  outboundInterface('outbound-if6', 'bind IPv6 sockets to this interface', 'ipv6'),
  flag(ADDRESSES, '4', 'ipv4-only', 'no IPv6', { families: '4' }),
  flag(ADDRESSES, '6', 'ipv6-only', 'no IPv4', { families: '6' }),
  one(ADDRESSES, 'H', 'hostname', 'NAME', 'name of the guest, by DHCP', readDomain, 'hostname'),
  one(ADDRESSES, '', 'fqdn', 'NAME', 'its name with its domain, by DHCP and DHCPv6', readDomain, 'fqdn'),

  { ...row(DNS, 'D', 'dns', 'ADDR|none', "name servers to tell of (the host's)"), take: takeDns },
  pair(DNS, '', 'dns-forward', 'ADDR', 'here the guest finds a name server', readGuestSide, 'dnsForward'),
  pair(DNS, '', 'dns-host', 'ADDR', "the one that it finds there (the host's)", parseDnsAddress, 'dnsHosts'),
  { ...row(DNS, 'S', 'search', 'LIST|none', "search domains (the host's)"), take: takeSearch },
  flag(DNS, '', 'dhcp-dns', 'tell the guest of name servers (as passt does)', { dhcpDns: true }),
  flag(DNS, '', 'no-dhcp-dns', 'do not (as pasta)', { dhcpDns: false }),
  flag(DNS, '', 'dhcp-search', 'tell it of search domains (as passt does)', { dhcpSearch: true }),
  flag(DNS, '', 'no-dhcp-search', 'do not (as pasta)', { dhcpSearch: false }),

  service('no-tcp', 'no TCP', 'tcp'),
  service('no-udp', 'no UDP', 'udp'),
  service('no-icmp', 'no ICMP and no ICMPv6, so no NDP either', 'icmp'),
  service('no-dhcp', 'no DHCP server', 'dhcp'),
  service('no-dhcpv6', 'no DHCPv6 server', 'dhcpv6'),
  service('no-ndp', 'no answers to NDP', 'ndp'),
  service('no-ra', 'no router advertisements', 'ra'),
  flag(SERVICES, '', 'freebind', 'bind -t and -u to addresses that are not there', { freebind: true }),
  {
    ...row(SERVICES, '', 'map-host-loopback', 'ADDR|none', "is the host's loopback (the gateway)"),
    take: (draft, value) =>
      takeMapping(value, draft.hostLoopback === 'gateway' ? NO_ADDRESSES : draft.hostLoopback, (mapping) => {
        draft.hostLoopback = mapping;
      }),
  },
  flag(SERVICES, '', 'no-map-gw', "the gateway is not the host's loopback", { hostLoopback: NO_ADDRESSES }),
  {
    ...row(SERVICES, '', 'map-guest-addr', 'ADDR|none', "is the host's own address that the guest has too"),
    take: (draft, value) =>
      takeMapping(value, draft.guestAddressAtHost, (mapping) => {
        draft.guestAddressAtHost = mapping;
      }),
  },

  ports('t', 'tcp-ports', 'TCP ports of the host that lead inside (pasta: auto)', 'tcpIn'),
  ports('u', 'udp-ports', 'UDP ports of the host that lead inside (as -t)', 'udpIn'),
  { ...ports('T', 'tcp-ns', 'TCP ports inside that lead to the host (auto)', 'tcpOut'), only: 'pasta' },
  { ...ports('U', 'udp-ns', 'UDP ports inside that lead to the host (auto)', 'udpOut'), only: 'pasta' },

  ofMachine(
    one(MACHINE, 's', 'socket', 'PATH', 'where to listen (/tmp/passt_1.socket ...)', readSocketPath, 'socketPath'),
  ),
  ofMachine(one(MACHINE, '', 'socket-path', 'PATH', 'the same', readSocketPath, 'socketPath')),
  ofMachine(flag(MACHINE, '', 'vhost-user', 'speak vhost-user there', { vhostUser: true })),
  ofMachine(flag(MACHINE, '', 'print-capabilities', 'show what kind of vhost-user backend this is', {})),
  ofMachine(
    one(MACHINE, '', 'repair-path', 'PATH|none', 'socket of passt-repair, for migration', readSocketPath, 'repairPath'),
  ),
  outdated(ofMachine(flag(MACHINE, '', 'migrate-exit', 'end after a migration', { migrateExit: true }))),
  outdated(
    ofMachine(
      flag(MACHINE, '', 'migrate-no-linger', 'do not wait for closed connections after one', { migrateNoLinger: true }),
    ),
  ),
  ofMachine({ ...row(MACHINE, 'F', 'fd', 'NUMBER', 'a connected socket; implies --one-off'), take: takeConnected }),
  ofMachine(flag(MACHINE, '1', 'one-off', 'end when the first guest has gone', { oneOff: true })),

  ofNamespace(
    one(NAMESPACE, 'I', 'ns-ifname', 'NAME', "name of the interface (the host's)", parseInterfaceName, 'interfaceName'),
  ),
  ofNamespace(
    flag(NAMESPACE, '', 'host-lo-to-ns-lo', "forward the host's loopback to the namespace's", {
      hostLoopbackToNamespaceLoopback: true,
    }),
  ),
  inside(one(NAMESPACE, '', 'userns', 'PATH', 'user namespace to join', readPath, 'userns')),
  inside(one(NAMESPACE, '', 'netns', 'PATH|NAME', 'network namespace to join', readPath, 'netns')),
  inside(flag(NAMESPACE, '', 'netns-only', 'neither join nor make a user namespace', { netnsOnly: true })),
  ofNamespace(
    flag(NAMESPACE, '', 'no-netns-quit', 'go on when the path of the namespace goes', { endsWithPath: false }),
  ),
  ofNamespace(flag(NAMESPACE, '', 'config-net', 'configure the interface', { configure: true })),
  outdated(ofNamespace(flag(NAMESPACE, '', 'no-copy-routes', 'only the default route', { copyRoutes: false }))),
  outdated(
    ofNamespace(flag(NAMESPACE, '', 'no-copy-addrs', 'only one address for each family', { copyAddresses: false })),
  ),
  ofNamespace(one(NAMESPACE, '', 'ns-mac-addr', 'MAC', 'of the interface', readMac, 'mac')),
  ofNamespace(
    flag(NAMESPACE, '', 'no-splice', 'loopback connections go through the interface as well', { splice: false }),
  ),
  ofNamespace(flag(NAMESPACE, '', 'splice-only', 'no interface: loopback connections only', { spliceOnly: true })),
];

function seconds(text: string): Parsed<number> {
  return readWhole(text, 1, STATS_SECONDS_MAX, 'a number of seconds');
}

function logBytes(text: string): Parsed<number> {
  return readWhole(text, LOG_BYTES_MIN, LOG_BYTES_MAX, 'a number of bytes');
}

function mtu(text: string): Parsed<number> {
  const result = readWhole(text, 0, MTU_MAX, 'a number of bytes');
  if (!result.ok || result.value === 0 || result.value >= MTU_MIN) return result;
  return wrong(`below ${MTU_MIN}`, `Use a number of bytes from ${MTU_MIN} to ${MTU_MAX}, or 0 to tell of none.`);
}
