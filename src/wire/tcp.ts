/**
 * TCP headers (RFC 9293, section 3.1) and the options that a stack without extras needs: maximum segment size, window scale and
 * timestamps (RFC 7323), selective acknowledgement (RFC 2018).
 *
 * | at | bytes | field                                                     |
 * | -- | ----- | --------------------------------------------------------- |
 * | 0  | 2     | source port                                               |
 * | 2  | 2     | destination port                                          |
 * | 4  | 4     | sequence number                                           |
 * | 8  | 4     | acknowledgment number                                     |
 * | 12 | 1     | data offset in words of 4 bytes (4 bits), reserved (4)    |
 * | 13 | 1     | flags                                                     |
 * | 14 | 2     | window                                                    |
 * | 16 | 2     | checksum                                                  |
 * | 18 | 2     | urgent pointer                                            |
 * | 20 | 0-40  | options                                                   |
 *
 * Sequence numbers are int32 (`base/sequence.ts`). Setters leave the checksum as it is. The checksum functions take the IP header's
 * start too, of either version, for the pseudo-header.
 * Accessors are safe once `check` has returned a length.
 */
import * as internet from './checksum.ts';

export const PROTOCOL = 6;
export const HEADER_BYTES = 20;
/** With all the options that there is room for. */
export const HEADER_BYTES_MAX = 60;
/** Where the checksum lies in the header, for a virtio-net header. */
export const CHECKSUM_OFFSET = 16;

export const FIN = 0x01;
export const SYN = 0x02;
export const RST = 0x04;
export const PSH = 0x08;
export const ACK = 0x10;
export const URG = 0x20;
export const ECE = 0x40;
export const CWR = 0x80;

/** What `check` and `readOptions` return. */
export const TOO_SHORT = -1;
export const DATA_OFFSET_INVALID = -2;
export const OPTIONS_INVALID = -3;

/** Words of what `readOptions` finds. -1 where an option is absent, but for the timestamps, which may have any value. */
export const OPTION_WORDS = 8;
export const OPTION_MSS = 0;
/** At most `WINDOW_SCALE_MAX`. */
export const OPTION_WINDOW_SCALE = 1;
/** 1 or 0. */
export const OPTION_SACK_PERMITTED = 2;
/** 1 or 0: whether the next two mean anything. */
export const OPTION_TIMESTAMPS = 3;
export const OPTION_TIMESTAMP_VALUE = 4;
export const OPTION_TIMESTAMP_ECHO = 5;
/** Where the first SACK block lies: pairs of sequence numbers, left edge and right edge. */
export const OPTION_SACK_AT = 6;
/** How many SACK blocks there are, 0 to 4. */
export const OPTION_SACK_BLOCKS = 7;

/** A larger one counts as this (RFC 7323, section 2.3). */
export const WINDOW_SCALE_MAX = 14;

/** What a peer that sends no MSS option means (RFC 9293, section 3.7.1). */
export const MSS_DEFAULT_IPV4 = 536;
export const MSS_DEFAULT_IPV6 = 1220;

const SOURCE_PORT = 0;
const DESTINATION_PORT = 2;
const SEQUENCE = 4;
const ACKNOWLEDGMENT = 8;
const DATA_OFFSET = 12;
const FLAGS = 13;
const WINDOW = 14;
const URGENT = 18;

const KIND_END = 0;
const KIND_NOP = 1;
const KIND_MSS = 2;
const KIND_WINDOW_SCALE = 3;
const KIND_SACK_PERMITTED = 4;
const KIND_SACK = 5;
const KIND_TIMESTAMPS = 8;

/** The header's bytes with its options, or a negative constant. */
export function check(view: DataView, at: number, end: number): number {
  if (end - at < HEADER_BYTES) return TOO_SHORT;
  const bytes = dataOffset(view, at);
  return bytes < HEADER_BYTES || bytes > end - at ? DATA_OFFSET_INVALID : bytes;
}

export function sourcePort(view: DataView, at: number): number {
  return view.getUint16(at + SOURCE_PORT);
}

export function destinationPort(view: DataView, at: number): number {
  return view.getUint16(at + DESTINATION_PORT);
}

export function sequence(view: DataView, at: number): number {
  return view.getInt32(at + SEQUENCE);
}

export function acknowledgment(view: DataView, at: number): number {
  return view.getInt32(at + ACKNOWLEDGMENT);
}

/** The header's bytes, options included. */
export function dataOffset(view: DataView, at: number): number {
  return (view.getUint8(at + DATA_OFFSET) >>> 4) * 4;
}

export function flags(view: DataView, at: number): number {
  return view.getUint8(at + FLAGS);
}

/** The window as it stands there, without its scale. */
export function window(view: DataView, at: number): number {
  return view.getUint16(at + WINDOW);
}

export function checksum(view: DataView, at: number): number {
  return view.getUint16(at + CHECKSUM_OFFSET);
}

export function urgent(view: DataView, at: number): number {
  return view.getUint16(at + URGENT);
}

/**
 * Reads the options of a header that `check` has passed into `out` (`OPTION_WORDS`). Returns how many bytes of options there are, or `OPTIONS_INVALID`
 * when one has an impossible length; those in front of it have been read. An option that is known but has the wrong size is skipped.
 */
