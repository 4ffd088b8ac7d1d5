/**
 * The device's side of a split virtqueue (virtio 1.2, sections 2.7 and 2.7.13), in the memory of a driver that is not trusted.
 *
 * `take` reads the next chain of descriptors, each once, and leaves its buffers as pieces: (memory, place, bytes), those that may be read before those that may be written. `use`
 * gives the chain back with the bytes that were written; `publish` shows the driver all that were, and tells whether it wants to be called. `untake` puts the newest chains back
 * to be taken again. Direct and indirect chains; EVENT_IDX and the flags, both ways.
 *
 * A driver may write anything, at any moment. What can't be breaks the queue: `broken` says what it was, nothing more is taken, and nothing is ever thrown. That is
 *
 * - more entries shown than the queue has, a head or a `next` beyond it, a chain longer than the queue (a loop, for example),
 * - a buffer, or an indirect table, that is not in the memory; an indirect table that was not negotiated, inside another, with a next one, of no whole descriptors or of none,
 * - a buffer to be read behind one to be written.
 *
 * Buffers of no bytes are passed over. What is read once can't change between check and use; what lies in the buffers can, until it was copied.
 *
 * While the guest is migrated, what is written to the used ring is marked in a `DirtyLog`; buffers are whoever's who writes into them.
 *
 * Ordering: as in `driver-queue.ts`. Not here: packed rings.
 */
import { CHAIN_DESCRIPTORS_MAX } from '../base/limits.ts';
import type { DirtyLog } from './dirty-log.ts';
import type { GuestMemory } from './guest-memory.ts';
import {
  AVAILABLE,
  AVAILABLE_NO_INTERRUPT,
  availableRingBytes,
  DESCRIPTOR,
  DESCRIPTOR_BYTES,
  DESCRIPTOR_FLAG,
  descriptorTableBytes,
  isEventDue,
  isQueueSize,
  USED,
  USED_NO_NOTIFY,
  usedRingBytes,
} from './split-ring.ts';

export interface DeviceRing {
  readonly size: number;
  /** User addresses. */
  readonly descriptors: number;
  readonly available: number;
  readonly used: number;
}

export interface DeviceQueueOptions {
  readonly ring: DeviceRing;
  /** Of the available ring: the entry that is taken first. */
  readonly base: number;
  readonly eventIndex: boolean;
  readonly indirect: boolean;
}

/** Words of a piece: the memory, a place in it, bytes. */
export const PIECE_WORDS = 3;
/** A descriptor's buffer is one piece, unless it lies across regions. */
const PIECES_MAX = CHAIN_DESCRIPTORS_MAX + 16;

/** A front end may take a region away and add a larger one in its place while queues run. */
const NO_PLACE = 'the queue does not lie in the memory';

const NOT_YET = -1;
const WORD = 0x1_0000_0000;
const NO_VIEW = new DataView(new ArrayBuffer(0));
const NO_WORDS = new Uint16Array(0);

export class DeviceQueue {
  readonly size: number;
  /** What the driver did that can't be; empty while all is well. */
  broken: string = '';
  /** The chain that was taken last. */
  head: number = 0;
  readonly pieces: Int32Array = new Int32Array(PIECES_MAX * PIECE_WORDS);
  /** Pieces that may be read; behind them, those that may be written. */
  readableCount: number = 0;
  pieceCount: number = 0;
  readableBytes: number = 0;
  writableBytes: number = 0;
  /** Those of the chain, the one that leads to an indirect table included. */
  descriptorCount: number = 0;
  readonly #memory: GuestMemory;
  readonly #options: DeviceQueueOptions;
  readonly #eventIndex: boolean;
  #descriptors: DataView = NO_VIEW;
  #available: DataView = NO_VIEW;
  #used: DataView = NO_VIEW;
  /** The same, for the fields that both sides look at without waiting for each other. */
  #availableWords: Uint16Array = NO_WORDS;
  #usedWords: Uint16Array = NO_WORDS;
  /** Entries of the available ring that were taken, and that the driver was seen to have shown. */
  #taken: number;
  #shown: number;
  /** Entries of the used ring that are written, and that the driver was shown; where it was left when the queue first has a place. */
  #written: number = NOT_YET;
  #published: number = NOT_YET;
  #log: DirtyLog | undefined;
  /** The guest address of the used ring. */
  #logAddress: number = 0;

