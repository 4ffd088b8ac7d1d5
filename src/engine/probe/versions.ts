/** The kernel and Node. What a kernel can do is probed by trying, elsewhere; the version says what to expect. */
import { release } from 'node:os';
import type { Check } from './check.ts';

/** Process descriptors (CLONE_PIDFD), which watch over the command, came with Linux 5.2. */
const KERNEL_MIN = [5, 2] as const;
const NODE_MIN = [20, 20] as const;

export function probeKernel(version: string = release()): Check {
  const id = 'kernel';
  const title = 'Linux kernel';
  const found = version;
  if (!atLeast(version, KERNEL_MIN)) {
    const without = `older than ${KERNEL_MIN.join('.')}: "tapster run" can not start a command`;
    return { id, title, status: 'missing', found, without, fix: 'install a newer kernel' };
  }
  return { id, title, status: 'ok', found };
}

export function probeNode(version: string = process.versions.node): Check {
  const id = 'node';
  const title = 'Node.js';
  if (atLeast(version, NODE_MIN)) return { id, title, status: 'ok', found: version };
  const without = `older than ${NODE_MIN.join('.')}: Tapster does not run`;
  return { id, title, status: 'missing', found: version, without, fix: 'install Node 20.20 or newer' };
}

function atLeast(version: string, [major, minor]: readonly [number, number]): boolean {
  const match = /^(\d+)\.(\d+)/.exec(version);
  if (match === null) return false;
  const [ours, theirs] = [Number(match[1]), Number(match[2])];
  return ours > major || (ours === major && theirs >= minor);
}
