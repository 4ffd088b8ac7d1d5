/**
 * Reads pcapng files (draft-ietf-opsawg-pcapng): what `pcapng.ts` writes, and what other programs write in the same blocks, in both byte orders.
 *
 * Blocks and options of other types are skipped. A file is untrusted: every length is checked, and a block that runs over the end of the file ends the
 * reading, as it does while the file is still being written.
 */
import { IpAddress, ipv4Address } from '../base/address.ts';
import { failure, type Result, success } from '../base/result.ts';
import * as format from './pcapng.ts';

export interface PcapngPacket {
  readonly interfaceIndex: number;
  /** Since 1970, in units of the interface's resolution. */
  readonly time: bigint;
  readonly direction: number;
  readonly comments: readonly string[];
  /** The frame, a part of the file's bytes. */
  readonly frame: Uint8Array;
  /** Bytes that the frame had on the wire. */
  readonly originalBytes: number;
}

export interface PcapngInterface {
  readonly name: string;
  readonly linkType: number;
  /** Decimal digits of a second: 9 for nanoseconds; -n for units of 2^-n s. */
  readonly resolution: number;
  readonly comments: readonly string[];
}

export interface PcapngFile {
  readonly hardware: string;
  readonly os: string;
  readonly application: string;
  readonly comments: readonly string[];
  readonly interfaces: readonly PcapngInterface[];
  readonly packets: readonly PcapngPacket[];
  readonly names: readonly format.ResolvedName[];
  /** The file ends in the middle of a block. */
  readonly truncated: boolean;
}

/** What has been read so far, and how. */
interface Reading {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  little: boolean;
  /** How many interfaces the sections before this one had: each section counts its own from 0. */
  interfacesBefore: number;
  hardware: string;
  os: string;
  application: string;
  readonly comments: string[];
  readonly interfaces: PcapngInterface[];
  readonly packets: PcapngPacket[];
  readonly names: format.ResolvedName[];
}

const BLOCK_BYTES_MIN = 12;
const SECTION_BYTES_MIN = 28;
const INTERFACE_BODY_BYTES = 8;
const PACKET_BODY_BYTES = 20;

/** Units of time where no option says otherwise. */
const MICROSECONDS = 6;

export function readPcapng(bytes: Uint8Array): Result<PcapngFile> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < SECTION_BYTES_MIN || view.getUint32(0, true) !== format.BLOCK_SECTION) {
    return failure('pcapng-section', 'not a pcapng file: it does not start with a section header');
  }
  const reading: Reading = {
    bytes,
    view,
    little: true,
    interfacesBefore: 0,
    hardware: '',
    os: '',
    application: '',
    comments: [],
    interfaces: [],
    packets: [],
    names: [],
  };
  const end = readBlocks(reading);
  if (end === 0) return failure('pcapng-section', 'not a pcapng file: its section header is malformed');
  const { hardware, os, application, comments, interfaces, packets, names } = reading;
  const truncated = end < bytes.length;
  return success({ hardware, os, application, comments, interfaces, packets, names, truncated });
}

/** Reads blocks as long as they are whole, and returns where the last one of these ends. */
function readBlocks(reading: Reading): number {
  const { bytes, view } = reading;
  let position = 0;
  while (bytes.length - position >= BLOCK_BYTES_MIN) {
    // The type of a section header reads the same in both byte orders; all other blocks are in the section's.
    const isSection = view.getUint32(position, true) === format.BLOCK_SECTION;
    if (isSection) reading.little = view.getUint32(position + 8, true) === format.BYTE_ORDER_MAGIC;
    const length = view.getUint32(position + 4, reading.little);
    if (length < BLOCK_BYTES_MIN || length % 4 !== 0 || length > bytes.length - position) break;
    if (!readBlock(reading, view.getUint32(position, reading.little), position + 8, position + length - 4)) break;
    position += length;
  }
  return position;
}

/** Reads the block whose body and options lie from `at` to `end`; false when it is malformed. */
function readBlock(reading: Reading, type: number, at: number, end: number): boolean {
  switch (type) {
    case format.BLOCK_SECTION:
      return readSection(reading, at, end);
    case format.BLOCK_INTERFACE:
      return readInterface(reading, at, end);
    case format.BLOCK_PACKET:
      return readPacket(reading, at, end);
    case format.BLOCK_NAMES:
      return readNames(reading, at, end);
    default:
      return true;
  }
}

function readSection(reading: Reading, at: number, end: number): boolean {
  if (end - at < 16 || reading.view.getUint32(at, reading.little) !== format.BYTE_ORDER_MAGIC) return false;
  reading.interfacesBefore = reading.interfaces.length;
  return eachOption(reading, at + 16, end, (code, from, to) => {
    const text = decodeText(reading.bytes, from, to);
    if (code === format.OPTION_COMMENT) reading.comments.push(text);
    else if (code === format.OPTION_HARDWARE) reading.hardware = text;
    else if (code === format.OPTION_OS) reading.os = text;
    else if (code === format.OPTION_APPLICATION) reading.application = text;
  });
}

