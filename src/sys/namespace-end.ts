/**
 * Noticing that a network namespace of somebody else has come to its end. The kernel does not tell: what we have open inside keeps it alive. So its name is
 * watched: the process that it was named by (a pidfd), or the path that it is mounted on (inotify).
 */
import { closeSync, type FSWatcher, fstatSync, statSync, watch } from 'node:fs';
import { basename, dirname } from 'node:path';
import { failure, type Result, success } from '../base/result.ts';
import { ERRNO, errnoName } from './errno.ts';
import type { LinuxSys } from './linux.ts';
import type { NetworkNamespace } from './namespace-path.ts';
import { loadNative } from './native.ts';

const OF_PROCESS = /^\/proc\/([1-9][0-9]*)\/(?:task\/[0-9]+\/)?ns\/net$/;

interface ProcessCalls {
  processOpen(pid: number): number;
}

export interface EndWatch {
  close(): void;
}

/**
 * Calls back once when the namespace's process has ended, or when its path is gone or is another file. That may be at once, but not before this returns. Both kinds
 * of watches go on without any right.
 */
export function watchNamespaceEnd(
  sys: Pick<LinuxSys, 'watchReadable' | 'unwatch'>,
  namespace: NetworkNamespace,
  ended: () => void,
): Result<EndWatch> {
  const pid = OF_PROCESS.exec(namespace.path)?.[1];
  return pid === undefined ? watchPath(namespace, ended) : watchProcess(sys, Number(pid), ended);
}

function watchProcess(
  sys: Pick<LinuxSys, 'watchReadable' | 'unwatch'>,
  pid: number,
  ended: () => void,
): Result<EndWatch> {
  const fd = loadNative<ProcessCalls>().processOpen(pid);
  if (fd === -ERRNO.ESRCH) {
    setImmediate(ended);
    return success({ close: () => {} });
  }
  if (fd < 0) return failure('process-watch', `process ${pid} can not be watched: ${errnoName(fd)}`);
  let open = true;
  const close = (): void => {
    if (!open) return;
    open = false;
    sys.unwatch(handle);
    closeSync(fd);
  };
  const handle = sys.watchReadable(fd, () => {
    close();
    ended();
  });
  return success({ close });
}

function watchPath({ path, fd }: NetworkNamespace, ended: () => void): Result<EndWatch> {
  const { ino, dev } = fstatSync(fd);
  let watcher: FSWatcher;
  const look = (): void => {
    if (isThere(path, ino, dev)) return;
    watcher.close();
    ended();
  };
  try {
    watcher = watch(dirname(path), (_event, name) => {
      if (name === null || name === basename(path)) look();
    });
  } catch (error) {
    const { code = String(error) } = error as NodeJS.ErrnoException;
    return failure('path-watch', `the folder of ${path} can not be watched: ${code}`);
  }
  watcher.on('error', () => {});
  // It may have gone before it was watched. Looked at now, with the rights that we have now.
  if (!isThere(path, ino, dev)) setImmediate(look);
  return success({ close: () => watcher.close() });
}

/** A folder that we may not look into any more counts as one without it: only then is there an event of this name. */
function isThere(path: string, ino: number, dev: number): boolean {
  try {
    const found = statSync(path);
    return found.ino === ino && found.dev === dev;
  } catch {
    return false;
  }
}
