/**
 * Where sockets of a network namespace come from, one at a time.
 *
 * Those of our own are made when they are needed. Those of another are made by a process there, whom asking costs some 20 microseconds however many are
 * asked for: a stock of them is kept.
 */
import { ERRNO } from '../sys/errno.ts';
import { SOCKET_FAMILY, SOCKET_PROTOCOL, SOCKET_TYPE, type Sys } from '../sys/sys.ts';

/** As many as connections that come in one turn, mostly; and few enough that nobody misses their descriptors. */
const STOCK_MAX = 32;

export interface SocketSource {
  /** A socket that is not bound, which the caller closes; or -errno. */
  take(family: number, type: number): number;
  /** Nothing is taken any more. */
  close(): void;
}

/** Makes sockets of one kind: descriptor or -errno for each in `result`. Returns 0; or -errno, and there is none. `sys/socket-server.ts` is one. */
export interface SocketMaker {
  make(request: { readonly family: number; readonly type: number; readonly count: number }, result: Int32Array): number;
}

/** Sockets of our own namespace. */
export function ownSockets(sys: Pick<Sys, 'socket'>): SocketSource {
  return {
    take: (family, type) => sys.socket(family, type, SOCKET_PROTOCOL.DEFAULT),
    close: () => {},
  };
}

export class SocketStock implements SocketSource {
  readonly #sys: Pick<Sys, 'close'>;
  readonly #maker: SocketMaker;
  /** By kind. */
  readonly #stocks: number[][] = [[], [], [], []];
  readonly #made: Int32Array = new Int32Array(STOCK_MAX);
  #open: boolean = true;

  /** The maker stays the caller's. */
  constructor(sys: Pick<Sys, 'close'>, maker: SocketMaker) {
    this.#sys = sys;
    this.#maker = maker;
  }

  take(family: number, type: number): number {
    if (!this.#open) return -ERRNO.EPIPE;
    const kind = (family === SOCKET_FAMILY.INET6 ? 1 : 0) + (type === SOCKET_TYPE.DGRAM ? 2 : 0);
    const stock = this.#stocks[kind];
    return stock.pop() ?? this.#refill(stock, family, type);
  }

  close(): void {
    this.#open = false;
    for (const stock of this.#stocks) {
      for (const fd of stock) this.#sys.close(fd);
      stock.length = 0;
    }
  }

  #refill(stock: number[], family: number, type: number): number {
    const error = this.#maker.make({ family, type, count: STOCK_MAX }, this.#made);
    if (error < 0) return error;
    for (const fd of this.#made) if (fd >= 0) stock.push(fd);
    return stock.pop() ?? this.#made[0];
  }
}
