/**
 * A worker's copy of the forwarding tables, kept by updates (`worker-messages.ts`). The tables are of the same classes as the main thread's, so that the same nodes read
 * them; numbers of interfaces and bridges are the same, those of adjacencies and routes are its own.
 *
 * A neighbour is complete here while it is complete there and frames can leave by its interface here: then packets for it go on, and all others are the main thread's, which
 * asks, waits and notices use. A bridge's own leg has no link,
 * so what leaves by it is never ours.
 */
import { IpAddress, type IpPrefix, MacAddress } from '../base/address.ts';
import { assert } from '../base/assert.ts';
import { ADJACENCY, NO_ADJACENCY } from '../forward/adjacency.ts';
import type { Forwarding } from './forwarding.ts';
import type { AddressWords, InterfaceUpdate, NeighbourUpdate, PrefixWords, Update } from './worker-messages.ts';
import { STATION_WORDS } from './worker-messages.ts';

const NONE = -1;

interface Neighbour extends NeighbourUpdate {
  readonly adjacency: number;
  usable: boolean;
}

export class Replica {
  readonly forwarding: Forwarding;
  /** Interfaces that frames can leave by. */
  readonly #linked: Set<number> = new Set();
  readonly #neighbours: Map<number, Neighbour> = new Map();
  readonly #nowS: () => number;

  constructor(forwarding: Forwarding, nowS: () => number) {
    this.forwarding = forwarding;
    this.#nowS = nowS;
  }

  readonly isLinked = (interfaceIndex: number): boolean => this.#linked.has(interfaceIndex);

  /** Whether frames can leave by the interface. */
  setLinked(interfaceIndex: number, linked: boolean): void {
    if (linked) this.#linked.add(interfaceIndex);
    else this.#linked.delete(interfaceIndex);
    for (const neighbour of this.#neighbours.values()) {
      if (neighbour.index === interfaceIndex) this.#complete(neighbour);
    }
  }

