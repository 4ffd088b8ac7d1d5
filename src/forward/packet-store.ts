/**
 * Packets that outlive their turn, because they wait for something: copied out of the arena, each for an owner (a neighbour), and copied back in order.
 *
 * Bytes lie in blocks of 2 KiB, chained, so that no gaps come of packets of all sizes; a frame with its virtio-net header nearly always takes one. The
 * memory is reserved with the first packet. Bounds: packets per owner, and blocks; beyond each the oldest packet (of the owner, of all) is
 * dropped and counted. What is kept of a packet's columns is what `ip4-input` and `ip6-input` have found out.
 */
import { copyBytes } from '../base/bytes.ts';
import { grown } from '../base/column.ts';
import { NEIGHBOUR_PACKET_BYTES_MAX, NEIGHBOUR_PACKETS_MAX } from '../base/limits.ts';
import { NO_PACKET, type Packet, type Packets, VNET_HEADER_BYTES } from '../packet/packets.ts';

const BLOCK_BYTES = 2048;
const NONE = -1;

export class PacketStore {
  /** Packets that were dropped for newer ones, or because their owner went. */
  dropped: number = 0;
  readonly #perOwnerMax: number;
  readonly #blocks: number;
  #bytes: DataView | undefined;
  /** The block behind each block, of a packet or of the free ones. */
  readonly #nextBlock: Int32Array;
  #freeBlock: number = 0;
  #freeBlocks: number;

  /* A packet is known by its first block, and these are by that. */
  readonly #length: Int32Array;
  readonly #network: Int32Array;
  readonly #transport: Int32Array;
  readonly #end: Int32Array;
  readonly #protocol: Uint8Array;
  readonly #rxInterface: Int32Array;
  readonly #owner: Int32Array;
  /** The next packet of the same owner. */
  readonly #next: Int32Array;
  /** All packets, by age. */
  readonly #older: Int32Array;
  readonly #newer: Int32Array;
  #oldest: number = NONE;
  #newest: number = NONE;
  #packets: number = 0;

  /* By owner. */
  #first: Int32Array = new Int32Array(16).fill(NONE);
  #last: Int32Array = new Int32Array(16).fill(NONE);
  #countOf: Uint16Array = new Uint16Array(16);

  constructor(bytesMax: number = NEIGHBOUR_PACKET_BYTES_MAX, perOwnerMax: number = NEIGHBOUR_PACKETS_MAX) {
    const blocks = Math.floor(bytesMax / BLOCK_BYTES);
    this.#perOwnerMax = perOwnerMax;
    this.#blocks = blocks;
    this.#freeBlocks = blocks;
    this.#nextBlock = Int32Array.from({ length: blocks }, (_, block) => (block + 1 < blocks ? block + 1 : NONE));
    this.#length = new Int32Array(blocks);
    this.#network = new Int32Array(blocks);
    this.#transport = new Int32Array(blocks);
    this.#end = new Int32Array(blocks);
    this.#protocol = new Uint8Array(blocks);
    this.#rxInterface = new Int32Array(blocks);
    this.#owner = new Int32Array(blocks);
    this.#next = new Int32Array(blocks);
    this.#older = new Int32Array(blocks);
    this.#newer = new Int32Array(blocks);
  }

  /** Packets that are held. */
  get count(): number {
    return this.#packets;
  }

