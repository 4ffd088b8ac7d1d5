/**
 * Engines by name, and where their sockets are: `$XDG_RUNTIME_DIR/tapster/NAME.sock`, as root `/run/tapster/NAME.sock`. Several can run beside each other.
 */
import { join } from 'node:path';
import { failure, type Result, success } from '../base/result.ts';

export const DEFAULT_ENGINE_NAME = 'main';

/** A file's name, and short enough for a socket's path (sun_path has 108 bytes). */
const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,31}$/;

/** The folder of the sockets of the present user. */
export function socketFolder(env: NodeJS.ProcessEnv = process.env, uid: number = process.getuid!()): Result<string> {
  if (uid === 0) return success('/run/tapster');
  const base = env['XDG_RUNTIME_DIR'];
  if (base?.startsWith('/')) return success(join(base, 'tapster'));
  return failure(
    'runtime-folder-missing',
    'XDG_RUNTIME_DIR is not set, so there is no folder for the socket: log in with a session, set it to a folder of yours (mode 0700), or give --socket PATH',
  );
}

/** The path of an engine's socket. */
export function socketPathOf(name: string, env?: NodeJS.ProcessEnv, uid?: number): Result<string> {
  if (!NAME.test(name)) {
    return failure(
      'engine-name-invalid',
      `${JSON.stringify(name)} can not be the name of an engine: use 1 to 32 letters, digits, ".", "_" and "-"`,
    );
  }
  const folder = socketFolder(env, uid);
  return folder.ok ? success(join(folder.value, `${name}.sock`)) : folder;
}
