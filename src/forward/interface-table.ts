/**
 * The interfaces that packets are forwarded between, as columns: what nodes must know of an interface for each packet.
 *
 * An interface is a small integer, the same that `packets.rxInterface` and `txInterface` hold and that the link of this number is registered under. A number
 * is given once: what still names an interface that has gone (a trace, a flow record, a late event) never means another one. Columns grow as
 * interfaces come, so they are read from the table for each frame, not kept.
 */
import { assert } from '../base/assert.ts';
import { grown } from '../base/column.ts';
import { INTERFACES_EVER_MAX } from '../base/limits.ts';

/** What happens to packets that come in by an interface. */
export const INTERFACE_MODE = {
  /** Everything is translated to host sockets, as in `tapster run`. */
  GUEST: 0,
  /** Packets for the interface's own MAC address are routed. */
  ROUTED: 1,
  /** Frames are bridged; `bridge` says where. */
  BRIDGED: 2,
} as const;

const NONE = -1;
const FIRST_CAPACITY = 16;

export class InterfaceTable {
  /** Administratively up; what comes in by one that is down, or would go out, is dropped. */
  up: Uint8Array = new Uint8Array(FIRST_CAPACITY);
  mode: Uint8Array = new Uint8Array(FIRST_CAPACITY);
  /** Bytes of an IP packet, at most. */
  mtu: Int32Array = new Int32Array(FIRST_CAPACITY);
  /** Our own address on it. */
  macHigh: Uint16Array = new Uint16Array(FIRST_CAPACITY);
  macLow: Int32Array = new Int32Array(FIRST_CAPACITY);
  /** Takes frames for any MAC address. */
  promiscuous: Uint8Array = new Uint8Array(FIRST_CAPACITY);
  /** The bridge that it is a member of; -1: none. */
  bridge: Int32Array = new Int32Array(FIRST_CAPACITY).fill(NONE);
  /** Members of a bridge with the same group above 0 do not reach each other (split horizon). */
  splitHorizonGroup: Uint8Array = new Uint8Array(FIRST_CAPACITY);
  /** What no link of ours has counted: frames that came in by a sub-interface, or between a bridge and the IP layer; and what other threads have carried for an interface. */
  rxPackets: Float64Array = new Float64Array(FIRST_CAPACITY);
  rxBytes: Float64Array = new Float64Array(FIRST_CAPACITY);
  txPackets: Float64Array = new Float64Array(FIRST_CAPACITY);
  txBytes: Float64Array = new Float64Array(FIRST_CAPACITY);
  #there: Uint8Array = new Uint8Array(FIRST_CAPACITY);
  #nextIndex: number = 0;

  /** A new interface: down, routed, MTU 1500, in no bridge. Returns its number, or -1 when no number is left. */
  add(macHigh: number, macLow: number): number {
    if (this.#nextIndex === INTERFACES_EVER_MAX) return NONE;
    const index = this.#nextIndex++;
    if (index === this.up.length) this.#grow();
    this.#there[index] = 1;
    this.mode[index] = INTERFACE_MODE.ROUTED;
    this.mtu[index] = 1500;
    this.macHigh[index] = macHigh;
    this.macLow[index] = macLow;
    this.bridge[index] = NONE;
    return index;
  }

  /** Leaves out the numbers below `index`, for a table that follows another one: the next interface gets this one. */
  skipTo(index: number): void {
    assert(index >= this.#nextIndex && index < INTERFACES_EVER_MAX, 'a number is given once');
    this.#nextIndex = index;
    while (index >= this.up.length) this.#grow();
  }

  /** Its number means nothing from now on. Whatever depends on the interface must have gone before. */
  remove(index: number): void {
    assert(this.has(index), 'only an interface that is there is removed');
    this.#there[index] = 0;
    this.up[index] = 0;
    this.bridge[index] = NONE;
  }

  countReceived(index: number, frameBytes: number): void {
    this.rxPackets[index]++;
    this.rxBytes[index] += frameBytes;
  }

  countSent(index: number, frameBytes: number): void {
    this.txPackets[index]++;
    this.txBytes[index] += frameBytes;
  }

  clearCounters(): void {
    for (const counter of [this.rxPackets, this.rxBytes, this.txPackets, this.txBytes]) counter.fill(0);
  }

  has(index: number): boolean {
    return index >= 0 && index < this.#nextIndex && this.#there[index] === 1;
  }

  /** All numbers that were ever given are below. */
  get end(): number {
    return this.#nextIndex;
  }

  #grow(): void {
    const capacity = this.up.length * 2;
    this.up = grown(this.up, new Uint8Array(capacity));
    this.mode = grown(this.mode, new Uint8Array(capacity));
    this.mtu = grown(this.mtu, new Int32Array(capacity));
    this.macHigh = grown(this.macHigh, new Uint16Array(capacity));
    this.macLow = grown(this.macLow, new Int32Array(capacity));
    this.promiscuous = grown(this.promiscuous, new Uint8Array(capacity));
    this.bridge = grown(this.bridge, new Int32Array(capacity).fill(NONE));
    this.splitHorizonGroup = grown(this.splitHorizonGroup, new Uint8Array(capacity));
    this.rxPackets = grown(this.rxPackets, new Float64Array(capacity));
    this.rxBytes = grown(this.rxBytes, new Float64Array(capacity));
    this.txPackets = grown(this.txPackets, new Float64Array(capacity));
    this.txBytes = grown(this.txBytes, new Float64Array(capacity));
    this.#there = grown(this.#there, new Uint8Array(capacity));
  }
}
