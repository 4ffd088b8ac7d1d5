/**
 * Joins TCP segments of one stream into the frame that `segment.ts` would cut into them (virtio-net's GSO: virtio 1.2, section 5.1.6): what came in by a link without
 * segmentation offload leaves by one with it in few large frames. It is what Linux does behind its drivers (GRO), at the other end.
 *
 * Joined are frames of one vector, those of up to `JOINS_OPEN_MAX` streams at a time, each to the one in front of it in its stream, where all of this holds:
 *
 * | field                        | of the next frame                                                                                    |
 * | ---------------------------- | ---------------------------------------------------------------------------------------------------- |
 * | Ethernet header, VLAN tags   | as in the first one; so are addresses and ports, by which streams are told apart                     |
 * | IPv4 service, TTL, flags     | as in the first one; neither has options, neither is a fragment                                      |
 * | IPv4 identification          | counts on, segment by segment; or, with DF, is the first one's again, as from senders who never set it |
 * | IPv6 class, label, hop limit | as in the first one; neither has extension headers                                                   |
 * | TCP sequence number          | follows the payload in front                                                                         |
 * | TCP flags                    | ACK, and ECE as in the first one; PSH or FIN make it the last                                        |
 * | TCP acknowledgment, window   | as in the first one; so are the reserved bits, the urgent pointer and all options (timestamps too)   |
 * | payload                      | as much as in the first one; less makes it the last, none is not joined                              |
 * | a large frame                | has segments of the same size, and is complete unless it is the last                                 |
 * | TCP checksum                 | right, or partial with the right sum, or known to be good to the sender's kernel                     |
 * | IP packet joined so far      | has at most 65,535 bytes and `SEGMENTS_PER_FRAME_MAX` segments                                       |
 *
 * So the frame, cut again, gives the segments byte by byte, but for what has no meaning: Ethernet padding, and an identification that stayed the same (RFC 6864,
 * section 4.1: of a datagram that is never fragmented). Any other frame of the stream, such as a pure acknowledgment, ends what was begun of it: the order within a stream is
 * kept. One of whose stream nothing is known (a fragment, IP options, a header that is cut short) ends all.
 *
 * A checksum is verified only where a frame has another to be joined with: the new frame's is partial, so nobody behind us would see that it was wrong.
 *
 * Not done: UDP; CWR, which only the first segment of a large frame has. Nothing outlives the vector. The frames are only read: other rows of the table may stand for the
 * same bytes. Nothing is allocated.
 */
import { assert } from '../base/assert.ts';
import { JOINS_OPEN_MAX, SEGMENTS_PER_FRAME_MAX } from '../base/limits.ts';
import * as internet from '../wire/checksum.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as ipv6 from '../wire/ipv6.ts';
import * as tcp from '../wire/tcp.ts';
import * as vnet from '../wire/vnet-header.ts';
import { NO_PACKET, type Packet, type Packets, VNET_HEADER_BYTES } from './packets.ts';
import { behindTags } from './segment.ts';

/** The largest IP packet that is made: IPv4's total length has 16 bits. IPv6 has as much, so that a frame is no larger than any other. */
const PACKET_BYTES_MAX = 0xffff;

/** What `#read` makes of a frame: of no TCP stream; of who knows which; of one, but not to be joined; to be joined. */
const NO_STREAM = 0;
const UNCLEAR = 1;
const ALONE = 2;
const JOINABLE = 3;

/** What is known of a checksum. */
const UNKNOWN = 0;
const GOOD = 1;
const BAD = 2;

const NONE = -1;

/** Flags that a frame may have that is joined with others. */
const FLAGS_JOINABLE: number = tcp.ACK | tcp.ECE | tcp.PSH | tcp.FIN;
const FLAGS_LAST: number = tcp.PSH | tcp.FIN;

