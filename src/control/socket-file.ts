/**
 * The file of a UNIX socket that only its owner may use. It is bound in a folder of its own that nobody else can enter, gets its permissions there, and only
 * then its name: so it is never there with others. A name that is left of an engine that died is taken over; one at which somebody answers is not.
 */
import { chmod, link, lstat, mkdir, mkdtemp, rename, rm, unlink } from 'node:fs/promises';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import { SOCKET_PATH_BYTES_MAX } from '../base/limits.ts';
import { failure, type Result, success } from '../base/result.ts';

/** A socket of this machine answers at once, or its owner hangs. */
const PROBE_MS = 2000;

export interface SocketFile {
  readonly path: string;
  /** Takes the file away, if it is still ours. */
  remove(): Promise<void>;
}

/** `listen` binds the path that it is given, and no other. */
export async function makeSocketFile(
  path: string,
  listen: (privatePath: string) => Promise<unknown>,
): Promise<Result<SocketFile>> {
  if (!path.startsWith('/')) return failure('socket-path-invalid', `the path of a socket is absolute: ${path}`);
  const folder = dirname(path);
  const longest = Math.max(Buffer.byteLength(path), Buffer.byteLength(privatePathIn(join(folder, '.XXXXXX'))));
  if (longest > SOCKET_PATH_BYTES_MAX) {
    return failure('socket-path-invalid', `the path of a socket has at most ${SOCKET_PATH_BYTES_MAX} bytes: ${path}`);
  }
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const privateFolder = await mkdtemp(join(folder, '.'));
    try {
      const freed = await freeName(path, privateFolder);
      if (!freed.ok) return freed;
      const bound = privatePathIn(privateFolder);
      await listen(bound);
      await chmod(bound, 0o600);
      const { ino, dev } = await lstat(bound);
      if (!(await linked(bound, path))) return taken(path);
      return success({ path, remove: () => removeOwn(path, ino, dev) });
    } finally {
      await rm(privateFolder, { recursive: true, force: true });
    }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return failure('socket-failed', `no socket can be made at ${path} (${code ?? message})`);
  }
}

/** False: somebody else has taken the name. */
async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

function privatePathIn(folder: string): string {
  return join(folder, 's');
}

/** Moves a dead socket out of the way. Looks again at what it moved: another engine may have taken the name in between. */
async function freeName(path: string, privateFolder: string): Promise<Result<undefined>> {
  const found = await lstat(path).catch(() => undefined);
  if (found === undefined) return success(undefined);
  if (!found.isSocket())
    return failure('socket-path-taken', `${path} is there and is no socket: remove it, or choose another path`);
  if (await answers(path)) return taken(path);
  const aside = join(privateFolder, 'stale');
  await rename(path, aside);
  const moved = await lstat(aside);
  if (moved.ino === found.ino && moved.dev === found.dev) return success(undefined);
  await link(aside, path);
  return taken(path);
}

function taken(path: string): Result<never> {
  return failure(
    'engine-running',
    `an engine listens at ${path} already: end it with \`tapster down\`, or give this one another name with --name`,
  );
}

/** Whether somebody accepts. Who does not within the time may hang, and still has the name. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    const end = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(PROBE_MS, () => end(true));
    socket.once('connect', () => end(true));
    socket.once('error', ({ code }: NodeJS.ErrnoException) => end(code !== 'ECONNREFUSED' && code !== 'ENOENT'));
  });
}

async function removeOwn(path: string, ino: number, dev: number): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (found?.ino === ino && found.dev === dev) await unlink(path).catch(() => {});
}
