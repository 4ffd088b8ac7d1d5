/**
 * What a virtqueue's chains are, said once more and slowly: from virtio 1.2, sections 2.7.5 and 5.1.6, over the memory as it must be. The device is held against it.
 */
import { CHAIN_DESCRIPTORS_MAX, FRAME_BYTES_MAX } from '#tapster/base/limits.js';
import type { VhostUserFeatures } from '#tapster/link/vhost-user.js';
import * as vnet from '#tapster/wire/vnet-header.js';
import type { Extent, VirtqueueMemory } from './virtqueue-memory.ts';

const NEXT = 1;
const WRITE = 2;
const INDIRECT = 4;
const DESCRIPTOR_BYTES = 16;
const FRAME_BYTES_MIN = 14;
const HEADER_BYTES = 12;

export interface Chain {
  readonly readable: Extent[];
  readonly writable: Extent[];
  /** How many it is made of, the one that leads to an indirect table included. */
  descriptors: number;
}

/** The chain that begins at `head` of a table of `size` descriptors at `table` of the file; undefined: it can't be. Indirect tables on the way are added to `tables`. */
export function readChain(
  memory: VirtqueueMemory,
  table: number,
  size: number,
  head: number,
  mayBeIndirect: boolean,
  tables: Extent[],
): Chain | undefined {
  const view = new DataView(memory.expected.buffer);
  const chain: Chain = { readable: [], writable: [], descriptors: 0 };
  let from = table;
  let entries = size;
  let isIndirect = false;
  let index = head;
  for (let count = 1; ; count++) {
    if (index >= entries || count > Math.min(entries, CHAIN_DESCRIPTORS_MAX)) return undefined;
    chain.descriptors++;
    const at = from + index * DESCRIPTOR_BYTES;
    const address = view.getBigUint64(at, true);
    const length = view.getUint32(at + 8, true);
    const flags = view.getUint16(at + 12, true);
    index = view.getUint16(at + 14, true);
    if ((flags & INDIRECT) !== 0) {
      const there = memory.find(Number(address), 'guestAddress');
      if (isIndirect || !mayBeIndirect || (flags & NEXT) !== 0 || there === undefined) return undefined;
      if (length === 0 || length % DESCRIPTOR_BYTES !== 0 || length > there.bytes) return undefined;
      tables.push({ at: there.at, bytes: length });
      from = there.at;
      entries = length / DESCRIPTOR_BYTES;
      isIndirect = true;
      index = 0;
      count = 0;
      continue;
    }
    if (!addBuffer(memory, chain, Number(address), length, (flags & WRITE) !== 0)) return undefined;
    if ((flags & NEXT) === 0) return chain;
  }
}

function addBuffer(memory: VirtqueueMemory, chain: Chain, address: number, length: number, writable: boolean): boolean {
  if (length > 0 && !writable && chain.writable.length > 0) return false;
  let left = length;
  while (left > 0) {
    const there = memory.find(address + length - left, 'guestAddress');
    if (there === undefined) return false;
    const bytes = Math.min(left, there.bytes);
    (writable ? chain.writable : chain.readable).push({ at: there.at, bytes });
    left -= bytes;
  }
  return true;
}

export function bytesOf(extents: readonly Extent[]): number {
  return extents.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** The frame that a chain from the guest carries, its header of 12 bytes in front; undefined: none that is allowed. */
export function frameIn(memory: VirtqueueMemory, chain: Chain, features: VhostUserFeatures): Uint8Array | undefined {
  const whole = Buffer.concat(chain.readable.map(({ at, bytes }) => memory.expected.subarray(at, at + bytes)));
  const length = whole.length - features.headerBytes;
  if (length < FRAME_BYTES_MIN || length > FRAME_BYTES_MAX) return undefined;
  const frame = new Uint8Array(HEADER_BYTES + length);
  // How many buffers it took is for the other direction; a guest's word on checksums that it has verified is not asked for.
  frame.set(whole.subarray(0, 10));
  frame[0]! &= vnet.FLAG_NEEDS_CSUM;
  frame.set(whole.subarray(features.headerBytes), HEADER_BYTES);
  return isAllowed(frame, features) ? frame : undefined;
}

function isAllowed(frame: Uint8Array, { guestOffload }: VhostUserFeatures): boolean {
  const view = new DataView(frame.buffer);
  const segments = vnet.gsoType(view, 0) & ~vnet.GSO_ECN;
  const offered =
    segments === vnet.GSO_NONE ||
    (segments === vnet.GSO_UDP_L4 ? guestOffload.udpSegmentation : guestOffload.tcpSegmentation);
  const isPartial = vnet.flags(view, 0) !== 0;
  return offered && (!isPartial || guestOffload.checksum) && vnet.check(view, 0, frame.length - HEADER_BYTES) > 0;
}

/** What a frame is in the guest's buffers: its header says how many of them. */
export function frameFor(frame: Uint8Array, chains: number, { headerBytes }: VhostUserFeatures): Uint8Array {
  const bytes = new Uint8Array(headerBytes + frame.length);
  if (headerBytes === HEADER_BYTES) new DataView(bytes.buffer).setUint16(10, chains, true);
  bytes.set(frame, headerBytes);
  return bytes;
}

export function overlap(a: readonly Extent[], b: readonly Extent[]): boolean {
  return a.some((one) => b.some((other) => one.at < other.at + other.bytes && other.at < one.at + one.bytes));
}
