/** What translation must know of the link that a guest is behind, to take frames from it and to build frames for it. */
import type { LinkOffload } from '../packet/offload.ts';

export interface GuestLink {
  /** The interface's index, as in `packets.rxInterface`. */
  readonly index: number;
  /** The largest IP packet that the guest takes, in bytes. */
  readonly mtu: number;
  /** The address that the guest sees as its gateway's: first 2 bytes, last 4. */
  readonly ourMacHigh: number;
  readonly ourMacLow: number;
  readonly offload: LinkOffload;
}

/** The links by interface index; a hole where an interface has no guest. */
export type GuestLinks = readonly (GuestLink | undefined)[];
