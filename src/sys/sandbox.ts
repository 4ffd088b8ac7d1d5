/**
 * Takes rights away from this process, for good and in every thread: what it may open (Landlock), what it may call (seccomp), its capabilities, and
 * every way to get some again (no_new_privs). Which ones is the caller's policy.
 *
 * A kernel without Landlock or without filters gives what it has, and a note says what is missing. Anything else that goes wrong is a
 * failure, after which some of it may be in force: the caller ends.
 *
 * As root, files are opened as "nobody" from then on: root without capabilities still owns what root owns. Where there is no such user, as in most user
 * namespaces, that is left out.
 *
 * Children that were made before are not affected; there can be none after.
 */
import { closeSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { failure, type Result, success } from '../base/result.ts';
import { errnoName } from './errno.ts';
import { loadNative } from './native.ts';
import { assembleFilter, type CallPolicy } from './seccomp.ts';
import { type SystemCalls, systemCalls } from './system-calls.ts';

export interface SandboxPlan {
  readonly calls: CallPolicy;
  /** Folders whose files can still be opened for reading. Those that are not there are passed over, and can't be read when they come. */
  readonly readable: readonly string[];
}

interface SandboxCalls {
  sandboxNames(names: Uint8Array): number;
  landlockVersion(): number;
  landlockCreate(files: number, scopes: number): number;
  landlockAllow(ruleset: number, path: string, rights: number): number;
  confineThreads(ruleset: number, fileUser: number): number;
  seccompAvailable(): number;
  seccompInstall(program: Int32Array): number;
}

/** linux/landlock.h: rights that the versions of the interface know, each beside those before. */
const RIGHTS_SINCE: readonly (readonly [version: number, rights: number])[] = [
  [1, 0x1fff],
  [2, 0x2000],
  [3, 0x4000],
  [5, 0x8000],
];
const RIGHT_READ_FILE = 0x4;
/** Sockets with a name in the abstract namespace of whoever is outside. */
const SCOPE_ABSTRACT_UNIX = 0x1;
const SCOPES_SINCE = 6;

const NO_RULESET = -1;
const NO_USER = 0;
const NOBODY = 65_534;

/** Of native/sandbox.c. */
const NAME_BYTES = 32;

const RING = 'anon_inode:[io_uring]';

/** Returns what is missing here, as sentences. */
export function applySandbox(plan: SandboxPlan): Result<readonly string[]> {
  const native = loadNative<SandboxCalls>();
  const notes: string[] = [];
  const calls = systemCalls();
  const named = native.sandboxNames(callNames(calls));
  if (named < 0) return sandboxFailure('its message can not be set up', named);
  const ruleset = makeRuleset(native, plan.readable, notes);
  if (!ruleset.ok) return ruleset;
  const user = native.confineThreads(ruleset.value, process.geteuid!() === 0 ? NOBODY : NO_USER);
  if (ruleset.value >= 0) closeSync(ruleset.value);
  if (user < 0) return sandboxFailure('not every thread could be confined', user);
  if (user === 0) notes.push('files are opened as root: there is no user "nobody" here');
  const missing = whyNoFilter(native, calls);
  if (missing !== undefined || calls === undefined) {
    notes.push(`system calls are not filtered: ${missing}`);
    return success(notes);
  }
  const installed = native.seccompInstall(assembleFilter(plan.calls, calls));
  return installed < 0 ? sandboxFailure('system calls can not be filtered', installed) : success(notes);
}

/** The version of the kernel's Landlock, or why there is none. */
export function landlockVersion(): number | string {
  const version = loadNative<SandboxCalls>().landlockVersion();
  if (version > 0) return version;
  const reason = errnoName(version);
  if (reason === 'ENOSYS') return 'the kernel has no Landlock';
  return reason === 'EOPNOTSUPP' ? 'Landlock is switched off' : reason;
}

/** Why system calls can't be filtered here; undefined: they can. */
export function whyNoCallFilter(): string | undefined {
  return whyNoFilter(loadNative<SandboxCalls>(), systemCalls());
}

/** The io_uring instances that this process has: Node's event loops make some from version 22 on. */
export function ringDescriptors(): number[] {
  // Each is mapped into memory at two places at least. Of ten thousands of descriptors, which forwarded ports may have, only the first few are looked at.
  const places = readFileSync('/proc/self/maps', 'latin1').split(`${RING}\n`).length - 1;
  const rings: number[] = [];
  if (places === 0) return rings;
  for (const fd of readdirSync('/proc/self/fd').map(Number).sort(ascending)) {
    if (isRing(fd)) rings.push(fd);
    if (2 * rings.length >= places) break;
  }
  return rings;
}

function isRing(fd: number): boolean {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`) === RING;
  } catch {
    // The folder's own descriptor is closed again.
    return false;
  }
}

function ascending(a: number, b: number): number {
  return a - b;
}

function whyNoFilter(native: SandboxCalls, calls: SystemCalls | undefined): string | undefined {
  if (calls === undefined) return `there is no table of them for ${process.arch}`;
  const available = native.seccompAvailable();
  return available < 0 ? `the kernel has no seccomp filters (${errnoName(available)})` : undefined;
}

function makeRuleset(native: SandboxCalls, readable: readonly string[], notes: string[]): Result<number> {
  const version = landlockVersion();
  if (typeof version === 'string') {
    notes.push(`files are not kept away: ${version}`);
    return success(NO_RULESET);
  }
  let rights = 0;
  for (const [since, more] of RIGHTS_SINCE) if (version >= since) rights |= more;
  const ruleset = native.landlockCreate(rights, version >= SCOPES_SINCE ? SCOPE_ABSTRACT_UNIX : 0);
  if (ruleset < 0) return sandboxFailure('no Landlock ruleset can be made', ruleset);
  // What is not there, or not for us, can't be read anyway.
  for (const path of new Set(readable)) native.landlockAllow(ruleset, path, RIGHT_READ_FILE);
  return success(ruleset);
}

function callNames(calls: SystemCalls | undefined): Uint8Array {
  const names = calls?.names ?? [];
  const bytes = new Uint8Array(names.length * NAME_BYTES);
  const encoder = new TextEncoder();
  for (const [number, name] of names.entries()) {
    if (name !== undefined)
      encoder.encodeInto(name, bytes.subarray(number * NAME_BYTES, (number + 1) * NAME_BYTES - 1));
  }
  return bytes;
}

function sandboxFailure(what: string, error: number): Result<never> {
  return failure('sandbox-failed', `the sandbox: ${what}: ${errnoName(error)}; --no-sandbox does without it`);
}
