/**
 * Classic pcap files (draft-ietf-opsawg-pcap): a file header, and for each packet a record header and its bytes.
 *
 * | at | bytes | file header                       | record header                     |
 * | -- | ----- | --------------------------------- | --------------------------------- |
 * | 0  | 4     | magic: byte order and time unit   | seconds since 1970                |
 * | 4  | 4     | version 2, 4 (2 bytes each)       | micro- or nanoseconds             |
 * | 8  | 4     | reserved                          | bytes captured                    |
 * | 12 | 4     | reserved                          | bytes that the packet had         |
 * | 16 | 4     | bytes of a packet at most         | the packet                        |
 * | 20 | 4     | link type                         |                                   |
 *
 * Ethernet only. Written little endian; both byte orders and both time units are read. A file is untrusted: a record that runs over the
 * end of the file ends the reading, as it does while the file is still being written.
 */
import { failure, type Result, success } from '../base/result.ts';
import type { PcapChunk } from './pcap-chunk.ts';

export const LINKTYPE_ETHERNET = 1;

/** What readers take as the largest packet. */
export const SNAPSHOT_BYTES = 262_144;

const MAGIC_MICROSECONDS = 0xa1b2c3d4;
const MAGIC_NANOSECONDS = 0xa1b23c4d;
const FILE_HEADER_BYTES = 24;
const RECORD_HEADER_BYTES = 16;
const VERSION_MAJOR = 2;
const VERSION_MINOR = 4;

export interface PcapRecord {
  readonly seconds: number;
  readonly nanoseconds: number;
  /** The frame, a part of the file's bytes. */
  readonly frame: Uint8Array;
  /** Bytes that the frame had on the wire. */
  readonly originalBytes: number;
}

export interface PcapFile {
  readonly records: readonly PcapRecord[];
  /** The file ends in the middle of a record. */
  readonly truncated: boolean;
}

/** Appends the file header; `unit`: what records have behind their seconds. */
export function writeFileHeader(
  chunk: PcapChunk,
  unit: 'microseconds' | 'nanoseconds',
  bytesPerPacketMax: number = SNAPSHOT_BYTES,
): void {
  chunk.uint32(unit === 'microseconds' ? MAGIC_MICROSECONDS : MAGIC_NANOSECONDS);
  chunk.uint16(VERSION_MAJOR);
  chunk.uint16(VERSION_MINOR);
  chunk.uint32(0);
  chunk.uint32(0);
  chunk.uint32(bytesPerPacketMax);
  chunk.uint32(LINKTYPE_ETHERNET);
}

/** Appends one frame, `capturedBytes` of it from `at` in `source`; `originalBytes` is what it had, `fraction` counts the file's unit. */
export function writeRecord(
  chunk: PcapChunk,
  seconds: number,
  fraction: number,
  source: Uint8Array,
  at: number,
  capturedBytes: number,
  originalBytes: number,
): void {
  chunk.uint32(seconds);
  chunk.uint32(fraction);
  chunk.uint32(capturedBytes);
  chunk.uint32(originalBytes);
  chunk.copy(source, at, capturedBytes);
}

export function readPcap(bytes: Uint8Array): Result<PcapFile> {
  if (bytes.length < FILE_HEADER_BYTES) return failure('pcap-too-short', `not a pcap file: only ${bytes.length} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const little = isMagic(view.getUint32(0, true));
  const magic = view.getUint32(0, little);
  if (!isMagic(magic)) {
    return failure('pcap-magic', `not a pcap file: it starts with 0x${magic.toString(16).padStart(8, '0')}`);
  }
  // The upper bits say whether and how long a frame check sequence is.
  const linkType = view.getUint32(20, little) & 0xffff;
  if (linkType !== LINKTYPE_ETHERNET) {
    return failure('pcap-link-type', `the link type is ${linkType}; only ${LINKTYPE_ETHERNET} (Ethernet) can be read`);
  }
  return success(readRecords(bytes, view, little, magic === MAGIC_MICROSECONDS ? 1000 : 1));
}

function isMagic(magic: number): boolean {
  return magic === MAGIC_MICROSECONDS || magic === MAGIC_NANOSECONDS;
}

function readRecords(bytes: Uint8Array, view: DataView, little: boolean, unitNanoseconds: number): PcapFile {
  const records: PcapRecord[] = [];
  let position = FILE_HEADER_BYTES;
  while (bytes.length - position >= RECORD_HEADER_BYTES) {
    const captured = view.getUint32(position + 8, little);
    const start = position + RECORD_HEADER_BYTES;
    if (captured > bytes.length - start) break;
    records.push({
      seconds: view.getUint32(position, little),
      nanoseconds: view.getUint32(position + 4, little) * unitNanoseconds,
      frame: bytes.subarray(start, start + captured),
      originalBytes: view.getUint32(position + 12, little),
    });
    position = start + captured;
  }
  return { records, truncated: position < bytes.length };
}
