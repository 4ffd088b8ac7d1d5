/**
 * The life of datagram flows (UDP, ICMP echo), which have no beginning and no end of their own: opened by the first packet, closed by
 * silence.
 *
 * The timer of a flow is not moved with each packet. It is set once, and when it fires the flow's last activity tells whether it is
 * over or how long to wait on. Only a DNS flow whose questions are all answered has its timer moved forward: stub resolvers take a new
 * port for each question, and most of a guest's flows would be such empty shells (RFC 4787, REQ-5 b, allows less than two minutes for
 * well-known ports).
 */
import type { TimerWheel } from '../base/timer-wheel.ts';
import type { TurnClock } from '../base/turn-clock.ts';
import { KEY_REMOTE, KEY_WORDS } from '../flow/flow-key.ts';
import { type FlowTable, OUTCOME, SIDE, TARGET_WORDS } from '../flow/flow-table.ts';
import { type FlowObserver, type Policy, VERDICT } from '../flow/policy.ts';
import type { Packets } from '../packet/packets.ts';
import { ERRNO } from '../sys/errno.ts';
import { SOCKET_ADDRESS_WORDS } from '../sys/sys.ts';
import * as ethernet from '../wire/ethernet.ts';
import type { DatagramDeps } from './datagram-deps.ts';
import type { DatagramSockets } from './datagram-sockets.ts';

/** The part of the flow table that can be in use before the host's side may open no more. */
const STRANGERS_SHARE_MAX = 0.75;

const UDP = 17;
const DNS_PORT = 53;
/** How long an answered DNS flow waits for another question, or for the answer's duplicate. */
const DNS_ANSWERED_MS = 3000;

/**
 * How long a question that policy has sent to one of the host's resolvers may stay unanswered: less than the 5 s after which the C library asks again
 * (resolv.conf(5), timeout), so that it gets a new flow then, and with it the next resolver.
 */
const DNS_UNANSWERED_MS = 4000;

/** The word of a socket address that holds the port. */
const PORT = 4;

export class DatagramFlows {
  readonly #flows: FlowTable;
  readonly #timers: TimerWheel;
  readonly #clock: TurnClock;
  readonly #policy: Policy;
  readonly #observer: FlowObserver;
  readonly #sockets: DatagramSockets;
  readonly #onewayMs: number;
  readonly #bothWaysMs: number;

  /** A flow is closed after `onewayMs` of silence, or `bothWaysMs` once packets went both ways. */
  constructor(deps: DatagramDeps, sockets: DatagramSockets, onewayMs: number, bothWaysMs: number) {
    this.#flows = deps.flows;
    this.#timers = deps.timers;
    this.#clock = deps.clock;
    this.#policy = deps.policy;
    this.#observer = deps.observer;
    this.#sockets = sockets;
    this.#onewayMs = onewayMs;
    this.#bothWaysMs = bothWaysMs;
  }

  /** Makes a flow of the key in the probe, which `packet` of the guest has brought, in state NEW. Returns -1 when the table is full. */
  insertFromGuest(packets: Packets, packet: number): number {
    const flow = this.#flows.insert(SIDE.GUEST, this.#clock.nowUs);
    if (flow < 0) return flow;
    this.#flows.macHigh[flow] = ethernet.sourceHigh(packets.view, packets.start[packet]);
    this.#flows.macLow[flow] = ethernet.sourceLow(packets.view, packets.start[packet]);
    return flow;
  }

  /** Asks policy. A flow that is allowed is TARGETED then. */
  decide(flow: number): number {
    const verdict = this.#policy.decide(this.#flows, flow);
    if (verdict === VERDICT.ALLOW) this.#flows.setTargeted(flow);
    return verdict;
  }

  /** The flow has its socket: it lives until it falls silent. */
  activate(flow: number, socket: number): void {
    if (socket >= 0) this.#sockets.attach(flow, socket);
    this.#flows.setActive(flow);
    this.#timers.set(flow, this.#clock.nowUs / 1000 + this.#silenceMs(flow));
    this.#observer.opened(flow);
  }

