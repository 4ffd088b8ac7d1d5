/**
 * What the engine asks of an operating system: one method per system call, or per batch of one system call.
 *
 * Two implementations: `linux.ts` (the native addon) and `simulated.ts` (sockets, devices and time in memory, from one seed).
 * Nothing here allocates per packet: integers and registered memories go in; a count, or `-errno`, comes out.
 *
 * Memories. A batch call names memory by the id that `register` returned. The implementation keeps the memory alive until
 * `unregister`: V8 collects a typed array that JavaScript no longer mentions, and a later call would write into freed memory.
 *
 * Errors. Every method that returns a number returns `-errno` (see `errno.ts`) when the call failed; none throws for what
 * the kernel says. A wrong memory id or a range outside its memory is our own bug and throws a RangeError.
 *
 * Addresses. A socket address is six int32 words, `SOCKET_ADDRESS_WORDS`: four of the IP address (host byte order; IPv4 as
 * ::ffff:a.b.c.d, RFC 4291 section 2.5.5.2), the port, and the IPv6 scope id. The kernel is given sockaddr_in for mapped
 * addresses and sockaddr_in6 for all others, to match the family that the socket was opened with.
 *
 * All sockets are non-blocking and close-on-exec.
 */

/** Words of a socket address record: address 0..3, port, scope id. */
export const SOCKET_ADDRESS_WORDS = 6;

/**
 * Words of a datagram record, used by `receiveDatagrams` and `sendDatagrams`.
 *
 * | word | receive (out)                                   | send (in)                                            |
 * | ---- | ----------------------------------------------- | ---------------------------------------------------- |
 * | 0    | where the payload starts in the memory          | the same                                             |
 * | 1    | payload bytes                                   | the same                                             |
 * | 2    | bytes of each segment (UDP_GRO), 0: not merged  | bytes of each segment (UDP_SEGMENT), 0: one datagram |
 * | 3    | TTL or hop limit of the packet, -1: not known   | TTL or hop limit to send with, -1: the socket's own  |
 * | 4    | traffic class, 0 where not known                | traffic class, -1: the socket's own                  |
 * | 5    | 1 when the kernel truncated it                  | unused                                               |
 * | 6-11 | the sender's socket address                     | the receiver's socket address (port 0 for ICMP);     |
 * |      |                                                 | all 0: whoever the socket is connected to            |
 */
export const DATAGRAM_WORDS = 12;

/**
 * Words of an error record from a socket's error queue (`IP_RECVERR`, `IPV6_RECVERR`; ip(7), struct sock_extended_err).
 *
 * | word  | meaning                                                                           |
 * | ----- | --------------------------------------------------------------------------------- |
 * | 0     | errno                                                                             |
 * | 1     | origin: 1 local, 2 ICMP, 3 ICMPv6                                                 |
 * | 2, 3  | ICMP type and code                                                                |
 * | 4     | info: the MTU for EMSGSIZE                                                        |
 * | 5     | bytes of the original payload that came back, placed at the given memory range    |
 * | 6-11  | the address that the failed datagram was sent to                                  |
 * | 12-17 | the offender: the node that sent the ICMP error (all zero where not known)        |
 */
export const ERROR_RECORD_WORDS = 18;

/** Words of what `tcpInfo` reports: state, RTT us, RTT variance us, retransmits in all, send window scale, MSS, unsent bytes, congestion window. */
export const TCP_INFO_WORDS = 8;

/** Words of a piece of a vector, as `sendVector` and `peekVector` take them. */
export const PIECE_WORDS = 3;

/** Words of what `pipe` reports. */
export const PIPE_WORDS = 3;

/** Words of a poll event: the ready events (EPOLL* bits) and the token that was given with the descriptor. */
export const POLL_EVENT_WORDS = 2;

/** epoll(7) bits. */
export const POLL = { IN: 0x1, PRI: 0x2, OUT: 0x4, ERR: 0x8, HUP: 0x10, RDHUP: 0x2000, EDGE: -0x8000_0000 } as const;

export const POLL_OPERATION = { ADD: 1, REMOVE: 2, MODIFY: 3 } as const;

export const SOCKET_FAMILY = { INET: 2, INET6: 10 } as const;
export const SOCKET_TYPE = { STREAM: 1, DGRAM: 2, RAW: 3 } as const;
export const SOCKET_PROTOCOL = { DEFAULT: 0, ICMP: 1, TCP: 6, UDP: 17, ICMPV6: 58 } as const;
export const SHUTDOWN = { READ: 0, WRITE: 1, BOTH: 2 } as const;

export interface Sys {
  /** Monotonic time in microseconds. A turn reads it once. */
  nowUs(): number;

  /** Makes `memory` usable by id in the calls below. Ids are small integers from 0. */
  register(memory: Uint8Array | Int32Array): number;
  unregister(memory: number): void;

  close(fd: number): number;
  /** read(2) and write(2) of one piece, for pipes, event and signal descriptors. */
  read(fd: number, memory: number, at: number, length: number): number;
  write(fd: number, memory: number, at: number, length: number): number;

