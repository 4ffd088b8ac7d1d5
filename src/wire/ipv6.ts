/**
 * IPv6 headers and extension headers (RFC 8200).
 *
 * | at | bytes | field                                                     |
 * | -- | ----- | --------------------------------------------------------- |
 * | 0  | 4     | version 6, traffic class (8 bits), flow label (20 bits)   |
 * | 4  | 2     | payload length: all behind this header                    |
 * | 6  | 1     | next header                                               |
 * | 7  | 1     | hop limit                                                 |
 * | 8  | 16    | source                                                    |
 * | 24 | 16    | destination                                               |
 *
 * The fragment header (section 4.5):
 *
 * | at | bytes | field                                                     |
 * | -- | ----- | --------------------------------------------------------- |
 * | 0  | 1     | next header                                               |
 * | 1  | 1     | reserved                                                  |
 * | 2  | 2     | offset in 8 bytes (13 bits), reserved (2), more (1)       |
 * | 4  | 4     | identification                                            |
 *
 * Extension headers are skipped, not obeyed. No jumbograms (RFC 2675): a payload length of 0 means no payload. Authentication and ESP
 * headers are not skipped: they end the walk as protocols that nobody here knows.
 * Addresses are four int32 words. Accessors are safe once `check` has returned a length; those of the fragment header where
 * `walkExtensions` found one.
 */

export const HEADER_BYTES = 40;
export const FRAGMENT_BYTES = 8;

export const PROTOCOL_TCP = 6;
export const PROTOCOL_UDP = 17;
export const PROTOCOL_ICMPV6 = 58;
export const HEADER_HOP_BY_HOP = 0;
export const HEADER_ROUTING = 43;
export const HEADER_FRAGMENT = 44;
export const HEADER_NONE = 59;
export const HEADER_DESTINATION_OPTIONS = 60;

/** What `check` returns. */
export const TOO_SHORT = -1;
export const WRONG_VERSION = -2;
export const PAYLOAD_LENGTH_INVALID = -3;
/** What `walkExtensions` returns: a header is cut short or out of its place; there are more than `EXTENSIONS_MAX`. */
export const EXTENSION_INVALID = -4;
export const EXTENSIONS_TOO_MANY = -5;

/** RFC 8200 allows each once and destination options twice: five. Some room is left for odd senders. */
export const EXTENSIONS_MAX = 8;

/** Words of what `walkExtensions` finds. */
export const WALK_WORDS = 3;
/** The first header that is no extension, or what stands in the fragment header of a fragment. */
export const WALK_PROTOCOL = 0;
/** Where the fragment header starts, -1: the packet is no fragment. */
export const WALK_FRAGMENT = 1;
/** Where the next-header byte is that names `WALK_PROTOCOL`'s header, or the fragment header of a fragment: reassembly rewrites it. */
export const WALK_NEXT_HEADER_AT = 2;

const VERSION_CLASS_LABEL = 0;
const PAYLOAD_LENGTH = 4;
const NEXT_HEADER = 6;
const HOP_LIMIT = 7;
const SOURCE = 8;
const DESTINATION = 24;

const FRAGMENT_NEXT_HEADER = 0;
const FRAGMENT_OFFSET = 2;
const FRAGMENT_IDENTIFICATION = 4;
const FRAGMENT_MORE = 1;
const FRAGMENT_OFFSET_MASK = 0xfff8;

/** The header's bytes without extensions, or a negative constant. The packet (by its payload length) lies within `at` to `end`. */
export function check(view: DataView, at: number, end: number): number {
  if (end - at < HEADER_BYTES) return TOO_SHORT;
  if (view.getUint8(at + VERSION_CLASS_LABEL) >>> 4 !== 6) return WRONG_VERSION;
  return payloadLength(view, at) > end - at - HEADER_BYTES ? PAYLOAD_LENGTH_INVALID : HEADER_BYTES;
}

