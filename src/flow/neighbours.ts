/**
 * Who is behind each link: the MAC address of every guest address that spoke in ARP or NDP, for the frames that we send there.
 *
 * What is learnt is what a guest said: it decides only where frames on its own link go. Each interface has its own table of
 * `NEIGHBOURS_MAX` addresses, so no guest can make us forget another's; in a full one the address that spoke longest ago is forgotten.
 */
import { NEIGHBOURS_MAX } from '../base/limits.ts';
import { AddressTable } from './address-table.ts';

/** No neighbour is known. */
export const NO_NEIGHBOUR = -1;

/** The neighbour is not known yet, and has been asked for: whoever wants to send there waits, and looks again. */
export const NEIGHBOUR_PENDING = -2;

/** Where frames for a guest's address go, as those who send to it without having heard from it need to know. */
export interface GuestNeighbours {
  /** A neighbour to be given to `macHigh` and `macLow`, or `NO_NEIGHBOUR`, or `NEIGHBOUR_PENDING`. Valid until something is learnt. */
  find(interfaceIndex: number, w0: number, w1: number, w2: number, w3: number): number;
  macHigh(interfaceIndex: number, neighbour: number): number;
  macLow(interfaceIndex: number, neighbour: number): number;
}

export class Neighbours implements GuestNeighbours {
  readonly #tables: Table[] = [];
  readonly #neighboursMax: number;

  constructor(neighboursMax: number = NEIGHBOURS_MAX) {
    this.#neighboursMax = neighboursMax;
  }

  /** The address lives at this MAC address from now on. */
  learn(interfaceIndex: number, w0: number, w1: number, w2: number, w3: number, macHigh: number, macLow: number): void {
    const table = this.#table(interfaceIndex);
    const place = table.places.take(w0, w1, w2, w3);
    table.high[place] = macHigh;
    table.low[place] = macLow;
    table.latest = place;
  }

  /** The address is one of the only guest behind the interface: until it speaks from there, it is where the guest spoke from last. */
  expect(interfaceIndex: number, w0: number, w1: number, w2: number, w3: number): void {
    const table = this.#table(interfaceIndex);
    table.expected ??= new AddressTable(this.#neighboursMax);
    table.expected.take(w0, w1, w2, w3);
  }

  /** A neighbour to be given to `macHigh` and `macLow`, or `NO_NEIGHBOUR`. Valid until the next `learn`. */
  find(interfaceIndex: number, w0: number, w1: number, w2: number, w3: number): number {
    if (interfaceIndex >= this.#tables.length) return NO_NEIGHBOUR;
    const { places, expected, latest } = this.#tables[interfaceIndex];
    const place = places.find(w0, w1, w2, w3);
    if (place >= 0 || expected === undefined) return place;
    return expected.find(w0, w1, w2, w3) < 0 ? NO_NEIGHBOUR : latest;
  }

  macHigh(interfaceIndex: number, neighbour: number): number {
    return this.#tables[interfaceIndex].high[neighbour];
  }

  macLow(interfaceIndex: number, neighbour: number): number {
    return this.#tables[interfaceIndex].low[neighbour];
  }

  #table(interfaceIndex: number): Table {
    while (this.#tables.length <= interfaceIndex) {
      this.#tables.push({
        places: new AddressTable(this.#neighboursMax),
        high: new Uint16Array(this.#neighboursMax),
        low: new Int32Array(this.#neighboursMax),
        latest: NO_NEIGHBOUR,
        expected: undefined,
      });
    }
    return this.#tables[interfaceIndex];
  }
}

interface Table {
  readonly places: AddressTable;
  readonly high: Uint16Array;
  readonly low: Int32Array;
  /** The address that spoke last. */
  latest: number;
  expected: AddressTable | undefined;
}
