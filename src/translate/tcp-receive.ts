/**
 * From the guest to the host's socket: RCV.NXT, the advertised window, and the bytes between.
 *
 * While a frame is processed, in-order segments are only chained to their flow (`segment`); when all of it has been seen, each flow's chain goes into its socket
 * with one sendmsg, straight from the arena, or from the guest's memory where payload is lent (`write`). What the socket does not take is copied to the held store (`tcp-held.ts`), behind which
 * everything further queues until the socket has room again (`writable`). A byte counts as received, and is acknowledged, once one of the two has it.
 *
 * The window is the room of the held store: TCP_HELD_BYTES_MAX less what is held, or the flow's share of what the store of all flows has left, if that is less. It never
 * shrinks from the right, and it is true even when the socket takes nothing at all. Should all flows together have been promised more than
 * there is, a segment is not accepted: RCV.NXT goes back to the last byte that found room, and the guest sends the rest again.
 */
import { TCP_HELD_BYTES_MAX } from '../base/limits.ts';
import { distance } from '../base/sequence.ts';
import type { FlowTable } from '../flow/flow-table.ts';
import type { Packets } from '../packet/packets.ts';
import { ERRNO } from '../sys/errno.ts';
import { SHUTDOWN, type Sys } from '../sys/sys.ts';
import { PayloadVector } from './payload-vector.ts';
import { FLAG, PHASE, type TcpColumns } from './tcp-columns.ts';
import type { TcpHeld } from './tcp-held.ts';

/** What became of a segment. */
export const SEGMENT = {
  /** Chained: `write` is due before the turn ends. */
  TAKEN: 0,
  /** Nothing new in it, or nothing that we can take now: the guest must hear of RCV.NXT. */
  ACKNOWLEDGE: 1,
} as const;

/** What the guest's side still has to get across. */
export interface Undelivered {
  /** Flows that it has not ended, or whose end the host does not have. */
  readonly flows: number;
  /** Bytes that are held for them. */
  readonly bytes: number;
  /** Bytes that were accepted of them so far. */
  readonly acceptedBytes: number;
}

export class TcpReceiver {
  readonly #sys: Sys;
  readonly #packets: Packets;
  readonly #flows: FlowTable;
  readonly #tcp: TcpColumns;
  readonly #held: TcpHeld;
  /** Where the payload of a chained packet starts, its bytes, and the next of its chain. */
  readonly #payloadAt: Int32Array;
  readonly #payloadBytes: Int32Array;
  readonly #chain: Int32Array;
  readonly #vector: PayloadVector;

  constructor(sys: Sys, packets: Packets, arenaMemory: number, flows: FlowTable, columns: TcpColumns, held: TcpHeld) {
    this.#sys = sys;
    this.#packets = packets;
    this.#flows = flows;
    this.#tcp = columns;
    this.#held = held;
    this.#payloadAt = new Int32Array(packets.start.length);
    this.#payloadBytes = new Int32Array(packets.start.length);
    this.#chain = new Int32Array(packets.start.length);
    this.#vector = new PayloadVector(sys, packets, arenaMemory);
  }

  /**
   * Takes a segment of an open flow: `payloadBytes` from `payloadAt` on, the first with the number `sequence`, and a FIN behind them if `fin`. What was received already
   * and what lies beyond the window is cut off.
   */
  segment(
    flow: number,
    packet: number,
    sequence: number,
    payloadAt: number,
    payloadBytes: number,
    fin: boolean,
  ): number {
    const { flags, rcvNxt } = this.#tcp;
    const known = -distance(sequence, rcvNxt[flow]);
    let at = payloadAt;
    let bytes = payloadBytes;
    let end = fin;
    if (known > 0) {
      if (known > bytes || (known === bytes && !end)) return SEGMENT.ACKNOWLEDGE;
      at += known;
      bytes -= known;
    }
    if ((flags[flow] & FLAG.GUEST_FIN) !== 0) return SEGMENT.ACKNOWLEDGE;
    const gapBytes = known < 0 ? -known : 0;
    const room = this.#room(flow) - gapBytes;
    if (bytes > room) {
      bytes = Math.max(0, room);
      end = false;
    }
    if (bytes === 0 && !end) return SEGMENT.ACKNOWLEDGE;
    if (gapBytes > 0) {
      if (bytes > 0) this.#keepAhead(flow, packet, sequence, gapBytes, at, bytes);
      return SEGMENT.ACKNOWLEDGE;
    }
    if (bytes > 0) this.#append(flow, packet, at, bytes);
    rcvNxt[flow] = (rcvNxt[flow] + bytes) | 0;
    if (end) {
      rcvNxt[flow] = (rcvNxt[flow] + 1) | 0;
      flags[flow] |= FLAG.GUEST_FIN;
    }
    return SEGMENT.TAKEN;
  }

