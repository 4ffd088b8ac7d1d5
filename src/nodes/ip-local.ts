/**
 * Packets for our own addresses: `ip4-local` and `ip6-local`.
 *
 * Answers echo requests (RFC 1122, section 3.2.2.6; RFC 4443, section 4.2) in place, back to who sent the frame, from the address that was asked. Other ICMP messages
 * go to a listener, who asked; where there is none, or they are not his, they are counted and forgotten. There are no ports here: what else comes is refused through `ip4-error` and `ip6-error`
 * (RFC 1122, section 3.2.2.1), port unreachable for TCP and UDP, else protocol unreachable. Services on our addresses (DHCP, DNS, neighbour discovery) take their
 * packets on the way, as features.
 *
 * Only whole packets come here: the look-up has fragments put together first. An answer that is larger than the MTU leaves in fragments.
 */

import type { InterfaceTable } from '../forward/interface-table.ts';
import { drop } from '../graph/drop.ts';
import { ARC_DONE, ARC_NEXT, type Emitter, type GraphNode } from '../graph/node.ts';
import { REASON } from '../graph/reasons.ts';
import { emitFragments } from '../packet/fragment.ts';
import { type Packet, type Packets, VNET_HEADER_BYTES } from '../packet/packets.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as icmp from '../wire/icmp.ts';
import * as icmpv6 from '../wire/icmpv6.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as ipv6 from '../wire/ipv6.ts';
import * as vnet from '../wire/vnet-header.ts';
import { isChecksumTrusted } from './answer.ts';

const ARC_OUTPUT = ARC_NEXT;
const ARC_ERROR = ARC_NEXT + 1;

const TIME_TO_LIVE = 64;

/** Who asks others, and so gets answers, and errors about what was asked: ICMP messages for us that are no echo requests. */
export interface IcmpListener {
  /** Looks at a message whose checksum is right. False: it is not about anything of the listener's. */
  received(packets: Packets, packet: Packet): boolean;
}

export class Ip4Local implements GraphNode {
  readonly name = 'ip4-local';
  readonly next: readonly string[] = ['interface-output', 'ip4-error'];
  listener: IcmpListener | undefined;
  readonly #interfaces: InterfaceTable;
  readonly #output: Emitter;

  /** `output` takes fragments. */
  constructor(interfaces: InterfaceTable, output: Emitter) {
    this.#interfaces = interfaces;
    this.#output = output;
  }

  process(packets: Packets, frame: Int32Array, count: number, arcs: Uint8Array): void {
    for (let i = 0; i < count; i++) arcs[i] = this.#arc(packets, frame[i]);
  }

