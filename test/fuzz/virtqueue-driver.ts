/** The driver of a guest's queues, which lays out chains as it should; what else it is told to write need not be right. */
import assert from 'node:assert/strict';
import { FRAME_PACKETS_MAX } from '#tapster/graph/node.js';
import { queueLayout } from '#tapster/virtio/driver-queue.js';
import { GUEST, USER, type VirtqueueMemory } from './virtqueue-memory.ts';
import { FROM_GUEST, TO_GUEST, type VirtqueueRig } from './virtqueue-rig.ts';
import type { Placement } from './virtqueue-ring.ts';

/** Of a chain: its descriptors in a table of its own, all of them or all but the first; in no order; what its header says; its last buffer the other way; not shown yet; a large segment of TCP. */
export const STYLE = {
  INDIRECT: 1,
  HALF: 2,
  DISORDERED: 4,
  CHECKSUM: 8,
  HEADER: 16,
  MIXED: 32,
  HIDDEN: 64,
  SEGMENT: 128,
} as const;
export const STYLES = 0x100;

const NEXT = 1;
const WRITE = 2;
const INDIRECT = 4;
const DESCRIPTOR_BYTES = 16;
const BUFFERS_MAX = 32;
const HEADER_BYTES = 12;
const FRAME_BYTES = 60;
const ROOM_BYTES = 1526;
const RING_BYTES = 0x800;
const REGIONS_FIRST = [0, 1] as const;
/** NEEDS_CSUM and TCPv4, 1460 bytes each. */
const SEGMENT_HEADER: readonly number[] = [1, 1, 54, 0, 180, 5, 34, 0, 16, 0];
/** Of its frame, by place: what makes it TCP in IPv4 in Ethernet, with headers of the shortest. */
const SEGMENT_BYTES: ReadonlyMap<number, number> = new Map([
  ...([
    [12, 8],
    [13, 0],
    [14, 0x45],
    [20, 0],
    [21, 0],
    [23, 6],
    [46, 0x50],
  ] as const),
]);
/** NEEDS_CSUM: from byte 14 on, to be put 16 bytes behind that. */
const CHECKSUM_HEADER: readonly number[] = [1, 0, 0, 0, 0, 0, 14, 0, 16, 0];

/** Buffers and indirect tables, by ring: round and round. That of the first lies in two regions. */
const AREAS = [
  { from: GUEST + 0x3800, bytes: 0x2800 },
  { from: GUEST + 0x1000, bytes: 0x2800 },
] as const;

/** Where a ring lies: as it should; at the end of a region; where no memory is; across an end; over itself, or the other; at odd places. */
export const PLACEMENTS: readonly ((index: number, size: number) => Placement)[] = [
  (index, size) => placed(USER + index * RING_BYTES, size),
  (index, size) => placed(USER + 0x10_2ff0 - (index + 1) * (queueLayout(size).bytes + 16), size),
  (index, size) => placed(USER + 0x8000 + index, size),
  (index, size) => ({ ...placed(USER + index * RING_BYTES, size), used: USER + 0x3ff4 }),
  () => ({ descriptors: USER, available: USER + 16, used: USER }),
  (_, size) => placed(USER, size),
  (index, size) => ({ ...placed(USER + index * RING_BYTES, size), available: USER + 0x1001 }),
  (index, size) => ({ ...placed(USER + index * RING_BYTES, size), used: Number.POSITIVE_INFINITY }),
];

function placed(at: number, size: number): Placement {
  const { descriptors, available, used } = queueLayout(size);
  return { descriptors: at + descriptors, available: at + available, used: at + used };
}

export interface Descriptor {
  readonly address: number;
  readonly length: number;
  readonly flags: number;
  readonly next: number;
}

export class VirtqueueDriver {
  readonly #rig: VirtqueueRig;
  readonly #memory: VirtqueueMemory;
  /** By ring: descriptors that were given out, and bytes of its area. */
  readonly #descriptors: [number, number] = [0, 0];
  readonly #bytes: [number, number] = [0, 0];

  constructor(rig: VirtqueueRig) {
    this.#rig = rig;
    this.#memory = rig.memory;
    for (const which of REGIONS_FIRST) rig.announce(which, true);
    for (const index of [TO_GUEST, FROM_GUEST]) this.start(index, 0, 0);
  }

  /** Starts a ring at one of the `PLACEMENTS`. With a `base` its indexes begin there, else they go on. */
  start(index: number, placement: number, base: number | undefined): void {
    const { size } = this.#rig;
    const where = PLACEMENTS[placement % PLACEMENTS.length]!(index, size);
    if (base !== undefined) {
      for (const part of [where.available, where.used]) this.#write(part, 'userAddress', u16(0, base));
    }
    this.#rig.start(index, where, base);
  }