  apply(update: Update): void {
    const { forwarding } = this;
    switch (update.kind) {
      case 'interface':
        this.#setInterface(update);
        break;
      case 'no-interface':
        this.#removeInterface(update.index);
        break;
      case 'bridge':
        if (!forwarding.bridges.has(update.bridge)) forwarding.bridges.add(update.bridge);
        forwarding.bridges.learn[update.bridge] = update.learn ? 1 : 0;
        break;
      case 'no-bridge':
        if (forwarding.bridges.has(update.bridge)) forwarding.bridges.remove(update.bridge);
        break;
      case 'address':
        this.#addAddress(update.index, update.prefix);
        break;
      case 'no-address':
        if (this.#hasAddress(update.index, update.prefix)) {
          forwarding.removeAddress(update.index, prefixOf(update.prefix));
        }
        break;
      case 'route':
        this.#setRoute(update);
        break;
      case 'no-route':
        if (this.#hasRoute(update.to)) forwarding.removeRoute(prefixOf(update.to));
        break;
      case 'neighbour':
        this.#setNeighbour(update);
        break;
      case 'incomplete-neighbour':
        this.#withNeighbour(update.neighbour, (neighbour) => {
          neighbour.usable = false;
          this.#complete(neighbour);
        });
        break;
      case 'no-neighbour':
        this.#withNeighbour(update.neighbour, (neighbour) => this.#forget(neighbour));
        break;
      case 'stations':
        this.#setStations(update.words);
        break;
    }
  }

  /** Calls `visit` with each neighbour that has an adjacency. */
  visitNeighbours(visit: (neighbour: number, adjacency: number) => void): void {
    for (const { neighbour, adjacency } of this.#neighbours.values()) visit(neighbour, adjacency);
  }

  #setInterface(update: InterfaceUpdate): void {
    const { forwarding } = this;
    const { interfaces } = forwarding;
    const { index, macHigh, macLow } = update;
    if (!interfaces.has(index)) {
      interfaces.skipTo(index);
      const made = forwarding.addInterface(new MacAddress(macHigh, macLow), update.mtu);
      assert(made.ok && made.value === index, 'a number that is given there is free here');
      if (update.vlan !== undefined) forwarding.vlans.add(update.vlan.parent, update.vlan.id, index);
    }
    if (interfaces.macHigh[index] !== macHigh || interfaces.macLow[index] !== macLow) {
      forwarding.setMac(index, new MacAddress(macHigh, macLow));
    }
    interfaces.mtu[index] = update.mtu;
    interfaces.promiscuous[index] = update.promiscuous ? 1 : 0;
    this.#setBridge(update);
    // The stations behind it come and go by updates of their own.
    interfaces.up[index] = update.up ? 1 : 0;
  }

  #setBridge({ index, bridge, isBvi, splitHorizonGroup }: InterfaceUpdate): void {
    const { bridges, interfaces } = this.forwarding;
    if (interfaces.bridge[index] !== bridge) {
      this.#leaveBridge(index);
      if (bridge !== NONE && isBvi) bridges.setBvi(bridge, index);
      else if (bridge !== NONE) bridges.addMember(bridge, index, splitHorizonGroup);
    }
    interfaces.splitHorizonGroup[index] = splitHorizonGroup;
  }

  #leaveBridge(index: number): void {
    const { bridges, interfaces } = this.forwarding;
    const bridge = interfaces.bridge[index]!;
    if (bridge === NONE) return;
    if (bridges.isBvi(index)) bridges.setBvi(bridge, NONE);
    else bridges.removeMember(index);
  }

  #removeInterface(index: number): void {
    const { forwarding } = this;
    if (!forwarding.interfaces.has(index)) return;
    this.#leaveBridge(index);
    const own = forwarding.vlans.entries().find(({ subInterface }) => subInterface === index);
    if (own !== undefined) forwarding.vlans.remove(own.parent, own.vlan);
    forwarding.removeInterface(index);
  }

  #addAddress(index: number, words: PrefixWords): void {
    if (this.#hasAddress(index, words)) return;
    const added = this.forwarding.addAddress(index, prefixOf(words));
    assert(added.ok, 'what is there has room here');
  }

  #hasAddress(index: number, { words: [w0, w1, w2, w3] }: PrefixWords): boolean {
    return this.forwarding.addresses.isOn(index, w0, w1, w2, w3);
  }

  #setRoute({ to, hops }: Extract<Update, { kind: 'route' }>): void {
    const forwardingHops = hops.map(({ kind, words, interfaceIndex, weight }) => ({
      ...{ kind, weight, address: addressOf(words) },
      interfaceIndex: interfaceIndex === NONE ? undefined : interfaceIndex,
    }));
    const prefix = prefixOf(to);
    const done = this.#hasRoute(to)
      ? this.forwarding.changeRoute(prefix, forwardingHops)
      : this.forwarding.addRoute(prefix, forwardingHops);
    assert(done.ok, 'what is there has room here');
  }

  #hasRoute(to: PrefixWords): boolean {
    return this.forwarding.routes.configured(prefixOf(to)) !== NONE;
  }

  #setNeighbour(update: NeighbourUpdate): void {
    const known = this.#neighbours.get(update.neighbour);
    const adjacency = known?.adjacency ?? this.#acquire(update);
    if (adjacency === NO_ADJACENCY) return;
    const neighbour = { ...update, adjacency, usable: true };
    this.#neighbours.set(update.neighbour, neighbour);
    this.#complete(neighbour);
  }

  #acquire({ index, words: [w0, w1, w2, w3] }: NeighbourUpdate): number {
    return this.forwarding.adjacencies.acquire(ADJACENCY.NEIGHBOUR, index, w0, w1, w2, w3);
  }

  #complete({ adjacency, index, macHigh, macLow, usable }: Neighbour): void {
    const { adjacencies } = this.forwarding;
    if (adjacencies.kind[adjacency] !== ADJACENCY.NEIGHBOUR) return;
    if (usable && this.#linked.has(index)) adjacencies.setComplete(adjacency, macHigh, macLow);
    else adjacencies.setIncomplete(adjacency);
  }

  #forget({ neighbour, adjacency }: Neighbour): void {
    this.forwarding.adjacencies.setIncomplete(adjacency);
    this.forwarding.adjacencies.release(adjacency);
    this.#neighbours.delete(neighbour);
  }

  #withNeighbour(number: number, act: (neighbour: Neighbour) => void): void {
    const neighbour = this.#neighbours.get(number);
    if (neighbour !== undefined) act(neighbour);
  }

  #setStations(words: Int32Array): void {
    const { l2fib } = this.forwarding;
    // Not as heard now and here, which is reported.
    const heardS = Math.max(0, this.#nowS() - UNHEARD_S);
    for (let at = 0; at < words.length; at += STATION_WORDS) {
      const [bridge, high, low, index, isStatic] = words.subarray(at, at + STATION_WORDS) as unknown as number[];
      l2fib.remove(bridge!, high!, low!);
      if (index === NONE) continue;
      if (isStatic === 1) l2fib.setStatic(bridge!, high!, low!, index!);
      else l2fib.learn(bridge!, high!, low!, index!, heardS);
    }
  }
}

/** Longer ago than any report reaches back. */
const UNHEARD_S = 60;

function addressOf([w0, w1, w2, w3]: AddressWords): IpAddress {
  return new IpAddress(w0, w1, w2, w3);
}

function prefixOf({ words, length }: PrefixWords): IpPrefix {
  return { address: addressOf(words), length };
}
