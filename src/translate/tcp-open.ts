/**
 * How TCP flows come to be: from the guest's SYN by way of connect(2), or from a caller on a published port by way of a SYN to the guest.
 *
 *     guest calls:  SYN -> [policy] -> connect(2) -> CONNECTING -> writable -> SYN-ACK -> SYN_RECEIVED -> ACK -> OPEN
 *     guest called: accept(2) -> SYN -> SYN_SENT -> SYN-ACK -> ACK -> OPEN
 *
 * A connect(2) that fails at once, while the guest's frame is still being processed, is reported when the frame is done (`reportFailures`).
 */

import { isIpv4Words } from '../base/address.ts';
import { type FlowTable, OUTCOME, SIDE, TARGET_WORDS } from '../flow/flow-table.ts';
import { VERDICT } from '../flow/policy.ts';
import { ERRNO } from '../sys/errno.ts';
import { IP, IPV6, SO, SOL, TCP } from '../sys/options.ts';
import {
  ERROR_RECORD_WORDS,
  POLL,
  POLL_OPERATION,
  SOCKET_ADDRESS_WORDS,
  SOCKET_FAMILY,
  SOCKET_PROTOCOL,
  SOCKET_TYPE,
} from '../sys/sys.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as tcp from '../wire/tcp.ts';
import { carriedHops } from './hops.ts';
import { FLAG, PHASE, RTO_INITIAL_MS, type TcpColumns } from './tcp-columns.ts';
import type { TcpDeps } from './tcp-deps.ts';
import type { TcpEnds } from './tcp-ends.ts';
import { type TcpSegments, UNSCALED } from './tcp-segments.ts';
import type { TcpSender } from './tcp-send.ts';

/** The smallest segment that we send because a guest asked for it: Linux's own lower bound. */
const MSS_MIN = 88;

export class TcpOpener {
  readonly #deps: TcpDeps;
  readonly #flows: FlowTable;
  readonly #tcp: TcpColumns;
  readonly #segments: TcpSegments;
  readonly #sender: TcpSender;
  readonly #options: Int32Array = new Int32Array(tcp.OPTION_WORDS);
  readonly #target: Int32Array = new Int32Array(SOCKET_ADDRESS_WORDS);
  readonly #errorRecord: Int32Array = new Int32Array(ERROR_RECORD_WORDS);
  /** Flows whose connect(2) failed at once: number, id, errno. */
  readonly #failed: number[] = [];

  constructor(deps: TcpDeps, columns: TcpColumns, segments: TcpSegments, sender: TcpSender) {
    this.#deps = deps;
    this.#flows = deps.flows;
    this.#tcp = columns;
    this.#segments = segments;
    this.#sender = sender;
  }

