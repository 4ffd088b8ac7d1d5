/** How many descriptors we may have (RLIMIT_NOFILE), and how many there are. */
import { readdirSync } from 'node:fs';
import { loadNative } from './native.ts';

interface LimitCalls {
  descriptorLimit(wanted: number): number;
}

/** The limit, raised to `wanted` where it is lower and we may. */
export function descriptorLimit(wanted: number = 0): number {
  return loadNative<LimitCalls>().descriptorLimit(wanted);
}

/** Those of this process that are open. Takes a millisecond for each ten thousand. */
export function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}
