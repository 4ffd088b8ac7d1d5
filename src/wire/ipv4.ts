/**
 * IPv4 headers (RFC 791; type of service: RFC 2474 and RFC 3168).
 *
 * | at | bytes | field                                               |
 * | -- | ----- | --------------------------------------------------- |
 * | 0  | 1     | version 4, and header length in words of 4 bytes    |
 * | 1  | 1     | DSCP (6 bits) and ECN (2)                           |
 * | 2  | 2     | total length                                        |
 * | 4  | 2     | identification                                      |
 * | 6  | 2     | flags (3 bits) and fragment offset in 8 bytes (13)  |
 * | 8  | 1     | time to live                                        |
 * | 9  | 1     | protocol                                            |
 * | 10 | 2     | header checksum                                     |
 * | 12 | 4     | source                                              |
 * | 16 | 4     | destination                                         |
 * | 20 | 0-40  | options                                             |
 *
 * Options are skipped, not obeyed: no source routes, no record route. A total length of 0 (BIG TCP) is refused.
 * Addresses are int32. Setters leave the header checksum as it is, unless their name says otherwise.
 * Accessors are safe once `check` has returned a length; `check` does not look at the checksum, `verifyChecksum` does.
 */
import * as checksum from './checksum.ts';

export const HEADER_BYTES = 20;
/** With all the options that there is room for. */
export const HEADER_BYTES_MAX = 60;

export const PROTOCOL_ICMP = 1;
export const PROTOCOL_TCP = 6;
export const PROTOCOL_UDP = 17;

/** Flags, as bits of `fragmentWord`. */
export const DONT_FRAGMENT = 0x4000;
export const MORE_FRAGMENTS = 0x2000;

/** What `check` returns. */
export const TOO_SHORT = -1;
export const WRONG_VERSION = -2;
export const HEADER_LENGTH_INVALID = -3;
export const TOTAL_LENGTH_INVALID = -4;

const VERSION_AND_LENGTH = 0;
const TYPE_OF_SERVICE = 1;
const TOTAL_LENGTH = 2;
const IDENTIFICATION = 4;
const FRAGMENT = 6;
const TIME_TO_LIVE = 8;
const PROTOCOL = 9;
const CHECKSUM = 10;
const SOURCE = 12;
const DESTINATION = 16;

const FRAGMENT_OFFSET_MASK = 0x1fff;

/** The header's bytes with its options, or a negative constant. The packet (by its total length) lies within `at` to `end`. */
export function check(view: DataView, at: number, end: number): number {
  if (end - at < HEADER_BYTES) return TOO_SHORT;
  if (view.getUint8(at + VERSION_AND_LENGTH) >>> 4 !== 4) return WRONG_VERSION;
  const bytes = headerBytes(view, at);
  if (bytes < HEADER_BYTES || bytes > end - at) return HEADER_LENGTH_INVALID;
  const total = totalLength(view, at);
  return total < bytes || total > end - at ? TOTAL_LENGTH_INVALID : bytes;
}

/** The header's bytes, as its length field says. */
export function headerBytes(view: DataView, at: number): number {
  return (view.getUint8(at + VERSION_AND_LENGTH) & 0x0f) * 4;
}

/** DSCP and ECN together. */
export function typeOfService(view: DataView, at: number): number {
  return view.getUint8(at + TYPE_OF_SERVICE);
}

export function dscp(view: DataView, at: number): number {
  return typeOfService(view, at) >>> 2;
}

export function ecn(view: DataView, at: number): number {
  return typeOfService(view, at) & 3;
}

/** Bytes of header and payload. */
export function totalLength(view: DataView, at: number): number {
  return view.getUint16(at + TOTAL_LENGTH);
}

export function identification(view: DataView, at: number): number {
  return view.getUint16(at + IDENTIFICATION);
}

/** Flags and fragment offset together. */
export function fragmentWord(view: DataView, at: number): number {
  return view.getUint16(at + FRAGMENT);
}

export function dontFragment(view: DataView, at: number): boolean {
  return (fragmentWord(view, at) & DONT_FRAGMENT) !== 0;
}

export function moreFragments(view: DataView, at: number): boolean {
  return (fragmentWord(view, at) & MORE_FRAGMENTS) !== 0;
}

/** Where the fragment's payload belongs in the datagram's, in bytes. */
export function fragmentOffset(view: DataView, at: number): number {
  return (fragmentWord(view, at) & FRAGMENT_OFFSET_MASK) * 8;
}

/** Whether this is a part of a datagram only. */
export function isFragment(view: DataView, at: number): boolean {
  return (fragmentWord(view, at) & (MORE_FRAGMENTS | FRAGMENT_OFFSET_MASK)) !== 0;
}

export function timeToLive(view: DataView, at: number): number {
  return view.getUint8(at + TIME_TO_LIVE);
}

export function protocol(view: DataView, at: number): number {
  return view.getUint8(at + PROTOCOL);
}

export function headerChecksum(view: DataView, at: number): number {
  return view.getUint16(at + CHECKSUM);
}

export function source(view: DataView, at: number): number {
  return view.getInt32(at + SOURCE);
}

