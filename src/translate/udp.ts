/**
 * UDP translation: the guest's datagrams go out by sockets of the host (RFC 768; behaviour of address translators: RFC 4787).
 *
 * ## Theory of operation
 *
 *     guest endpoint  --- datagrams --->  [flow: guest, remote]  --- one socket per guest endpoint --->  remote
 *
 * *Mapping* (RFC 4787, section 4.1: endpoint-independent). All that a guest sends from one address and port leaves by one socket,
 * unconnected and bound to the same port number where the host has it free. So a guest that asks a STUN server which port it has gets
 * an answer that is true for everyone.
 *
 * *Filtering* (section 5: endpoint-independent, "full cone"). A datagram from a stranger to such a socket makes a flow, with origin
 * HOST, and is delivered. Not from the host's loopback, nor from the guest's own address: those mean something else inside.
 *
 * *Mapped targets.* Where policy sends a flow elsewhere than to its remote address (DNS, the host's loopback), it gets a socket of its
 * own, connected to the target. What comes in there can only be the answer, and belongs to that remote address by construction. Target
 * and guest may be of different IP versions.
 *
 * *Published ports.* A socket of the host that was bound in advance; each caller becomes a flow, and the guest's answers leave by that
 * same socket. While the guest's neighbour is asked for, datagrams stay in the socket, which holds as many as its buffer takes.
 *
 * *Out.* While a frame is processed, datagrams are judged and queued by socket (`send-queue.ts`, which merges neighbours); the queue is
 * sent at the end of the frame, from the arena. A super-packet (USO) goes out as it is and the host's kernel cuts it.
 *
 * *In* (`datagram-receiver.ts`). Payloads are read into the arena with room in front, where the headers are written. What the kernel
 * merged (UDP_GRO, only asked for where the link segments) goes to the guest in one piece, and what it did not merge is merged where it
 * can be (`udp-inbound.ts`). A datagram larger than the guest's MTU is cut into IP fragments.
 *
 * *Errors.* ICMP errors of the host's socket go back to the guest as ICMP, with the node that sent them, so traceroute works. A hop
 * count other than 64 is carried over, and so is the traffic class.
 *
 * *Timers.* 30 s; 120 s once datagrams went both ways (RFC 4787, section 4.3: not less than two minutes); 3 s for
 * DNS that has been answered.
 *
 * *Limits.* Flows: the flow table; a new one in a full table is answered with ICMP, and strangers may not fill its last quarter.
 * Sockets: descriptors; a flow that gets none is answered with ICMP. A full socket buffer loses datagrams, which are counted
 * (`sendQueue.dropped`). Multicast and broadcast do not get here. "Don't fragment" is not carried over (`udp-socket.ts`).
 */
import { isIpv4Words } from '../base/address.ts';
import type { CallerMap } from '../flow/caller-map.ts';
import { type FlowTable, OUTCOME, TARGET_WORDS } from '../flow/flow-table.ts';
import type { GuestLinks } from '../flow/guest-link.ts';
import { VERDICT } from '../flow/policy.ts';
import type { PollHandler } from '../flow/poll-handler.ts';
import { drop } from '../graph/drop.ts';
import { ARC_DONE, type GraphNode } from '../graph/node.ts';
import { REASON } from '../graph/reasons.ts';
import { type Packets, VNET_HEADER_BYTES } from '../packet/packets.ts';
import { POLL, SOCKET_ADDRESS_WORDS, type Sys } from '../sys/sys.ts';
import * as udp from '../wire/udp.ts';
import * as vnet from '../wire/vnet-header.ts';
import type { DatagramDeps } from './datagram-deps.ts';
import { DatagramFlows } from './datagram-flows.ts';
import { DatagramReceiver, type DatagramSink } from './datagram-receiver.ts';
import { DatagramSockets } from './datagram-sockets.ts';
import { GuestDatagrams } from './guest-datagrams.ts';
import { carriedClass, carriedHops } from './hops.ts';
import { type IcmpErrors, REFUSAL } from './icmp-error.ts';
import { findFlow, readPorts } from './packet-key.ts';
import { SendQueue, type SendSink } from './send-queue.ts';
import { UdpInbound } from './udp-inbound.ts';
import { hasSegmentation, openConnected, openShared, setOptions } from './udp-socket.ts';

const ONEWAY_MS = 30_000;
const BOTH_WAYS_MS = 120_000;

const NONE = -1;

/** A host socket, bound already, and the guest's endpoint that it leads to. */
export interface UdpPublication {
  readonly fd: number;
  /** Whether the socket is of IPv4. */
  readonly ipv4: boolean;
  readonly interfaceIndex: number;
  /** The guest's address, four words, and port. */
  readonly guest: Int32Array;
  readonly guestPort: number;
}

export class UdpTranslate implements GraphNode, PollHandler, SendSink, DatagramSink {
  readonly name = 'udp-input';
  readonly next: readonly string[] = [];
  readonly sockets: DatagramSockets;
  readonly sendQueue: SendQueue;
  readonly datagrams: GuestDatagrams;

