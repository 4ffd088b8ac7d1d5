/**
 * A link: a way for frames in and out. Wrappers (capture, impairment) are links around links.
 *
 * Frames lie in the arena with a 12-byte virtio-net header in front of each (see `packet/packets.ts`). A link that carries no such header (QEMU
 * stream, a tap without IFF_VNET_HDR) zeroes it on receipt and accepts only frames whose header is all zero on transmit: `offload` says what it takes.
 */
import type { LinkOffload } from '../packet/offload.ts';
import type { Packet, Packets } from '../packet/packets.ts';

export interface Link {
  readonly name: string;
  readonly offload: LinkOffload;
  /** What may be left undone in frames that are made for it, where that is more than `offload`: it does the rest itself. */
  readonly unfinished?: LinkOffload;
  /** Whoever is behind it takes longer to answer than going to sleep and waking up: a machine, and not a kernel that does it at once. */
  readonly distant?: boolean;
  /**
   * Reads frames into the arena as packets and writes their numbers into `frame`, until there are none, there are `framesMax`, or the arena has no room for one
   * of the largest. Returns the count; 0: none there; -errno.
   */
  receive(packets: Packets, frame: Int32Array, framesMax: number): number;
  /** Sends `count` packets of `frame` in order. Returns how many were taken; the others are lost and the caller counts them. */
  transmit(packets: Packets, frame: Int32Array, count: number): number;
  /**
   * Finds room in the other side's own memory for a frame that is being made, the newest packet, whose addresses and ports are there: its payload, behind its first `headBytes`, is lent from then on (`packet/packets.ts`), to be written to
   * the pieces. False: it is made in the arena as ever. `keepBorrowed` follows before anything else is asked.
   */
  borrow?(packets: Packets, packet: Packet, headBytes: number): boolean;
  /** The frame has its length now, up to which its payload is there; 0: it is not made. It is to be given to `transmit` before the arena is emptied. */
  keepBorrowed?(packets: Packets, packet: Packet): void;
  /** Frames wait for the other side to take more. Whoever sends should wait until `drain` says that they are gone; what is sent nevertheless may be lost. */
  readonly blocked?: boolean;
  /** The descriptor is writable: sends what waits. Returns whether all is gone. */
  drain?(): boolean;
  /** The packets of this turn are about to be forgotten; everything is known of them now. For wrappers that look at packets. */
  turnEnded?(packets: Packets): void;
  close(): void;
}
