/** Opens the sockets of ports that follow each other, on the host or in the namespace: by processes that may do so when we no longer may. */
import { DESCRIPTORS_RESERVED, LISTEN_BACKLOG } from '../base/limits.ts';
import { type Result, success } from '../base/result.ts';
import { descriptorLimit, openDescriptors } from '../sys/descriptor-limit.ts';
import { ERRNO } from '../sys/errno.ts';
import { SOCKETS_PER_REQUEST_MAX, type SocketServer } from '../sys/socket-server.ts';
import { SOCKET_ADDRESS_WORDS, SOCKET_TYPE } from '../sys/sys.ts';
import { tooManyPorts } from './forward-failures.ts';
import type { Forward, ForwardPlace } from './forward-places.ts';

/** So few ports as to need no look at what is left. */
const UNCOUNTED_MAX = 256;

export interface SocketSides {
  readonly host: SocketServer;
  readonly namespace: SocketServer | undefined;
}

export class ForwardSockets {
  readonly #sides: SocketSides;
  readonly #freebind: boolean;

  /** `freebind`: the host's addresses may be such as nobody has yet. */
  constructor(sides: SocketSides, freebind: boolean) {
    this.#sides = sides;
    this.#freebind = freebind;
  }

  /** Whether there may be as many descriptors as `ports` take, and enough for those who call there. */
  checkRoom(forward: Forward, ports: number, perPort: number): Result<void> {
    if (ports * perPort <= UNCOUNTED_MAX) return success(undefined);
    const used = openDescriptors() + DESCRIPTORS_RESERVED;
    const limit = descriptorLimit(used + ports * perPort);
    return used + ports * perPort <= limit
      ? success(undefined)
      : tooManyPorts(forward, ports, perPort, limit - used, limit);
  }

  /** For each port from `first` on its descriptor, or -errno. `beside`: others of ours have the ports already. */
  open(
    { direction, protocol }: Forward,
    place: ForwardPlace,
    first: number,
    count: number,
    beside: boolean,
  ): Int32Array {
    const fds = new Int32Array(count);
    const { host, namespace } = this.#sides;
    const server = direction === 'in' ? host : namespace;
    if (server === undefined) return fds.fill(-ERRNO.EPIPE);
    const { w0, w1, w2, w3 } = place.address;
    const address = new Int32Array(SOCKET_ADDRESS_WORDS);
    const stream = protocol === 'tcp';
    for (let at = 0; at < count; at += SOCKETS_PER_REQUEST_MAX) {
      address.set([w0, w1, w2, w3, first + at]);
      const request = {
        family: place.family,
        type: stream ? SOCKET_TYPE.STREAM : SOCKET_TYPE.DGRAM,
        count: Math.min(SOCKETS_PER_REQUEST_MAX, count - at),
        address,
        dual: place.dual,
        // Connections of an earlier owner that wait for their end are not in the way.
        reuseAddress: stream || beside,
        freebind: this.#freebind && direction === 'in',
        ...(stream ? { backlog: LISTEN_BACKLOG } : {}),
        ...(place.device === undefined ? {} : { device: place.device }),
      };
      const error = server.make(request, fds.subarray(at));
      if (error < 0) fds.fill(error, at, at + request.count);
    }
    return fds;
  }
}
