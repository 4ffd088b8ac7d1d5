/**
 * Messages of the vhost-user protocol (QEMU's "Vhost-user Protocol" document), as the back end reads and answers them. All fields are in the machine's order, which is
 * little-endian wherever we run.
 *
 * | at | bytes | field                                                                     |
 * | -- | ----- | ------------------------------------------------------------------------- |
 * | 0  | 4     | request                                                                   |
 * | 4  | 4     | flags: version 1 in bits 0 and 1, 2: a reply, 3: the sender waits for one |
 * | 8  | 4     | bytes of the payload                                                      |
 * | 12 | n     | payload                                                                   |
 *
 * Payloads: a number of 64 bits; the state of a ring (index u32, number u32); the addresses of a ring (index u32, flags u32, then u64 each: descriptors, used, available, log);
 * a region of memory (u64 each: guest address, bytes, user address, offset), alone behind 8 unused bytes, or in a table behind its count u32 and 4 unused bytes; the log of written
 * pages (bytes u64, offset u64); a MAC address in the first 6 of 8 bytes.
 *
 * `checkMessage` says whether payload and descriptors are as many as the request needs; the readers count on it, and read nothing beyond. Not here: IOTLB, inflight,
 * configuration space, in-band notifications; none of them is offered.
 */
import { MacAddress } from '../base/address.ts';
import { MEMORY_REGIONS_MAX } from '../base/limits.ts';
import type { MemoryRegion } from './guest-memory.ts';

export const MESSAGE_HEADER_BYTES = 12;
/** Bytes of the largest payload that we read: a table of as many regions as one message carries. A longer one is a failure of the connection. */
export const MESSAGE_PAYLOAD_BYTES_MAX = 512;
/** Descriptors with one message. */
export const MESSAGE_DESCRIPTORS_MAX = 8;
/** Bytes of the longest reply. */
export const REPLY_BYTES_MAX: number = MESSAGE_HEADER_BYTES + 8;

export const REQUEST = {
  GET_FEATURES: 1,
  SET_FEATURES: 2,
  SET_OWNER: 3,
  RESET_OWNER: 4,
  SET_MEM_TABLE: 5,
  SET_LOG_BASE: 6,
  SET_LOG_FD: 7,
  SET_VRING_NUM: 8,
  SET_VRING_ADDR: 9,
  SET_VRING_BASE: 10,
  GET_VRING_BASE: 11,
  SET_VRING_KICK: 12,
  SET_VRING_CALL: 13,
  SET_VRING_ERR: 14,
  GET_PROTOCOL_FEATURES: 15,
  SET_PROTOCOL_FEATURES: 16,
  GET_QUEUE_NUM: 17,
  SET_VRING_ENABLE: 18,
  SEND_RARP: 19,
  NET_SET_MTU: 20,
  SET_BACKEND_REQ_FD: 21,
  RESET_DEVICE: 34,
  GET_MAX_MEM_SLOTS: 36,
  ADD_MEM_REG: 37,
  REM_MEM_REG: 38,
  SET_STATUS: 39,
  GET_STATUS: 40,
} as const;

export const PROTOCOL_FEATURE = {
  MQ: 0,
  LOG_SHMFD: 1,
  RARP: 2,
  REPLY_ACK: 3,
  MTU: 4,
  RESET_DEVICE: 13,
  MEM_SLOTS: 15,
  STATUS: 16,
} as const;

const VERSION = 1;
const VERSION_MASK = 3;
const FLAG_REPLY = 4;
const FLAG_NEED_REPLY = 8;

const U64_BYTES = 8;
const RING_STATE_BYTES = 8;
const RING_ADDRESSES_BYTES = 40;
const LOG_BYTES = 16;
const REGION_BYTES = 32;
const REGIONS_AT = 8;

/** Of the flags of a ring's addresses: what is written to its used ring is to be logged. */
const RING_FLAG_LOG = 1;

/** Of the number that says which ring a descriptor is for. */
const RING_INDEX_MASK = 0xffn;
const RING_WITHOUT_DESCRIPTOR = 0x100n;

export interface MessageHeader {
  readonly request: number;
  readonly needsReply: boolean;
  readonly payloadBytes: number;
}

