/**
 * TCP translation: the guest's connections become the host's sockets (RFC 9293).
 *
 * ## Theory of operation
 *
 * The guest's kernel and the host's kernel each run a whole TCP. Between them stands this: towards the guest a small TCP endpoint that has the
 * remote's address, towards the host a non-blocking stream socket. It carries bytes and events across and keeps as little as it can.
 *
 *     guest's socket  <-- segments -->  SND/RCV columns here  <-- read, write -->  host's socket  <-- segments -->  remote
 *
 * *Opening.* A SYN makes a flow; policy says where to; connect(2) starts. The guest gets its SYN-ACK only when the host is connected, so it
 * learns what the host learnt: refused is RST, unreachable is ICMP, a time-out is silence. A caller on a published port goes the other way round (`tcp-listen.ts`).
 *
 * *Guest to host* (`tcp-receive.ts`). Payload goes from the arena into the socket with one sendmsg per flow and frame. The window that we advertise
 * is room that we have, so a byte that was accepted is never dropped, and a host that does not read makes the window close, not the guest retransmit.
 *
 * *Host to guest* (`tcp-send.ts`). Bytes stay in the socket until the guest acknowledges them: peeked at, sent, and only then dropped.
 *
 * *Closing.* Each direction ends by itself: the guest's FIN becomes shutdown(SHUT_WR) behind the last byte, the socket's end of stream becomes our FIN behind the
 * last byte. When both are through, the flow is gone. RST becomes a close with linger 0, which the host's kernel makes an RST; a socket error becomes an RST.
 *
 * *Turns.* While a frame goes through the graph nothing is sent: segments are judged, payload is chained, and flows that owe something are
 * queued (`DIRTY`). Then `writePayloads` empties the chains while the frame is still in the arena, and `service` sends each flow's data, or one acknowledgement
 * for all that came. Sockets are polled edge-triggered, once for both directions, and never touched again: `FLAG` remembers what they said.
 *
 * *Back-pressure.* Flows whose link is congested (`flow/congestion.ts`) are parked with what they owe, and their timers wait. `pull` builds no more than UNSENT_BYTES_MAX before
 * the link has said whether it takes that, and its queue has room for so much: nothing of ours is lost there.
 *
 * *Limits.* Flows: the flow table. Bytes held for hosts: `tcp-held.ts`. Per turn and flow: TCP_PULL_BYTES_PER_TURN. No SACK, no timestamps, no urgent data
 * (it is delivered in line), no congestion control towards the guest but after a loss. No TIME-WAIT: a FIN that the guest repeats, because our last
 * acknowledgement was lost, finds no flow and is answered with RST; all its bytes were with the host then.
 */

import { distance } from '../base/sequence.ts';
import type { TurnClock } from '../base/turn-clock.ts';
import { type Congestion, NO_LINK } from '../flow/congestion.ts';
import { type FlowTable, OUTCOME } from '../flow/flow-table.ts';
import { drop } from '../graph/drop.ts';
import { ARC_DONE, ARC_NEXT, type GraphNode } from '../graph/node.ts';
import { REASON } from '../graph/reasons.ts';
import { type Packets, VNET_HEADER_BYTES } from '../packet/packets.ts';
import { ERRNO } from '../sys/errno.ts';
import { POLL } from '../sys/sys.ts';
import * as tcp from '../wire/tcp.ts';
import * as vnet from '../wire/vnet-header.ts';
import { findFlow, readPorts } from './packet-key.ts';
import { DIRTY, FLAG, PHASE, RTO_MAX_MS, TcpColumns } from './tcp-columns.ts';
import type { TcpDeps } from './tcp-deps.ts';
import { DirtyFlows } from './tcp-dirty.ts';
import { TcpEnds } from './tcp-ends.ts';
import { TcpHeld } from './tcp-held.ts';
import { TcpOpener } from './tcp-open.ts';
import { SEGMENT, TcpReceiver, type Undelivered } from './tcp-receive.ts';
import { TcpSegments } from './tcp-segments.ts';
import { PULL, TcpSender } from './tcp-send.ts';
import { KEEPALIVE_IDLE_MS, KEEPALIVE_PROBES_MAX, TcpTimers } from './tcp-timers.ts';

