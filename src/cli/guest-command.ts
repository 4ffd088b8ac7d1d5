/** What `tapster guest` does. */
import type { GuestOptions } from '../engine/guest-options.ts';
import { guestSession } from '../engine/guest-session.ts';
import { shellLine } from '../engine/qemu-arguments.ts';
import { memoryArguments } from '../engine/qemu-memory.ts';
import { reportSession } from './session-report.ts';

/** Returns the exit status. */
export function guestCommand(options: GuestOptions): Promise<number> {
  return reportSession(options, (hooks, say) =>
    guestSession(options, {
      ...hooks,
      listening: (path, words) => {
        if (options.command.length > 0) return;
        // Where to plug in is an answer, which -q must not swallow.
        say(`listening at ${path}; give QEMU`);
        say(`  ${shellLine(words)}`);
        if (options.vhostUserPairs === 0) return;
        say('and memory that is shared, as much as its -m says; for -m 1G');
        say(`  ${shellLine(memoryArguments('1G'))}`);
      },
    }),
  );
}