/**
 * Walks over the extension headers of a packet that `check` has passed, up to `end`, where the packet ends, and writes `WALK_WORDS` words
 * into `out`. Returns where the transport header starts, or a negative constant.
 *
 * A fragment ends the walk, even the first one: what follows its fragment header is of the datagram that is to be put together. A packet
 * that is whole in spite of its fragment header (an atomic fragment, RFC 6946) is walked through.
 */
export function walkExtensions(view: DataView, at: number, end: number, out: Int32Array): number {
  let header = nextHeader(view, at);
  let position = at + HEADER_BYTES;
  let namedAt = at + NEXT_HEADER;
  out[WALK_FRAGMENT] = -1;
  for (let walked = 0; ; walked++) {
    out[WALK_PROTOCOL] = header;
    out[WALK_NEXT_HEADER_AT] = namedAt;
    if (!isExtension(header)) return position;
    if (walked === EXTENSIONS_MAX) return EXTENSIONS_TOO_MANY;
    // Hop-by-hop options are for every node on the way: they come first or are an error (section 4.1).
    if (header === HEADER_HOP_BY_HOP && walked > 0) return EXTENSION_INVALID;
    if (end - position < 8) return EXTENSION_INVALID;
    const bytes = header === HEADER_FRAGMENT ? FRAGMENT_BYTES : (view.getUint8(position + 1) + 1) * 8;
    if (end - position < bytes) return EXTENSION_INVALID;
    if (header === HEADER_FRAGMENT && isFragment(view, position)) {
      out[WALK_PROTOCOL] = view.getUint8(position);
      out[WALK_FRAGMENT] = position;
      return position + bytes;
    }
    header = view.getUint8(position);
    namedAt = position;
    position += bytes;
  }
}

export function trafficClass(view: DataView, at: number): number {
  return (view.getUint16(at + VERSION_CLASS_LABEL) >>> 4) & 0xff;
}

export function flowLabel(view: DataView, at: number): number {
  return view.getInt32(at + VERSION_CLASS_LABEL) & 0xf_ffff;
}

/** Bytes behind the fixed header, extension headers included. */
export function payloadLength(view: DataView, at: number): number {
  return view.getUint16(at + PAYLOAD_LENGTH);
}

export function nextHeader(view: DataView, at: number): number {
  return view.getUint8(at + NEXT_HEADER);
}

export function hopLimit(view: DataView, at: number): number {
  return view.getUint8(at + HOP_LIMIT);
}

/** Word `index` of the source, 0 to 3. */
export function sourceWord(view: DataView, at: number, index: number): number {
  return view.getInt32(at + SOURCE + index * 4);
}

/** Word `index` of the destination, 0 to 3. */
export function destinationWord(view: DataView, at: number, index: number): number {
  return view.getInt32(at + DESTINATION + index * 4);
}

export function setTrafficClass(view: DataView, at: number, value: number): void {
  const word = view.getInt32(at + VERSION_CLASS_LABEL);
  view.setInt32(at + VERSION_CLASS_LABEL, (word & ~(0xff << 20)) | ((value & 0xff) << 20));
}

export function setFlowLabel(view: DataView, at: number, value: number): void {
  const word = view.getInt32(at + VERSION_CLASS_LABEL);
  view.setInt32(at + VERSION_CLASS_LABEL, (word & ~0xf_ffff) | (value & 0xf_ffff));
}

export function setPayloadLength(view: DataView, at: number, bytes: number): void {
  view.setUint16(at + PAYLOAD_LENGTH, bytes);
}

export function setNextHeader(view: DataView, at: number, value: number): void {
  view.setUint8(at + NEXT_HEADER, value);
}

export function setHopLimit(view: DataView, at: number, value: number): void {
  view.setUint8(at + HOP_LIMIT, value);
}

export function setSource(view: DataView, at: number, w0: number, w1: number, w2: number, w3: number): void {
  setWords(view, at + SOURCE, w0, w1, w2, w3);
}