const ARC_OUTPUT = ARC_NEXT;
/** Retransmissions in a row after which the guest counts as gone: about a quarter of an hour, as tcp_retries2. */
const RETRIES_MAX = 15;
const HANDSHAKE_RETRIES_MAX = 6;

export class TcpTranslate implements GraphNode {
  readonly name = 'tcp-input';
  readonly next: readonly string[] = ['interface-output'];
  readonly columns: TcpColumns;
  readonly #flows: FlowTable;
  readonly #held: TcpHeld;
  readonly #segments: TcpSegments;
  readonly #receiver: TcpReceiver;
  readonly #sender: TcpSender;
  readonly #timers: TcpTimers;
  readonly #opener: TcpOpener;
  readonly #dirty: DirtyFlows;
  readonly #ends: TcpEnds;
  readonly #congestion: Congestion;
  readonly #clock: TurnClock;

  constructor(deps: TcpDeps) {
    const { sys, packets, arenaMemory, flows, links, output } = deps;
    this.#flows = flows;
    this.#clock = deps.clock;
    this.columns = new TcpColumns(flows.max);
    this.#held = new TcpHeld(sys, flows.max, deps.heldBytesMax);
    this.#segments = new TcpSegments(packets, flows, links, output, this.columns);
    this.#receiver = new TcpReceiver(sys, packets, arenaMemory, flows, this.columns, this.#held);
    this.#sender = new TcpSender(deps, this.columns, this.#segments, this.#receiver);
    this.#timers = new TcpTimers(flows, this.columns, this.#sender, deps.timers);
    this.#opener = new TcpOpener(deps, this.columns, this.#segments, this.#sender);
    this.#dirty = new DirtyFlows(this.columns);
    this.#ends = new TcpEnds(deps, {
      columns: this.columns,
      segments: this.#segments,
      receiver: this.#receiver,
      timers: this.#timers,
      dirty: this.#dirty,
    });
    this.#congestion = deps.congestion;
  }

  process(packets: Packets, frame: Int32Array, count: number, arcs: Uint8Array): void {
    for (let i = 0; i < count; i++) arcs[i] = this.#input(packets, frame[i]);
  }

  /** The host's socket of `flow` is ready. No received packet is in use. */
  hostReady(flow: number, events: number): void {
    const { phase, flags } = this.columns;
    if (phase[flow] === PHASE.NONE) return;
    if (phase[flow] === PHASE.CONNECTING) {
      if ((events & (POLL.OUT | POLL.ERR | POLL.HUP)) !== 0) this.#connected(flow, events);
      return;
    }
    if ((events & (POLL.IN | POLL.RDHUP | POLL.HUP | POLL.ERR)) !== 0) {
      flags[flow] |= FLAG.HOST_READABLE;
      if ((events & (POLL.RDHUP | POLL.HUP | POLL.ERR | POLL.PRI)) !== 0) flags[flow] |= FLAG.HOST_HUNG_UP;
      this.#dirty.mark(flow, DIRTY.PULL);
      // Reset behind its end: nothing is left to read that would say so, and the guest may still be sending.
      const ends = flags[flow] & (FLAG.HOST_FIN_SENT | FLAG.GUEST_FIN_DELIVERED);
      if ((events & POLL.HUP) !== 0 && ends === FLAG.HOST_FIN_SENT) this.#hostBroken(flow, -ERRNO.EPIPE);
    }
    if ((events & POLL.OUT) !== 0 && (flags[flow] & FLAG.HOST_BLOCKED) !== 0) this.#writable(flow);
  }

  /** Gives the payload of the frame to the host's sockets. The frame's packets must still be in the arena. */
  writePayloads(): void {
    const { list, count } = this.#dirty;
    for (let i = 0; i < count; i++) {
      const flow = list[i];
      if ((this.columns.dirty[flow] & DIRTY.WRITE) === 0) continue;
      this.columns.dirty[flow] &= ~DIRTY.WRITE;
      const error = this.#receiver.write(flow);
      if (error < 0) this.#hostBroken(flow, error);
    }
  }

  /** Sends what flows owe to the guest. No received packet is in use. Returns whether some have more to send. */
  service(): boolean {
    this.#opener.reportFailures(this.#ends);
    const count = this.#dirty.count;
    const served = this.#dirty.take();
    for (let i = 0; i < count; i++) {
      const flow = served[i];
      const owed = this.columns.dirty[flow];
      this.columns.dirty[flow] = 0;
      const link = this.#congestion.linkHolding(flow);
      if (link === NO_LINK) this.#serve(flow, owed | this.#dirty.unpark(flow));
      else this.#dirty.park(flow, owed, link);
      this.#segments.flushMuch();
    }
    return this.#dirty.count > 0;
  }

  /** A link takes frames again. */
  resume(link: number): void {
    this.#dirty.resume(link);
  }

  /** The wheel says that the flow's timer may be due. */
  timerExpired(flow: number): void {
    if (this.columns.phase[flow] === PHASE.NONE || !this.#timers.isDue(flow, this.#clock.nowUs / 1000)) return;
    if (this.columns.phase[flow] === PHASE.OPEN) this.#openTimer(flow);
    else this.#handshakeTimer(flow);
    if (this.columns.phase[flow] !== PHASE.NONE) this.#timers.arm(flow, this.#clock.nowUs / 1000);
  }

  /**
   * A caller was accepted on a published port: `fd` is its socket, the key of the flow to be is in the flow table's probe. The guest gets a SYN. Returns false, with the socket
   * reset, when there is no room.
   */
  accepted(fd: number, macHigh: number, macLow: number): boolean {
    const flow = this.#opener.accepted(fd, macHigh, macLow);
    if (flow < 0) return false;
    this.#timers.arm(flow, this.#clock.nowUs / 1000);
    return true;
  }

  undelivered(): Undelivered {
    return this.#receiver.undelivered();
  }

  /** Bytes of the store for slow hosts that are in use. */
  get heldBytes(): number {
    return this.#held.usedBytes;
  }

  /**
   * Ends all flows of an interface at once (-1: of all), as when the guest has gone: the host's ends are reset unless all was delivered. A guest that had ended its
   * side was through with the flow; one that was still waiting for an answer had none.
   */
  closeAll(interfaceIndex: number = -1): void {
    for (let flow = 0; flow < this.#flows.max; flow++) {
      const phase = this.columns.phase[flow];
      if (phase === PHASE.NONE) continue;
      if (interfaceIndex >= 0 && this.#flows.interfaceIndex(flow) !== interfaceIndex) continue;
      const delivered = (this.columns.flags[flow] & FLAG.GUEST_FIN_DELIVERED) !== 0;
      // The guest was through, and only the host's end is missing; or nobody answered for as long as it cared.
      if (delivered) this.#ends.close(flow, OUTCOME.closed);
      else this.#ends.abort(flow, phase === PHASE.CONNECTING ? OUTCOME.timeout : OUTCOME.killed);
    }
  }

  // --- segments of the guest ---

  #input(packets: Packets, packet: number): number {
    const { view } = packets;
    const at = packets.transport[packet];
    const network = packets.network[packet];
    const end = packets.end[packet];
    const headerBytes = tcp.check(view, at, end);
    if (headerBytes < 0) return drop(packets, packet, REASON['tcp-header-invalid']);
    const offloads = vnet.flags(view, packets.start[packet] - VNET_HEADER_BYTES);
    if (
      (offloads & (vnet.FLAG_NEEDS_CSUM | vnet.FLAG_DATA_VALID)) === 0 &&
      !tcp.verifyChecksum(view, network, at, end)
    ) {
      return drop(packets, packet, REASON['tcp-checksum-wrong']);
    }
    const flow = findFlow(packets, packet, readPorts(packets, packet), this.#flows);
    if (flow === -1) return this.#stranger(packets, packet);
    packets.flow[packet] = flow;
    this.#flows.packetsOut[flow]++;
    this.#flows.activeUs[flow] = this.#clock.nowUs;
    switch (this.columns.phase[flow]) {
      case PHASE.OPEN:
        return this.#open(packets, packet, flow, at + headerBytes, end);
      case PHASE.SYN_RECEIVED:
        return this.#synReceived(packets, packet, flow, at + headerBytes, end);
      case PHASE.SYN_SENT:
        return this.#synSent(packets, packet, flow);
      default:
        return this.#connecting(packets, packet, flow);
    }
  }

  /** A segment of no flow: a SYN makes one, anything else is answered with RST. */
  #stranger(packets: Packets, packet: number): number {
    const flags = tcp.flags(packets.view, packets.transport[packet]);
    if ((flags & (tcp.SYN | tcp.ACK | tcp.RST)) !== tcp.SYN) {
      return this.#segments.refuse(packet) ? ARC_OUTPUT : drop(packets, packet, REASON['tcp-no-flow']);
    }
    const flow = this.#opener.open(packet);
    if (flow >= 0) {
      packets.flow[packet] = flow;
      return ARC_DONE;
    }
    return this.#segments.refuse(packet) ? ARC_OUTPUT : drop(packets, packet, REASON['flows-full']);
  }

  /** While the host connects, the guest can only repeat its SYN, or give up. */
  #connecting(packets: Packets, packet: number, flow: number): number {
    const at = packets.transport[packet];
    if ((tcp.flags(packets.view, at) & tcp.RST) === 0) return ARC_DONE;
    // The guest's SYN is all that it has sent: its RST acknowledges nothing and follows the SYN.
    if (tcp.sequence(packets.view, at) !== this.columns.rcvNxt[flow]) {
      return drop(packets, packet, REASON['tcp-out-of-window']);
    }
    this.#ends.abort(flow, OUTCOME.reset);
    return ARC_DONE;
  }

  #synReceived(packets: Packets, packet: number, flow: number, payloadAt: number, end: number): number {
    const { view } = packets;
    const at = packets.transport[packet];
    const flags = tcp.flags(view, at);
    if ((flags & tcp.SYN) !== 0) {
      // Our SYN-ACK was lost, or is on its way.
      this.#dirty.mark(flow, DIRTY.ACK);
      return ARC_DONE;
    }
    if ((flags & tcp.RST) === 0 && (flags & tcp.ACK) !== 0) {
      if (tcp.acknowledgment(view, at) !== this.columns.sndNxt[flow]) {
        return this.#segments.refuse(packet) ? ARC_OUTPUT : drop(packets, packet, REASON['tcp-out-of-window']);
      }
      this.#opener.established(flow);
      this.#dirty.mark(flow, DIRTY.PULL);
    }
    return this.#open(packets, packet, flow, payloadAt, end);
  }

  /** We called the guest, on behalf of someone who called a published port. */
  #synSent(packets: Packets, packet: number, flow: number): number {
    const { view } = packets;
    const at = packets.transport[packet];
    const flags = tcp.flags(view, at);
    if ((flags & tcp.ACK) === 0) return drop(packets, packet, REASON['tcp-out-of-window']);
    if (tcp.acknowledgment(view, at) !== this.columns.sndNxt[flow]) {
      // The guest still has a connection of an earlier caller with this port: a reset ends that one, and our SYN comes again.
      return this.#segments.refuse(packet) ? ARC_OUTPUT : drop(packets, packet, REASON['tcp-out-of-window']);
    }
    if ((flags & tcp.RST) !== 0) {
      this.#ends.abort(flow, OUTCOME.refused);
      return ARC_DONE;
    }
    if ((flags & tcp.SYN) === 0) return drop(packets, packet, REASON['tcp-out-of-window']);
    this.#opener.answered(flow, packet);
    this.#dirty.mark(flow, DIRTY.ACK | DIRTY.PULL);
    return ARC_DONE;
  }

  #open(packets: Packets, packet: number, flow: number, payloadAt: number, end: number): number {
    const { view } = packets;
    const at = packets.transport[packet];
    const flags = tcp.flags(view, at);
    const sequence = tcp.sequence(view, at);
    const { rcvNxt } = this.columns;
    if ((flags & tcp.RST) !== 0) return this.#reset(packets, packet, flow, sequence);
    // RFC 5961, section 4: a SYN in an open flow, and an acknowledgement of what was never sent, are answered with what we know.
    if ((flags & tcp.SYN) !== 0) {
      this.#dirty.mark(flow, DIRTY.ACK);
      return drop(packets, packet, REASON['tcp-out-of-window']);
    }
    if ((flags & tcp.ACK) === 0) return drop(packets, packet, REASON['tcp-out-of-window']);
    const payloadBytes = end - payloadAt;
    const fin = (flags & tcp.FIN) !== 0;
    const plain = payloadBytes === 0 && !fin;
    const acknowledgment = tcp.acknowledgment(view, at);
    const windowField = tcp.window(view, at);
    if (!this.#sender.acknowledged(flow, sequence, acknowledgment, windowField, plain, this.#clock.nowUs)) {
      this.#dirty.mark(flow, DIRTY.ACK);
      return drop(packets, packet, REASON['tcp-out-of-window']);
    }
    this.#dirty.mark(flow, DIRTY.PULL);
    if (!plain) {
      const taken = this.#receiver.segment(flow, packet, sequence, payloadAt, payloadBytes, fin);
      this.#dirty.mark(flow, taken === SEGMENT.TAKEN ? DIRTY.WRITE | DIRTY.ACK : DIRTY.ACK);
    } else if (sequence !== rcvNxt[flow]) {
      // A keep-alive or window probe (RFC 9293, section 3.8.4), or a segment from before.
      this.#dirty.mark(flow, DIRTY.ACK);
    }
    return ARC_DONE;
  }

  /** RFC 5961, section 3: only a RST with exactly the next number resets; one inside the window is answered. */
  #reset(packets: Packets, packet: number, flow: number, sequence: number): number {
    const { rcvNxt, rcvEdge } = this.columns;
    // Both ends were acknowledged: only bytes for the host are left here, and a RST to something late must not cost them (RFC 1337).
    const ended = FLAG.GUEST_FIN | FLAG.HOST_FIN_ACKED;
    if ((this.columns.flags[flow] & ended) === ended) return drop(packets, packet, REASON['tcp-out-of-window']);
    if (sequence === rcvNxt[flow]) {
      this.#ends.abort(flow, OUTCOME.reset);
      return ARC_DONE;
    }
    const ahead = distance(sequence, rcvNxt[flow]);
    if (ahead > 0 && ahead < distance(rcvEdge[flow], rcvNxt[flow])) this.#dirty.mark(flow, DIRTY.ACK);
    return drop(packets, packet, REASON['tcp-out-of-window']);
  }

  // --- events of the host ---

  #connected(flow: number, events: number): void {
    const errno = this.#opener.connectErrno(flow, events);
    if (errno !== 0) {
      this.#opener.failed(flow, errno, this.#ends);
      return;
    }
    this.#opener.connected(flow);
    this.#timers.arm(flow, this.#clock.nowUs / 1000);
    if ((events & (POLL.IN | POLL.RDHUP | POLL.HUP)) !== 0) this.columns.flags[flow] |= FLAG.HOST_READABLE;
    if ((events & (POLL.RDHUP | POLL.HUP | POLL.PRI)) !== 0) this.columns.flags[flow] |= FLAG.HOST_HUNG_UP;
  }

  #writable(flow: number): void {
    const error = this.#receiver.writable(flow);
    if (error < 0) this.#hostBroken(flow, error);
    else if (this.#receiver.owesWindow(flow)) this.#dirty.mark(flow, DIRTY.ACK);
    else this.#dirty.mark(flow, 0);
  }

  /** The socket takes no more. What it still has for the guest is carried over, then the guest hears of it. */
  #hostBroken(flow: number, error: number): void {
    this.columns.flags[flow] |= FLAG.HOST_BROKEN | FLAG.HOST_READABLE | FLAG.HOST_HUNG_UP;
    // With these two the end of the host's stream, if one is found, is what the host said; the others cut the stream off.
    if (error !== -ERRNO.EPIPE && error !== -ERRNO.ENOTCONN) this.columns.flags[flow] |= FLAG.HOST_FAILED;
    this.#dirty.mark(flow, DIRTY.PULL);
  }

  // --- what is owed ---

  #serve(flow: number, owed: number): void {
    const { phase, flags, sndNxt } = this.columns;
    if (phase[flow] === PHASE.SYN_RECEIVED && (owed & DIRTY.ACK) !== 0) this.#opener.sendHandshake(flow);
    if (phase[flow] !== PHASE.OPEN) return;
    if ((owed & DIRTY.RESUMED) !== 0) this.#timers.restart(flow);
    const sentBefore = this.#flows.packetsIn[flow];
    if ((owed & DIRTY.PULL) !== 0) {
      const pulled = this.#sender.pull(flow, this.#clock.nowUs);
      if (pulled === PULL.FAILED) {
        this.#ends.hostGone(flow);
        return;
      }
      if (pulled === PULL.MORE) this.#dirty.mark(flow, DIRTY.PULL);
    }
    if ((owed & DIRTY.ACK) !== 0 && this.#flows.packetsIn[flow] === sentBefore) {
      this.#receiver.openWindow(flow);
      this.#segments.control(flow, tcp.ACK, sndNxt[flow]);
    }
    if (this.#isDrainedAndBroken(flow)) {
      this.#ends.hostGone(flow);
      return;
    }
    const done = FLAG.GUEST_FIN_DELIVERED | FLAG.HOST_FIN_ACKED;
    if ((flags[flow] & done) === done) this.#ends.close(flow, OUTCOME.closed);
    else this.#timers.arm(flow, this.#clock.nowUs / 1000);
  }

  #isDrainedAndBroken(flow: number): boolean {
    const flags = this.columns.flags[flow];
    if ((flags & FLAG.HOST_BROKEN) === 0) return false;
    return (flags & FLAG.HOST_READABLE) === 0 || (flags & FLAG.HOST_FIN_SENT) !== 0;
  }

  // --- timers ---

  #openTimer(flow: number): void {
    const { rtoMs } = this.columns;
    const nowMs = this.#clock.nowUs / 1000;
    if (this.#timers.isHostDue(flow, nowMs)) this.#writable(flow);
    if (!this.#timers.isGuestDue(flow, nowMs)) return;
    const waits = this.#sender.outstanding(flow) > 0 || this.#sender.isStalled(flow);
    // What the guest has not had yet is not late: time counts from when its link takes frames again.
    if (waits && this.#congestion.linkHolding(flow) !== NO_LINK) this.#dirty.mark(flow, DIRTY.PULL);
    else if (this.#sender.outstanding(flow) > 0) {
      if (this.#sender.timedOut(flow) <= RETRIES_MAX) this.#dirty.mark(flow, DIRTY.PULL);
      else this.#ends.guestGone(flow);
    } else if (this.#sender.isStalled(flow)) {
      rtoMs[flow] = Math.min(rtoMs[flow] * 2, RTO_MAX_MS);
      this.#askGuest(flow, RETRIES_MAX);
    } else if (this.#clock.nowUs - this.#flows.activeUs[flow] >= KEEPALIVE_IDLE_MS * 1000) {
      this.#askGuest(flow, KEEPALIVE_PROBES_MAX);
    }
  }

  /** Asks the guest for its window, or whether it is still there; any answer counts (`acknowledged`). */
  #askGuest(flow: number, unansweredMax: number): void {
    const { flags, retries } = this.columns;
    if ((flags[flow] & FLAG.PROBING) === 0) retries[flow] = 0;
    if (++retries[flow] > unansweredMax) {
      this.#ends.guestGone(flow);
      return;
    }
    flags[flow] |= FLAG.PROBING;
    this.#sender.probe(flow);
  }

  #handshakeTimer(flow: number): void {
    const { retries, rtoMs } = this.columns;
    if (++retries[flow] > HANDSHAKE_RETRIES_MAX) {
      this.#ends.guestGone(flow);
      return;
    }
    rtoMs[flow] = Math.min(rtoMs[flow] * 2, RTO_MAX_MS);
    this.#opener.sendHandshake(flow);
  }
}
