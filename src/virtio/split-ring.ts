/**
 * The split virtqueue's layout in the driver's memory (virtio 1.2, section 2.7). All fields are little-endian.
 *
 * | part            | where            | bytes             | fields                                                              |
 * | --------------- | ---------------- | ----------------- | ------------------------------------------------------------------- |
 * | descriptor      | table + 16 * i   | 16                | address u64, length u32, flags u16, next u16                        |
 * | available ring  | the driver's     | 6 + 2 * size      | flags u16, index u16, ring u16 x size, used event u16               |
 * | used ring       | the device's     | 6 + 8 * size      | flags u16, index u16, (id u32, length u32) x size, available event u16 |
 *
 * The last field of each ring means something only where EVENT_IDX was negotiated. Nothing here looks at contents: a ring is another's
 * memory, and whoever reads it checks (`virtqueue` files beside this one).
 */

/** Entries of a queue: a power of two, at most this. */
const QUEUE_SIZE_MAX = 32_768;

export const DESCRIPTOR_BYTES = 16;
export const DESCRIPTOR = { ADDRESS: 0, LENGTH: 8, FLAGS: 12, NEXT: 14 } as const;
export const DESCRIPTOR_FLAG = { NEXT: 1, WRITE: 2, INDIRECT: 4 } as const;

export const AVAILABLE = { FLAGS: 0, INDEX: 2, RING: 4, ENTRY_BYTES: 2 } as const;
/** The driver wants no interrupt. */
export const AVAILABLE_NO_INTERRUPT = 1;

export const USED = { FLAGS: 0, INDEX: 2, RING: 4, ENTRY_BYTES: 8, ENTRY_ID: 0, ENTRY_LENGTH: 4 } as const;
/** The device wants no kick. */
export const USED_NO_NOTIFY = 1;

export function isQueueSize(size: number): boolean {
  return Number.isInteger(size) && size > 0 && size <= QUEUE_SIZE_MAX && (size & (size - 1)) === 0;
}

export function descriptorTableBytes(size: number): number {
  return size * DESCRIPTOR_BYTES;
}

export function availableRingBytes(size: number): number {
  return AVAILABLE.RING + size * AVAILABLE.ENTRY_BYTES + 2;
}

export function usedRingBytes(size: number): number {
  return USED.RING + size * USED.ENTRY_BYTES + 2;
}

/** Whether the other side, which asked for an event at `event`, is to hear that the index moved from `before` to `after` (section 2.7.10). */
export function isEventDue(event: number, before: number, after: number): boolean {
  return ((after - event - 1) & 0xffff) < ((after - before) & 0xffff);
}
