/**
 * Network namespaces that exist already: naming one, opening descriptors inside, and setting sysctls there.
 *
 * | text     | which namespace                                                       |
 * | -------- | --------------------------------------------------------------------- |
 * | NAME     | /run/netns/NAME, as `ip netns add NAME` makes it                      |
 * | /PATH    | the file that it is mounted on, or a link to it in /proc              |
 * | pid:N    | that of process N, as our own PID namespace counts                    |
 *
 * An open descriptor keeps the namespace alive, and so does every socket and tap that was opened inside.
 *
 * Not here: making namespaces (namespace.ts). We ourselves never enter one: `openInside` sends a child.
 */
import { closeSync, constants, existsSync, fstatSync, openSync, statfsSync, statSync } from 'node:fs';
import { failure, type Result, success } from '../base/result.ts';
import { ERRNO, errnoName } from './errno.ts';
import { tunDeviceFailure } from './namespace-failures.ts';
import { loadNative } from './native.ts';

/** NAMESPACE_OPEN_TAPS_MAX of native/namespace.h, and the kernel's own bound of the queues of a tap. */
export const TAPS_INSIDE_MAX = 256;

/** Where `ip netns` keeps them; /var/run is the same folder. */
const NAMES_FOLDER = '/var/run/netns';
/** A file's name: no folder, and neither . nor .. */
const NAME = /^(?!\.{1,2}$)[^/\0]{1,255}$/;
const PROCESS = /^pid:([1-9][0-9]{0,8})$/;

/** linux/magic.h: the file system of namespaces. On a kernel before 3.19 they were in /proc. */
const NSFS_MAGIC = 0x6e736673;
/** linux/sched.h. */
const CLONE = { NEWUSER: 0x10000000, NEWNET: 0x40000000 } as const;

/** Join no user namespace but the one that owns the network namespace, where that is needed. */
const OWNER = -1;

/** enum namespace_open_step of native/namespace.h. */
const STEP = { ENTER: 2, NETLINK: 3, TUN: 4 } as const;

export interface NetworkNamespace {
  /** The caller closes it. */
  readonly fd: number;
  /** As it was named. */
  readonly text: string;
  readonly path: string;
  /** Whether it is the one that we are in. */
  readonly isOurs: boolean;
}

/** What was opened inside of a namespace. The caller closes all of it. */
export interface OpenedInside {
  /** A NETLINK_ROUTE socket. */
  readonly netlinkFd: number;
  /** Descriptors of /dev/net/tun that have no interface yet. */
  readonly tunFds: readonly number[];
}

interface NamespaceOpenCalls {
  namespaceType(fd: number): number;
  socketNamespace(fd: number): number;
  namespaceOpenInside(namespaceFd: number, userFd: number, taps: number, result: Int32Array): number;
  namespaceWriteInside(namespaceFd: number, userFd: number, strings: Uint8Array, result: Int32Array): number;
}

export function openNetworkNamespace(text: string): Result<NetworkNamespace> {
  const located = locate(text);
  if (!located.ok) return located;
  const path = located.value;
  try {
    // Looked at before it is opened: opening a device or a pipe may do something.
    if (statfsSync(path).type !== NSFS_MAGIC) return notOne(text, path);
    const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    return checkType(fd, text, path);
  } catch (error) {
    return openFailure(text, path, error);
  }
}

/** A descriptor of a user namespace, which the caller closes. */
export function openUserNamespace(path: string): Result<number> {
  try {
    if (statfsSync(path).type !== NSFS_MAGIC) return notUser(path);
    const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    if (loadNative<NamespaceOpenCalls>().namespaceType(fd) === CLONE.NEWUSER) return success(fd);
    closeSync(fd);
    return notUser(path);
  } catch (error) {
    const { code = String(error) } = error as NodeJS.ErrnoException;
    return failure('user-namespace-failed', `the user namespace ${path} can not be opened: ${code}`);
  }
}

/**
 * Opens a netlink socket and `taps` descriptors of /dev/net/tun in the namespace of the descriptor, which the caller keeps. `userFd`: of a user namespace to join
 * first; without, the one that owns the namespace is joined where that is needed.
 */
export function openInside(namespaceFd: number, taps: number = 0, userFd: number = OWNER): Result<OpenedInside> {
  const words = new Int32Array(2 + taps);
  const result = loadNative<NamespaceOpenCalls>().namespaceOpenInside(namespaceFd, userFd, taps, words);
  if (result === 0) return success({ netlinkFd: words[1]!, tunFds: [...words.subarray(2)] });
  const name = errnoName(result);
  switch (words[0]) {
    case STEP.ENTER:
      if (result === -ERRNO.EINVAL) {
        return failure('namespace-wrong-kind', 'the descriptor is of a namespace, but not of a network namespace');
      }
      return failure(
        'namespace-enter-denied',
        `the network namespace can not be entered (${name}): that takes CAP_SYS_ADMIN over it. Run as root, or as the user who made it`,
      );
    case STEP.NETLINK:
      return failure('netlink-unavailable', `a netlink socket can not be opened in the namespace: ${name}`);
    case STEP.TUN:
      return tunDeviceFailure(-result);
    default:
      return failure('namespace-child-failed', `no process can be sent into the network namespace: ${name}`);
  }
}

