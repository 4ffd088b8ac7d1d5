/**
 * Neighbours: the MAC addresses of the hosts on each interface's link, how sure we are of them, and when to ask again. For ARP and neighbour
 * discovery alike: what RFC 4861, section 7.3 says of IPv6 is done for IPv4 too, which fulfils RFC 1122, section 2.3.2.1 (entries time out).
 *
 * | state      | MAC address                    | lasts                    | what ends it                                                   |
 * | ---------- | ------------------------------ | ------------------------ | -------------------------------------------------------------- |
 * | INCOMPLETE | not known, asked for           | 3 questions, 1 s each    | an answer: REACHABLE; the neighbour's word: DELAY; time: FAILED |
 * | REACHABLE  | confirmed                      | 30 s                     | time, another MAC address: STALE                               |
 * | STALE      | was right once, or is hearsay  | 20 min without use       | use: DELAY; time: forgotten                                    |
 * | DELAY      | in use, about to be checked    | 5 s                      | an answer: REACHABLE; time: PROBE                              |
 * | PROBE      | in use, asked for, directly    | 3 questions, 1 s each    | an answer: REACHABLE; time: FAILED                             |
 * | FAILED     | nobody answers                 | 3 s                      | the neighbour's word; time: forgotten                          |
 * | STATIC     | configured                     | until it is taken away   | nothing that anybody sends                                     |
 *
 * What is *usable* (REACHABLE, DELAY, PROBE, STATIC) may be kept by whoever sends, without asking here for each packet: `NeighbourEvents` says
 * when that begins and ends. A STALE neighbour is not, so the next packet for it comes here, is a use, and makes it usable again:
 * that is how use is noticed, at no cost for the packets in between.
 *
 * Bounds. Each interface and the whole table have room for so many. Where there is none, a neighbour gives way that is the oldest of the
 * least useful: who speaks to us unasked displaces FAILED and STALE ones only, so no flood of solicitations makes us forget a neighbour in use; a
 * packet for somebody new displaces, in this order, FAILED, INCOMPLETE, STALE, PROBE, DELAY and REACHABLE ones: a scan of a network displaces
 * its own questions. STATIC ones never give way. When the whole table is full, the interface that has more than its share gives.
 *
 * Each interface has a list for each state, in the order of entering it, which is the order of leaving it: `tick` looks at heads of lists, and at what
 * is due. Not done: confirmation by upper layers, random reachable times, the router flag (we are the router), anycast and proxies.
 */
import { IpAddress, MacAddress } from '../base/address.ts';
import { grown } from '../base/column.ts';
import { INTERFACE_NEIGHBOURS_MAX, INTERFACE_NEIGHBOURS_TOTAL_MAX } from '../base/limits.ts';
import { AddressIndex, NO_ROW } from './address-index.ts';

export const NEIGHBOUR_STATE = {
  INCOMPLETE: 0,
  REACHABLE: 1,
  STALE: 2,
  DELAY: 3,
  PROBE: 4,
  FAILED: 5,
  STATIC: 6,
} as const;

export type NeighbourStateName = keyof typeof NEIGHBOUR_STATE;

export const NEIGHBOUR_STATE_NAMES: readonly NeighbourStateName[] = Object.keys(
  NEIGHBOUR_STATE,
) as NeighbourStateName[];

/** No neighbour is known, or there is no room for it. */
export const NO_NEIGHBOUR = -1;

/** RFC 4861, section 10: RETRANS_TIMER, MAX_MULTICAST_SOLICIT and MAX_UNICAST_SOLICIT, REACHABLE_TIME, DELAY_FIRST_PROBE_TIME. */
export const SOLICITATION_INTERVAL_MS = 1000;
export const SOLICITATIONS_MAX = 3;
export const REACHABLE_MS = 30_000;
export const DELAY_MS = 5000;
/** How long packets for a neighbour that did not answer are refused before it is asked again. */
export const FAILED_MS = 3000;
/** Nobody sent anything there for this long. */
export const STALE_MS = 1_200_000;

const STATES = NEIGHBOUR_STATE_NAMES.length;
const { INCOMPLETE, REACHABLE, STALE, DELAY, PROBE, FAILED, STATIC } = NEIGHBOUR_STATE;

/** By state. */
const LASTS_MS: readonly number[] = [
  SOLICITATION_INTERVAL_MS,
  REACHABLE_MS,
  STALE_MS,
  DELAY_MS,
  SOLICITATION_INTERVAL_MS,
  FAILED_MS,
  Number.POSITIVE_INFINITY,
];

