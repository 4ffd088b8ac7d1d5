/**
 * Equal-cost multipath: groups of next hops that share the packets of a route by weight, flow by flow (RFC 2991, RFC 2992).
 *
 * A group has 256 buckets, each of which holds the number of an adjacency; the hash of a flow chooses a bucket. Next hops have as many buckets as their
 * weights say, to the nearest whole one, and at least one each. When a group changes, a next hop that keeps its share keeps its buckets, and only as
 * many buckets change hands as shares have changed: the flows of a next hop that goes are spread over the others, and no other flow moves; one that comes
 * takes from each of the others its due. That is what tells this from hash modulo n, where nearly all flows move.
 *
 * The value of a route is the number of an adjacency or, from `GROUP_VALUES` on, that of a group. A group is its route's
 * own: whoever takes the route away releases it.
 *
 * Packets of a flow must not overtake each other, so the hash has what all of them have in common: addresses, and the ports of TCP and UDP. Fragments have
 * no ports, except the first, so that of a fragmented datagram the addresses alone count; a flow that is fragmented now and then may thus go two ways.
 * Not done: what an ICMP error quotes does not count, so that it may go another way than the flow it is about; nor does IPv6's flow label (RFC 6438).
 */
import { assert } from '../base/assert.ts';
import { expandSecrets, finalized, product } from '../base/keyed-hash.ts';
import { NEXT_HOP_GROUPS_MAX, NEXT_HOP_WEIGHT_MAX, NEXT_HOPS_MAX } from '../base/limits.ts';
import { failure, type Result, success } from '../base/result.ts';
import type { Packet, Packets } from '../packet/packets.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as ipv6 from '../wire/ipv6.ts';

/** Values from here on are groups; adjacencies are below. */
const GROUP_VALUES = 0x4000_0000;

export interface NextHop {
  readonly adjacency: number;
  /** From 1 to `NEXT_HOP_WEIGHT_MAX`: its share, beside the others' weights. */
  readonly weight: number;
}

interface Group {
  nextHops: readonly NextHop[];
}

const BUCKETS = 256;
const BUCKET_BITS = 8;
const FIRST_GROUPS = 4;
const FREE = -1;

/** Two for each word of two IPv6 addresses, of the ports, and of the protocol. */
const SECRETS = 20;
const PORTS = 16;
const PROTOCOL = 18;

export function isGroup(value: number): boolean {
  return value >= GROUP_VALUES;
}

/** Adjacencies by weight, as the value of a route. */
export class NextHopGroups {
  #buckets: Int32Array = new Int32Array(FIRST_GROUPS * BUCKETS).fill(FREE);
  readonly #groups: (Group | undefined)[] = [];
  readonly #free: number[] = [];
  #count: number = 0;

  get count(): number {
    return this.#count;
  }

  /** Makes a group. Returns its value. */
  create(nextHops: readonly NextHop[]): Result<number> {
    const refused = judge(nextHops);
    if (refused !== undefined) return refused;
    if (this.#count >= NEXT_HOP_GROUPS_MAX) {
      return failure(
        'next-hop-groups-full',
        `No further group of next hops: there are ${NEXT_HOP_GROUPS_MAX} already; remove routes with several next hops first.`,
      );
    }
    const group = this.#free.pop() ?? this.#groups.length;
    if ((group + 1) * BUCKETS > this.#buckets.length) {
      const larger = new Int32Array(2 * this.#buckets.length).fill(FREE);
      larger.set(this.#buckets);
      this.#buckets = larger;
    }
    this.#groups[group] = { nextHops: [] };
    this.#count++;
    this.#share(group, nextHops);
    return success(GROUP_VALUES + group);
  }

  /** The route to it has gone. Adjacencies are let pass. */
  release(value: number): void {
    if (!isGroup(value)) return;
    const number = value - GROUP_VALUES;
    assert(this.#groups[number] !== undefined, 'a group is released once');
    this.#groups[number] = undefined;
    this.#buckets.fill(FREE, number * BUCKETS, (number + 1) * BUCKETS);
    this.#free.push(number);
    this.#count--;
  }

  /** The next hops of a group, in the order in which they were given. */
  nextHops(value: number): readonly NextHop[] {
    return this.#groupOf(value).nextHops;
  }

  /** Gives a group other next hops, or other weights, and moves as few flows as that takes. */
  change(value: number, nextHops: readonly NextHop[]): Result<void> {
    this.#groupOf(value);
    const refused = judge(nextHops);
    if (refused !== undefined) return refused;
    this.#share(value - GROUP_VALUES, nextHops);
    return success(undefined);
  }

  /**
   * Takes an adjacency that is going out of all groups. Returns the values of the groups that have no other: they are as they were, and the
   * routes to them must go, too.
   */
  withdraw(adjacency: number): number[] {
    const left: number[] = [];
    this.#groups.forEach((group, number) => {
      if (group === undefined || !group.nextHops.some((nextHop) => nextHop.adjacency === adjacency)) return;
      const others = group.nextHops.filter((nextHop) => nextHop.adjacency !== adjacency);
      if (others.length === 0) left.push(GROUP_VALUES + number);
      else this.#share(number, others);
    });
    return left;
  }

  /** The adjacency for a flow: the value itself, or the next hop of the group that the flow's hash chooses. */
  choose(value: number, hash: number): number {
    if (value < GROUP_VALUES) return value;
    return this.#buckets[(value - GROUP_VALUES) * BUCKETS + (hash >>> (32 - BUCKET_BITS))];
  }

  #groupOf(value: number): Group {
    const group = this.#groups[value - GROUP_VALUES];
    assert(group !== undefined, 'the value of a group that is there');
    return group;
  }

