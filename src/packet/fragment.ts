/**
 * Cuts an IP packet that is larger than an MTU into fragments (RFC 791, section 3.2; RFC 8200, section 4.5).
 *
 * For datagrams of our own, which have no other way to become smaller, and for IPv4 packets on their way (RFC 1812, section 5.2.6), which may be fragments
 * already. The transport checksum must be complete, and no segmentation left to the link. Options go with the first fragment; in the later ones
 * those that are not to be copied are overwritten with "no operation". No extension headers in IPv6. Each fragment is a packet of its own, copied behind
 * `packets.used`.
 */
import * as ethernet from '../wire/ethernet.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as ipv6 from '../wire/ipv6.ts';
import { NO_PACKET, type Packet, type Packets } from './packets.ts';

/** Takes the fragments. */
export interface FragmentSink {
  emit(packet: Packet): void;
}

/** What `emitFragments` returns: the arena had no room for all of them, some may have gone. */
export const NO_ROOM = -1;
/** The MTU has no room for eight bytes behind the headers, or the packet claims to reach beyond what a datagram may hold. */
export const NOT_CUT = -2;

/** What offset and length of a fragment may reach to, header included. */
const DATAGRAM_BYTES_MAX = 65_535;

const OPTION_END = 0;
const OPTION_NONE = 1;
/** Set in an option's type: it goes with every fragment. */
const OPTION_COPIED = 0x80;

/**
 * Emits `packet` as fragments of at most `mtu` bytes, with the identification `id` (an IPv4 packet on its way keeps its own). Returns how many, or a
 * negative constant.
 */
export function emitFragments(packets: Packets, packet: Packet, mtu: number, id: number, output: FragmentSink): number {
  const { view } = packets;
  const network = packets.network[packet];
  const ipv4Packet = view.getUint8(network) >>> 4 === 4;
  const payload = network + (ipv4Packet ? ipv4.headerBytes(view, network) : ipv6.HEADER_BYTES);
  const headerBytes = payload - network + (ipv4Packet ? 0 : ipv6.FRAGMENT_BYTES);
  const payloadBytes = packets.end[packet] - payload;
  const first = ipv4Packet ? ipv4.fragmentOffset(view, network) : 0;
  const moreBehind = ipv4Packet && ipv4.moreFragments(view, network);
  const pieceBytes = (mtu - headerBytes) & ~7;
  if (pieceBytes <= 0 || headerBytes + first + payloadBytes > DATAGRAM_BYTES_MAX) return NOT_CUT;
  let count = 0;
  for (let offset = 0; offset < payloadBytes; offset += pieceBytes) {
    const bytes = Math.min(pieceBytes, payloadBytes - offset);
    const piece = allocatePiece(packets, packet, headerBytes, bytes);
    if (piece === NO_PACKET) return NO_ROOM;
    packets.bytes.copyWithin(packets.transport[piece], payload + offset, payload + offset + bytes);
    packets.bytes.copyWithin(packets.start[piece], packets.start[packet], payload);
    const more = moreBehind || offset + bytes < payloadBytes;
    if (ipv4Packet) finishIpv4(packets, piece, bytes, first + offset, more, id);
    else finishIpv6(packets, piece, bytes, offset, more, id);
    output.emit(piece);
    count++;
  }
  return count;
}

function allocatePiece(packets: Packets, packet: Packet, headerBytes: number, bytes: number): Packet {
  const piece = packets.allocate(ethernet.HEADER_BYTES + headerBytes + bytes);
  if (piece === NO_PACKET) return NO_PACKET;
  packets.network[piece] = packets.start[piece] + ethernet.HEADER_BYTES;
  packets.transport[piece] = packets.network[piece] + headerBytes;
  packets.protocol[piece] = packets.protocol[packet];
  packets.txInterface[piece] = packets.txInterface[packet];
  packets.flow[piece] = packets.flow[packet];
  return piece;
}

function finishIpv4(packets: Packets, piece: Packet, bytes: number, offset: number, more: boolean, id: number): void {
  const { view } = packets;
  const at = packets.network[piece];
  ipv4.setTotalLength(view, at, packets.transport[piece] - at + bytes);
  ipv4.setIdentification(view, at, id & 0xffff);
  ipv4.setFragment(view, at, more ? ipv4.MORE_FRAGMENTS : 0, offset);
  if (offset > 0) clearOptions(packets, piece);
  ipv4.writeChecksum(view, at);
}

/** Overwrites the options that belong into the first fragment only. What can't be read is left as it is: nobody obeys it. */
function clearOptions(packets: Packets, piece: Packet): void {
  const { view } = packets;
  const end = packets.transport[piece];
  let at = packets.network[piece] + ipv4.HEADER_BYTES;
  while (at < end) {
    const type = view.getUint8(at);
    if (type === OPTION_END) return;
    if (type === OPTION_NONE) {
      at++;
      continue;
    }
    const length = at + 1 < end ? view.getUint8(at + 1) : 0;
    if (length < 2 || at + length > end) return;
    if ((type & OPTION_COPIED) === 0) packets.bytes.fill(OPTION_NONE, at, at + length);
    at += length;
  }
}

function finishIpv6(packets: Packets, piece: Packet, bytes: number, offset: number, more: boolean, id: number): void {
  const { view } = packets;
  const at = packets.network[piece];
  const next = ipv6.nextHeader(view, at);
  ipv6.setNextHeader(view, at, ipv6.HEADER_FRAGMENT);
  ipv6.setPayloadLength(view, at, ipv6.FRAGMENT_BYTES + bytes);
  ipv6.writeFragmentHeader(view, at + ipv6.HEADER_BYTES, next, offset, more, id);
}
