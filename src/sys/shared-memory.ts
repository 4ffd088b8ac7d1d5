/**
 * Memory that another process shares with us by a descriptor: a virtual machine's. It is seen through windows, array buffers of at most `WINDOW_BYTES`, each of which is a
 * registered memory; `copyPieces` copies between memories, a batch at a time.
 *
 * Whose memory it is may cut it short at any moment. Then, and behind `unmap`, windows are zeros, which nobody else sees: reading and writing them harms nothing (see
 * `native/guest-memory.c` for how). Whoever holds them should ask for `isLost` now and then, and give up.
 *
 * Windows lie over each other by `WINDOW_OVERLAP_BYTES`, so that what is no longer than that lies in one.
 */
import { GUEST_WINDOWS_MAX } from '../base/limits.ts';
import { ERRNO } from './errno.ts';
import { loadNative } from './native.ts';

const STEP_BYTES = 1024 * 1024 * 1024;

/** As much as the longest thing that has to lie in one window: an indirect table, or a part of a ring. */
const WINDOW_OVERLAP_BYTES = 1024 * 1024;
export const WINDOW_BYTES: number = STEP_BYTES + WINDOW_OVERLAP_BYTES;

export interface SharedWindow {
  /** The id under which it is registered. */
  readonly memory: number;
  /** Where it begins, from the start of what was mapped. */
  readonly at: number;
  readonly view: DataView<ArrayBuffer>;
}

export interface SharedMemory {
  readonly windows: readonly SharedWindow[];
  /** Whether the file was cut short under it. */
  isLost(): boolean;
  /** Gives it up, once. */
  unmap(): void;
}

export interface SharedMemoryCalls {
  /** The mapping, or -errno: -ERANGE when the file is too short. */
  guestMap(fd: number, offset: number, length: number): number;
  guestWindow(mapping: number, at: number, length: number): ArrayBuffer;
  guestUnmap(mapping: number): number;
  guestLost(mapping: number): number;
  /**
   * Copies `count` pieces of five words each, from word `at` of the registered `vector` on: the memory to copy from, where in it; the memory to copy to, where in it; bytes. All
   * are checked before the first is copied. Returns their count.
   */
  copyPieces(vector: number, at: number, count: number): number;
  /** An event descriptor. */
  eventCreate(): number;
  /** Makes another's event descriptor one that never blocks us; -EINVAL when it is none. */
  eventAdopt(fd: number): number;
  register(memory: Uint8Array): number;
  unregister(memory: number): void;
}

export const sharedMemoryCalls: SharedMemoryCalls = loadNative<SharedMemoryCalls>();

/** Those that are there. */
let windowCount = 0;

/**
 * Maps a part of a file, to read and to write; or -errno: -ERANGE when the file is too short, -ENOSPC when too much is mapped already. The descriptor may be
 * closed afterwards.
 */
export function mapSharedMemory(fd: number, offset: number, length: number): SharedMemory | number {
  const calls = sharedMemoryCalls;
  if (windowCount + Math.ceil(length / STEP_BYTES) > GUEST_WINDOWS_MAX) return -ERRNO.ENOSPC;
  const mapping = calls.guestMap(fd, offset, length);
  if (mapping < 0) return mapping;
  const windows: SharedWindow[] = [];
  for (let at = 0; at < length; at += STEP_BYTES) {
    const buffer = calls.guestWindow(mapping, at, Math.min(WINDOW_BYTES, length - at));
    windowCount++;
    windows.push({ memory: calls.register(new Uint8Array(buffer)), at, view: new DataView(buffer) });
  }
  return {
    windows,
    isLost: () => calls.guestLost(mapping) === 1,
    unmap: () => {
      for (const { memory } of windows) calls.unregister(memory);
      windowCount -= windows.length;
      calls.guestUnmap(mapping);
    },
  };
}