export interface RingState {
  readonly index: number;
  readonly value: number;
}

export interface RingAddresses {
  readonly index: number;
  readonly descriptors: number;
  readonly used: number;
  readonly available: number;
  /** The guest address of the used ring, where what is written to it is to be logged; -1: it is not. */
  readonly log: number;
}

/** Where in its file the log of written pages lies. */
export interface LogPlace {
  readonly bytes: number;
  readonly offset: number;
}

interface Shape {
  readonly payload: readonly [least: number, most: number];
  readonly descriptors: readonly [least: number, most: number];
}

const SHAPES: ReadonlyMap<number, Shape> = new Map([
  shape(REQUEST.GET_FEATURES, 0),
  shape(REQUEST.SET_FEATURES, U64_BYTES),
  shape(REQUEST.SET_OWNER, 0),
  shape(REQUEST.RESET_OWNER, 0),
  [
    REQUEST.SET_MEM_TABLE,
    { payload: [REGIONS_AT, MESSAGE_PAYLOAD_BYTES_MAX], descriptors: [0, MESSAGE_DESCRIPTORS_MAX] },
  ],
  shape(REQUEST.SET_LOG_BASE, LOG_BYTES, 1),
  [REQUEST.SET_LOG_FD, { payload: [0, U64_BYTES], descriptors: [1, 1] }],
  shape(REQUEST.SET_VRING_NUM, RING_STATE_BYTES),
  shape(REQUEST.SET_VRING_ADDR, RING_ADDRESSES_BYTES),
  shape(REQUEST.SET_VRING_BASE, RING_STATE_BYTES),
  shape(REQUEST.GET_VRING_BASE, RING_STATE_BYTES),
  shape(REQUEST.SET_VRING_KICK, U64_BYTES, 0, 1),
  shape(REQUEST.SET_VRING_CALL, U64_BYTES, 0, 1),
  shape(REQUEST.SET_VRING_ERR, U64_BYTES, 0, 1),
  shape(REQUEST.GET_PROTOCOL_FEATURES, 0),
  shape(REQUEST.SET_PROTOCOL_FEATURES, U64_BYTES),
  shape(REQUEST.GET_QUEUE_NUM, 0),
  shape(REQUEST.SET_VRING_ENABLE, RING_STATE_BYTES),
  shape(REQUEST.SEND_RARP, U64_BYTES),
  shape(REQUEST.NET_SET_MTU, U64_BYTES),
  shape(REQUEST.RESET_DEVICE, 0),
  shape(REQUEST.GET_MAX_MEM_SLOTS, 0),
  shape(REQUEST.ADD_MEM_REG, REGIONS_AT + REGION_BYTES, 1, 1),
  // Some front ends send the region's descriptor along once more.
  shape(REQUEST.REM_MEM_REG, REGIONS_AT + REGION_BYTES, 0, 1),
  shape(REQUEST.SET_STATUS, U64_BYTES),
  shape(REQUEST.GET_STATUS, 0),
]);

/** Reads the header of a request, or says in words why it is none. */
export function readHeader(view: DataView): MessageHeader | string {
  const flags = view.getUint32(4, true);
  const payloadBytes = view.getUint32(8, true);
  if ((flags & VERSION_MASK) !== VERSION) return `a message of version ${flags & VERSION_MASK}, not ${VERSION}`;
  if ((flags & FLAG_REPLY) !== 0) return 'a reply to what was not asked';
  if (payloadBytes > MESSAGE_PAYLOAD_BYTES_MAX) return `a message of ${payloadBytes} bytes`;
  return { request: view.getUint32(0, true), needsReply: (flags & FLAG_NEED_REPLY) !== 0, payloadBytes };
}

