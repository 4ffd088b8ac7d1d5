/**
 * What forwarding between interfaces knows, put together: interfaces and their addresses, routes, adjacencies, neighbours, bridges; and the operations that change them so
 * that they agree with each other. Knows nothing of links, sockets or configurations: `network.ts` has those, `forwarding-wiring.ts` the nodes that read all this.
 *
 * An address brings routes: one to itself (`local`), one to its network (`connected`). An interface with IPv6 addresses has a link-local one besides, made of its MAC address
 * (RFC 4291, appendix A), since neighbours and routers speak from such.
 *
 * Contract: what depends on something goes before it (the plan of `config/plan.ts` sees to that): routes by an interface and its addresses, then the interface.
 */
import {
  formatIpPrefix,
  IpAddress,
  type IpPrefix,
  ipv4Address,
  isIpv4,
  isLinkLocal,
  type MacAddress,
  prefixContains,
} from '../base/address.ts';
import { assert } from '../base/assert.ts';
import { L2_FIB_ENTRIES_MAX } from '../base/limits.ts';
import { failure, type Result, success } from '../base/result.ts';
import { ADJACENCY, ADJACENCY_ADDRESS_WORDS, AdjacencyTable, NO_ADJACENCY } from '../forward/adjacency.ts';
import { BridgeTable } from '../forward/bridge-table.ts';
import { flowSecrets, isGroup, type NextHop, NextHopGroups } from '../forward/ecmp.ts';
import { InterfaceAddresses } from '../forward/interface-addresses.ts';
import { InterfaceTable } from '../forward/interface-table.ts';
import { L2Fib } from '../forward/l2-fib.ts';
import { VlanTable } from '../forward/vlan-table.ts';
import { RouteBase } from './route-base.ts';

/** Where a route leads, as the tables have it: an interface by its index. */
export interface ForwardingHop {
  readonly kind: 'address' | 'interface' | 'uplink' | 'drop';
  readonly address?: IpAddress | undefined;
  readonly interfaceIndex?: number | undefined;
  readonly weight: number;
}

const NONE = -1;

export class Forwarding {
  readonly interfaces: InterfaceTable = new InterfaceTable();
  readonly addresses: InterfaceAddresses = new InterfaceAddresses();
  readonly vlans: VlanTable = new VlanTable();
  readonly adjacencies: AdjacencyTable;
  readonly groups: NextHopGroups = new NextHopGroups();
  /** For `flowHash`. */
  readonly secrets: Int32Array;
  readonly routes: RouteBase;
  readonly l2fib: L2Fib;
  readonly bridges: BridgeTable;

  /** `random` gives 32 bits that nobody can guess. With the same `secrets`, flows choose the same of several next hops. */
  constructor(random: () => number, secrets: Int32Array = flowSecrets(random())) {
    this.adjacencies = new AdjacencyTable(random());
    this.secrets = secrets;
    this.routes = new RouteBase();
    this.l2fib = new L2Fib(L2_FIB_ENTRIES_MAX, random());
    this.bridges = new BridgeTable(this.interfaces, this.l2fib);
  }

  /** A new interface: routed, down. Returns its index. */
  addInterface(mac: MacAddress, mtu: number): Result<number> {
    const index = this.interfaces.add(mac.high, mac.low);
    if (index === NONE) {
      return failure(
        'interfaces-exhausted',
        'no number is left for another interface: numbers are not used again, so the engine has to be started anew',
      );
    }
    this.interfaces.mtu[index] = mtu;
    return success(index);
  }

  /** Nothing depends on the interface any more. */
  removeInterface(index: number): void {
    this.addresses.flush(index);
    this.adjacencies.flush(index);
    this.l2fib.removeAll({ interfaceIndex: index });
    this.interfaces.remove(index);
  }

  /** An interface that goes down forgets the stations behind it. */
  setUp(index: number, up: boolean): void {
    this.interfaces.up[index] = up ? 1 : 0;
    if (!up) this.l2fib.flush({ interfaceIndex: index });
  }