  readonly #sys: Sys;
  readonly #flows: FlowTable;
  readonly #links: GuestLinks;
  readonly #errors: IcmpErrors;
  readonly #life: DatagramFlows;
  readonly #receiver: DatagramReceiver;
  readonly #inbound: UdpInbound;
  readonly #target: Int32Array = new Int32Array(SOCKET_ADDRESS_WORDS);

  constructor(deps: DatagramDeps, callers: CallerMap) {
    const { sys, packets, arenaMemory, flows, links, output } = deps;
    this.#sys = sys;
    this.#flows = flows;
    this.#links = links;
    this.#errors = deps.errors;
    this.sockets = new DatagramSockets(sys, deps.poll, flows, deps.tokens, this);
    this.datagrams = new GuestDatagrams(packets, flows, links, output);
    this.sendQueue = new SendQueue(sys, packets, arenaMemory, this.sockets, this);
    this.sendQueue.setSegmentation(hasSegmentation(sys));
    this.#life = new DatagramFlows(deps, this.sockets, ONEWAY_MS, BOTH_WAYS_MS);
    this.#inbound = new UdpInbound(deps, this.sockets, this.#life, this.datagrams, callers);
    this.#receiver = new DatagramReceiver(sys, packets, arenaMemory, this.sockets, this.datagrams, output, this);
  }

  process(packets: Packets, frame: Int32Array, count: number, arcs: Uint8Array): void {
    for (let i = 0; i < count; i++) arcs[i] = this.#input(packets, frame[i]);
    this.sendQueue.flush();
  }

  /** The socket that is this flow's own is ready. No received packet is in use. */
  hostReady(flow: number, events: number): void {
    const socket = this.sockets.of[flow];
    if (socket !== NONE && this.sockets.flow[socket] === flow) this.#receiver.ready(socket, events);
  }

  /** A shared or published socket is ready. No received packet is in use. */
  ready(events: number, token: number): void {
    const socket = this.sockets.byToken(token);
    if (socket === NONE) return;
    const waits = (events & POLL.IN) !== 0 && this.#inbound.mustWait(socket);
    if (waits) this.sockets.pause(socket);
    this.#receiver.ready(socket, waits ? events & ~POLL.IN : events);
  }

  /** Looks again at published ports whose datagrams wait. */
  retry(): void {
    this.sockets.resumeAll();
  }

  /** The wheel says that the flow's timer is due. */
  timerExpired(flow: number, nowUs: number): void {
    this.#life.expire(flow, nowUs);
  }

