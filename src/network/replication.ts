/**
 * What workers know of the network, as updates (`worker-messages.ts`): everything for one that begins, and each change for those that are there. While there is none, nothing
 * is looked at.
 *
 * What is configured is told when a part of the configuration has been made, changed or taken away: not what was done, but how the thing is now, so telling it twice does no
 * harm. Stations and neighbours are learnt in turns; their changes are gathered and told together, behind the turn, but before any part that comes after them.
 */
import type { IpPrefix } from '../base/address.ts';
import type { Contents } from '../config/parts.ts';
import { ADJACENCY, ADJACENCY_ADDRESS_WORDS } from '../forward/adjacency.ts';
import { Breather } from './change-line.ts';
import type { DataPlane } from './data-plane.ts';
import { carries, isDevice, type Port } from './port.ts';
import type { AddressWords, HopUpdate, InterfaceUpdate, PrefixWords, Update } from './worker-messages.ts';

/** Told to one that follows. */
export type Follower = (updates: readonly Update[]) => void;

/** Updates in one message, while everything is told. */
const BATCH = 512;
const NONE = -1;

export class Replication {
  readonly #plane: DataPlane;
  /** Bridges by name. */
  readonly #bridges: () => ReadonlyMap<string, number>;
  readonly #followers: Set<Follower> = new Set();
  /** Numbers by name, of what was told: when a thing is gone nobody else has its number. */
  readonly #interfaceIndexes: Map<string, number> = new Map();
  readonly #bridgeNumbers: Map<string, number> = new Map();
  /** Learnt, and not told yet. */
  #learnt: Update[] = [];
  #stations: number[] = [];
  #flushing: NodeJS.Immediate | undefined;

  constructor(plane: DataPlane, bridges: () => ReadonlyMap<string, number>) {
    this.#plane = plane;
    this.#bridges = bridges;
  }

  /** Tells all that there is, and from then on what changes. No part of the configuration may change until it has. */
  async follow(follower: Follower): Promise<void> {
    const breather = new Breather();
    let batch: Update[] = [];
    for (const update of this.#configured()) {
      batch.push(update);
      if (batch.length < BATCH) continue;
      follower(batch);
      batch = [];
      await breather.breathe();
    }
    follower(batch);
    // What was learnt before is told to those who were there before.
    this.#flush();
    follower(this.#known());
    this.#followers.add(follower);
    this.#listen();
  }

  leave(follower: Follower): void {
    this.#followers.delete(follower);
    if (this.#followers.size === 0) this.#stopListening();
  }

  /** A part has been made, changed or taken away. */
  partChanged(part: Contents): void {
    if (this.#followers.size === 0) return;
    const updates = [...this.#updatesOf(part)];
    if (updates.length === 0) return;
    this.#flush();
    this.#tell(updates);
  }

  *#updatesOf(part: Contents): Generator<Update, void, undefined> {
    switch (part.kind) {
      case 'bridge':
        yield this.#bridge(part.bridge);
        break;
      case 'tap':
      case 'stream':
      case 'datagram':
      case 'vhost-user':
      case 'vlan':
      case 'bvi':
      case 'member':
      case 'up':
        yield* this.#interfaces(part.interface);
        break;
      case 'address':
        yield this.#address(part.interface, part.address);
        break;
      case 'route':
        yield this.#route(part.to);
        break;
    }
  }

  *#configured(): Generator<Update, void, undefined> {
    const { ports, forwarding } = this.#plane;
    for (const name of this.#bridges().keys()) yield this.#bridge(name);
    for (const port of ports) yield this.#interface(port);
    for (const { index } of ports) {
      for (const prefix of forwarding.addresses.list(index)) {
        yield { kind: 'address', index, prefix: prefixWords(prefix) };
      }
    }
    for (const family of ['ipv4', 'ipv6'] as const) {
      for (const { to, origin } of forwarding.routes.routes(family)) if (origin === 'configured') yield this.#route(to);
    }
  }

  /** What has been learnt so far. */
  #known(): Update[] {
    const { l2fib } = this.#plane.forwarding;
    const words = l2fib.entries().flatMap(({ bridge, mac, interfaceIndex, heardS }) => {
      return [bridge, mac.high, mac.low, interfaceIndex, heardS === undefined ? 1 : 0];
    });
    const updates: Update[] = [{ kind: 'stations', words: Int32Array.from(words) }];
    const { table } = this.#plane.wiring.resolver;
    for (let neighbour = 0; neighbour < table.capacity; neighbour++) {
      if (this.#isComplete(neighbour)) updates.push(this.#neighbour(neighbour));
    }
    return updates;
  }

  #bridge(name: string): Update {
    const bridge = this.#bridges().get(name);
    if (bridge === undefined) {
      const gone = this.#bridgeNumbers.get(name) ?? NONE;
      this.#bridgeNumbers.delete(name);
      return { kind: 'no-bridge', bridge: gone };
    }
    this.#bridgeNumbers.set(name, bridge);
    return { kind: 'bridge', bridge, learn: this.#plane.forwarding.bridges.learn[bridge] === 1 };
  }

  /** An interface, and its sub-interfaces, which follow it. */
  *#interfaces(name: string): Generator<Update, void, undefined> {
    const port = this.#plane.ports.find(name);
    if (port === undefined) {
      yield { kind: 'no-interface', index: this.#interfaceIndexes.get(name) ?? NONE };
      this.#interfaceIndexes.delete(name);
      return;
    }
    yield this.#interface(port);
    if (isDevice(port)) for (const sub of this.#plane.ports.under(port)) yield this.#interface(sub);
  }

  #interface(port: Port): InterfaceUpdate {
    const { interfaces } = this.#plane.forwarding;
    const { index, name } = port;
    this.#interfaceIndexes.set(name, index);
    return {
      kind: 'interface',
      ...{ index, name, up: carries(port) },
      ...{ macHigh: interfaces.macHigh[index]!, macLow: interfaces.macLow[index]!, mtu: interfaces.mtu[index]! },
      promiscuous: interfaces.promiscuous[index] === 1,
      bridge: interfaces.bridge[index]!,
      isBvi: port.kind === 'bvi',
      splitHorizonGroup: interfaces.splitHorizonGroup[index]!,
      ...(port.kind === 'vlan' ? { vlan: { parent: port.parent.index, id: port.part.vlan } } : {}),
    };
  }

  #address(name: string, prefix: IpPrefix): Update {
    const index = this.#interfaceIndexes.get(name) ?? NONE;
    const { w0, w1, w2, w3 } = prefix.address;
    const isThere = this.#plane.forwarding.addresses.isOn(index, w0, w1, w2, w3);
    return { kind: isThere ? 'address' : 'no-address', index, prefix: prefixWords(prefix) };
  }

  #route(to: IpPrefix): Update {
    const { forwarding } = this.#plane;
    const value = forwarding.routes.configured(to);
    if (value === NONE) return { kind: 'no-route', to: prefixWords(to) };
    const hops = forwarding.nextHops(value).map(({ adjacency, weight }) => this.#hop(adjacency, weight));
    return { kind: 'route', to: prefixWords(to), hops };
  }

  #hop(adjacency: number, weight: number): HopUpdate {
    const { kind, interfaceIndex, address } = this.#plane.forwarding.adjacencies;
    const at = adjacency * ADJACENCY_ADDRESS_WORDS;
    const words: AddressWords = [address[at]!, address[at + 1]!, address[at + 2]!, address[at + 3]!];
    return { kind: HOP_KINDS[kind[adjacency]!] ?? 'drop', words, interfaceIndex: interfaceIndex[adjacency]!, weight };
  }

  #isComplete(neighbour: number): boolean {
    const { adjacencies } = this.#plane.forwarding;
    const adjacency = this.#plane.wiring.resolver.adjacency(neighbour);
    return adjacency >= 0 && adjacencies.has(adjacency) && adjacencies.complete[adjacency] === 1;
  }

