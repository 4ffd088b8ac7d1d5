#!/usr/bin/env node
/** The `tapster` command. */
import { EXIT } from './exit.ts';
import { main } from './program.ts';

// The process is ended rather than left to run out of work: an open handle that was forgotten must not make a user wait. Nothing is lost, because Node
// writes to files, terminals and pipes synchronously on Linux.
try {
  process.exit(await main(process.argv.slice(2)));
} catch (error) {
  // What ends here is our own mistake: say so, with the place.
  process.stderr.write(`tapster: ${error instanceof Error ? error.stack : String(error)}\n`);
  process.exit(EXIT.failed);
}