  /** The SYN in `packet`, whose key is in the probe, opens a flow. Returns it, or -1 when the SYN is to be refused. */
  open(packet: number): number {
    const { packets, policy, observer } = this.#deps;
    const flows = this.#flows;
    const flow = flows.insert(SIDE.GUEST, this.#deps.clock.nowUs);
    if (flow === -1) return -1;
    flows.macHigh[flow] = ethernet.sourceHigh(packets.view, packets.start[packet]);
    flows.macLow[flow] = ethernet.sourceLow(packets.view, packets.start[packet]);
    flows.packetsOut[flow] = 1;
    const verdict = policy.decide(flows, flow);
    if (verdict !== VERDICT.ALLOW) {
      flows.outcome[flow] = verdict === VERDICT.REFUSE ? OUTCOME.denied : OUTCOME.refused;
      observer.opened(flow);
      observer.closed(flow);
      flows.remove(flow);
      return -1;
    }
    flows.setTargeted(flow);
    this.#takeSyn(flow, packet);
    const error = this.#connect(flow, carriedHops(packets.view, packets.network[packet]));
    if (error === -ERRNO.EMFILE || error === -ERRNO.ENFILE) return this.#withoutSocket(flow);
    if (error < 0) this.#failed.push(flow, flows.id[flow], -error);
    return flow;
  }

  /** How connect(2) ended, of which the socket's `events` tell; 0: well. */
  connectErrno(flow: number, events: number): number {
    if ((events & (POLL.ERR | POLL.HUP)) === 0) return 0;
    return Math.abs(this.#deps.sys.getOption(this.#flows.hostFd[flow], SOL.SOCKET, SO.ERROR));
  }

  /** connect(2) has failed: RST, ICMP, or silence. */
  failed(flow: number, errno: number, ends: TcpEnds): void {
    const outcome = outcomeOf(errno);
    if (outcome === OUTCOME.unreachable) this.#tellUnreachable(flow, errno);
    else if (outcome !== OUTCOME.timeout) this.#segments.control(flow, tcp.RST | tcp.ACK, 0);
    ends.close(flow, outcome);
  }

  /** A flow that the guest has ended in the same frame is not there any more, and its number may be another's. */
  reportFailures(ends: TcpEnds): void {
    if (this.#failed.length === 0) return;
    for (let i = 0; i < this.#failed.length; i += 3) {
      const flow = this.#failed[i];
      const isThere = this.#tcp.phase[flow] === PHASE.CONNECTING && this.#flows.id[flow] === this.#failed[i + 1];
      if (isThere) this.failed(flow, this.#failed[i + 2], ends);
    }
    this.#failed.length = 0;
  }

  /** The host's socket is connected: the guest may know. */
  connected(flow: number): void {
    this.#flows.setActive(flow);
    this.#flows.outcome[flow] = OUTCOME.established;
    this.#tcp.phase[flow] = PHASE.SYN_RECEIVED;
    this.#sender.adopt(flow);
    this.sendHandshake(flow);
    this.#deps.observer.opened(flow);
  }

  /** The guest has acknowledged our SYN. */
  established(flow: number): void {
    const columns = this.#tcp;
    columns.phase[flow] = PHASE.OPEN;
    columns.sndUna[flow] = columns.sndNxt[flow];
    columns.retries[flow] = 0;
    columns.rtoMs[flow] = RTO_INITIAL_MS;
  }

  /** A caller's socket `fd` becomes a flow with the key in the probe, and the guest gets a SYN. Returns the flow, or -1. */
  accepted(fd: number, macHigh: number, macLow: number): number {
    const flows = this.#flows;
    const flow = flows.insert(SIDE.HOST, this.#deps.clock.nowUs);
    if (flow === -1) return -1;
    flows.setTargeted(flow);
    flows.setActive(flow);
    flows.macHigh[flow] = macHigh;
    flows.macLow[flow] = macLow;
    flows.hostFd[flow] = fd;
    this.#tcp.reset(flow, PHASE.SYN_SENT, this.#deps.random() | 0, MSS_MIN);
    this.#setSocketOptions(fd);
    this.#sender.adopt(flow);
    if (this.#watch(flow) < 0) {
      flows.hostFd[flow] = -1;
      this.#tcp.phase[flow] = PHASE.NONE;
      flows.remove(flow);
      return -1;
    }
    this.#tcp.flags[flow] |= FLAG.HOST_READABLE;
    this.sendHandshake(flow);
    this.#deps.observer.opened(flow);
    return flow;
  }

  /** The guest's SYN-ACK to our SYN is in `packet`. */
  answered(flow: number, packet: number): void {
    this.#readSyn(flow, packet);
    this.#tcp.sndWnd[flow] = tcp.window(this.#deps.packets.view, this.#deps.packets.transport[packet]);
    this.#flows.outcome[flow] = OUTCOME.established;
    this.established(flow);
  }

  /** Sends our SYN, or SYN-ACK, for the first time or again. */
  sendHandshake(flow: number): void {
    const columns = this.#tcp;
    const answers = columns.phase[flow] === PHASE.SYN_RECEIVED;
    const iss = columns.sndUna[flow];
    columns.sndNxt[flow] = (iss + 1) | 0;
    columns.sndMax[flow] = columns.sndNxt[flow];
    columns.rcvEdge[flow] = (columns.rcvNxt[flow] + SYN_WINDOW_BYTES) | 0;
    const scaled = columns.guestScale[flow] !== UNSCALED;
    this.#segments.control(flow, answers ? tcp.SYN | tcp.ACK : tcp.SYN, iss, scaled);
  }

  /** By ICMP; in the name of the node that reported it, where the socket's error queue tells: tcptraceroute lives on that. */
  #tellUnreachable(flow: number, errno: number): void {
    const { errors, sys, arenaMemory } = this.#deps;
    const fd = this.#flows.hostFd[flow];
    const syn = (this.#tcp.rcvNxt[flow] - 1) | 0;
    const record = this.#errorRecord;
    const told = fd !== -1 && sys.receiveError(fd, arenaMemory, 0, 0, record) > 0;
    if (told) errors.flowError(flow, record, undefined, syn);
    else errors.flowUnreachable(flow, errno, syn);
  }

  #takeSyn(flow: number, packet: number): void {
    const { packets, random } = this.#deps;
    this.#tcp.reset(flow, PHASE.CONNECTING, random() | 0, MSS_MIN);
    this.#readSyn(flow, packet);
    this.#tcp.sndWnd[flow] = tcp.window(packets.view, packets.transport[packet]);
  }

  /** The guest's initial sequence number and options. Payload on a SYN is not taken; the guest sends it again. */
  #readSyn(flow: number, packet: number): void {
    const { view, transport } = this.#deps.packets;
    const columns = this.#tcp;
    const at = transport[packet];
    tcp.readOptions(view, at, this.#options);
    const scale = this.#options[tcp.OPTION_WINDOW_SCALE];
    columns.guestScale[flow] = scale < 0 ? UNSCALED : Math.min(scale, tcp.WINDOW_SCALE_MAX);
    const unsaid = this.#flows.isIpv4(flow) ? tcp.MSS_DEFAULT_IPV4 : tcp.MSS_DEFAULT_IPV6;
    const mss = this.#options[tcp.OPTION_MSS] < 0 ? unsaid : this.#options[tcp.OPTION_MSS];
    columns.mss[flow] = Math.min(Math.max(mss, MSS_MIN), this.#segments.mssMax(flow));
    columns.rcvNxt[flow] = (tcp.sequence(view, at) + 1) | 0;
    columns.rcvEdge[flow] = columns.rcvNxt[flow];
    columns.sndWl1[flow] = tcp.sequence(view, at);
  }

  /** Opens the host's socket and starts connect(2). Returns 0 or -errno; the socket stays with the flow when there is one. */
  #connect(flow: number, hops: number): number {
    const { sys } = this.#deps;
    const target = this.#target;
    for (let word = 0; word < TARGET_WORDS; word++) {
      target[word] = this.#flows.targets[flow * TARGET_WORDS + word];
    }
    const isIpv4 = isIpv4Words(target[0], target[1], target[2]);
    const fd = sys.socket(
      isIpv4 ? SOCKET_FAMILY.INET : SOCKET_FAMILY.INET6,
      SOCKET_TYPE.STREAM,
      SOCKET_PROTOCOL.DEFAULT,
    );
    if (fd < 0) return fd;
    this.#flows.hostFd[flow] = fd;
    this.#setSocketOptions(fd);
    if (hops >= 0) {
      sys.setOption(fd, isIpv4 ? SOL.IP : SOL.IPV6, isIpv4 ? IP.TTL : IPV6.UNICAST_HOPS, hops);
      sys.setOption(fd, isIpv4 ? SOL.IP : SOL.IPV6, isIpv4 ? IP.RECVERR : IPV6.RECVERR, 1);
    }
    const error = sys.connect(fd, target);
    if (error < 0 && error !== -ERRNO.EINPROGRESS) return error;
    return this.#watch(flow);
  }

  /**
   * No delay: the guest's own kernel has already decided when to send. Keep-alive: a dead remote must not hold a flow for ever. Urgent data in
   * line: taken out of it, its byte would still count for the peek offset, and every byte behind it would be read at the wrong place.
   */
  #setSocketOptions(fd: number): void {
    const { sys } = this.#deps;
    sys.setOption(fd, SOL.TCP, TCP.NODELAY, 1);
    sys.setOption(fd, SOL.SOCKET, SO.KEEPALIVE, 1);
    sys.setOption(fd, SOL.SOCKET, SO.OOBINLINE, 1);
  }

  #watch(flow: number): number {
    const events = POLL.IN | POLL.PRI | POLL.OUT | POLL.RDHUP | POLL.EDGE;
    const fd = this.#flows.hostFd[flow];
    return this.#deps.sys.pollControl(this.#deps.poll, POLL_OPERATION.ADD, fd, events, flow * 2 + SIDE.HOST);
  }

  /** There is no descriptor left: as when the flow table is full. */
  #withoutSocket(flow: number): number {
    this.#flows.outcome[flow] = OUTCOME.failed;
    this.#deps.observer.opened(flow);
    this.#deps.observer.closed(flow);
    this.#tcp.phase[flow] = PHASE.NONE;
    this.#flows.remove(flow);
    return -1;
  }
}

/** The window in a SYN or SYN-ACK, which is never scaled. */
const SYN_WINDOW_BYTES = 65_535;

function outcomeOf(errno: number): number {
  switch (errno) {
    case ERRNO.ECONNREFUSED:
    case ERRNO.ECONNRESET:
      return OUTCOME.refused;
    case ERRNO.ETIMEDOUT:
      return OUTCOME.timeout;
    case ERRNO.EHOSTUNREACH:
    case ERRNO.ENETUNREACH:
    case ERRNO.EHOSTDOWN:
    case ERRNO.ENETDOWN:
    case ERRNO.EADDRNOTAVAIL:
    case ERRNO.EACCES:
    case ERRNO.EPERM:
      return OUTCOME.unreachable;
    default:
      return OUTCOME.failed;
  }
}
