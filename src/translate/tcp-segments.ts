/**
 * Builds the segments that go to the guest. Our side of each header is the flow's *remote* address: the guest believes that it talks to it.
 *
 * A data segment is built around bytes that the kernel copies straight behind the room for its headers, or, behind `borrow`, to the guest's own memory: `begin` makes that room, the caller
 * fills the payload, `finish` writes the headers in front. Where the link takes it, the checksum is left partial and the segment may be as
 * large as an IP packet can be (virtio-net's NEEDS_CSUM and GSO): the guest's own kernel takes it whole.
 */
import { UNSENT_BYTES_MAX } from '../base/limits.ts';
import { KEY_GUEST, KEY_REMOTE, KEY_WORDS } from '../flow/flow-key.ts';
import type { FlowTable } from '../flow/flow-table.ts';
import type { GuestLink, GuestLinks } from '../flow/guest-link.ts';
import type { Output } from '../graph/node.ts';
import { NO_PACKET, NOT_LENT, type Packets, VNET_HEADER_BYTES } from '../packet/packets.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as ipv6 from '../wire/ipv6.ts';
import * as tcp from '../wire/tcp.ts';
import * as vnet from '../wire/vnet-header.ts';
import { type TcpColumns, WINDOW_SCALE } from './tcp-columns.ts';

/** As a Linux host would send it: nothing between it and the guest counts hops. */
const TIME_TO_LIVE = 64;
const IP_PACKET_BYTES_MAX = 65_535;
const WINDOW_FIELD_MAX = 0xffff;
const PAGE_BYTES = 4096;
/** An MSS that loses little by the last page's rest: an eighth, at most. */
const PAGES_BYTES_MIN = 8 * PAGE_BYTES;

export class TcpSegments {
  readonly #packets: Packets;
  readonly #flows: FlowTable;
  readonly #links: GuestLinks;
  readonly #output: Output;
  readonly #tcp: TcpColumns;

  constructor(packets: Packets, flows: FlowTable, links: GuestLinks, output: Output, columns: TcpColumns) {
    this.#packets = packets;
    this.#flows = flows;
    this.#links = links;
    this.#output = output;
    this.#tcp = columns;
  }

  link(flow: number): GuestLink {
    return this.#links[this.#flows.interfaceIndex(flow)]!;
  }

  /** Payload of the largest segment that fits the link's MTU, without options. */
  mssMax(flow: number): number {
    return this.link(flow).mtu - this.#networkBytes(flow) - tcp.HEADER_BYTES;
  }

  /** The MSS that we announce: where it is many pages, whole ones. So a guest's large writes fill its pages and its segments alike. */
  ourMss(flow: number): number {
    const most = this.mssMax(flow);
    return most < PAGES_BYTES_MIN ? most : most - (most % PAGE_BYTES);
  }

  /** Payload bytes of one frame to the guest: whole segments as many as an IP packet holds where the link segments, one otherwise. */
  payloadMax(flow: number): number {
    const mss = this.#tcp.mss[flow];
    if (!this.link(flow).offload.tcpSegmentation) return mss;
    const room = IP_PACKET_BYTES_MAX - this.#networkBytes(flow) - tcp.HEADER_BYTES;
    return Math.max(mss, room - (room % mss));
  }

