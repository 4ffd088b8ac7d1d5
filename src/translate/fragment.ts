/**
 * Cuts an IP packet that is larger than the guest's MTU into fragments (RFC 791, section 3.2; RFC 8200, section 4.5).
 *
 * Only for datagrams, which have no other way to become smaller. The packet must be complete: no extension headers or options,
 * checksums done, no segmentation left to the link. Each fragment is a packet of its own, copied behind `packets.used`.
 */
import type { Emitter } from '../graph/node.ts';
import { NO_PACKET, type Packet, type Packets } from '../packet/packets.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as ipv6 from '../wire/ipv6.ts';

/**
 * Emits `packet` as fragments of at most `mtu` bytes. Returns how many, or -1 when the arena had no room for all of them (some may have
 * gone then).
 */
export function emitFragments(packets: Packets, packet: Packet, mtu: number, id: number, output: Emitter): number {
  const ipv4Packet = packets.view.getUint8(packets.network[packet]) >>> 4 === 4;
  const headerBytes = ipv4Packet ? ipv4.HEADER_BYTES : ipv6.HEADER_BYTES + ipv6.FRAGMENT_BYTES;
  const payload = packets.network[packet] + (ipv4Packet ? ipv4.HEADER_BYTES : ipv6.HEADER_BYTES);
  const payloadBytes = packets.end[packet] - payload;
  const pieceBytes = (mtu - headerBytes) & ~7;
  let count = 0;
  for (let offset = 0; offset < payloadBytes; offset += pieceBytes) {
    const bytes = Math.min(pieceBytes, payloadBytes - offset);
    const piece = packets.allocate(ethernet.HEADER_BYTES + headerBytes + bytes);
    if (piece === NO_PACKET) return -1;
    packets.network[piece] = packets.start[piece] + ethernet.HEADER_BYTES;
    packets.transport[piece] = packets.network[piece] + headerBytes;
    packets.protocol[piece] = packets.protocol[packet];
    packets.txInterface[piece] = packets.txInterface[packet];
    packets.flow[piece] = packets.flow[packet];
    packets.bytes.copyWithin(packets.transport[piece], payload + offset, payload + offset + bytes);
    packets.bytes.copyWithin(packets.start[piece], packets.start[packet], payload);
    const more = offset + bytes < payloadBytes;
    if (ipv4Packet) finishIpv4(packets, piece, bytes, offset, more, id);
    else finishIpv6(packets, piece, bytes, offset, more, id);
    output.emit(piece);
    count++;
  }
  return count;
}

function finishIpv4(packets: Packets, piece: Packet, bytes: number, offset: number, more: boolean, id: number): void {
  const { view } = packets;
  const at = packets.network[piece];
  ipv4.setTotalLength(view, at, ipv4.HEADER_BYTES + bytes);
  ipv4.setIdentification(view, at, id & 0xffff);
  ipv4.setFragment(view, at, more ? ipv4.MORE_FRAGMENTS : 0, offset);
  ipv4.writeChecksum(view, at);
}

function finishIpv6(packets: Packets, piece: Packet, bytes: number, offset: number, more: boolean, id: number): void {
  const { view } = packets;
  const at = packets.network[piece];
  const next = ipv6.nextHeader(view, at);
  ipv6.setNextHeader(view, at, ipv6.HEADER_FRAGMENT);
  ipv6.setPayloadLength(view, at, ipv6.FRAGMENT_BYTES + bytes);
  ipv6.writeFragmentHeader(view, at + ipv6.HEADER_BYTES, next, offset, more, id);
}
