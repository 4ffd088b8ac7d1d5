/** What the command lines of pasta and passt ask for, as a plain value. Read by `pasta-command-line.ts`. */
import type { IpAddress, MacAddress } from '../../base/address.ts';
import type { ForwardSpec } from '../../engine/forward-rules.ts';
import type { UserName } from './values.ts';

export type PastaProgram = 'pasta' | 'passt';

export interface PastaOptions {
  readonly program: PastaProgram;
  readonly verbosity: 'quiet' | 'normal' | 'debug' | 'trace';
  readonly foreground: boolean;
  /** Undefined: the system's log, or the standard error in the foreground. */
  readonly logPath: string | undefined;
  /** Beyond it the oldest entries make room. */
  readonly logBytesMax: number;
  /** How often counters are told of at most; undefined: never. */
  readonly statsSeconds: number | undefined;
  /** Undefined: nobody, if started as root. */
  readonly runAs: UserName | undefined;
  readonly controlPath: string | undefined;
  readonly pcapPath: string | undefined;
  readonly pidPath: string | undefined;
  readonly chrootFallback: boolean;

  readonly families: '4' | '6' | 'both';
  /** 0: none is told. */
  readonly mtu: number;
  /** Undefined, here as in what follows: from the host. */
  readonly addresses: FamilyPair<GuestAddress>;
  /** Of the IPv4 address. */
  readonly netmaskLength: number | undefined;
  readonly gateways: FamilyPair<IpAddress>;
  /** Ours, not the guest's. */
  readonly mac: MacAddress;
  /** The interface of the host that addresses and routes are copied from. */
  readonly interfaceName: string | undefined;
  readonly outboundAddresses: FamilyPair<IpAddress>;
  readonly outboundInterfaces: FamilyPair<string>;
  readonly hostname: string | undefined;
  readonly fqdn: string | undefined;

  /** Empty: the guest is told of none. */
  readonly dns: 'host' | readonly IpAddress[];
  readonly search: 'host' | readonly string[];
  readonly dhcpDns: boolean;
  readonly dhcpSearch: boolean;
  /** Seen from the guest: ports 53 and 853 there lead to `dnsHosts`. */
  readonly dnsForward: FamilyPair<IpAddress>;
  readonly dnsHosts: FamilyPair<IpAddress>;

  readonly tcp: boolean;
  readonly udp: boolean;
  readonly icmp: boolean;
  readonly dhcp: boolean;
  readonly dhcpv6: boolean;
  readonly ndp: boolean;
  readonly ra: boolean;
  readonly freebind: boolean;
  /** Addresses that, seen from the guest, are the host's loopback. */
  readonly hostLoopback: 'gateway' | FamilyPair<IpAddress>;
  /** Addresses that, seen from the guest, are the host's own which the guest has too. */
  readonly guestAddressAtHost: FamilyPair<IpAddress>;

  readonly tcpIn: ForwardSpec;
  readonly udpIn: ForwardSpec;
  /** There was no `-u`: ports of `tcpIn` are forwarded for UDP as well, unchanged. */
  readonly udpInFollowsTcp: boolean;
  /** From the namespace to the host; none for passt. */
  readonly tcpOut: ForwardSpec;
  readonly udpOut: ForwardSpec;

  readonly guest: VirtualMachine | Namespace;
}

/** One for each family. */
export interface FamilyPair<T> {
  readonly ipv4: T | undefined;
  readonly ipv6: T | undefined;
}

export interface GuestAddress {
  readonly address: IpAddress;
  /** Undefined: from `netmaskLength`, from the host, or by the address's class. */
  readonly prefixLength: number | undefined;
}

/** passt: behind a socket. */
export interface VirtualMachine {
  readonly kind: 'virtual-machine';
  /** Undefined: the first free one of `/tmp/passt_1.socket` to `/tmp/passt_64.socket`. */
  readonly socketPath: string | undefined;
  /** A connected socket instead; then `oneOff` is set. */
  readonly descriptor: number | undefined;
  readonly oneOff: boolean;
  readonly vhostUser: boolean;
  readonly repairPath: string | 'none' | undefined;
  readonly migrateExit: boolean;
  readonly migrateNoLinger: boolean;
}

/** pasta: behind a TAP interface in a namespace. */
export interface Namespace {
  readonly kind: 'namespace';
  readonly target: NamespaceTarget;
  readonly userNamespace: UserNamespace;
  /** Undefined: called as the host's. */
  readonly interfaceName: string | undefined;
  /** Of the interface in there; undefined: any. */
  readonly mac: MacAddress | undefined;
  readonly configure: boolean;
  readonly copyAddresses: boolean;
  readonly copyRoutes: boolean;
  /** Whether to end with a namespace that has a path. */
  readonly endsWithPath: boolean;
  readonly splice: boolean;
  /** There is no interface at all. */
  readonly spliceOnly: boolean;
  /** Forwards from the host's loopback lead to the namespace's loopback. */
  readonly hostLoopbackToNamespaceLoopback: boolean;
}

export type NamespaceTarget =
  /** With a command, or the user's shell if it is empty. */
  | { readonly kind: 'new'; readonly command: readonly string[] }
  | { readonly kind: 'pid'; readonly pid: number }
  | { readonly kind: 'path'; readonly path: string };

export type UserNamespace =
  | { readonly kind: 'new' }
  /** That of the process whose network namespace is joined. */
  | { readonly kind: 'of-target' }
  /** Neither joined nor made. */
  | { readonly kind: 'none' }
  | { readonly kind: 'path'; readonly path: string };