function readInterface(reading: Reading, at: number, end: number): boolean {
  if (end - at < INTERFACE_BODY_BYTES) return false;
  const comments: string[] = [];
  let name = '';
  let resolution = MICROSECONDS;
  const whole = eachOption(reading, at + INTERFACE_BODY_BYTES, end, (code, from, to) => {
    if (code === format.OPTION_COMMENT) comments.push(decodeText(reading.bytes, from, to));
    else if (code === format.OPTION_NAME) name = decodeText(reading.bytes, from, to);
    else if (code === format.OPTION_TIME_RESOLUTION && to > from) {
      const value = reading.bytes[from];
      resolution = value < 0x80 ? value : -(value & 0x7f);
    }
  });
  reading.interfaces.push({ name, linkType: reading.view.getUint16(at, reading.little), resolution, comments });
  return whole;
}

function readPacket(reading: Reading, at: number, end: number): boolean {
  const { view, little, bytes } = reading;
  if (end - at < PACKET_BODY_BYTES) return false;
  const captured = view.getUint32(at + 12, little);
  const start = at + PACKET_BODY_BYTES;
  if (captured > end - start) return false;
  const comments: string[] = [];
  let direction: number = format.DIRECTION_UNKNOWN;
  const whole = eachOption(reading, start + padded(captured), end, (code, from, to) => {
    if (code === format.OPTION_COMMENT) comments.push(decodeText(bytes, from, to));
    else if (code === format.OPTION_FLAGS && to - from === 4) direction = view.getUint32(from, little) & 3;
  });
  reading.packets.push({
    interfaceIndex: reading.interfacesBefore + view.getUint32(at, little),
    time: (BigInt(view.getUint32(at + 4, little)) << 32n) | BigInt(view.getUint32(at + 8, little)),
    direction,
    comments,
    frame: bytes.subarray(start, start + captured),
    originalBytes: view.getUint32(at + 16, little),
  });
  return whole;
}

function readNames(reading: Reading, at: number, end: number): boolean {
  const { view, little, bytes } = reading;
  let position = at;
  while (end - position >= 4) {
    const type = view.getUint16(position, little);
    const length = view.getUint16(position + 2, little);
    const start = position + 4;
    if (length > end - start) return false;
    position = start + padded(length);
    if (type === format.RECORD_END) break;
    const addressBytes = type === format.RECORD_IPV4 ? 4 : 16;
    if (type > format.RECORD_IPV6 || length < addressBytes) continue;
    const names = decodeText(bytes, start + addressBytes, start + length).split('\0');
    reading.names.push({ address: readAddress(view, start, addressBytes), names: names.filter((name) => name !== '') });
  }
  return eachOption(reading, position, end, (code, from, to) => {
    if (code === format.OPTION_COMMENT) reading.comments.push(decodeText(bytes, from, to));
  });
}

function readAddress(view: DataView, at: number, addressBytes: number): IpAddress {
  if (addressBytes === 4) return ipv4Address(view.getInt32(at));
  return new IpAddress(view.getInt32(at), view.getInt32(at + 4), view.getInt32(at + 8), view.getInt32(at + 12));
}

/** Calls `take` with the code of each option and where its value lies; false when one runs over the end. */
function eachOption(
  { view, little }: Reading,
  at: number,
  end: number,
  take: (code: number, from: number, to: number) => void,
): boolean {
  let position = at;
  while (end - position >= 4) {
    const code = view.getUint16(position, little);
    const length = view.getUint16(position + 2, little);
    if (code === format.OPTION_END) return true;
    const start = position + 4;
    if (length > end - start) return false;
    take(code, start, start + length);
    position = start + padded(length);
  }
  return true;
}

function padded(bytes: number): number {
  return bytes + (-bytes & 3);
}

/** UTF-8 as text. Malformed bytes become U+FFFD, one for each. */
function decodeText(bytes: Uint8Array, from: number, to: number): string {
  let text = '';
  let position = from;
  while (position < to) {
    const count = sequenceBytes(bytes[position]);
    const point = count > to - position ? -1 : decodePoint(bytes, position, count);
    text += point < 0 ? '\ufffd' : String.fromCodePoint(point);
    position += point < 0 ? 1 : count;
  }
  return text;
}

/** How many bytes a character takes whose first byte this is; 1 also for a byte that starts none. */
function sequenceBytes(first: number): number {
  if (first < 0xc0) return 1;
  if (first < 0xe0) return 2;
  return first < 0xf0 ? 3 : 4;
}

/** The least code point that needs so many bytes. */
const POINT_MIN: readonly number[] = [0, 0, 0x80, 0x800, 0x1_0000];

/** The character's code point, -1: malformed, longer than need be, or half a surrogate pair. */
function decodePoint(bytes: Uint8Array, position: number, count: number): number {
  const first = bytes[position];
  if (count === 1) return first < 0x80 ? first : -1;
  let point = first & (0x7f >>> count);
  for (let i = 1; i < count; i++) {
    const next = bytes[position + i];
    if ((next & 0xc0) !== 0x80) return -1;
    point = (point << 6) | (next & 0x3f);
  }
  const isSurrogate = point >= 0xd800 && point <= 0xdfff;
  return first > 0xf7 || point < POINT_MIN[count] || point > 0x10_ffff || isSurrogate ? -1 : point;
}
