/** Where callers of forwards go: sockets of the other namespace, or the guest by its link. */
import { type IpAddress, isIpv4 } from '../base/address.ts';
import type { ForwardRoute } from '../translate/forward-listen.ts';
import type { SpliceTarget } from '../translate/splice-deps.ts';
import type { SocketSource } from '../translate/splice-sockets.ts';
import type { TcpGuest } from '../translate/tcp-listen.ts';
import { type Forward, isSpliceOnly, LOOPBACK_IPV4, LOOPBACK_IPV6 } from './forward-places.ts';

/** One for each family that there is. */
export interface AddressPair {
  readonly ipv4: IpAddress | undefined;
  readonly ipv6: IpAddress | undefined;
}

export interface RouteOptions {
  readonly interfaceIndex: number;
  /** Of the guest behind the interface; undefined: there is none. */
  readonly guest: AddressPair | undefined;
  /** What callers from the host's loopback are connected with in the namespace. */
  readonly inside: AddressPair;
  /** Undefined: nobody is spliced. */
  readonly namespaceSockets: SocketSource | undefined;
  readonly hostSockets: SocketSource;
}

export class ForwardRoutes {
  readonly #options: RouteOptions;

  constructor(options: RouteOptions) {
    this.#options = options;
  }

  /** Of TCP: each caller finds there what is for him. */
  route(forward: Forward): ForwardRoute {
    const { direction, rule } = forward;
    const guest = direction === 'in' && !isSpliceOnly(rule) ? this.#options.guest : undefined;
    return {
      splice: { ipv4: this.target(forward, true), ipv6: this.target(forward, false) },
      guest: guest && { ipv4: this.guest(forward, true), ipv6: this.guest(forward, false) },
    };
  }

  /** Undefined: there is none of that family. */
  target({ direction, rule }: Forward, ipv4: boolean): SpliceTarget | undefined {
    const { inside, hostSockets, namespaceSockets } = this.#options;
    const sockets = direction === 'out' ? hostSockets : namespaceSockets;
    const there = direction === 'out' ? LOOPBACK : inside;
    const address = rule.toAddress ?? (ipv4 ? there.ipv4 : there.ipv6);
    if (sockets === undefined || address === undefined || isIpv4(address) !== ipv4) return undefined;
    return { sockets, address: wordsOf(address) };
  }

  guest({ rule }: Forward, ipv4: boolean): TcpGuest | undefined {
    const { guest, interfaceIndex } = this.#options;
    const address = rule.toAddress ?? (ipv4 ? guest?.ipv4 : guest?.ipv6);
    if (guest === undefined || address === undefined || isIpv4(address) !== ipv4) return undefined;
    return { interfaceIndex, guest: wordsOf(address) };
  }
}

export const LOOPBACK: AddressPair = { ipv4: LOOPBACK_IPV4, ipv6: LOOPBACK_IPV6 };

function wordsOf({ w0, w1, w2, w3 }: IpAddress): Int32Array {
  return Int32Array.of(w0, w1, w2, w3);
}
