/**
 * Writes pcapng files (draft-ietf-opsawg-pcapng), block by block into a chunk, so that a reader can follow the file while it grows.
 *
 * | at      | bytes | block                                              |
 * | ------- | ----- | -------------------------------------------------- |
 * | 0       | 4     | type                                               |
 * | 4       | 4     | n, bytes of the whole block                        |
 * | 8       |       | body, then options, each padded to 4 bytes         |
 * | n - 4   | 4     | n once more                                        |
 *
 * Blocks: section header first, then a description for each interface (numbered from 0 in their order), then packets and names in any order.
 * Little endian; times in nanoseconds; Ethernet. A comment may stand on each block. Text longer than its length field can say is cut.
 * Not written: statistics, secrets, simple packets, custom blocks (they need a number from IANA). Reading is in `pcapng-read.ts`.
 */
import { type IpAddress, isIpv4 } from '../base/address.ts';
import { LINKTYPE_ETHERNET, SNAPSHOT_BYTES } from './pcap.ts';
import type { PcapChunk } from './pcap-chunk.ts';

export const BLOCK_SECTION = 0x0a0d0d0a;
export const BLOCK_INTERFACE = 1;
export const BLOCK_NAMES = 4;
export const BLOCK_PACKET = 6;

export const BYTE_ORDER_MAGIC = 0x1a2b3c4d;

/** Options of all blocks. */
export const OPTION_END = 0;
export const OPTION_COMMENT = 1;
/** Options of the section header. */
export const OPTION_HARDWARE = 2;
export const OPTION_OS = 3;
export const OPTION_APPLICATION = 4;
/** Options of an interface description. */
export const OPTION_NAME = 2;
export const OPTION_DESCRIPTION = 3;
export const OPTION_TIME_RESOLUTION = 9;
/** Option of a packet. */
export const OPTION_FLAGS = 2;

/** Records of a block of names. */
export const RECORD_END = 0;
export const RECORD_IPV4 = 1;
export const RECORD_IPV6 = 2;

/** Which way a packet went, seen from the engine: two bits of its flags. */
export const DIRECTION_UNKNOWN = 0;
export const DIRECTION_INBOUND = 1;
export const DIRECTION_OUTBOUND = 2;

/** Times count units of 10^-9 s. */
const NANOSECONDS = 9;
/** The length of an option or a record has 16 bits. */
const VALUE_BYTES_MAX = 0xffff;

export interface Section {
  readonly hardware: string;
  readonly os: string;
  /** Program and version. */
  readonly application: string;
  readonly comment?: string;
}

export interface CaptureInterface {
  readonly name: string;
  readonly description?: string;
  readonly comment?: string;
  /** Left out: whole packets. */
  readonly bytesPerPacketMax?: number;
}

/** An address and what it is called, the best name last: Wireshark shows the last one that it reads. */
export interface ResolvedName {
  readonly address: IpAddress;
  readonly names: readonly string[];
}

export function writeSection(chunk: PcapChunk, section: Section): void {
  const start = openBlock(chunk, BLOCK_SECTION);
  chunk.uint32(BYTE_ORDER_MAGIC);
  chunk.uint16(1);
  chunk.uint16(0);
  // The section's length, 64 bits: not known.
  chunk.uint32(0xffff_ffff);
  chunk.uint32(0xffff_ffff);
  writeTextOption(chunk, OPTION_HARDWARE, section.hardware);
  writeTextOption(chunk, OPTION_OS, section.os);
  writeTextOption(chunk, OPTION_APPLICATION, section.application);
  writeTextOption(chunk, OPTION_COMMENT, section.comment);
  closeOptions(chunk);
  closeBlock(chunk, start);
}

export function writeInterface(chunk: PcapChunk, captureInterface: CaptureInterface): void {
  const start = openBlock(chunk, BLOCK_INTERFACE);
  chunk.uint16(LINKTYPE_ETHERNET);
  chunk.uint16(0);
  chunk.uint32(captureInterface.bytesPerPacketMax ?? SNAPSHOT_BYTES);
  writeTextOption(chunk, OPTION_NAME, captureInterface.name);
  writeTextOption(chunk, OPTION_DESCRIPTION, captureInterface.description);
  chunk.uint16(OPTION_TIME_RESOLUTION);
  chunk.uint16(1);
  chunk.uint32(NANOSECONDS);
  writeTextOption(chunk, OPTION_COMMENT, captureInterface.comment);
  closeOptions(chunk);
  closeBlock(chunk, start);
}

