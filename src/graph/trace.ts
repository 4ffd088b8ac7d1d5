/**
 * The trace: the way of single packets through the graph, recorded for whoever asks where they go.
 *
 * `add` asks for the next packets that enter a node. Each of them gets a record, and from there to its end every node that it visits adds a hop: when it
 * came, what it looked like then, and what the node decided. A packet that a node changes in place, or puts in the place of its own (reassembly), is the
 * same packet; one that a node makes and emits is not followed. Who is traced already is not counted for another node: its record shows that node too.
 *
 * The graph asks once per visit whether there is anything to record (`active`). Records are made of objects and text: only traced packets pay for that.
 * What is kept is bounded by the TRACE_ limits; text is ASCII and printable whatever a guest sent, so that a terminal can show it.
 */
import { TRACE_HOPS_MAX, TRACE_PACKETS_MAX, TRACE_TEXT_BYTES_MAX } from '../base/limits.ts';
import { failure, type Result, success } from '../base/result.ts';
import { describe } from '../packet/describe.ts';
import type { Packet, Packets } from '../packet/packets.ts';
import { ARC_DONE, ARC_DROP, ARC_NEXT, type Clock, type GraphNode } from './node.ts';
import { REASON_NAMES } from './reasons.ts';

/** Which of the packets that enter a node are wanted. It sees them as the node will. */
export type PacketFilter = (packets: Packets, packet: Packet) => boolean;

/** Where a packet went: to a node, out of the graph with the name of a reason, or to its end. */
export type TraceDecision =
  | { readonly kind: 'next'; readonly node: string }
  | { readonly kind: 'drop'; readonly reason: string }
  | { readonly kind: 'done' };

/** One visit of a packet to a node. */
export interface TraceHop {
  readonly node: string;
  /** When the node was called, by the graph's clock. */
  readonly atUs: number;
  /** The packet as the node found it. */
  readonly text: string;
  readonly decision: TraceDecision;
}

/** One packet's way. */
export interface TraceRecord {
  /** Counted from 1 since the last `clear`. */
  readonly number: number;
  /** -1 where it came from no interface. */
  readonly rxInterface: number;
  /** Its length, when it was first seen. */
  readonly frameBytes: number;
  readonly hops: readonly TraceHop[];
  /** Visits beyond TRACE_HOPS_MAX, which are not recorded. */
  readonly hopsLeftOut: number;
}

/** Packets that a node has still to see. */
export interface TraceRequest {
  readonly node: string;
  readonly count: number;
}

interface Request {
  left: number;
  readonly filter: PacketFilter;
}

interface OpenRecord extends TraceRecord {
  readonly hops: TraceHop[];
  hopsLeftOut: number;
}

/** A traced packet in the frame that is being processed. */
interface Visitor {
  /** Its place in the frame. */
  readonly at: number;
  readonly record: OpenRecord;
  readonly text: string;
}

export class Trace {
  /** Whether a packet is wanted or followed: kept by the trace, read by the graph. */
  active: boolean = false;
  readonly #nodes: readonly GraphNode[];
  readonly #next: readonly Int32Array[];
  readonly #clock: Clock;
  /** For each node, what is asked for there, oldest first. */
  readonly #requests: Request[][];
  #wanted: number = 0;
  #records: OpenRecord[] = [];
  /** Packets between two nodes. Empty when the graph is: then packets' numbers mean others. */
  readonly #followed: Map<Packet, OpenRecord> = new Map();
  readonly #visitors: Visitor[] = [];
  #enteredUs: number = 0;

  /** `next[node][arc - ARC_NEXT]` is where an arc leads, features and all. */
  constructor(nodes: readonly GraphNode[], next: readonly Int32Array[], clock: Clock) {
    this.#nodes = nodes;
    this.#next = next;
    this.#clock = clock;
    this.#requests = nodes.map(() => []);
  }