/** Sets sysctls of a namespace, 32 at most; `userFd` as for `openInside`. Returns the errnos of those that were refused, in words. */
export function writeSysctlsInside(
  namespaceFd: number,
  sysctls: readonly { readonly path: string; readonly value: string }[],
  userFd: number = OWNER,
): string[] {
  const text = sysctls.map(({ path, value }) => `${path}\0${value}\0`).join('');
  const refused = new Int32Array(sysctls.length);
  const calls = loadNative<NamespaceOpenCalls>();
  const error = calls.namespaceWriteInside(namespaceFd, userFd, new TextEncoder().encode(text), refused);
  return sysctls.flatMap(({ path }, i) => {
    const errno = error === 0 ? refused[i]! : -error;
    return errno === 0 ? [] : [`${path} can not be set inside: ${errnoName(errno)}`];
  });
}

/** A descriptor of the network namespace that a socket belongs to, which the caller closes. */
export function namespaceOfSocket(fd: number): Result<number> {
  const namespaceFd = loadNative<NamespaceOpenCalls>().socketNamespace(fd);
  if (namespaceFd >= 0) return success(namespaceFd);
  return failure('namespace-unknown', `the kernel does not tell a socket's namespace: ${errnoName(namespaceFd)}`);
}

/** Whether two descriptors are of one namespace. */
export function isSameNamespace(fd: number, other: number): boolean {
  const [a, b] = [fstatSync(fd), fstatSync(other)];
  return a.ino === b.ino && a.dev === b.dev;
}

function locate(text: string): Result<string> {
  if (text.startsWith('/')) {
    return text.includes('\0') ? failure('namespace-invalid', 'a path can not hold a zero byte') : success(text);
  }
  const pid = PROCESS.exec(text)?.[1];
  if (pid !== undefined) return success(`/proc/${pid}/ns/net`);
  if (!text.startsWith('pid:') && NAME.test(text)) return success(`${NAMES_FOLDER}/${text}`);
  return failure(
    'namespace-invalid',
    `${JSON.stringify(text)} names no network namespace: give a NAME that "ip netns list" shows, an absolute PATH, or pid:N with the number of a process`,
  );
}

function checkType(fd: number, text: string, path: string): Result<NetworkNamespace> {
  if (loadNative<NamespaceOpenCalls>().namespaceType(fd) !== CLONE.NEWNET) {
    closeSync(fd);
    return notOne(text, path);
  }
  try {
    const [theirs, ours] = [fstatSync(fd), statSync('/proc/self/ns/net')];
    return success({ fd, text, path, isOurs: theirs.ino === ours.ino && theirs.dev === ours.dev });
  } catch (error) {
    closeSync(fd);
    return openFailure(text, path, error);
  }
}

function notOne(text: string, path: string): Result<never> {
  return failure(
    'namespace-wrong-kind',
    `${text} is no network namespace: ${path} is another kind of file. Give one that "ip netns add" made, or a /proc/N/ns/net`,
  );
}

function notUser(path: string): Result<never> {
  return failure(
    'namespace-wrong-kind',
    `${path} is no user namespace: give a /proc/N/ns/user, or where one is mounted`,
  );
}

function openFailure(text: string, path: string, error: unknown): Result<never> {
  const { errno = 0, code = String(error) } = error as NodeJS.ErrnoException;
  switch (-errno) {
    case ERRNO.ENOENT:
    case ERRNO.ENOTDIR:
    case ERRNO.ESRCH:
      return failure('namespace-missing', missing(text, path));
    case ERRNO.EACCES:
    case ERRNO.EPERM:
      return failure(
        'namespace-denied',
        `the network namespace ${text} can not be opened (${code} of ${path}): run as root, or as the user that owns it`,
      );
    default:
      return failure('namespace-open-failed', `the network namespace ${text} can not be opened: ${code} of ${path}`);
  }
}

function missing(text: string, path: string): string {
  const pid = PROCESS.exec(text)?.[1];
  if (pid !== undefined) {
    return existsSync(`/proc/${pid}`)
      ? `${text} is no network namespace: process ${pid} has ended, and nobody has waited for it yet. Give one that runs`
      : `${text} is no network namespace: there is no process ${pid}. Give one that runs`;
  }
  if (text.startsWith('/')) return `${text} is no network namespace: there is no such file`;
  return `there is no network namespace ${text}: ${path} does not exist. Make it with "ip netns add ${text}", or give an absolute PATH or pid:N`;
}
