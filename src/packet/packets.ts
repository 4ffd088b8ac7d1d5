/**
 * The packets of one turn: an arena of bytes, and columns that say where each packet lies in it.
 *
 * A packet is a small integer, an index into the columns. Its bytes lie in `bytes` from `start` (the Ethernet header) on, `length` of
 * them; the 12 bytes in front of `start` always hold its virtio-net header (checksum and segmentation offload, all zero where
 * there is none), so that a link with `IFF_VNET_HDR` reads and writes both in one go.
 *
 * The arena is filled from the bottom and is empty again when the turn ends. Whoever must keep bytes longer copies them out.
 *
 * Payload may be *lent*: it has its place in the arena, at which it counts in `length` and `end`, but lies in another memory, a virtual machine's, whose owner may change it at any
 * moment: that of a large TCP segment, behind its headers, where all that the packet comes to know of it. Whoever reads it calls `gather` first; a socket gives and takes it where it is.
 *
 * Nothing here is allocated after construction.
 */
import { ARENA_BYTES, PACKETS_MAX } from '../base/limits.ts';

/** The virtio-net header in front of every frame, in its form with `num_buffers` (virtio 1.2, section 5.1.6). */
export const VNET_HEADER_BYTES = 12;

/** A packet's index; `NO_PACKET` where the arena had no room. */
export type Packet = number;
export const NO_PACKET = -1;

/** In `lent`: all bytes are in the arena. */
export const NOT_LENT = -1;
/** Words of a piece of lent payload: the memory, where in it; the arena's memory, where in it; bytes. Those of a packet lie one behind another in the arena, as far as `length`. */
export const LENT_PIECE_WORDS = 5;

/** Who has lent payload to packets. */
export interface Lender {
  /** `LENT_PIECE_WORDS` each. */
  readonly pieces: Int32Array;
  /** Copies the payload of a packet to its place in the arena: it is lent no more. */
  gather(packets: Packets, packet: Packet): void;
  /** The arena is empty: what was lent is used no more. */
  giveBack(): void;
}

export class Packets {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Where the Ethernet header starts, in `bytes`. */
  readonly start: Int32Array;
  /** Bytes from the Ethernet header to the end of the packet. */
  readonly length: Int32Array;
  /** Where the network header starts; valid behind `ethernet-input`. */
  readonly network: Int32Array;
  /** Where the transport header starts; valid behind `ip4-input` and `ip6-input`. */
  readonly transport: Int32Array;
  /** The transport protocol (the last next-header in IPv6). */
  readonly protocol: Uint8Array;
  /** Where the IP packet ends: Ethernet padding lies behind it. */
  readonly end: Int32Array;
  /** Index of the interface that the packet came in by. */
  readonly rxInterface: Int32Array;
  /** Index of the interface that it leaves by; set by whoever sends it to `interface-output`. */
  readonly txInterface: Int32Array;
  /** Where forwarding sends it: a number of `forward/adjacency.ts`; -1: not decided. */
  readonly adjacency: Int32Array;
  /** Why it was dropped: an index into the table of reasons. */
  readonly reason: Uint8Array;
  /** The flow that it belongs to, -1: none or not known yet. For capture, which names flows. */
  readonly flow: Int32Array;
  /** Lent payload: its first piece and how many there are, in the table of `lender`; `NOT_LENT`. */
  readonly lent: Int32Array;
  readonly lentCount: Int32Array;

  /** Who has lent, since the arena was empty. */
  lender: Lender | undefined = undefined;
  /** How many packets there are. */
  count: number = 0;
  /** The first free byte of the arena. */
  used: number;
  readonly #bottom: number;