/** Plans a vector with `plan`, then makes the frames of it one after another with `join`. The vector's frames must stay as they are in between. */
export class Joiner {
  readonly #into: Packets;
  #source: Packets;
  /** Of each frame in the vector; places are in the source's memory. */
  readonly #packet: Int32Array;
  readonly #network: Int32Array;
  readonly #transport: Int32Array;
  readonly #payload: Int32Array;
  readonly #end: Int32Array;
  /** Payload bytes of each segment of a large frame; of another, all that it has. */
  readonly #segmentBytes: Int32Array;
  readonly #checksum: Uint8Array;
  /** The frame that is joined to it, or `NONE`. */
  readonly #next: Int32Array;
  /** How many frames are joined in it, itself included; 0: it is joined to another. */
  readonly #frames: Int32Array;
  /** Of the first of some that are joined: the last, the bytes of the IP packet so far, and its segments. */
  readonly #last: Int32Array;
  readonly #bytes: Int32Array;
  readonly #segments: Int32Array;
  /** First frames to which more may be joined, the oldest first. */
  readonly #open: Int32Array = new Int32Array(JOINS_OPEN_MAX);
  #openCount: number = 0;

  /** Frames are made in `into`, which must lie behind the vector's arena in the same memory; a vector has at most `framesMax` frames. */
  constructor(into: Packets, framesMax: number) {
    this.#into = into;
    this.#source = into;
    this.#packet = new Int32Array(framesMax);
    this.#network = new Int32Array(framesMax);
    this.#transport = new Int32Array(framesMax);
    this.#payload = new Int32Array(framesMax);
    this.#end = new Int32Array(framesMax);
    this.#segmentBytes = new Int32Array(framesMax);
    this.#checksum = new Uint8Array(framesMax);
    this.#next = new Int32Array(framesMax);
    this.#frames = new Int32Array(framesMax);
    this.#last = new Int32Array(framesMax);
    this.#bytes = new Int32Array(framesMax);
    this.#segments = new Int32Array(framesMax);
  }