  /** Takes over a bound socket: datagrams that come to it reach the guest. Returns 0, or -errno with the socket closed. */
  publish(publication: UdpPublication): number {
    const { fd, interfaceIndex, guest, guestPort } = publication;
    setOptions(this.#sys, fd, publication.ipv4, this.#takesMerged(interfaceIndex));
    const socket = this.sockets.addListener(udp.PROTOCOL, interfaceIndex, guest, guestPort, fd, publication.ipv4);
    return Math.min(socket, 0);
  }

  /** The port is published no more. Its flows stay, and so does the socket until the last of them ends. False: it was not published. */
  unpublish(fd: number): boolean {
    return this.sockets.retire(fd);
  }

  /** Whether a port that was unpublished is open still, for its flows. */
  isRetired(fd: number): boolean {
    return this.sockets.findRetired(fd) !== NONE;
  }

  /** Ends the flows that a port still has which was unpublished: then its socket is closed, and the port is free. */
  reclaim(fd: number): void {
    const socket = this.sockets.findRetired(fd);
    if (socket === NONE) return;
    for (let flow = 0; flow < this.#flows.max; flow++) {
      if (this.sockets.of[flow] === socket) this.#life.kill(flow);
    }
  }

  /** Ends all flows and closes all sockets. */
  closeAll(): void {
    this.closeFlows(-1);
    this.sockets.closeListeners();
  }

  /** Ends the flows of an interface; -1: all. */
  closeFlows(interfaceIndex: number): void {
    for (let flow = 0; flow < this.#flows.max; flow++) {
      if (this.sockets.of[flow] === NONE) continue;
      if (interfaceIndex < 0 || this.#flows.interfaceIndex(flow) === interfaceIndex) this.#life.kill(flow);
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
    this.#inbound.received(socket, records, at);
  }

  batchReceived(): void {
    this.#inbound.batchReceived();
  }

  failed(socket: number, record: Int32Array, quote: DataView): void {
    const flow = this.#inbound.flowOfError(socket, record);
    if (flow === NONE) return;
    this.#life.failed(flow, record[0]);
    this.#errors.flowError(flow, record, quote);
    // The next question shall go to another resolver, and not by this flow.
    if (this.#life.isUnansweredResolver(flow)) this.#life.kill(flow);
  }

  #input(packets: Packets, packet: number): number {
    const { view } = packets;
    const at = packets.transport[packet];
    if (udp.check(view, at, packets.end[packet]) < 0) return drop(packets, packet, REASON['udp-header-invalid']);
    const segment = this.#segmentOf(packets, packet);
    if (segment < 0) return drop(packets, packet, REASON['vnet-header-invalid']);
    if (udp.destinationPort(view, at) === 0) return drop(packets, packet, REASON['udp-header-invalid']);
    if (!isVerified(packets, packet)) return drop(packets, packet, REASON['udp-checksum-wrong']);
    let flow = findFlow(packets, packet, readPorts(packets, packet), this.#flows);
    if (flow === NONE) flow = this.#open(packets, packet);
    if (flow < 0) return drop(packets, packet, -flow);
    this.#send(packets, packet, flow, segment);
    return ARC_DONE;
  }

  #send(packets: Packets, packet: number, flow: number, segment: number): void {
    const { view } = packets;
    const network = packets.network[packet];
    const payload = packets.transport[packet] + udp.HEADER_BYTES;
    const length = udp.length(view, packets.transport[packet]) - udp.HEADER_BYTES;
    packets.flow[packet] = flow;
    this.#life.sent(flow, length);
    this.sendQueue.add(
      this.sockets.of[flow],
      flow,
      packets.start[packet] - VNET_HEADER_BYTES,
      payload,
      length,
      segment < length ? segment : 0,
      carriedHops(view, network),
      carriedClass(view, network),
      this.#flows.targets,
      flow * TARGET_WORDS,
    );
  }

  /** The payload bytes of each segment of a super-packet, 0 for one datagram, -1 for what UDP can't be. */
  #segmentOf(packets: Packets, packet: number): number {
    const header = packets.start[packet] - VNET_HEADER_BYTES;
    switch (vnet.gsoType(packets.view, header)) {
      case vnet.GSO_NONE:
      // One datagram, which the link was to cut into IP fragments (UFO).
      case vnet.GSO_UDP:
        return 0;
      case vnet.GSO_UDP_L4:
        return vnet.gsoSize(packets.view, header);
      default:
        return -1;
    }
  }

  /** Makes a flow for the packet whose key is in the probe, or answers it. Returns the flow, or the negative of a drop reason. */
  #open(packets: Packets, packet: number): number {
    const flow = this.#life.insertFromGuest(packets, packet);
    if (flow < 0) {
      this.#errors.replyTo(packet, REFUSAL.HOST);
      return -REASON['flows-full'];
    }
    const verdict = this.#life.decide(flow);
    if (verdict === VERDICT.ALLOW) {
      const socket = this.#socketFor(flow);
      if (socket >= 0) {
        this.#life.activate(flow, socket);
        return flow;
      }
      this.#life.refuse(flow, OUTCOME.failed);
      this.#errors.replyTo(packet, -socket === REFUSAL.PROHIBITED ? REFUSAL.PROHIBITED : REFUSAL.HOST);
      return -REASON['socket-failed'];
    }
    const local = verdict === VERDICT.LOCAL;
    this.#life.refuse(flow, local ? OUTCOME.refused : OUTCOME.denied);
    this.#errors.replyTo(packet, local ? REFUSAL.PORT : REFUSAL.PROHIBITED);
    return -(local ? REASON['port-unreachable'] : REASON['policy-refused']);
  }

  /** The socket that this flow is to use, opened if need be, or -errno. */
  #socketFor(flow: number): number {
    const merged = this.#takesMerged(this.#flows.interfaceIndex(flow));
    if (this.#life.isMapped(flow)) {
      const target = this.#target;
      for (let word = 0; word < TARGET_WORDS; word++) target[word] = this.#flows.targets[flow * TARGET_WORDS + word];
      const isIpv4 = isIpv4Words(target[0], target[1], target[2]);
      const fd = openConnected(this.#sys, isIpv4, target, merged);
      return fd < 0 ? fd : this.sockets.addOwn(flow, fd, isIpv4);
    }
    const shared = this.sockets.findShared(flow);
    if (shared !== NONE) return shared;
    const isIpv4 = this.#flows.isIpv4(flow);
    const fd = openShared(this.#sys, isIpv4, this.#flows.guestPort(flow), merged, this.#target);
    return fd < 0 ? fd : this.sockets.addShared(flow, fd, isIpv4);
  }

  #takesMerged(interfaceIndex: number): boolean {
    const link = this.#links[interfaceIndex];
    return link?.offload.udpSegmentation === true && link.offload.checksum;
  }
}

/** Whether the checksum is right, was found right, or is to be completed by whoever sends the datagram on, which are we. */
function isVerified(packets: Packets, packet: number): boolean {
  const { view } = packets;
  const start = packets.start[packet];
  const at = packets.transport[packet];
  const header = start - VNET_HEADER_BYTES;
  const flags = vnet.flags(view, header);
  if ((flags & vnet.FLAG_DATA_VALID) !== 0) return true;
  if ((flags & vnet.FLAG_NEEDS_CSUM) !== 0) {
    const field = start + vnet.checksumStart(view, header) + vnet.checksumOffset(view, header);
    if (field === at + udp.CHECKSUM_OFFSET) return true;
  }
  return udp.verifyChecksum(view, packets.network[packet], at);
}