  /** Where it lies is looked up at once: it is broken when that is not in the memory. */
  constructor(memory: GuestMemory, options: DeviceQueueOptions) {
    this.size = options.ring.size;
    this.#memory = memory;
    this.#options = options;
    this.#eventIndex = options.eventIndex;
    this.#taken = options.base & 0xffff;
    this.#shown = this.#taken;
    this.locate();
  }

  /** Looks up again where it lies, when the memory's regions have changed. One that was broken only by having no place lives again when it has one. */
  locate(): void {
    if (this.broken !== '' && this.broken !== NO_PLACE) return;
    const { size, descriptors, available, used } = this.#options.ring;
    if (!isQueueSize(size)) {
      this.#break(`a queue can not have ${size} entries`);
      return;
    }
    const table = this.#part(descriptors, descriptorTableBytes(size), 16);
    const availableRing = this.#part(available, availableRingBytes(size), 2);
    const usedRing = this.#part(used, usedRingBytes(size), 4);
    if (table === undefined || availableRing === undefined || usedRing === undefined) {
      this.#break(NO_PLACE);
      return;
    }
    this.broken = '';
    this.#descriptors = table;
    this.#available = availableRing;
    this.#used = usedRing;
    this.#availableWords = wordsOf(availableRing);
    this.#usedWords = wordsOf(usedRing);
    if (this.#published !== NOT_YET) return;
    this.#published = this.#load(this.#usedWords, USED.INDEX);
    this.#written = this.#published;
  }

  /** Marks what is written to the used ring, which lies at a guest address, from now on; undefined: no more. */
  setLog(log: DirtyLog | undefined, address: number): void {
    this.#log = log;
    this.#logAddress = address;
  }

  /** The entry of the available ring that would be taken next. */
  get base(): number {
    return this.#taken;
  }

  /** Takes the next chain, if the driver has shown one. */
  take(): boolean {
    if (this.#taken === this.#shown && !this.#look()) return false;
    const entry = AVAILABLE.RING + (this.#taken & (this.size - 1)) * AVAILABLE.ENTRY_BYTES;
    const head = this.#available.getUint16(entry, true);
    this.head = head;
    this.readableCount = 0;
    this.pieceCount = 0;
    this.readableBytes = 0;
    this.writableBytes = 0;
    if (!this.#readChain(head)) return false;
    this.#taken = (this.#taken + 1) & 0xffff;
    return true;
  }

  /** The newest `count` chains were not taken. None of them may have been used. */
  untake(count: number): void {
    this.#taken = (this.#taken - count) & 0xffff;
  }

  /** Gives a chain back, with so many bytes written into it. The driver sees it behind `publish`. */
  use(head: number, bytes: number): void {
    const entry = USED.RING + (this.#written & (this.size - 1)) * USED.ENTRY_BYTES;
    this.#used.setUint32(entry + USED.ENTRY_ID, head, true);
    this.#used.setUint32(entry + USED.ENTRY_LENGTH, bytes, true);
    this.#written = (this.#written + 1) & 0xffff;
  }

  /** Shows the driver all that was used. Returns whether it wants to be called. */
  publish(): boolean {
    const before = this.#published;
    if (before === this.#written || this.broken !== '') return false;
    this.#published = this.#written;
    this.#store(this.#usedWords, USED.INDEX, this.#written);
    if (this.#log !== undefined) this.#markUsed(this.#log, before);
    if (!this.#eventIndex) {
      return (this.#load(this.#availableWords, AVAILABLE.FLAGS) & AVAILABLE_NO_INTERRUPT) === 0;
    }
    return isEventDue(this.#load(this.#availableWords, this.#usedEventAt), before, this.#written);
  }

  /** We look by ourselves: the driver need not kick. With EVENT_IDX it kicks once in 65,536 chains at most. */
  disableKicks(): void {
    if (this.broken !== '') return;
    if (this.#eventIndex) this.#store(this.#usedWords, this.#availableEventAt, (this.#taken - 1) & 0xffff);
    else this.#store(this.#usedWords, USED.FLAGS, USED_NO_NOTIFY);
    if (this.#log !== undefined) this.#markKicks(this.#log);
  }

  /**
   * The driver is to kick with the chain that comes behind `known` more, those that we have seen and left. Returns whether it has shown it
   * already, of which it will not tell.
   */
  enableKicks(known: number = 0): boolean {
    if (this.broken !== '') return false;
    const from = (this.#taken + known) & 0xffff;
    if (this.#eventIndex) this.#store(this.#usedWords, this.#availableEventAt, from);
    else this.#store(this.#usedWords, USED.FLAGS, 0);
    if (this.#log !== undefined) this.#markKicks(this.#log);
    return this.#load(this.#availableWords, AVAILABLE.INDEX) !== from;
  }

  /** Chains that the driver has shown, and that were not taken. */
  get waiting(): number {
    return this.#look() ? (this.#shown - this.#taken) & 0xffff : 0;
  }

  /** Whether the driver has shown chains that were not taken. */
  #look(): boolean {
    if (this.broken !== '') return false;
    this.#shown = this.#load(this.#availableWords, AVAILABLE.INDEX);
    const count = (this.#shown - this.#taken) & 0xffff;
    if (count > this.size) this.#break(`${count} entries are shown of a queue of ${this.size}`);
    return count > 0 && this.broken === '';
  }

  /** Entries from `before` on were written, and the index. */
  #markUsed(log: DirtyLog, before: number): void {
    const first = before & (this.size - 1);
    const count = Math.min((this.#written - before) & 0xffff, this.size);
    const behind = Math.min(count, this.size - first);
    log.mark(this.#logAddress + USED.RING + first * USED.ENTRY_BYTES, behind * USED.ENTRY_BYTES);
    log.mark(this.#logAddress, USED.RING + (count - behind) * USED.ENTRY_BYTES);
  }

  /** What tells the driver when to kick was written. */
  #markKicks(log: DirtyLog): void {
    log.mark(this.#logAddress + (this.#eventIndex ? this.#availableEventAt : USED.FLAGS), 2);
  }

  #readChain(head: number): boolean {
    const table = this.#descriptors;
    let index = head;
    for (let count = 1; ; count++) {
      this.descriptorCount = count;
      if (index >= this.size) return this.#fail(`descriptor ${index} of a queue of ${this.size}`);
      if (count > this.size || count > CHAIN_DESCRIPTORS_MAX) return this.#fail('a chain without an end');
      const at = index * DESCRIPTOR_BYTES;
      const flags = table.getUint16(at + DESCRIPTOR.FLAGS, true);
      const next = table.getUint16(at + DESCRIPTOR.NEXT, true);
      if ((flags & DESCRIPTOR_FLAG.INDIRECT) !== 0) {
        if ((flags & DESCRIPTOR_FLAG.NEXT) !== 0) return this.#fail('an indirect descriptor with a next one');
        return this.#readIndirect(at);
      }
      if (!this.#readBuffer(table, at, flags)) return false;
      if ((flags & DESCRIPTOR_FLAG.NEXT) === 0) return true;
      index = next;
    }
  }

  #readIndirect(descriptorAt: number): boolean {
    const table = this.#descriptors;
    const bytes = table.getUint32(descriptorAt + DESCRIPTOR.LENGTH, true);
    const low = table.getInt32(descriptorAt + DESCRIPTOR.ADDRESS, true);
    const high = table.getInt32(descriptorAt + DESCRIPTOR.ADDRESS + 4, true);
    if (!this.#options.indirect) return this.#fail('an indirect descriptor that was not negotiated');
    const entries = bytes / DESCRIPTOR_BYTES;
    if (bytes === 0 || bytes % DESCRIPTOR_BYTES !== 0 || entries > 0x1_0000) {
      return this.#fail(`an indirect table of ${bytes} bytes`);
    }
    const memory = this.#memory;
    if (memory.findGuest(high, low, bytes) !== bytes) return this.#fail('an indirect table outside of the memory');
    const { view, at } = memory;
    let index = 0;
    for (let count = 1; ; count++) {
      this.descriptorCount++;
      if (index >= entries) return this.#fail(`descriptor ${index} of an indirect table of ${entries}`);
      if (count > entries || count > CHAIN_DESCRIPTORS_MAX) return this.#fail('an indirect chain without an end');
      const from = at + index * DESCRIPTOR_BYTES;
      const flags = view.getUint16(from + DESCRIPTOR.FLAGS, true);
      const next = view.getUint16(from + DESCRIPTOR.NEXT, true);
      if ((flags & DESCRIPTOR_FLAG.INDIRECT) !== 0) return this.#fail('an indirect table inside another');
      if (!this.#readBuffer(view, from, flags)) return false;
      if ((flags & DESCRIPTOR_FLAG.NEXT) === 0) return true;
      index = next;
    }
  }

  /** Adds the pieces of a descriptor's buffer. */
  #readBuffer(table: DataView, at: number, flags: number): boolean {
    let left = table.getUint32(at + DESCRIPTOR.LENGTH, true);
    let low = table.getInt32(at + DESCRIPTOR.ADDRESS, true);
    let high = table.getInt32(at + DESCRIPTOR.ADDRESS + 4, true);
    if (left === 0) return true;
    const writable = (flags & DESCRIPTOR_FLAG.WRITE) !== 0;
    if (writable) this.writableBytes += left;
    else if (this.writableBytes > 0) return this.#fail('a buffer to be read behind one to be written');
    else this.readableBytes += left;
    const memory = this.#memory;
    for (;;) {
      const bytes = memory.findGuest(high, low, left);
      if (bytes === 0) return this.#fail('a buffer outside of the memory');
      if (this.pieceCount === PIECES_MAX) return this.#fail('a chain of too many pieces');
      const word = this.pieceCount++ * PIECE_WORDS;
      this.pieces[word] = memory.memory;
      this.pieces[word + 1] = memory.at;
      this.pieces[word + 2] = bytes;
      if (!writable) this.readableCount = this.pieceCount;
      left -= bytes;
      if (left === 0) return true;
      if ((low >>> 0) + bytes >= WORD) high++;
      low = (low + bytes) | 0;
    }
  }

  #part(address: number, bytes: number, alignment: number): DataView<ArrayBuffer> | undefined {
    if (address % alignment !== 0 || !this.#memory.findUser(address, bytes)) return undefined;
    const { view, at } = this.#memory;
    // A region may begin at any byte of its file.
    if ((view.byteOffset + at) % 2 !== 0) return undefined;
    return new DataView(view.buffer, view.byteOffset + at, bytes);
  }

  get #usedEventAt(): number {
    return AVAILABLE.RING + this.size * AVAILABLE.ENTRY_BYTES;
  }

  get #availableEventAt(): number {
    return USED.RING + this.size * USED.ENTRY_BYTES;
  }

  #load(words: Uint16Array, at: number): number {
    return Atomics.load(words, at >> 1);
  }

  #store(words: Uint16Array, at: number, value: number): void {
    Atomics.store(words, at >> 1, value);
  }

  #break(why: string): void {
    this.broken = why;
  }

  #fail(why: string): false {
    this.#break(why);
    return false;
  }
}

function wordsOf(view: DataView<ArrayBuffer>): Uint16Array {
  return new Uint16Array(view.buffer, view.byteOffset, view.byteLength >> 1);
}