  /** Memory of the packets that are held, in whole blocks. */
  get usedBytes(): number {
    return (this.#blocks - this.#freeBlocks) * BLOCK_BYTES;
  }

  countOf(owner: number): number {
    return owner < this.#countOf.length ? this.#countOf[owner] : 0;
  }

  /** Copies a packet for an owner, a small integer. Older ones may go for it. False: it is larger than the whole store. */
  put(owner: number, packets: Packets, packet: Packet): boolean {
    const bytes = VNET_HEADER_BYTES + packets.length[packet];
    const needed = Math.ceil(bytes / BLOCK_BYTES);
    if (needed > this.#blocks) {
      this.dropped++;
      return false;
    }
    this.#growTo(owner);
    if (this.#countOf[owner] >= this.#perOwnerMax) this.#drop(this.#first[owner]);
    while (this.#freeBlocks < needed) this.#drop(this.#oldest);
    const held = this.#copyOut(packets.view, packets.start[packet] - VNET_HEADER_BYTES, bytes);
    const start = packets.start[packet];
    this.#length[held] = packets.length[packet];
    this.#network[held] = packets.network[packet] - start;
    this.#transport[held] = packets.transport[packet] - start;
    this.#end[held] = packets.end[packet] - start;
    this.#protocol[held] = packets.protocol[packet];
    this.#rxInterface[held] = packets.rxInterface[packet];
    this.#append(owner, held);
    return true;
  }

  /** Brings the owner's oldest packet back into the arena. `NO_PACKET`: there is none, or the arena has no room: it is still held, then. */
  take(owner: number, packets: Packets): Packet {
    if (this.countOf(owner) === 0) return NO_PACKET;
    const held = this.#first[owner];
    const packet = packets.allocate(this.#length[held]);
    if (packet === NO_PACKET) return NO_PACKET;
    const start = packets.start[packet];
    this.#copyBack(held, packets.view, start - VNET_HEADER_BYTES, VNET_HEADER_BYTES + this.#length[held]);
    packets.network[packet] = start + this.#network[held];
    packets.transport[packet] = start + this.#transport[held];
    packets.end[packet] = start + this.#end[held];
    packets.protocol[packet] = this.#protocol[held];
    packets.rxInterface[packet] = this.#rxInterface[held];
    this.#remove(held);
    return packet;
  }

  /** Drops all packets of an owner. */
  drop(owner: number): void {
    while (this.countOf(owner) > 0) this.#drop(this.#first[owner]);
  }

  #drop(held: number): void {
    this.dropped++;
    this.#remove(held);
  }

  #copyOut(view: DataView, at: number, bytes: number): number {
    this.#bytes ??= new DataView(new ArrayBuffer(this.#blocks * BLOCK_BYTES));
    const first = this.#freeBlock;
    let block = first;
    for (let copied = 0; ; ) {
      const piece = Math.min(bytes - copied, BLOCK_BYTES);
      copyBytes(view, at + copied, this.#bytes, block * BLOCK_BYTES, piece);
      this.#freeBlocks--;
      copied += piece;
      if (copied === bytes) break;
      block = this.#nextBlock[block];
    }
    this.#freeBlock = this.#nextBlock[block];
    this.#nextBlock[block] = NONE;
    return first;
  }

  #copyBack(held: number, view: DataView, at: number, bytes: number): void {
    if (this.#bytes === undefined) return;
    let block = held;
    for (let copied = 0; copied < bytes; copied += BLOCK_BYTES) {
      copyBytes(this.#bytes, block * BLOCK_BYTES, view, at + copied, Math.min(bytes - copied, BLOCK_BYTES));
      block = this.#nextBlock[block];
    }
  }

  #append(owner: number, held: number): void {
    this.#owner[held] = owner;
    this.#next[held] = NONE;
    if (this.#countOf[owner]++ === 0) this.#first[owner] = held;
    else this.#next[this.#last[owner]] = held;
    this.#last[owner] = held;
    this.#older[held] = this.#newest;
    this.#newer[held] = NONE;
    if (this.#newest === NONE) this.#oldest = held;
    else this.#newer[this.#newest] = held;
    this.#newest = held;
    this.#packets++;
  }

  /** Frees a packet. It is its owner's oldest: the oldest of all is, too. */
  #remove(held: number): void {
    const owner = this.#owner[held];
    this.#first[owner] = this.#next[held];
    this.#countOf[owner]--;
    const older = this.#older[held];
    const newer = this.#newer[held];
    if (older === NONE) this.#oldest = newer;
    else this.#newer[older] = newer;
    if (newer === NONE) this.#newest = older;
    else this.#older[newer] = older;
    this.#packets--;
    let last = held;
    for (this.#freeBlocks++; this.#nextBlock[last] !== NONE; this.#freeBlocks++) last = this.#nextBlock[last];
    this.#nextBlock[last] = this.#freeBlock;
    this.#freeBlock = held;
  }

  #growTo(owner: number): void {
    let owners = this.#first.length;
    if (owner < owners) return;
    while (owners <= owner) owners *= 2;
    this.#first = grown(this.#first, new Int32Array(owners).fill(NONE));
    this.#last = grown(this.#last, new Int32Array(owners).fill(NONE));
    this.#countOf = grown(this.#countOf, new Uint16Array(owners));
  }
}