  /**
   * An arena of `arenaBytes`, in a memory of its own unless one is given. Then it is the part of it that begins at `bottom` (a multiple of 4), and places are counted
   * from where that memory begins: a link that addresses the memory by one id finds the packets of all arenas in it.
   */
  constructor(
    arenaBytes: number = ARENA_BYTES,
    packetsMax: number = PACKETS_MAX,
    memory: Uint8Array = new Uint8Array(arenaBytes),
    bottom: number = 0,
  ) {
    this.#bottom = bottom;
    this.used = bottom;
    this.bytes = memory.subarray(0, bottom + arenaBytes);
    this.view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.length);
    this.start = new Int32Array(packetsMax);
    this.length = new Int32Array(packetsMax);
    this.network = new Int32Array(packetsMax);
    this.transport = new Int32Array(packetsMax);
    this.protocol = new Uint8Array(packetsMax);
    this.end = new Int32Array(packetsMax);
    this.rxInterface = new Int32Array(packetsMax);
    this.txInterface = new Int32Array(packetsMax);
    this.adjacency = new Int32Array(packetsMax);
    this.reason = new Uint8Array(packetsMax);
    this.flow = new Int32Array(packetsMax);
    this.lent = new Int32Array(packetsMax);
    this.lentCount = new Int32Array(packetsMax);
  }

  /** Empties the arena: all packets of the turn are gone. */
  reset(): void {
    this.count = 0;
    this.used = this.#bottom;
    if (this.lender === undefined) return;
    const { lender } = this;
    this.lender = undefined;
    lender.giveBack();
  }

  /** Has all bytes of a packet in the arena. */
  gather(packet: Packet): void {
    if (this.lent[packet] !== NOT_LENT) this.lender!.gather(this, packet);
  }

  /** Whether a packet of `frameBytes` fits. */
  hasRoom(frameBytes: number): boolean {
    return this.count < this.start.length && this.used + VNET_HEADER_BYTES + frameBytes + 4 <= this.bytes.length;
  }

  /**
   * Makes a packet of `frameBytes`, its virtio-net header zeroed and its frame not, or returns `NO_PACKET` when there is no room.
   * The caller may shorten it (`length`) as long as it is the last one, and give the bytes back with `trim`.
   */
  allocate(frameBytes: number): Packet {
    if (!this.hasRoom(frameBytes)) return NO_PACKET;
    const header = (this.used + 3) & ~3;
    const start = header + VNET_HEADER_BYTES;
    this.bytes.fill(0, header, start);
    return this.#append(start, frameBytes);
  }

  /** Makes a packet of bytes that a link has put into the arena, virtio-net header in front; `used` moves behind it. */
  adopt(start: number, frameBytes: number): Packet {
    return this.#append(start, frameBytes);
  }

  /**
   * Makes another packet of the same bytes, every column as it is now, for a frame that leaves by several interfaces; or returns `NO_PACKET` when there is
   * no row left. Whoever changes the bytes of one, virtio-net header included, changes those of both; neither can be trimmed any more.
   */
  alias(packet: Packet): Packet {
    if (this.count === this.start.length) return NO_PACKET;
    const alias = this.count++;
    this.start[alias] = this.start[packet];
    this.length[alias] = this.length[packet];
    this.network[alias] = this.network[packet];
    this.transport[alias] = this.transport[packet];
    this.protocol[alias] = this.protocol[packet];
    this.end[alias] = this.end[packet];
    this.rxInterface[alias] = this.rxInterface[packet];
    this.txInterface[alias] = this.txInterface[packet];
    this.adjacency[alias] = this.adjacency[packet];
    this.reason[alias] = this.reason[packet];
    this.flow[alias] = this.flow[packet];
    this.lent[alias] = this.lent[packet];
    this.lentCount[alias] = this.lentCount[packet];
    return alias;
  }

  /** Sets the length of the newest packet and frees what lay behind. */
  trim(packet: Packet, frameBytes: number): void {
    this.length[packet] = frameBytes;
    this.end[packet] = this.start[packet] + frameBytes;
    this.used = this.end[packet];
  }

  #append(start: number, frameBytes: number): Packet {
    const packet = this.count++;
    this.start[packet] = start;
    this.length[packet] = frameBytes;
    this.end[packet] = start + frameBytes;
    this.rxInterface[packet] = -1;
    this.txInterface[packet] = -1;
    this.adjacency[packet] = -1;
    this.reason[packet] = 0;
    this.flow[packet] = -1;
    this.lent[packet] = NOT_LENT;
    this.used = start + frameBytes;
    return packet;
  }
}
