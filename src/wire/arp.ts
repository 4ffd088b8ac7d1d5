/**
 * ARP for IPv4 over Ethernet (RFC 826; probes and announcements: RFC 5227).
 *
 * | at | bytes | field                                  |
 * | -- | ----- | -------------------------------------- |
 * | 0  | 2     | hardware type, 1: Ethernet             |
 * | 2  | 2     | protocol type, 0x0800: IPv4            |
 * | 4  | 1     | bytes of a hardware address, 6         |
 * | 5  | 1     | bytes of a protocol address, 4         |
 * | 6  | 2     | operation                              |
 * | 8  | 6     | sender's hardware address              |
 * | 14 | 4     | sender's protocol address              |
 * | 18 | 6     | target's hardware address              |
 * | 24 | 4     | target's protocol address              |
 *
 * No other hardware and no other protocol: `check` refuses them. Accessors are safe once `check` has returned a length.
 */

export const PACKET_BYTES = 28;

export const OPERATION_REQUEST = 1;
export const OPERATION_REPLY = 2;
/** Of reverse ARP (RFC 903), which has frames of its own type and the same layout. */
export const OPERATION_REVERSE_REQUEST = 3;

/** What `check` returns: the packet is cut short; it is not IPv4 over Ethernet. */
export const TOO_SHORT = -1;
export const WRONG_TYPE = -2;

/** Hardware type 1 and protocol type 0x0800; address lengths 6 and 4. */
const ETHERNET_IPV4 = 0x0001_0800;
const LENGTHS = 0x0604;

const HARDWARE_AND_PROTOCOL = 0;
const ADDRESS_LENGTHS = 4;
const OPERATION = 6;
const SENDER_HARDWARE = 8;
const SENDER_ADDRESS = 14;
const TARGET_HARDWARE = 18;
const TARGET_ADDRESS = 24;

/** The packet's bytes (what follows is padding), or a negative constant. */
export function check(view: DataView, at: number, end: number): number {
  if (end - at < PACKET_BYTES) return TOO_SHORT;
  if (view.getInt32(at + HARDWARE_AND_PROTOCOL) !== ETHERNET_IPV4) return WRONG_TYPE;
  if (view.getUint16(at + ADDRESS_LENGTHS) !== LENGTHS) return WRONG_TYPE;
  return PACKET_BYTES;
}

export function operation(view: DataView, at: number): number {
  return view.getUint16(at + OPERATION);
}

export function senderHigh(view: DataView, at: number): number {
  return view.getUint16(at + SENDER_HARDWARE);
}

export function senderLow(view: DataView, at: number): number {
  return view.getInt32(at + SENDER_HARDWARE + 2);
}

export function senderAddress(view: DataView, at: number): number {
  return view.getInt32(at + SENDER_ADDRESS);
}

export function targetHigh(view: DataView, at: number): number {
  return view.getUint16(at + TARGET_HARDWARE);
}

export function targetLow(view: DataView, at: number): number {
  return view.getInt32(at + TARGET_HARDWARE + 2);
}

export function targetAddress(view: DataView, at: number): number {
  return view.getInt32(at + TARGET_ADDRESS);
}

export function setOperation(view: DataView, at: number, value: number): void {
  view.setUint16(at + OPERATION, value);
}

/** The sender's hardware and protocol address. */
export function setSender(view: DataView, at: number, high: number, low: number, address: number): void {
  view.setUint16(at + SENDER_HARDWARE, high);
  view.setInt32(at + SENDER_HARDWARE + 2, low);
  view.setInt32(at + SENDER_ADDRESS, address);
}

/** The target's hardware and protocol address. */
export function setTarget(view: DataView, at: number, high: number, low: number, address: number): void {
  view.setUint16(at + TARGET_HARDWARE, high);
  view.setInt32(at + TARGET_HARDWARE + 2, low);
  view.setInt32(at + TARGET_ADDRESS, address);
}

/** Writes a whole packet, sender's pair first, and returns its bytes. */
export function writePacket(
  view: DataView,
  at: number,
  packetOperation: number,
  fromHigh: number,
  fromLow: number,
  fromAddress: number,
  toHigh: number,
  toLow: number,
  toAddress: number,
): number {
  view.setInt32(at + HARDWARE_AND_PROTOCOL, ETHERNET_IPV4);
  view.setUint16(at + ADDRESS_LENGTHS, LENGTHS);
  setOperation(view, at, packetOperation);
  setSender(view, at, fromHigh, fromLow, fromAddress);
  setTarget(view, at, toHigh, toLow, toAddress);
  return PACKET_BYTES;
}
