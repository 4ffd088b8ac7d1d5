/**
 * Opens the host's UDP sockets.
 *
 * | option              | why                                                                                      |
 * | ------------------- | ---------------------------------------------------------------------------------------- |
 * | SO_RCVBUF, SO_SNDBUF | a burst must wait in the kernel while we do something else; the default holds 100 packets |
 * | IP_RECVERR          | ICMP errors arrive in the error queue, with the node that sent them                      |
 * | IP_RECVTTL, RECVTOS | hop count and traffic class reach the guest as they came                                 |
 * | UDP_GRO             | where the guest takes merged datagrams: many in one read                                 |
 *
 * Path MTU discovery is the host's own (the default, IP_PMTUDISC_WANT): a datagram that is too large for the path is cut into fragments
 * by the host, even where the guest set "don't fragment". The guest's idea of the MTU is that of its link, and Linux sets that bit on
 * every datagram that fits there.
 */
import { IP, IPV6, SO, SOL, UDP } from '../sys/options.ts';
import { SOCKET_ADDRESS_WORDS, SOCKET_FAMILY, SOCKET_PROTOCOL, SOCKET_TYPE, type Sys } from '../sys/sys.ts';

/** What we ask for; without privilege the kernel gives at most net.core.rmem_max and wmem_max. */
const BUFFER_BYTES = 4 * 1024 * 1024;
/** SO_SNDBUFFORCE and SO_RCVBUFFORCE, beyond the maximum with CAP_NET_ADMIN (asm-generic/socket.h). */
const SNDBUFFORCE = 32;
const RCVBUFFORCE = 33;

const MAPPED = 0xffff;
const PORT = 4;

/** Opens an unconnected socket, bound to `port` where that is free and to any port otherwise. Returns the descriptor or -errno. */
export function openShared(sys: Sys, ipv4: boolean, port: number, merged: boolean, address: Int32Array): number {
  const fd = sys.socket(ipv4 ? SOCKET_FAMILY.INET : SOCKET_FAMILY.INET6, SOCKET_TYPE.DGRAM, SOCKET_PROTOCOL.UDP);
  if (fd < 0) return fd;
  setOptions(sys, fd, ipv4, merged);
  address.fill(0, 0, SOCKET_ADDRESS_WORDS);
  if (ipv4) address[2] = MAPPED;
  address[PORT] = port;
  if (sys.bind(fd, address) === 0) return fd;
  address[PORT] = 0;
  return closeOn(sys, fd, sys.bind(fd, address));
}

/** Opens a socket that is connected to `target`: nobody else can answer. Returns the descriptor or -errno. */
export function openConnected(sys: Sys, ipv4: boolean, target: Int32Array, merged: boolean): number {
  const fd = sys.socket(ipv4 ? SOCKET_FAMILY.INET : SOCKET_FAMILY.INET6, SOCKET_TYPE.DGRAM, SOCKET_PROTOCOL.UDP);
  if (fd < 0) return fd;
  setOptions(sys, fd, ipv4, merged);
  return closeOn(sys, fd, sys.connect(fd, target));
}

/** Sets what every socket of ours needs. An option that the kernel does not have is done without. */
export function setOptions(sys: Sys, fd: number, ipv4: boolean, merged: boolean): void {
  if (sys.setOption(fd, SOL.SOCKET, RCVBUFFORCE, BUFFER_BYTES) < 0) {
    sys.setOption(fd, SOL.SOCKET, SO.RCVBUF, BUFFER_BYTES);
  }
  if (sys.setOption(fd, SOL.SOCKET, SNDBUFFORCE, BUFFER_BYTES) < 0) {
    sys.setOption(fd, SOL.SOCKET, SO.SNDBUF, BUFFER_BYTES);
  }
  setDatagramOptions(sys, fd, ipv4);
  if (merged) sys.setOption(fd, SOL.UDP, UDP.GRO, 1);
}

/** What ping sockets need too. */
export function setDatagramOptions(sys: Sys, fd: number, ipv4: boolean): void {
  if (ipv4) {
    sys.setOption(fd, SOL.IP, IP.RECVERR, 1);
    sys.setOption(fd, SOL.IP, IP.RECVTTL, 1);
    sys.setOption(fd, SOL.IP, IP.RECVTOS, 1);
  } else {
    sys.setOption(fd, SOL.IPV6, IPV6.RECVERR, 1);
    sys.setOption(fd, SOL.IPV6, IPV6.RECVHOPLIMIT, 1);
    sys.setOption(fd, SOL.IPV6, IPV6.RECVTCLASS, 1);
  }
}

/** Whether the kernel cuts datagrams into segments (UDP_SEGMENT, Linux 4.18): asked with a socket that is closed at once. */
export function hasSegmentation(sys: Sys): boolean {
  const fd = sys.socket(SOCKET_FAMILY.INET, SOCKET_TYPE.DGRAM, SOCKET_PROTOCOL.UDP);
  if (fd < 0) return false;
  const answer = sys.setOption(fd, SOL.UDP, UDP.SEGMENT, 0);
  sys.close(fd);
  return answer === 0;
}

/** The descriptor if all went well; otherwise it is closed and the error returned. */
export function closeOn(sys: Sys, fd: number, error: number): number {
  if (error >= 0) return fd;
  sys.close(fd);
  return error;
}
