/** Parts of a configuration that live in the tables of forwarding alone: bridges and their members, addresses, routes, neighbours, sub-interfaces, admin state. */
import { type IpPrefix, isIpv4 } from '../base/address.ts';
import { assert } from '../base/assert.ts';
import { BRIDGES_MAX, VLANS_MAX } from '../base/limits.ts';
import { failure, type Result, success } from '../base/result.ts';
import type { Contents } from '../config/parts.ts';
import { VLAN_ADDED } from '../forward/vlan-table.ts';
import { VlanLink } from '../link/vlan.ts';
import type { DataPlane } from './data-plane.ts';
import { randomMac } from './data-plane.ts';
import type { ForwardingHop } from './forwarding.ts';
import { type BviPart, carries, type DevicePort, type Port, type VlanPart } from './port.ts';

type Of<Kind extends Contents['kind']> = Extract<Contents, { kind: Kind }>;

const DONE: Result<void> = success(undefined);

export class ForwardingParts {
  readonly #plane: DataPlane;
  readonly #bridges: Map<string, number> = new Map();

  constructor(plane: DataPlane) {
    this.#plane = plane;
  }

  /** The bridges by name, in the order of creation. */
  get bridges(): ReadonlyMap<string, number> {
    return this.#bridges;
  }

  bridgeName(bridge: number): string {
    return [...this.#bridges].find(([, number]) => number === bridge)?.[0] ?? String(bridge);
  }

  addBridge(part: Of<'bridge'>): Result<void> {
    const bridge = this.#plane.forwarding.bridges.add();
    if (bridge < 0) {
      return failure('bridges-full', `there are ${BRIDGES_MAX} bridges already: remove one before ${part.bridge}`);
    }
    this.#bridges.set(part.bridge, bridge);
    return this.changeBridge(part);
  }

  changeBridge({ bridge: name, ageing, learn, flood }: Of<'bridge'>): Result<void> {
    const { bridges } = this.#plane.forwarding;
    const bridge = this.#bridgeAt(name);
    bridges.learn[bridge] = learn ? 1 : 0;
    bridges.flood[bridge] = flood ? 1 : 0;
    bridges.unknownUnicastFlood[bridge] = flood ? 1 : 0;
    bridges.ageingS[bridge] = ageing === 0 ? 0 : Math.max(1, Math.round(ageing / 1000));
    return DONE;
  }

  removeBridge({ bridge }: Of<'bridge'>): void {
    this.#plane.forwarding.bridges.remove(this.#bridgeAt(bridge));
    this.#bridges.delete(bridge);
  }

  addVlan(part: VlanPart): Result<void> {
    const parent = this.#port(part.parent) as DevicePort;
    const { interfaces, vlans } = this.#plane.forwarding;
    const mac = { high: interfaces.macHigh[parent.index]!, low: interfaces.macLow[parent.index]! };
    const index = this.#plane.forwarding.addInterface(mac, part.mtu);
    if (!index.ok) return index;
    const added = vlans.add(parent.index, part.vlan, index.value);
    if (added !== VLAN_ADDED.ADDED) {
      this.#plane.forwarding.removeInterface(index.value);
      assert(added === VLAN_ADDED.FULL, 'a sub-interface is made once');
      return failure('vlans-full', `there are ${VLANS_MAX} VLAN sub-interfaces already: remove one`);
    }
    const link = new VlanLink(part.interface, parent.link, part.vlan, this.#plane.tagged);
    this.#plane.engine.addInterface(index.value, link);
    this.#addPort({
      ...{ kind: 'vlan', name: part.interface, index: index.value, part, parent, link, up: false, bridge: undefined },
    });
    return DONE;
  }

  removeVlan(part: VlanPart): void {
    const port = this.#port(part.interface);
    this.#plane.forwarding.vlans.remove(this.#port(part.parent).index, part.vlan);
    this.#plane.remove(port);
  }