  /** Sends what has been built where that is much. No received packet may be in use. */
  flushMuch(): void {
    if (this.#packets.used > UNSENT_BYTES_MAX) this.#output.flush();
  }

  /** A packet with room for headers and `payloadBytes`, or NO_PACKET. Sends what has been built when the arena is full: see `Output.flush`. */
  begin(flow: number, payloadBytes: number): number {
    const frameBytes = this.headerBytes(flow) + payloadBytes;
    const packet = this.#packets.allocate(frameBytes);
    if (packet !== NO_PACKET) return packet;
    this.#output.flush();
    return this.#packets.allocate(frameBytes);
  }

  /** Bytes from the Ethernet header to the payload of a segment without options. */
  headerBytes(flow: number): number {
    return ethernet.HEADER_BYTES + this.#networkBytes(flow) + tcp.HEADER_BYTES;
  }

  /** Writes the headers of `packet`, made by `begin` and filled with `payloadBytes`, and sends it. It is the newest packet of the arena. */
  finish(packet: number, flow: number, flags: number, sequence: number, payloadBytes: number): void {
    const frameBytes = this.headerBytes(flow) + payloadBytes;
    this.#packets.trim(packet, frameBytes);
    this.#keepBorrowed(packet, flow);
    this.#write(packet, flow, flags, sequence, tcp.HEADER_BYTES, frameBytes);
    if (payloadBytes > this.#tcp.mss[flow]) this.#setSegmentation(packet, flow);
    this.#output.emit(packet);
  }

  /** Has the payload of the packet that `begin` made last lie in the guest's own memory, where that can be. */
  borrow(packet: number, flow: number): void {
    const link = this.link(flow);
    if (!link.offload.checksum || this.#output.borrow === undefined) return;
    const { view, start, length } = this.#packets;
    // A link may have several places for frames, and choose by flow.
    const transportAt = this.#writeNetwork(start[packet], flow, link, length[packet]);
    tcp.setSourcePort(view, transportAt, this.#flows.remotePort(flow));
    tcp.setDestinationPort(view, transportAt, this.#flows.guestPort(flow));
    this.#output.borrow(link.index, packet, this.headerBytes(flow));
  }

  /** Gives the packet that `begin` made last back unused. */
  abandon(packet: number, flow: number): void {
    this.#packets.length[packet] = 0;
    this.#keepBorrowed(packet, flow);
    this.#packets.count = packet;
    this.#packets.used = this.#packets.start[packet] - VNET_HEADER_BYTES;
  }

  /** Sends a segment without payload. A SYN carries our MSS and, unless the guest declined, our window scale. */
  control(flow: number, flags: number, sequence: number, scaled: boolean = false): void {
    const options = (flags & tcp.SYN) === 0 ? 0 : tcp.synOptionsBytes(scaled ? WINDOW_SCALE : -1);
    const frameBytes = this.headerBytes(flow) + options;
    const packet = this.begin(flow, options);
    if (packet === NO_PACKET) return;
    if (options > 0) {
      const at = this.#packets.start[packet] + frameBytes - options - tcp.HEADER_BYTES;
      tcp.writeSynOptions(this.#packets.view, at, this.ourMss(flow), scaled ? WINDOW_SCALE : -1);
    }
    this.#write(packet, flow, flags, sequence, tcp.HEADER_BYTES + options, frameBytes);
    this.#output.emit(packet);
  }

  /**
   * Turns a segment that belongs to no flow, or opens one that is refused, into the RST that answers it (RFC 9293, section 3.10.7.1), in place.
   * Returns false where a RST must not be answered.
   */
  refuse(packet: number): boolean {
    const { view, start, network, transport, end } = this.#packets;
    const at = transport[packet];
    const flags = tcp.flags(view, at);
    if ((flags & tcp.RST) !== 0) return false;
    const link = this.#links[this.#packets.rxInterface[packet]];
    if (link === undefined) return false;
    const payloadBytes = end[packet] - at - tcp.dataOffset(view, at);
    const acknowledged = (flags & tcp.ACK) !== 0;
    const sequence = acknowledged ? tcp.acknowledgment(view, at) : 0;
    const covers = payloadBytes + ((flags & tcp.SYN) !== 0 ? 1 : 0) + ((flags & tcp.FIN) !== 0 ? 1 : 0);
    const acknowledgment = acknowledged ? 0 : (tcp.sequence(view, at) + covers) | 0;
    const sourcePort = tcp.sourcePort(view, at);
    const destinationPort = tcp.destinationPort(view, at);

    const ethernetAt = start[packet];
    const networkAt = ethernetAt + ethernet.HEADER_BYTES;
    const guestHigh = ethernet.sourceHigh(view, ethernetAt);
    const guestLow = ethernet.sourceLow(view, ethernetAt);
    let transportAt: number;
    if (view.getUint8(network[packet]) >>> 4 === 4) {
      const from = ipv4.destination(view, network[packet]);
      const to = ipv4.source(view, network[packet]);
      transportAt = networkAt + ipv4.HEADER_BYTES;
      const total = ipv4.HEADER_BYTES + tcp.HEADER_BYTES;
      ipv4.writeHeader(view, networkAt, total, tcp.PROTOCOL, from, to, TIME_TO_LIVE, 0, 0, ipv4.DONT_FRAGMENT);
      ethernet.writeHeader(view, ethernetAt, guestHigh, guestLow, link.ourMacHigh, link.ourMacLow, ethernet.TYPE_IPV4);
    } else {
      for (let word = 0; word < 4; word++) {
        const from = ipv6.sourceWord(view, networkAt, word);
        view.setInt32(ipv6.sourceAt(networkAt) + word * 4, ipv6.destinationWord(view, networkAt, word));
        view.setInt32(ipv6.destinationAt(networkAt) + word * 4, from);
      }
      transportAt = networkAt + ipv6.HEADER_BYTES;
      ipv6.writeHeader(view, networkAt, tcp.HEADER_BYTES, tcp.PROTOCOL, TIME_TO_LIVE, 0, 0);
      ethernet.writeHeader(view, ethernetAt, guestHigh, guestLow, link.ourMacHigh, link.ourMacLow, ethernet.TYPE_IPV6);
    }
    const answer = acknowledged ? tcp.RST : tcp.RST | tcp.ACK;
    tcp.writeHeader(
      view,
      transportAt,
      destinationPort,
      sourcePort,
      sequence,
      acknowledgment,
      tcp.HEADER_BYTES,
      answer,
      0,
    );
    tcp.writeChecksum(view, networkAt, transportAt, transportAt + tcp.HEADER_BYTES);
    vnet.clear(view, ethernetAt - VNET_HEADER_BYTES);
    this.#packets.length[packet] = transportAt + tcp.HEADER_BYTES - ethernetAt;
    this.#packets.txInterface[packet] = link.index;
    return true;
  }

  /** The packet has its length now. */
  #keepBorrowed(packet: number, flow: number): void {
    if (this.#packets.lent[packet] !== NOT_LENT) this.#output.keepBorrowed?.(this.link(flow).index, packet);
  }

  #networkBytes(flow: number): number {
    return this.#flows.isIpv4(flow) ? ipv4.HEADER_BYTES : ipv6.HEADER_BYTES;
  }

  /** All headers, the checksum, and what the capture and the link must know. */
  #write(
    packet: number,
    flow: number,
    flags: number,
    sequence: number,
    tcpHeaderBytes: number,
    frameBytes: number,
  ): void {
    const { view, start } = this.#packets;
    const at = start[packet];
    const link = this.link(flow);
    const networkAt = at + ethernet.HEADER_BYTES;
    const transportAt = this.#writeNetwork(at, flow, link, frameBytes);
    const acknowledges = (flags & tcp.ACK) !== 0;
    tcp.writeHeader(
      view,
      transportAt,
      this.#flows.remotePort(flow),
      this.#flows.guestPort(flow),
      sequence,
      acknowledges ? this.#tcp.rcvNxt[flow] : 0,
      tcpHeaderBytes,
      flags,
      this.#windowField(flow, flags),
    );
    if (link.offload.checksum) {
      tcp.writePartialChecksum(view, networkAt, transportAt, at + frameBytes);
      vnet.setChecksum(view, at - VNET_HEADER_BYTES, transportAt - at, tcp.CHECKSUM_OFFSET);
    } else {
      tcp.writeChecksum(view, networkAt, transportAt, at + frameBytes);
    }
    this.#packets.network[packet] = networkAt;
    this.#packets.transport[packet] = transportAt;
    this.#packets.txInterface[packet] = link.index;
    this.#packets.flow[packet] = flow;
    this.#flows.packetsIn[flow]++;
  }

  /** Ethernet and IP; returns where the TCP header starts. */
  #writeNetwork(at: number, flow: number, link: GuestLink, frameBytes: number): number {
    const { view } = this.#packets;
    const { keys, macHigh, macLow } = this.#flows;
    const key = flow * KEY_WORDS;
    const networkAt = at + ethernet.HEADER_BYTES;
    const networkPacketBytes = frameBytes - ethernet.HEADER_BYTES;
    const isIpv4 = this.#flows.isIpv4(flow);
    ethernet.writeHeader(
      view,
      at,
      macHigh[flow],
      macLow[flow],
      link.ourMacHigh,
      link.ourMacLow,
      isIpv4 ? ethernet.TYPE_IPV4 : ethernet.TYPE_IPV6,
    );
    if (isIpv4) {
      const remote = keys[key + KEY_REMOTE + 3];
      const guest = keys[key + KEY_GUEST + 3];
      ipv4.writeHeader(
        view,
        networkAt,
        networkPacketBytes,
        tcp.PROTOCOL,
        remote,
        guest,
        TIME_TO_LIVE,
        0,
        0,
        ipv4.DONT_FRAGMENT,
      );
      return networkAt + ipv4.HEADER_BYTES;
    }
    ipv6.writeHeader(view, networkAt, networkPacketBytes - ipv6.HEADER_BYTES, tcp.PROTOCOL, TIME_TO_LIVE, 0, 0);
    for (let word = 0; word < 4; word++) {
      view.setInt32(ipv6.sourceAt(networkAt) + word * 4, keys[key + KEY_REMOTE + word]);
      view.setInt32(ipv6.destinationAt(networkAt) + word * 4, keys[key + KEY_GUEST + word]);
    }
    return networkAt + ipv6.HEADER_BYTES;
  }

  /** The window from RCV.NXT to the edge that the flow has been given; a SYN's is never scaled (RFC 7323, section 2.2). */
  #windowField(flow: number, flags: number): number {
    const window = Math.max(0, (this.#tcp.rcvEdge[flow] - this.#tcp.rcvNxt[flow]) | 0);
    const shift = (flags & tcp.SYN) === 0 && this.#tcp.guestScale[flow] !== UNSCALED ? WINDOW_SCALE : 0;
    return Math.min(window >> shift, WINDOW_FIELD_MAX);
  }

  /** Leaves it to the other end to cut the packet into segments. */
  #setSegmentation(packet: number, flow: number): void {
    const kind = this.#flows.isIpv4(flow) ? vnet.GSO_TCPV4 : vnet.GSO_TCPV6;
    const header = this.#packets.start[packet] - VNET_HEADER_BYTES;
    vnet.setGso(this.#packets.view, header, kind, this.#tcp.mss[flow], this.headerBytes(flow));
  }
}

/** In `guestScale`: the guest does not scale windows, and neither do we. */
export const UNSCALED: number = 0xff;