  /**
   * Makes the flow of a socket with someone on the host's side whom the guest has not spoken to. `address` is who that is, a socket
   * address at `at`; the probe holds the key, which may have another remote address. Returns -1 when the table is full, or fuller than
   * strangers may make it: who sends from many (forged) addresses to one open port must not lock the guest out.
   */
  openFromHost(socket: number, address: Int32Array, at: number, macHigh: number, macLow: number): number {
    if (this.#flows.count >= this.#flows.max * STRANGERS_SHARE_MAX) return -1;
    const flow = this.#flows.insert(SIDE.HOST, this.#clock.nowUs);
    if (flow < 0) return flow;
    this.retarget(flow, address, at);
    this.#flows.macHigh[flow] = macHigh;
    this.#flows.macLow[flow] = macLow;
    this.#flows.setTargeted(flow);
    this.activate(flow, socket);
    return flow;
  }

  /** What the guest sends goes to this socket address from now on. */
  retarget(flow: number, address: Int32Array, at: number): void {
    for (let word = 0; word < SOCKET_ADDRESS_WORDS; word++) {
      this.#flows.targets[flow * TARGET_WORDS + word] = address[at + word];
    }
  }

  /** Whether policy has set a target that is not the flow's remote address. */
  isMapped(flow: number): boolean {
    const { keys, targets } = this.#flows;
    const target = flow * TARGET_WORDS;
    const remote = flow * KEY_WORDS + KEY_REMOTE;
    for (let word = 0; word < 4; word++) if (targets[target + word] !== keys[remote + word]) return true;
    return targets[target + PORT] !== this.#flows.remotePort(flow);
  }

  /** The guest sent one packet with so many bytes of payload. */
  sent(flow: number, bytes: number): void {
    this.#flows.packetsOut[flow]++;
    this.#flows.bytesOut[flow] += bytes;
    this.#flows.activeUs[flow] = this.#clock.nowUs;
    if (this.#flows.origin[flow] === SIDE.HOST) this.#flows.outcome[flow] = OUTCOME.established;
  }

  /** The guest gets one packet with so many bytes of payload. */
  got(flow: number, bytes: number): void {
    this.#flows.packetsIn[flow]++;
    this.#flows.bytesIn[flow] += bytes;
    this.#flows.activeUs[flow] = this.#clock.nowUs;
    if (this.#flows.origin[flow] === SIDE.GUEST) this.#flows.outcome[flow] = OUTCOME.established;
    if (this.#isAnsweredDns(flow)) this.#timers.set(flow, this.#clock.nowUs / 1000 + DNS_ANSWERED_MS);
  }

  /** An error came back for the flow: that is how it ends, unless an answer came or comes. */
  failed(flow: number, errno: number): void {
    if (this.#flows.outcome[flow] === OUTCOME.established) return;
    this.#flows.outcome[flow] = errno === ERRNO.ECONNREFUSED ? OUTCOME.refused : OUTCOME.unreachable;
  }

  /** The flow's timer has fired: closes it if it has been silent for long enough. Returns whether it did. */
  expire(flow: number, nowUs: number): boolean {
    const { activeUs } = this.#flows;
    const deadlineMs = activeUs[flow] / 1000 + this.#silenceMs(flow);
    if (deadlineMs > nowUs / 1000) {
      this.#timers.set(flow, deadlineMs);
      return false;
    }
    this.#end(flow, OUTCOME.timeout);
    return true;
  }

  /** Whether the flow asks one of the host's resolvers, and has not heard from it. */
  isUnansweredResolver(flow: number): boolean {
    return this.#isDns(flow) && this.#flows.packetsIn[flow] === 0 && this.isMapped(flow);
  }

  /** Ends an active flow before its time. */
  kill(flow: number): void {
    this.#end(flow, OUTCOME.killed);
  }

  /** Ends a flow that never became active. */
  refuse(flow: number, outcome: number): void {
    this.#flows.outcome[flow] = outcome;
    this.#observer.opened(flow);
    this.#observer.closed(flow);
    this.#flows.remove(flow);
  }

  /** `unanswered` is how a flow ends of which nothing has been heard. */
  #end(flow: number, unanswered: number): void {
    const { outcome } = this.#flows;
    if (outcome[flow] === OUTCOME.pending) outcome[flow] = unanswered;
    if (outcome[flow] === OUTCOME.established) outcome[flow] = OUTCOME.closed;
    this.#timers.cancel(flow);
    this.#sockets.detach(flow);
    this.#observer.closed(flow);
    this.#flows.remove(flow);
  }

  #silenceMs(flow: number): number {
    if (this.#isAnsweredDns(flow)) return DNS_ANSWERED_MS;
    if (this.isUnansweredResolver(flow)) return DNS_UNANSWERED_MS;
    const bothWays = this.#flows.packetsIn[flow] > 0 && this.#flows.packetsOut[flow] > 0;
    return bothWays && !this.#isDns(flow) ? this.#bothWaysMs : this.#onewayMs;
  }

  #isDns(flow: number): boolean {
    return this.#flows.remotePort(flow) === DNS_PORT && this.#flows.protocol(flow) === UDP;
  }

  #isAnsweredDns(flow: number): boolean {
    return this.#isDns(flow) && this.#flows.packetsIn[flow] >= this.#flows.packetsOut[flow];
  }
}
