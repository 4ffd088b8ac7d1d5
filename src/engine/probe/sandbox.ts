/** What the kernel has for the sandbox that the engine is in when a command runs: Landlock, and filters of system calls. */
import { landlockVersion, whyNoCallFilter } from '../../sys/sandbox.ts';
import type { Check } from './check.ts';

/** `version`: of the kernel's Landlock, or why there is none. */
export function probeLandlock(version: number | string = landlockVersion()): Check {
  const id = 'landlock';
  const title = 'Landlock';
  if (typeof version === 'number') return { id, title, status: 'ok', found: `version ${version}` };
  const without = "the files that this user may read are not kept from Tapster's own process";
  const fix = 'install Linux 5.13 or newer, and boot with "landlock" in its lsm= parameter';
  return { id, title, status: 'warning', found: version, without, fix };
}

/** `missing`: why calls can't be filtered; undefined: they can. */
export function probeSeccomp(missing: string | undefined = whyNoCallFilter()): Check {
  const id = 'seccomp';
  const title = 'seccomp';
  if (missing === undefined) return { id, title, status: 'ok', found: 'system calls can be filtered' };
  const without = "Tapster's own process may make any system call that this user may make";
  return { id, title, status: 'warning', found: missing, without };
}
