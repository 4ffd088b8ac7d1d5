/** What `tapster run` is asked to do, as a value: the command line makes it, the session does it. */
import type { IpAddress, IpPrefix, MacAddress } from '../base/address.ts';
import type { ForwardOptions } from './forward-rules.ts';
import type { NetworkDetails } from './network-details.ts';

/** One `--publish` rule: connections to the host's ports reach the command. */
export interface PublishRule {
  readonly protocol: 'tcp' | 'udp';
  /** The host's address to listen at; undefined: all, both families. */
  readonly address: IpAddress | undefined;
  /** The host's first and last port; both 0: the kernel picks one. */
  readonly firstPort: number;
  readonly lastPort: number;
  /** The command's port that the first host port leads to; the others follow. For port 0 without a mapping: the port that the kernel picked. */
  readonly toPort: number | undefined;
}

export interface RunOptions {
  /** The program and its arguments; empty: the user's shell. */
  readonly command: readonly string[];
  /** Map the user to root inside its user namespace. */
  readonly root: boolean;
  /** Empty, with `details`: as the host's is called. */
  readonly interfaceName: string;
  readonly families: 'both' | '4' | '6';
  readonly addresses: readonly IpPrefix[];
  readonly gateways: readonly IpAddress[];
  readonly mac: MacAddress | undefined;
  /** DHCP gives the guest's address to whoever asks, not to the interface with `mac` alone. */
  readonly anyClient?: boolean;
  readonly mtu: number;
  /** False: the interface is left for a DHCP client or router advertisements inside. */
  readonly configure: boolean;
  /** What is to be otherwise than `tapster run` has it; then `dns`, `hostLoopback` and `publish` count for nothing. */
  readonly details?: NetworkDetails;
  /** `forward`: to the host's resolvers; addresses: the command asks these itself; `none`: resolv.conf is left alone. */
  readonly dns: 'forward' | 'none' | readonly IpAddress[];
  readonly publish: readonly PublishRule[];
  /** What is forwarded beside that, also from inside to the host. */
  readonly forwards?: ForwardOptions;
  /** Where the host's own loopback can be reached from inside. */
  readonly hostLoopback: undefined | 'gateway' | IpAddress;
  readonly allowMetadata: boolean;
  readonly tcp: boolean;
  readonly udp: boolean;
  readonly icmp: boolean;
  readonly flowsMax: number;
  /** A pcapng file of everything on the interface. */
  readonly pcapPath: string | undefined;
  /** That file is classic pcap instead. */
  readonly classicPcap?: boolean;
  /** A JSON-lines file of flows. */
  readonly flowsPath: string | undefined;
  readonly summary: boolean;
  /** Take every right away that the engine does not need, from this whole process and for good, when the command has been started. */
  readonly sandbox: boolean;
  /** `verbose` logs each flow as it opens and closes. */
  readonly verbosity: 'quiet' | 'normal' | 'verbose';
}
