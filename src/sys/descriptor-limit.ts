/** How many descriptors we may have (RLIMIT_NOFILE), and how many there are. */
import { readdirSync, statSync } from 'node:fs';
import { loadNative } from './native.ts';

interface LimitCalls {
  descriptorLimit(wanted: number): number;
}

/** The limit, raised to `wanted` where it is lower and we may. */
export function descriptorLimit(wanted: number = 0): number {
  return loadNative<LimitCalls>().descriptorLimit(wanted);
}

/** Those of this process that are open: the size of their folder since Linux 6.2; before that they are counted, 4 microseconds each. */
export function openDescriptors(): number {
  const { size } = statSync(FOLDER);
  return size > 0 ? size : readdirSync(FOLDER).length;
}

const FOLDER = '/proc/self/fd';
