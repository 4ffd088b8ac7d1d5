/**
 * Completes a transport checksum that the sender left to the device (virtio-net's NEEDS_CSUM), for whoever cuts a packet in pieces or must send it as it is.
 */
import * as checksum from '../wire/checksum.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as vnet from '../wire/vnet-header.ts';
import { type Packet, type Packets, VNET_HEADER_BYTES } from './packets.ts';

/**
 * Completes the checksum of `packet`, if it is partial, and takes that note out of its virtio-net header. False when the header points elsewhere than
 * behind the IP header: then nothing was changed. Valid behind `ip4-input` and `ip6-input`.
 */
export function completeChecksum(packets: Packets, packet: Packet): boolean {
  const { view, start, end } = packets;
  const header = start[packet] - VNET_HEADER_BYTES;
  const flags = vnet.flags(view, header);
  if ((flags & vnet.FLAG_NEEDS_CSUM) === 0) return true;
  const from = start[packet] + vnet.checksumStart(view, header);
  const field = from + vnet.checksumOffset(view, header);
  if (from < packets.transport[packet] || field + 2 > end[packet]) return false;
  const sum = checksum.finish(checksum.sum(view, from, end[packet] - from, 0));
  // In UDP a checksum of 0 says that there is none (RFC 768).
  view.setUint16(field, sum === 0 && packets.protocol[packet] === ipv4.PROTOCOL_UDP ? 0xffff : sum);
  vnet.setFlags(view, header, flags & ~vnet.FLAG_NEEDS_CSUM);
  return true;
}
