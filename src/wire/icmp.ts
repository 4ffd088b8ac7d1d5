/**
 * ICMP for IPv4 (RFC 792; the MTU in "fragmentation needed": RFC 1191; unreachable codes: RFC 1812).
 *
 * | at | bytes | echo            | destination unreachable   | time exceeded  | parameter problem |
 * | -- | ----- | --------------- | ------------------------- | -------------- | ----------------- |
 * | 0  | 1     | type 8, 0       | type 3                    | type 11        | type 12           |
 * | 1  | 1     | code 0          | code                      | code           | code              |
 * | 2  | 2     | checksum        | checksum                  | checksum       | checksum          |
 * | 4  | 2     | identifier      | 0                         | 0              | pointer, 0        |
 * | 6  | 2     | sequence number | MTU (code 4), otherwise 0 | 0              | 0                 |
 * | 8  |       | data            | the original datagram     | the same       | the same          |
 *
 * No multi-part messages (RFC 4884): what they append is taken for a part of the original datagram. All other types have the first 8 bytes only.
 * The checksum has no pseudo-header. Accessors are safe once `check` has returned a length.
 */
import * as internet from './checksum.ts';

export const PROTOCOL = 1;
export const HEADER_BYTES = 8;
/** Where the checksum lies in the header. */
export const CHECKSUM_OFFSET = 2;

export const ECHO_REPLY = 0;
export const DESTINATION_UNREACHABLE = 3;
export const SOURCE_QUENCH = 4;
export const REDIRECT = 5;
export const ECHO_REQUEST = 8;
export const TIME_EXCEEDED = 11;
export const PARAMETER_PROBLEM = 12;

/** Codes of `DESTINATION_UNREACHABLE`. */
export const NET_UNREACHABLE = 0;
export const HOST_UNREACHABLE = 1;
export const PROTOCOL_UNREACHABLE = 2;
export const PORT_UNREACHABLE = 3;
export const FRAGMENTATION_NEEDED = 4;
export const SOURCE_ROUTE_FAILED = 5;
export const NET_PROHIBITED = 9;
export const HOST_PROHIBITED = 10;
export const COMMUNICATION_PROHIBITED = 13;

/** Codes of `TIME_EXCEEDED`. */
export const TTL_EXCEEDED = 0;
export const REASSEMBLY_TIME_EXCEEDED = 1;

/** What `check` returns. */
export const TOO_SHORT = -1;

const TYPE = 0;
const CODE = 1;
const IDENTIFIER = 4;
const SEQUENCE = 6;
const POINTER = 4;
const MTU = 6;

/** The header's bytes, or `TOO_SHORT`. */
export function check(_view: DataView, at: number, end: number): number {
  return end - at < HEADER_BYTES ? TOO_SHORT : HEADER_BYTES;
}

export function type(view: DataView, at: number): number {
  return view.getUint8(at + TYPE);
}

export function code(view: DataView, at: number): number {
  return view.getUint8(at + CODE);
}

export function checksum(view: DataView, at: number): number {
  return view.getUint16(at + CHECKSUM_OFFSET);
}

/** Whether this tells of trouble with an original datagram: such a message is never answered by another (RFC 1122, section 3.2.2). */
export function isError(view: DataView, at: number): boolean {
  switch (type(view, at)) {
    case DESTINATION_UNREACHABLE:
    case SOURCE_QUENCH:
    case REDIRECT:
    case TIME_EXCEEDED:
    case PARAMETER_PROBLEM:
      return true;
    default:
      return false;
  }
}

export function identifier(view: DataView, at: number): number {
  return view.getUint16(at + IDENTIFIER);
}

export function sequence(view: DataView, at: number): number {
  return view.getUint16(at + SEQUENCE);
}

/** The next hop's MTU, where the code is `FRAGMENTATION_NEEDED`; 0 from a router older than RFC 1191. */
export function mtu(view: DataView, at: number): number {
  return view.getUint16(at + MTU);
}

/** Which byte of the original datagram is wrong, where the type is `PARAMETER_PROBLEM`. */
export function pointer(view: DataView, at: number): number {
  return view.getUint8(at + POINTER);
}

/** Where the original datagram of an error starts: an IP header and at least 8 bytes, unless the sender was sloppy. Check it like any other. */
export function original(at: number): number {
  return at + HEADER_BYTES;
}

export function setType(view: DataView, at: number, value: number): void {
  view.setUint8(at + TYPE, value);
}

export function setCode(view: DataView, at: number, value: number): void {
  view.setUint8(at + CODE, value);
}

export function setChecksum(view: DataView, at: number, value: number): void {
  view.setUint16(at + CHECKSUM_OFFSET, value);
}

export function setIdentifier(view: DataView, at: number, value: number): void {
  view.setUint16(at + IDENTIFIER, value);
}

export function setSequence(view: DataView, at: number, value: number): void {
  view.setUint16(at + SEQUENCE, value);
}

/** Writes the header of an echo, its checksum 0, and returns its bytes. */
export function writeEcho(view: DataView, at: number, echoType: number, id: number, sequenceNumber: number): number {
  view.setInt32(at, echoType << 24);
  setIdentifier(view, at, id);
  setSequence(view, at, sequenceNumber);
  return HEADER_BYTES;
}

/** Writes the header of an error, its checksum 0, and returns its bytes. `nextHopMtu` goes with `FRAGMENTATION_NEEDED` and is 0 otherwise. */
export function writeError(
  view: DataView,
  at: number,
  errorType: number,
  errorCode: number,
  nextHopMtu: number,
): number {
  view.setInt32(at, (errorType << 24) | (errorCode << 16));
  view.setInt32(at + IDENTIFIER, nextHopMtu & 0xffff);
  return HEADER_BYTES;
}

/** Whether the checksum of the message `at` to `end` is right. */
export function verifyChecksum(view: DataView, at: number, end: number): boolean {
  return internet.sum(view, at, end - at, 0) === 0xffff;
}

export function writeChecksum(view: DataView, at: number, end: number): void {
  setChecksum(view, at, 0);
  setChecksum(view, at, internet.finish(internet.sum(view, at, end - at, 0)));
}
