/**
 * The place of a link whose other side comes and goes: a virtual machine that is started, killed, and started again, while its interface stays.
 *
 * Without a link nothing is received, and what is sent is lost, as on a cable that is not plugged in.
 */
import { type LinkOffload, NO_OFFLOAD } from '../packet/offload.ts';
import type { Packet, Packets } from '../packet/packets.ts';
import type { Link } from './link.ts';

export class GuestPort implements Link {
  readonly name: string;
  /** A machine is. */
  readonly distant = true;
  #link: Link | undefined;

  constructor(name: string) {
    this.name = name;
  }

  get offload(): LinkOffload {
    return this.#link?.offload ?? NO_OFFLOAD;
  }

  /** The one before must have been unplugged. */
  plug(link: Link): void {
    this.#link = link;
  }

  /** Closes the link, if there is one. */
  unplug(): void {
    this.#link?.close();
    this.#link = undefined;
  }

  receive(packets: Packets, frame: Int32Array, framesMax: number): number {
    return this.#link?.receive(packets, frame, framesMax) ?? 0;
  }

  transmit(packets: Packets, frame: Int32Array, count: number): number {
    return this.#link?.transmit(packets, frame, count) ?? 0;
  }

  get blocked(): boolean {
    return this.#link?.blocked === true;
  }

  drain(): boolean {
    return this.#link?.drain?.() ?? true;
  }

  borrow(packets: Packets, packet: Packet, headBytes: number): boolean {
    return this.#link?.borrow?.(packets, packet, headBytes) ?? false;
  }

  keepBorrowed(packets: Packets, packet: Packet): void {
    this.#link?.keepBorrowed?.(packets, packet);
  }

  turnEnded(packets: Packets): void {
    this.#link?.turnEnded?.(packets);
  }

  close(): void {
    this.unplug();
  }
}
