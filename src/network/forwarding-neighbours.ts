/**
 * Where frames for the guests of published ports go, in a network that forwards: to the guest itself where it is on the interface's link, else to the router
 * behind which it is.
 *
 * A neighbour that is not known is asked for, and callers wait (`NEIGHBOUR_PENDING`). It is asked three times in three seconds; for some seconds after that it
 * counts as not there (`NO_NEIGHBOUR`), and its callers are refused. `isSettled` says when those who wait should look again.
 */
import { type GuestNeighbours, NEIGHBOUR_PENDING, NO_NEIGHBOUR } from '../flow/neighbours.ts';
import type { InterfaceAddresses } from '../forward/interface-addresses.ts';
import { NEIGHBOUR_STATE } from '../forward/neighbour-table.ts';
import type { NeighbourResolver } from '../nodes/neighbour-resolver.ts';

/** Writes the address of the router towards an address, on this very interface, to `out`: four words. False: no route leads there by a router on it. */
export type NextHop = (
  interfaceIndex: number,
  w0: number,
  w1: number,
  w2: number,
  w3: number,
  out: Int32Array,
) => boolean;

/** Neighbours whose answers are awaited; those beyond are looked at again when a second has passed. */
const PENDING_MAX = 64;

export class ForwardingNeighbours implements GuestNeighbours {
  readonly #addresses: InterfaceAddresses;
  readonly #resolver: NeighbourResolver;
  readonly #nextHop: NextHop;
  readonly #hop: Int32Array = new Int32Array(4);
  readonly #pending: Int32Array = new Int32Array(PENDING_MAX);
  #pendingCount: number = 0;

  constructor(addresses: InterfaceAddresses, resolver: NeighbourResolver, nextHop: NextHop) {
    this.#addresses = addresses;
    this.#resolver = resolver;
    this.#nextHop = nextHop;
  }

  find(interfaceIndex: number, w0: number, w1: number, w2: number, w3: number): number {
    const hop = this.#hop;
    if (this.#addresses.isOnLink(interfaceIndex, w0, w1, w2, w3)) {
      hop[0] = w0;
      hop[1] = w1;
      hop[2] = w2;
      hop[3] = w3;
    } else if (!this.#nextHop(interfaceIndex, w0, w1, w2, w3, hop)) {
      return NO_NEIGHBOUR;
    }
    const { nowMs, table } = this.#resolver;
    const neighbour = table.use(interfaceIndex, hop[0]!, hop[1]!, hop[2]!, hop[3]!, nowMs);
    if (neighbour < 0) return NO_NEIGHBOUR;
    if (table.isUsable(neighbour)) return neighbour;
    if (table.state[neighbour] !== NEIGHBOUR_STATE.INCOMPLETE) return NO_NEIGHBOUR;
    this.#await(neighbour);
    return NEIGHBOUR_PENDING;
  }

  macHigh(_interfaceIndex: number, neighbour: number): number {
    return this.#resolver.table.macHigh[neighbour]!;
  }

  macLow(_interfaceIndex: number, neighbour: number): number {
    return this.#resolver.table.macLow[neighbour]!;
  }

  /** Whether one of those that were asked for has answered or failed since the last call. Costs nothing while nobody waits. */
  isSettled(): boolean {
    const pending = this.#pending;
    const { state } = this.#resolver.table;
    let left = 0;
    for (let i = 0; i < this.#pendingCount; i++) {
      // One that is forgotten keeps its state, and its number may be another's by now: then those who wait look again in a second.
      if (state[pending[i]!] === NEIGHBOUR_STATE.INCOMPLETE) pending[left++] = pending[i]!;
    }
    const isSettled = left < this.#pendingCount;
    this.#pendingCount = left;
    return isSettled;
  }

  #await(neighbour: number): void {
    for (let i = 0; i < this.#pendingCount; i++) if (this.#pending[i] === neighbour) return;
    if (this.#pendingCount < PENDING_MAX) this.#pending[this.#pendingCount++] = neighbour;
  }
}
