/**
 * Which user a program that we stand in for becomes: `--runas`, or nobody where it was started as root.
 *
 * Root of a user namespace of somebody else's is an ordinary user outside, and stays what it is.
 */
import { readFileSync } from 'node:fs';
import { failure, type Result, success } from '../../base/result.ts';
import type { UserName } from './values.ts';

/** By agreement the number of nobody, and of its group. */
const NOBODY = 65_534;
/** /proc/self/uid_map where no user namespace is between us and the machine: all of them, as they are. */
const ALL_USERS = /^\s*0\s+0\s+4294967295\s*$/;

export interface Identity {
  readonly uid: number;
  readonly gid: number;
}

/** Undefined: we stay who we are. */
export function resolveRunAs(wanted: UserName | undefined): Result<Identity | undefined> {
  const isRoot = process.geteuid!() === 0;
  if (wanted === undefined) {
    if (!isRoot || !ALL_USERS.test(readText('/proc/self/uid_map'))) return success(undefined);
    const nobody = findUser(readText('/etc/passwd'), 'nobody');
    return success(nobody ?? { uid: NOBODY, gid: NOBODY });
  }
  const identity = identityOf(wanted, readText('/etc/passwd'), readText('/etc/group'));
  if (!identity.ok || isRoot) return identity;
  const { uid, gid } = identity.value;
  if (uid === process.geteuid!() && gid === process.getegid!()) return success(undefined);
  return failure('runas-denied', `--runas ${wanted.user}: only root can become somebody else`);
}

/** `passwd` and `group`: contents of passwd(5) and group(5). */
export function identityOf({ user, group }: UserName, passwd: string, groups: string): Result<Identity> {
  const found = findUser(passwd, user) ?? (isNumber(user) ? { uid: Number(user), gid: Number(user) } : undefined);
  if (found === undefined) return failure('user-unknown', `--runas ${user}: there is no such user`);
  if (group === undefined) return success(found);
  const line = groups.split('\n').find((each) => each.split(':')[0] === group);
  const gid = isNumber(group) ? Number(group) : Number(line?.split(':')[2] ?? Number.NaN);
  if (Number.isNaN(gid)) return failure('group-unknown', `--runas ${user}:${group}: there is no such group`);
  return success({ uid: found.uid, gid });
}

/** For good, in every thread. */
export function become({ uid, gid }: Identity): Result<void> {
  try {
    process.setgroups!([gid]);
    process.setgid!(gid);
    process.setuid!(uid);
    return success(undefined);
  } catch (error) {
    return failure('runas-failed', `we can't become user ${uid} of group ${gid}: ${(error as Error).message}`);
  }
}

/** By name or number. */
function findUser(passwd: string, user: string): Identity | undefined {
  for (const line of passwd.split('\n')) {
    const [name, , uid = '', gid = ''] = line.split(':');
    if ((name === user || uid === user) && isNumber(uid) && isNumber(gid))
      return { uid: Number(uid), gid: Number(gid) };
  }
  return undefined;
}

/** Of a user or a group: 32 bits, and the last is none. */
function isNumber(text: string): boolean {
  return /^\d{1,10}$/.test(text) && Number(text) < 0xffff_ffff;
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
