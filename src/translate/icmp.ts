/**
 * ICMP and ICMPv6 echo: the guest's pings go out by sockets of the host (RFC 792; RFC 4443, section 4; behaviour of address
 * translators: RFC 5508).
 *
 * ## Theory of operation
 *
 * A flow is a guest, its identifier and the address that it pings. All flows of one guest and identifier share a socket
 * (`icmp-socket.ts`), as those of a UDP endpoint do; a flow whose target policy has mapped has a socket of its own, connected to the
 * target. The message goes out as it came; the host may have given the socket another identifier, which is set right in the replies and
 * in what errors quote. The sequence number is never touched.
 *
 * What comes back on the error queue (time exceeded, unreachable) goes to the guest as ICMP from the node that sent it: `traceroute -I`
 * and `mtr` work. Hop counts are carried over both ways.
 *
 * Pings to an address of our own (VERDICT.LOCAL) are answered here, in place.
 *
 * Where neither ping sockets nor raw sockets are to be had, pings are answered with "administratively prohibited", and `unavailable`
 * says so for the log.
 *
 * *Timers.* 60 s of silence (RFC 5508, section 3.2). *Limits.* The flow table; descriptors.
 *
 * Not done: any other ICMP message from the guest, errors included, is dropped and counted.
 */
import { isIpv4Words } from '../base/address.ts';
import { FLOW_STATE, type FlowTable, OUTCOME, TARGET_WORDS } from '../flow/flow-table.ts';
import type { GuestLinks } from '../flow/guest-link.ts';
import { VERDICT } from '../flow/policy.ts';
import type { PollHandler } from '../flow/poll-handler.ts';
import { drop } from '../graph/drop.ts';
import { ARC_DONE, ARC_NEXT, type GraphNode } from '../graph/node.ts';
import { REASON } from '../graph/reasons.ts';
import { type Packets, VNET_HEADER_BYTES } from '../packet/packets.ts';
import { SOCKET_ADDRESS_WORDS, type Sys } from '../sys/sys.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as icmp from '../wire/icmp.ts';
import * as icmpv6 from '../wire/icmpv6.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as ipv6 from '../wire/ipv6.ts';
import * as vnet from '../wire/vnet-header.ts';
import type { DatagramDeps } from './datagram-deps.ts';
import { DatagramFlows } from './datagram-flows.ts';
import { DatagramReceiver, type DatagramSink } from './datagram-receiver.ts';
import { DatagramSockets, SOCKET_KIND } from './datagram-sockets.ts';
import { GuestDatagrams } from './guest-datagrams.ts';
import { carriedClass, carriedHops, HOPS_DEFAULT, toldHops } from './hops.ts';
import { type IcmpErrors, REFUSAL } from './icmp-error.ts';
import { isRefused, openPing, openRaw } from './icmp-socket.ts';
import { findFlow } from './packet-key.ts';
import { SendQueue, type SendSink } from './send-queue.ts';
import { closeOn } from './udp-socket.ts';

const TIMEOUT_MS = 60_000;
const ARC_OUTPUT = ARC_NEXT;
const NONE = -1;

/** Words of a datagram record and of an error record (see `sys/sys.ts`). */
const START = 0;
const LENGTH = 1;
const HOPS = 3;
const CLASS = 4;
const ADDRESS = 6;
const QUOTE_LENGTH = 5;

export class IcmpTranslate implements PollHandler, SendSink, DatagramSink {
  /** The graph's nodes for ICMP and ICMPv6. */
  readonly node4: GraphNode;
  readonly node6: GraphNode;
  readonly sockets: DatagramSockets;
  readonly sendQueue: SendQueue;
  readonly datagrams: GuestDatagrams;
  /** Whether pings had to be refused because the host lets us have no socket for them. */
  unavailable: boolean = false;

