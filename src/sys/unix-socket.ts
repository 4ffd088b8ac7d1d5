/**
 * Sockets of the UNIX domain (unix(7)) that guests are attached by: opened at a path of the user's choice or the first free one of a series, without ever taking one
 * away from somebody who still listens there.
 *
 * A path outlives its listener that did not end well: whoever can't be connected to (ECONNREFUSED) is gone, and his path is made free. What is no socket is never removed. Who
 * listens is not called on for that: he would take us for a guest.
 */
import { closeSync, lstatSync, mkdirSync, readFileSync, unlinkSync } from 'node:fs';
import { dirname } from 'node:path';
import { SOCKET_PATH_BYTES_MAX } from '../base/limits.ts';
import { failure, type Result, success } from '../base/result.ts';
import { ERRNO, errnoName } from './errno.ts';
import { loadNative } from './native.ts';

export const UNIX_TYPE = { STREAM: 1, DATAGRAM: 2 } as const;
export type UnixType = (typeof UNIX_TYPE)[keyof typeof UNIX_TYPE];

/** SOCK_SEQPACKET, which none of ours is: one that is there refuses it as a socket of another type (EPROTOTYPE), one that has gone as any other. */
const UNUSED_TYPE = 5;

/** Paths of a series that are tried. */
const SERIES_MAX = 64;

export interface UnixCalls {
  unixBind(path: string, type: number): number;
  unixConnect(path: string, type: number): number;
  unixAccept(fd: number): number;
  unixPeer(fd: number): number;
  /** 1: the other end of a connected stream is closed, whatever of it is left to be read. */
  unixHungUp(fd: number): number;
  /** Bytes, 0 at the end, or -errno; `descriptors[0]` becomes how many descriptors came along, and they follow. */
  unixReceive(fd: number, memory: number, at: number, length: number, descriptors: Int32Array): number;
  /** Bytes taken, or -errno; a descriptor of 0 and more goes along. */
  unixSend(fd: number, memory: number, at: number, length: number, descriptor: number): number;
}

export const unixCalls: UnixCalls = loadNative<UnixCalls>();

export interface UnixListener {
  /** Non-blocking. The caller closes it, and removes the path. */
  readonly fd: number;
  readonly path: string;
}

/** Listens at a path. Whoever listens there already keeps it. */
export function listenUnix(path: string, type: UnixType = UNIX_TYPE.STREAM): Result<UnixListener> {
  const fd = bindUnix(path, type);
  if (fd >= 0) return success({ fd, path });
  return fd === -ERRNO.EADDRINUSE ? taken(path) : openFailure(path, fd);
}

/** Listens at the first path of `pathOf(1)`, `pathOf(2)`, ... that nobody listens at. The folder is made, for the user alone. */
export function listenUnixSeries(
  pathOf: (number: number) => string,
  type: UnixType = UNIX_TYPE.STREAM,
): Result<UnixListener> {
  try {
    mkdirSync(dirname(pathOf(1)), { recursive: true, mode: 0o700 });
  } catch (error) {
    const { code = String(error) } = error as NodeJS.ErrnoException;
    return failure('socket-folder-failed', `the folder ${dirname(pathOf(1))} can not be made: ${code}`);
  }
  for (let number = 1; number <= SERIES_MAX; number++) {
    const path = pathOf(number);
    const fd = bindUnix(path, type);
    if (fd >= 0) return success({ fd, path });
    if (fd !== -ERRNO.EADDRINUSE) return openFailure(path, fd);
  }
  return failure(
    'sockets-taken',
    `somebody listens at each of ${pathOf(1)} to ${pathOf(SERIES_MAX)}: end one, or choose another path`,
  );
}

/** A connection to whoever listens at a path. */
export function connectUnix(path: string, type: UnixType = UNIX_TYPE.STREAM): Result<number> {
  const fd = unixCalls.unixConnect(path, type);
  if (fd >= 0) return success(fd);
  if (fd === -ERRNO.ECONNREFUSED || fd === -ERRNO.ENOENT) {
    return failure('socket-not-listening', `nobody listens at ${path} (${errnoName(fd)}): start who should, first`);
  }
  return openFailure(path, fd);
}

/** Who opened the other end of a connection, for people: `pid 4242 (qemu-system-x86)`. */
export function describePeer(fd: number): string {
  const pid = unixCalls.unixPeer(fd);
  if (pid <= 0) return 'somebody of another PID namespace';
  try {
    return `pid ${pid} (${readFileSync(`/proc/${pid}/comm`, 'utf8').trim()})`;
  } catch {
    return `pid ${pid}`;
  }
}

/** The descriptor, or -errno: -EADDRINUSE only where somebody listens, or something else than a socket is there. */
function bindUnix(path: string, type: UnixType): number {
  const fd = unixCalls.unixBind(path, type);
  if (fd !== -ERRNO.EADDRINUSE || !isStale(path)) return fd;
  try {
    unlinkSync(path);
  } catch {
    // Somebody else was quicker.
  }
  return unixCalls.unixBind(path, type);
}

function isStale(path: string): boolean {
  if (!isSocket(path)) return false;
  const fd = unixCalls.unixConnect(path, UNUSED_TYPE);
  if (fd >= 0) closeSync(fd);
  return fd === -ERRNO.ECONNREFUSED;
}

function isSocket(path: string): boolean {
  try {
    return lstatSync(path).isSocket();
  } catch {
    return false;
  }
}

function taken(path: string): Result<never> {
  return isSocket(path)
    ? failure('socket-in-use', `somebody listens at ${path} already: choose another path, or end who does`)
    : failure('socket-path-taken', `${path} is there already, and is no socket: choose another path`);
}

function openFailure(path: string, error: number): Result<never> {
  const name = errnoName(error);
  switch (-error) {
    case ERRNO.ENOENT:
      return failure('socket-folder-missing', `${path} can not be made: there is no folder ${dirname(path)}`);
    case ERRNO.EACCES:
      return failure('socket-denied', `${path} can not be opened (${name}): its folder is not yours to write to`);
    case ERRNO.ENAMETOOLONG:
      return failure(
        'socket-path-long',
        `${path} is too long for a socket: ${SOCKET_PATH_BYTES_MAX} bytes are the most`,
      );
    default:
      return failure('socket-failed', `${path} can not be opened: ${name}`);
  }
}
