/** What `tapster run` does. */
import type { RunOptions } from '../engine/run-options.ts';
import { runSession } from '../engine/run-session.ts';
import { reportSession } from './session-report.ts';

/** Returns the exit status. */
export function runCommand(options: RunOptions): Promise<number> {
  return reportSession(options, (hooks) => runSession(options, hooks));
}
