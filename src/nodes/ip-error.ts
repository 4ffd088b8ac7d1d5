/**
 * ICMP and ICMPv6 errors of our own about packets that are not forwarded (RFC 792; RFC 1812, section 4.3; RFC 4443): `ip4-error` and `ip6-error`.
 *
 * The packet that comes here is dropped, for the reason that it came with, and counted so. That reason says what its sender is told, if anything:
 *
 * | reason               | ICMP                                         | ICMPv6                                       |
 * | -------------------- | -------------------------------------------- | -------------------------------------------- |
 * | hop-limit-exceeded   | time exceeded                                | time exceeded                                |
 * | no-route             | unreachable: network                         | unreachable: no route                        |
 * | host-unreachable     | unreachable: host                            | unreachable: address                         |
 * | packet-too-big       | unreachable: fragmentation needed, and MTU   | packet too big, and MTU                      |
 * | port-unreachable     | unreachable: port                            | unreachable: port                            |
 * | protocol-unreachable | unreachable: protocol                        | parameter problem: next header, and where    |
 * | policy-refused       | unreachable: prohibited                      | unreachable: prohibited                      |
 * | link-local-scope     | none                                         | unreachable: beyond the scope of the source  |
 *
 * Nothing is said (RFC 1122, section 3.2.2; RFC 4443, section 2.4, e) about: an ICMP error or redirect, or what may be one (an ICMP message that ends before its type);
 * a fragment other than the first; what was for a group or for everybody, in IP or on the link; a source that is not one host, or is ourselves; a packet of our own
 * (`rxInterface` -1). In IPv6, too, a later fragment is no exception: with the first one, which is as large, an error is due.
 *
 * The error leaves by the interface that the packet came by, to who sent it there, from our address there (that which the packet was for, where that is ours). Where we have no
 * address on the interface, the error is not sent. It quotes as much as fits 576 or 1280 bytes. The rate is limited for each interface
 * (RFC 1812, section 4.3.2.8; RFC 4443, section 2.4, f), so that nobody makes us a generator of traffic, or takes others' errors away.
 */
import { TokenBucket } from '../base/token-bucket.ts';
import type { TurnClock } from '../base/turn-clock.ts';
import type { InterfaceAddresses } from '../forward/interface-addresses.ts';
import type { InterfaceTable } from '../forward/interface-table.ts';
import { ARC_DROP, type Emitter, type GraphNode } from '../graph/node.ts';
import { REASON } from '../graph/reasons.ts';
import { NO_PACKET, type Packet, type Packets } from '../packet/packets.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as icmp from '../wire/icmp.ts';
import * as icmpv6 from '../wire/icmpv6.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as ipv6 from '../wire/ipv6.ts';

/** RFC 1812, section 4.3.2.3: as much as possible without exceeding 576 bytes. */
const IPV4_ERROR_BYTES_MAX = 576;
const IPV6_ERROR_BYTES_MAX: number = icmpv6.ERROR_PACKET_BYTES_MAX;
/** What Linux has for all destinations together (net.ipv4.icmp_msgs_burst, icmp_msgs_per_sec), for each interface. */
const BURST = 50;
const PER_SECOND = 1000;

const TIME_TO_LIVE = 64;
/** Internetwork control (RFC 1812, section 4.3.2.5). */
const TYPE_OF_SERVICE = 0xc0;

const ICMPV6_REDIRECT = 137;
const MAPPED = 0xffff;

export interface IpErrorDeps {
  readonly interfaces: InterfaceTable;
  readonly addresses: InterfaceAddresses;
  readonly clock: TurnClock;
  /** Takes the errors. */
  readonly output: Emitter;
}

/** What both families have in common: the rate, and the frame. One for both nodes. */
export class IpErrors {
  /** Errors sent, not sent because there were too many, and not sent because there was no room or no address of ours. */
  sent: number = 0;
  limited: number = 0;
  failed: number = 0;
  readonly deps: IpErrorDeps;
  /** By interface, made when it first needs one. */
  readonly #buckets: TokenBucket[] = [];

  constructor(deps: IpErrorDeps) {
    this.deps = deps;
  }

