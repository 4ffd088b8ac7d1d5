/**
 * The last node: finished frames gather here, per interface, and leave with one call per link.
 *
 * It is also what flows and services emit into (`Output`). `flush` sends everything and empties the arena, so it may be called only where no received packet
 * is in use any more; a frame that fills up in between is sent without emptying.
 */
import { drop } from '../graph/drop.ts';
import { ARC_DONE, FRAME_PACKETS_MAX, type GraphNode, type Output } from '../graph/node.ts';
import { REASON } from '../graph/reasons.ts';
import type { Link } from '../link/link.ts';
import type { Packet, Packets } from '../packet/packets.ts';

/** What an interface has carried. */
export interface InterfaceCounters {
  rxPackets: number;
  rxBytes: number;
  /** Frames that the link took. */
  txPackets: number;
  /** Bytes that the link was given, with those of the few frames that it did not take. */
  txBytes: number;
  /** Frames that it did not take. */
  txErrors: number;
}

interface Port {
  readonly link: Link;
  readonly frame: Int32Array;
  count: number;
  readonly counters: InterfaceCounters;
}

export class InterfaceOutput implements GraphNode, Output {
  readonly name = 'interface-output';
  readonly next: readonly string[] = [];
  readonly #packets: Packets;
  readonly #ports: (Port | undefined)[] = [];

  constructor(packets: Packets) {
    this.#packets = packets;
  }

  /** Adds the link of an interface and returns what counts its frames. */
  add(interfaceIndex: number, link: Link): InterfaceCounters {
    const counters = { rxPackets: 0, rxBytes: 0, txPackets: 0, txBytes: 0, txErrors: 0 };
    this.#ports[interfaceIndex] = { link, frame: new Int32Array(FRAME_PACKETS_MAX), count: 0, counters };
    return counters;
  }

  process(packets: Packets, frame: Int32Array, count: number, arcs: Uint8Array): void {
    for (let i = 0; i < count; i++) {
      const packet = frame[i]!;
      const known = this.#ports[packets.txInterface[packet]!] !== undefined;
      if (known) this.emit(packet);
      arcs[i] = known ? ARC_DONE : drop(packets, packet, REASON['link-write-failed']);
    }
  }

  emit(packet: Packet): void {
    const port = this.#ports[this.#packets.txInterface[packet]!];
    if (port === undefined) return;
    port.frame[port.count++] = packet;
    if (port.count === FRAME_PACKETS_MAX) this.#send(port);
  }

  flush(): void {
    for (const port of this.#ports) {
      if (port === undefined) continue;
      if (port.count > 0) this.#send(port);
      port.link.turnEnded?.(this.#packets);
    }
    this.#packets.reset();
  }

  #send(port: Port): void {
    const { counters, frame, count } = port;
    port.count = 0;
    for (let i = 0; i < count; i++) counters.txBytes += this.#packets.length[frame[i]!]!;
    const taken = port.link.transmit(this.#packets, frame, count);
    counters.txPackets += taken;
    counters.txErrors += count - taken;
  }
}
