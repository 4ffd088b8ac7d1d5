/**
 * ICMPv6 (RFC 4443). Neighbor discovery has a file of its own, `ndp.ts`.
 *
 * | at | bytes | echo            | destination unreachable | packet too big | time exceeded | parameter problem |
 * | -- | ----- | --------------- | ----------------------- | -------------- | ------------- | ----------------- |
 * | 0  | 1     | type 128, 129   | type 1                  | type 2         | type 3        | type 4            |
 * | 1  | 1     | code 0          | code                    | code 0         | code          | code              |
 * | 2  | 2     | checksum        | checksum                | checksum       | checksum      | checksum          |
 * | 4  | 2     | identifier      | 0                       | MTU (4 bytes)  | 0             | pointer (4 bytes) |
 * | 6  | 2     | sequence number | 0                       |                | 0             |                   |
 * | 8  |       | data            | the original packet     | the same       | the same      | the same          |
 *
 * No multi-part messages (RFC 4884): what they append is taken for a part of the original packet.
 * The checksum covers the pseudo-header, so its functions take the IPv6 header's start. Accessors are safe once `check` has returned a length.
 */
import * as internet from './checksum.ts';

export const PROTOCOL = 58;
export const HEADER_BYTES = 8;
/** Where the checksum lies in the header, for a virtio-net header. */
export const CHECKSUM_OFFSET = 2;
/** An error and what it quotes stay below the least MTU of IPv6 (section 2.4, c). */
export const ERROR_PACKET_BYTES_MAX = 1280;

export const DESTINATION_UNREACHABLE = 1;
export const PACKET_TOO_BIG = 2;
export const TIME_EXCEEDED = 3;
export const PARAMETER_PROBLEM = 4;
export const ECHO_REQUEST = 128;
export const ECHO_REPLY = 129;
/** Multicast listener discovery (RFC 2710, RFC 3810). */
export const LISTENER_QUERY = 130;
export const LISTENER_REPORT = 131;
export const LISTENER_DONE = 132;
export const LISTENER_REPORT_V2 = 143;

/** Codes of `DESTINATION_UNREACHABLE`. */
export const NO_ROUTE = 0;
export const COMMUNICATION_PROHIBITED = 1;
export const BEYOND_SCOPE = 2;
export const ADDRESS_UNREACHABLE = 3;
export const PORT_UNREACHABLE = 4;
export const SOURCE_POLICY_FAILED = 5;
export const ROUTE_REJECTED = 6;

/** Codes of `TIME_EXCEEDED`. */
export const HOP_LIMIT_EXCEEDED = 0;
export const REASSEMBLY_TIME_EXCEEDED = 1;

/** Codes of `PARAMETER_PROBLEM`. */
export const HEADER_FIELD_ERRONEOUS = 0;
export const NEXT_HEADER_UNKNOWN = 1;
export const OPTION_UNKNOWN = 2;

/** What `check` returns. */
export const TOO_SHORT = -1;

const TYPE = 0;
const CODE = 1;
const IDENTIFIER = 4;
const SEQUENCE = 6;
const MTU = 4;
const POINTER = 4;

/** Types below this one are errors (section 2.1). */
const INFORMATIONAL = 128;

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

/** Whether this tells of trouble with an original packet: such a message is never answered by another (section 2.4, e). */
export function isError(view: DataView, at: number): boolean {
  return type(view, at) < INFORMATIONAL;
}

export function identifier(view: DataView, at: number): number {
  return view.getUint16(at + IDENTIFIER);
}

export function sequence(view: DataView, at: number): number {
  return view.getUint16(at + SEQUENCE);
}

/** The next hop's MTU, where the type is `PACKET_TOO_BIG`: an unsigned 32-bit number. */
export function mtu(view: DataView, at: number): number {
  return view.getUint32(at + MTU);
}

/** Which byte of the original packet is wrong, where the type is `PARAMETER_PROBLEM`; may lie behind what was quoted. */
export function pointer(view: DataView, at: number): number {
  return view.getUint32(at + POINTER);
}

/** Where the original packet of an error starts: as much of it as fitted. Check it like any other. */
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

/** Writes the header of an error, its checksum 0, and returns its bytes. `word` is the MTU or the pointer, where the type has one, and 0 otherwise. */
export function writeError(view: DataView, at: number, errorType: number, errorCode: number, word: number): number {
  view.setInt32(at, (errorType << 24) | (errorCode << 16));
  view.setUint32(at + MTU, word);
  return HEADER_BYTES;
}

/** Whether the checksum of the message `at` to `end`, in the IPv6 packet at `network`, is right. */
export function verifyChecksum(view: DataView, network: number, at: number, end: number): boolean {
  return internet.verifyTransport(view, network, at, end, PROTOCOL);
}

export function writeChecksum(view: DataView, network: number, at: number, end: number): void {
  internet.writeTransport(view, network, at, end, PROTOCOL, at + CHECKSUM_OFFSET);
}