  readonly #sys: Sys;
  readonly #packets: Packets;
  readonly #flows: FlowTable;
  readonly #links: GuestLinks;
  readonly #errors: IcmpErrors;
  readonly #life: DatagramFlows;
  readonly #receiver: DatagramReceiver;
  readonly #address: Int32Array = new Int32Array(SOCKET_ADDRESS_WORDS);

  constructor(deps: DatagramDeps) {
    const { sys, packets, arenaMemory, flows, links, output } = deps;
    this.node4 = new EchoInput('icmp-input', this);
    this.node6 = new EchoInput('icmp6-input', this);
    this.#sys = sys;
    this.#packets = packets;
    this.#flows = flows;
    this.#links = links;
    this.#errors = deps.errors;
    this.sockets = new DatagramSockets(sys, deps.poll, flows, deps.tokens, this);
    this.datagrams = new GuestDatagrams(packets, flows, links, output);
    this.sendQueue = new SendQueue(sys, packets, arenaMemory, this.sockets, this);
    this.#life = new DatagramFlows(deps, this.sockets, TIMEOUT_MS, TIMEOUT_MS);
    this.#receiver = new DatagramReceiver(sys, packets, arenaMemory, this.sockets, this.datagrams, output, this);
  }

  /** Decides for one packet, as a node does. */
  input(packets: Packets, packet: number): number {
    const { view } = packets;
    const at = packets.transport[packet];
    const isIpv4 = packets.protocol[packet] === icmp.PROTOCOL;
    if (icmp.check(view, at, packets.end[packet]) < 0) return drop(packets, packet, REASON['icmp-invalid']);
    if (!isVerified(packets, packet, isIpv4)) return drop(packets, packet, REASON['icmp-checksum-wrong']);
    if (icmp.type(view, at) !== (isIpv4 ? icmp.ECHO_REQUEST : icmpv6.ECHO_REQUEST) || icmp.code(view, at) !== 0) {
      return drop(packets, packet, REASON['icmp-type-unsupported']);
    }
    let flow = findFlow(packets, packet, icmp.identifier(view, at) << 16, this.#flows);
    if (flow === NONE) flow = this.#open(packets, packet);
    if (flow < 0) return drop(packets, packet, -flow);
    packets.flow[packet] = flow;
    this.#life.sent(flow, packets.end[packet] - at - icmp.HEADER_BYTES);
    if (this.sockets.of[flow] === NONE) return this.#answer(packets, packet, flow, isIpv4);
    this.#send(packets, packet, flow);
    return ARC_DONE;
  }

  /** Sends what a frame has brought: the nodes call it behind their last packet. */
  flush(): void {
    this.sendQueue.flush();
  }

  /** The socket that is this flow's own is ready. No received packet is in use. */
  hostReady(flow: number, events: number): void {
    const socket = this.sockets.of[flow];
    if (socket !== NONE && this.sockets.flow[socket] === flow) this.#receiver.ready(socket, events);
  }

  /** A shared socket is ready. No received packet is in use. */
  ready(events: number, token: number): void {
    const socket = this.sockets.byToken(token);
    if (socket !== NONE) this.#receiver.ready(socket, events);
  }

  /** The wheel says that the flow's timer is due. */
  timerExpired(flow: number, nowUs: number): void {
    this.#life.expire(flow, nowUs);
  }

  /** Ends all flows of an interface, and closes their sockets; -1: of all. */
  closeAll(interfaceIndex: number = -1): void {
    for (let flow = 0; flow < this.#flows.max; flow++) {
      if (interfaceIndex >= 0 && this.#flows.interfaceIndex(flow) !== interfaceIndex) continue;
      const protocol = this.#flows.protocol(flow);
      if (this.#flows.state[flow] === FLOW_STATE.FREE || (protocol !== icmp.PROTOCOL && protocol !== icmpv6.PROTOCOL))
        continue;
      this.#life.kill(flow);
    }
  }

  drainErrors(socket: number): void {
    this.#receiver.drainErrors(socket);
  }

  sendFailed(flow: number, errno: number): void {
    this.#life.failed(flow, errno);
    this.#errors.flowUnreachable(flow, errno);
  }

  received(socket: number, records: Int32Array, at: number): void {
    const isIpv4 = this.sockets.ipv4[socket] === 1;
    const start = records[at + START] + this.#rawHeaderBytes(socket, records, at);
    const length = records[at + START] + records[at + LENGTH] - start;
    if (length < icmp.HEADER_BYTES || !this.datagrams.hasRoom()) return;
    const { view } = this.#packets;
    if (icmp.type(view, start) !== (isIpv4 ? icmp.ECHO_REPLY : icmpv6.ECHO_REPLY)) return;
    const flow = this.#flowOf(socket, records, at + ADDRESS, icmp.identifier(view, start));
    if (flow === NONE) return;
    const hops = toldHops(records[at + HOPS]);
    this.#deliver(flow, start, length, hops, records[at + CLASS]);
  }

  batchReceived(): void {}

  failed(socket: number, record: Int32Array, quote: DataView): void {
    const quoted = record[QUOTE_LENGTH] >= icmp.HEADER_BYTES;
    const flow = this.#flowOf(socket, record, ADDRESS, quoted ? icmp.identifier(quote, 0) : NONE);
    if (flow === NONE) return;
    this.#life.failed(flow, record[0]);
    if (quoted) icmp.setType(quote, 0, this.#flows.isIpv4(flow) ? icmp.ECHO_REQUEST : icmpv6.ECHO_REQUEST);
    this.#errors.flowError(flow, record, quote);
  }

  /**
   * The flow that a message of this socket belongs to, or -1. A raw socket hears of everybody's pings, so there the identifier must be
   * the guest's.
   */
  #flowOf(socket: number, words: Int32Array, address: number, identifier: number): number {
    let flow = this.sockets.flow[socket];
    if (this.sockets.kind[socket] === SOCKET_KIND.SHARED) {
      this.sockets.setProbe(socket, words, address, 0);
      flow = this.#flows.find();
    } else if (this.sockets.raw[socket] === 1 && !this.#isTarget(flow, words, address)) {
      return NONE;
    }
    if (flow === NONE || this.sockets.of[flow] !== socket) return NONE;
    return this.sockets.raw[socket] === 1 && identifier !== this.#flows.guestPort(flow) ? NONE : flow;
  }

  #isTarget(flow: number, words: Int32Array, at: number): boolean {
    const target = flow * TARGET_WORDS;
    for (let word = 0; word < 4; word++) if (this.#flows.targets[target + word] !== words[at + word]) return false;
    return true;
  }

  /** A raw socket of IPv4 delivers the IP header too. */
  #rawHeaderBytes(socket: number, records: Int32Array, at: number): number {
    if (this.sockets.raw[socket] === 0 || this.sockets.ipv4[socket] === 0) return 0;
    const { view } = this.#packets;
    return records[at + LENGTH] < ipv4.HEADER_BYTES ? 0 : ipv4.headerBytes(view, records[at + START]);
  }

  #deliver(flow: number, start: number, length: number, hops: number, trafficClass: number): void {
    const { view } = this.#packets;
    const isIpv4 = this.#flows.isIpv4(flow);
    const at = this.datagrams.settle(flow, start, length, 0);
    this.#life.got(flow, length - icmp.HEADER_BYTES);
    icmp.setType(view, at, isIpv4 ? icmp.ECHO_REPLY : icmpv6.ECHO_REPLY);
    icmp.setIdentifier(view, at, this.#flows.guestPort(flow));
    const protocol = isIpv4 ? icmp.PROTOCOL : icmpv6.PROTOCOL;
    const packet = this.datagrams.wrap(flow, at, length, protocol, hops, trafficClass);
    if (isIpv4) icmp.writeChecksum(view, at, at + length);
    else icmpv6.writeChecksum(view, this.#packets.network[packet], at, at + length);
    this.datagrams.emit(packet, this.datagrams.link(flow).mtu);
  }

  #send(packets: Packets, packet: number, flow: number): void {
    const { view } = packets;
    const network = packets.network[packet];
    const at = packets.transport[packet];
    const socket = this.sockets.of[flow];
    const front = packets.start[packet] - VNET_HEADER_BYTES;
    const length = packets.end[packet] - at;
    this.sendQueue.add(
      socket,
      flow,
      front,
      at,
      length,
      0,
      carriedHops(view, network),
      carriedClass(view, network),
      this.#flows.targets,
      flow * TARGET_WORDS,
    );
  }

  /** Makes a flow for the packet whose key is in the probe, or answers it. Returns the flow, or the negative of a drop reason. */
  #open(packets: Packets, packet: number): number {
    const flow = this.#life.insertFromGuest(packets, packet);
    if (flow < 0) {
      this.#errors.replyTo(packet, REFUSAL.HOST);
      return -REASON['flows-full'];
    }
    const verdict = this.#life.decide(flow);
    if (verdict === VERDICT.LOCAL) {
      this.#flows.setTargeted(flow);
      this.#life.activate(flow, NONE);
      return flow;
    }
    if (verdict !== VERDICT.ALLOW) {
      this.#life.refuse(flow, OUTCOME.denied);
      this.#errors.replyTo(packet, REFUSAL.PROHIBITED);
      return -REASON['policy-refused'];
    }
    const socket = this.#socketFor(flow);
    if (socket >= 0) {
      this.#life.activate(flow, socket);
      return flow;
    }
    const refused = isRefused(socket);
    if (refused) this.unavailable = true;
    this.#life.refuse(flow, OUTCOME.failed);
    this.#errors.replyTo(packet, refused ? REFUSAL.PROHIBITED : REFUSAL.HOST);
    return -REASON['socket-failed'];
  }

  /** The socket that this flow is to use, opened if need be, or -errno. */
  #socketFor(flow: number): number {
    const own = this.#life.isMapped(flow);
    const shared = own ? NONE : this.sockets.findShared(flow);
    if (shared !== NONE) return shared;
    const { targets } = this.#flows;
    const target = flow * TARGET_WORDS;
    const isIpv4 = isIpv4Words(targets[target], targets[target + 1], targets[target + 2]);
    // The message is carried over as it is, and the two versions have different ones.
    if (isIpv4 !== this.#flows.isIpv4(flow)) return -REFUSAL.HOST;
    let fd = openPing(this.#sys, isIpv4, own ? 0 : this.#flows.guestPort(flow), this.#address);
    const raw = isRefused(fd);
    if (raw) fd = openRaw(this.#sys, isIpv4);
    if (fd < 0) return fd;
    if (own && !raw) {
      for (let word = 0; word < SOCKET_ADDRESS_WORDS; word++) this.#address[word] = targets[target + word];
      fd = closeOn(this.#sys, fd, this.#sys.connect(fd, this.#address));
      if (fd < 0) return fd;
    }
    const socket = own ? this.sockets.addOwn(flow, fd, isIpv4) : this.sockets.addShared(flow, fd, isIpv4);
    if (socket >= 0 && raw) this.sockets.raw[socket] = 1;
    return socket;
  }

  /** Turns an echo request to an address of ours into its reply, in place. */
  #answer(packets: Packets, packet: number, flow: number, isIpv4: boolean): number {
    const { view, bytes } = packets;
    const start = packets.start[packet];
    const at = packets.network[packet];
    const link = this.#links[packets.rxInterface[packet]];
    if (link === undefined) return drop(packets, packet, REASON['not-for-us']);
    vnet.clear(view, start - VNET_HEADER_BYTES);
    ethernet.setDestination(view, start, ethernet.sourceHigh(view, start), ethernet.sourceLow(view, start));
    ethernet.setSource(view, start, link.ourMacHigh, link.ourMacLow);
    const end = packets.end[packet];
    const message = this.#dropExtensions(packets, packet, isIpv4);
    if (isIpv4) {
      const from = ipv4.source(view, at);
      ipv4.setSource(view, at, ipv4.destination(view, at));
      ipv4.setDestination(view, at, from);
      ipv4.setTimeToLive(view, at, HOPS_DEFAULT);
      ipv4.writeChecksum(view, at);
      icmp.setType(view, message, icmp.ECHO_REPLY);
      icmp.writeChecksum(view, message, message + end - packets.transport[packet]);
    } else {
      const source = ipv6.sourceAt(at);
      swap16(bytes, source, ipv6.destinationAt(at));
      ipv6.setHopLimit(view, at, HOPS_DEFAULT);
      icmp.setType(view, message, icmpv6.ECHO_REPLY);
      icmpv6.writeChecksum(view, at, message, message + end - packets.transport[packet]);
    }
    const length = end - packets.transport[packet];
    packets.transport[packet] = message;
    packets.end[packet] = message + length;
    packets.length[packet] = message + length - start;
    packets.txInterface[packet] = link.index;
    this.#life.got(flow, length - icmp.HEADER_BYTES);
    return ARC_OUTPUT;
  }

  /** Options and extension headers are not echoed: moves the message up to the IP header. Returns where it is then. */
  #dropExtensions(packets: Packets, packet: number, isIpv4: boolean): number {
    const { view, bytes } = packets;
    const at = packets.network[packet];
    const headerBytes = isIpv4 ? ipv4.HEADER_BYTES : ipv6.HEADER_BYTES;
    const length = packets.end[packet] - packets.transport[packet];
    bytes.copyWithin(at + headerBytes, packets.transport[packet], packets.end[packet]);
    if (isIpv4) {
      ipv4.setHeaderBytes(view, at, headerBytes);
      ipv4.setTotalLength(view, at, headerBytes + length);
    } else {
      ipv6.setNextHeader(view, at, icmpv6.PROTOCOL);
      ipv6.setPayloadLength(view, at, length);
    }
    return at + headerBytes;
  }
}

/** One of the two nodes: they differ in name only, the packet says which version it is. */
class EchoInput implements GraphNode {
  readonly name: string;
  readonly next: readonly string[] = ['interface-output'];
  readonly #translate: IcmpTranslate;

  constructor(name: string, translate: IcmpTranslate) {
    this.name = name;
    this.#translate = translate;
  }

  process(packets: Packets, frame: Int32Array, count: number, arcs: Uint8Array): void {
    for (let i = 0; i < count; i++) arcs[i] = this.#translate.input(packets, frame[i]);
    this.#translate.flush();
  }
}

function isVerified(packets: Packets, packet: number, isIpv4: boolean): boolean {
  const { view } = packets;
  const header = packets.start[packet] - VNET_HEADER_BYTES;
  const at = packets.transport[packet];
  const end = packets.end[packet];
  const flags = vnet.flags(view, header);
  if ((flags & vnet.FLAG_DATA_VALID) !== 0) return true;
  if ((flags & vnet.FLAG_NEEDS_CSUM) !== 0) {
    const field = packets.start[packet] + vnet.checksumStart(view, header) + vnet.checksumOffset(view, header);
    // The host's socket does not complete it in IPv4 (raw), so it is done here.
    if (field === at + icmp.CHECKSUM_OFFSET) {
      if (isIpv4) icmp.writeChecksum(view, at, end);
      else icmpv6.writeChecksum(view, packets.network[packet], at, end);
      return true;
    }
  }
  return isIpv4 ? icmp.verifyChecksum(view, at, end) : icmpv6.verifyChecksum(view, packets.network[packet], at, end);
}

/** Exchanges two IPv6 addresses. */
function swap16(bytes: Uint8Array, a: number, b: number): void {
  for (let i = 0; i < 16; i++) {
    const byte = bytes[a + i];
    bytes[a + i] = bytes[b + i];
    bytes[b + i] = byte;
  }
}
