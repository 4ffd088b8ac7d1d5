/** What `tapster pasta` and `tapster passt` do before there is a session: the command line, what can't be done, and the way to the background. */
import { writeSync } from 'node:fs';
import { packageVersion } from '../../engine/package-version.ts';
import { isInBackground, startInBackground } from './background.ts';
import { DROPIN_EXIT } from './command-line.ts';
import { readPastaCommandLine } from './pasta-command-line.ts';
import type { PastaOptions, PastaProgram } from './pasta-options.ts';
import { whyNotPasta } from './pasta-refusals.ts';

const STANDARD_OUTPUT = 1;
const STANDARD_ERROR = 2;

/** Returns the exit status. */
export async function pastaCommand(program: PastaProgram, args: readonly string[]): Promise<number> {
  const background = isInBackground();
  const line = readPastaCommandLine(program, args, packageVersion());
  if (line.kind === 'print') {
    writeSync(STANDARD_OUTPUT, line.text);
    return DROPIN_EXIT.success;
  }
  if (line.kind === 'refused') {
    writeSync(STANDARD_ERROR, line.text);
    return DROPIN_EXIT.refused;
  }
  const { options, warnings } = line;
  const missing = whyNotPasta(options);
  if (missing !== undefined) {
    writeSync(STANDARD_ERROR, `${program}: ${missing}\n`);
    return DROPIN_EXIT.refused;
  }
  if (!background && goesToBackground(options)) {
    const { guest } = options;
    return startInBackground(program, guest.kind === 'virtual-machine' ? guest.descriptor : undefined);
  }
  const { runPasta } = await import('./pasta-session.ts');
  return runPasta(options, warnings, background);
}

/** With a command or a shell, the terminal is theirs. */
function goesToBackground({ foreground, guest }: PastaOptions): boolean {
  return !foreground && !(guest.kind === 'namespace' && guest.target.kind === 'new');
}
