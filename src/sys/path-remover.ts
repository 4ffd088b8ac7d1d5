/**
 * Removes the path of a socket when we end, however we do: by a small process of ours (native/path-remover.c), since a confined engine can't change files, and one that was
 * killed can't do anything. Only the socket that is at the path now is ever removed.
 */
import { failure, type Result, success } from '../base/result.ts';
import { errnoName } from './errno.ts';
import { loadNative } from './native.ts';

interface PathRemoverCalls {
  pathRemover(path: string, pid: Int32Array): number;
  removePath(fd: number, pid: number): number;
}

export interface PathRemover {
  /** The path is gone when this returns. */
  remove(): void;
}

/** To be called before the sandbox. */
export function startPathRemover(path: string): Result<PathRemover> {
  const calls = loadNative<PathRemoverCalls>();
  const pid = new Int32Array(1);
  const fd = calls.pathRemover(path, pid);
  if (fd < 0) return failure('path-remover-failed', `no process can be started that removes ${path}: ${errnoName(fd)}`);
  return success({
    remove: () => {
      calls.removePath(fd, pid[0]!);
    },
  });
}
