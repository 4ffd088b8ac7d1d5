/** `tapster pasta`, `tapster passt`, `tapster slirp4netns`: what each does is loaded when it is asked for. */
import { writeSync } from 'node:fs';
import type { PastaProgram } from './pasta-options.ts';

/** Runs one of the programs that we stand in for, and returns its exit status. */
export async function standIn(program: string, args: readonly string[]): Promise<number> {
  if (program === 'slirp4netns') {
    writeSync(2, 'slirp4netns: not built yet\nUse "tapster pasta" where the caller can.\n');
    return 1;
  }
  const { pastaCommand } = await import('./pasta-command.ts');
  return pastaCommand(program as PastaProgram, args);
}
