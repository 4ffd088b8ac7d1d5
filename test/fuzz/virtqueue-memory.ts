/**
 * The memory of a guest that lies: a file of bytes, of which regions are announced and taken away, and canaries between them. `expected` is what must be there: whoever writes
 * tells it, so that `differs` finds the byte that nobody should have touched.
 *
 * An ambush is a write of the driver's in the middle of what the device does: at a lookup of an address, or right before bytes are copied.
 */
import { GuestMemory, type MemoryRegion } from '#tapster/virtio/guest-memory.js';

const FILE_BYTES = 0x1_2000;
export const GUEST = 0x1_0000_0000;
export const USER = 0x7f00_0000_0000;
const ADDRESS_MAX = Number.MAX_SAFE_INTEGER;

/** The first two lie behind one another for the guest, nowhere else. */
export const REGIONS: readonly MemoryRegion[] = [
  { guestAddress: GUEST, userAddress: USER, bytes: 0x4000, offset: 0x1010 },
  { guestAddress: GUEST + 0x4000, userAddress: USER + 0x10_0000, bytes: 0x2ff1, offset: 0x7020 },
  { guestAddress: 0x1000, userAddress: 0x1000, bytes: 0x1801, offset: 0xc400 },
  { guestAddress: ADDRESS_MAX - 0xfff, userAddress: ADDRESS_MAX - 0xfff, bytes: 0xfff, offset: 0x1_0000 },
  // None of these can be.
  { guestAddress: GUEST + 0x3fff, userAddress: USER + 0x20_0000, bytes: 0x1000, offset: 0xe000 },
  { guestAddress: 0x9000, userAddress: 0x9000, bytes: 0x1000, offset: 0xe008 },
  { guestAddress: 0x9000, userAddress: 0x9000, bytes: FILE_BYTES, offset: 0x10 },
  { guestAddress: ADDRESS_MAX - 0xf, userAddress: 0x9000, bytes: 0x1000, offset: 0xe000 },
];
const REGIONS_RIGHT = 4;

export interface Registrar {
  register(memory: Uint8Array): number;
  unregister(memory: number): void;
}

/** Bytes of the file that lie behind one another. */
export interface Extent {
  readonly at: number;
  readonly bytes: number;
}

export class VirtqueueMemory {
  readonly guest: GuestMemory;
  readonly expected: Uint8Array = new Uint8Array(FILE_BYTES);
  readonly present: Set<number> = new Set();
  /** An ambush was fallen into. */
  isAmbushed: boolean = false;
  readonly #bytes: Uint8Array<ArrayBuffer> = new Uint8Array(FILE_BYTES);
  readonly #registered: Set<number> = new Set();
  readonly #registrar: Registrar;
  #ambush: { lookups: number; copies: number; readonly at: number; readonly bytes: Uint8Array } | undefined;

  constructor(registrar: Registrar) {
    this.#registrar = registrar;
    for (let at = 0; at < FILE_BYTES; at++) this.#bytes[at] = (at * 37 + (at >> 8)) | 0x80;
    for (const { offset, bytes } of REGIONS.slice(0, REGIONS_RIGHT)) this.#bytes.fill(0, offset, offset + bytes);
    this.expected.set(this.#bytes);
    this.guest = new AmbushedMemory(
      (_fd, offset, bytes) => {
        if (offset + bytes > FILE_BYTES) return -34;
        const window = this.#bytes.subarray(offset, offset + bytes);
        const memory = registrar.register(window);
        this.#registered.add(memory);
        const view = new DataView(window.buffer, offset, bytes);
        const unmap = (): void => this.#unregister(memory);
        return { windows: [{ memory, at: 0, view }], isLost: () => false, unmap };
      },
      () => this.#step('lookups'),
    );
  }

  /** Announces a region. Returns whether it was taken. */
  add(which: number): boolean {
    const added = this.guest.add(REGIONS[which]!, 0).ok;
    if (added) this.present.add(which);
    return added;
  }

  /** Takes a region away. Returns whether it was there. */
  remove(which: number): boolean {
    this.guest.remove(REGIONS[which]!);
    return this.present.delete(which);
  }

  /** Where a guest's or a user's address lies in the file, and how much of its region is there from it on. */
  find(address: number, of: 'guestAddress' | 'userAddress'): Extent | undefined {
    for (const which of this.present) {
      const region = REGIONS[which]!;
      const from = address - region[of];
      if (from >= 0 && from < region.bytes) return { at: region.offset + from, bytes: region.bytes - from };
    }
    return undefined;
  }

  /** The guest address of what a user address is, whether its region is there or not. */
  guestAddressOf(userAddress: number): number | undefined {
    const region = REGIONS.find(
      (each) => userAddress >= each.userAddress && userAddress < each.userAddress + each.bytes,
    );
    return region && region.guestAddress + (userAddress - region.userAddress);
  }

  /** The driver writes; what lies behind the end of the file is left out. */
  write(at: number, bytes: Uint8Array): void {
    const fitting = bytes.subarray(0, FILE_BYTES - at);
    this.#bytes.set(fitting, at);
    this.expected.set(fitting, at);
  }

  /** Where `index` bytes into a region is: round and round. */
  placeIn(which: number, index: number): number {
    const { offset, bytes } = REGIONS[which % REGIONS_RIGHT]!;
    return offset + (index % bytes);
  }

  get view(): DataView {
    return new DataView(this.#bytes.buffer);
  }

  /** Has the driver write behind so many lookups, or in front of so many copies, from now on. */
  prepareAmbush(when: 'lookups' | 'copies', count: number, at: number, bytes: Uint8Array): void {
    const never = Number.POSITIVE_INFINITY;
    this.#ambush = { lookups: never, copies: never, at, bytes, [when]: count };
  }

  disarm(): void {
    this.#ambush = undefined;
  }

  beforeCopies(): void {
    this.#step('copies');
  }

  /** Where the file is not what was expected; -1: nowhere. `outside`: only where no region is. */
  differs(outside: boolean): number {
    if (Buffer.compare(this.#bytes, this.expected) === 0) return -1;
    const inside = (at: number): boolean =>
      [...this.present].some(
        (which) => at >= REGIONS[which]!.offset && at < REGIONS[which]!.offset + REGIONS[which]!.bytes,
      );
    return this.#bytes.findIndex((byte, at) => byte !== this.expected[at] && !(outside && inside(at)));
  }

  /** What is there is what was expected. */
  accept(at: number = 0, bytes: number = FILE_BYTES): void {
    this.expected.set(this.#bytes.subarray(at, at + bytes), at);
  }

  close(): number {
    this.guest.close();
    const left = this.#registered.size;
    for (const memory of this.#registered) this.#unregister(memory);
    return left;
  }

  #unregister(memory: number): void {
    this.#registrar.unregister(memory);
    this.#registered.delete(memory);
  }

  #step(when: 'lookups' | 'copies'): void {
    const ambush = this.#ambush;
    if (ambush === undefined || --ambush[when] > 0) return;
    this.#ambush = undefined;
    this.isAmbushed = true;
    this.write(ambush.at, ambush.bytes);
  }
}

class AmbushedMemory extends GuestMemory {
  readonly #onLookup: () => void;

  constructor(map: ConstructorParameters<typeof GuestMemory>[0], onLookup: () => void) {
    super(map);
    this.#onLookup = onLookup;
  }

  override findGuest(high: number, low: number, length: number): number {
    this.#onLookup();
    return super.findGuest(high, low, length);
  }
}
