/**
 * ICMP and ICMPv6 errors to the guest (RFC 792, RFC 1812 section 4.3; RFC 4443): in reply to a packet that we refuse, or for a flow
 * whose host socket failed.
 *
 * An error for a flow quotes a packet that is long gone: its IP header is rebuilt from the flow's key, and what is known of the
 * transport header follows. It comes from the node that reported it, so that traceroute works, or from the address that the guest talks
 * to.
 *
 * No error is sent about an error, about a fragment but the first, or about multicast: such packets do not get as far as here
 * (`nodes/ip4-input.ts`). Errors are limited in rate (RFC 1812, section 4.3.2.8; RFC 4443, section 2.4, f) by one bucket for all, so a
 * guest can't make us its generator of traffic.
 */
import { isIpv4Words, isLoopbackWords, isUnspecifiedWords } from '../base/address.ts';
import { copyBytes } from '../base/bytes.ts';
import { TokenBucket } from '../base/token-bucket.ts';
import type { TurnClock } from '../base/turn-clock.ts';
import { KEY_GUEST, KEY_REMOTE, KEY_WORDS } from '../flow/flow-key.ts';
import { type FlowTable, TARGET_WORDS } from '../flow/flow-table.ts';
import type { GuestLinks } from '../flow/guest-link.ts';
import type { Emitter } from '../graph/node.ts';
import { NO_PACKET, type Packet, type Packets } from '../packet/packets.ts';
import { ERRNO } from '../sys/errno.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as icmp from '../wire/icmp.ts';
import * as icmpv6 from '../wire/icmpv6.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as ipv6 from '../wire/ipv6.ts';
import * as udp from '../wire/udp.ts';

/** RFC 1812, section 4.3.2.3: as much as possible without exceeding 576 bytes. */
const IPV4_ERROR_BYTES_MAX = 576;
const IPV6_ERROR_BYTES_MAX: number = icmpv6.ERROR_PACKET_BYTES_MAX;

/** What a bucket holds, and how fast it fills: Linux's own defaults are of this order (net.ipv4.icmp_msgs_burst, icmp_msgs_per_sec). */
const BURST = 100;
const PER_SECOND = 1000;

const TIME_TO_LIVE = 64;
/** Ports and sequence number of TCP, or ports, length and checksum of UDP: what every ICMP error quotes at least. */
const QUOTED_TRANSPORT_BYTES = 8;

/** Words of an error record: where it comes from, and the values of that word (see `ERROR_RECORD_WORDS`). */
const ORIGIN = 1;
const ORIGIN_ICMP = 2;
const ORIGIN_ICMPV6 = 3;
const OFFENDER = 12;

const NO_QUOTE: DataView = new DataView(new ArrayBuffer(0));

/** Why a packet is refused, in the words of connect(2): EACCES, ECONNREFUSED, EHOSTUNREACH. */
export const REFUSAL = { PROHIBITED: 13, PORT: 111, HOST: 113 } as const;

export interface IcmpErrorDeps {
  readonly packets: Packets;
  readonly flows: FlowTable;
  readonly links: GuestLinks;
  readonly clock: TurnClock;
  readonly output: Emitter;
}

export class IcmpErrors {
  /** Errors sent, and not sent because there were too many. */
  sent: number = 0;
  limited: number = 0;

  readonly #packets: Packets;
  readonly #flows: FlowTable;
  readonly #links: GuestLinks;
  readonly #clock: TurnClock;
  readonly #output: Emitter;
  readonly #bucket: TokenBucket = new TokenBucket(BURST, PER_SECOND);

  constructor(deps: IcmpErrorDeps) {
    this.#packets = deps.packets;
    this.#flows = deps.flows;
    this.#links = deps.links;
    this.#clock = deps.clock;
    this.#output = deps.output;
  }

