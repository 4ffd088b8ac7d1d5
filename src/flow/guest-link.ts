/**
 * What translation must know of the link that a guest is behind, to build frames for it.
 */

/** What the guest takes unfinished from us: the same shape as its link's `LinkOffload` (see `link/link.ts`). */
export interface GuestOffload {
  /** Transport checksums may be left partial (NEEDS_CSUM). */
  readonly checksum: boolean;
  /** TCP segments may be larger than the MTU (GSO_TCPV4, GSO_TCPV6). */
  readonly tcpSegmentation: boolean;
  /** UDP datagrams may be merged (GSO_UDP_L4). */
  readonly udpSegmentation: boolean;
}

export interface GuestLink {
  /** The interface's index, as in `packets.rxInterface`. */
  readonly index: number;
  /** The largest IP packet that the guest takes, in bytes. */
  readonly mtu: number;
  /** The address that the guest sees as its gateway's: first 2 bytes, last 4. */
  readonly ourMacHigh: number;
  readonly ourMacLow: number;
  readonly offload: GuestOffload;
}

/** The links by interface index; a hole where an interface has no guest. */
export type GuestLinks = readonly (GuestLink | undefined)[];
