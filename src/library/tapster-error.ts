/** How the library fails: an Error with a stable code. Inside, outcomes are values (`Result`); they become exceptions at the public surface only. */
import type { Failure, Result } from '../base/result.ts';

/** What the functions of this package throw. The message is a sentence for people: what failed, with the value, and what would be right. */
export class TapsterError extends Error {
  /** Stable and machine-readable, in kebab-case: `tap-exists`. */
  readonly code: string;

  constructor({ code, message, cause }: Failure) {
    super(message, cause === undefined ? undefined : { cause: new TapsterError(cause) });
    this.name = 'TapsterError';
    this.code = code;
  }
}

/** The value of a result; its failure is thrown. */
export function orThrow<T>(result: Result<T>): T {
  if (!result.ok) throw new TapsterError(result.failure);
  return result.value;
}
