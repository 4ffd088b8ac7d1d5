/**
 * Cuts a frame that its sender left whole (virtio-net's GSO: virtio 1.2, section 5.1.6) into the segments that it asks for, as Linux does it for a
 * device without segmentation offload (Documentation/networking/segmentation-offloads.rst).
 *
 * Each segment is the frame's headers, from Ethernet to TCP (with its options) or UDP, and the next `gso_size` bytes of its payload. What differs between them:
 *
 * | field                        | in segment i of n                                                               |
 * | ---------------------------- | ------------------------------------------------------------------------------- |
 * | IPv4 total length, checksum  | its own                                                                         |
 * | IPv4 identification          | that of the frame + i                                                           |
 * | IPv6 payload length          | its own; extension headers are part of all of them                              |
 * | TCP sequence number          | that of the frame + the bytes of payload in front                               |
 * | TCP FIN, PSH                 | in the last one                                                                 |
 * | TCP CWR                      | in the first one (RFC 3168, section 6.1.2), with `GSO_ECN` or without           |
 * | UDP length                   | its own                                                                         |
 * | TCP or UDP checksum          | complete, or the sum of the pseudo-header where the link completes it (partial) |
 *
 * A frame that is not larger than one segment becomes one. The pseudo-header's sum is taken from the frame's partial checksum where it has one: of a packet in
 * the middle of a source route, only its sender knows the addresses in it. Ethernet padding is left away; one or two VLAN tags are kept.
 *
 * Not done: UDP cut into IP fragments (UFO), tunnels, packets that are IP fragments themselves; these are refused. Whether the segments fit the link's MTU is
 * for whoever forwards.
 *
 * The guest wrote all of it: `begin` refuses what does not fit the frame's bytes, and what would make more than `SEGMENTS_PER_FRAME_MAX`. The source is only read: other
 * rows of the table may stand for the same bytes. Nothing is allocated.
 */
import { assert } from '../base/assert.ts';
import { SEGMENTS_PER_FRAME_MAX } from '../base/limits.ts';
import * as internet from '../wire/checksum.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as ipv6 from '../wire/ipv6.ts';
import * as tcp from '../wire/tcp.ts';
import * as udp from '../wire/udp.ts';
import * as vnet from '../wire/vnet-header.ts';
import { NO_PACKET, type Packet, type Packets, VNET_HEADER_BYTES } from './packets.ts';

/** What `Segmenter.begin` returns for a frame that can't be cut: its virtio-net header, or one in the frame, is wrong. */
export const REFUSED = 0;

/** IEEE 802.1Q: 4 bytes between the source address and the EtherType, at most two of them, C-VLAN (or S-VLAN outside) and C-VLAN. */
const TYPE_VLAN = 0x8100;
const TYPE_SERVICE_VLAN = 0x88a8;
const VLAN_TAG_BYTES = 4;
const VLAN_TAGS_MAX = 2;

/** The largest frame that there can be: IPv6 does not count its header, and there are tags. A segment of everything is as large. */
export const SEGMENT_BYTES_MAX: number =
  ethernet.HEADER_BYTES + VLAN_TAGS_MAX * VLAN_TAG_BYTES + ipv6.HEADER_BYTES + 0xffff;

/**
 * Cuts one frame after another: `begin` reads its headers, then each `next` makes a segment. The frame must stay as it is in between.
 * Between two calls of `next` the caller may send the segments that there are and empty their arena.
 */
export class Segmenter {
  readonly #into: Packets;
  #source: Packets;
  #packet: Packet = NO_PACKET;
  /** These are places in the source's memory. */
  #start: number = 0;
  #network: number = 0;
  #transport: number = 0;
  #payload: number = 0;
  #end: number = 0;
  /** Where the payload goes on that no segment has yet, and in which segment. */
  #position: number = 0;
  #index: number = 0;
  #count: number = 0;
  #segmentBytes: number = 0;
  #protocol: number = 0;
  /** The sum of the pseudo-header, but for the length. */
  #pseudo: number = 0;
  readonly #walk: Int32Array = new Int32Array(ipv6.WALK_WORDS);

  /** Segments are made in `into`, which must lie behind the frames' arena in the same memory (see the constructor of `Packets`). */
  constructor(into: Packets) {
    this.#into = into;
    this.#source = into;
  }