  /** Whether one more error may go out by this interface now. */
  mayAnswer(interfaceIndex: number): boolean {
    const { interfaces, clock } = this.deps;
    if (!interfaces.has(interfaceIndex) || interfaces.up[interfaceIndex] === 0) return false;
    while (this.#buckets.length <= interfaceIndex) this.#buckets.push(new TokenBucket(BURST, PER_SECOND));
    if (this.#buckets[interfaceIndex].take(clock.nowUs)) return true;
    this.limited++;
    return false;
  }

  /** A packet of `ipBytes`, back to who sent `about`, its Ethernet header written; or `NO_PACKET`. */
  begin(packets: Packets, about: Packet, ipBytes: number, etherType: number): Packet {
    const { interfaces } = this.deps;
    const packet = packets.allocate(ethernet.HEADER_BYTES + ipBytes);
    if (packet === NO_PACKET) {
      this.failed++;
      return NO_PACKET;
    }
    const to = packets.rxInterface[about];
    const at = packets.start[packet];
    const from = packets.start[about];
    const high = ethernet.sourceHigh(packets.view, from);
    const low = ethernet.sourceLow(packets.view, from);
    ethernet.writeHeader(packets.view, at, high, low, interfaces.macHigh[to], interfaces.macLow[to], etherType);
    packets.network[packet] = at + ethernet.HEADER_BYTES;
    packets.txInterface[packet] = to;
    return packet;
  }

  emit(packet: Packet): void {
    this.sent++;
    this.deps.output.emit(packet);
  }

  /** The MTU that a packet was too large for. */
  mtu(packets: Packets, packet: Packet): number {
    return this.deps.interfaces.mtu[packets.txInterface[packet]];
  }
}

/** One family's node: it drops all that comes, and answers some of it. */
abstract class IpError implements GraphNode {
  abstract readonly name: string;
  readonly next: readonly string[] = [];
  protected readonly errors: IpErrors;

  constructor(errors: IpErrors) {
    this.errors = errors;
  }

  process(packets: Packets, frame: Int32Array, count: number, arcs: Uint8Array): void {
    for (let i = 0; i < count; i++) {
      const packet = frame[i];
      const answer = this.answerFor(packets.reason[packet]);
      if (answer >= 0 && this.mayBeTold(packets, packet) && this.errors.mayAnswer(packets.rxInterface[packet])) {
        this.send(packets, packet, answer);
      }
      arcs[i] = ARC_DROP;
    }
  }

  /** Type and code, as one number; -1: nothing is said. */
  protected abstract answerFor(reason: number): number;
  protected abstract mayBeTold(packets: Packets, packet: Packet): boolean;
  protected abstract send(packets: Packets, packet: Packet, answer: number): void;
}

export class Ip4Error extends IpError {
  readonly name = 'ip4-error';

  protected override answerFor(reason: number): number {
    return icmpFor(reason);
  }

  protected override mayBeTold(packets: Packets, packet: Packet): boolean {
    return mayBeToldIpv4(packets, packet, this.errors.deps.addresses);
  }

  protected override send(packets: Packets, packet: Packet, answer: number): void {
    const { view } = packets;
    const errors = this.errors;
    const at = packets.network[packet];
    const to = ipv4.source(view, at);
    const from = this.#ourAddress(packets, packet, to);
    if (from === 0) {
      errors.failed++;
      return;
    }
    const headers = ipv4.HEADER_BYTES + icmp.HEADER_BYTES;
    const quoted = Math.min(packets.end[packet] - at, IPV4_ERROR_BYTES_MAX - headers);
    const error = errors.begin(packets, packet, headers + quoted, ethernet.TYPE_IPV4);
    if (error === NO_PACKET) return;
    const network = packets.network[error];
    const transport = network + ipv4.HEADER_BYTES;
    packets.bytes.copyWithin(transport + icmp.HEADER_BYTES, at, at + quoted);
    const { PROTOCOL_ICMP, DONT_FRAGMENT } = ipv4;
    const total = headers + quoted;
    ipv4.writeHeader(view, network, total, PROTOCOL_ICMP, from, to, TIME_TO_LIVE, TYPE_OF_SERVICE, 0, DONT_FRAGMENT);
    const tooBig = packets.reason[packet] === REASON['packet-too-big'];
    icmp.writeError(view, transport, answer >>> 8, answer & 0xff, tooBig ? errors.mtu(packets, packet) : 0);
    icmp.writeChecksum(view, transport, packets.end[error]);
    packets.transport[error] = transport;
    packets.protocol[error] = PROTOCOL_ICMP;
    errors.emit(error);
  }

  #ourAddress(packets: Packets, packet: Packet, towards: number): number {
    const { addresses } = this.errors.deps;
    const on = packets.rxInterface[packet];
    const destination = ipv4.destination(packets.view, packets.network[packet]);
    return addresses.isOurIpv4(on, destination) ? destination : addresses.ipv4On(on, towards);
  }
}

export class Ip6Error extends IpError {
  readonly name = 'ip6-error';
  readonly #walk: Int32Array = new Int32Array(ipv6.WALK_WORDS);
  readonly #from: Int32Array = new Int32Array(4);