/** Who gives way, first to last. */
const WAY_FOR_HEARSAY: readonly number[] = [FAILED, STALE];
const WAY_FOR_NEED: readonly number[] = [FAILED, INCOMPLETE, STALE, PROBE, DELAY, REACHABLE];

/** What the table tells and asks. None of these may call the table back, but to read. */
export interface NeighbourEvents {
  /** Ask for the neighbour: all hosts when it is INCOMPLETE, itself when it is in PROBE. False: not now, ask me again in a second. */
  solicit(neighbour: number): boolean;
  /** Frames may be sent to the neighbour's MAC address; told again when that changes. */
  usable(neighbour: number): void;
  /** No frame any more. Packets for it are to come to the table again. */
  unusable(neighbour: number): void;
  /** It did not answer; what waits for it goes back. */
  failed(neighbour: number): void;
  /** It is forgotten, and its number will be another's. */
  removed(neighbour: number): void;
}

/** A line of `show ip neighbors`. */
export interface NeighbourEntry {
  readonly interfaceIndex: number;
  readonly address: IpAddress;
  /** Undefined while it is not known. */
  readonly mac: MacAddress | undefined;
  readonly state: NeighbourStateName;
  /** How long it has been in this state. */
  readonly ageMs: number;
}

export class NeighbourTable {
  /** By neighbour; read only. */
  state: Uint8Array;
  macHigh: Uint16Array;
  macLow: Int32Array;
  /** Neighbours that gave way to others; those there was no room for. */
  evicted: number = 0;
  refused: number = 0;
  /** MAC addresses that changed. */
  moved: number = 0;

  readonly #events: NeighbourEvents;
  readonly #perInterfaceMax: number;
  readonly #max: number;
  readonly #index: AddressIndex;
  #solicitations: Uint8Array;
  /** When it came into its state, or was asked for last. */
  #sinceMs: Float64Array;
  #older: Int32Array;
  #newer: Int32Array;
  /** By interface * STATES + state. */
  #oldest: Int32Array = new Int32Array(16 * STATES).fill(NO_NEIGHBOUR);
  #newest: Int32Array = new Int32Array(16 * STATES).fill(NO_NEIGHBOUR);
  /** By interface: how many; and how many interfaces have any. */
  #countOn: Int32Array = new Int32Array(16);
  #interfaces: number = 0;

  constructor(
    events: NeighbourEvents,
    perInterfaceMax: number = INTERFACE_NEIGHBOURS_MAX,
    neighboursMax: number = INTERFACE_NEIGHBOURS_TOTAL_MAX,
  ) {
    this.#events = events;
    this.#perInterfaceMax = perInterfaceMax;
    this.#max = neighboursMax;
    this.#index = new AddressIndex(neighboursMax);
    const { capacity } = this.#index;
    this.state = new Uint8Array(capacity);
    this.macHigh = new Uint16Array(capacity);
    this.macLow = new Int32Array(capacity);
    this.#solicitations = new Uint8Array(capacity);
    this.#sinceMs = new Float64Array(capacity);
    this.#older = new Int32Array(capacity);
    this.#newer = new Int32Array(capacity);
  }

  get count(): number {
    return this.#index.count;
  }

  /** All numbers of neighbours are below; it grows. */
  get capacity(): number {
    return this.#index.capacity;
  }

  countOn(interfaceIndex: number): number {
    return interfaceIndex < this.#countOn.length ? this.#countOn[interfaceIndex] : 0;
  }

  interfaceIndex(neighbour: number): number {
    return this.#index.scope(neighbour);
  }

  /** Word `index` of the neighbour's address, 0 to 3. */
  word(neighbour: number, index: number): number {
    return this.#index.word(neighbour, index);
  }

  isUsable(neighbour: number): boolean {
    return isUsableState(this.state[neighbour]);
  }

  find(interfaceIndex: number, w0: number, w1: number, w2: number, w3: number): number {
    return this.#index.find(interfaceIndex, w0, w1, w2, w3);
  }

  /**
   * A packet is to be sent there: the neighbour, which is INCOMPLETE (its packet must wait), FAILED, or usable. One that is not known is asked for.
   * `NO_NEIGHBOUR`: there is no room.
   */
  use(interfaceIndex: number, w0: number, w1: number, w2: number, w3: number, nowMs: number): number {
    const known = this.#index.find(interfaceIndex, w0, w1, w2, w3);
    if (known !== NO_ROW) {
      if (this.state[known] === STALE) this.#enter(known, DELAY, nowMs);
      return known;
    }
    const made = this.#make(interfaceIndex, w0, w1, w2, w3, INCOMPLETE, WAY_FOR_NEED, nowMs);
    if (made !== NO_NEIGHBOUR) this.#solicitations[made] = this.#events.solicit(made) ? 1 : 0;
    return made;
  }

