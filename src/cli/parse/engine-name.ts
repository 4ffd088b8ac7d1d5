/** Names of engines: see `control/engine-name.ts`. */
import { socketPathOf } from '../../control/engine-name.ts';
import { type Parsed, parsed, wrong } from './parsed.ts';

const RIGHT = 'Use 1 to 32 letters, digits, ".", "_" and "-", the first of them a letter or a digit.';

export function parseEngineName(text: string): Parsed<string> {
  // As root the name alone decides.
  return socketPathOf(text, {}, 0).ok ? parsed(text) : wrong('not the name of an engine', RIGHT);
}
