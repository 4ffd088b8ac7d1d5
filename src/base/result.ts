/** The outcome of a control-plane operation: a value, or a failure with a stable code and a sentence that says what to do. */
export type Result<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly failure: Failure };

export interface Failure {
  /** Stable and machine-readable, in kebab-case: `tun-device-denied`. */
  readonly code: string;
  /** A sentence for people: what failed, with the offending value, and what would be right. */
  readonly message: string;
  readonly cause?: Failure;
}

export function success<T>(value: T): Result<T> {
  return { ok: true, value };
}

export function failure(
  code: string,
  message: string,
  cause?: Failure,
): { readonly ok: false; readonly failure: Failure } {
  return { ok: false, failure: cause === undefined ? { code, message } : { code, message, cause } };
}