  /**
   * Answers `packet`, whose IP header has been judged, with "unreachable", in the name of the address that it was for. `refusal`: one
   * of `REFUSAL`.
   */
  replyTo(packet: Packet, refusal: number): void {
    const { view, network, end, start, rxInterface } = this.#packets;
    const at = network[packet];
    const ipv4Packet = view.getUint8(at) >>> 4 === 4;
    const headers = ipv4Packet ? ipv4.HEADER_BYTES + icmp.HEADER_BYTES : ipv6.HEADER_BYTES + icmpv6.HEADER_BYTES;
    const most = (ipv4Packet ? IPV4_ERROR_BYTES_MAX : IPV6_ERROR_BYTES_MAX) - headers;
    const quoted = Math.min(end[packet] - at, most);
    const error = this.#begin(rxInterface[packet], headers + quoted);
    if (error === NO_PACKET) return;
    const from = start[packet];
    this.#writeEthernet(error, ethernet.sourceHigh(view, from), ethernet.sourceLow(view, from), ipv4Packet);
    const to = network[error];
    this.#packets.bytes.copyWithin(to + headers, at, at + quoted);
    if (ipv4Packet) {
      const bytes = headers + quoted;
      this.#writeIpv4(to, bytes, ipv4.destination(view, at), ipv4.source(view, at));
      icmp.writeError(view, to + ipv4.HEADER_BYTES, icmp.DESTINATION_UNREACHABLE, ipv4Code(refusal), 0);
    } else {
      ipv6.writeHeader(view, to, headers - ipv6.HEADER_BYTES + quoted, icmpv6.PROTOCOL, TIME_TO_LIVE, 0, 0);
      ipv6.copyToSource(view, to, view, ipv6.destinationAt(at));
      ipv6.copyToDestination(view, to, view, ipv6.sourceAt(at));
      icmpv6.writeError(view, to + ipv6.HEADER_BYTES, icmpv6.DESTINATION_UNREACHABLE, ipv6Code(refusal), 0);
    }
    this.#finish(error, ipv4Packet);
  }

  /**
   * Tells the guest that a flow's target can't be reached. `errno`: what the host's socket said, positive. `sequence`: TCP's, of the
   * segment that could not be delivered; guests believe no error that does not quote it. `mtu` goes with EMSGSIZE.
   */
  flowUnreachable(flow: number, errno: number, sequence: number = 0, mtu: number = 0): void {
    // Too big for what? The error queue will say.
    if (errno === ERRNO.EMSGSIZE && mtu <= 0) return;
    const ipv4Flow = this.#flows.isIpv4(flow);
    const packet = this.#beginForFlow(flow, ipv4Flow, QUOTED_TRANSPORT_BYTES);
    if (packet === NO_PACKET) return;
    this.#writeUnreachable(this.#packets.transport[packet], ipv4Flow, errno, mtu);
    this.#writeQuote(packet, flow, ipv4Flow, QUOTED_TRANSPORT_BYTES, sequence);
    this.#finish(packet, ipv4Flow);
  }

  /**
   * Passes on what the error queue of a flow's socket said: `record` as `Sys.receiveError` fills it, `quote` what came back of the
   * failed datagram (its payload for UDP, the whole message for echo). An error of our own host, or one in the other family's words, is
   * told by its errno.
   */
  flowError(flow: number, record: Int32Array, quote: DataView = NO_QUOTE, sequence: number = 0): void {
    const ipv4Flow = this.#flows.isIpv4(flow);
    const info = record[4];
    if (!isIcmpError(record, ipv4Flow)) {
      this.flowUnreachable(flow, record[0], sequence, info);
      return;
    }
    const protocol = this.#flows.protocol(flow);
    const quoteBytes = Math.min(record[5], quote.byteLength);
    const header = protocol === udp.PROTOCOL ? udp.HEADER_BYTES : 0;
    const headers = ipv4Flow ? 2 * ipv4.HEADER_BYTES + 8 : 2 * ipv6.HEADER_BYTES + 8;
    const most = (ipv4Flow ? IPV4_ERROR_BYTES_MAX : IPV6_ERROR_BYTES_MAX) - headers;
    const bytes = Math.max(Math.min(header + quoteBytes, most), QUOTED_TRANSPORT_BYTES);
    const packet = this.#beginForFlow(flow, ipv4Flow, bytes);
    if (packet === NO_PACKET) return;
    this.#writeOffender(packet, flow, ipv4Flow, record, OFFENDER);
    const { view, transport } = this.#packets;
    if (ipv4Flow) icmp.writeError(view, transport[packet], record[2], record[3], info);
    else icmpv6.writeError(view, transport[packet], record[2], record[3], info >>> 0);
    const quoted = this.#writeQuote(packet, flow, ipv4Flow, bytes, sequence);
    if (header > 0) copyBytes(quote, 0, view, quoted + header, bytes - header);
    else if (quoteBytes >= QUOTED_TRANSPORT_BYTES) {
      copyBytes(quote, 0, view, quoted, bytes);
      icmp.setIdentifier(view, quoted, this.#flows.guestPort(flow));
    }
    this.#finish(packet, ipv4Flow);
  }

  /** A packet of `ipBytes` behind its Ethernet header to a guest, if the rate allows. */
  #begin(interfaceIndex: number, ipBytes: number): Packet {
    if (!this.#take()) return NO_PACKET;
    const link = this.#links[interfaceIndex];
    if (link === undefined) return NO_PACKET;
    const packet = this.#packets.allocate(ethernet.HEADER_BYTES + ipBytes);
    if (packet === NO_PACKET) return NO_PACKET;
    const { network, start, txInterface } = this.#packets;
    network[packet] = start[packet] + ethernet.HEADER_BYTES;
    txInterface[packet] = interfaceIndex;
    return packet;
  }

  /** A packet whose headers are written, from the flow's remote address to its guest. */
  #beginForFlow(flow: number, ipv4Flow: boolean, quotedTransportBytes: number): Packet {
    const { keys, macHigh, macLow } = this.#flows;
    const ipHeader = ipv4Flow ? ipv4.HEADER_BYTES : ipv6.HEADER_BYTES;
    const bytes = ipHeader + icmp.HEADER_BYTES + ipHeader + quotedTransportBytes;
    const packet = this.#begin(this.#flows.interfaceIndex(flow), bytes);
    if (packet === NO_PACKET) return NO_PACKET;
    const { view, network, transport, flow: flowOf } = this.#packets;
    const at = network[packet];
    const key = flow * KEY_WORDS;
    this.#writeEthernet(packet, macHigh[flow], macLow[flow], ipv4Flow);
    if (ipv4Flow) this.#writeIpv4(at, bytes, keys[key + KEY_REMOTE + 3], keys[key + KEY_GUEST + 3]);
    else {
      ipv6.writeHeader(view, at, bytes - ipHeader, icmpv6.PROTOCOL, TIME_TO_LIVE, 0, 0);
      writeIpv6Addresses(view, at, keys, key + KEY_REMOTE, key + KEY_GUEST);
    }
    transport[packet] = at + ipHeader;
    flowOf[packet] = flow;
    return packet;
  }