  #neighbour(neighbour: number): Update {
    const { table } = this.#plane.wiring.resolver;
    const word = (i: number): number => table.word(neighbour, i);
    const words: AddressWords = [word(0), word(1), word(2), word(3)];
    const index = table.interfaceIndex(neighbour);
    return {
      ...{ kind: 'neighbour', neighbour, index, words },
      ...{ macHigh: table.macHigh[neighbour]!, macLow: table.macLow[neighbour]! },
    };
  }

  #listen(): void {
    const { forwarding, wiring } = this.#plane;
    forwarding.l2fib.listener = (bridge, high, low, index, isStatic) => {
      this.#stations.push(bridge, high, low, index, isStatic ? 1 : 0);
      this.#flushSoon();
    };
    wiring.resolver.adjacencyListener = {
      complete: (neighbour) => this.#learn(this.#neighbour(neighbour)),
      incomplete: (neighbour) => this.#learn({ kind: 'incomplete-neighbour', neighbour }),
      forgotten: (neighbour) => this.#learn({ kind: 'no-neighbour', neighbour }),
    };
  }

  #stopListening(): void {
    this.#plane.forwarding.l2fib.listener = undefined;
    this.#plane.wiring.resolver.adjacencyListener = undefined;
    clearImmediate(this.#flushing);
    this.#flushing = undefined;
    this.#learnt = [];
    this.#stations = [];
  }

  #learn(update: Update): void {
    this.#learnt.push(update);
    this.#flushSoon();
  }

  #flushSoon(): void {
    this.#flushing ??= setImmediate(() => this.#flush());
  }

  #flush(): void {
    clearImmediate(this.#flushing);
    this.#flushing = undefined;
    const updates = this.#learnt;
    // Stations and neighbours do not depend on each other.
    if (this.#stations.length > 0) updates.push({ kind: 'stations', words: Int32Array.from(this.#stations) });
    this.#learnt = [];
    this.#stations = [];
    if (updates.length > 0) this.#tell(updates);
  }

  #tell(updates: readonly Update[]): void {
    for (const follower of this.#followers) follower(updates);
  }
}

const HOP_KINDS: Readonly<Record<number, HopUpdate['kind']>> = {
  [ADJACENCY.GLEAN]: 'interface',
  [ADJACENCY.NEIGHBOUR]: 'address',
  [ADJACENCY.UPLINK]: 'uplink',
};

function prefixWords({ address: { w0, w1, w2, w3 }, length }: IpPrefix): PrefixWords {
  return { words: [w0, w1, w2, w3], length };
}
