/**
 * Which ports of a network namespace are bound: inet_diag dumps (linux/inet_diag.h), of listening TCP sockets and of UDP sockets without a peer. The kernel leaves
 * connections out by itself, so that a dump is as long as there are servers.
 *
 * | offset | bytes | inet_diag_req_v2             |   | offset | bytes | inet_diag_msg                  |
 * | ------ | ----- | ---------------------------- | - | ------ | ----- | ------------------------------ |
 * | 0      | 1     | family                       |   | 0      | 1     | family                         |
 * | 1      | 1     | protocol                     |   | 1      | 1     | state                          |
 * | 2      | 2     | extensions, padding          |   | 2      | 2     | timer, retransmits             |
 * | 4      | 4     | states, a bit each           |   | 4      | 2     | port, in network byte order    |
 * | 8      | 48    | a socket, all zero: any      |   | 6      |       | what is not looked at          |
 */
import { closeSync } from 'node:fs';
import { PortSet } from '../base/port-set.ts';
import { failure, type Result, success } from '../base/result.ts';
import { errnoName } from './errno.ts';
import { type Message, Request } from './netlink/message.ts';
import { Netlink } from './netlink/socket.ts';
import { SOCKET_FAMILY, SOCKET_PROTOCOL } from './sys.ts';

/** SOCK_DIAG_BY_FAMILY. */
const BY_FAMILY = 20;
const SOCKET_WORDS = 12;
const PORT_OFFSET = 4;
/** TCP_LISTEN and TCP_CLOSE (net/tcp_states.h), as bits. */
const STATES = { tcp: 1 << 10, udp: 1 << 7 } as const;

export class BoundPorts {
  readonly #netlink: Netlink;

  private constructor(netlink: Netlink) {
    this.#netlink = netlink;
  }

  /** `fd`: of `SocketServer.makeDiagnostic`, or its -errno. It is ours from here on. */
  static open(fd: number): Result<BoundPorts> {
    if (fd >= 0) return success(new BoundPorts(new Netlink(fd)));
    return failure('socket-diagnosis', `the kernel does not tell which ports are bound: ${errnoName(fd)}`);
  }

  read(protocol: 'tcp' | 'udp'): Result<PortSet> {
    const ports = new PortSet();
    for (const family of [SOCKET_FAMILY.INET, SOCKET_FAMILY.INET6]) {
      const number = protocol === 'tcp' ? SOCKET_PROTOCOL.TCP : SOCKET_PROTOCOL.UDP;
      const request = new Request(BY_FAMILY, 0).uint8(family, number, 0, 0).uint32(STATES[protocol]);
      for (let word = 0; word < SOCKET_WORDS; word++) request.uint32(0);
      const dumped = this.#netlink.dump(request, (message) => take(message, ports), `list bound ${protocol} ports`);
      if (!dumped.ok) return dumped;
    }
    return success(ports);
  }

  close(): void {
    closeSync(this.#netlink.fd);
  }
}

/** Into the set, which is all that is kept of a dump that may have a hundred thousand messages. */
function take({ type, view, at, end }: Message, ports: PortSet): undefined {
  if (type !== BY_FAMILY || at + PORT_OFFSET + 2 > end) return;
  const port = view.getUint16(at + PORT_OFFSET);
  if (port !== 0) ports.add({ first: port, last: port });
}
