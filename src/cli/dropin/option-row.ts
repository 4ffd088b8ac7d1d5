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

/** An option without a value: what it makes of the draft's fields. */
export function flag<D extends object>(
  group: string,
  short: string,
  long: string,
  about: string,
  fields: Partial<NoInfer<D>>,
): OptionRow<D> {
  return {
    ...row(group, short, long, '', about),
    take: (draft) => {
      Object.assign(draft, fields);
      return undefined;
    },
  };
}

/** An option with a value, and the field that this is read into. */
export function one<D, K extends keyof D>(
  group: string,
  short: string,
  long: string,
  value: string,
  about: string,
  read: (text: string) => Parsed<D[K]>,
  field: K,
): OptionRow<D> {
  return {
    ...row(group, short, long, value, about),
    take: (draft, text) => {
      const result = read(text);
      if (!result.ok) return result;
      draft[field] = result.value;
      return undefined;
    },
  };
}