  protected override answerFor(reason: number): number {
    return icmpv6For(reason);
  }

  protected override mayBeTold(packets: Packets, packet: Packet): boolean {
    return mayBeToldIpv6(packets, packet, this.errors.deps.addresses, this.#walk);
  }

  protected override send(packets: Packets, packet: Packet, answer: number): void {
    const { view } = packets;
    const errors = this.errors;
    const at = packets.network[packet];
    if (!this.#findOurAddress(packets, packet)) {
      errors.failed++;
      return;
    }
    const headers = ipv6.HEADER_BYTES + icmpv6.HEADER_BYTES;
    const quoted = Math.min(packets.end[packet] - at, IPV6_ERROR_BYTES_MAX - headers);
    const error = errors.begin(packets, packet, headers + quoted, ethernet.TYPE_IPV6);
    if (error === NO_PACKET) return;
    const network = packets.network[error];
    const transport = network + ipv6.HEADER_BYTES;
    const from = this.#from;
    packets.bytes.copyWithin(transport + icmpv6.HEADER_BYTES, at, at + quoted);
    ipv6.writeHeader(view, network, icmpv6.HEADER_BYTES + quoted, icmpv6.PROTOCOL, TIME_TO_LIVE, 0, 0);
    ipv6.setSource(view, network, from[0], from[1], from[2], from[3]);
    ipv6.copyToDestination(view, network, view, ipv6.sourceAt(at));
    icmpv6.writeError(view, transport, answer >>> 8, answer & 0xff, this.#word(packets, packet));
    icmpv6.writeChecksum(view, network, transport, packets.end[error]);
    packets.transport[error] = transport;
    packets.protocol[error] = icmpv6.PROTOCOL;
    errors.emit(error);
  }

  /** The MTU, or which byte names the protocol that we do not have (`#walk` is of this packet). */
  #word(packets: Packets, packet: Packet): number {
    if (packets.reason[packet] === REASON['packet-too-big']) return this.errors.mtu(packets, packet);
    if (packets.reason[packet] !== REASON['protocol-unreachable']) return 0;
    return this.#walk[ipv6.WALK_NEXT_HEADER_AT] - packets.network[packet];
  }

  #findOurAddress(packets: Packets, packet: Packet): boolean {
    const { view } = packets;
    const { addresses } = this.errors.deps;
    const at = packets.network[packet];
    const on = packets.rxInterface[packet];
    const from = this.#from;
    for (let i = 0; i < 4; i++) from[i] = ipv6.destinationWord(view, at, i);
    if (addresses.isOurs(on, from[0], from[1], from[2], from[3])) return true;
    const w0 = ipv6.sourceWord(view, at, 0);
    const w1 = ipv6.sourceWord(view, at, 1);
    return addresses.ipv6On(on, w0, w1, ipv6.sourceWord(view, at, 2), ipv6.sourceWord(view, at, 3), from);
  }
}

function icmpFor(reason: number): number {
  switch (reason) {
    case REASON['hop-limit-exceeded']:
      return (icmp.TIME_EXCEEDED << 8) | icmp.TTL_EXCEEDED;
    case REASON['no-route']:
      return (icmp.DESTINATION_UNREACHABLE << 8) | icmp.NET_UNREACHABLE;
    case REASON['host-unreachable']:
      return (icmp.DESTINATION_UNREACHABLE << 8) | icmp.HOST_UNREACHABLE;
    case REASON['packet-too-big']:
      return (icmp.DESTINATION_UNREACHABLE << 8) | icmp.FRAGMENTATION_NEEDED;
    case REASON['port-unreachable']:
      return (icmp.DESTINATION_UNREACHABLE << 8) | icmp.PORT_UNREACHABLE;
    case REASON['protocol-unreachable']:
      return (icmp.DESTINATION_UNREACHABLE << 8) | icmp.PROTOCOL_UNREACHABLE;
    case REASON['policy-refused']:
      return (icmp.DESTINATION_UNREACHABLE << 8) | icmp.COMMUNICATION_PROHIBITED;
    default:
      return -1;
  }
}

function icmpv6For(reason: number): number {
  switch (reason) {
    case REASON['hop-limit-exceeded']:
      return (icmpv6.TIME_EXCEEDED << 8) | icmpv6.HOP_LIMIT_EXCEEDED;
    case REASON['no-route']:
      return (icmpv6.DESTINATION_UNREACHABLE << 8) | icmpv6.NO_ROUTE;
    case REASON['host-unreachable']:
      return (icmpv6.DESTINATION_UNREACHABLE << 8) | icmpv6.ADDRESS_UNREACHABLE;
    case REASON['packet-too-big']:
      return icmpv6.PACKET_TOO_BIG << 8;
    case REASON['port-unreachable']:
      return (icmpv6.DESTINATION_UNREACHABLE << 8) | icmpv6.PORT_UNREACHABLE;
    case REASON['protocol-unreachable']:
      return (icmpv6.PARAMETER_PROBLEM << 8) | icmpv6.NEXT_HEADER_UNKNOWN;
    case REASON['policy-refused']:
      return (icmpv6.DESTINATION_UNREACHABLE << 8) | icmpv6.COMMUNICATION_PROHIBITED;
    case REASON['link-local-scope']:
      return (icmpv6.DESTINATION_UNREACHABLE << 8) | icmpv6.BEYOND_SCOPE;
    default:
      return -1;
  }
}

/** Whether the frame went from one station to one station. */
function isUnicastFrame(view: DataView, at: number): boolean {
  return !ethernet.isMulticast(view, at) && (ethernet.sourceHigh(view, at) & 0x100) === 0;
}

function mayBeToldIpv4(packets: Packets, packet: Packet, addresses: InterfaceAddresses): boolean {
  const { view } = packets;
  const on = packets.rxInterface[packet];
  const at = packets.network[packet];
  if (on < 0 || !isUnicastFrame(view, packets.start[packet])) return false;
  if (ipv4.fragmentOffset(view, at) > 0) return false;
  const source = ipv4.source(view, at);
  const network = source >>> 24;
  if (network === 0 || network === 127 || network >= 224) return false;
  if (addresses.isBroadcastOn(on, source) || addresses.isOurIpv4(on, source)) return false;
  const destination = ipv4.destination(view, at);
  if (destination >>> 24 >= 224 || addresses.isBroadcastOn(on, destination)) return false;
  if (ipv4.protocol(view, at) !== ipv4.PROTOCOL_ICMP) return true;
  const message = at + ipv4.headerBytes(view, at);
  return message < packets.end[packet] && !icmp.isError(view, message);
}

/** Leaves in `walk` what it found behind the header. */
function mayBeToldIpv6(packets: Packets, packet: Packet, addresses: InterfaceAddresses, walk: Int32Array): boolean {
  const { view } = packets;
  const on = packets.rxInterface[packet];
  const at = packets.network[packet];
  if (on < 0 || !isUnicastFrame(view, packets.start[packet])) return false;
  const w0 = ipv6.sourceWord(view, at, 0);
  const w1 = ipv6.sourceWord(view, at, 1);
  const w2 = ipv6.sourceWord(view, at, 2);
  if (w0 >>> 24 === 0xff || ipv6.destinationWord(view, at, 0) >>> 24 === 0xff) return false;
  if (w0 === 0 && w1 === 0 && (w2 === 0 || w2 === MAPPED)) return false;
  if (addresses.isOurs(on, w0, w1, w2, ipv6.sourceWord(view, at, 3))) return false;
  const transport = ipv6.walkExtensions(view, at, packets.end[packet], walk);
  if (transport < 0) return false;
  const fragment = walk[ipv6.WALK_FRAGMENT];
  if (fragment >= 0 && ipv6.fragmentOffset(view, fragment) > 0) return false;
  if (walk[ipv6.WALK_PROTOCOL] !== icmpv6.PROTOCOL) return true;
  return transport < packets.end[packet] && !isErrorOrRedirect(view, transport);
}

function isErrorOrRedirect(view: DataView, at: number): boolean {
  return icmpv6.isError(view, at) || icmpv6.type(view, at) === ICMPV6_REDIRECT;
}