  /** Whether all segments of the frame are made. */
  get done(): boolean {
    return this.#index === this.#count;
  }

  /** Reads the frame's headers, and returns how many segments it will make, or `REFUSED`. */
  begin(source: Packets, packet: Packet): number {
    assert(source.bytes.length <= this.#into.bytes.length, 'the arena for segments lies behind that of the frame');
    this.#source = source;
    this.#packet = packet;
    this.#start = source.start[packet];
    this.#index = 0;
    this.#count = this.#readHeaders() ? this.#countSegments() : REFUSED;
    this.#position = this.#payload;
    return this.#count;
  }

  /**
   * Makes the next segment, or returns `NO_PACKET` when there is no room for it. With `partial` its checksum is left to the link, and its virtio-net
   * header says so.
   */
  next(partial: boolean): Packet {
    const source = this.#source;
    const into = this.#into;
    const headersBytes = this.#payload - this.#start;
    const bytes = Math.min(this.#segmentBytes, this.#end - this.#position);
    const segment = into.allocate(headersBytes + bytes);
    if (segment === NO_PACKET) return NO_PACKET;
    const at = into.start[segment];
    if (this.#index === 0) {
      into.bytes.copyWithin(at, this.#start, this.#payload + bytes);
    } else {
      into.bytes.copyWithin(at, this.#start, this.#payload);
      into.bytes.copyWithin(at + headersBytes, this.#position, this.#position + bytes);
    }
    into.rxInterface[segment] = source.rxInterface[this.#packet];
    into.txInterface[segment] = source.txInterface[this.#packet];
    into.flow[segment] = source.flow[this.#packet];
    this.#writeNetwork(into.view, at + this.#network - this.#start, at + headersBytes + bytes);
    this.#writeTransport(into.view, at, at + headersBytes + bytes, partial);
    this.#position += bytes;
    this.#index++;
    return segment;
  }

  #countSegments(): number {
    const count = Math.ceil((this.#end - this.#payload) / this.#segmentBytes);
    return count > SEGMENTS_PER_FRAME_MAX ? REFUSED : Math.max(count, 1);
  }

  /** Whether the frame is what its virtio-net header says. */
  #readHeaders(): boolean {
    const view = this.#source.view;
    const header = this.#start - VNET_HEADER_BYTES;
    const end = this.#start + this.#source.length[this.#packet];
    if (vnet.check(view, header, end - this.#start) < 0) return false;
    this.#segmentBytes = vnet.gsoSize(view, header);
    const type = this.#readEthernet(view, end);
    switch (vnet.gsoType(view, header) & ~vnet.GSO_ECN) {
      case vnet.GSO_TCPV4:
        return type === ethernet.TYPE_IPV4 && this.#readIpv4(view, end) && this.#readTcp(view, header);
      case vnet.GSO_TCPV6:
        return type === ethernet.TYPE_IPV6 && this.#readIpv6(view, end) && this.#readTcp(view, header);
      case vnet.GSO_UDP_L4:
        return this.#readIp(view, end, type) && this.#readUdp(view, header);
      default:
        return false;
    }
  }

  /** Sets where the network header starts, and returns its type, -1: there is none. */
  #readEthernet(view: DataView, end: number): number {
    const at = behindTags(view, this.#start, end);
    if (at < 0) return -1;
    this.#network = at + ethernet.HEADER_BYTES;
    return ethernet.type(view, at);
  }

  #readIp(view: DataView, end: number, type: number): boolean {
    if (type === ethernet.TYPE_IPV4) return this.#readIpv4(view, end);
    return type === ethernet.TYPE_IPV6 && this.#readIpv6(view, end);
  }

  #readIpv4(view: DataView, end: number): boolean {
    const bytes = ipv4.check(view, this.#network, end);
    if (bytes < 0 || ipv4.isFragment(view, this.#network)) return false;
    this.#transport = this.#network + bytes;
    this.#end = this.#network + ipv4.totalLength(view, this.#network);
    this.#protocol = ipv4.protocol(view, this.#network);
    return true;
  }

  #readIpv6(view: DataView, end: number): boolean {
    if (ipv6.check(view, this.#network, end) < 0) return false;
    this.#end = this.#network + ipv6.HEADER_BYTES + ipv6.payloadLength(view, this.#network);
    this.#transport = ipv6.walkExtensions(view, this.#network, this.#end, this.#walk);
    this.#protocol = this.#walk[ipv6.WALK_PROTOCOL];
    return this.#transport >= 0 && this.#walk[ipv6.WALK_FRAGMENT] === -1;
  }

  #readTcp(view: DataView, header: number): boolean {
    if (this.#protocol !== tcp.PROTOCOL) return false;
    const bytes = tcp.check(view, this.#transport, this.#end);
    if (bytes < 0) return false;
    this.#payload = this.#transport + bytes;
    return this.#readChecksum(view, header, tcp.CHECKSUM_OFFSET);
  }

  #readUdp(view: DataView, header: number): boolean {
    if (this.#protocol !== udp.PROTOCOL || udp.check(view, this.#transport, this.#end) < 0) return false;
    this.#payload = this.#transport + udp.HEADER_BYTES;
    this.#end = this.#transport + udp.length(view, this.#transport);
    return this.#readChecksum(view, header, udp.CHECKSUM_OFFSET);
  }

  /** Finds the pseudo-header's sum. A partial checksum must lie where the protocol has it. */
  #readChecksum(view: DataView, header: number, offset: number): boolean {
    if ((vnet.flags(view, header) & vnet.FLAG_NEEDS_CSUM) === 0) {
      this.#pseudo = internet.pseudoHeader(view, this.#network, this.#protocol, 0);
      return true;
    }
    const partial = view.getUint16(this.#transport + offset);
    this.#pseudo = internet.fold(partial + (~(this.#end - this.#transport) & 0xffff));
    const start = this.#start + vnet.checksumStart(view, header);
    return start === this.#transport && vnet.checksumOffset(view, header) === offset;
  }

  #writeNetwork(view: DataView, network: number, end: number): void {
    if (view.getUint8(network) >>> 4 === 6) {
      ipv6.setPayloadLength(view, network, end - network - ipv6.HEADER_BYTES);
      return;
    }
    ipv4.setTotalLength(view, network, end - network);
    ipv4.setIdentification(view, network, (ipv4.identification(view, network) + this.#index) & 0xffff);
    ipv4.writeChecksum(view, network);
  }

  #writeTransport(view: DataView, start: number, end: number, partial: boolean): void {
    const at = start + this.#transport - this.#start;
    const isTcp = this.#protocol === tcp.PROTOCOL;
    if (isTcp) this.#writeTcp(view, at);
    else udp.setLength(view, at, end - at);
    const offset = isTcp ? tcp.CHECKSUM_OFFSET : udp.CHECKSUM_OFFSET;
    const pseudo = this.#pseudo + (end - at);
    if (partial) {
      view.setUint16(at + offset, internet.fold(pseudo));
      vnet.setChecksum(view, start - VNET_HEADER_BYTES, at - start, offset);
      return;
    }
    view.setUint16(at + offset, 0);
    const checksum = internet.finish(internet.sum(view, at, end - at, pseudo));
    view.setUint16(at + offset, checksum === 0 && !isTcp ? 0xffff : checksum);
  }

  #writeTcp(view: DataView, at: number): void {
    let flags = tcp.flags(view, at);
    if (this.#index > 0) flags &= ~tcp.CWR;
    if (this.#index < this.#count - 1) flags &= ~(tcp.FIN | tcp.PSH);
    tcp.setFlags(view, at, flags);
    tcp.setSequence(view, at, (tcp.sequence(view, at) + this.#position - this.#payload) | 0);
  }
}

/**
 * Where an Ethernet header would start whose type is that behind up to two VLAN tags: where the frame at `start` does, if it has none. -1: the frame ends within them.
 */
export function behindTags(view: DataView, start: number, end: number): number {
  let at = start;
  if (ethernet.check(view, at, end) < 0) return -1;
  for (let tags = 0; tags < VLAN_TAGS_MAX && isVlanTag(ethernet.type(view, at)); tags++) {
    at += VLAN_TAG_BYTES;
    if (ethernet.check(view, at, end) < 0) return -1;
  }
  return at;
}

function isVlanTag(type: number): boolean {
  return type === TYPE_VLAN || type === TYPE_SERVICE_VLAN;
}