  /** A neighbour has said, in a question to us, where it is: it is learnt, or corrected. */
  heard(
    interfaceIndex: number,
    w0: number,
    w1: number,
    w2: number,
    w3: number,
    macHigh: number,
    macLow: number,
    nowMs: number,
  ): void {
    if (!isStation(macHigh, macLow)) return;
    const known = this.#index.find(interfaceIndex, w0, w1, w2, w3);
    if (known !== NO_ROW) {
      this.#correct(known, macHigh, macLow, nowMs);
      return;
    }
    const made = this.#make(interfaceIndex, w0, w1, w2, w3, STALE, WAY_FOR_HEARSAY, nowMs);
    if (made === NO_NEIGHBOUR) return;
    this.macHigh[made] = macHigh;
    this.macLow[made] = macLow;
  }

  /**
   * A neighbour that we know has said where it is: RFC 4861, section 7.2.5. `solicited`: as an answer to us; `override`: it may correct what is known.
   * Of one that we do not know nothing is learnt.
   */
  advertised(
    neighbour: number,
    macHigh: number,
    macLow: number,
    solicited: boolean,
    override: boolean,
    nowMs: number,
  ): void {
    const state = this.state[neighbour];
    if (state === STATIC || !isStation(macHigh, macLow)) return;
    const isNew = state === INCOMPLETE || state === FAILED;
    if (!isNew && !override && !this.#isAt(neighbour, macHigh, macLow)) {
      if (state === REACHABLE) this.#enter(neighbour, STALE, nowMs);
      return;
    }
    if (!solicited) {
      this.#correct(neighbour, macHigh, macLow, nowMs);
      return;
    }
    this.#setMac(neighbour, macHigh, macLow);
    this.#enter(neighbour, REACHABLE, nowMs);
  }

  /** The neighbour has answered us without naming its MAC address: what is known is confirmed. */
  confirmed(neighbour: number, nowMs: number): void {
    const state = this.state[neighbour];
    if (state !== INCOMPLETE && state !== FAILED && state !== STATIC) this.#enter(neighbour, REACHABLE, nowMs);
  }

  /** Whether an answer of the neighbour's is awaited: one that comes is an answer to us. */
  isAsked(neighbour: number): boolean {
    const state = this.state[neighbour];
    return state === INCOMPLETE || state === PROBE;
  }

  /** Configures a neighbour. False: the MAC address is no station's, or there is no room. */
  setStatic(interfaceIndex: number, address: IpAddress, mac: MacAddress, nowMs: number): boolean {
    if (!isStation(mac.high, mac.low)) return false;
    const { w0, w1, w2, w3 } = address;
    let neighbour = this.#index.find(interfaceIndex, w0, w1, w2, w3);
    if (neighbour === NO_ROW) {
      neighbour = this.#make(interfaceIndex, w0, w1, w2, w3, STALE, WAY_FOR_NEED, nowMs);
      if (neighbour === NO_NEIGHBOUR) return false;
    }
    this.#setMac(neighbour, mac.high, mac.low);
    this.#enter(neighbour, STATIC, nowMs);
    return true;
  }

  /** Forgets a neighbour, a configured one too; false when it is not known. */
  remove(interfaceIndex: number, address: IpAddress): boolean {
    const neighbour = this.#index.find(interfaceIndex, address.w0, address.w1, address.w2, address.w3);
    if (neighbour === NO_ROW) return false;
    this.#forget(neighbour);
    return true;
  }

