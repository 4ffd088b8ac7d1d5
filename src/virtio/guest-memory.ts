/**
 * The memory of a virtual machine, as its front end tells of it (QEMU's vhost-user document, "Memory region description"): regions, each with the addresses that the
 * guest knows it by, those that the front end knows it by, and a descriptor to map it from.
 *
 * Descriptors of a queue hold guest addresses; where the queue's own parts lie is told in user addresses. Both become (memory, place): the id of a registered memory and a place
 * in it, which is what native calls take, or a view and a place. One of 2^53 and more is in no region.
 *
 * A lookup leaves its answer in fields, and allocates nothing. What lies in a region that was taken away is not found any more; views that are held of it still are safe to touch,
 * and nobody else's memory.
 */
import { assert } from '../base/assert.ts';
import { GUEST_MEMORY_BYTES_MAX, MEMORY_REGIONS_MAX } from '../base/limits.ts';
import { failure, type Result, success } from '../base/result.ts';

/** A region, as it is announced. */
export interface MemoryRegion {
  readonly guestAddress: number;
  readonly userAddress: number;
  readonly bytes: number;
  /** Where in the descriptor's file it begins. */
  readonly offset: number;
}

export interface MemoryWindow {
  readonly memory: number;
  /** Where it begins in the region. Windows may lie over each other. */
  readonly at: number;
  readonly view: DataView<ArrayBuffer>;
}

/** What a region was mapped to. */
export interface MappedMemory {
  readonly windows: readonly MemoryWindow[];
  isLost(): boolean;
  unmap(): void;
}

/** Maps a part of a file; or -errno. The descriptor stays the caller's. */
export type MapMemory = (fd: number, offset: number, bytes: number) => MappedMemory | number;

interface Mapped {
  readonly region: MemoryRegion;
  readonly mapped: MappedMemory;
}

/** One window of a region, flat, for lookups. */
interface Slot {
  readonly guestStart: number;
  readonly userStart: number;
  readonly bytes: number;
  readonly memory: number;
  readonly view: DataView<ArrayBuffer>;
}

const WORD = 0x1_0000_0000;
const ADDRESS_MAX = Number.MAX_SAFE_INTEGER;
/** What is aligned in a view is aligned in memory then. Real front ends give whole pages. */
const OFFSET_ALIGNMENT = 16;

export class GuestMemory {
  /** Where the last lookup that succeeded ended: a memory, a place in it, and its view. */
  memory: number = -1;
  at: number = 0;
  view: DataView<ArrayBuffer> = new DataView(new ArrayBuffer(0));
  readonly #map: MapMemory;
  #regions: Mapped[] = [];
  #slots: readonly Slot[] = [];
  /** The slot that the last guest address was in: most often the next one is there too. */
  #last: number = 0;

  constructor(map: MapMemory) {
    this.#map = map;
  }

  get regionCount(): number {
    return this.#regions.length;
  }

  /** Exchanges all regions for others, one descriptor for each. What was there before stays when one of them fails. */
  replace(regions: readonly MemoryRegion[], fds: readonly number[]): Result<void> {
    assert(regions.length === fds.length, 'each region has a descriptor');
    if (regions.length > MEMORY_REGIONS_MAX) return tooMany(regions.length);
    const fresh: Mapped[] = [];
    for (const [i, region] of regions.entries()) {
      const mapped = this.#mapRegion(region, fds[i]!, fresh);
      if (!mapped.ok) {
        for (const each of fresh) each.mapped.unmap();
        return mapped;
      }
      fresh.push(mapped.value);
    }
    const gone = this.#regions;
    this.#set(fresh);
    for (const each of gone) each.mapped.unmap();
    return success(undefined);
  }

  /** Adds a region. One that is there already is mapped anew: QEMU 7.2 announces each once for each pair of queues. */
  add(region: MemoryRegion, fd: number): Result<void> {
    const same = this.#find(region);
    const others = this.#regions.filter((each) => each !== same);
    if (others.length === MEMORY_REGIONS_MAX) return tooMany(MEMORY_REGIONS_MAX + 1);
    const mapped = this.#mapRegion(region, fd, others);
    if (!mapped.ok) return mapped;
    this.#set([...others, mapped.value]);
    same?.mapped.unmap();
    return success(undefined);
  }

  /** Takes the region away that has just these addresses and this size. One that is not there is gone already, for the same reason. */
  remove(region: MemoryRegion): void {
    const found = this.#find(region);
    this.#set(this.#regions.filter((each) => each !== found));
    found?.mapped.unmap();
  }