  /** Deals the buckets of a group out anew: each next hop keeps its own up to its due, and what is over goes to who has too few. */
  #share(group: number, nextHops: readonly NextHop[]): void {
    this.#groups[group]!.nextHops = nextHops.map(({ adjacency, weight }) => ({ adjacency, weight }));
    const missing = new Map<number, number>();
    const dues = bucketsDue(nextHops);
    nextHops.forEach((nextHop, i) => {
      missing.set(nextHop.adjacency, dues[i]);
    });
    const buckets = this.#buckets.subarray(group * BUCKETS, (group + 1) * BUCKETS);
    const over: number[] = [];
    // In an order that goes criss-cross, so that what one next hop loses does not always lie at the same end.
    for (let i = 0; i < BUCKETS; i++) {
      const bucket = (i * 167) & (BUCKETS - 1);
      const still = missing.get(buckets[bucket]) ?? 0;
      if (still > 0) missing.set(buckets[bucket], still - 1);
      else over.push(bucket);
    }
    let next = 0;
    for (const [adjacency, still] of missing) {
      for (let i = 0; i < still; i++) buckets[over[next++]] = adjacency;
    }
    assert(next === over.length, 'all buckets are dealt out');
  }
}

/** The secrets for `flowHash`, of any number that nobody else can know. */
export function flowSecrets(secret: number): Int32Array {
  return expandSecrets(secret, SECRETS);
}

/**
 * 32 bits, the same for all packets of a flow in one direction. The packet has been judged by `ip4-input` or `ip6-input`: its `network`,
 * `transport`, `protocol` and `end` are known.
 */
export function flowHash(packets: Packets, packet: Packet, secrets: Int32Array): number {
  const { view } = packets;
  const at = packets.network[packet];
  const isIpv6 = view.getUint8(at) >>> 4 === 6;
  const protocol = packets.protocol[packet];
  const fragment = isIpv6 ? isIpv6Fragment(packets, packet) : ipv4.isFragment(view, at);
  let sum = isIpv6 ? addressesSum(view, ipv6.sourceAt(at), secrets) : ipv4Sum(view, at, secrets);
  if (!fragment && (protocol === ipv4.PROTOCOL_TCP || protocol === ipv4.PROTOCOL_UDP)) {
    const transport = packets.transport[packet];
    const ports = packets.end[packet] - transport >= 4 ? view.getInt32(transport) : 0;
    sum +=
      product(ports, secrets[PORTS], secrets[PORTS + 1]) + product(protocol, secrets[PROTOCOL], secrets[PROTOCOL + 1]);
  }
  return finalized(sum | 0);
}

function ipv4Sum(view: DataView, at: number, secrets: Int32Array): number {
  return (
    product(ipv4.source(view, at), secrets[0], secrets[1]) + product(ipv4.destination(view, at), secrets[2], secrets[3])
  );
}

/** Eight words: an IPv6 source, and the destination behind it. */
function addressesSum(view: DataView, at: number, secrets: Int32Array): number {
  let sum = 0;
  for (let i = 0; i < 8; i++) sum = (sum + product(view.getInt32(at + 4 * i), secrets[2 * i], secrets[2 * i + 1])) | 0;
  return sum;
}

/** Nearly all packets have no extension headers: then TCP or UDP is named by the first header. */
function isIpv6Fragment(packets: Packets, packet: Packet): boolean {
  const { view } = packets;
  const at = packets.network[packet];
  if (ipv6.nextHeader(view, at) === packets.protocol[packet]) return false;
  return ipv6.walkExtensions(view, at, packets.end[packet], walk) < 0 || walk[ipv6.WALK_FRAGMENT] >= 0;
}

const walk: Int32Array = new Int32Array(ipv6.WALK_WORDS);

/** How many of the buckets each next hop is due: its share by weight, rounded so that all are given (largest remainders), and never none. */
function bucketsDue(nextHops: readonly NextHop[]): number[] {
  const total = nextHops.reduce((sum, { weight }) => sum + weight, 0);
  const exact = nextHops.map(({ weight }) => (weight * BUCKETS) / total);
  const due = exact.map((share) => Math.max(1, Math.floor(share)));
  let rest = BUCKETS - due.reduce((sum, share) => sum + share, 0);
  // One bucket at a time, to or from whoever is furthest from its share.
  for (; rest !== 0; rest -= Math.sign(rest)) {
    let furthest = -1;
    for (let i = 0; i < due.length; i++) {
      if (rest < 0 && due[i] === 1) continue;
      if (furthest < 0 || (exact[i] - due[i]) * rest > (exact[furthest] - due[furthest]) * rest) furthest = i;
    }
    due[furthest] += Math.sign(rest);
  }
  return due;
}

function judge(nextHops: readonly NextHop[]): Result<never> | undefined {
  if (nextHops.length === 0) return failure('next-hops-none', 'A group of next hops needs one at least.');
  if (nextHops.length > NEXT_HOPS_MAX) {
    return failure('next-hops-too-many', `${nextHops.length} next hops for one route; ${NEXT_HOPS_MAX} are the most.`);
  }
  const seen = new Set<number>();
  for (const { adjacency, weight } of nextHops) {
    assert(adjacency >= 0 && adjacency < GROUP_VALUES, 'the next hop of a group is an adjacency');
    if (!Number.isInteger(weight) || weight < 1 || weight > NEXT_HOP_WEIGHT_MAX) {
      return failure(
        'next-hop-weight',
        `The weight ${weight} of a next hop is not a whole number from 1 to ${NEXT_HOP_WEIGHT_MAX}.`,
      );
    }
    if (seen.has(adjacency))
      return failure('next-hop-twice', 'A next hop is given twice; give it the sum of the weights.');
    seen.add(adjacency);
  }
  return undefined;
}
