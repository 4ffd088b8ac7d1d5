/**
 * All that is known of routes, from wherever it comes: of several for one prefix the best is what packets go by (in the FIBs), and the next best takes over when that goes.
 *
 * | origin       | what                                        | preferred |
 * | ------------ | ------------------------------------------- | --------- |
 * | `local`      | an address of ours, by its full length      | first     |
 * | `connected`  | the network of one of our addresses         | second    |
 * | `configured` | a route of the configuration                | last      |
 *
 * Two interfaces in one network: the one that was first has it. A value is the number of an adjacency, or of a group of them; who adds a route keeps the reference.
 */
import {
  formatIpPrefix,
  IpAddress,
  type IpPrefix,
  ipv4Address,
  isIpv4,
  prefixContains,
  prefixNetwork,
} from '../base/address.ts';
import { assert } from '../base/assert.ts';
import { failure, type Result, success } from '../base/result.ts';
import { Fib4 } from '../forward/fib4.ts';
import { Fib6 } from '../forward/fib6.ts';

export type RouteOrigin = 'local' | 'connected' | 'configured';

export interface BaseRoute {
  readonly to: IpPrefix;
  readonly origin: RouteOrigin;
  readonly value: number;
}

interface Source {
  readonly origin: RouteOrigin;
  readonly value: number;
}

const RANK: Readonly<Record<RouteOrigin, number>> = { local: 0, connected: 1, configured: 2 };

export class RouteBase {
  readonly fib4: Fib4 = new Fib4();
  readonly fib6: Fib6 = new Fib6();
  /** Best first, by the text of the prefix. */
  readonly #sources: Map<string, Source[]> = new Map();

  add(to: IpPrefix, origin: RouteOrigin, value: number): Result<void> {
    const key = keyOf(to);
    const sources = this.#sources.get(key) ?? [];
    const [best] = sources;
    if (origin === 'configured' && sources.some((each) => each.origin === origin)) {
      return failure('route-exists', `there is a route to ${key} already: change or remove it`);
    }
    const at = sources.findIndex((each) => RANK[each.origin] > RANK[origin]);
    const place = at < 0 ? sources.length : at;
    if (best === undefined) {
      const inserted = this.#insert(to, value);
      if (!inserted.ok) return inserted;
    } else if (place === 0) {
      this.#replace(to, value);
    }
    sources.splice(place, 0, { origin, value });
    this.#sources.set(key, sources);
    return success(undefined);
  }

  /** Takes away what was added. */
  remove(to: IpPrefix, origin: RouteOrigin, value: number): void {
    const key = keyOf(to);
    const sources = this.#sources.get(key) ?? [];
    const at = sources.findIndex((each) => each.origin === origin && each.value === value);
    assert(at >= 0, 'only a route that was added is removed');
    sources.splice(at, 1);
    const [best] = sources;
    if (best === undefined) {
      this.#sources.delete(key);
      this.#remove(to);
    } else if (at === 0) {
      this.#replace(to, best.value);
    }
  }

  /** What a configured route leads to, or -1. */
  configured(to: IpPrefix): number {
    return this.#sources.get(keyOf(to))?.find(({ origin }) => origin === 'configured')?.value ?? -1;
  }

  /** Where packets for an address go: a value, or -1. */
  lookup({ w0, w1, w2, w3 }: IpAddress): number {
    return isIpv4({ w0, w1, w2, w3 } as IpAddress) ? this.fib4.lookup(w3) : this.fib6.lookup(w0, w1, w2, w3);
  }

  /** The routes that packets go by, by address, then from the shortest prefix to the longest; `within`: those that cover it, or lie under it. */
  *routes(family: 'ipv4' | 'ipv6', within?: IpPrefix): Generator<BaseRoute, void, undefined> {
    for (const { to, value } of family === 'ipv4' ? this.#routes4() : this.#routes6()) {
      if (within !== undefined && !isRelated(to, within)) continue;
      const [best] = this.#sources.get(keyOf(to))!;
      yield { to, origin: best!.origin, value };
    }
  }

  *#routes4(): Generator<{ to: IpPrefix; value: number }, void, undefined> {
    for (const { address, length, value } of this.fib4.routes()) {
      yield { to: { address: ipv4Address(address), length }, value };
    }
  }

  *#routes6(): Generator<{ to: IpPrefix; value: number }, void, undefined> {
    for (const { w0, w1, w2, w3, length, value } of this.fib6.routes()) {
      yield { to: { address: new IpAddress(w0, w1, w2, w3), length }, value };
    }
  }

  #insert({ address, length }: IpPrefix, value: number): Result<void> {
    const { w0, w1, w2, w3 } = address;
    return isIpv4(address) ? this.fib4.insert(w3, length, value) : this.fib6.insert(w0, w1, w2, w3, length, value);
  }

  #replace({ address, length }: IpPrefix, value: number): void {
    const { w0, w1, w2, w3 } = address;
    const done = isIpv4(address)
      ? this.fib4.replace(w3, length, value)
      : this.fib6.replace(w0, w1, w2, w3, length, value);
    assert(done.ok, 'a prefix with sources is in its FIB');
  }

  #remove({ address, length }: IpPrefix): void {
    const { w0, w1, w2, w3 } = address;
    const done = isIpv4(address) ? this.fib4.remove(w3, length) : this.fib6.remove(w0, w1, w2, w3, length);
    assert(done.ok, 'a prefix with sources is in its FIB');
  }
}

function isRelated(a: IpPrefix, b: IpPrefix): boolean {
  return a.length <= b.length ? prefixContains(a, b.address) : prefixContains(b, a.address);
}

function keyOf(prefix: IpPrefix): string {
  return formatIpPrefix({ address: prefixNetwork(prefix), length: prefix.length });
}
