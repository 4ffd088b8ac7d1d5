/**
 * Which pages of a guest's memory we have written, for a front end that migrates it while it runs (QEMU's vhost-user document, "Migration"): a bitmap that both share.
 *
 * | bit                              | page                                   |
 * | -------------------------------- | -------------------------------------- |
 * | n % 8, lowest first, of byte n/8 | guest addresses from 4096 * n to below 4096 * (n + 1) |
 *
 * Mark behind the write, never before: the front end takes a bit out, and then copies the page. It takes them out while we put others in, so each is put in by an atomic OR; also
 * where it is set already, since the OR is what brings our write in front of whatever the front end reads next.
 *
 * The bitmap is of whatever size the front end says (`DIRTY_LOG_BYTES_MAX`). A write beyond the pages that it has is counted as `missed`: then the copy is not to be trusted.
 */
import type { GuestMemory, MappedMemory } from './guest-memory.ts';

const PAGE_BYTES = 4096;

export class DirtyLog {
  /** Writes to pages without a bit. */
  missed: number = 0;
  readonly #mapped: MappedMemory;
  readonly #bitmap: Uint8Array<ArrayBuffer>;
  readonly #memory: GuestMemory;

  /** The bitmap lies in one window. */
  constructor(mapped: MappedMemory, memory: GuestMemory) {
    const { buffer, byteOffset, byteLength } = mapped.windows[0].view;
    this.#mapped = mapped;
    this.#bitmap = new Uint8Array(buffer, byteOffset, byteLength);
    this.#memory = memory;
  }

  /** Marks the pages of `bytes` from a guest address on. */
  mark(address: number, bytes: number): void {
    if (bytes === 0) return;
    const bitmap = this.#bitmap;
    const pages = bitmap.length * 8;
    const last = Math.floor((address + bytes - 1) / PAGE_BYTES);
    for (let page = Math.floor(address / PAGE_BYTES); page <= last && page < pages; page++) {
      Atomics.or(bitmap, page >> 3, 1 << (page & 7));
    }
    if (last >= pages) this.missed++;
  }

  /** The same for a place in a registered memory. One that is not the guest's, or is no more, has no pages. */
  markPlace(memory: number, at: number, bytes: number): void {
    const address = this.#memory.guestAddressOf(memory, at);
    if (address >= 0) this.mark(address, bytes);
  }

  /** Gives the bitmap up. Returns why it does not tell of all that was written, in words; empty: it does. */
  close(): string {
    const isLost = this.#mapped.isLost();
    this.#mapped.unmap();
    if (isLost) return 'its file was cut short';
    return this.missed > 0 ? `${this.missed} writes were beyond its end` : '';
  }
}
