/** What reading an option's value gives: the value, or what is wrong with the text and what would be right. */
export type Parsed<T> = { readonly ok: true; readonly value: T } | Wrong;

export interface Wrong {
  readonly ok: false;
  /** Behind the option and its value: `port 70000 is above 65535`. */
  readonly wrong: string;
  /** A sentence for the second line: `Use ...`. */
  readonly right: string;
}

export function parsed<T>(value: T): Parsed<T> {
  return { ok: true, value };
}

export function wrong(what: string, right: string): Wrong {
  return { ok: false, wrong: what, right };
}
