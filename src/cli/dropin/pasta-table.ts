/** Every option of pasta and passt: how it is written, what help says of it, and what it changes in the value. */
import { parseDnsAddress } from '../parse/address.ts';
import { parseInterfaceName } from '../parse/interface-name.ts';
import { type Parsed, wrong } from '../parse/parsed.ts';
import { flag, one, row } from './option-row.ts';
import {
  inside,
  machineFlag,
  machineOne,
  NO_ADDRESSES,
  outdated,
  type PastaOption,
  pair,
  ports,
  SERVICES,
  service,
  takeAddress,
  takeDns,
  takeMapping,
  takeSearch,
} from './pasta-option.ts';
import {
  readDescriptorNumber,
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
const ADDRESSES = 'Addresses of the guest';
const DNS = 'Names';
const NAMESPACE = 'Namespace';

export const PASTA_TABLE: readonly PastaOption[] = [
  flag(PROCESS, 'd', 'debug', 'tell more, and not to the system log', (draft) => {
    if (draft.verbosity !== 'trace') draft.verbosity = 'debug';
  }),
  flag(PROCESS, '', 'trace', 'tell of each packet; implies --debug', (draft) => {
    draft.verbosity = 'trace';
  }),
  one(PROCESS, '', 'stats', 'DELAY', 'tell counters every DELAY seconds at most', seconds, (draft, value) => {
    draft.statsSeconds = value;
  }),
  flag(PROCESS, 'q', 'quiet', 'tell of mistakes only', (draft) => {
    draft.verbosity = 'quiet';
  }),
  flag(PROCESS, 'f', 'foreground', 'stay in the foreground', (draft) => {
    draft.foreground = true;
  }),
  flag(PROCESS, 'e', 'stderr', 'no effect, for old callers', () => {}),
  one(PROCESS, 'l', 'log-file', 'PATH', 'log to a file', readPath, (draft, value) => {
    draft.logPath = value;
  }),
  one(PROCESS, '', 'log-size', 'BYTES', 'size of that file (1048576)', logBytes, (draft, value) => {
    draft.logBytesMax = value;
  }),
  one(PROCESS, '', 'runas', 'USER[:GROUP]', 'become this user (nobody, for root)', readUserName, (draft, value) => {
    draft.runAs = value;
  }),
  one(PROCESS, 'c', 'conf-path', 'PATH', 'socket that takes changes', readSocketPath, (draft, value) => {
    draft.controlPath = value;
  }),
  flag(PROCESS, 'h', 'help', 'show this help', () => {}),
  flag(PROCESS, '', 'version', 'show the version', () => {}),
  one(PROCESS, 'p', 'pcap', 'FILE', "capture the guest's packets", readPath, (draft, value) => {
    draft.pcapPath = value;
  }),
  one(PROCESS, 'P', 'pid', 'FILE', 'write the PID when ready', readPath, (draft, value) => {
    draft.pidPath = value;
  }),
  flag(PROCESS, '', 'chroot-fallback', 'chroot where the root file system allows nothing better', (draft) => {
    draft.chrootFallback = true;
  }),

  one(ADDRESSES, 'm', 'mtu', 'MTU', 'MTU to tell of, 0 for none (65520)', mtu, (draft, value) => {
    draft.mtu = value;
  }),
  {
    ...row(ADDRESSES, 'a', 'address', 'ADDR[/LENGTH]', "one for each family (the host's)"),
    take: takeAddress,
  },
  one(ADDRESSES, 'n', 'netmask', 'MASK', 'of the IPv4 address, as mask or length', readNetmask, (draft, value) => {
    draft.netmaskLength = value;
  }),
  one(ADDRESSES, 'M', 'mac-addr', 'MAC', 'of this side (9a:55:9a:55:9a:55)', readMac, (draft, value) => {
    draft.mac = value;
  }),
  pair(ADDRESSES, 'g', 'gateway', 'ADDR', "one for each family (the host's)", readGuestSide, 'gateways'),
  one(
    ADDRESSES,
    'i',
    'interface',
    'NAME',
    'copy from this interface of the host',
    readHostInterface,
    (draft, value) => {
      draft.interfaceName = value;
    },
  ),
  pair(ADDRESSES, 'o', 'outbound', 'ADDR', 'bind sockets to this address', readUnicast, 'outboundAddresses'),
  one(
    ADDRESSES,
    '',
    'outbound-if4',
    'NAME',
    'bind IPv4 sockets to this interface',
    readHostInterface,
    (draft, value) => {
      draft.outboundInterfaces = { ...draft.outboundInterfaces, ipv4: value };
    },
  ),
  one(
    ADDRESSES,
    '',
    'outbound-if6',
    'NAME',
    'bind IPv6 sockets to this interface',
    readHostInterface,
    (draft, value) => {
      draft.outboundInterfaces = { ...draft.outboundInterfaces, ipv6: value };
    },
  ),
  flag(ADDRESSES, '4', 'ipv4-only', 'no IPv6', (draft) => {
    draft.families = '4';
  }),
  flag(ADDRESSES, '6', 'ipv6-only', 'no IPv4', (draft) => {
    draft.families = '6';
  }),
  one(ADDRESSES, 'H', 'hostname', 'NAME', 'name of the guest, by DHCP', readDomain, (draft, value) => {
    draft.hostname = value;
  }),
  one(ADDRESSES, '', 'fqdn', 'NAME', 'its name with its domain, by DHCP and DHCPv6', readDomain, (draft, value) => {
    draft.fqdn = value;
  }),

  { ...row(DNS, 'D', 'dns', 'ADDR|none', "name servers to tell of (the host's)"), take: takeDns },
  pair(DNS, '', 'dns-forward', 'ADDR', 'here the guest finds a name server', readGuestSide, 'dnsForward'),
  pair(DNS, '', 'dns-host', 'ADDR', "the one that it finds there (the host's)", parseDnsAddress, 'dnsHosts'),
  { ...row(DNS, 'S', 'search', 'LIST|none', "search domains (the host's)"), take: takeSearch },
  flag(DNS, '', 'dhcp-dns', 'tell the guest of name servers (as passt does)', (draft) => {
    draft.dhcpDns = true;
  }),
  flag(DNS, '', 'no-dhcp-dns', 'do not (as pasta)', (draft) => {
    draft.dhcpDns = false;
  }),
  flag(DNS, '', 'dhcp-search', 'tell it of search domains (as passt does)', (draft) => {
    draft.dhcpSearch = true;
  }),
  flag(DNS, '', 'no-dhcp-search', 'do not (as pasta)', (draft) => {
    draft.dhcpSearch = false;
  }),

  service('no-tcp', 'no TCP', 'tcp'),
  service('no-udp', 'no UDP', 'udp'),
  service('no-icmp', 'no ICMP and no ICMPv6, so no NDP either', 'icmp'),
  service('no-dhcp', 'no DHCP server', 'dhcp'),
  service('no-dhcpv6', 'no DHCPv6 server', 'dhcpv6'),
  service('no-ndp', 'no answers to NDP', 'ndp'),
  service('no-ra', 'no router advertisements', 'ra'),
  flag(SERVICES, '', 'freebind', 'bind -t and -u to addresses that are not there', (draft) => {
    draft.freebind = true;
  }),
  {
    ...row(SERVICES, '', 'map-host-loopback', 'ADDR|none', "is the host's loopback (the gateway)"),
    take: (draft, value) =>
      takeMapping(value, draft.hostLoopback === 'gateway' ? NO_ADDRESSES : draft.hostLoopback, (mapping) => {
        draft.hostLoopback = mapping;
      }),
  },
  flag(SERVICES, '', 'no-map-gw', "the gateway is not the host's loopback", (draft) => {
    draft.hostLoopback = NO_ADDRESSES;
  }),
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

  machineOne('s', 'socket', 'PATH', 'where to listen (/tmp/passt_1.socket ...)', readSocketPath, (machine, value) => {
    machine.socketPath = value;
  }),
  machineOne('', 'socket-path', 'PATH', 'the same', readSocketPath, (machine, value) => {
    machine.socketPath = value;
  }),
  machineFlag('', 'vhost-user', 'speak vhost-user there', (machine) => {
    machine.vhostUser = true;
  }),
  machineFlag('', 'print-capabilities', 'show what kind of vhost-user backend this is', () => {}),
  machineOne(
    '',
    'repair-path',
    'PATH|none',
    'socket of passt-repair, for migration',
    readSocketPath,
    (machine, value) => {
      machine.repairPath = value;
    },
  ),
  outdated(
    machineFlag('', 'migrate-exit', 'end after a migration', (machine) => {
      machine.migrateExit = true;
    }),
  ),
  outdated(
    machineFlag('', 'migrate-no-linger', 'do not wait for closed connections after one', (machine) => {
      machine.migrateNoLinger = true;
    }),
  ),
  machineOne('F', 'fd', 'NUMBER', 'a connected socket; implies --one-off', readDescriptorNumber, (machine, value) => {
    machine.descriptor = value;
    machine.oneOff = true;
  }),
  machineFlag('1', 'one-off', 'end when the first guest has gone', (machine) => {
    machine.oneOff = true;
  }),

  inside(
    one(
      NAMESPACE,
      'I',
      'ns-ifname',
      'NAME',
      "name of the interface (the host's)",
      parseInterfaceName,
      (draft, value) => {
        draft.namespace.interfaceName = value;
      },
    ),
  ),
  inside(
    flag(NAMESPACE, '', 'host-lo-to-ns-lo', "forward the host's loopback to the namespace's", (draft) => {
      draft.namespace.hostLoopbackToNamespaceLoopback = true;
    }),
  ),
  inside(
    one(NAMESPACE, '', 'userns', 'PATH', 'user namespace to join', readPath, (draft, value) => {
      draft.userns = value;
    }),
  ),
  inside(
    one(NAMESPACE, '', 'netns', 'PATH|NAME', 'network namespace to join', readPath, (draft, value) => {
      draft.netns = value;
    }),
  ),
  inside(
    flag(NAMESPACE, '', 'netns-only', 'neither join nor make a user namespace', (draft) => {
      draft.netnsOnly = true;
    }),
  ),
  inside(
    flag(NAMESPACE, '', 'no-netns-quit', 'go on when the path of the namespace goes', (draft) => {
      draft.namespace.endsWithPath = false;
    }),
  ),
  inside(
    flag(NAMESPACE, '', 'config-net', 'configure the interface', (draft) => {
      draft.namespace.configure = true;
    }),
  ),
  outdated(
    inside(
      flag(NAMESPACE, '', 'no-copy-routes', 'only the default route', (draft) => {
        draft.namespace.copyRoutes = false;
      }),
    ),
  ),
  outdated(
    inside(
      flag(NAMESPACE, '', 'no-copy-addrs', 'only one address for each family', (draft) => {
        draft.namespace.copyAddresses = false;
      }),
    ),
  ),
  inside(
    one(NAMESPACE, '', 'ns-mac-addr', 'MAC', 'of the interface', readMac, (draft, value) => {
      draft.namespace.mac = value;
    }),
  ),
  inside(
    flag(NAMESPACE, '', 'no-splice', 'loopback connections go through the interface as well', (draft) => {
      draft.namespace.splice = false;
    }),
  ),
  inside(
    flag(NAMESPACE, '', 'splice-only', 'no interface: loopback connections only', (draft) => {
      draft.namespace.spliceOnly = true;
    }),
  ),
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
