/**
 * Keeps a datagram socket of the UNIX domain connected to the one at a path, whoever has bound it there and whenever he comes: by a small process of ours
 * (native/datagram-peer.c), which shares the socket, since a confined engine can't go to paths. It removes the path when we end and nobody is there any more.
 */
import { SOCKET_PATH_BYTES_MAX } from '../base/limits.ts';
import { failure, type Result, success } from '../base/result.ts';
import { ERRNO, errnoName } from './errno.ts';
import { loadNative } from './native.ts';

interface DatagramPeerCalls {
  datagramPeer(socket: number, path: string, pid: Int32Array): number;
  datagramPeerRead(fd: number, told: Int32Array): number;
  datagramPeerLook(fd: number): number;
  datagramPeerEnd(fd: number, pid: number): number;
}

export interface PeerState {
  /** 0: connected; an errno: nobody is there, or he can't be reached. */
  readonly error: number;
  /** Of those that the socket was connected to, counted from 1. */
  readonly number: number;
}

export interface DatagramPeer {
  /** Readable when there is something to read. */
  readonly fd: number;
  /** What is new; undefined: nothing, -errno: the process has ended. */
  read(): PeerState | number | undefined;
  /** Has it look at once, and tell whatever it finds. */
  look(): void;
  /** It has ended when this returns. The socket stays as it is. */
  end(): void;
}

/** To be called before the sandbox. `path` has `SOCKET_PATH_BYTES_MAX` at most. */
export function startDatagramPeer(socket: number, path: string): Result<DatagramPeer> {
  const calls = loadNative<DatagramPeerCalls>();
  const pid = new Int32Array(1);
  const told = new Int32Array(2);
  const fd = calls.datagramPeer(socket, path, pid);
  if (fd === -ERRNO.ENAMETOOLONG) {
    return failure('socket-path-long', `${path} is too long for a socket: ${SOCKET_PATH_BYTES_MAX} bytes are the most`);
  }
  if (fd < 0) {
    return failure('datagram-peer-failed', `no process can be started that connects to ${path}: ${errnoName(fd)}`);
  }
  return success({
    fd,
    read: () => {
      const got = calls.datagramPeerRead(fd, told);
      if (got <= 0) return got === 0 ? undefined : got;
      return { error: told[0]!, number: told[1]! };
    },
    look: () => {
      calls.datagramPeerLook(fd);
    },
    end: () => {
      calls.datagramPeerEnd(fd, pid[0]!);
    },
  });
}
