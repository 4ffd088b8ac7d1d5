/**
 * Neighbour resolution, put together: the table of neighbours, the packets that wait for them, the questions, and the adjacencies that rewriting uses.
 *
 * A packet for a neighbour that has not answered is copied out of the arena (`hold`). When the answer comes, or none does, what waits is brought
 * back by `deliver`, in order and once, for who calls it to send through `ip4-rewrite` or `ip4-error`: not at once, since a node that is deciding cannot
 * enter the graph anew. Packets that come in the same frame as the answer may so overtake those that waited.
 *
 * A usable neighbour has an adjacency, complete, for which the table holds a reference; one that was used once keeps it, incomplete, while it is not.
 *
 * Contract: `deliver` is called when the graph has run, again as long as it returns true and room was made in between; `tick` once a second, where packets may
 * be emitted; `flush` before an interface goes.
 */
import { isIpv4Words, MacAddress } from '../base/address.ts';
import { grown } from '../base/column.ts';
import type { TurnClock } from '../base/turn-clock.ts';
import { NO_ROW } from '../forward/address-index.ts';
import { ADJACENCY, type AdjacencyTable, NO_ADJACENCY } from '../forward/adjacency.ts';
import type { InterfaceAddresses } from '../forward/interface-addresses.ts';
import type { InterfaceTable } from '../forward/interface-table.ts';
import { NEIGHBOUR_STATE, type NeighbourEvents, NeighbourTable, NO_NEIGHBOUR } from '../forward/neighbour-table.ts';
import { PacketStore } from '../forward/packet-store.ts';
import type { Emitter } from '../graph/node.ts';
import { REASON } from '../graph/reasons.ts';
import { NO_PACKET, type Packet, type Packets } from '../packet/packets.ts';
import * as ethernet from '../wire/ethernet.ts';
import { arpRequest, neighborSolicitation, neighborSolicitationTo } from './solicitation.ts';

/** Gathers packets that have waited, to run the graph when `deliver` has returned and not before. Their `adjacency` or their `reason` is set. */
export interface ReleasedPackets {
  /** For `ip4-rewrite` or `ip6-rewrite`: the neighbour has answered. */
  send(packet: Packet, isIpv6: boolean): void;
  /** For `ip4-error` or `ip6-error`: nobody has. */
  refuse(packet: Packet, isIpv6: boolean): void;
}

/** Hears what becomes of adjacencies: who keeps a copy of them (`network/replication.ts`). */
export interface AdjacencyListener {
  /** The neighbour's adjacency is complete, with the MAC address that the table has. */
  complete(neighbour: number): void;
  /** It is not any more. */
  incomplete(neighbour: number): void;
  /** The neighbour is forgotten, and its number will be another's. */
  forgotten(neighbour: number): void;
}

/** What resolution is made for. */
export interface NeighbourDeps {
  readonly packets: Packets;
  readonly interfaces: InterfaceTable;
  readonly addresses: InterfaceAddresses;
  readonly adjacencies: AdjacencyTable;
  /** Takes our questions. */
  readonly output: Emitter;
  readonly clock: TurnClock;
}

/** Who is told of neighbours that come and go: not of each question and answer. */
export interface NeighbourListener {
  /** It has answered, or has spoken to us, and was not known before. */
  found(neighbour: number): void;
  /** It was known, and does not answer any more. */
  lost(neighbour: number): void;
}

export class NeighbourResolver implements NeighbourEvents {
  readonly table: NeighbourTable;
  readonly store: PacketStore;
  listener: NeighbourListener | undefined;
  /** Questions sent. */
  solicitations: number = 0;
  /** At most one. */
  adjacencyListener: AdjacencyListener | undefined = undefined;
  readonly #deps: NeighbourDeps;
  /** By neighbour: its adjacency, `NO_ADJACENCY` where it was never used. */
  #adjacency: Int32Array = new Int32Array(16).fill(NO_ADJACENCY);
  /** Neighbours whose packets wait no longer, as a list; `#isDue`: in it. */
  #nextDue: Int32Array = new Int32Array(16);
  #isDue: Uint8Array = new Uint8Array(16);
  /** Whether it was found, and not lost since. */
  #isFound: Uint8Array = new Uint8Array(16);
  #firstDue: number = NO_ROW;
  #lastDue: number = NO_ROW;
  readonly #source: Int32Array = new Int32Array(4);
  readonly #target: Int32Array = new Int32Array(4);