  /**
   * Reads frames until the device has none, `framesMax` were read, or less than `frameBytesMax` is left before `end`. Frames are placed one behind
   * another from `at` on, each start rounded up to 4 (so that what follows a 12-byte virtio-net header and a 14-byte Ethernet header lies at 2 mod 4).
   * For frame i, `vector[vectorAt + 2 * i]` is its start and the word behind it its length. Returns the count of frames, 0 when there was none, or -errno
   * when the first read failed otherwise (an error behind the first frame is found again by the next call). `headroom` bytes are left free in front of each
   * frame, behind the place that was rounded up; none unless said.
   */
  readFrames(
    fd: number,
    memory: number,
    at: number,
    end: number,
    frameBytesMax: number,
    vector: number,
    vectorAt: number,
    framesMax: number,
    headroom?: number,
  ): number;

  /**
   * Writes `count` frames, one write(2) each, from (start, length) pairs as above. Stops at the first failure: returns how many were written, or
   * -errno when the first one failed.
   */
  writeFrames(fd: number, memory: number, vector: number, vectorAt: number, count: number): number;

  // --- sockets ---
  /** socket(2), non-blocking and close-on-exec. IPv6 sockets are IPV6_V6ONLY. */
  socket(family: number, type: number, protocol: number): number;
  bind(fd: number, address: Int32Array): number;
  /** connect(2): 0, or -EINPROGRESS for a stream that is on its way. */
  connect(fd: number, address: Int32Array): number;
  listen(fd: number, backlog: number): number;
  /** accept4(2): the new descriptor, with the peer's address in `address`. */
  accept(fd: number, address: Int32Array): number;
  localAddress(fd: number, address: Int32Array): number;
  peerAddress(fd: number, address: Int32Array): number;
  shutdown(fd: number, how: number): number;
  setOption(fd: number, level: number, name: number, value: number): number;
  /** getsockopt(2) of an int: the value, or -errno. `SO_ERROR` gives a positive errno or 0. */
  getOption(fd: number, level: number, name: number): number;
  /** getsockopt(TCP_INFO) into `info` (`TCP_INFO_WORDS`). */
  tcpInfo(fd: number, info: Int32Array): number;

  // --- streams ---
  /**
   * recvmsg(2) with MSG_PEEK: copies up to `length` bytes that follow the first `skip` unread ones. With `skip` -1 the socket's own peek offset
   * (SO_PEEK_OFF) says where, and moves on. Returns bytes, 0 at the end of the stream, -EAGAIN when there is nothing (yet).
   * `scratch`: what must be skipped is read into this registered memory, whose size bounds `skip`; -1 when `skip` is.
   */
  peek(fd: number, memory: number, at: number, length: number, skip: number, scratch: number): number;
  /** As `peek`, to `count` pieces of `vector`, `PIECE_WORDS` each: the memory, where in it, bytes. */
  peekVector(fd: number, vector: number, vectorAt: number, count: number, skip: number, scratch: number): number;
  /** Drops `length` bytes from the front of the receive queue (recv with MSG_TRUNC). Returns how many were dropped. */
  discard(fd: number, length: number): number;
  receive(fd: number, memory: number, at: number, length: number): number;
  /**
   * One sendmsg(2) (MSG_NOSIGNAL) of `count` pieces of `vector`, `PIECE_WORDS` each: the memory, where in it, bytes. `more`: MSG_MORE. Returns bytes taken, or -errno; -EFAULT when a
   * memory that is shared with another process was cut short under it.
   */
  sendVector(fd: number, vector: number, vectorAt: number, count: number, more: boolean): number;

  /**
   * A pipe of about that many bytes for `splice`: where it is read, where it is written, and how many pieces it holds (`PIPE_WORDS`). A piece has one byte or
   * more. 0 or -errno.
   */
  pipe(bytes: number, ends: Int32Array): number;
  /**
   * splice(2) of up to `bytes` from a stream socket into a pipe, or from a pipe into a stream socket, within the kernel. Returns bytes, 0 at the end of the
   * stream, -EAGAIN when there is nothing (yet), or no room.
   */
  splice(from: number, to: number, bytes: number): number;

  // --- datagrams ---
  /**
   * recvmmsg(2): payloads are placed one behind another from `at`, each with `datagramBytesMax` bytes of room, `headroom` bytes are left free in front of each.
   * Record i is written at word `recordsAt + i * DATAGRAM_WORDS` of `records`. Returns how many, 0 when there was none, or -errno.
   */
  receiveDatagrams(
    fd: number,
    memory: number,
    at: number,
    end: number,
    headroom: number,
    datagramBytesMax: number,
    records: number,
    recordsAt: number,
    datagramsMax: number,
  ): number;
  /** sendmmsg(2) of `count` records to one socket. Returns how many were taken, or -errno when the first failed. */
  sendDatagrams(fd: number, memory: number, records: number, recordsAt: number, count: number): number;
  /** One record from the error queue (MSG_ERRQUEUE) into `record`, the original payload at `at`; 1, 0 when there is none, or -errno. */
  receiveError(fd: number, memory: number, at: number, length: number, record: Int32Array): number;

  // --- readiness and time ---
  pollCreate(): number;
  pollControl(poll: number, operation: number, fd: number, events: number, token: number): number;
  /**
   * Collects what is ready without sleeping: (events, token) pairs into `events`. Returns how many. With nothing ready it asks again and again
   * until something is or `spinUs` have passed.
   */
  pollCollect(poll: number, events: Int32Array, eventsMax: number, spinUs: number): number;
  timerCreate(): number;
  /** The timer becomes readable `delayUs` from now; 0 disarms it. */
  timerSet(fd: number, delayUs: number): number;
}
