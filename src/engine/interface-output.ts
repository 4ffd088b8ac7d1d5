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
import { NOT_LENT, type Packet, type Packets } from '../packet/packets.ts';

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
  readonly index: number;
  readonly link: Link;
  up: boolean;
  /** Whether it is in the list of those that had packets in this turn. */
  touched: boolean;
  readonly frame: Int32Array;
  count: number;
  readonly counters: InterfaceCounters;
}

export class InterfaceOutput implements GraphNode, Output {
  readonly name = 'interface-output';
  readonly next: readonly string[] = [];
  /** Carried by links whose other side is distant, in both directions. */
  distantBytes: number = 0;
  readonly #packets: Packets;
  readonly #onBlocked: (interfaceIndex: number) => void;
  readonly #ports: (Port | undefined)[] = [];
  /** Those that had packets since the last `flush`: the first `#touchedCount`. */
  readonly #touched: Port[] = [];
  #touchedCount: number = 0;

  /** `onBlocked` hears of an interface whose link has frames that wait for its other side. */
  constructor(packets: Packets, onBlocked: (interfaceIndex: number) => void = () => {}) {
    this.#packets = packets;
    this.#onBlocked = onBlocked;
  }

  /** Adds the link of an interface and returns what counts its frames. */
  add(interfaceIndex: number, link: Link): InterfaceCounters {
    const counters = newCounters();
    const frame = new Int32Array(FRAME_PACKETS_MAX);
    this.#ports[interfaceIndex] = { index: interfaceIndex, link, up: true, touched: false, frame, count: 0, counters };
    return counters;
  }

  /** Forgets an interface, and what waits to leave by it. Returns its link. */
  remove(interfaceIndex: number): Link | undefined {
    const port = this.#ports[interfaceIndex];
    this.#ports[interfaceIndex] = undefined;
    return port?.link;
  }

  removeAll(): Link[] {
    const links = this.#ports.flatMap((port) => port?.link ?? []);
    this.#ports.length = 0;
    return links;
  }

  /** Frames for an interface that is down are not sent, and counted as errors. */
  setUp(interfaceIndex: number, up: boolean): void {
    const port = this.#ports[interfaceIndex];
    if (port !== undefined) port.up = up;
  }

  /** Of an interface that has no link of its own they stay at zero. */
  counters(interfaceIndex: number): InterfaceCounters {
    return this.#ports[interfaceIndex]?.counters ?? newCounters();
  }

  clearCounters(): void {
    for (const port of this.#ports) if (port !== undefined) Object.assign(port.counters, newCounters());
  }

  /** Packets of so many bytes have come in by the interface: its link hears when they are forgotten. */
  touch(interfaceIndex: number, bytes: number): void {
    const port = this.#ports[interfaceIndex];
    if (port === undefined) return;
    if (port.link.distant === true) this.distantBytes += bytes;
    if (!port.touched) this.#touch(port);
  }

  process(packets: Packets, frame: Int32Array, count: number, arcs: Uint8Array): void {
    const ports = this.#ports;
    const { txInterface } = packets;
    for (let i = 0; i < count; i++) {
      const packet = frame[i]!;
      const port = ports[txInterface[packet]!];
      if (port !== undefined) this.#append(port, packet);
      arcs[i] = port !== undefined ? ARC_DONE : drop(packets, packet, REASON['link-write-failed']);
    }
  }

  emit(packet: Packet): void {
    const port = this.#ports[this.#packets.txInterface[packet]!];
    if (port !== undefined) this.#append(port, packet);
  }

  borrow(interfaceIndex: number, packet: Packet, headBytes: number): boolean {
    const port = this.#ports[interfaceIndex];
    if (port === undefined || !port.up || port.link.borrow === undefined) return false;
    // Frames that have no room yet must not be left behind by one that has.
    if (this.#hasWhole(port)) this.#send(port);
    return port.link.borrow(this.#packets, packet, headBytes);
  }

  keepBorrowed(interfaceIndex: number, packet: Packet): void {
    this.#ports[interfaceIndex]!.link.keepBorrowed!(this.#packets, packet);
  }

  /** Whether a frame waits to be sent whose payload is in the arena. */
  #hasWhole({ frame, count }: Port): boolean {
    const { lent } = this.#packets;
    for (let i = 0; i < count; i++) if (lent[frame[i]!] === NOT_LENT) return true;
    return false;
  }

  #append(port: Port, packet: Packet): void {
    if (!port.touched) this.#touch(port);
    port.frame[port.count++] = packet;
    if (port.count === FRAME_PACKETS_MAX) this.#send(port);
  }

  flush(): void {
    const touched = this.#touched;
    for (let i = 0; i < this.#touchedCount; i++) {
      const port = touched[i]!;
      if (port.count > 0) this.#send(port);
      port.touched = false;
      port.link.turnEnded?.(this.#packets);
    }
    this.#touchedCount = 0;
    this.#packets.reset();
  }

  #touch(port: Port): void {
    port.touched = true;
    this.#touched[this.#touchedCount++] = port;
  }

  #send(port: Port): void {
    const { counters, frame, count } = port;
    port.count = 0;
    if (!port.up) {
      counters.txErrors += count;
      return;
    }
    const { length } = this.#packets;
    let bytes = 0;
    for (let i = 0; i < count; i++) bytes += length[frame[i]!]!;
    counters.txBytes += bytes;
    if (port.link.distant === true) this.distantBytes += bytes;
    const taken = port.link.transmit(this.#packets, frame, count);
    counters.txPackets += taken;
    counters.txErrors += count - taken;
    if (port.link.blocked === true) this.#onBlocked(port.index);
  }
}

function newCounters(): InterfaceCounters {
  return { rxPackets: 0, rxBytes: 0, txPackets: 0, txBytes: 0, txErrors: 0 };
}
