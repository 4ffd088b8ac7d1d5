/**
 * The virtio-net header in front of a frame: `struct virtio_net_hdr_mrg_rxbuf` (virtio 1.2, section 5.1.6), which a tap with `IFF_VNET_HDR` and
 * `TUNSETVNETLE` uses too. Little endian, unlike everything behind it.
 *
 * | at | bytes | field                                                                   |
 * | -- | ----- | ----------------------------------------------------------------------- |
 * | 0  | 1     | flags                                                                   |
 * | 1  | 1     | GSO type: what the frame is to be cut into                              |
 * | 2  | 2     | bytes of all headers, a hint                                            |
 * | 4  | 2     | GSO size: payload bytes of each segment                                 |
 * | 6  | 2     | where the checksum's data starts, from the Ethernet header on           |
 * | 8  | 2     | where the checksum is to be put, from there on                          |
 * | 10 | 2     | how many buffers the frame takes (only from a device with merged ones)  |
 *
 * `check` judges what a hostile guest could put there against the frame's size; it does not look into the frame, so whether the
 * GSO type fits the protocol is for whoever reads the frame. Accessors need the 12 bytes and nothing more.
 */

export const HEADER_BYTES = 12;

/** The transport checksum holds the pseudo-header's sum only; the receiver or the device must complete it. */
export const FLAG_NEEDS_CSUM = 1;
/** The checksum was found right. */
export const FLAG_DATA_VALID = 2;

export const GSO_NONE = 0;
export const GSO_TCPV4 = 1;
/** UDP cut into IP fragments (UFO). */
export const GSO_UDP = 3;
export const GSO_TCPV6 = 4;
/** UDP cut into datagrams (USO). */
export const GSO_UDP_L4 = 5;
/** Added to a TCP type: the first segment carries CWR. */
export const GSO_ECN = 0x80;

/** What `check` returns. */
export const TOO_SHORT = -1;
export const CHECKSUM_RANGE_INVALID = -2;
export const GSO_TYPE_UNKNOWN = -3;
export const GSO_SIZE_INVALID = -4;
export const GSO_WITHOUT_CHECKSUM = -5;
export const HEADER_LENGTH_INVALID = -6;

const FLAGS = 0;
const GSO_TYPE = 1;
const HEADER_LENGTH = 2;
const GSO_SIZE = 4;
const CHECKSUM_START = 6;
const CHECKSUM_OFFSET = 8;
const BUFFER_COUNT = 10;

/** No checksum that we complete lies in front of an IP header. */
const CHECKSUM_START_MIN = 14;

/** The header's bytes, or a negative constant: `at` is the header, a frame of `frameBytes` follows it. */
export function check(view: DataView, at: number, frameBytes: number): number {
  if (at < 0 || view.byteLength - at < HEADER_BYTES) return TOO_SHORT;
  const needsChecksum = (flags(view, at) & FLAG_NEEDS_CSUM) !== 0;
  if (needsChecksum) {
    const start = checksumStart(view, at);
    if (start < CHECKSUM_START_MIN || start + checksumOffset(view, at) + 2 > frameBytes) return CHECKSUM_RANGE_INVALID;
  }
  const segments = gsoType(view, at);
  if (segments === GSO_NONE) return HEADER_BYTES;
  if (!isKnownGsoType(segments)) return GSO_TYPE_UNKNOWN;
  if (gsoSize(view, at) === 0) return GSO_SIZE_INVALID;
  if (!needsChecksum && (flags(view, at) & FLAG_DATA_VALID) === 0) return GSO_WITHOUT_CHECKSUM;
  return headerLength(view, at) > frameBytes ? HEADER_LENGTH_INVALID : HEADER_BYTES;
}

export function flags(view: DataView, at: number): number {
  return view.getUint8(at + FLAGS);
}

/** The GSO type with `GSO_ECN`, where it is set. */
export function gsoType(view: DataView, at: number): number {
  return view.getUint8(at + GSO_TYPE);
}

export function headerLength(view: DataView, at: number): number {
  return view.getUint16(at + HEADER_LENGTH, true);
}

export function gsoSize(view: DataView, at: number): number {
  return view.getUint16(at + GSO_SIZE, true);
}

export function checksumStart(view: DataView, at: number): number {
  return view.getUint16(at + CHECKSUM_START, true);
}

export function checksumOffset(view: DataView, at: number): number {
  return view.getUint16(at + CHECKSUM_OFFSET, true);
}

export function bufferCount(view: DataView, at: number): number {
  return view.getUint16(at + BUFFER_COUNT, true);
}

export function setFlags(view: DataView, at: number, value: number): void {
  view.setUint8(at + FLAGS, value);
}

/** What the frame is to be cut into, with how many payload bytes each, and where its payload starts. */
export function setGso(view: DataView, at: number, kind: number, segmentBytes: number, headersBytes: number): void {
  view.setUint8(at + GSO_TYPE, kind);
  view.setUint16(at + HEADER_LENGTH, headersBytes, true);
  view.setUint16(at + GSO_SIZE, segmentBytes, true);
}

/** Asks the receiver to complete a checksum over all from `start` (counted from the Ethernet header) on, at `start + offset`. */
export function setChecksum(view: DataView, at: number, start: number, offset: number): void {
  view.setUint8(at + FLAGS, FLAG_NEEDS_CSUM);
  view.setUint16(at + CHECKSUM_START, start, true);
  view.setUint16(at + CHECKSUM_OFFSET, offset, true);
}

export function setBufferCount(view: DataView, at: number, value: number): void {
  view.setUint16(at + BUFFER_COUNT, value, true);
}

/**
 * The frame begins `bytes` earlier than before (later, where they are negative), and what the header counts from there on is corrected. A checksum whose start
 * would then be in front of the frame, or needs more than 16 bits, stays at that end: there is none that we would complete.
 */
export function moveFrameStart(view: DataView, at: number, bytes: number): void {
  if (gsoType(view, at) !== GSO_NONE) view.setUint16(at + HEADER_LENGTH, clamped(headerLength(view, at) + bytes), true);
  if ((flags(view, at) & FLAG_NEEDS_CSUM) === 0) return;
  view.setUint16(at + CHECKSUM_START, clamped(checksumStart(view, at) + bytes), true);
}

/** Nothing to do for this frame: all zero. */
export function clear(view: DataView, at: number): void {
  view.setInt32(at, 0);
  view.setInt32(at + 4, 0);
  view.setInt32(at + 8, 0);
}

/** Writes a whole header and returns its bytes. */
export function writeHeader(
  view: DataView,
  at: number,
  headerFlags: number,
  kind: number,
  headersBytes: number,
  segmentBytes: number,
  start: number,
  offset: number,
): number {
  setFlags(view, at, headerFlags);
  setGso(view, at, kind, segmentBytes, headersBytes);
  view.setUint16(at + CHECKSUM_START, start, true);
  view.setUint16(at + CHECKSUM_OFFSET, offset, true);
  setBufferCount(view, at, 0);
  return HEADER_BYTES;
}

function clamped(value: number): number {
  return Math.min(Math.max(value, 0), 0xffff);
}

/** ECN goes with TCP only. */
function isKnownGsoType(value: number): boolean {
  switch (value) {
    case GSO_TCPV4:
    case GSO_TCPV6:
    case GSO_TCPV4 | GSO_ECN:
    case GSO_TCPV6 | GSO_ECN:
    case GSO_UDP:
    case GSO_UDP_L4:
      return true;
    default:
      return false;
  }
}
