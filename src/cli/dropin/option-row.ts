/** An option as a row of a table: how it is written, what help says of it, and what it does to the value that is being read. */
import type { Parsed, Wrong } from '../parse/parsed.ts';
import type { DescribedOption } from './command-line.ts';

export interface OptionRow<D> extends DescribedOption {
  take(draft: D, value: string): Wrong | undefined;
}

/** An empty `short` or `value`: there is none. */
export function row(group: string, short: string, long: string, value: string, about: string): DescribedOption {
  return { ...(short === '' ? {} : { short }), long, ...(value === '' ? {} : { value }), group, about };
}

export function flag<D>(
  group: string,
  short: string,
  long: string,
  about: string,
  set: (draft: D) => void,
): OptionRow<D> {
  return {
    ...row(group, short, long, '', about),
    take: (draft) => {
      set(draft);
      return undefined;
    },
  };
}

export function one<D, T>(
  group: string,
  short: string,
  long: string,
  value: string,
  about: string,
  read: (text: string) => Parsed<T>,
  set: (draft: D, value: T) => void,
): OptionRow<D> {
  return {
    ...row(group, short, long, value, about),
    take: (draft, text) => {
      const result = read(text);
      if (!result.ok) return result;
      set(draft, result.value);
      return undefined;
    },
  };
}
