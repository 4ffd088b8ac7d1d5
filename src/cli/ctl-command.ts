/** What `tapster ctl` does: one command, a session on a terminal, or the lines of the standard input. */
import { readFileSync } from 'node:fs';
import { isatty } from 'node:tty';
import { connect } from '../control/client.ts';
import { layoutFor } from '../engine/table-layout.ts';
import { lineOfWords } from './ctl/line.ts';
import { type Outcome, Session } from './ctl/session.ts';
import { runShell } from './ctl/shell.ts';
import { connectOptions, type EngineFlags, engineLabel } from './engine-flags.ts';
import { EXIT } from './exit.ts';
import type { Output } from './output.ts';

export interface CtlFlags extends EngineFlags {
  readonly json?: true;
}

export async function ctlCommand(words: readonly string[], flags: CtlFlags, output: Output): Promise<number> {
  const options = connectOptions(flags);
  const layout = isatty(1) ? layoutFor(process.stdout) : layoutFor({ isTTY: false });
  const session = new Session({ connect: () => connect(options), out: output.out, error: output.error, layout });
  try {
    return statusOf(await runWords(session, words, flags));
  } finally {
    await session.close();
  }
}

async function runWords(session: Session, words: readonly string[], flags: CtlFlags): Promise<Outcome> {
  const interrupt = (): void => session.interrupt();
  if (words.length > 0) {
    process.on('SIGINT', interrupt);
    const line = lineOfWords(words);
    return session.run(flags.json ? { ...line, json: true } : line);
  }
  if (isatty(0) && isatty(1)) {
    await runShell(session, process.stdin, process.stdout, `tapster ${engineLabel(flags)}> `);
    return 'done';
  }
  process.on('SIGINT', interrupt);
  return session.runText(readFileSync(0, 'utf8'), 'standard input');
}

function statusOf(outcome: Outcome): number {
  switch (outcome) {
    case 'usage':
      return EXIT.usage;
    case 'failed':
      return EXIT.refused;
    case 'interrupted':
      return EXIT.interrupted;
    default:
      return EXIT.success;
  }
}
