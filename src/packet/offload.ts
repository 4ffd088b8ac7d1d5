/** What the other end of a link can do for us, so that we may leave it undone in frames that we send to it. */
export interface LinkOffload {
  /** Transport checksums may be left partial (NEEDS_CSUM). */
  readonly checksum: boolean;
  /** TCP segments may be larger than the MTU (GSO_TCPV4, GSO_TCPV6). */
  readonly tcpSegmentation: boolean;
  /** UDP datagrams may be merged (GSO_UDP_L4). */
  readonly udpSegmentation: boolean;
}

export const NO_OFFLOAD: LinkOffload = { checksum: false, tcpSegmentation: false, udpSegmentation: false };
