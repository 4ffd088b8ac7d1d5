/**
 * Ping sockets (icmp(7)): ICMP echo without privilege, for groups within net.ipv4.ping_group_range. Whether we may is found out by opening one. Who has the
 * privilege (CAP_NET_RAW) has raw sockets besides.
 */
import { readFileSync } from 'node:fs';
import { errnoName } from '../../sys/errno.ts';
import { SOCKET_FAMILY, SOCKET_PROTOCOL, SOCKET_TYPE, type Sys } from '../../sys/sys.ts';
import type { Check } from './check.ts';

const RANGE_PATH = '/proc/sys/net/ipv4/ping_group_range';
/** The largest group id that the kernel takes here (GID_T_MAX). */
const WIDEST_RANGE = '0 2147483647';

export function probePingSockets(sys: Sys): Check {
  const id = 'ping-sockets';
  const title = 'Ping sockets';
  const errors = [
    trySocket(sys, SOCKET_FAMILY.INET, SOCKET_TYPE.DGRAM, SOCKET_PROTOCOL.ICMP),
    trySocket(sys, SOCKET_FAMILY.INET6, SOCKET_TYPE.DGRAM, SOCKET_PROTOCOL.ICMPV6),
  ];
  const range = readRange();
  const worst = Math.min(...errors);
  if (worst >= 0) return { id, title, status: 'ok', found: `IPv4 and IPv6 (groups ${range})` };
  if (trySocket(sys, SOCKET_FAMILY.INET, SOCKET_TYPE.RAW, SOCKET_PROTOCOL.ICMP) === 0) {
    return { id, title, status: 'ok', found: `refused (groups ${range}); raw sockets serve instead` };
  }
  const only = errors[0] === 0 ? 'IPv4 only, ' : errors[1] === 0 ? 'IPv6 only, ' : '';
  const groups = ownGroups().join(', ');
  return {
    id,
    title,
    status: 'warning',
    found: `${only}${errnoName(worst)}: net.ipv4.ping_group_range is "${range}", our groups are ${groups}`,
    without: 'ping, traceroute and mtr inside get no answers from beyond the gateway',
    fix: `sysctl -w net.ipv4.ping_group_range="${WIDEST_RANGE}"  (as root)`,
  };
}

/** 0, or -errno. */
function trySocket(sys: Sys, family: number, type: number, protocol: number): number {
  const fd = sys.socket(family, type, protocol);
  if (fd < 0) return fd;
  sys.close(fd);
  return 0;
}

function readRange(): string {
  try {
    return readFileSync(RANGE_PATH, 'utf8').trim().replace(/\s+/g, ' ');
  } catch {
    return 'not known';
  }
}

function ownGroups(): number[] {
  const own = [process.getegid?.() ?? -1, ...(process.getgroups?.() ?? [])];
  return [...new Set(own)].sort((a, b) => a - b);
}
