/**
 * Ethernet II frames (IEEE 802.3, clause 3; RFC 894, RFC 2464).
 *
 * | at | bytes | field               |
 * | -- | ----- | ------------------- |
 * | 0  | 6     | destination address |
 * | 6  | 6     | source address      |
 * | 12 | 2     | EtherType           |
 *
 * No VLAN tags and no 802.3 length fields: such a frame has an EtherType that nobody here knows.
 * Addresses are two numbers: `high` is the first 2 bytes (uint16), `low` the last 4 (int32).
 * Accessors judge nothing; they are safe once `check` has returned a length.
 */

export const HEADER_BYTES = 14;

export const TYPE_IPV4 = 0x0800;
export const TYPE_ARP = 0x0806;
export const TYPE_RARP = 0x8035;
export const TYPE_IPV6 = 0x86dd;

export const BROADCAST_HIGH = 0xffff;
export const BROADCAST_LOW = -1;

/** What `check` returns for a frame that is shorter than its header. */
export const TOO_SHORT = -1;

const DESTINATION = 0;
const SOURCE = 6;
const TYPE = 12;

/** The header's bytes, or `TOO_SHORT`. */
export function check(_view: DataView, at: number, end: number): number {
  return end - at < HEADER_BYTES ? TOO_SHORT : HEADER_BYTES;
}

export function destinationHigh(view: DataView, at: number): number {
  return view.getUint16(at + DESTINATION);
}

export function destinationLow(view: DataView, at: number): number {
  return view.getInt32(at + DESTINATION + 2);
}

export function sourceHigh(view: DataView, at: number): number {
  return view.getUint16(at + SOURCE);
}

export function sourceLow(view: DataView, at: number): number {
  return view.getInt32(at + SOURCE + 2);
}

export function type(view: DataView, at: number): number {
  return view.getUint16(at + TYPE);
}

/** Whether the frame is for a group; broadcast is one. */
export function isMulticast(view: DataView, at: number): boolean {
  return (view.getUint8(at + DESTINATION) & 1) !== 0;
}

export function isBroadcast(view: DataView, at: number): boolean {
  return destinationLow(view, at) === BROADCAST_LOW && destinationHigh(view, at) === BROADCAST_HIGH;
}

export function setDestination(view: DataView, at: number, high: number, low: number): void {
  view.setUint16(at + DESTINATION, high);
  view.setInt32(at + DESTINATION + 2, low);
}

export function setSource(view: DataView, at: number, high: number, low: number): void {
  view.setUint16(at + SOURCE, high);
  view.setInt32(at + SOURCE + 2, low);
}

export function setType(view: DataView, at: number, value: number): void {
  view.setUint16(at + TYPE, value);
}

/** Writes a whole header and returns its bytes. */
export function writeHeader(
  view: DataView,
  at: number,
  toHigh: number,
  toLow: number,
  fromHigh: number,
  fromLow: number,
  etherType: number,
): number {
  setDestination(view, at, toHigh, toLow);
  setSource(view, at, fromHigh, fromLow);
  setType(view, at, etherType);
  return HEADER_BYTES;
}
