/**
 * A node decides where each packet of a frame goes; the graph moves them.
 *
 * A node writes one arc number per packet beside the frame, and may change the packet's own bytes and columns. It keeps no packet: the arena
 * is empty when the turn ends. A node that answers a packet (ARP, ICMP echo) rewrites it in place, sets `txInterface` and sends it to an arc
 * that leads to `interface-output`; one that needs another size allocates a packet and passes it to its `emit`.
 */
import type { Packet, Packets } from '../packet/packets.ts';

/** Packets in one frame, at most. */
export const FRAME_PACKETS_MAX = 256;

/** The arc of a dropped packet; its reason stands in `packets.reason`. Every node has it, as arc 0. */
export const ARC_DROP = 0;

/** The arc of a packet that is used up (its payload is with a socket, or copied out). Every node has it, as arc 1. */
export const ARC_DONE = 1;

/** The first arc of a node's own, `next[0]`. */
export const ARC_NEXT = 2;

export interface GraphNode {
  readonly name: string;
  /** The nodes that arcs 2, 3, ... lead to, by name. */
  readonly next: readonly string[];
  /** Decides for `count` packets of `frame`: `arcs[i]` is where `frame[i]` goes. */
  process(packets: Packets, frame: Int32Array, count: number, arcs: Uint8Array): void;
  /**
   * A packet in one line for the trace, as it enters this node: what matters here. Never on the packet path, so it may make strings and look things up; the
   * packet may be garbage. Where it is left out, or undefined, the trace has the packet's own line (`packet/describe.ts`).
   */
  describe?(packets: Packets, packet: Packet): string | undefined;
}

/** Where the trace and the runtime statistics have their time from. `Sys` is one. */
export interface Clock {
  /** Monotonic time in microseconds; fractions are welcome. */
  nowUs(): number;
}

/** Takes packets that a node or a flow made, for the node `interface-output`: `txInterface` says where they leave. */
export interface Emitter {
  emit(packet: Packet): void;
}

/** An emitter that can make room in the middle of a turn. */
export interface Output extends Emitter {
  /** Sends what was emitted so far and empties the arena. Only where no received packet is in use any more. */
  flush(): void;
  /** Finds room for the payload of the newest packet, behind its first `headBytes`, where the guest of an interface reads it: see `Link.borrow`. */
  borrow?(interfaceIndex: number, packet: Packet, headBytes: number): boolean;
  /** That packet has its length: see `Link.keepBorrowed`. */
  keepBorrowed?(interfaceIndex: number, packet: Packet): void;
}
