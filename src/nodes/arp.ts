/**
 * Answers the guest's ARP requests (RFC 826): every IPv4 address on this link is us, for behind us is the rest of the world.
 *
 * Three exceptions. The guest's own address, which it may look for to see whether it is taken. Probes (RFC 5227: the sender has no address yet),
 * unless they ask for the gateway's: who wants to take another address may. And addresses of neighbours on the same link, which answer for
 * themselves. What senders say about themselves is learnt, unless it is the gateway's address that they claim.
 */
import { type Neighbours, NO_NEIGHBOUR } from '../flow/neighbours.ts';
import { drop } from '../graph/drop.ts';
import { ARC_DONE, ARC_NEXT, type GraphNode } from '../graph/node.ts';
import { REASON } from '../graph/reasons.ts';
import { type Packet, type Packets, VNET_HEADER_BYTES } from '../packet/packets.ts';
import * as arp from '../wire/arp.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as vnet from '../wire/vnet-header.ts';
import type { ServiceConfig } from './service-config.ts';

const ARC_OUTPUT = ARC_NEXT;

/** The last of the words in front of an IPv4 address in its mapped form. */
const MAPPED = 0xffff;

export class ArpInput implements GraphNode {
  readonly name = 'arp-input';
  readonly next: readonly string[] = ['interface-output'];
  readonly #neighbours: Neighbours;
  #config: ServiceConfig;

  constructor(config: ServiceConfig, neighbours: Neighbours) {
    this.#config = config;
    this.#neighbours = neighbours;
  }

  configure(config: ServiceConfig): void {
    this.#config = config;
  }

  process(packets: Packets, frame: Int32Array, count: number, arcs: Uint8Array): void {
    for (let i = 0; i < count; i++) arcs[i] = this.#arc(packets, frame[i]);
  }

  #arc(packets: Packets, packet: Packet): number {
    const { view } = packets;
    const at = packets.network[packet];
    const service = this.#config.ipv4;
    if (service === undefined) return drop(packets, packet, REASON['protocol-disabled']);
    if (arp.check(view, at, packets.end[packet]) < 0) return drop(packets, packet, REASON['arp-invalid']);
    const operation = arp.operation(view, at);
    const sender = arp.senderAddress(view, at);
    const target = arp.targetAddress(view, at);
    const isProbe = sender === 0;
    const isValid = (isProbe || isUnicast(sender)) && isUnicast(target) && !isGroup(arp.senderHigh(view, at));
    if (!isValid || (operation !== arp.OPERATION_REQUEST && operation !== arp.OPERATION_REPLY)) {
      return drop(packets, packet, REASON['arp-invalid']);
    }
    const gateway = service.gateway.w3;
    if (sender === gateway) return drop(packets, packet, REASON['arp-own-address']);
    if (!isProbe) this.#learn(packets, packet, sender);
    // An announcement (RFC 5227, section 3) asks for the sender's own address and wants no answer.
    if (operation === arp.OPERATION_REPLY || sender === target) return ARC_DONE;
    if (target === service.address.address.w3 || (isProbe && target !== gateway)) {
      return drop(packets, packet, REASON['arp-own-address']);
    }
    if (target !== gateway && this.#isAnothers(packets, packet, target)) return ARC_DONE;
    this.#answer(packets, packet);
    return ARC_OUTPUT;
  }

  #learn(packets: Packets, packet: Packet, sender: number): void {
    const { view } = packets;
    const at = packets.network[packet];
    const high = arp.senderHigh(view, at);
    this.#neighbours.learn(packets.rxInterface[packet], 0, 0, MAPPED, sender, high, arp.senderLow(view, at));
  }

  /** Whether the target is a neighbour on this link, other than who asks. Who asks for an address that it had itself asks for someone behind us. */
  #isAnothers(packets: Packets, packet: Packet, target: number): boolean {
    const { view } = packets;
    const at = packets.network[packet];
    const link = packets.rxInterface[packet];
    const neighbour = this.#neighbours.find(link, 0, 0, MAPPED, target);
    if (neighbour === NO_NEIGHBOUR) return false;
    return (
      this.#neighbours.macLow(link, neighbour) !== arp.senderLow(view, at) ||
      this.#neighbours.macHigh(link, neighbour) !== arp.senderHigh(view, at)
    );
  }

  /** Turns the request into its reply, in place; a request that was padded to the least frame of Ethernet needs no padding on a link of ours. */
  #answer(packets: Packets, packet: Packet): void {
    const { view } = packets;
    const at = packets.network[packet];
    const { high, low } = this.#config.ourMac;
    const target = arp.targetAddress(view, at);
    const askerHigh = arp.senderHigh(view, at);
    const askerLow = arp.senderLow(view, at);
    arp.setOperation(view, at, arp.OPERATION_REPLY);
    arp.setTarget(view, at, askerHigh, askerLow, arp.senderAddress(view, at));
    arp.setSender(view, at, high, low, target);
    ethernet.setDestination(view, packets.start[packet], askerHigh, askerLow);
    ethernet.setSource(view, packets.start[packet], high, low);
    vnet.clear(view, packets.start[packet] - VNET_HEADER_BYTES);
    packets.end[packet] = at + arp.PACKET_BYTES;
    packets.length[packet] = at + arp.PACKET_BYTES - packets.start[packet];
    packets.txInterface[packet] = packets.rxInterface[packet];
  }
}

/** Not in 0.0.0.0/8, 127.0.0.0/8, 224.0.0.0/4 or 240.0.0.0/4. */
function isUnicast(address: number): boolean {
  const first = address >>> 24;
  return first !== 0 && first !== 127 && first < 224;
}

function isGroup(macHigh: number): boolean {
  return (macHigh & 0x100) !== 0;
}
