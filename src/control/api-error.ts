/** What the API says when it says no: a problem document (RFC 9457) with a stable code. The server writes it, the client throws it. */
import type { Problem } from '../config/problem.ts';

export const PROBLEM_TYPE = 'application/problem+json';

/** `type` of a problem document: a name, not an address. What it means is told by `code`, which is the same. */
const URN = 'urn:tapster:problem:';

export interface ProblemDocument {
  /** `urn:tapster:problem:` and the code. */
  readonly type: string;
  /** The status in words. */
  readonly title: string;
  readonly status: number;
  /** What failed here, with the offending value, and what would be right. */
  readonly detail: string;
  /** Stable and machine-readable, in kebab-case: `interface-unknown`. */
  readonly code: string;
  /** Every mistake of what was sent, where there can be several. */
  readonly problems?: readonly Problem[];
}

/** Thrown by each method of the client. */
export class ApiError extends Error {
  /** Of HTTP; 0: there was no answer. */
  readonly status: number;
  readonly code: string;
  readonly problems: readonly Problem[] | undefined;

  constructor(status: number, code: string, message: string, problems?: readonly Problem[], cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'ApiError';
    this.status = status;
    this.code = code;
    this.problems = problems;
  }
}

export function problemDocument(
  status: number,
  title: string,
  code: string,
  detail: string,
  problems?: readonly Problem[],
): ProblemDocument {
  const document = { type: `${URN}${code}`, title, status, detail, code };
  return problems === undefined ? document : { ...document, problems };
}

/** From the body of an answer that is no success; whatever answered may not be an engine. */
export function readProblem(status: number, body: string): ApiError {
  const document = parsed(body);
  if (typeof document?.code !== 'string' || typeof document.detail !== 'string') {
    return new ApiError(
      status,
      'answer-not-understood',
      `status ${status}, and no word why: is it an engine of Tapster?`,
    );
  }
  const problems = Array.isArray(document.problems) ? document.problems : undefined;
  return new ApiError(status, document.code, document.detail, problems);
}

function parsed(body: string): Partial<ProblemDocument> | undefined {
  try {
    const value: unknown = JSON.parse(body);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}