/** Empty where a message has what its request needs; otherwise what is wrong with it, in words. */
export function checkMessage({ request, payloadBytes }: MessageHeader, payload: DataView, descriptors: number): string {
  const expected = SHAPES.get(request);
  if (expected === undefined) return `the request ${request}, which was not negotiated`;
  const [bytesMin, bytesMax] = expected.payload;
  if (payloadBytes < bytesMin || payloadBytes > bytesMax) return `the request ${request} with ${payloadBytes} bytes`;
  const [descriptorsMin, descriptorsMax] = expected.descriptors;
  if (descriptors < descriptorsMin || descriptors > descriptorsMax) {
    return `the request ${request} with ${descriptors} descriptors`;
  }
  if (request !== REQUEST.SET_MEM_TABLE) return '';
  const regions = payload.getUint32(0, true);
  if (regions > MESSAGE_DESCRIPTORS_MAX || regions !== descriptors) {
    return `a table of ${regions} regions with ${descriptors} descriptors`;
  }
  return payloadBytes < REGIONS_AT + regions * REGION_BYTES
    ? `a table of ${regions} regions in ${payloadBytes} bytes`
    : '';
}

export function readNumber(payload: DataView): bigint {
  return payload.getBigUint64(0, true);
}

export function readRingState(payload: DataView): RingState {
  return { index: payload.getUint32(0, true), value: payload.getUint32(4, true) };
}

export function readRingAddresses(payload: DataView): RingAddresses {
  return {
    index: payload.getUint32(0, true),
    descriptors: readAddress(payload, 8),
    used: readAddress(payload, 16),
    available: readAddress(payload, 24),
    log: (payload.getUint32(4, true) & RING_FLAG_LOG) === 0 ? -1 : readAddress(payload, 32),
  };
}

export function readLogPlace(payload: DataView): LogPlace {
  return { bytes: readAddress(payload, 0), offset: readAddress(payload, 8) };
}

export function readMacAddress(payload: DataView): MacAddress {
  return new MacAddress(payload.getUint16(0), payload.getInt32(2));
}

/** Which ring a descriptor is for, and whether it is said to be none. */
export function readRingDescriptor(payload: DataView): { readonly index: number; readonly isNone: boolean } {
  const number = readNumber(payload);
  return { index: Number(number & RING_INDEX_MASK), isNone: (number & RING_WITHOUT_DESCRIPTOR) !== 0n };
}

/** All of a table, in its order: each with its descriptor. */
export function readRegions(payload: DataView): MemoryRegion[] {
  const count = Math.min(payload.getUint32(0, true), MEMORY_REGIONS_MAX);
  return Array.from({ length: count }, (_, i) => readRegionAt(payload, REGIONS_AT + i * REGION_BYTES));
}

export function readRegion(payload: DataView): MemoryRegion {
  return readRegionAt(payload, REGIONS_AT);
}

/** Writes the reply to a request: a number. Returns its bytes. */
export function writeNumberReply(view: DataView, request: number, value: bigint): number {
  writeReplyHeader(view, request, U64_BYTES);
  view.setBigUint64(MESSAGE_HEADER_BYTES, value, true);
  return MESSAGE_HEADER_BYTES + U64_BYTES;
}

export function writeRingStateReply(view: DataView, request: number, { index, value }: RingState): number {
  writeReplyHeader(view, request, RING_STATE_BYTES);
  view.setUint32(MESSAGE_HEADER_BYTES, index, true);
  view.setUint32(MESSAGE_HEADER_BYTES + 4, value, true);
  return MESSAGE_HEADER_BYTES + RING_STATE_BYTES;
}

function writeReplyHeader(view: DataView, request: number, payloadBytes: number): void {
  view.setUint32(0, request, true);
  view.setUint32(4, VERSION | FLAG_REPLY, true);
  view.setUint32(8, payloadBytes, true);
}

function readRegionAt(payload: DataView, at: number): MemoryRegion {
  return {
    guestAddress: readAddress(payload, at),
    bytes: readAddress(payload, at + 8),
    userAddress: readAddress(payload, at + 16),
    offset: readAddress(payload, at + 24),
  };
}

/** One that a number does not hold exactly becomes one that is in no region. */
function readAddress(payload: DataView, at: number): number {
  const address = payload.getBigUint64(at, true);
  return address > BigInt(Number.MAX_SAFE_INTEGER) ? Number.POSITIVE_INFINITY : Number(address);
}

function shape(request: number, bytes: number, least: number = 0, most: number = least): [number, Shape] {
  return [request, { payload: [bytes, bytes], descriptors: [least, most] }];
}
