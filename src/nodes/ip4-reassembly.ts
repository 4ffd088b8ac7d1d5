/**
 * Puts the fragments of IPv4 datagrams together (RFC 791, section 3.2).
 *
 * The whole datagram is a new packet in the arena, which takes the place of its last fragment in the frame (`frame[i]`), and goes where
 * `ip4-input` would have sent it. Its header is that of the first fragment without options. Its virtio-net header is zero: the
 * transport checksum is verified in software.
 *
 * Not done: ICMP "reassembly time exceeded".
 */
import { copyBytes } from '../base/bytes.ts';
import { drop } from '../graph/drop.ts';
import { ARC_DONE, ARC_NEXT, type GraphNode } from '../graph/node.ts';
import { REASON } from '../graph/reasons.ts';
import { NO_PACKET, type Packets } from '../packet/packets.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as ipv4 from '../wire/ipv4.ts';
import { INVALID, type Reassembly } from './reassembly.ts';

const ARC_TCP = ARC_NEXT;
const ARC_UDP = ARC_NEXT + 1;
const ARC_ICMP = ARC_NEXT + 2;

const MAPPED = 0xffff;
const PAYLOAD_BYTES_MAX = 65_535 - ipv4.HEADER_BYTES;
const HEADERS_BYTES = ethernet.HEADER_BYTES + ipv4.HEADER_BYTES;

export class Ip4Reassembly implements GraphNode {
  readonly name = 'ip4-reassembly';
  readonly next: readonly string[] = ['tcp-input', 'udp-input', 'icmp-input'];
  readonly #store: Reassembly;

  /** `store` may be shared with the node for IPv6. */
  constructor(store: Reassembly) {
    this.#store = store;
  }

  process(packets: Packets, frame: Int32Array, count: number, arcs: Uint8Array): void {
    for (let i = 0; i < count; i++) arcs[i] = this.#arc(packets, frame, i);
  }

  #arc(packets: Packets, frame: Int32Array, i: number): number {
    const packet = frame[i];
    const { view } = packets;
    const at = packets.network[packet];
    const payload = packets.transport[packet];
    const length = packets.end[packet] - payload;
    const offset = ipv4.fragmentOffset(view, at);
    if (offset + length > PAYLOAD_BYTES_MAX) return drop(packets, packet, REASON['fragment-invalid']);
    this.#fillProbe(packets, packet);
    const more = ipv4.moreFragments(view, at);
    const datagram = this.#store.add(view, payload, length, offset, more, packets.start[packet], HEADERS_BYTES);
    if (datagram === INVALID) return drop(packets, packet, REASON['fragment-invalid']);
    if (datagram < 0) return ARC_DONE;
    const whole = this.#build(packets, datagram);
    this.#store.release(datagram);
    if (whole === NO_PACKET) return drop(packets, packet, REASON['arena-full']);
    packets.rxInterface[whole] = packets.rxInterface[packet];
    frame[i] = whole;
    return transportArc(packets, whole);
  }

  #fillProbe(packets: Packets, packet: number): void {
    const { view } = packets;
    const at = packets.network[packet];
    const probe = this.#store.probe;
    probe[0] = (packets.rxInterface[packet] << 8) | packets.protocol[packet];
    probe[1] = 0;
    probe[2] = 0;
    probe[3] = MAPPED;
    probe[4] = ipv4.source(view, at);
    probe[5] = 0;
    probe[6] = 0;
    probe[7] = MAPPED;
    probe[8] = ipv4.destination(view, at);
    probe[9] = ipv4.identification(view, at);
  }

  #build(packets: Packets, datagram: number): number {
    const store = this.#store;
    const bytes = store.payloadBytes(datagram);
    const whole = packets.allocate(HEADERS_BYTES + bytes);
    if (whole === NO_PACKET) return NO_PACKET;
    const { view } = packets;
    const at = packets.start[whole];
    const network = at + ethernet.HEADER_BYTES;
    copyBytes(store.fronts, store.frontAt(datagram), view, at, HEADERS_BYTES);
    copyBytes(store.payloads, store.payloadAt(datagram), view, at + HEADERS_BYTES, bytes);
    ipv4.setHeaderBytes(view, network, ipv4.HEADER_BYTES);
    ipv4.setTotalLength(view, network, ipv4.HEADER_BYTES + bytes);
    ipv4.setFragment(view, network, 0, 0);
    ipv4.writeChecksum(view, network);
    packets.network[whole] = network;
    packets.transport[whole] = network + ipv4.HEADER_BYTES;
    packets.protocol[whole] = ipv4.protocol(view, network);
    return whole;
  }
}

function transportArc(packets: Packets, packet: number): number {
  switch (packets.protocol[packet]) {
    case ipv4.PROTOCOL_TCP:
      return ARC_TCP;
    case ipv4.PROTOCOL_UDP:
      return ARC_UDP;
    case ipv4.PROTOCOL_ICMP:
      return ARC_ICMP;
    default:
      return drop(packets, packet, REASON['protocol-unknown']);
  }
}