  addBvi(part: BviPart): Result<void> {
    const { forwarding } = this.#plane;
    const index = forwarding.addInterface(part.mac ?? randomMac(), part.mtu);
    if (!index.ok) return index;
    forwarding.bridges.setBvi(this.#bridgeAt(part.bridge), index.value);
    this.#addPort({ kind: 'bvi', name: part.interface, index: index.value, part, up: false, bridge: part.bridge });
    return DONE;
  }

  removeBvi(part: BviPart): void {
    this.#plane.forwarding.bridges.setBvi(this.#bridgeAt(part.bridge), -1);
    this.#plane.remove(this.#port(part.interface));
  }

  /** MTU and MAC address, of a BVI or a sub-interface. */
  changePort(to: VlanPart | BviPart): Result<void> {
    const port = this.#port(to.interface);
    assert(port.kind === to.kind, 'a port stays of its kind');
    this.#plane.forwarding.interfaces.mtu[port.index] = to.mtu;
    if (to.kind === 'bvi' && to.mac !== undefined) this.#plane.forwarding.setMac(port.index, to.mac);
    port.part = to;
    this.#plane.refresh(port);
    return DONE;
  }

  addMember({ interface: name, bridge, splitHorizonGroup }: Of<'member'>): Result<void> {
    const port = this.#port(name);
    this.#plane.engine.closeFlows(port.index);
    this.#plane.forwarding.bridges.addMember(this.#bridgeAt(bridge), port.index, splitHorizonGroup);
    port.bridge = bridge;
    this.#plane.refresh(port);
    return DONE;
  }

  changeMember({ interface: name, splitHorizonGroup }: Of<'member'>): Result<void> {
    this.#plane.forwarding.interfaces.splitHorizonGroup[this.#port(name).index] = splitHorizonGroup;
    return DONE;
  }

  removeMember({ interface: name }: Of<'member'>): void {
    const port = this.#port(name);
    this.#plane.forwarding.bridges.removeMember(port.index);
    port.bridge = undefined;
    this.#plane.refresh(port);
  }

  addAddress({ interface: name, address }: Of<'address'>): Result<void> {
    const port = this.#port(name);
    const added = this.#plane.forwarding.addAddress(port.index, address);
    if (added.ok && carries(port)) this.#plane.wiring.announce(port.index);
    return added;
  }

  removeAddress({ interface: name, address }: Of<'address'>): void {
    this.#plane.forwarding.removeAddress(this.#port(name).index, address);
  }

  addNeighbour({ interface: name, address, mac }: Of<'neighbour'>): Result<void> {
    const { table } = this.#plane.wiring.resolver;
    if (table.setStatic(this.#port(name).index, address, mac, this.#plane.nowMs)) return DONE;
    return failure('neighbours-full', `there is no room for the neighbour ${address} on ${name}: remove one`);
  }

  removeNeighbour({ interface: name, address }: Of<'neighbour'>): void {
    this.#plane.wiring.resolver.table.remove(this.#port(name).index, address);
  }

  addRoute({ to, via }: Of<'route'>): Result<void> {
    const refused = this.#checkFamilies(to, via);
    return refused ?? this.#plane.forwarding.addRoute(to, this.#hops(via));
  }

  changeRoute({ to, via }: Of<'route'>): Result<void> {
    return this.#checkFamilies(to, via) ?? this.#plane.forwarding.changeRoute(to, this.#hops(via));
  }

  removeRoute({ to }: Of<'route'>): void {
    this.#plane.forwarding.removeRoute(to);
  }

  setUp(name: string, up: boolean): Result<void> {
    const port = this.#port(name);
    if (port.kind === 'tap') {
      const set = port.device.setCarrier(up);
      if (!set.ok) return set;
    }
    port.up = up;
    this.#plane.refresh(port);
    if (carries(port)) this.#plane.wiring.announce(port.index);
    return DONE;
  }

  #addPort(port: Port): void {
    this.#plane.ports.add(port);
    this.#plane.refresh(port);
  }

  /** The plan sees to it that a part's interface is there before it and goes after it. */
  #port(name: string): Port {
    const port = this.#plane.ports.find(name);
    assert(port !== undefined, 'an interface is there before what needs it');
    return port;
  }

  #bridgeAt(name: string): number {
    const bridge = this.#bridges.get(name);
    assert(bridge !== undefined, 'a bridge is there before what needs it');
    return bridge;
  }

  #hops(via: Of<'route'>['via']): ForwardingHop[] {
    return via.map(({ kind, address, interface: name, weight }) => ({
      ...{ kind, address, weight },
      interfaceIndex: name === undefined ? undefined : this.#port(name).index,
    }));
  }

  #checkFamilies(to: IpPrefix, via: Of<'route'>['via']): Result<never> | undefined {
    const other = via.find(({ address }) => address !== undefined && isIpv4(address) !== isIpv4(to.address));
    if (other === undefined) return undefined;
    return failure(
      'route-hop-family',
      `the route to ${to.address}/${to.length} can not lead to ${other.address}, which is of the other family`,
    );
  }
}
