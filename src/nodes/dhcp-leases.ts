/**
 * Who has which address of a DHCP server's pool, and until when.
 *
 * A client, known by the identifier that it sends or else by its MAC address, has one address at most: offered, for a moment; bound, for its lease; or
 * run out, and remembered so that it gets the same one when it comes back. An address that a client found in use (DECLINE) is nobody's for a while.
 *
 * Bounds: so many leases, and the pool. Addresses are given in order, first those that nobody ever had, then that which ran out longest ago; what is offered or bound
 * is never given to another. Where nothing is left, no search is made again until something runs out: who asks without end costs little.
 */
import { DHCP_LEASES_MAX } from '../base/limits.ts';

/** How long an offer is kept for the client. */
const OFFER_MS = 30_000;
/** How long an address rests that somebody has without asking us. */
const DECLINED_MS = 600_000;

/** No address. */
export const NO_LEASE = 0;

/** The client of an address that is nobody's. No client is called so: identifiers are not empty. */
const NOBODY = '';

interface Lease {
  readonly address: number;
  client: string;
  isOffer: boolean;
  expiresMs: number;
}

export class DhcpLeases {
  readonly #max: number;
  /** Unsigned. */
  #first: number = 1;
  #last: number = 0;
  #isReserved: (address: number) => boolean = () => true;
  /** The next address to look at. */
  #next: number = 0;
  readonly #byAddress: Map<number, Lease> = new Map();
  readonly #byClient: Map<string, Lease> = new Map();
  /** There is nothing to give before this moment. */
  #exhaustedUntilMs: number = Number.NEGATIVE_INFINITY;

  constructor(max: number = DHCP_LEASES_MAX) {
    this.#max = max;
  }

  /** Leases, those that ran out included. */
  get count(): number {
    return this.#byAddress.size;
  }

  /** Gives addresses from `first` to `last` (int32) that are not reserved. Leases of others are forgotten. */
  setPool(first: number, last: number, isReserved: (address: number) => boolean): void {
    this.#first = first >>> 0;
    this.#last = last >>> 0;
    this.#isReserved = isReserved;
    this.#next = this.#first;
    this.#exhaustedUntilMs = Number.NEGATIVE_INFINITY;
    for (const lease of [...this.#byAddress.values()]) if (!this.mayGive(lease.address)) this.#forget(lease);
  }

  /** Whether the address is one that may be given at all. */
  mayGive(address: number): boolean {
    const at = address >>> 0;
    return at >= this.#first && at <= this.#last && !this.#isReserved(address | 0);
  }

  /** The address that the client has, had last, or is offered. */
  of(client: string): number {
    return this.#byClient.get(client)?.address ?? NO_LEASE;
  }

  /** An address for the client: its own, or that which it wants, or any. */
  offer(client: string, wanted: number, nowMs: number): number {
    const own = this.#byClient.get(client);
    if (own !== undefined) {
      if (own.expiresMs <= nowMs) own.isOffer = true;
      own.expiresMs = Math.max(own.expiresMs, nowMs + OFFER_MS);
      return own.address;
    }
    const address = this.#isFree(wanted, client, nowMs) ? wanted | 0 : this.#findFree(nowMs);
    if (address === NO_LEASE || !this.#make(client, address, true, nowMs + OFFER_MS, nowMs)) return NO_LEASE;
    return address;
  }

  /** The client has the address from now on. False: it is another's, or none that may be given, or there is no room. */
  bind(client: string, address: number, untilMs: number, nowMs: number): boolean {
    return this.#isFree(address, client, nowMs) && this.#make(client, address | 0, false, untilMs, nowMs);
  }

  /** The client has taken another server's offer. */
  withdraw(client: string, nowMs: number): void {
    const lease = this.#byClient.get(client);
    if (lease?.isOffer === true) this.#end(lease, nowMs);
  }

  /** The client needs the address no more. It is remembered. */
  release(client: string, address: number, nowMs: number): void {
    const lease = this.#byClient.get(client);
    if (lease?.address === (address | 0)) this.#end(lease, nowMs);
  }

  /** The client found that somebody else has the address: nobody is given it for a while. */
  decline(client: string, address: number, nowMs: number): void {
    const lease = this.#byClient.get(client);
    if (lease?.address !== (address | 0)) return;
    this.#byClient.delete(client);
    lease.client = NOBODY;
    lease.isOffer = false;
    lease.expiresMs = nowMs + DECLINED_MS;
  }

  #isFree(address: number, client: string, nowMs: number): boolean {
    if (!this.mayGive(address)) return false;
    const lease = this.#byAddress.get(address | 0);
    return lease === undefined || lease.client === client || lease.expiresMs <= nowMs;
  }

  #findFree(nowMs: number): number {
    if (nowMs < this.#exhaustedUntilMs || this.#first > this.#last) return NO_LEASE;
    const size = this.#last - this.#first + 1;
    let soonest: Lease | undefined;
    for (let i = 0; i < size; i++) {
      const address = this.#next | 0;
      this.#next = this.#next === this.#last ? this.#first : this.#next + 1;
      const lease = this.#byAddress.get(address);
      if (lease === undefined) {
        if (!this.#isReserved(address)) return address;
      } else if (soonest === undefined || lease.expiresMs < soonest.expiresMs) {
        soonest = lease;
      }
    }
    if (soonest === undefined) return NO_LEASE;
    if (soonest.expiresMs <= nowMs) return soonest.address;
    this.#exhaustedUntilMs = soonest.expiresMs;
    return NO_LEASE;
  }

  #make(client: string, address: number, isOffer: boolean, expiresMs: number, nowMs: number): boolean {
    const own = this.#byClient.get(client);
    if (own !== undefined && own.address === address) {
      own.isOffer = isOffer;
      own.expiresMs = expiresMs;
      return true;
    }
    if (own !== undefined) this.#forget(own);
    const before = this.#byAddress.get(address);
    if (before !== undefined) this.#forget(before);
    if (this.#byAddress.size >= this.#max && !this.#makeRoom(nowMs)) return false;
    const lease = { address, client, isOffer, expiresMs };
    this.#byAddress.set(address, lease);
    this.#byClient.set(client, lease);
    return true;
  }

  /** Forgets what ran out longest ago. */
  #makeRoom(nowMs: number): boolean {
    if (nowMs < this.#exhaustedUntilMs) return false;
    let soonest: Lease | undefined;
    for (const lease of this.#byAddress.values()) {
      if (soonest === undefined || lease.expiresMs < soonest.expiresMs) soonest = lease;
    }
    if (soonest === undefined) return false;
    if (soonest.expiresMs <= nowMs) this.#forget(soonest);
    else this.#exhaustedUntilMs = soonest.expiresMs;
    return soonest.expiresMs <= nowMs;
  }

  #end(lease: Lease, nowMs: number): void {
    lease.isOffer = false;
    lease.expiresMs = nowMs;
    this.#exhaustedUntilMs = Number.NEGATIVE_INFINITY;
  }

  #forget(lease: Lease): void {
    this.#byAddress.delete(lease.address);
    if (this.#byClient.get(lease.client) === lease) this.#byClient.delete(lease.client);
    this.#exhaustedUntilMs = Number.NEGATIVE_INFINITY;
  }
}
