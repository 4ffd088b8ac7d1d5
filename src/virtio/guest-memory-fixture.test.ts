/** A virtual machine's memory for tests: plain buffers in the place of files. */
import { GuestMemory, type MappedMemory, type MemoryRegion } from './guest-memory.ts';

export interface PlainMemory {
  readonly memory: GuestMemory;
  /** By descriptor: the bytes of its file. */
  readonly files: readonly Uint8Array<ArrayBuffer>[];
  /** Descriptors that were mapped and not unmapped. */
  readonly mapped: Set<number>;
}

/** Descriptor i is a file of `sizes[i]` bytes. Windows have `windowBytes` and overlap by `overlapBytes`; the memory that window w of file i is registered as is 100 * i + w. */
export function plainMemory(
  sizes: readonly number[],
  windowBytes: number = 1 << 30,
  overlapBytes: number = 0,
): PlainMemory {
  const files = sizes.map((bytes) => new Uint8Array(bytes));
  const mapped = new Set<number>();
  const memory = new GuestMemory((fd, offset, bytes): MappedMemory | number => {
    const file = files[fd];
    if (file === undefined) return -9;
    if (offset + bytes > file.length) return -34;
    mapped.add(fd);
    const windows = [];
    for (let at = 0; at < bytes; at += windowBytes) {
      const view = new DataView(file.buffer, offset + at, Math.min(windowBytes + overlapBytes, bytes - at));
      windows.push({ memory: 100 * fd + windows.length, at, view });
    }
    return { windows, isLost: () => false, unmap: () => mapped.delete(fd) };
  });
  return { memory, files, mapped };
}

export function region(guestAddress: number, userAddress: number, bytes: number, offset: number = 0): MemoryRegion {
  return { guestAddress, userAddress, bytes, offset };
}