  /** Lays out a chain of buffers of these lengths, and shows it. */
  offer(ring: number, style: number, seed: number, lengths: readonly number[]): void {
    const has = (bit: number): boolean => (style & bit) !== 0;
    const { size } = this.#rig;
    const most = has(STYLE.INDIRECT) ? BUFFERS_MAX : size;
    const content = contentOf(style, seed, this.#rig.headerBytes);
    const isToGuest = ring === TO_GUEST;
    let done = 0;
    const buffers = lengths.slice(0, most).map((length, i, { length: count }): Descriptor => {
      const isWritable = isToGuest !== (has(STYLE.MIXED) && i === count - 1);
      const address = this.#allocate(ring, length);
      if (!isWritable) this.#write(address, 'guestAddress', content(done, length));
      done += length;
      return { address, length, flags: isWritable ? WRITE : 0, next: 0 };
    });
    const direct = has(STYLE.INDIRECT) ? buffers.splice(0, has(STYLE.HALF) && size > 1 ? 1 : 0) : buffers.splice(0);
    if (buffers.length > 0) direct.push(this.#table(ring, linked(buffers, 0, buffers.length, has(STYLE.DISORDERED))));
    const first = this.#descriptors[ring]!;
    this.#descriptors[ring] = (first + direct.length) % size;
    for (const [index, each] of linked(direct, first, size, has(STYLE.DISORDERED))) this.describe(ring, index, each);
    if (!has(STYLE.HIDDEN)) this.#rig.show(ring, [first]);
  }

  /** Writes a descriptor: of a ring's table, or (2) of the area of the first, where indirect tables may be. */
  describe(where: number, index: number, descriptor: Descriptor): void {
    const table = where < 2 ? this.#rig.tableAt(where) : this.#memory.find(AREAS[0].from, 'guestAddress')?.at;
    if (table !== undefined) this.#rig.poke(table + index * DESCRIPTOR_BYTES, bytesOf(descriptor));
  }

  /** Whatever was done before: a guest that starts anew has its network. */
  beginAnew(): void {
    const rig = this.#rig;
    this.#memory.disarm();
    for (const which of [...this.#memory.present]) rig.announce(which, false);
    for (const which of REGIONS_FIRST) assert.ok(rig.announce(which, true), 'the memory is announced anew');
    for (const index of [TO_GUEST, FROM_GUEST]) rig.stop(index);
    for (const index of [TO_GUEST, FROM_GUEST]) this.start(index, 0, 0);
    this.offer(TO_GUEST, 0, 0, [ROOM_BYTES]);
    rig.transmit([new Uint8Array(FRAME_BYTES)]);
    this.offer(FROM_GUEST, 0, 0, [HEADER_BYTES + FRAME_BYTES]);
    assert.equal(rig.receive(FRAME_PACKETS_MAX), 1, 'a guest that starts anew is heard');
    rig.checkCertain();
  }

  /** A descriptor of an indirect table, which is written here. */
  #table(ring: number, entries: ReadonlyMap<number, Descriptor>): Descriptor {
    const length = entries.size * DESCRIPTOR_BYTES;
    const address = this.#allocate(ring, length);
    for (const [index, each] of entries) {
      this.#write(address + index * DESCRIPTOR_BYTES, 'guestAddress', bytesOf(each));
    }
    return { address, length, flags: INDIRECT, next: 0 };
  }

  #allocate(ring: number, bytes: number): number {
    const area = AREAS[ring]!;
    const at = this.#bytes[ring]! + bytes > area.bytes ? 0 : this.#bytes[ring]!;
    this.#bytes[ring] = at + bytes;
    return area.from + at;
  }

  /** Writes where an address leads, across regions. What lies in none is left out. */
  #write(address: number, of: 'guestAddress' | 'userAddress', bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) {
      const there = this.#memory.find(address + done, of);
      if (there === undefined) return;
      this.#rig.poke(there.at, bytes.subarray(done, done + there.bytes));
      done += there.bytes;
    }
  }
}

/** Descriptors that lead to one another, by their places in a table of `size`, the first at `first`. */
function linked(
  descriptors: readonly Descriptor[],
  first: number,
  size: number,
  isDisordered: boolean,
): ReadonlyMap<number, Descriptor> {
  const { length } = descriptors;
  const place = (i: number): number => (first + (isDisordered && i > 0 ? length - i : i)) % size;
  return new Map(
    descriptors.map((each, i) => {
      const isLast = i === length - 1;
      return [place(i), isLast ? each : { ...each, flags: each.flags | NEXT, next: place(i + 1) }];
    }),
  );
}

function bytesOf({ address, length, flags, next }: Descriptor): Uint8Array {
  const view = new DataView(new ArrayBuffer(DESCRIPTOR_BYTES));
  view.setBigUint64(0, BigInt(address), true);
  view.setUint32(8, length, true);
  view.setUint16(12, flags, true);
  view.setUint16(14, next, true);
  return new Uint8Array(view.buffer);
}

/** Bytes of a header and a frame, from one of them on. */
function contentOf(style: number, seed: number, headerBytes: number): (from: number, bytes: number) => Uint8Array {
  const has = (bit: number): boolean => (style & bit) !== 0;
  const wanted = has(STYLE.SEGMENT) ? SEGMENT_HEADER : has(STYLE.CHECKSUM) ? CHECKSUM_HEADER : [];
  const header = (i: number): number => (has(STYLE.HEADER) ? Math.imul(seed + 1, i * i + 77) >> 3 : (wanted[i] ?? 0));
  const body = (i: number): number => (has(STYLE.SEGMENT) ? SEGMENT_BYTES.get(i) : undefined) ?? i * 7 + seed;
  const at = (i: number): number => (i < headerBytes ? header(i) : body(i - headerBytes));
  return (from, bytes) => Uint8Array.from({ length: bytes }, (_, i) => at(from + i));
}

function u16(...values: readonly number[]): Uint8Array {
  return Uint8Array.from(values.flatMap((value) => [value, value >> 8]));
}
