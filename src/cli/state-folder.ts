/** `$XDG_STATE_HOME/tapster`, where what outlives a program is kept: history, logs (XDG Base Directory Specification 0.8). */
import { join } from 'node:path';

/** Undefined: the user has neither it nor a home. It may not be there yet. */
export function stateFolder(env: NodeJS.ProcessEnv = process.env): string | undefined {
  const state = env['XDG_STATE_HOME'];
  if (state?.startsWith('/')) return join(state, 'tapster');
  const home = env['HOME'];
  return home?.startsWith('/') ? join(home, '.local', 'state', 'tapster') : undefined;
}