  /** Gives an interface an address, with the routes that come with it; or nothing. */
  addAddress(index: number, prefix: IpPrefix): Result<void> {
    if (!isIpv4(prefix.address)) this.#ensureLinkLocal(index, prefix);
    const added = this.addresses.add(index, prefix);
    if (!added.ok) return added;
    if (isScoped(prefix.address)) return success(undefined);
    const local = this.#addOwnRoute(index, prefix, 'local', hostPrefix(prefix));
    const connected = local.ok && !isHostPrefix(prefix) ? this.#addOwnRoute(index, prefix, 'connected', prefix) : local;
    if (connected.ok) return connected;
    if (local.ok) this.#removeOwnRoute(index, prefix, 'local', hostPrefix(prefix));
    this.addresses.remove(index, prefix.address);
    return connected;
  }

  /** Takes an address that the interface has, with its routes. */
  removeAddress(index: number, prefix: IpPrefix): void {
    const removed = this.addresses.remove(index, prefix.address);
    assert(removed, 'only an address that is there is taken away');
    if (!isScoped(prefix.address)) {
      this.#removeOwnRoute(index, prefix, 'local', hostPrefix(prefix));
      if (!isHostPrefix(prefix)) this.#removeOwnRoute(index, prefix, 'connected', prefix);
    }
    if (!isIpv4(prefix.address)) this.#dropLinkLocal(index);
  }

  addRoute(to: IpPrefix, hops: readonly ForwardingHop[]): Result<void> {
    const value = this.#acquireHops(to, hops);
    if (!value.ok) return value;
    const added = this.routes.add(to, 'configured', value.value);
    if (!added.ok) this.#releaseValue(value.value);
    return added;
  }

  removeRoute(to: IpPrefix): void {
    const value = this.routes.configured(to);
    assert(value !== NONE, 'only a route that is there is removed');
    this.routes.remove(to, 'configured', value);
    this.#releaseValue(value);
  }

  /** Other hops for a route that is there; or it stays as it was. */
  changeRoute(to: IpPrefix, hops: readonly ForwardingHop[]): Result<void> {
    const taken = this.#acquireAll(to, hops);
    if (!taken.ok) return taken;
    const before = this.routes.configured(to);
    if (isGroup(before) && taken.value.length > 1) {
      // In its place, so that flows whose next hop stays keep it.
      const earlier = this.groups.nextHops(before);
      const changed = this.groups.change(before, taken.value);
      this.#releaseAll(changed.ok ? earlier : taken.value);
      return changed;
    }
    const value = this.#valueOf(taken.value);
    if (!value.ok) return value;
    this.removeRoute(to);
    return this.routes.add(to, 'configured', value.value);
  }