  #arc(packets: Packets, packet: Packet): number {
    const { view } = packets;
    const at = packets.network[packet];
    if (ipv4.protocol(view, at) !== ipv4.PROTOCOL_ICMP) return refuse(packets, packet, ipv4.protocol(view, at));
    const message = packets.transport[packet];
    const end = packets.end[packet];
    if (icmp.check(view, message, end) < 0) return drop(packets, packet, REASON['icmp-invalid']);
    if (!isChecksumTrusted(packets, packet) && !icmp.verifyChecksum(view, message, end)) {
      return drop(packets, packet, REASON['icmp-checksum-wrong']);
    }
    if (icmp.type(view, message) !== icmp.ECHO_REQUEST) return hear(packets, packet, this.listener);
    if (!turn(packets, packet, this.#interfaces)) return drop(packets, packet, REASON['interface-down']);
    icmp.setType(view, message, icmp.ECHO_REPLY);
    icmp.writeChecksum(view, message, end);
    const asked = ipv4.destination(view, at);
    ipv4.setDestination(view, at, ipv4.source(view, at));
    ipv4.setSource(view, at, asked);
    ipv4.setTimeToLive(view, at, TIME_TO_LIVE);
    ipv4.writeChecksum(view, at);
    return send(packets, packet, this.#interfaces, ipv4.identification(view, at), this.#output);
  }
}

export class Ip6Local implements GraphNode {
  readonly name = 'ip6-local';
  readonly next: readonly string[] = ['interface-output', 'ip6-error'];
  listener: IcmpListener | undefined;
  readonly #interfaces: InterfaceTable;
  readonly #output: Emitter;
  #identification: number;

  /** `output` takes fragments. `identification`: that of the first datagram cut, any number that is hard to guess (RFC 7739). */
  constructor(interfaces: InterfaceTable, output: Emitter, identification: number) {
    this.#interfaces = interfaces;
    this.#output = output;
    this.#identification = identification;
  }

  process(packets: Packets, frame: Int32Array, count: number, arcs: Uint8Array): void {
    for (let i = 0; i < count; i++) arcs[i] = this.#arc(packets, frame[i]);
  }

  #arc(packets: Packets, packet: Packet): number {
    const { view } = packets;
    const at = packets.network[packet];
    if (packets.protocol[packet] !== icmpv6.PROTOCOL) return refuse(packets, packet, packets.protocol[packet]);
    const message = packets.transport[packet];
    const end = packets.end[packet];
    if (icmpv6.check(view, message, end) < 0) return drop(packets, packet, REASON['icmp-invalid']);
    if (!isChecksumTrusted(packets, packet) && !icmpv6.verifyChecksum(view, at, message, end)) {
      return drop(packets, packet, REASON['icmp-checksum-wrong']);
    }
    const wanted = icmpv6.type(view, message) === icmpv6.ECHO_REQUEST;
    if (!wanted) return hear(packets, packet, this.listener);
    // With extension headers in between, a source route among them, an answer would not be the question turned round.
    if (message !== at + ipv6.HEADER_BYTES) return drop(packets, packet, REASON['icmp-type-unsupported']);
    if (!turn(packets, packet, this.#interfaces)) return drop(packets, packet, REASON['interface-down']);
    const w0 = ipv6.destinationWord(view, at, 0);
    const w1 = ipv6.destinationWord(view, at, 1);
    const w2 = ipv6.destinationWord(view, at, 2);
    const w3 = ipv6.destinationWord(view, at, 3);
    ipv6.copyToDestination(view, at, view, ipv6.sourceAt(at));
    ipv6.setSource(view, at, w0, w1, w2, w3);
    ipv6.setHopLimit(view, at, TIME_TO_LIVE);
    icmpv6.setType(view, message, icmpv6.ECHO_REPLY);
    icmpv6.writeChecksum(view, at, message, end);
    this.#identification = (this.#identification + 1) | 0;
    return send(packets, packet, this.#interfaces, this.#identification, this.#output);
  }
}

function hear(packets: Packets, packet: Packet, listener: IcmpListener | undefined): number {
  const isHeard = listener?.received(packets, packet) === true;
  return isHeard ? ARC_DONE : drop(packets, packet, REASON['icmp-type-unsupported']);
}

/** To the node for errors, which tells the sender why. TCP and UDP have the same numbers in both families. */
function refuse(packets: Packets, packet: Packet, protocol: number): number {
  const known = protocol === ipv4.PROTOCOL_TCP || protocol === ipv4.PROTOCOL_UDP;
  packets.reason[packet] = known ? REASON['port-unreachable'] : REASON['protocol-unreachable'];
  return ARC_ERROR;
}

/** Sends the frame back where it came from: addresses, length without padding, nothing left to the link. False: the interface is not up. */
function turn(packets: Packets, packet: Packet, interfaces: InterfaceTable): boolean {
  const { view } = packets;
  const to = packets.rxInterface[packet];
  if (!interfaces.has(to) || interfaces.up[to] === 0) return false;
  const at = packets.start[packet];
  ethernet.setDestination(view, at, ethernet.sourceHigh(view, at), ethernet.sourceLow(view, at));
  ethernet.setSource(view, at, interfaces.macHigh[to], interfaces.macLow[to]);
  vnet.clear(view, at - VNET_HEADER_BYTES);
  packets.length[packet] = packets.end[packet] - at;
  packets.txInterface[packet] = to;
  return true;
}

/** Out as it is or, where the question came in fragments, in fragments. */
function send(packets: Packets, packet: Packet, interfaces: InterfaceTable, id: number, output: Emitter): number {
  const mtu = interfaces.mtu[packets.txInterface[packet]];
  if (packets.end[packet] - packets.network[packet] <= mtu) return ARC_OUTPUT;
  return emitFragments(packets, packet, mtu, id, output) < 0 ? drop(packets, packet, REASON['arena-full']) : ARC_DONE;
}