  /** Gives a flow's chain to its socket, or to the held store. Returns 0, or -errno when the socket can't be written to any more. */
  write(flow: number): number {
    const bytes = this.#tcp.gatheredBytes[flow];
    let error = 0;
    if (bytes > 0) {
      if ((this.#tcp.flags[flow] & FLAG.HOST_BROKEN) !== 0) this.#unchain(flow);
      else if (this.#held.isUsed(flow)) error = this.#hold(flow, 0);
      else error = this.#send(flow, bytes);
    }
    return error < 0 ? error : this.#deliverEnd(flow);
  }

  /** The host's socket has room again: what is held goes first. Returns 0, or -errno as `write`. */
  writable(flow: number): number {
    this.#tcp.flags[flow] &= ~FLAG.HOST_BLOCKED;
    return this.#drain(flow);
  }

  /** Moves the right edge of the window to where there is room now: call before each segment to the guest. */
  openWindow(flow: number): void {
    this.#tcp.rcvEdge[flow] = this.#edge(flow);
  }

  /** Whether the window has grown by so much since the guest last heard of it that it should be told. */
  owesWindow(flow: number): boolean {
    const { flags, rcvEdge, rcvNxt } = this.#tcp;
    // Behind its FIN the guest has nothing to send; its socket may be gone, and would answer with a RST.
    if ((flags[flow] & FLAG.GUEST_FIN) !== 0) return false;
    const growth = distance(this.#edge(flow), rcvEdge[flow]);
    const known = distance(rcvEdge[flow], rcvNxt[flow]);
    return growth >= TCP_HELD_BYTES_MAX / 4 || (growth > 0 && known <= 0);
  }

  /** Bytes that were accepted from the guest and are not with the socket. */
  heldBytes(flow: number): number {
    return this.#held.bytes(flow);
  }

  undelivered(): Undelivered {
    let flows = 0;
    let bytes = 0;
    let acceptedBytes = 0;
    for (let flow = 0; flow < this.#flows.max; flow++) {
      if (this.#tcp.phase[flow] !== PHASE.OPEN) continue;
      if ((this.#tcp.flags[flow] & FLAG.GUEST_FIN_DELIVERED) !== 0) continue;
      flows++;
      bytes += this.heldBytes(flow);
      acceptedBytes += this.#flows.bytesOut[flow];
    }
    return { flows, bytes, acceptedBytes };
  }

  release(flow: number): void {
    this.#held.release(flow);
  }

  /** What was promised stays promised; more is promised as far as the flow has room, and no further than its share of the common store. */
  #edge(flow: number): number {
    const { rcvNxt, rcvEdge } = this.#tcp;
    const promised = distance(rcvEdge[flow], rcvNxt[flow]);
    return (rcvNxt[flow] + Math.max(promised, Math.min(this.#room(flow), this.#held.shareBytes | 0))) | 0;
  }

  #room(flow: number): number {
    return Math.max(0, TCP_HELD_BYTES_MAX - this.#held.bytes(flow) - this.#tcp.gatheredBytes[flow]);
  }

  #append(flow: number, packet: number, at: number, bytes: number): void {
    const { firstPacket, lastPacket, gatheredBytes } = this.#tcp;
    this.#payloadAt[packet] = at;
    this.#payloadBytes[packet] = bytes;
    this.#chain[packet] = -1;
    if (firstPacket[flow] === -1) firstPacket[flow] = packet;
    else this.#chain[lastPacket[flow]] = packet;
    lastPacket[flow] = packet;
    gatheredBytes[flow] += bytes;
  }

  #keepAhead(flow: number, packet: number, sequence: number, gapBytes: number, at: number, bytes: number): void {
    this.#packets.gather(packet);
    const missing = gapBytes + this.#tcp.gatheredBytes[flow];
    this.#held.keepAhead(flow, sequence, missing, this.#packets.bytes, at, bytes);
  }

  #send(flow: number, bytes: number): number {
    const vector = this.#vector;
    vector.clear();
    for (let packet = this.#tcp.firstPacket[flow]; packet !== -1; packet = this.#chain[packet]) {
      vector.add(packet, this.#payloadAt[packet], this.#payloadBytes[packet]);
    }
    const taken = this.#sys.sendVector(this.#flows.hostFd[flow], vector.memory, 0, vector.count, false);
    // The guest has cut its memory short: what is missing is zeros once it is copied.
    if (taken === -ERRNO.EFAULT) return this.#hold(flow, 0);
    if (taken < 0 && !isTransient(taken)) {
      this.#unchain(flow);
      this.#tcp.flags[flow] |= FLAG.HOST_BROKEN;
      return taken;
    }
    const done = Math.max(0, taken);
    this.#flows.bytesOut[flow] += done;
    if (done === bytes) this.#unchain(flow);
    else {
      this.#tcp.flags[flow] |= FLAG.HOST_BLOCKED;
      return this.#hold(flow, done);
    }
    return 0;
  }

  /** Copies the chain, but for its first `skip` bytes, behind what is held; what finds no room is given back to the guest. Returns as `write`. */
  #hold(flow: number, skip: number): number {
    let passed = skip;
    let missing = this.#tcp.gatheredBytes[flow] - skip;
    for (let packet = this.#tcp.firstPacket[flow]; packet !== -1; packet = this.#chain[packet]) {
      const cut = Math.min(passed, this.#payloadBytes[packet]);
      passed -= cut;
      const bytes = this.#payloadBytes[packet] - cut;
      if (bytes === 0) continue;
      this.#packets.gather(packet);
      const held = this.#held.append(flow, this.#packets.bytes, this.#payloadAt[packet] + cut, bytes);
      missing -= held;
      this.#flows.bytesOut[flow] += held;
      if (held < bytes) break;
    }
    this.#unchain(flow);
    if (missing > 0) this.#giveBack(flow, missing);
    else this.#joinAhead(flow);
    return (this.#tcp.flags[flow] & FLAG.HOST_BLOCKED) === 0 ? this.#drain(flow) : 0;
  }

  #giveBack(flow: number, missing: number): void {
    const { flags, rcvNxt } = this.#tcp;
    let back = missing;
    if ((flags[flow] & FLAG.GUEST_FIN) !== 0) {
      flags[flow] &= ~FLAG.GUEST_FIN;
      back++;
    }
    rcvNxt[flow] = (rcvNxt[flow] - back) | 0;
  }

  #joinAhead(flow: number): void {
    if ((this.#tcp.flags[flow] & FLAG.GUEST_FIN) !== 0) return;
    const gained = this.#held.join(flow, this.#tcp.rcvNxt[flow]);
    this.#tcp.rcvNxt[flow] = (this.#tcp.rcvNxt[flow] + gained) | 0;
    this.#flows.bytesOut[flow] += gained;
  }

  #drain(flow: number): number {
    if (this.#held.bytes(flow) > 0) {
      const taken = this.#held.drain(flow, this.#flows.hostFd[flow]);
      if (taken < 0 && !isTransient(taken)) {
        this.#tcp.flags[flow] |= FLAG.HOST_BROKEN;
        this.#held.release(flow);
        return taken;
      }
      if (this.#held.bytes(flow) > 0) this.#tcp.flags[flow] |= FLAG.HOST_BLOCKED;
    }
    return this.#deliverEnd(flow);
  }

  /** When the guest has ended its stream and all of it is with the socket, the socket hears of the end. */
  #deliverEnd(flow: number): number {
    const { flags } = this.#tcp;
    if ((flags[flow] & (FLAG.GUEST_FIN | FLAG.GUEST_FIN_DELIVERED)) !== FLAG.GUEST_FIN) return 0;
    if (this.#held.bytes(flow) > 0) return 0;
    flags[flow] |= FLAG.GUEST_FIN_DELIVERED;
    this.#held.release(flow);
    return this.#sys.shutdown(this.#flows.hostFd[flow], SHUTDOWN.WRITE);
  }

  #unchain(flow: number): void {
    this.#tcp.firstPacket[flow] = -1;
    this.#tcp.lastPacket[flow] = -1;
    this.#tcp.gatheredBytes[flow] = 0;
  }
}

/** Whether a failed send may work later: no room now, or no memory. */
function isTransient(error: number): boolean {
  return error === -ERRNO.EAGAIN || error === -ERRNO.ENOBUFS || error === -ERRNO.ENOMEM || error === -ERRNO.EINTR;
}
