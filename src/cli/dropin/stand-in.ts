/** `tapster pasta`, `tapster passt`, `tapster slirp4netns`: what each does is loaded when it is asked for. */
import type { PastaProgram } from './pasta-options.ts';

/** Runs one of the programs that we stand in for, and returns its exit status. */
export async function standIn(program: string, args: readonly string[]): Promise<number> {
  if (program === 'slirp4netns') {
    const { slirp4netnsCommand } = await import('./slirp4netns-command.ts');
    return slirp4netnsCommand(args);
  }
  const { pastaCommand } = await import('./pasta-command.ts');
  return pastaCommand(program as PastaProgram, args);
}