export function destination(view: DataView, at: number): number {
  return view.getInt32(at + DESTINATION);
}

export function setHeaderBytes(view: DataView, at: number, bytes: number): void {
  view.setUint8(at + VERSION_AND_LENGTH, 0x40 | (bytes >>> 2));
}

export function setTypeOfService(view: DataView, at: number, value: number): void {
  view.setUint8(at + TYPE_OF_SERVICE, value);
}

export function setTotalLength(view: DataView, at: number, bytes: number): void {
  view.setUint16(at + TOTAL_LENGTH, bytes);
}

export function setIdentification(view: DataView, at: number, value: number): void {
  view.setUint16(at + IDENTIFICATION, value);
}

/** `flags` are `DONT_FRAGMENT` and `MORE_FRAGMENTS`; the offset is in bytes, a multiple of 8. */
export function setFragment(view: DataView, at: number, flags: number, offsetBytes: number): void {
  view.setUint16(at + FRAGMENT, flags | (offsetBytes >>> 3));
}

export function setTimeToLive(view: DataView, at: number, value: number): void {
  view.setUint8(at + TIME_TO_LIVE, value);
}

export function setProtocol(view: DataView, at: number, value: number): void {
  view.setUint8(at + PROTOCOL, value);
}

export function setHeaderChecksum(view: DataView, at: number, value: number): void {
  view.setUint16(at + CHECKSUM, value);
}

export function setSource(view: DataView, at: number, address: number): void {
  view.setInt32(at + SOURCE, address);
}

export function setDestination(view: DataView, at: number, address: number): void {
  view.setInt32(at + DESTINATION, address);
}

/** Sets the total length and brings the header checksum up to date. */
export function setTotalLengthAndChecksum(view: DataView, at: number, bytes: number): void {
  setHeaderChecksum(view, at, checksum.update16(headerChecksum(view, at), totalLength(view, at), bytes));
  setTotalLength(view, at, bytes);
}

/** Sets the time to live and brings the header checksum up to date. */
export function setTimeToLiveAndChecksum(view: DataView, at: number, value: number): void {
  const before = view.getUint16(at + TIME_TO_LIVE);
  setTimeToLive(view, at, value);
  setHeaderChecksum(view, at, checksum.update16(headerChecksum(view, at), before, view.getUint16(at + TIME_TO_LIVE)));
}

/** Sets the source and brings the header checksum up to date; that of TCP or UDP is the caller's business. */
export function setSourceAndChecksum(view: DataView, at: number, address: number): void {
  setHeaderChecksum(view, at, checksum.update32(headerChecksum(view, at), source(view, at), address));
  setSource(view, at, address);
}

/** Sets the destination and brings the header checksum up to date; that of TCP or UDP is the caller's business. */
export function setDestinationAndChecksum(view: DataView, at: number, address: number): void {
  setHeaderChecksum(view, at, checksum.update32(headerChecksum(view, at), destination(view, at), address));
  setDestination(view, at, address);
}

/** Whether the header checksum is right. */
export function verifyChecksum(view: DataView, at: number): boolean {
  if (headerBytes(view, at) !== HEADER_BYTES) return checksum.sum(view, at, headerBytes(view, at), 0) === 0xffff;
  // Without options, as nearly always: five words, whose halves add up without leaving the integers.
  const a = view.getInt32(at);
  const b = view.getInt32(at + 4);
  const c = view.getInt32(at + 8);
  const d = view.getInt32(at + 12);
  const e = view.getInt32(at + 16);
  const high = (a >>> 16) + (b >>> 16) + (c >>> 16) + (d >>> 16) + (e >>> 16);
  const low = (a & 0xffff) + (b & 0xffff) + (c & 0xffff) + (d & 0xffff) + (e & 0xffff);
  const once = ((high + low) >>> 16) + ((high + low) & 0xffff);
  return ((once + (once >>> 16)) & 0xffff) === 0xffff;
}

/** Computes the header checksum and sets it. */
export function writeChecksum(view: DataView, at: number): void {
  setHeaderChecksum(view, at, 0);
  setHeaderChecksum(view, at, checksum.finish(checksum.sum(view, at, headerBytes(view, at), 0)));
}

/**
 * Writes a header without options, its checksum included, and returns its bytes. `fragment` is 0 or `DONT_FRAGMENT`; a packet without the latter
 * needs an identification that is not soon used again (RFC 6864).
 */
export function writeHeader(
  view: DataView,
  at: number,
  total: number,
  payloadProtocol: number,
  from: number,
  to: number,
  ttl: number,
  service: number,
  id: number,
  fragment: number,
): number {
  setHeaderBytes(view, at, HEADER_BYTES);
  setTypeOfService(view, at, service);
  setTotalLength(view, at, total);
  setIdentification(view, at, id);
  setFragment(view, at, fragment, 0);
  setTimeToLive(view, at, ttl);
  setProtocol(view, at, payloadProtocol);
  setSource(view, at, from);
  setDestination(view, at, to);
  writeChecksum(view, at);
  return HEADER_BYTES;
}
