/**
 * The bridges: which interfaces are joined, and how. What they know of addresses is in `l2-fib.ts`.
 *
 * A bridge is a small integer below `BRIDGES_MAX`. An interface is a member of one bridge at most; that, and its split-horizon group, stand in its own row
 * of the interface table, for that is where a packet starts from. A bridge may have a BVI (bridge virtual interface): an interface without a link,
 * through which the bridge reaches the IP layer. It is joined to the bridge without being one of the members.
 *
 * Members that leave take their addresses with them, so an address never leads out of its bridge. Numbers of bridges are given again: nothing outlives
 * its bridge but the counters that somebody has read.
 */
import { assert } from '../base/assert.ts';
import { BRIDGES_MAX } from '../base/limits.ts';
import { INTERFACE_MODE, type InterfaceTable } from './interface-table.ts';
import type { L2Fib } from './l2-fib.ts';

/** The default of IEEE 802.1Q-2022, table 8-6. */
const AGEING_S_DEFAULT = 300;

const NONE = -1;
const FIRST_CAPACITY = 8;

export class BridgeTable {
  /** Whether sources of frames are learnt. */
  readonly learn: Uint8Array = new Uint8Array(BRIDGES_MAX);
  /** Whether frames go on to addresses that are known. */
  readonly forward: Uint8Array = new Uint8Array(BRIDGES_MAX);
  /** Whether frames for groups, and for everybody, go to all. */
  readonly flood: Uint8Array = new Uint8Array(BRIDGES_MAX);
  /** Whether frames for addresses that are not known go to all. */
  readonly unknownUnicastFlood: Uint8Array = new Uint8Array(BRIDGES_MAX);
  /** Seconds after which an address that is not heard any more is forgotten; 0: never. */
  readonly ageingS: Int32Array = new Int32Array(BRIDGES_MAX);
  /** The interface through which it reaches the IP layer; -1: none. */
  readonly bvi: Int32Array = new Int32Array(BRIDGES_MAX).fill(NONE);
  readonly memberCount: Int32Array = new Int32Array(BRIDGES_MAX);

  /** Addresses learnt, moved from one member to another, and not learnt for want of room. */
  readonly learnt: Float64Array = new Float64Array(BRIDGES_MAX);
  readonly moved: Float64Array = new Float64Array(BRIDGES_MAX);
  readonly notLearnt: Float64Array = new Float64Array(BRIDGES_MAX);
  /** Addresses forgotten because they were silent, all bridges together. */
  aged: number = 0;
  /** Frames that went to all. */
  readonly flooded: Float64Array = new Float64Array(BRIDGES_MAX);
  /** Copies of such frames that were not made: the turn had no row, or no bytes, left. */
  readonly copiesLost: Float64Array = new Float64Array(BRIDGES_MAX);
  /** Copies of such frames that were not made for members whose MTU is too small. */
  readonly copiesTooBig: Float64Array = new Float64Array(BRIDGES_MAX);

  readonly #interfaces: InterfaceTable;
  readonly #fib: L2Fib;
  readonly #there: Uint8Array = new Uint8Array(BRIDGES_MAX);
  readonly #members: Int32Array[] = [];

  constructor(interfaces: InterfaceTable, fib: L2Fib) {
    this.#interfaces = interfaces;
    this.#fib = fib;
  }