  /** Gives an interface another MAC address, and the link-local address that comes of it. */
  setMac(index: number, mac: MacAddress): void {
    const made = this.#madeLinkLocal(index);
    const { w0, w1, w2, w3 } = made;
    const had = this.addresses.isOn(index, w0, w1, w2, w3);
    if (had) this.addresses.remove(index, made);
    this.interfaces.macHigh[index] = mac.high;
    this.interfaces.macLow[index] = mac.low;
    if (had) this.addresses.add(index, { address: this.#madeLinkLocal(index), length: 64 });
  }

  /** Adjacencies that a value stands for, with their weights. */
  nextHops(value: number): readonly NextHop[] {
    return isGroup(value) ? this.groups.nextHops(value) : [{ adjacency: value, weight: 1 }];
  }

  /** The interface on whose connected network an address lies, or -1. */
  interfaceTowards(address: IpAddress): number {
    let best = NONE;
    let bits = NONE;
    for (let index = 0; index < this.interfaces.end; index++) {
      if (!this.interfaces.has(index)) continue;
      for (const prefix of this.addresses.list(index)) {
        if (prefix.length <= bits || isScoped(prefix.address) || !prefixContains(prefix, address)) continue;
        best = index;
        bits = prefix.length;
      }
    }
    return best;
  }

  /** The interface by whose link frames to a station leave, which are sent by an interface; a station that a bridge does not know: its own leg, which has no link. */
  linkTowards(interfaceIndex: number, macHigh: number, macLow: number): number {
    const { bridges, interfaces, l2fib, vlans } = this;
    if (!bridges.isBvi(interfaceIndex)) return vlans.parentOf(interfaceIndex);
    const member = l2fib.find(interfaces.bridge[interfaceIndex]!, macHigh, macLow);
    return member === NONE ? interfaceIndex : vlans.parentOf(member);
  }

  /** The router that packets for an address go to, by this interface, into `out`: four words. False: no route leads there by a router on it. */
  nextHopOn(interfaceIndex: number, w0: number, w1: number, w2: number, w3: number, out: Int32Array): boolean {
    const value = this.routes.lookup(new IpAddress(w0, w1, w2, w3));
    if (value < 0) return false;
    const { kind, address, interfaceIndex: on } = this.adjacencies;
    for (const { adjacency } of this.nextHops(value)) {
      if (kind[adjacency] !== ADJACENCY.NEIGHBOUR || on[adjacency] !== interfaceIndex) continue;
      for (let i = 0; i < 4; i++) out[i] = address[adjacency * ADJACENCY_ADDRESS_WORDS + i]!;
      return true;
    }
    return false;
  }

  #acquireHops(to: IpPrefix, hops: readonly ForwardingHop[]): Result<number> {
    const taken = this.#acquireAll(to, hops);
    return taken.ok ? this.#valueOf(taken.value) : taken;
  }

  #acquireAll(to: IpPrefix, hops: readonly ForwardingHop[]): Result<NextHop[]> {
    const taken: NextHop[] = [];
    for (const hop of hops) {
      const adjacency = this.#acquireHop(to, hop);
      if (!adjacency.ok) {
        this.#releaseAll(taken);
        return adjacency;
      }
      taken.push({ adjacency: adjacency.value, weight: hop.weight });
    }
    return success(taken);
  }