  /** Decides which frames are joined. Returns how many fewer there will be. */
  plan(source: Packets, frame: Int32Array, count: number): number {
    assert(
      source.bytes.length <= this.#into.bytes.length,
      'the arena for joined frames lies behind that of the frames',
    );
    this.#source = source;
    this.#openCount = 0;
    let fewer = 0;
    for (let i = 0; i < count; i++) {
      this.#packet[i] = frame[i];
      this.#next[i] = NONE;
      this.#frames[i] = 1;
      const kind = this.#read(i, frame[i]);
      if (kind === NO_STREAM) continue;
      if (kind === UNCLEAR) this.#openCount = 0;
      else if (this.#place(i, kind)) fewer++;
    }
    return fewer;
  }

  /** How many frames are joined in that at `index` of the vector. 1: it goes as it is; 0: it is part of an earlier one. */
  framesAt(index: number): number {
    return this.#frames[index];
  }

  /** Makes the frame that begins with that at `index` of the vector, or returns `NO_PACKET` when there is no room for it. */
  join(index: number): Packet {
    const source = this.#source;
    const into = this.#into;
    const packet = this.#packet[index];
    const start = source.start[packet];
    const joined = into.allocate(this.#network[index] - start + this.#bytes[index]);
    if (joined === NO_PACKET) return NO_PACKET;
    let at = into.start[joined];
    into.bytes.copyWithin(at, start, this.#end[index]);
    at += this.#end[index] - start;
    for (let i = this.#next[index]; i !== NONE; i = this.#next[i]) {
      into.bytes.copyWithin(at, this.#payload[i], this.#end[i]);
      at += this.#end[i] - this.#payload[i];
    }
    into.rxInterface[joined] = source.rxInterface[packet];
    into.txInterface[joined] = source.txInterface[packet];
    into.flow[joined] = source.flow[packet];
    this.#writeHeaders(joined, index);
    return joined;
  }

  #writeHeaders(joined: Packet, index: number): void {
    const { view } = this.#into;
    const start = this.#into.start[joined];
    const end = start + this.#into.length[joined];
    const from = this.#source.start[this.#packet[index]];
    const network = start + this.#network[index] - from;
    const transport = start + this.#transport[index] - from;
    const isIpv4 = view.getUint8(network) >>> 4 === 4;
    if (isIpv4) ipv4.setTotalLengthAndChecksum(view, network, end - network);
    else ipv6.setPayloadLength(view, network, end - network - ipv6.HEADER_BYTES);
    const last = tcp.flags(view, this.#transport[this.#last[index]]);
    tcp.setFlags(view, transport, tcp.flags(view, transport) | (last & FLAGS_LAST));
    tcp.writePartialChecksum(view, network, transport, end);
    const header = start - VNET_HEADER_BYTES;
    const kind = isIpv4 ? vnet.GSO_TCPV4 : vnet.GSO_TCPV6;
    vnet.setChecksum(view, header, transport - start, tcp.CHECKSUM_OFFSET);
    vnet.setGso(view, header, kind, this.#segmentBytes[index], this.#payload[index] - from);
  }

  /** Whether a frame whose stream is known is joined to one in front of it. If not, it ends what there is of its stream, and may begin anew. */
  #place(i: number, kind: number): boolean {
    const slot = this.#find(i);
    if (slot !== NONE) {
      const first = this.#open[slot];
      const joins = kind === JOINABLE && this.#follows(first, i);
      if (joins) this.#append(first, i);
      if (joins && !this.#isLast(i, this.#segmentBytes[first])) return true;
      this.#close(slot);
      if (joins) return true;
    }
    if (kind === JOINABLE && !this.#isLast(i, this.#segmentBytes[i])) this.#begin(i);
    return false;
  }

  /** The open slot of the frame's stream. */
  #find(i: number): number {
    const { view } = this.#source;
    for (let slot = 0; slot < this.#openCount; slot++) {
      const first = this.#open[slot];
      // Both ports in one word.
      if (view.getInt32(this.#transport[first]) !== view.getInt32(this.#transport[i])) continue;
      if (sameAddresses(view, this.#network[first], this.#network[i])) return slot;
    }
    return NONE;
  }

  #begin(i: number): void {
    if (this.#openCount === JOINS_OPEN_MAX) this.#close(0);
    this.#open[this.#openCount++] = i;
    this.#last[i] = i;
    this.#bytes[i] = this.#end[i] - this.#network[i];
    this.#segments[i] = this.#segmentsOf(i);
  }

  #close(slot: number): void {
    this.#open.copyWithin(slot, slot + 1, this.#openCount--);
  }

  #append(first: number, i: number): void {
    this.#next[this.#last[first]] = i;
    this.#last[first] = i;
    this.#frames[first]++;
    this.#frames[i] = 0;
    this.#bytes[first] += this.#payloadBytes(i);
    this.#segments[first] += this.#segmentsOf(i);
  }

  /** Whether nothing may be joined behind it, in segments of so many bytes. */
  #isLast(i: number, segmentBytes: number): boolean {
    if ((tcp.flags(this.#source.view, this.#transport[i]) & FLAGS_LAST) !== 0) return true;
    return this.#payloadBytes(i) % segmentBytes !== 0;
  }

  #payloadBytes(i: number): number {
    return this.#end[i] - this.#payload[i];
  }

  #segmentsOf(i: number): number {
    return Math.ceil(this.#payloadBytes(i) / this.#segmentBytes[i]);
  }

  /** Whether the frame is the next after all that is joined to the first one. */
  #follows(first: number, i: number): boolean {
    const { view } = this.#source;
    const bytes = this.#payloadBytes(i);
    const so = this.#bytes[first] - (this.#payload[first] - this.#network[first]);
    const transport = this.#transport[i];
    if (tcp.sequence(view, transport) !== ((tcp.sequence(view, this.#transport[first]) + so) | 0)) return false;
    if (this.#bytes[first] + bytes > PACKET_BYTES_MAX) return false;
    if (this.#segments[first] + this.#segmentsOf(i) > SEGMENTS_PER_FRAME_MAX) return false;
    const isLarge = this.#segmentBytes[i] !== bytes;
    if (isLarge ? this.#segmentBytes[i] !== this.#segmentBytes[first] : bytes > this.#segmentBytes[first]) return false;
    return this.#sameHeaders(view, first, i) && this.#isGood(first) && this.#isGood(i);
  }

  /** But for what tells streams apart, and what differs between segments. */
  #sameHeaders(view: DataView, first: number, i: number): boolean {
    const { start } = this.#source;
    const firstStart = start[this.#packet[first]];
    const ethernetBytes = this.#network[first] - firstStart;
    const ownStart = start[this.#packet[i]];
    if (this.#network[i] - ownStart !== ethernetBytes) return false;
    if (!sameWords(view, firstStart, ownStart, ethernetBytes)) return false;
    const isIpv4 = view.getUint8(this.#network[i]) >>> 4 === 4;
    const ipIsSame = isIpv4
      ? sameIpv4(view, this.#network[first], this.#network[i], this.#segments[first])
      : sameIpv6(view, this.#network[first], this.#network[i]);
    const tcpBytes = this.#payload[first] - this.#transport[first];
    return ipIsSame && sameTcp(view, this.#transport[first], this.#transport[i], tcpBytes);
  }

  /** Whether the checksums are right; looks when it is asked for the first time. */
  #isGood(i: number): boolean {
    if (this.#checksum[i] === UNKNOWN) {
      const { view } = this.#source;
      const isRight = tcp.verifyChecksum(view, this.#network[i], this.#transport[i], this.#end[i]);
      this.#checksum[i] = isRight ? GOOD : BAD;
    }
    return this.#checksum[i] === GOOD;
  }

  /** Notes where the parts of a frame are, and says what it is. */
  #read(i: number, packet: Packet): number {
    const { view, start, length } = this.#source;
    const end = start[packet] + length[packet];
    const at = behindTags(view, start[packet], end);
    if (at < 0) return UNCLEAR;
    const network = at + ethernet.HEADER_BYTES;
    this.#network[i] = network;
    switch (ethernet.type(view, at)) {
      case ethernet.TYPE_IPV4:
        return this.#readIpv4(i, view, network, end);
      case ethernet.TYPE_IPV6:
        return this.#readIpv6(i, view, network, end);
      default:
        return NO_STREAM;
    }
  }

  #readIpv4(i: number, view: DataView, network: number, end: number): number {
    const bytes = ipv4.check(view, network, end);
    if (bytes < 0) return UNCLEAR;
    if (ipv4.protocol(view, network) !== tcp.PROTOCOL) return NO_STREAM;
    if (bytes !== ipv4.HEADER_BYTES || ipv4.isFragment(view, network)) return UNCLEAR;
    // A new checksum would hide that this one was wrong.
    if (!ipv4.verifyChecksum(view, network)) return UNCLEAR;
    return this.#readTcp(i, view, network + bytes, network + ipv4.totalLength(view, network));
  }

  #readIpv6(i: number, view: DataView, network: number, end: number): number {
    if (ipv6.check(view, network, end) < 0) return UNCLEAR;
    switch (ipv6.nextHeader(view, network)) {
      case tcp.PROTOCOL:
        break;
      case ipv6.PROTOCOL_UDP:
      case ipv6.PROTOCOL_ICMPV6:
        return NO_STREAM;
      default:
        return UNCLEAR;
    }
    const transport = network + ipv6.HEADER_BYTES;
    return this.#readTcp(i, view, transport, transport + ipv6.payloadLength(view, network));
  }

  #readTcp(i: number, view: DataView, transport: number, end: number): number {
    const bytes = tcp.check(view, transport, end);
    if (bytes < 0) return UNCLEAR;
    this.#transport[i] = transport;
    this.#payload[i] = transport + bytes;
    this.#end[i] = end;
    const flags = tcp.flags(view, transport);
    if ((flags & ~FLAGS_JOINABLE) !== 0 || (flags & tcp.ACK) === 0 || transport + bytes === end) return ALONE;
    return this.#readOffload(i, view) ? JOINABLE : ALONE;
  }

  /** Reads the virtio-net header. `false`: it claims what does not fit the frame, or what is not joined. */
  #readOffload(i: number, view: DataView): boolean {
    const packet = this.#packet[i];
    const start = this.#source.start[packet];
    const header = start - VNET_HEADER_BYTES;
    if (vnet.check(view, header, this.#source.length[packet]) < 0) return false;
    const kind = vnet.gsoType(view, header);
    const isIpv4 = view.getUint8(this.#network[i]) >>> 4 === 4;
    if (kind !== vnet.GSO_NONE && kind !== (isIpv4 ? vnet.GSO_TCPV4 : vnet.GSO_TCPV6)) return false;
    this.#segmentBytes[i] = kind === vnet.GSO_NONE ? this.#payloadBytes(i) : vnet.gsoSize(view, header);
    const flags = vnet.flags(view, header);
    this.#checksum[i] = (flags & vnet.FLAG_DATA_VALID) === 0 ? UNKNOWN : GOOD;
    if ((flags & vnet.FLAG_NEEDS_CSUM) === 0) return true;
    this.#checksum[i] = GOOD;
    const transport = this.#transport[i];
    if (vnet.checksumStart(view, header) !== transport - start) return false;
    if (vnet.checksumOffset(view, header) !== tcp.CHECKSUM_OFFSET) return false;
    const bytes = this.#end[i] - transport;
    const pseudo = internet.pseudoHeader(view, this.#network[i], tcp.PROTOCOL, bytes);
    return tcp.checksum(view, transport) === internet.fold(pseudo);
  }
}

/** Version and addresses of two IP packets. */
function sameAddresses(view: DataView, a: number, b: number): boolean {
  const version = view.getUint8(a) >>> 4;
  if (version !== view.getUint8(b) >>> 4) return false;
  if (version === 6) return sameWords(view, ipv6.sourceAt(a), ipv6.sourceAt(b), 32);
  return ipv4.source(view, a) === ipv4.source(view, b) && ipv4.destination(view, a) === ipv4.destination(view, b);
}

/** `b` comes `segments` behind `a`. */
function sameIpv4(view: DataView, a: number, b: number, segments: number): boolean {
  const id = ipv4.identification(view, a);
  const counts = ipv4.identification(view, b) === ((id + segments) & 0xffff);
  return (
    (counts || (ipv4.dontFragment(view, a) && ipv4.identification(view, b) === id)) &&
    ipv4.typeOfService(view, a) === ipv4.typeOfService(view, b) &&
    ipv4.fragmentWord(view, a) === ipv4.fragmentWord(view, b) &&
    ipv4.timeToLive(view, a) === ipv4.timeToLive(view, b)
  );
}

function sameIpv6(view: DataView, a: number, b: number): boolean {
  return view.getInt32(a) === view.getInt32(b) && ipv6.hopLimit(view, a) === ipv6.hopLimit(view, b);
}

/** Two headers, of which that at `a` has `bytes`, but for sequence number, checksum, PSH and FIN. */
function sameTcp(view: DataView, a: number, b: number, bytes: number): boolean {
  return (
    tcp.acknowledgment(view, a) === tcp.acknowledgment(view, b) &&
    // Length, reserved bits, flags and window.
    ((view.getInt32(a + 12) ^ view.getInt32(b + 12)) & ~(FLAGS_LAST << 16)) === 0 &&
    tcp.urgent(view, a) === tcp.urgent(view, b) &&
    sameWords(view, a + tcp.HEADER_BYTES, b + tcp.HEADER_BYTES, bytes - tcp.HEADER_BYTES)
  );
}

/** Whether two ranges of an even number of bytes hold the same. */
function sameWords(view: DataView, a: number, b: number, bytes: number): boolean {
  let at = 0;
  for (; at + 4 <= bytes; at += 4) if (view.getInt32(a + at) !== view.getInt32(b + at)) return false;
  return at === bytes || view.getUint16(a + at) === view.getUint16(b + at);
}