  /**
   * A new bridge without members, which learns, forwards and floods. Returns its number, or -1 when there are `BRIDGES_MAX`. `bridge`: a free number that it is to
   * have, in a table that follows another one.
   */
  add(bridge: number = this.#there.indexOf(0)): number {
    if (bridge === NONE) return NONE;
    assert(!this.has(bridge), 'a bridge has a number of its own');
    this.#there[bridge] = 1;
    this.learn[bridge] = 1;
    this.forward[bridge] = 1;
    this.flood[bridge] = 1;
    this.unknownUnicastFlood[bridge] = 1;
    this.ageingS[bridge] = AGEING_S_DEFAULT;
    this.#members[bridge] = new Int32Array(FIRST_CAPACITY);
    for (const counter of this.#counters()) counter[bridge] = 0;
    return bridge;
  }

  /** Its members, and its BVI, are in no bridge from now on. */
  remove(bridge: number): void {
    assert(this.has(bridge), 'only a bridge that is there is removed');
    this.setBvi(bridge, NONE);
    for (let i = 0; i < this.memberCount[bridge]; i++) this.#leave(this.members(bridge)[i]);
    this.memberCount[bridge] = 0;
    this.#fib.removeAll({ bridge });
    this.#there[bridge] = 0;
  }

  has(bridge: number): boolean {
    return this.#there[bridge] === 1;
  }

  /** The members' interfaces, without the BVI: the first `memberCount` words, to be read only, and not kept. */
  members(bridge: number): Int32Array {
    return this.#members[bridge];
  }

  /** Joins an interface to a bridge; `splitHorizonGroup` 0 to 255, 0: none. It must be in no bridge. */
  addMember(bridge: number, interfaceIndex: number, splitHorizonGroup: number = 0): void {
    assert(splitHorizonGroup >= 0 && splitHorizonGroup <= 255, 'a split-horizon group has 8 bits');
    this.#join(bridge, interfaceIndex, INTERFACE_MODE.BRIDGED);
    this.#interfaces.splitHorizonGroup[interfaceIndex] = splitHorizonGroup;
    const count = this.memberCount[bridge]++;
    if (count === this.members(bridge).length) {
      const larger = new Int32Array(count * 2);
      larger.set(this.members(bridge));
      this.#members[bridge] = larger;
    }
    this.members(bridge)[count] = interfaceIndex;
  }

  /** Takes a member out of its bridge, with all addresses behind it. It is a routed interface then. */
  removeMember(interfaceIndex: number): void {
    const bridge = this.#interfaces.bridge[interfaceIndex];
    assert(this.has(bridge) && this.bvi[bridge] !== interfaceIndex, 'only a member is taken out of a bridge');
    const members = this.members(bridge);
    const last = --this.memberCount[bridge];
    // The order of the others stays: people see it.
    members.copyWithin(members.indexOf(interfaceIndex), members.indexOf(interfaceIndex) + 1, last + 1);
    this.#fib.removeAll({ interfaceIndex });
    this.#leave(interfaceIndex);
  }

  /** Makes an interface that is in no bridge the BVI, in the place of the one that was; -1: none. */
  setBvi(bridge: number, interfaceIndex: number): void {
    const before = this.bvi[bridge];
    if (before !== NONE) this.#leave(before);
    this.bvi[bridge] = NONE;
    if (interfaceIndex === NONE) return;
    this.#join(bridge, interfaceIndex, INTERFACE_MODE.ROUTED);
    this.bvi[bridge] = interfaceIndex;
  }

  /** Whether packets that leave by this interface go into a bridge. */
  isBvi(interfaceIndex: number): boolean {
    const bridge = this.#interfaces.bridge[interfaceIndex];
    return bridge >= 0 && this.bvi[bridge] === interfaceIndex;
  }

  /** Says behind which member an address is, whatever its frames say. Returns false when the table of addresses is full. */
  setStatic(bridge: number, macHigh: number, macLow: number, member: number): boolean {
    assert(this.#interfaces.bridge[member] === bridge && !this.isBvi(member), 'a static address is behind a member');
    return this.#fib.setStatic(bridge, macHigh, macLow, member);
  }

  /** Forgets silent addresses among the next `places` of the table: housekeeping, which after `fib.places` has seen all. */
  age(nowUs: number, places: number): void {
    this.aged += this.#fib.sweep(Math.floor(nowUs / 1_000_000), this.ageingS, places);
  }

  #join(bridge: number, interfaceIndex: number, mode: number): void {
    assert(this.has(bridge) && this.#interfaces.has(interfaceIndex), 'a bridge and an interface are joined');
    assert(this.#interfaces.bridge[interfaceIndex] === NONE, 'an interface is in one bridge at most');
    this.#interfaces.bridge[interfaceIndex] = bridge;
    this.#interfaces.mode[interfaceIndex] = mode;
    this.#interfaces.splitHorizonGroup[interfaceIndex] = 0;
  }

  #leave(interfaceIndex: number): void {
    this.#interfaces.bridge[interfaceIndex] = NONE;
    this.#interfaces.mode[interfaceIndex] = INTERFACE_MODE.ROUTED;
    this.#interfaces.splitHorizonGroup[interfaceIndex] = 0;
  }

  #counters(): Float64Array[] {
    return [this.learnt, this.moved, this.notLearnt, this.flooded, this.copiesLost, this.copiesTooBig];
  }
}
