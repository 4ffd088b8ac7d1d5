/** A frame by which bridges learn where a machine is that has come from elsewhere, address and all: a RARP request of its own (RFC 903). */
import type { MacAddress } from '../base/address.ts';
import { NO_PACKET, type Packets } from '../packet/packets.ts';
import * as arp from '../wire/arp.ts';
import * as ethernet from '../wire/ethernet.ts';

/** The shortest frame on an Ethernet, without its checksum. */
const ANNOUNCEMENT_BYTES = 60;

/** Makes it the newest packet. Returns whether there was room. */
export function announce(packets: Packets, { high, low }: MacAddress): boolean {
  const packet = packets.allocate(ANNOUNCEMENT_BYTES);
  if (packet === NO_PACKET) return false;
  const { view } = packets;
  const at = packets.start[packet];
  packets.bytes.fill(0, at, at + ANNOUNCEMENT_BYTES);
  const { BROADCAST_HIGH, BROADCAST_LOW, TYPE_RARP } = ethernet;
  const body = at + ethernet.writeHeader(view, at, BROADCAST_HIGH, BROADCAST_LOW, high, low, TYPE_RARP);
  arp.writePacket(view, body, arp.OPERATION_REVERSE_REQUEST, high, low, 0, high, low, 0);
  return true;
}
