/** Which ports of the simulated host are taken, per protocol, by the rules of bind(2). */
import { isUnspecified } from '../../base/address.ts';
import { ERRNO } from '../errno.ts';
import { type Endpoint, endpointText, familyOf } from './endpoint.ts';

export type PortSpace = 'tcp' | 'udp' | 'icmp';

/** ip_local_port_range. */
const EPHEMERAL_FIRST = 32_768;
const EPHEMERAL_LAST = 60_999;

interface Holder {
  readonly local: Endpoint;
  readonly reuse: boolean;
}

export class Ports {
  /** By protocol and port, then by owner. */
  readonly #holders = new Map<string, Map<object, Holder>>();
  #next: number = EPHEMERAL_FIRST;

  /** Takes the port for `owner`, or any free one when it is 0. Returns the address with its port, or -errno. */
  take(space: PortSpace, owner: object, local: Endpoint, reuse: boolean): Endpoint | number {
    const wanted = local.port === 0 ? this.lend(space, local) : local;
    if (typeof wanted === 'number') return wanted;
    if (!this.#isFree(space, wanted, reuse)) return -ERRNO.EADDRINUSE;
    const key = `${space}:${wanted.port}`;
    const holders = this.#holders.get(key) ?? new Map<object, Holder>();
    holders.set(owner, { local: wanted, reuse });
    this.#holders.set(key, holders);
    return wanted;
  }

  /** A port that nobody has bound, without taking it: connections to different addresses may share one. */
  lend(space: PortSpace, local: Endpoint): Endpoint | number {
    for (let tries = EPHEMERAL_LAST - EPHEMERAL_FIRST; tries >= 0; tries--) {
      const candidate = { ...local, port: this.#next };
      this.#next = this.#next === EPHEMERAL_LAST ? EPHEMERAL_FIRST : this.#next + 1;
      if (this.#isFree(space, candidate, false)) return candidate;
    }
    return -ERRNO.EADDRINUSE;
  }

  free(space: PortSpace, owner: object, local: Endpoint): void {
    this.#holders.get(`${space}:${local.port}`)?.delete(owner);
  }

  #isFree(space: PortSpace, local: Endpoint, reuse: boolean): boolean {
    for (const holder of this.#holders.get(`${space}:${local.port}`)?.values() ?? []) {
      if (holder.reuse && reuse && space === 'udp') continue;
      if (isHeldBy(holder.local, local) || isHeldBy(local, holder.local)) return false;
    }
    return true;
  }
}

/** Whether a socket bound to `held` gets what is sent to `to`. IPv6 sockets take no IPv4. */
export function isHeldBy(held: Endpoint, to: Endpoint): boolean {
  if (held.port !== to.port || familyOf(held.address) !== familyOf(to.address)) return false;
  return isUnspecified(held.address) || endpointText(held) === endpointText(to);
}
