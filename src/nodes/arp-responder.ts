/**
 * ARP (RFC 826; probes, announcements and conflicts: RFC 5227) on interfaces that are routed. It stands where `arp.ts`, which speaks for all the world, stands in
 * `tapster run`: under the same name.
 *
 * Requests for an address of ours on this interface are answered, in place, to who asks. Who asks us is learnt. What others say of themselves (replies,
 * announcements, requests to third parties) corrects and confirms neighbours that we know, and makes no new ones. Not learnt: MAC addresses that no
 * station can have, and addresses that are on none of the interface's networks. Nothing is answered for others (no proxy ARP), nor for addresses of ours
 * on other interfaces.
 */
import type { InterfaceAddresses } from '../forward/interface-addresses.ts';
import type { InterfaceTable } from '../forward/interface-table.ts';
import { isStation, NO_NEIGHBOUR } from '../forward/neighbour-table.ts';
import { drop } from '../graph/drop.ts';
import { ARC_DONE, ARC_NEXT, type GraphNode } from '../graph/node.ts';
import { REASON } from '../graph/reasons.ts';
import { type Packet, type Packets, VNET_HEADER_BYTES } from '../packet/packets.ts';
import * as arp from '../wire/arp.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as vnet from '../wire/vnet-header.ts';
import type { AddressConflicts } from './address-conflicts.ts';
import type { NeighbourResolver } from './neighbour-resolver.ts';

const ARC_OUTPUT = ARC_NEXT;

/** The last of the words in front of an IPv4 address in its mapped form. */
const MAPPED = 0xffff;

export class ArpResponder implements GraphNode {
  readonly name = 'arp-input';
  readonly next: readonly string[] = ['interface-output'];
  readonly #interfaces: InterfaceTable;
  readonly #addresses: InterfaceAddresses;
  readonly #resolver: NeighbourResolver;
  readonly #conflicts: AddressConflicts;

  constructor(
    interfaces: InterfaceTable,
    addresses: InterfaceAddresses,
    resolver: NeighbourResolver,
    conflicts: AddressConflicts,
  ) {
    this.#interfaces = interfaces;
    this.#addresses = addresses;
    this.#resolver = resolver;
    this.#conflicts = conflicts;
  }

  process(packets: Packets, frame: Int32Array, count: number, arcs: Uint8Array): void {
    for (let i = 0; i < count; i++) arcs[i] = this.#arc(packets, frame[i]);
  }

  #arc(packets: Packets, packet: Packet): number {
    const { view } = packets;
    const at = packets.network[packet];
    if (arp.check(view, at, packets.end[packet]) < 0) return drop(packets, packet, REASON['arp-invalid']);
    const operation = arp.operation(view, at);
    const sender = arp.senderAddress(view, at);
    const target = arp.targetAddress(view, at);
    const isValid =
      (sender === 0 || isUnicast(sender)) &&
      isUnicast(target) &&
      isStation(arp.senderHigh(view, at), arp.senderLow(view, at)) &&
      (operation === arp.OPERATION_REQUEST || operation === arp.OPERATION_REPLY);
    if (!isValid) return drop(packets, packet, REASON['arp-invalid']);
    const on = packets.rxInterface[packet];
    if (this.#addresses.isOn(on, 0, 0, MAPPED, sender)) return this.#claimed(packets, packet, sender);
    const isForUs = this.#addresses.isOn(on, 0, 0, MAPPED, target);
    if (sender !== 0) this.#learn(packets, packet, sender, isForUs, operation);
    if (operation === arp.OPERATION_REPLY || !isForUs) return ARC_DONE;
    this.#answer(packets, packet);
    return ARC_OUTPUT;
  }

  /** Somebody speaks as us, unless it is a frame of our own that came back. */
  #claimed(packets: Packets, packet: Packet, sender: number): number {
    const { view } = packets;
    const at = packets.network[packet];
    const on = packets.rxInterface[packet];
    const high = arp.senderHigh(view, at);
    const low = arp.senderLow(view, at);
    if (high !== this.#interfaces.macHigh[on] || low !== this.#interfaces.macLow[on]) {
      this.#conflicts.note(on, 0, 0, MAPPED, sender, high, low);
    }
    return drop(packets, packet, REASON['arp-own-address']);
  }

  #learn(packets: Packets, packet: Packet, sender: number, isForUs: boolean, operation: number): void {
    const { view } = packets;
    const at = packets.network[packet];
    const on = packets.rxInterface[packet];
    const addresses = this.#addresses;
    if (!addresses.isOnLink(on, 0, 0, MAPPED, sender) || addresses.isBroadcastOn(on, sender)) return;
    const high = arp.senderHigh(view, at);
    const low = arp.senderLow(view, at);
    // With our MAC address, frames for the neighbour would come back to us.
    if (high === this.#interfaces.macHigh[on] && low === this.#interfaces.macLow[on]) return;
    const { nowMs, table } = this.#resolver;
    if (isForUs && operation === arp.OPERATION_REQUEST) {
      table.heard(on, 0, 0, MAPPED, sender, high, low, nowMs);
      return;
    }
    const neighbour = table.find(on, 0, 0, MAPPED, sender);
    if (neighbour === NO_NEIGHBOUR) return;
    table.advertised(neighbour, high, low, isForUs && table.isAsked(neighbour), true, nowMs);
  }

  /** Turns the request into its reply, in place and without padding. */
  #answer(packets: Packets, packet: Packet): void {
    const { view } = packets;
    const at = packets.network[packet];
    const frame = packets.start[packet];
    const on = packets.rxInterface[packet];
    const high = this.#interfaces.macHigh[on];
    const low = this.#interfaces.macLow[on];
    const target = arp.targetAddress(view, at);
    const askerHigh = arp.senderHigh(view, at);
    const askerLow = arp.senderLow(view, at);
    arp.setOperation(view, at, arp.OPERATION_REPLY);
    arp.setTarget(view, at, askerHigh, askerLow, arp.senderAddress(view, at));
    arp.setSender(view, at, high, low, target);
    ethernet.setDestination(view, frame, askerHigh, askerLow);
    ethernet.setSource(view, frame, high, low);
    vnet.clear(view, frame - VNET_HEADER_BYTES);
    packets.end[packet] = at + arp.PACKET_BYTES;
    packets.length[packet] = at + arp.PACKET_BYTES - frame;
    packets.txInterface[packet] = on;
  }
}

/** Not in 0.0.0.0/8, 127.0.0.0/8, 224.0.0.0/4 or 240.0.0.0/4. */
function isUnicast(address: number): boolean {
  const first = address >>> 24;
  return first !== 0 && first !== 127 && first < 224;
}