  /**
   * Looks a guest address up, whose two words are int32. Returns how many of the `length` bytes from there on lie behind one another; 0: it is in no region.
   */
  findGuest(high: number, low: number, length: number): number {
    const slots = this.#slots;
    const last = this.#last;
    if (last < slots.length) {
      const from = offsetIn(slots[last], high, low);
      if (from >= 0 && length <= slots[last].bytes - from) return this.#found(slots[last], from, length);
    }
    let most = 0;
    for (let i = 0; i < slots.length; i++) {
      const from = offsetIn(slots[i], high, low);
      if (from < 0) continue;
      const there = Math.min(length, slots[i].bytes - from);
      if (there <= most) continue;
      this.#last = i;
      most = this.#found(slots[i], from, there);
    }
    return most;
  }

  /** Looks a user address up. Returns whether all of `length` bytes from there on lie behind one another. */
  findUser(address: number, length: number): boolean {
    for (const slot of this.#slots) {
      const from = address - slot.userStart;
      if (!(from >= 0 && from + length <= slot.bytes && from < slot.bytes)) continue;
      this.#found(slot, from, length);
      return true;
    }
    return false;
  }

  /** The guest address of a place in a registered memory; -1: it is in no region. */
  guestAddressOf(memory: number, at: number): number {
    const slots = this.#slots;
    for (let i = 0; i < slots.length; i++) if (slots[i].memory === memory) return slots[i].guestStart + at;
    return -1;
  }

  /** Whether some of it turned out to be gone. */
  isLost(): boolean {
    return this.#regions.some(({ mapped }) => mapped.isLost());
  }

  close(): void {
    const gone = this.#regions;
    this.#set([]);
    for (const each of gone) each.mapped.unmap();
  }

  #find({ guestAddress, userAddress, bytes }: MemoryRegion): Mapped | undefined {
    return this.#regions.find(
      ({ region }) =>
        region.guestAddress === guestAddress && region.userAddress === userAddress && region.bytes === bytes,
    );
  }

  #found(slot: Slot, from: number, length: number): number {
    this.memory = slot.memory;
    this.at = from;
    this.view = slot.view;
    return length;
  }

  #mapRegion(region: MemoryRegion, fd: number, others: readonly Mapped[]): Result<Mapped> {
    const { guestAddress, userAddress, bytes, offset } = region;
    const ends = [guestAddress + bytes, userAddress + bytes, offset + bytes];
    if (bytes === 0 || offset % OFFSET_ALIGNMENT !== 0 || !ends.every((end) => end <= ADDRESS_MAX)) {
      return failure(
        'guest-memory-range',
        `no region can have ${bytes} bytes at guest address ${hex(guestAddress)}, user address ${hex(userAddress)}, offset ${hex(offset)}`,
      );
    }
    const sum = others.reduce((total, each) => total + each.region.bytes, bytes);
    if (sum > GUEST_MEMORY_BYTES_MAX) {
      return failure(
        'guest-memory-size',
        `${sum} bytes of guest memory are too many: ${GUEST_MEMORY_BYTES_MAX} are the most`,
      );
    }
    const other = others.find(
      (each) => overlaps(each.region, region, 'guestAddress') || overlaps(each.region, region, 'userAddress'),
    );
    if (other !== undefined) {
      return failure(
        'guest-memory-overlap',
        `the region at guest address ${hex(guestAddress)} overlaps the one at ${hex(other.region.guestAddress)}`,
      );
    }
    const mapped = this.#map(fd, offset, bytes);
    if (typeof mapped !== 'number') return success({ region, mapped });
    return failure(
      'guest-memory-failed',
      `${bytes} bytes of guest memory at ${hex(offset)} of their file can not be mapped: errno ${-mapped}`,
    );
  }

  #set(regions: Mapped[]): void {
    this.#regions = regions;
    this.#slots = regions.flatMap(({ region, mapped }) =>
      mapped.windows.map(({ memory, at, view }) => ({
        guestStart: region.guestAddress + at,
        userStart: region.userAddress + at,
        bytes: view.byteLength,
        memory,
        view,
      })),
    );
    this.#last = 0;
  }
}

/** Where in a window a guest address is; -1: elsewhere. In words all the way: a number of more than 32 bits would be allocated when it is handed on. */
function offsetIn({ guestStart, bytes }: Slot, high: number, low: number): number {
  const from = high * WORD + (low >>> 0) - guestStart;
  return high >= 0 && from >= 0 && from < bytes ? from | 0 : -1;
}

function overlaps(a: MemoryRegion, b: MemoryRegion, field: 'guestAddress' | 'userAddress'): boolean {
  return a[field] < b[field] + b.bytes && b[field] < a[field] + a.bytes;
}

function hex(address: number): string {
  return `0x${address.toString(16)}`;
}

function tooMany(count: number): Result<never> {
  return failure('guest-memory-regions', `${count} memory regions are too many: ${MEMORY_REGIONS_MAX} are the most`);
}
