/**
 * The routes of IPv6: longest-prefix match. The tree of prefixes is the truth; look-ups go to sorted ranges of addresses that are built from it (range-words.ts, route-ranges.ts). The default route
 * covers everything and is kept beside both.
 *
 * What a look-up costs, in nanoseconds, on one machine whose caches others use too; routes are made like the Internet's (most of 48 bits, then 32, 44, 40, 36 and 29, crowded below
 * some thousand allocations), destinations drawn at random from what is routed:
 *
 * | routes, destinations                | here    | binary search on lengths, as it was |
 * | ----------------------------------- | ------- | ----------------------------------- |
 * | 10, any                             | 13      | 36                                  |
 * | 100,000, of 1000 destinations       | 28      | 145                                 |
 * | 100,000, any: the hard case         | 35      | 201                                 |
 * | memory of 100,000                   | 2.8 MiB | 8 MiB                               |
 *
 * So 100,000 routes cost 2.1 to 2.3 times what ten do in the usual case, and 2.7 times in the hard one. Why not twice: a third of the destinations need a second line, which no processor
 * foresees, and what is not in its nearest caches has to come (docs/decisions/0022-ipv6-look-up.md).
 *
 * A change takes 5 to 50 us on average, in full tables too. Few take longer, up to 250 ms in a full table: when a part of it is built anew because its routes have doubled, and for prefixes that are
 * short (less than 16 bits, or than a table's word) and cover much.
 */
import { formatIpWords, prefixMask } from '../base/address.ts';
import { assert } from '../base/assert.ts';
import { ROUTES_MAX } from '../base/limits.ts';
import { failure, type Result, success } from '../base/result.ts';
import { NO_NODE, NO_VALUE, PrefixTree } from './prefix-tree.ts';
import { RouteRanges } from './route-ranges.ts';

export interface Route6 {
  /** The first address of the prefix. */
  readonly w0: number;
  readonly w1: number;
  readonly w2: number;
  readonly w3: number;
  readonly length: number;
  readonly value: number;
}

export class Fib6 {
  readonly #routes: PrefixTree = new PrefixTree(4);
  readonly #ranges: RouteRanges = new RouteRanges(this.#routes);
  #default: number = NO_VALUE;

  /** How many routes there are. */
  get count(): number {
    return this.#routes.count;
  }

  /** Bytes that look-ups read from, for tests and for those who want to know. */
  get lookupBytes(): number {
    return this.#ranges.bytes;
  }

  /** The value of the longest prefix that covers the address, or -1. */
  lookup(w0: number, w1: number, w2: number, w3: number): number {
    const word = this.#ranges.lookup(w0, w1, w2, w3);
    return word === 0 ? this.#default : ~word;
  }

  /** The value of exactly this prefix, or -1. */
  get(w0: number, w1: number, w2: number, w3: number, length: number): number {
    const node = this.#routes.find(w0, w1, w2, w3, length);
    return node === NO_NODE ? NO_VALUE : this.#routes.value[node];
  }

  /** Adds a route to a number from 0; bits of the address behind the length make no difference. */
  insert(w0: number, w1: number, w2: number, w3: number, length: number, value: number): Result<void> {
    if (this.#routes.find(w0, w1, w2, w3, length) !== NO_NODE) {
      const route = formatRoute(w0, w1, w2, w3, length);
      return failure('route-exists', `There is a route to ${route} already; replace or remove it.`);
    }
    if (this.#routes.count >= ROUTES_MAX) {
      const route = formatRoute(w0, w1, w2, w3, length);
      return failure(
        'routes-full',
        `No route to ${route}: the table is full with ${ROUTES_MAX} IPv6 routes; remove some first.`,
      );
    }
    this.#routes.insert(w0, w1, w2, w3, length, value);
    this.#update(w0, w1, w2, w3, length, 1);
    return success(undefined);
  }

  /** Gives a route that is there another value. Returns the earlier one. */
  replace(w0: number, w1: number, w2: number, w3: number, length: number, value: number): Result<number> {
    assert(value >= 0, 'a route leads to a number from 0');
    const node = this.#routes.find(w0, w1, w2, w3, length);
    if (node === NO_NODE) return missing(w0, w1, w2, w3, length);
    const before = this.#routes.value[node];
    this.#routes.value[node] = value;
    if (value !== before) this.#update(w0, w1, w2, w3, length, 0);
    return success(before);
  }

  /** Returns the value that the route had. */
  remove(w0: number, w1: number, w2: number, w3: number, length: number): Result<number> {
    const tree = this.#routes;
    const node = tree.find(w0, w1, w2, w3, length);
    if (node === NO_NODE) return missing(w0, w1, w2, w3, length);
    const before = tree.value[node];
    tree.remove(node);
    this.#update(w0, w1, w2, w3, length, -1);
    return success(before);
  }

  /** All routes by address, then from the shortest prefix to the longest. No change is made while it runs. */
  *routes(): Generator<Route6, void, undefined> {
    const tree = this.#routes;
    for (let node = tree.next(NO_NODE); node !== NO_NODE; node = tree.next(node)) {
      yield {
        w0: tree.word(node, 0),
        w1: tree.word(node, 1),
        w2: tree.word(node, 2),
        w3: tree.word(node, 3),
        length: tree.length[node],
        value: tree.value[node],
      };
    }
  }

  #update(w0: number, w1: number, w2: number, w3: number, length: number, change: -1 | 0 | 1): void {
    if (length === 0) this.#default = this.get(0, 0, 0, 0, 0);
    else this.#ranges.update(w0, w1, w2, w3, length, change);
  }
}

function missing(w0: number, w1: number, w2: number, w3: number, length: number): Result<never> {
  return failure('route-missing', `There is no route to ${formatRoute(w0, w1, w2, w3, length)}.`);
}

function formatRoute(w0: number, w1: number, w2: number, w3: number, length: number): string {
  const words = [w0, w1, w2, w3].map((word, i) => word & prefixMask(length - 32 * i)) as [
    number,
    number,
    number,
    number,
  ];
  return `${formatIpWords(...words)}/${length}`;
}
