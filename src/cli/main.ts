#!/usr/bin/env node
/** The `tapster` command. */
import { EXIT } from './exit.ts';

/** Programs that we stand in for (`dropin/`): others start them, often, and nothing of the commands of our own is loaded for them. */
const STAND_INS: readonly string[] = ['pasta', 'passt', 'slirp4netns'];

// The process is ended rather than left to run out of work: an open handle that was forgotten must not make a user wait. Nothing is lost, because Node
// writes to files, terminals and pipes synchronously on Linux.
try {
  process.exit(await run(process.argv.slice(2)));
} catch (error) {
  // What ends here is our own mistake: say so, with the place.
  process.stderr.write(`tapster: ${error instanceof Error ? error.stack : String(error)}\n`);
  process.exit(EXIT.failed);
}

async function run(args: readonly string[]): Promise<number> {
  const [program = '', ...others] = args;
  if (STAND_INS.includes(program)) {
    const { standIn } = await import('./dropin/stand-in.ts');
    return standIn(program, others);
  }
  const { main } = await import('./program.ts');
  return main(args);
}
