/** Packets that waited for a neighbour and wait no longer, gathered, and then sent on through the graph in frames. */

import type { Graph } from '../graph/graph.ts';
import { FRAME_PACKETS_MAX } from '../graph/node.ts';
import type { ReleasedPackets } from '../nodes/neighbour-resolver.ts';
import type { Packet, Packets } from '../packet/packets.ts';

/** Where they enter the graph again. */
const SEND = ['ip4-rewrite', 'ip6-rewrite'] as const;
const REFUSE = ['ip4-error', 'ip6-error'] as const;

export class ReleasedFrames implements ReleasedPackets {
  readonly #packets: Packets;
  /** For each of `SEND` and `REFUSE`, in this order; as long as the arena has packets. */
  readonly #gathered: readonly Int32Array[];
  readonly #counts: Int32Array = new Int32Array(SEND.length + REFUSE.length);
  readonly #frame: Int32Array = new Int32Array(FRAME_PACKETS_MAX);

  constructor(packets: Packets) {
    this.#packets = packets;
    this.#gathered = Array.from(this.#counts, () => new Int32Array(packets.start.length));
  }

  send(packet: Packet, isIpv6: boolean): void {
    this.#add(isIpv6 ? 1 : 0, packet);
  }

  refuse(packet: Packet, isIpv6: boolean): void {
    this.#add(SEND.length + (isIpv6 ? 1 : 0), packet);
  }

  /** Sends all that was gathered through the graph. */
  run(graph: Graph): void {
    for (let kind = 0; kind < this.#counts.length; kind++) {
      const count = this.#counts[kind]!;
      if (count === 0) continue;
      this.#counts[kind] = 0;
      const entry = graph.indexOf([...SEND, ...REFUSE][kind]!);
      for (let from = 0; from < count; from += FRAME_PACKETS_MAX) {
        const length = Math.min(FRAME_PACKETS_MAX, count - from);
        for (let i = 0; i < length; i++) this.#frame[i] = this.#gathered[kind]![from + i]!;
        graph.run(entry, this.#packets, this.#frame, length);
      }
    }
  }

  #add(kind: number, packet: Packet): void {
    this.#gathered[kind]![this.#counts[kind]!++] = packet;
  }
}
