/** `--publish [ADDR:]PORT[-PORT][:TOPORT][/tcp|/udp]`: connections to the host's ports reach the command. What the text means: `config/publish.ts`. */
import { readPublish } from '../../config/publish.ts';
import type { PublishRule } from '../../engine/run-options.ts';
import { type Parsed, parsed, wrong } from './parsed.ts';

const RIGHT = 'Use [ADDR:]PORT[-PORT][:TOPORT][/tcp|/udp], for example 8080:80, [::1]:8080:80 or 5353:53/udp.';

export function parsePublish(text: string): Parsed<PublishRule> {
  const read = readPublish(text);
  if ('wrong' in read) return wrong(read.wrong, read.right === undefined ? RIGHT : sentence(read.right));
  const { toAddress, ...rule } = read;
  if (toAddress !== undefined) return wrong(`leads to ${toAddress}, but all ports lead to the command`, RIGHT);
  return parsed(rule);
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}