  constructor(deps: NeighbourDeps, store: PacketStore = new PacketStore(), perInterfaceMax?: number, max?: number) {
    this.#deps = deps;
    this.store = store;
    this.table = new NeighbourTable(this, perInterfaceMax, max);
  }

  /** Milliseconds, as the table counts them. */
  get nowMs(): number {
    return this.#deps.clock.nowUs / 1000;
  }

  /** The adjacency of a usable neighbour; `NO_ADJACENCY` where there was no room for it. */
  adjacency(neighbour: number): number {
    return neighbour < this.#adjacency.length ? this.#adjacency[neighbour] : NO_ADJACENCY;
  }

  /** Lets a packet wait for its neighbour. */
  hold(neighbour: number, packet: Packet): void {
    this.store.put(neighbour, this.#deps.packets, packet);
  }

  tick(): void {
    this.table.tick(this.nowMs);
  }

  /** The interface goes: forgets its neighbours, with all that waits for them. */
  flush(interfaceIndex: number): void {
    this.table.flush(interfaceIndex, true);
  }

  /** Brings back into the arena what waits no longer. True: the arena was full, and there is more. */
  deliver(released: ReleasedPackets): boolean {
    while (this.#firstDue !== NO_ROW) {
      const neighbour = this.#firstDue;
      if (!this.#deliverOf(neighbour, released)) return true;
      this.#removeDue(neighbour);
    }
    return false;
  }

  solicit(neighbour: number): boolean {
    const { interfaces, output, packets } = this.#deps;
    const { table } = this;
    const interfaceIndex = table.interfaceIndex(neighbour);
    // As if it had not been answered: whoever sends there is told in the end.
    if (!interfaces.has(interfaceIndex) || interfaces.up[interfaceIndex] === 0) return true;
    const isIpv4 = isIpv4Words(table.word(neighbour, 0), table.word(neighbour, 1), table.word(neighbour, 2));
    if (!this.#findSource(neighbour, interfaceIndex, isIpv4)) return true;
    const ourMac = new MacAddress(interfaces.macHigh[interfaceIndex], interfaces.macLow[interfaceIndex]);
    const packet = isIpv4
      ? this.#arpRequest(neighbour, interfaceIndex, ourMac)
      : this.#neighborSolicitation(neighbour, interfaceIndex, ourMac);
    if (packet === NO_PACKET) return false;
    this.solicitations++;
    packets.rxInterface[packet] = -1;
    output.emit(packet);
    return true;
  }

  usable(neighbour: number): void {
    const { table } = this;
    const { adjacencies } = this.#deps;
    this.#growTo(neighbour);
    let adjacency = this.#adjacency[neighbour];
    if (adjacency === NO_ADJACENCY) {
      adjacency = adjacencies.acquire(
        ADJACENCY.NEIGHBOUR,
        table.interfaceIndex(neighbour),
        table.word(neighbour, 0),
        table.word(neighbour, 1),
        table.word(neighbour, 2),
        table.word(neighbour, 3),
      );
      this.#adjacency[neighbour] = adjacency;
    }
    if (adjacency !== NO_ADJACENCY && adjacencies.kind[adjacency] === ADJACENCY.NEIGHBOUR) {
      adjacencies.setComplete(adjacency, table.macHigh[neighbour], table.macLow[neighbour]);
      this.adjacencyListener?.complete(neighbour);
    }
    this.#becomeDue(neighbour);
    if (this.#isFound[neighbour] === 1) return;
    this.#isFound[neighbour] = 1;
    this.listener?.found(neighbour);
  }

  unusable(neighbour: number): void {
    const adjacency = this.#adjacency[neighbour];
    if (adjacency === NO_ADJACENCY) return;
    this.#deps.adjacencies.setIncomplete(adjacency);
    this.adjacencyListener?.incomplete(neighbour);
  }

  failed(neighbour: number): void {
    this.#becomeDue(neighbour);
    if (this.#isFound[neighbour] !== 1) return;
    this.#isFound[neighbour] = 0;
    this.listener?.lost(neighbour);
  }

  removed(neighbour: number): void {
    this.store.drop(neighbour);
    if (neighbour >= this.#adjacency.length) return;
    this.#isFound[neighbour] = 0;
    this.#removeDue(neighbour);
    const adjacency = this.#adjacency[neighbour];
    if (adjacency === NO_ADJACENCY) return;
    this.#adjacency[neighbour] = NO_ADJACENCY;
    this.#deps.adjacencies.release(adjacency);
    this.adjacencyListener?.forgotten(neighbour);
  }

  #deliverOf(neighbour: number, released: ReleasedPackets): boolean {
    const { packets } = this.#deps;
    const { store, table } = this;
    const isIpv6 = !isIpv4Words(table.word(neighbour, 0), table.word(neighbour, 1), table.word(neighbour, 2));
    while (store.countOf(neighbour) > 0) {
      const adjacency = this.#usableAdjacency(neighbour);
      const packet = store.take(neighbour, packets);
      if (packet === NO_PACKET) return false;
      packets.adjacency[packet] = adjacency;
      if (adjacency === NO_ADJACENCY) {
        packets.reason[packet] = REASON['host-unreachable'];
        released.refuse(packet, isIpv6);
      } else {
        released.send(packet, isIpv6);
      }
    }
    return true;
  }

  /** It may have gone STALE since it answered: what is sent there now is a use. */
  #usableAdjacency(neighbour: number): number {
    const { table } = this;
    if (table.state[neighbour] === NEIGHBOUR_STATE.STALE) {
      const word = (i: number): number => table.word(neighbour, i);
      table.use(table.interfaceIndex(neighbour), word(0), word(1), word(2), word(3), this.nowMs);
    }
    return table.isUsable(neighbour) ? this.adjacency(neighbour) : NO_ADJACENCY;
  }

  #findSource(neighbour: number, interfaceIndex: number, isIpv4: boolean): boolean {
    const { addresses } = this.#deps;
    const target = this.#target;
    for (let i = 0; i < 4; i++) target[i] = this.table.word(neighbour, i);
    if (!isIpv4) return addresses.ipv6On(interfaceIndex, target[0], target[1], target[2], target[3], this.#source);
    this.#source[3] = addresses.ipv4On(interfaceIndex, target[3]);
    return this.#source[3] !== 0;
  }

  #arpRequest(neighbour: number, interfaceIndex: number, ourMac: MacAddress): Packet {
    const { packets } = this.#deps;
    const isDirect = this.table.state[neighbour] === NEIGHBOUR_STATE.PROBE;
    const high = isDirect ? this.table.macHigh[neighbour] : ethernet.BROADCAST_HIGH;
    const low = isDirect ? this.table.macLow[neighbour] : ethernet.BROADCAST_LOW;
    return arpRequest(packets, interfaceIndex, ourMac, this.#source[3], this.#target[3], high, low);
  }

  #neighborSolicitation(neighbour: number, interfaceIndex: number, ourMac: MacAddress): Packet {
    const { packets } = this.#deps;
    const source = this.#source;
    const target = this.#target;
    if (this.table.state[neighbour] !== NEIGHBOUR_STATE.PROBE) {
      return neighborSolicitation(packets, interfaceIndex, ourMac, source, target);
    }
    const high = this.table.macHigh[neighbour];
    const low = this.table.macLow[neighbour];
    return neighborSolicitationTo(packets, interfaceIndex, ourMac, source, target, high, low);
  }

  #becomeDue(neighbour: number): void {
    if (this.store.countOf(neighbour) === 0) return;
    this.#growTo(neighbour);
    if (this.#isDue[neighbour] === 1) return;
    this.#isDue[neighbour] = 1;
    this.#nextDue[neighbour] = NO_ROW;
    if (this.#firstDue === NO_ROW) this.#firstDue = neighbour;
    else this.#nextDue[this.#lastDue] = neighbour;
    this.#lastDue = neighbour;
  }

  #removeDue(neighbour: number): void {
    if (this.#isDue[neighbour] === 0) return;
    this.#isDue[neighbour] = 0;
    let before = NO_NEIGHBOUR;
    for (let at = this.#firstDue; at !== neighbour; at = this.#nextDue[at]) before = at;
    if (before === NO_NEIGHBOUR) this.#firstDue = this.#nextDue[neighbour];
    else this.#nextDue[before] = this.#nextDue[neighbour];
    if (this.#lastDue === neighbour) this.#lastDue = before;
  }

  #growTo(neighbour: number): void {
    if (neighbour < this.#adjacency.length) return;
    const { capacity } = this.table;
    this.#adjacency = grown(this.#adjacency, new Int32Array(capacity).fill(NO_ADJACENCY));
    this.#nextDue = grown(this.#nextDue, new Int32Array(capacity));
    this.#isDue = grown(this.#isDue, new Uint8Array(capacity));
    this.#isFound = grown(this.#isFound, new Uint8Array(capacity));
  }
}