  /** Lets the error come from the node that reported it, unless that is no address to show to this guest. */
  #writeOffender(packet: Packet, flow: number, ipv4Flow: boolean, offender: Int32Array, at: number): void {
    const w0 = offender[at];
    const w1 = offender[at + 1];
    const w2 = offender[at + 2];
    const w3 = offender[at + 3];
    if (isIpv4Words(w0, w1, w2) !== ipv4Flow || isUnspecifiedWords(w0, w1, w2, w3)) return;
    if (isLoopbackWords(w0, w1, w2, w3)) return;
    const { keys, targets } = this.#flows;
    // The target behind a mapped remote address, and the host itself where the guest has the host's address.
    if (sameWords(offender, at, targets, flow * TARGET_WORDS)) return;
    if (sameWords(offender, at, keys, flow * KEY_WORDS + KEY_GUEST)) return;
    const { view, network } = this.#packets;
    if (ipv4Flow) ipv4.setSourceAndChecksum(view, network[packet], w3);
    else ipv6.setSource(view, network[packet], w0, w1, w2, w3);
  }

  #writeUnreachable(at: number, ipv4Flow: boolean, errno: number, mtu: number): void {
    const { view } = this.#packets;
    const tooBig = errno === ERRNO.EMSGSIZE;
    if (ipv4Flow) icmp.writeError(view, at, icmp.DESTINATION_UNREACHABLE, ipv4Code(errno), tooBig ? mtu : 0);
    else if (tooBig) icmpv6.writeError(view, at, icmpv6.PACKET_TOO_BIG, 0, mtu);
    else icmpv6.writeError(view, at, icmpv6.DESTINATION_UNREACHABLE, ipv6Code(errno), 0);
  }

  /** The IP header that the guest's packet had, and 8 bytes of its transport header. Returns where the latter starts. */
  #writeQuote(packet: Packet, flow: number, ipv4Flow: boolean, transportBytes: number, sequence: number): number {
    const { view, transport } = this.#packets;
    const { keys } = this.#flows;
    const key = flow * KEY_WORDS;
    const protocol = this.#flows.protocol(flow);
    const at = transport[packet] + icmp.HEADER_BYTES;
    const quoted = at + (ipv4Flow ? ipv4.HEADER_BYTES : ipv6.HEADER_BYTES);
    if (ipv4Flow) {
      const total = ipv4.HEADER_BYTES + transportBytes;
      const guest = keys[key + KEY_GUEST + 3];
      ipv4.writeHeader(view, at, total, protocol, guest, keys[key + KEY_REMOTE + 3], 1, 0, 0, ipv4.DONT_FRAGMENT);
    } else {
      ipv6.writeHeader(view, at, transportBytes, protocol, 1, 0, 0);
      writeIpv6Addresses(view, at, keys, key + KEY_GUEST, key + KEY_REMOTE);
    }
    const guestPort = this.#flows.guestPort(flow);
    const remotePort = this.#flows.remotePort(flow);
    if (protocol === icmp.PROTOCOL) icmp.writeEcho(view, quoted, icmp.ECHO_REQUEST, guestPort, 0);
    else if (protocol === icmpv6.PROTOCOL) icmpv6.writeEcho(view, quoted, icmpv6.ECHO_REQUEST, guestPort, 0);
    else {
      // UDP's header; TCP's has the sequence number in place of length and checksum.
      udp.writeHeader(view, quoted, guestPort, remotePort, transportBytes);
      if (protocol !== udp.PROTOCOL) view.setInt32(quoted + 4, sequence);
    }
    return quoted;
  }

  #writeEthernet(packet: Packet, toHigh: number, toLow: number, ipv4Packet: boolean): void {
    const { view, start, txInterface } = this.#packets;
    const link = this.#links[txInterface[packet]]!;
    const type = ipv4Packet ? ethernet.TYPE_IPV4 : ethernet.TYPE_IPV6;
    ethernet.writeHeader(view, start[packet], toHigh, toLow, link.ourMacHigh, link.ourMacLow, type);
  }

  #writeIpv4(at: number, bytes: number, from: number, to: number): void {
    const { view } = this.#packets;
    ipv4.writeHeader(view, at, bytes, icmp.PROTOCOL, from, to, TIME_TO_LIVE, 0, 0, ipv4.DONT_FRAGMENT);
  }

  #finish(packet: Packet, ipv4Packet: boolean): void {
    const { view, network, transport, end } = this.#packets;
    const at = network[packet];
    if (ipv4Packet) {
      transport[packet] = at + ipv4.HEADER_BYTES;
      icmp.writeChecksum(view, transport[packet], end[packet]);
    } else {
      transport[packet] = at + ipv6.HEADER_BYTES;
      icmpv6.writeChecksum(view, at, transport[packet], end[packet]);
    }
    this.sent++;
    this.#output.emit(packet);
  }

  #take(): boolean {
    const taken = this.#bucket.take(this.#clock.nowUs);
    if (!taken) this.limited++;
    return taken;
  }
}