  /** Forgets what was learnt on the interface, and with `staticToo` what was configured. Returns how many were forgotten. */
  flush(interfaceIndex: number, staticToo: boolean = false): number {
    const before = this.#index.count;
    for (let state = 0; state < STATES && this.countOn(interfaceIndex) > 0; state++) {
      const list = interfaceIndex * STATES + state;
      while ((state !== STATIC || staticToo) && this.#oldest[list] !== NO_NEIGHBOUR) this.#forget(this.#oldest[list]);
    }
    return before - this.#index.count;
  }

  /** Lets time pass: to be called once a second. */
  tick(nowMs: number): void {
    for (let interfaceIndex = 0; interfaceIndex < this.#countOn.length; interfaceIndex++) {
      if (this.#countOn[interfaceIndex] === 0) continue;
      for (let state = 0; state < STATES; state++) this.#tickList(interfaceIndex * STATES + state, state, nowMs);
    }
  }

  /** All neighbours, or those of one interface (an index that there is not has none): by interface, by state, the oldest first. */
  list(nowMs: number, interfaceIndex?: number): NeighbourEntry[] {
    const entries: NeighbourEntry[] = [];
    const first = Math.max(interfaceIndex ?? 0, 0);
    const end = interfaceIndex === undefined ? this.#countOn.length : interfaceIndex + 1;
    for (let list = first * STATES; list < Math.min(end * STATES, this.#oldest.length); list++) {
      for (let at = this.#oldest[list]; at !== NO_NEIGHBOUR; at = this.#newer[at]) entries.push(this.#entry(at, nowMs));
    }
    return entries;
  }

  #entry(neighbour: number, nowMs: number): NeighbourEntry {
    const word = (i: number): number => this.#index.word(neighbour, i);
    const { state, macHigh, macLow } = this;
    const isKnown = (macHigh[neighbour] | macLow[neighbour]) !== 0;
    return {
      interfaceIndex: this.interfaceIndex(neighbour),
      address: new IpAddress(word(0), word(1), word(2), word(3)),
      mac: isKnown ? new MacAddress(macHigh[neighbour], macLow[neighbour]) : undefined,
      state: NEIGHBOUR_STATE_NAMES[state[neighbour]],
      ageMs: nowMs - this.#sinceMs[neighbour],
    };
  }

  /** What is due of one list. Whoever is asked again goes to its end, so each is seen once. */
  #tickList(list: number, state: number, nowMs: number): void {
    const dueMs = nowMs - LASTS_MS[state];
    let neighbour = this.#oldest[list];
    while (neighbour !== NO_NEIGHBOUR && this.#sinceMs[neighbour] <= dueMs) {
      if (!this.#isOver(neighbour, state, nowMs)) return;
      neighbour = this.#oldest[list];
    }
  }

  /** The time of its state is over. False: it is to be tried again in a second, and so are those behind it. */
  #isOver(neighbour: number, state: number, nowMs: number): boolean {
    switch (state) {
      case REACHABLE:
        this.#enter(neighbour, STALE, nowMs);
        return true;
      case DELAY:
        return this.#ask(neighbour, PROBE, 0, nowMs);
      case INCOMPLETE:
      case PROBE:
        if (this.#solicitations[neighbour] >= SOLICITATIONS_MAX) this.#enter(neighbour, FAILED, nowMs);
        else return this.#ask(neighbour, state, this.#solicitations[neighbour], nowMs);
        return true;
      default:
        this.#forget(neighbour);
        return true;
    }
  }

  #ask(neighbour: number, state: number, asked: number, nowMs: number): boolean {
    this.#enter(neighbour, state, nowMs);
    const sent = this.#events.solicit(neighbour);
    this.#solicitations[neighbour] = sent ? asked + 1 : asked;
    return sent;
  }

  /** It said where it is, not as an answer. What is new has still to be checked, when it is used: what waits for it is a use. */
  #correct(neighbour: number, macHigh: number, macLow: number, nowMs: number): void {
    const state = this.state[neighbour];
    if (state === STATIC || (state !== FAILED && this.#isAt(neighbour, macHigh, macLow))) return;
    if (state !== INCOMPLETE && state !== FAILED) this.moved++;
    this.#setMac(neighbour, macHigh, macLow);
    this.#enter(neighbour, state === INCOMPLETE ? DELAY : STALE, nowMs);
  }

  #isAt(neighbour: number, macHigh: number, macLow: number): boolean {
    return this.macLow[neighbour] === macLow && this.macHigh[neighbour] === macHigh;
  }

  #setMac(neighbour: number, macHigh: number, macLow: number): void {
    this.macHigh[neighbour] = macHigh;
    this.macLow[neighbour] = macLow;
  }

  #enter(neighbour: number, state: number, nowMs: number): void {
    const wasUsable = this.isUsable(neighbour);
    this.#unlink(neighbour);
    this.state[neighbour] = state;
    this.#append(neighbour, nowMs);
    if (state === FAILED) this.#setMac(neighbour, 0, 0);
    if (isUsableState(state)) this.#events.usable(neighbour);
    else if (wasUsable) this.#events.unusable(neighbour);
    if (state === FAILED) this.#events.failed(neighbour);
  }

