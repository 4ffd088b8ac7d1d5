/**
 * Completes a checksum that its sender left to the device (virtio 1.2, section 5.1.6.2: `VIRTIO_NET_HDR_F_NEEDS_CSUM`).
 *
 * The field, `checksum_offset` bytes behind `checksum_start`, holds the sum of the pseudo-header. To it belongs all from `checksum_start` to the end of the frame, so the sum
 * over that, the field included, is the right one. The protocol is not looked at: the guest, who wrote the numbers, spoils nothing but its own packet with wrong ones.
 *
 * A checksum that comes out as 0 is written as 0xffff: in UDP 0 would mean that there is none (RFC 768), and elsewhere both are the same number
 * (RFC 1624, section 3).
 */
import * as internet from '../wire/checksum.ts';
import * as vnet from '../wire/vnet-header.ts';
import { type Packet, type Packets, VNET_HEADER_BYTES } from './packets.ts';

/**
 * Completes the packet's checksum in its place and empties its virtio-net header. `false`: what the header claims lies not within the frame; nothing was changed.
 * For a frame with `FLAG_NEEDS_CSUM` that is not to be cut.
 */
export function finishChecksum(packets: Packets, packet: Packet): boolean {
  const view = packets.view;
  const at = packets.start[packet];
  const bytes = packets.length[packet];
  const header = at - VNET_HEADER_BYTES;
  if (vnet.check(view, header, bytes) < 0) return false;
  const start = vnet.checksumStart(view, header);
  const checksum = internet.finish(internet.sum(view, at + start, bytes - start, 0));
  view.setUint16(at + start + vnet.checksumOffset(view, header), checksum === 0 ? 0xffff : checksum);
  vnet.clear(view, header);
  return true;
}