/** Whether an error record holds an ICMP error of the flow's own family, fit to be passed on. */
function isIcmpError(record: Int32Array, ipv4Flow: boolean): boolean {
  const type = record[2];
  if (!ipv4Flow)
    return (
      record[ORIGIN] === ORIGIN_ICMPV6 && type >= icmpv6.DESTINATION_UNREACHABLE && type <= icmpv6.PARAMETER_PROBLEM
    );
  if (record[ORIGIN] !== ORIGIN_ICMP) return false;
  return type === icmp.DESTINATION_UNREACHABLE || type === icmp.TIME_EXCEEDED || type === icmp.PARAMETER_PROBLEM;
}

function ipv4Code(errno: number): number {
  switch (errno) {
    case ERRNO.ECONNREFUSED:
      return icmp.PORT_UNREACHABLE;
    case ERRNO.ENETUNREACH:
    case ERRNO.ENETDOWN:
    case ERRNO.EADDRNOTAVAIL:
      return icmp.NET_UNREACHABLE;
    case ERRNO.EACCES:
    case ERRNO.EPERM:
      return icmp.COMMUNICATION_PROHIBITED;
    case ERRNO.EMSGSIZE:
      return icmp.FRAGMENTATION_NEEDED;
    default:
      return icmp.HOST_UNREACHABLE;
  }
}

function ipv6Code(errno: number): number {
  switch (errno) {
    case ERRNO.ECONNREFUSED:
      return icmpv6.PORT_UNREACHABLE;
    case ERRNO.ENETUNREACH:
    case ERRNO.ENETDOWN:
    case ERRNO.EADDRNOTAVAIL:
      return icmpv6.NO_ROUTE;
    case ERRNO.EACCES:
    case ERRNO.EPERM:
      return icmpv6.COMMUNICATION_PROHIBITED;
    default:
      return icmpv6.ADDRESS_UNREACHABLE;
  }
}

function writeIpv6Addresses(view: DataView, at: number, words: Int32Array, from: number, to: number): void {
  ipv6.setSource(view, at, words[from], words[from + 1], words[from + 2], words[from + 3]);
  ipv6.setDestination(view, at, words[to], words[to + 1], words[to + 2], words[to + 3]);
}

function sameWords(a: Int32Array, aAt: number, b: Int32Array, bAt: number): boolean {
  return a[aAt] === b[bAt] && a[aAt + 1] === b[bAt + 1] && a[aAt + 2] === b[bAt + 2] && a[aAt + 3] === b[bAt + 3];
}
