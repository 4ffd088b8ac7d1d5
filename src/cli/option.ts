/** Options whose values are judged by the functions in `parse/`, and how a mistake in one is told. */
import { Option } from 'commander';
import type { Parsed } from './parse/parsed.ts';
import { UsageError } from './usage-error.ts';

/** May be given several times: its value is a list. */
export class RepeatableOption extends Option {}

/**
 * An option without a value. `--no-dns` stands beside `--dns`, which commander would make one thing with two states, so that giving both could not be
 * told from giving the last one: all are plain flags here.
 */
export function flag(flags: string, description: string): Option {
  const option = new Option(flags, description);
  option.negate = false;
  return option;
}

export function one<T>(flags: string, description: string, parse: (text: string) => Parsed<T>): Option {
  const option = new Option(flags, description);
  return option.argParser((text: string): T => readValue(option, text, parse));
}

export function many<T>(flags: string, description: string, parse: (text: string) => Parsed<T>): Option {
  const option = new RepeatableOption(flags, description);
  return option.argParser<T[]>((text, earlier): T[] => [...(earlier ?? []), readValue(option, text, parse)]);
}

function readValue<T>(option: Option, text: string, parse: (text: string) => Parsed<T>): T {
  const result = parse(text);
  if (result.ok) return result.value;
  throw new UsageError(`${option.long} ${text === '' ? '""' : text}: ${result.wrong}`, result.right);
}
