/** What is not said is left out of what is sent. */

export function withoutUndefined<T extends object>(values: T): { [Key in keyof T]?: Exclude<T[Key], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, each]) => each !== undefined)) as {
    [Key in keyof T]?: Exclude<T[Key], undefined>;
  };
}

/** What is empty is not said. */
export function orUndefined<T extends object>(values: T): T | undefined {
  return Object.keys(values).length === 0 ? undefined : values;
}
