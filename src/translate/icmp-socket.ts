/**
 * Opens the host's sockets for echo requests.
 *
 * A ping socket (SOCK_DGRAM with ICMP or ICMPv6) needs no privilege but that the process's group lies in `net.ipv4.ping_group_range`;
 * the kernel sets the identifier to the socket's "port" and the checksum, and delivers only the replies to it. Where it is refused
 * (EACCES), a raw socket does, if we have CAP_NET_RAW: it delivers every ICMP message of the host, IPv4 with the IP header in front, so
 * who reads it must look at type and identifier. A filter (ICMP_FILTER) keeps the worst of it away in IPv4.
 */
import { ERRNO } from '../sys/errno.ts';
import { RAW, SOL } from '../sys/options.ts';
import { SOCKET_ADDRESS_WORDS, SOCKET_FAMILY, SOCKET_PROTOCOL, SOCKET_TYPE, type Sys } from '../sys/sys.ts';
import * as icmp from '../wire/icmp.ts';
import { closeOn, setDatagramOptions } from './udp-socket.ts';

/** A bit for each type that is not let through: all but echo replies. */
const ALL_BUT_REPLIES: number = ~(1 << icmp.ECHO_REPLY);

const MAPPED = 0xffff;
const PORT = 4;

/** Opens a ping socket with this identifier where it is free, with any otherwise. Returns the descriptor or -errno. */
export function openPing(sys: Sys, ipv4: boolean, identifier: number, address: Int32Array): number {
  const protocol = ipv4 ? SOCKET_PROTOCOL.ICMP : SOCKET_PROTOCOL.ICMPV6;
  const fd = sys.socket(ipv4 ? SOCKET_FAMILY.INET : SOCKET_FAMILY.INET6, SOCKET_TYPE.DGRAM, protocol);
  if (fd < 0) return fd;
  setDatagramOptions(sys, fd, ipv4);
  address.fill(0, 0, SOCKET_ADDRESS_WORDS);
  if (ipv4) address[2] = MAPPED;
  address[PORT] = identifier;
  if (sys.bind(fd, address) === 0) return fd;
  address[PORT] = 0;
  return closeOn(sys, fd, sys.bind(fd, address));
}

/** Opens a raw socket. Returns the descriptor or -errno. */
export function openRaw(sys: Sys, ipv4: boolean): number {
  const protocol = ipv4 ? SOCKET_PROTOCOL.ICMP : SOCKET_PROTOCOL.ICMPV6;
  const fd = sys.socket(ipv4 ? SOCKET_FAMILY.INET : SOCKET_FAMILY.INET6, SOCKET_TYPE.RAW, protocol);
  if (fd < 0) return fd;
  setDatagramOptions(sys, fd, ipv4);
  if (ipv4) sys.setOption(fd, SOL.RAW, RAW.ICMP_FILTER, ALL_BUT_REPLIES);
  return fd;
}

/** Whether the kernel does not let us have such a socket, rather than being out of something. */
export function isRefused(error: number): boolean {
  return error === -ERRNO.EACCES || error === -ERRNO.EPERM || error === -ERRNO.EPROTONOSUPPORT;
}