export function readOptions(view: DataView, at: number, out: Int32Array): number {
  out.fill(0, 0, OPTION_WORDS);
  out[OPTION_MSS] = -1;
  out[OPTION_WINDOW_SCALE] = -1;
  out[OPTION_SACK_AT] = -1;
  const start = at + HEADER_BYTES;
  const end = at + dataOffset(view, at);
  let position = start;
  while (position < end) {
    const kind = view.getUint8(position);
    if (kind === KIND_END) break;
    if (kind === KIND_NOP) {
      position++;
      continue;
    }
    const bytes = end - position < 2 ? 0 : view.getUint8(position + 1);
    if (bytes < 2 || bytes > end - position) return OPTIONS_INVALID;
    readOption(view, position, kind, bytes, out);
    position += bytes;
  }
  return end - start;
}

export function setSourcePort(view: DataView, at: number, value: number): void {
  view.setUint16(at + SOURCE_PORT, value);
}

export function setDestinationPort(view: DataView, at: number, value: number): void {
  view.setUint16(at + DESTINATION_PORT, value);
}

export function setSequence(view: DataView, at: number, value: number): void {
  view.setInt32(at + SEQUENCE, value);
}

export function setAcknowledgment(view: DataView, at: number, value: number): void {
  view.setInt32(at + ACKNOWLEDGMENT, value);
}

/** The header's bytes, options included: a multiple of 4. */
export function setDataOffset(view: DataView, at: number, bytes: number): void {
  view.setUint8(at + DATA_OFFSET, (bytes >>> 2) << 4);
}

export function setFlags(view: DataView, at: number, value: number): void {
  view.setUint8(at + FLAGS, value);
}

export function setWindow(view: DataView, at: number, value: number): void {
  view.setUint16(at + WINDOW, value);
}

export function setChecksum(view: DataView, at: number, value: number): void {
  view.setUint16(at + CHECKSUM_OFFSET, value);
}

export function setUrgent(view: DataView, at: number, value: number): void {
  view.setUint16(at + URGENT, value);
}

/** Writes a header of `headerBytes`, without its options, its checksum and urgent pointer 0, and returns its bytes. */
export function writeHeader(
  view: DataView,
  at: number,
  fromPort: number,
  toPort: number,
  sequenceNumber: number,
  acknowledgmentNumber: number,
  headerBytes: number,
  controlFlags: number,
  windowField: number,
): number {
  setSourcePort(view, at, fromPort);
  setDestinationPort(view, at, toPort);
  setSequence(view, at, sequenceNumber);
  setAcknowledgment(view, at, acknowledgmentNumber);
  setDataOffset(view, at, headerBytes);
  setFlags(view, at, controlFlags);
  setWindow(view, at, windowField);
  view.setInt32(at + CHECKSUM_OFFSET, 0);
  return headerBytes;
}

/** Bytes that `writeSynOptions` takes. */
export function synOptionsBytes(windowScale: number): number {
  return windowScale < 0 ? 4 : 8;
}

/**
 * Writes the options of a SYN behind the 20 bytes of its header: the maximum segment size, and a NOP and the window scale unless that is negative.
 * Returns their bytes, a multiple of 4.
 */
export function writeSynOptions(view: DataView, at: number, mss: number, windowScale: number): number {
  const position = at + HEADER_BYTES;
  view.setInt32(position, (KIND_MSS << 24) | (4 << 16) | mss);
  if (windowScale >= 0) {
    view.setInt32(position + 4, (KIND_NOP << 24) | (KIND_WINDOW_SCALE << 16) | (3 << 8) | windowScale);
  }
  return synOptionsBytes(windowScale);
}

/** Whether the checksum of the segment `at` to `end`, in the IP packet at `network`, is right. */
export function verifyChecksum(view: DataView, network: number, at: number, end: number): boolean {
  return internet.verifyTransport(view, network, at, end, PROTOCOL);
}

export function writeChecksum(view: DataView, network: number, at: number, end: number): void {
  internet.writeTransport(view, network, at, end, PROTOCOL, at + CHECKSUM_OFFSET);
}

/** The pseudo-header's sum only: the receiver completes it (`vnet-header.ts`, `setChecksum`). */
export function writePartialChecksum(view: DataView, network: number, at: number, end: number): void {
  internet.writePartial(view, network, at, end, PROTOCOL, at + CHECKSUM_OFFSET);
}

function readOption(view: DataView, position: number, kind: number, bytes: number, out: Int32Array): void {
  if (kind === KIND_MSS && bytes === 4) {
    out[OPTION_MSS] = view.getUint16(position + 2);
  } else if (kind === KIND_WINDOW_SCALE && bytes === 3) {
    out[OPTION_WINDOW_SCALE] = Math.min(view.getUint8(position + 2), WINDOW_SCALE_MAX);
  } else if (kind === KIND_SACK_PERMITTED && bytes === 2) {
    out[OPTION_SACK_PERMITTED] = 1;
  } else if (kind === KIND_TIMESTAMPS && bytes === 10) {
    out[OPTION_TIMESTAMPS] = 1;
    out[OPTION_TIMESTAMP_VALUE] = view.getInt32(position + 2);
    out[OPTION_TIMESTAMP_ECHO] = view.getInt32(position + 6);
  } else if (kind === KIND_SACK && bytes >= 10 && (bytes - 2) % 8 === 0) {
    out[OPTION_SACK_AT] = position + 2;
    out[OPTION_SACK_BLOCKS] = (bytes - 2) / 8;
  }
}