  /** The value for next hops whose references are ours; it has them then, or they are given back. */
  #valueOf(nextHops: readonly NextHop[]): Result<number> {
    const [first, ...others] = nextHops;
    assert(first !== undefined, 'a route has a hop');
    if (others.length === 0) return success(first.adjacency);
    const group = this.groups.create(nextHops);
    if (!group.ok) this.#releaseAll(nextHops);
    return group;
  }

  #releaseAll(nextHops: readonly NextHop[]): void {
    for (const { adjacency } of nextHops) this.adjacencies.release(adjacency);
  }

  #acquireHop(to: IpPrefix, { kind, address, interfaceIndex = NONE }: ForwardingHop): Result<number> {
    switch (kind) {
      case 'uplink':
        // One for each family: they are counted apart.
        return this.#acquire(ADJACENCY.UPLINK, NONE, isIpv4(to.address) ? ANY_IPV4 : ANY);
      case 'drop':
        return this.#acquire(ADJACENCY.DROP, NONE, ANY);
      case 'interface':
        return this.#acquireGlean(to, interfaceIndex);
      case 'address':
        return this.#acquireNeighbour(to, address!, interfaceIndex);
    }
  }

  /** Every address behind the route is asked for on the interface itself: from an address of ours there. */
  #acquireGlean(to: IpPrefix, interfaceIndex: number): Result<number> {
    const own = this.addresses.list(interfaceIndex).find(({ address }) => isIpv4(address) === isIpv4(to.address));
    if (own !== undefined) return this.#acquire(ADJACENCY.GLEAN, interfaceIndex, own.address);
    return failure(
      'route-hop-addressless',
      `the route to ${formatIpPrefix(to)} leads out of an interface that has no address of that family: neighbours there can not be asked. Give it one, or name a next hop`,
    );
  }

  #acquireNeighbour(to: IpPrefix, address: IpAddress, named: number): Result<number> {
    const interfaceIndex = named === NONE ? this.interfaceTowards(address) : named;
    if (interfaceIndex === NONE) {
      return failure(
        'route-hop-unreachable',
        `the route to ${formatIpPrefix(to)} leads to ${address}, which is on none of the networks of our addresses: give an interface an address in its network, or name the interface (${address}%NAME)`,
      );
    }
    return this.#acquire(ADJACENCY.NEIGHBOUR, interfaceIndex, address);
  }

  #acquire(kind: number, interfaceIndex: number, { w0, w1, w2, w3 }: IpAddress): Result<number> {
    const adjacency = this.adjacencies.acquire(kind, interfaceIndex, w0, w1, w2, w3);
    if (adjacency !== NO_ADJACENCY) return success(adjacency);
    return failure('adjacencies-full', 'there is no room for another next hop: remove routes that are not needed');
  }

  #releaseValue(value: number): void {
    const hops = this.nextHops(value);
    this.groups.release(value);
    this.#releaseAll(hops);
  }

  #addOwnRoute(index: number, { address }: IpPrefix, origin: 'local' | 'connected', to: IpPrefix): Result<void> {
    const kind = origin === 'local' ? ADJACENCY.LOCAL : ADJACENCY.GLEAN;
    const adjacency = this.#acquire(kind, index, address);
    if (!adjacency.ok) return adjacency;
    const added = this.routes.add(to, origin, adjacency.value);
    if (!added.ok) this.adjacencies.release(adjacency.value);
    return added;
  }

  #removeOwnRoute(index: number, { address }: IpPrefix, origin: 'local' | 'connected', to: IpPrefix): void {
    const { w0, w1, w2, w3 } = address;
    const kind = origin === 'local' ? ADJACENCY.LOCAL : ADJACENCY.GLEAN;
    const adjacency = this.adjacencies.find(kind, index, w0, w1, w2, w3);
    assert(adjacency !== NO_ADJACENCY, 'an address has its routes');
    this.routes.remove(to, origin, adjacency);
    this.adjacencies.release(adjacency);
  }

  #ensureLinkLocal(index: number, { address }: IpPrefix): void {
    if (isLinkLocal(address) || this.#linkLocalOf(index) !== undefined) return;
    this.addresses.add(index, { address: this.#madeLinkLocal(index), length: 64 });
  }

  /** The address that we made goes with the last one that needed it. */
  #dropLinkLocal(index: number): void {
    const others = this.addresses.list(index).filter(({ address }) => !isIpv4(address));
    const made = this.#madeLinkLocal(index);
    if (others.length === 1 && others[0]!.address.toString() === made.toString()) this.addresses.remove(index, made);
  }

  #linkLocalOf(index: number): IpPrefix | undefined {
    return this.addresses.list(index).find(({ address }) => !isIpv4(address) && isLinkLocal(address));
  }

  /** fe80::/64 and the interface's MAC address as a modified EUI-64. */
  #madeLinkLocal(index: number): IpAddress {
    const high = this.interfaces.macHigh[index]! ^ 0x0200;
    const low = this.interfaces.macLow[index]!;
    return new IpAddress(
      0xfe80_0000 | 0,
      0,
      (high << 16) | ((low >>> 24) << 8) | 0xff,
      (0xfe << 24) | (low & 0xff_ffff),
    );
  }
}

const ANY: IpAddress = new IpAddress(0, 0, 0, 0);
const ANY_IPV4: IpAddress = ipv4Address(0);

/** Link-local IPv6 addresses mean something on their link only: they are in no table of routes. */
function isScoped(address: IpAddress): boolean {
  return !isIpv4(address) && isLinkLocal(address);
}

function hostPrefix({ address }: IpPrefix): IpPrefix {
  return { address, length: isIpv4(address) ? 32 : 128 };
}

function isHostPrefix({ address, length }: IpPrefix): boolean {
  return length === (isIpv4(address) ? 32 : 128);
}