export function setDestination(view: DataView, at: number, w0: number, w1: number, w2: number, w3: number): void {
  setWords(view, at + DESTINATION, w0, w1, w2, w3);
}

/** Copies an address of `fromView` (anywhere in a packet) into the source. */
export function copyToSource(view: DataView, at: number, fromView: DataView, from: number): void {
  copyWords(view, at + SOURCE, fromView, from);
}

/** Copies an address of `fromView` (anywhere in a packet) into the destination. */
export function copyToDestination(view: DataView, at: number, fromView: DataView, from: number): void {
  copyWords(view, at + DESTINATION, fromView, from);
}

/** Where the source's bytes start, for who copies or compares them. */
export function sourceAt(at: number): number {
  return at + SOURCE;
}

/** Where the destination's bytes start. */
export function destinationAt(at: number): number {
  return at + DESTINATION;
}

/** Writes all of the header but its addresses, and returns its bytes. */
export function writeHeader(
  view: DataView,
  at: number,
  payloadBytes: number,
  next: number,
  limit: number,
  classOfTraffic: number,
  label: number,
): number {
  view.setInt32(at + VERSION_CLASS_LABEL, (6 << 28) | ((classOfTraffic & 0xff) << 20) | (label & 0xf_ffff));
  setPayloadLength(view, at, payloadBytes);
  setNextHeader(view, at, next);
  setHopLimit(view, at, limit);
  return HEADER_BYTES;
}

/** What follows the fragment header at `fragment`. */
export function fragmentNextHeader(view: DataView, fragment: number): number {
  return view.getUint8(fragment + FRAGMENT_NEXT_HEADER);
}

/** Where the fragment's payload belongs in the datagram's, in bytes. */
export function fragmentOffset(view: DataView, fragment: number): number {
  return view.getUint16(fragment + FRAGMENT_OFFSET) & FRAGMENT_OFFSET_MASK;
}

export function moreFragments(view: DataView, fragment: number): boolean {
  return (view.getUint16(fragment + FRAGMENT_OFFSET) & FRAGMENT_MORE) !== 0;
}

export function fragmentIdentification(view: DataView, fragment: number): number {
  return view.getInt32(fragment + FRAGMENT_IDENTIFICATION);
}

/** Writes a whole fragment header and returns its bytes; the offset is in bytes, a multiple of 8. */
export function writeFragmentHeader(
  view: DataView,
  fragment: number,
  next: number,
  offsetBytes: number,
  more: boolean,
  id: number,
): number {
  view.setUint16(fragment + FRAGMENT_NEXT_HEADER, next << 8);
  view.setUint16(fragment + FRAGMENT_OFFSET, (offsetBytes & FRAGMENT_OFFSET_MASK) | (more ? FRAGMENT_MORE : 0));
  view.setInt32(fragment + FRAGMENT_IDENTIFICATION, id);
  return FRAGMENT_BYTES;
}

function isExtension(header: number): boolean {
  return (
    header === HEADER_HOP_BY_HOP ||
    header === HEADER_ROUTING ||
    header === HEADER_FRAGMENT ||
    header === HEADER_DESTINATION_OPTIONS
  );
}

function isFragment(view: DataView, fragment: number): boolean {
  return (view.getUint16(fragment + FRAGMENT_OFFSET) & (FRAGMENT_OFFSET_MASK | FRAGMENT_MORE)) !== 0;
}

function setWords(view: DataView, position: number, w0: number, w1: number, w2: number, w3: number): void {
  view.setInt32(position, w0);
  view.setInt32(position + 4, w1);
  view.setInt32(position + 8, w2);
  view.setInt32(position + 12, w3);
}

function copyWords(view: DataView, position: number, fromView: DataView, from: number): void {
  setWords(
    view,
    position,
    fromView.getInt32(from),
    fromView.getInt32(from + 4),
    fromView.getInt32(from + 8),
    fromView.getInt32(from + 12),
  );
}
