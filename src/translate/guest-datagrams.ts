/**
 * Makes packets for the guest around transport messages that lie in the arena already: the headers are written in front of them, in
 * place.
 *
 * Our side of the headers is the flow's *remote* address: the guest believes that it talks to it. A packet that is larger than the
 * guest's MTU is emitted as fragments.
 */
import { KEY_GUEST, KEY_REMOTE, KEY_WORDS } from '../flow/flow-key.ts';
import type { FlowTable } from '../flow/flow-table.ts';
import type { GuestLink, GuestLinks } from '../flow/guest-link.ts';
import type { Output } from '../graph/node.ts';
import { emitFragments } from '../packet/fragment.ts';
import { type Packet, type Packets, VNET_HEADER_BYTES } from '../packet/packets.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as ipv6 from '../wire/ipv6.ts';
import * as vnet from '../wire/vnet-header.ts';

/** Room in front of a transport message for all that is written there: virtio-net, Ethernet and IPv6 header. */
export const FRONT_BYTES: number = VNET_HEADER_BYTES + ethernet.HEADER_BYTES + ipv6.HEADER_BYTES;

export class GuestDatagrams {
  /** Packets lost because the arena had no room for their fragments. */
  dropped: number = 0;

  readonly #packets: Packets;
  readonly #flows: FlowTable;
  readonly #links: GuestLinks;
  readonly #output: Output;
  #identification: number = 0;
  /** The end of what was received and is not all packets yet: nothing is built in front of it. */
  #reservedEnd: number = 0;

  constructor(packets: Packets, flows: FlowTable, links: GuestLinks, output: Output) {
    this.#packets = packets;
    this.#flows = flows;
    this.#links = links;
    this.#output = output;
  }

  /** The arena is in use up to `end` by what was received, whatever `packets.used` says; 0: no more. */
  reserve(end: number): void {
    this.#reservedEnd = end;
  }

  link(flow: number): GuestLink {
    return this.#links[this.#flows.interfaceIndex(flow)]!;
  }

  /** Bytes of the IP header to this flow's guest. */
  ipHeaderBytes(flow: number): number {
    return this.#flows.isIpv4(flow) ? ipv4.HEADER_BYTES : ipv6.HEADER_BYTES;
  }

  /** Whether there is a place in the packet table. */
  hasRoom(): boolean {
    return this.#packets.count < this.#packets.start.length;
  }

  /**
   * Moves a received message down to where the next packet of this flow starts, if the gap is larger than the message (what is received
   * has much room, so that any datagram fits). Returns where it lies now. `headerBytes` of transport header will be written in front of
   * it.
   */
  settle(flow: number, start: number, length: number, headerBytes: number): number {
    const { used, bytes } = this.#packets;
    const front = VNET_HEADER_BYTES + ethernet.HEADER_BYTES + this.ipHeaderBytes(flow) + headerBytes;
    const place = ((used + 3) & ~3) + front;
    if (start - place <= length) return start;
    bytes.copyWithin(place, start, start + length);
    return place;
  }

  /**
   * A place in the arena for a packet of so many bytes, virtio-net header included, behind all that was received; -1 and counted where
   * there is no room.
   */
  place(bytes: number): number {
    const at = (Math.max(this.#packets.used, this.#reservedEnd) + 3) & ~3;
    if (this.hasRoom() && at + bytes <= this.#packets.bytes.length) return at;
    this.dropped++;
    return -1;
  }

  /**
   * Makes a packet of the message of `length` bytes at `transport`. Its virtio-net header is zero, its transport checksum the caller's
   * business.
   */
  wrap(flow: number, transport: number, length: number, protocol: number, hops: number, trafficClass: number): Packet {
    const { view } = this.#packets;
    const link = this.link(flow);
    const ipv4Flow = this.#flows.isIpv4(flow);
    const network = transport - this.ipHeaderBytes(flow);
    const start = network - ethernet.HEADER_BYTES;
    const packet = this.#adopt(start, transport + length - start);
    vnet.clear(view, start - VNET_HEADER_BYTES);
    const type = ipv4Flow ? ethernet.TYPE_IPV4 : ethernet.TYPE_IPV6;
    const { macHigh, macLow, keys } = this.#flows;
    ethernet.writeHeader(view, start, macHigh[flow], macLow[flow], link.ourMacHigh, link.ourMacLow, type);
    const remote = flow * KEY_WORDS + KEY_REMOTE;
    const guest = flow * KEY_WORDS + KEY_GUEST;
    if (ipv4Flow) {
      const total = ipv4.HEADER_BYTES + length;
      const dontFragment = ipv4.DONT_FRAGMENT;
      ipv4.writeHeader(
        view,
        network,
        total,
        protocol,
        keys[remote + 3],
        keys[guest + 3],
        hops,
        trafficClass,
        0,
        dontFragment,
      );
    } else {
      ipv6.writeHeader(view, network, length, protocol, hops, trafficClass, 0);
      ipv6.setSource(view, network, keys[remote], keys[remote + 1], keys[remote + 2], keys[remote + 3]);
      ipv6.setDestination(view, network, keys[guest], keys[guest + 1], keys[guest + 2], keys[guest + 3]);
    }
    this.#packets.network[packet] = network;
    this.#packets.transport[packet] = transport;
    this.#packets.protocol[packet] = protocol;
    this.#packets.txInterface[packet] = link.index;
    this.#packets.flow[packet] = flow;
    return packet;
  }

  /** Emits a packet that is complete, in fragments if it must be. */
  emit(packet: Packet, mtu: number): void {
    const { network, end } = this.#packets;
    if (end[packet] - network[packet] <= mtu) {
      this.#output.emit(packet);
      return;
    }
    this.#packets.used = Math.max(this.#packets.used, this.#reservedEnd);
    this.#identification = (this.#identification + 1) | 0;
    if (emitFragments(this.#packets, packet, mtu, this.#identification, this.#output) < 0) this.dropped++;
  }

  #adopt(start: number, frameBytes: number): Packet {
    const { used } = this.#packets;
    const packet = this.#packets.adopt(start, frameBytes);
    // Fragments of an earlier one may have been built behind all that was received.
    if (this.#packets.used < used) this.#packets.used = used;
    return packet;
  }
}
