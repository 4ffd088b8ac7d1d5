/** The log of written pages that a guest which is migrated has: whatever the device changes in its memory must be marked there. */
import assert from 'node:assert/strict';
import { DirtyLog } from '#tapster/virtio/dirty-log.js';
import { type Extent, GUEST, REGIONS, type VirtqueueMemory } from './virtqueue-memory.ts';

const PAGE_BYTES = 4096;
/** Beyond the pages of the regions that rings and buffers of a driver lie in. */
const LOG_BYTES: number = (GUEST / PAGE_BYTES + 16) / 8;

export class VirtqueueLog {
  readonly log: DirtyLog;
  readonly #memory: VirtqueueMemory;
  readonly #bitmap: Uint8Array<ArrayBuffer> = new Uint8Array(LOG_BYTES);
  readonly #before: Uint8Array;

  constructor(memory: VirtqueueMemory) {
    const windows = [{ memory: -1, at: 0, view: new DataView(this.#bitmap.buffer) }];
    this.log = new DirtyLog({ windows, isLost: () => false, unmap: () => {} }, memory.guest);
    this.#memory = memory;
    this.#before = memory.expected.slice();
  }

  /** The device is about to do something. */
  begin(): void {
    this.#before.set(this.#memory.expected);
  }

  /** What it has changed is known now: all of it is marked, but in `exempt`. Marks are taken out, as by who copies the pages. */
  check(exempt: readonly Extent[]): void {
    const { expected, present } = this.#memory;
    for (const { at, bytes } of exempt) this.#before.set(expected.subarray(at, at + bytes), at);
    for (const which of present) {
      const { guestAddress, offset, bytes } = REGIONS[which]!;
      const was = this.#before.subarray(offset, offset + bytes);
      const is = expected.subarray(offset, offset + bytes);
      if (Buffer.compare(was, is) === 0) continue;
      for (let i = 0; i < bytes; i++) {
        const page = Math.floor((guestAddress + i) / PAGE_BYTES);
        if (was[i] === is[i] || page >= 8 * LOG_BYTES) continue;
        assert.ok(
          (this.#bitmap[page >> 3]! >> (page & 7)) & 1,
          `byte ${i} of region ${which} was changed, its page is not marked`,
        );
      }
    }
    this.#bitmap.fill(0);
  }
}