/**
 * Appends one frame: `capturedBytes` of it from `at` in `source`, where it had `originalBytes`. The time is since 1970; `interfaceIndex` counts the
 * interface descriptions before it.
 */
export function writePacket(
  chunk: PcapChunk,
  interfaceIndex: number,
  seconds: number,
  nanoseconds: number,
  direction: number,
  source: Uint8Array,
  at: number,
  capturedBytes: number,
  originalBytes: number,
  comment: string | undefined,
): void {
  const start = openBlock(chunk, BLOCK_PACKET);
  chunk.uint32(interfaceIndex);
  writeTime(chunk, seconds, nanoseconds);
  chunk.uint32(capturedBytes);
  chunk.uint32(originalBytes);
  chunk.copy(source, at, capturedBytes);
  chunk.pad();
  if (direction !== DIRECTION_UNKNOWN) {
    chunk.uint16(OPTION_FLAGS);
    chunk.uint16(4);
    chunk.uint32(direction);
  }
  writeTextOption(chunk, OPTION_COMMENT, comment);
  if (direction !== DIRECTION_UNKNOWN || comment !== undefined) closeOptions(chunk);
  closeBlock(chunk, start);
}

/** Appends what addresses are called; readers show these names from here on, and most of them in the whole file. */
export function writeNames(chunk: PcapChunk, names: readonly ResolvedName[], comment?: string): void {
  const start = openBlock(chunk, BLOCK_NAMES);
  for (const name of names) writeNameRecord(chunk, name);
  chunk.uint16(RECORD_END);
  chunk.uint16(0);
  if (comment !== undefined) {
    writeTextOption(chunk, OPTION_COMMENT, comment);
    closeOptions(chunk);
  }
  closeBlock(chunk, start);
}

/** Starts a block, its length still open, and returns where it starts. */
function openBlock(chunk: PcapChunk, type: number): number {
  const start = chunk.length;
  chunk.uint32(type);
  chunk.uint32(0);
  return start;
}

function closeBlock(chunk: PcapChunk, start: number): void {
  const bytes = chunk.length + 4 - start;
  chunk.uint32(bytes);
  chunk.view.setUint32(start + 4, bytes, true);
}

function closeOptions(chunk: PcapChunk): void {
  chunk.uint16(OPTION_END);
  chunk.uint16(0);
}

function writeTextOption(chunk: PcapChunk, code: number, text: string | undefined): void {
  if (text === undefined) return;
  chunk.uint16(code);
  const lengthAt = chunk.reserve(2);
  const bytes = chunk.text(text, VALUE_BYTES_MAX);
  chunk.view.setUint16(lengthAt, bytes, true);
  chunk.pad();
}

function writeNameRecord(chunk: PcapChunk, { address, names }: ResolvedName): void {
  if (names.length === 0) return;
  chunk.uint16(isIpv4(address) ? RECORD_IPV4 : RECORD_IPV6);
  const lengthAt = chunk.reserve(2);
  const start = chunk.length;
  const words = isIpv4(address) ? [address.w3] : [address.w0, address.w1, address.w2, address.w3];
  for (const word of words) chunk.int32BigEndian(word);
  for (const name of names) writeName(chunk, name, start + VALUE_BYTES_MAX);
  chunk.view.setUint16(lengthAt, chunk.length - start, true);
  chunk.pad();
}

/** A name and the zero at its end, which must not stand in the name itself; nothing, when it does not fit before `limit`. */
function writeName(chunk: PcapChunk, name: string, limit: number): void {
  const room = limit - chunk.length - 1;
  if (room <= 0) return;
  chunk.text(name.replaceAll('\0', ''), room);
  chunk.uint8(0);
}

/** Nanoseconds since 1970 as two 32-bit words, the upper first. They need 61 bits, so seconds are multiplied in two halves. */
function writeTime(chunk: PcapChunk, seconds: number, nanoseconds: number): void {
  const upper = Math.floor(seconds / 0x1_0000) * 1e9;
  const lower = (seconds % 0x1_0000) * 1e9 + nanoseconds + (upper % 0x1_0000) * 0x1_0000;
  chunk.uint32(Math.floor(upper / 0x1_0000) + Math.floor(lower / 0x1_0000_0000));
  chunk.uint32(lower % 0x1_0000_0000);
}
