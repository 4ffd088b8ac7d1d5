/**
 * UDP headers (RFC 768; over IPv6: RFC 8200, section 8.1).
 *
 * | at | bytes | field              |
 * | -- | ----- | ------------------ |
 * | 0  | 2     | source port        |
 * | 2  | 2     | destination port   |
 * | 4  | 2     | length             |
 * | 6  | 2     | checksum           |
 *
 * A checksum of 0 means that there is none, which IPv6 does not allow; one that comes out as 0 is sent as 0xffff.
 * The checksum functions cover the datagram by its length field, and take the IP header's start too, of either version, for the pseudo-header.
 * No jumbograms, no UDP-Lite. Accessors are safe once `check` has returned a length.
 */
import * as internet from './checksum.ts';

export const PROTOCOL = 17;
export const HEADER_BYTES = 8;
/** Where the checksum lies in the header, for a virtio-net header. */
export const CHECKSUM_OFFSET = 6;

/** What `check` returns. */
export const TOO_SHORT = -1;
export const LENGTH_INVALID = -2;

const SOURCE_PORT = 0;
const DESTINATION_PORT = 2;
const LENGTH = 4;

/** The header's bytes, or a negative constant. The datagram (by its length) lies within `at` to `end`. */
export function check(view: DataView, at: number, end: number): number {
  if (end - at < HEADER_BYTES) return TOO_SHORT;
  const bytes = length(view, at);
  return bytes < HEADER_BYTES || bytes > end - at ? LENGTH_INVALID : HEADER_BYTES;
}

export function sourcePort(view: DataView, at: number): number {
  return view.getUint16(at + SOURCE_PORT);
}

export function destinationPort(view: DataView, at: number): number {
  return view.getUint16(at + DESTINATION_PORT);
}

/** Bytes of header and payload. */
export function length(view: DataView, at: number): number {
  return view.getUint16(at + LENGTH);
}

export function checksum(view: DataView, at: number): number {
  return view.getUint16(at + CHECKSUM_OFFSET);
}

export function setSourcePort(view: DataView, at: number, value: number): void {
  view.setUint16(at + SOURCE_PORT, value);
}

export function setDestinationPort(view: DataView, at: number, value: number): void {
  view.setUint16(at + DESTINATION_PORT, value);
}

export function setLength(view: DataView, at: number, bytes: number): void {
  view.setUint16(at + LENGTH, bytes);
}

export function setChecksum(view: DataView, at: number, value: number): void {
  view.setUint16(at + CHECKSUM_OFFSET, value);
}

/** Writes a header for a datagram of `bytes` (header and payload), its checksum 0, and returns its bytes. */
export function writeHeader(view: DataView, at: number, fromPort: number, toPort: number, bytes: number): number {
  setSourcePort(view, at, fromPort);
  setDestinationPort(view, at, toPort);
  setLength(view, at, bytes);
  setChecksum(view, at, 0);
  return HEADER_BYTES;
}

/** Whether the checksum of the datagram at `at`, in the IP packet at `network`, is right, or is absent where it may be. */
export function verifyChecksum(view: DataView, network: number, at: number): boolean {
  if (checksum(view, at) === 0) return view.getUint8(network) >>> 4 === 4;
  return internet.verifyTransport(view, network, at, at + length(view, at), PROTOCOL);
}

export function writeChecksum(view: DataView, network: number, at: number): void {
  internet.writeTransport(view, network, at, at + length(view, at), PROTOCOL, at + CHECKSUM_OFFSET);
  if (checksum(view, at) === 0) setChecksum(view, at, 0xffff);
}

/** The pseudo-header's sum only: the receiver completes it (`vnet-header.ts`, `setChecksum`). */
export function writePartialChecksum(view: DataView, network: number, at: number): void {
  internet.writePartial(view, network, at, at + length(view, at), PROTOCOL, at + CHECKSUM_OFFSET);
}
