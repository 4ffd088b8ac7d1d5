/** Socket options by level and name (asm-generic/socket.h, linux/in.h, linux/in6.h, linux/tcp.h, linux/udp.h). */
export const SOL = { SOCKET: 1, IP: 0, TCP: 6, UDP: 17, IPV6: 41, ICMPV6: 58, RAW: 255 } as const;

export const SO = {
  REUSEADDR: 2,
  TYPE: 3,
  ERROR: 4,
  SNDBUF: 7,
  RCVBUF: 8,
  KEEPALIVE: 9,
  OOBINLINE: 10,
  /** value -1: off; n: linger for n seconds. The addon builds struct linger. */
  LINGER: 13,
  PEEK_OFF: 42,
  BUSY_POLL: 46,
  /** Linux 5.1; without privilege since 5.7. */
  BINDTOIFINDEX: 62,
} as const;

export const IP = {
  TOS: 1,
  TTL: 2,
  RECVERR: 11,
  RECVTTL: 12,
  RECVTOS: 13,
  MTU_DISCOVER: 10,
  MTU: 14,
  FREEBIND: 15,
  BIND_ADDRESS_NO_PORT: 24,
} as const;
export const IPV6 = {
  UNICAST_HOPS: 16,
  V6ONLY: 26,
  RECVERR: 25,
  RECVHOPLIMIT: 51,
  MTU_DISCOVER: 23,
  RECVTCLASS: 66,
  TCLASS: 67,
} as const;
export const TCP = { NODELAY: 1, MAXSEG: 2, CORK: 3, QUICKACK: 12, USER_TIMEOUT: 18, NOTSENT_LOWAT: 25 } as const;
export const UDP = { SEGMENT: 103, GRO: 104 } as const;
/** The addon builds struct icmp_filter: the value is the bit mask of types that are blocked. */
export const RAW = { ICMP_FILTER: 1 } as const;
