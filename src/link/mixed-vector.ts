/**
 * A vector on its way to a link, of which some frames go as they are and others became frames of an arena: cut (`software-offload.ts`), joined (`coalesce.ts`), or copied (`vlan.ts`, all of them).
 *
 * The order is kept, and frames go in batches as large as that allows: a batch of the one kind is sent when a frame of the other kind comes, and the last ones by `flush`. All of a
 * vector's frames as they are must be rows of the same `packets`. The arena is empty again whenever its batch was sent, and so behind `flush`.
 *
 * Each of the arena's frames stands for some frames of the vector: as many as were joined in it; or one, if it is the last that a frame was cut into, else none.
 */
import { FRAME_PACKETS_MAX } from '../graph/node.ts';
import type { Packet, Packets } from '../packet/packets.ts';
import type { Link } from './link.ts';

export class MixedVector {
  readonly #link: Link;
  readonly #arena: Packets;
  readonly #whole: Int32Array = new Int32Array(FRAME_PACKETS_MAX);
  #wholeCount: number = 0;
  readonly #made: Int32Array = new Int32Array(FRAME_PACKETS_MAX);
  readonly #standsFor: Int32Array = new Int32Array(FRAME_PACKETS_MAX);
  #madeCount: number = 0;
  /** Frames of the vector that the link took. */
  #taken: number = 0;

  constructor(link: Link, arena: Packets) {
    this.#link = link;
    this.#arena = arena;
  }

  /** Whether no frame of the arena can be added before `sendMade`. */
  get isFull(): boolean {
    return this.#madeCount === FRAME_PACKETS_MAX;
  }

  addWhole(packet: Packet): void {
    if (this.#madeCount > 0) this.sendMade();
    this.#whole[this.#wholeCount++] = packet;
  }

  /** A frame of the arena, in place of `frames` frames of the vector. */
  addMade(packets: Packets, packet: Packet, frames: number): void {
    if (this.#wholeCount > 0) this.#sendWhole(packets);
    this.#made[this.#madeCount] = packet;
    this.#standsFor[this.#madeCount++] = frames;
  }

  /** Makes room in the arena. */
  sendMade(): void {
    const count = this.#madeCount;
    if (count === 0) return;
    this.#madeCount = 0;
    const sent = this.#link.transmit(this.#arena, this.#made, count);
    this.#arena.reset();
    for (let i = 0; i < sent; i++) this.#taken += this.#standsFor[i];
  }

  /** Sends what waits. Returns how many frames of the vector the link took of all; the next vector may begin. */
  flush(packets: Packets): number {
    this.#sendWhole(packets);
    this.sendMade();
    const taken = this.#taken;
    this.#taken = 0;
    return taken;
  }

  #sendWhole(packets: Packets): void {
    const count = this.#wholeCount;
    if (count === 0) return;
    this.#wholeCount = 0;
    this.#taken += Math.max(this.#link.transmit(packets, this.#whole, count), 0);
  }
}
