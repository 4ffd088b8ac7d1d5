/**
 * The driver's side of a split virtqueue (virtio 1.2, sections 2.7.13 and 2.7.14), as vhost-net needs it: the rings lie in our memory, and the kernel is
 * the device.
 *
 * Each buffer is one descriptor: a frame lies in one piece, its virtio-net header in front. `offer` writes descriptors and entries of the available ring that the
 * device does not see yet; `publish` shows them all at once and tells whether the device wants to be kicked. `take` gives back what the device has used.
 *
 * Ordering. The device runs at the same time, on another processor. The two indexes are read and written with `Atomics`, whose order is total: an entry is written
 * before the index that shows it, and the wish of the other side is read behind our own index, so that neither sleeps while the other waits.
 * What the device writes is believed as far as it can do no harm: an entry that names a buffer which is not out breaks the queue.
 */
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

/** Where the parts of a queue lie, in bytes from its start: each aligned as section 2.7 asks (16, 2 and 4). */
export interface QueueLayout {
  readonly descriptors: number;
  readonly available: number;
  readonly used: number;
  /** Of all three. */
  readonly bytes: number;
}

export function queueLayout(size: number): QueueLayout {
  const available = descriptorTableBytes(size);
  const used = (available + availableRingBytes(size) + 3) & ~3;
  return { descriptors: 0, available, used, bytes: (used + usedRingBytes(size) + 15) & ~15 };
}

const WORD = 0x1_0000_0000;
const NONE = -1;

export class DriverQueue {
  readonly size: number;
  /** The device wrote what can't be: nothing more is taken from it. */
  broken: boolean = false;
  /** Bytes that the device wrote into the buffer that `take` gave back last. */
  takenBytes: number = 0;
  readonly #view: DataView;
  readonly #words: Uint16Array;
  readonly #layout: QueueLayout;
  readonly #eventIndex: boolean;
  readonly #isOut: Uint8Array;
  readonly #free: Uint16Array;
  #freeCount: number;
  /** Entries of the available ring that are written, and that the device was shown. */
  #offered: number = 0;
  #published: number = 0;
  /** Entries of the used ring that were taken. */
  #taken: number = 0;

  /**
   * A queue of `size` entries in the `queueLayout(size).bytes` of `memory` from `at` on, which are zeroed. `at` counts from the start of the memory's
   * buffer and is a multiple of 16. `eventIndex`: whether EVENT_IDX was negotiated.
   */
  constructor(memory: Uint8Array<ArrayBuffer>, at: number, size: number, eventIndex: boolean) {
    if (!isQueueSize(size)) throw new RangeError(`a queue has 1 to 32768 entries, a power of two: not ${size}`);
    if (at % 16 !== 0) throw new RangeError(`a queue lies at a multiple of 16: not ${at}`);
    const layout = queueLayout(size);
    if (at + layout.bytes > memory.buffer.byteLength) throw new RangeError(`a queue needs ${layout.bytes} bytes`);
    this.size = size;
    this.#layout = layout;
    this.#view = new DataView(memory.buffer, at, layout.bytes);
    this.#words = new Uint16Array(memory.buffer, at, layout.bytes / 2);
    this.#words.fill(0);
    this.#eventIndex = eventIndex;
    this.#isOut = new Uint8Array(size);
    this.#free = Uint16Array.from({ length: size }, (_, i) => size - 1 - i);
    this.#freeCount = size;
  }

  /** Buffers that may be offered now. */
  get room(): number {
    return this.#freeCount;
  }

  /** Buffers that the device has, or will see with the next `publish`. */
  get outstanding(): number {
    return this.size - this.#freeCount;
  }

  /**
   * Hands a buffer to the device: `length` bytes at `address` (of the address space that the device was told about), which it may write to or only read. Returns the
   * descriptor's number, which `take` gives back, or -1 when all are out.
   */
  offer(address: number, length: number, writable: boolean): number {
    if (this.#freeCount === 0) return NONE;
    const id = this.#free[--this.#freeCount];
    this.#isOut[id] = 1;
    const view = this.#view;
    const at = this.#layout.descriptors + id * DESCRIPTOR_BYTES;
    view.setUint32(at + DESCRIPTOR.ADDRESS, address % WORD, true);
    view.setUint32(at + DESCRIPTOR.ADDRESS + 4, Math.floor(address / WORD), true);
    view.setUint32(at + DESCRIPTOR.LENGTH, length, true);
    view.setUint16(at + DESCRIPTOR.FLAGS, writable ? DESCRIPTOR_FLAG.WRITE : 0, true);
    view.setUint16(at + DESCRIPTOR.NEXT, 0, true);
    const entry = this.#offered & (this.size - 1);
    view.setUint16(this.#layout.available + AVAILABLE.RING + entry * AVAILABLE.ENTRY_BYTES, id, true);
    this.#offered = (this.#offered + 1) & 0xffff;
    return id;
  }

  /** Shows the device all that was offered. Returns whether it wants to hear of it. */
  publish(): boolean {
    if (this.#offered === this.#published) return false;
    const before = this.#published;
    this.#published = this.#offered;
    Atomics.store(this.#words, (this.#layout.available + AVAILABLE.INDEX) / 2, this.#published);
    if (this.#eventIndex) return isEventDue(this.#load(this.#availableEventAt), before, this.#published);
    return (this.#load(this.#layout.used + USED.FLAGS) & USED_NO_NOTIFY) === 0;
  }

  /** The number of a buffer that the device has used, in the order in which it did, or -1 when there is none now. */
  take(): number {
    if (this.broken || this.#load(this.#layout.used + USED.INDEX) === this.#taken) return NONE;
    const entry = this.#layout.used + USED.RING + (this.#taken & (this.size - 1)) * USED.ENTRY_BYTES;
    const id = this.#view.getUint32(entry + USED.ENTRY_ID, true);
    if (id >= this.size || this.#isOut[id] === 0) {
      this.broken = true;
      return NONE;
    }
    this.takenBytes = this.#view.getUint32(entry + USED.ENTRY_LENGTH, true);
    this.#taken = (this.#taken + 1) & 0xffff;
    this.#isOut[id] = 0;
    this.#free[this.#freeCount++] = id;
    return id;
  }

  /** The device need not interrupt us: we look by ourselves. With EVENT_IDX it interrupts once in 65,536 buffers at most. */
  disableInterrupts(): void {
    if (this.#eventIndex) this.#store(this.#usedEventAt, (this.#taken - 1) & 0xffff);
    else this.#store(this.#layout.available + AVAILABLE.FLAGS, AVAILABLE_NO_INTERRUPT);
  }

  /** The device is to interrupt us with the next buffer that it uses. Returns whether one has been used already, of which it will not tell. */
  enableInterrupts(): boolean {
    if (this.#eventIndex) this.#store(this.#usedEventAt, this.#taken);
    else this.#store(this.#layout.available + AVAILABLE.FLAGS, 0);
    return this.#load(this.#layout.used + USED.INDEX) !== this.#taken;
  }

  get #usedEventAt(): number {
    return this.#layout.available + AVAILABLE.RING + this.size * AVAILABLE.ENTRY_BYTES;
  }

  get #availableEventAt(): number {
    return this.#layout.used + USED.RING + this.size * USED.ENTRY_BYTES;
  }

  #load(at: number): number {
    return Atomics.load(this.#words, at / 2);
  }

  #store(at: number, value: number): void {
    Atomics.store(this.#words, at / 2, value);
  }
}