  /** Asks for the next `count` packets that enter a node, of those that `filter` accepts. Returns how many are awaited there now. */
  add(nodeName: string, count: number, filter: PacketFilter = isAny): Result<TraceRequest> {
    const node = this.#nodes.findIndex(({ name }) => name === nodeName);
    if (node < 0) {
      const names = this.#nodes.map(({ name }) => name).join(', ');
      return failure('trace-node-unknown', `there is no node "${nodeName}"; there are ${names}`);
    }
    if (!Number.isInteger(count) || count < 1) {
      return failure('trace-count-invalid', `${count} packets can not be traced; use a whole number from 1 on`);
    }
    const room = TRACE_PACKETS_MAX - this.#records.length - this.#wanted;
    if (count > room) {
      const kept = `${this.#records.length} are kept and ${this.#wanted} awaited of ${TRACE_PACKETS_MAX} at most`;
      return failure('trace-full', `there is no room to trace ${count} packets more: ${kept}; ask for less, or clear`);
    }
    this.#requests[node].push({ left: count, filter });
    this.#wanted += count;
    this.active = true;
    return success({ node: nodeName, count: this.#awaitedAt(node) });
  }

  /** What is still awaited, in the order of the graph. */
  awaited(): TraceRequest[] {
    return this.#nodes
      .map(({ name }, node) => ({ node: name, count: this.#awaitedAt(node) }))
      .filter(({ count }) => count > 0);
  }

  /** What was recorded, oldest first. */
  records(): TraceRecord[] {
    return this.#records.map((record) => ({ ...record, hops: [...record.hops] }));
  }

  /** Forgets what was recorded, and what was asked for. */
  clear(): void {
    this.#records = [];
    this.#followed.clear();
    for (const requests of this.#requests) requests.length = 0;
    this.#wanted = 0;
    this.active = false;
  }

  /** For the graph, while `active`: these packets are about to be processed. */
  enter(node: number, packets: Packets, frame: Int32Array, count: number): void {
    const requests = this.#requests[node];
    if (requests.length === 0 && this.#followed.size === 0) return;
    for (let i = 0; i < count; i++) {
      const packet = frame[i];
      const record = this.#followed.get(packet) ?? this.#begin(requests, packets, packet);
      if (record === undefined) continue;
      this.#followed.delete(packet);
      this.#visitors.push({ at: i, record, text: this.#textOf(node, packets, packet) });
    }
    if (this.#visitors.length > 0) this.#enteredUs = this.#clock.nowUs();
  }

  /** For the graph, behind `enter`: the node has decided. */
  leave(node: number, packets: Packets, frame: Int32Array, arcs: Uint8Array): void {
    for (const { at, record, text } of this.#visitors) {
      const packet = frame[at];
      const arc = arcs[at];
      if (record.hops.length < TRACE_HOPS_MAX) {
        const decision = this.#decision(node, arc, packets.reason[packet]);
        record.hops.push({ node: this.#nodes[node].name, atUs: this.#enteredUs, text, decision });
      } else {
        record.hopsLeftOut++;
      }
      if (arc >= ARC_NEXT) this.#followed.set(packet, record);
    }
    this.#visitors.length = 0;
    this.active = this.#wanted > 0 || this.#followed.size > 0;
  }

  #awaitedAt(node: number): number {
    return this.#requests[node].reduce((sum, { left }) => sum + left, 0);
  }

  /** A new record, if somebody asked for this packet. */
  #begin(requests: Request[], packets: Packets, packet: Packet): OpenRecord | undefined {
    const asked = requests.findIndex(({ filter }) => filter(packets, packet));
    if (asked < 0) return undefined;
    this.#wanted--;
    if (--requests[asked].left === 0) requests.splice(asked, 1);
    const record: OpenRecord = {
      number: this.#records.length + 1,
      rxInterface: packets.rxInterface[packet],
      frameBytes: packets.length[packet],
      hops: [],
      hopsLeftOut: 0,
    };
    this.#records.push(record);
    return record;
  }

  #textOf(node: number, packets: Packets, packet: Packet): string {
    const own = this.#nodes[node].describe?.(packets, packet);
    return printable(own ?? describe(packets, packet));
  }

  #decision(node: number, arc: number, reason: number): TraceDecision {
    if (arc === ARC_DONE) return { kind: 'done' };
    if (arc === ARC_DROP) return { kind: 'drop', reason: REASON_NAMES[reason] };
    return { kind: 'next', node: this.#nodes[this.#next[node][arc - ARC_NEXT]].name };
  }
}

/** In the words of all views. */
export function decisionText(decision: TraceDecision): string {
  switch (decision.kind) {
    case 'next':
      return `to ${decision.node}`;
    case 'drop':
      return `dropped: ${decision.reason}`;
    case 'done':
      return 'done';
  }
}

/** One line of ASCII: nodes quote what guests sent. */
function printable(text: string): string {
  return text.slice(0, TRACE_TEXT_BYTES_MAX).replace(/[^\x20-\x7e]/g, '?');
}

function isAny(): boolean {
  return true;
}
