/**
 * `npm start`: sets up what is missing, then runs the main job. With arguments, `npm start -- curl -s https://example.org/`, that is
 * `tapster run --summary` of that command; without, the demonstration, which needs no internet. All in this one process, so that signals and the
 * terminal are the command's as they are with `tapster` itself.
 */
import { setup } from './setup.mjs';

setup('program');
const { main } = await import('../dist/cli/program.js');
const words = process.argv.slice(2);
process.exit(await main(words.length > 0 ? ['run', '--summary', '--', ...words] : ['demo']));