  #make(
    interfaceIndex: number,
    w0: number,
    w1: number,
    w2: number,
    w3: number,
    state: number,
    way: readonly number[],
    nowMs: number,
  ): number {
    this.#growInterfaces(interfaceIndex);
    if (!this.#makeRoom(interfaceIndex, way)) {
      this.refused++;
      return NO_NEIGHBOUR;
    }
    const made = this.#index.insert(interfaceIndex, w0, w1, w2, w3);
    if (this.#index.capacity > this.state.length) this.#growColumns();
    if (this.#countOn[interfaceIndex]++ === 0) this.#interfaces++;
    this.state[made] = state;
    this.#setMac(made, 0, 0);
    this.#solicitations[made] = 0;
    this.#append(made, nowMs);
    return made;
  }

  #makeRoom(interfaceIndex: number, way: readonly number[]): boolean {
    const isCrowded = this.#countOn[interfaceIndex] >= this.#perInterfaceMax;
    if (!isCrowded && !this.#index.isFull) return true;
    const from = isCrowded ? interfaceIndex : this.#fullest(interfaceIndex);
    for (let i = 0; i < way.length; i++) {
      const oldest = this.#oldest[from * STATES + way[i]];
      if (oldest === NO_NEIGHBOUR) continue;
      this.evicted++;
      this.#forget(oldest);
      return true;
    }
    return false;
  }

  /** The interface that has to give when the whole table is full: this one, when it has its share of the table, or that which has most. */
  #fullest(interfaceIndex: number): number {
    if (this.#countOn[interfaceIndex] * this.#interfaces >= this.#max) return interfaceIndex;
    let fullest = interfaceIndex;
    for (let i = 0; i < this.#countOn.length; i++) if (this.#countOn[i] > this.#countOn[fullest]) fullest = i;
    return fullest;
  }

  #forget(neighbour: number): void {
    const interfaceIndex = this.interfaceIndex(neighbour);
    if (this.isUsable(neighbour)) this.#events.unusable(neighbour);
    this.#events.removed(neighbour);
    this.#unlink(neighbour);
    this.#index.remove(neighbour);
    if (--this.#countOn[interfaceIndex] === 0) this.#interfaces--;
  }

  #append(neighbour: number, nowMs: number): void {
    const list = this.interfaceIndex(neighbour) * STATES + this.state[neighbour];
    const newest = this.#newest[list];
    this.#sinceMs[neighbour] = nowMs;
    this.#older[neighbour] = newest;
    this.#newer[neighbour] = NO_NEIGHBOUR;
    if (newest === NO_NEIGHBOUR) this.#oldest[list] = neighbour;
    else this.#newer[newest] = neighbour;
    this.#newest[list] = neighbour;
  }

  #unlink(neighbour: number): void {
    const list = this.interfaceIndex(neighbour) * STATES + this.state[neighbour];
    const older = this.#older[neighbour];
    const newer = this.#newer[neighbour];
    if (older === NO_NEIGHBOUR) this.#oldest[list] = newer;
    else this.#newer[older] = newer;
    if (newer === NO_NEIGHBOUR) this.#newest[list] = older;
    else this.#older[newer] = older;
  }

  #growColumns(): void {
    const { capacity } = this.#index;
    this.state = grown(this.state, new Uint8Array(capacity));
    this.macHigh = grown(this.macHigh, new Uint16Array(capacity));
    this.macLow = grown(this.macLow, new Int32Array(capacity));
    this.#solicitations = grown(this.#solicitations, new Uint8Array(capacity));
    this.#sinceMs = grown(this.#sinceMs, new Float64Array(capacity));
    this.#older = grown(this.#older, new Int32Array(capacity));
    this.#newer = grown(this.#newer, new Int32Array(capacity));
  }

  #growInterfaces(interfaceIndex: number): void {
    let capacity = this.#countOn.length;
    if (interfaceIndex < capacity) return;
    while (capacity <= interfaceIndex) capacity *= 2;
    this.#countOn = grown(this.#countOn, new Int32Array(capacity));
    this.#oldest = grown(this.#oldest, new Int32Array(capacity * STATES).fill(NO_NEIGHBOUR));
    this.#newest = grown(this.#newest, new Int32Array(capacity * STATES).fill(NO_NEIGHBOUR));
  }
}

/** A MAC address that one host can have: no group's, and not zero. */
export function isStation(macHigh: number, macLow: number): boolean {
  return (macHigh & 0x100) === 0 && (macHigh | macLow) !== 0;
}

function isUsableState(state: number): boolean {
  return state === REACHABLE || state === DELAY || state === PROBE || state === STATIC;
}
