/**
 * VLAN tags (IEEE 802.1Q-2022, clause 9): 4 bytes between the source address of a frame and its EtherType. Taken off a received frame, in its place; put into
 * a copy of one that is sent.
 *
 * | at | bytes | field                                                                                           |
 * | -- | ----- | ----------------------------------------------------------------------------------------------- |
 * | 12 | 2     | 0x8100: a tag follows                                                                           |
 * | 14 | 2     | priority (3 bits), drop eligible (1 bit), VLAN id (12 bits; 0: the tag tells the priority only) |
 * | 16 | 2     | the EtherType of what follows                                                                   |
 *
 * The virtio-net header goes along, and what it counts from the Ethernet header on is corrected: where the checksum starts, and the bytes of all headers. The latter
 * is a hint: Linux gives the size of its first buffer, with the tag not in it, so it may come out 4 too small.
 *
 * Priority and drop eligibility are not looked at, and are sent as 0. No service tags (0x88a8): such a frame is not tagged, for this file. Of two tags the outer one
 * is taken, and the inner one is the EtherType of what remains.
 */
import * as ethernet from '../wire/ethernet.ts';
import * as vnet from '../wire/vnet-header.ts';
import { NO_PACKET, type Packet, type Packets, VNET_HEADER_BYTES } from './packets.ts';

export const TYPE_VLAN = 0x8100;
export const VLAN_TAG_BYTES = 4;

/** The tag of a frame that is in no VLAN, but has a priority. */
export const VLAN_PRIORITY_ONLY = 0;
export const VLAN_ID_MIN = 1;
export const VLAN_ID_MAX = 4094;

/** What `tagOf` and `untag` return instead of a VLAN id. */
export const NOT_TAGGED = -1;
/** The frame ends within its tag, or has the reserved id 0xfff, or a checksum that would start in front of what the tag stands before. */
export const TAG_INVALID = -2;

const VLAN_ID_MASK = 0xfff;
const VLAN_ID_RESERVED = 0xfff;

/** The frame's VLAN id, `VLAN_PRIORITY_ONLY`, or a negative constant. Nothing is changed. */
export function tagOf(packets: Packets, packet: Packet): number {
  const { view } = packets;
  const at = packets.start[packet];
  const length = packets.length[packet];
  if (length < ethernet.HEADER_BYTES || ethernet.type(view, at) !== TYPE_VLAN) return NOT_TAGGED;
  if (length < ethernet.HEADER_BYTES + VLAN_TAG_BYTES) return TAG_INVALID;
  const header = at - VNET_HEADER_BYTES;
  const isPartial = (vnet.flags(view, header) & vnet.FLAG_NEEDS_CSUM) !== 0;
  if (isPartial && vnet.checksumStart(view, header) < ethernet.HEADER_BYTES + VLAN_TAG_BYTES) return TAG_INVALID;
  const id = view.getUint16(at + ethernet.HEADER_BYTES) & VLAN_ID_MASK;
  return id === VLAN_ID_RESERVED ? TAG_INVALID : id;
}

/**
 * Takes the tag off, and returns what `tagOf` does; without a tag, or with one that is invalid, nothing is changed.
 *
 * All in front of the tag moves over it: the bytes must be this packet's alone. Those of a packet that was just received are, since nobody has made an alias of it yet.
 */
export function untag(packets: Packets, packet: Packet): number {
  const id = tagOf(packets, packet);
  if (id < 0) return id;
  const { view } = packets;
  const header = packets.start[packet] - VNET_HEADER_BYTES;
  // Six words, the last one first: they move by one.
  for (let at = header + VNET_HEADER_BYTES + 8; at >= header; at -= 4) view.setInt32(at + 4, view.getInt32(at));
  packets.start[packet] += VLAN_TAG_BYTES;
  packets.length[packet] -= VLAN_TAG_BYTES;
  vnet.moveFrameStart(view, header + VLAN_TAG_BYTES, -VLAN_TAG_BYTES);
  return id;
}

/**
 * Makes a copy of the frame with a tag, in `into`, whose memory must be that of the frame. Returns `NO_PACKET` when there is no room. The frame stays as it is: one that
 * a bridge sends to many shares its bytes with the others.
 */
export function copyTagged(packets: Packets, packet: Packet, into: Packets, id: number): Packet {
  const length = packets.length[packet];
  const copy = into.allocate(length + VLAN_TAG_BYTES);
  if (copy === NO_PACKET) return NO_PACKET;
  const { bytes, view } = into;
  const from = packets.start[packet];
  const to = into.start[copy];
  const addresses = VNET_HEADER_BYTES + TYPE_AT;
  bytes.copyWithin(to - VNET_HEADER_BYTES, from - VNET_HEADER_BYTES, from - VNET_HEADER_BYTES + addresses);
  bytes.copyWithin(to + TYPE_AT + VLAN_TAG_BYTES, from + TYPE_AT, from + length);
  view.setInt32(to + TYPE_AT, (TYPE_VLAN << 16) | id);
  vnet.moveFrameStart(view, to - VNET_HEADER_BYTES, VLAN_TAG_BYTES);
  into.rxInterface[copy] = packets.rxInterface[packet];
  into.txInterface[copy] = packets.txInterface[packet];
  into.flow[copy] = packets.flow[packet];
  return copy;
}

/** Where the tag stands: behind two addresses. */
const TYPE_AT = 12;
