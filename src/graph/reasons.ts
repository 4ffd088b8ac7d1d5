/**
 * Why a packet was dropped: one reason per cause, counted by the graph. The number is written into `packets.reason`.
 */
export const REASON = {
  none: 0,
  'frame-too-short': 1,
  'ethertype-unknown': 2,
  'not-for-us': 3,
  'ip4-header-invalid': 4,
  'ip4-checksum-wrong': 5,
  'ip4-length-wrong': 6,
  'ip4-loopback': 7,
  'ip4-source-invalid': 8,
  'ip6-header-invalid': 9,
  'ip6-length-wrong': 10,
  'ip6-extension-invalid': 11,
  'ip6-loopback': 12,
  'ip6-source-invalid': 13,
  'fragment-invalid': 14,
  multicast: 15,
  broadcast: 16,
  'protocol-unknown': 17,
  'protocol-disabled': 18,
  'tcp-header-invalid': 19,
  'tcp-checksum-wrong': 20,
  'tcp-no-flow': 21,
  'tcp-out-of-window': 22,
  'udp-header-invalid': 23,
  'udp-checksum-wrong': 24,
  'icmp-invalid': 25,
  'icmp-checksum-wrong': 26,
  'icmp-type-unsupported': 27,
  'arp-invalid': 28,
  'arp-own-address': 29,
  'ndp-invalid': 30,
  'dhcp-invalid': 31,
  'dhcpv6-invalid': 32,
  'flows-full': 33,
  'policy-refused': 34,
  'socket-failed': 35,
  'arena-full': 36,
  'hop-limit-exceeded': 37,
  'link-write-failed': 38,
  'vnet-header-invalid': 39,
  'port-unreachable': 40,
} as const;

export type ReasonName = keyof typeof REASON;

/** Names by number. */
export const REASON_NAMES: readonly string[] = Object.keys(REASON);
