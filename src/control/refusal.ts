/** Failures of the network as answers of HTTP. */
import { STATUS_CODES } from 'node:http';
import { API_BODY_BYTES_MAX, API_CONFIG_BYTES_MAX, API_YAML_BYTES_MAX } from '../base/limits.ts';
import type { Failure, Result } from '../base/result.ts';
import { ApiError, type ProblemDocument, problemDocument } from './api-error.ts';

/** Failures of the code's ending, where something is asked for by name. */
const STATUSES: readonly (readonly [RegExp, number])[] = [
  [/-(unknown|missing)$/, 404],
  [/-(invalid|wrong|too-long)$/, 422],
  [/-(denied)$/, 403],
];

/**
 * `change`: of the configuration, which was left as it was; that a namespace is missing says nothing of the path that was asked for. `ask`: of anything else.
 * What fits no other status is a conflict with how things are.
 */
export function refused(failure: Failure, what: 'change' | 'ask'): ApiError {
  return new ApiError(statusOf(failure.code, what), failure.code, sentences(failure));
}

/** The value, or an `ApiError` to throw. */
export function unwrap<T>(result: Result<T>): T {
  if (result.ok) return result.value;
  throw refused(result.failure, 'ask');
}

export function toProblem({ status, code, message, problems }: ApiError): ProblemDocument {
  return problemDocument(status, STATUS_CODES[status] ?? 'Error', code, message, problems);
}

/** An error of Fastify's as one of ours: what a client did wrong is told, what we did wrong is not. */
export function fromFramework(error: {
  readonly statusCode?: number;
  readonly code?: string;
  readonly message: string;
}): ApiError {
  const status = error.statusCode ?? 500;
  if (status < 400 || status > 499)
    return new ApiError(500, 'internal-error', 'the engine has a bug: its log says more');
  const [code, message] = FRAMEWORK[error.code ?? ''] ?? ['request-invalid', error.message];
  return new ApiError(status, code, message);
}

const KIB = 1024;

/** Codes of Fastify's that are worth words of our own. */
const FRAMEWORK: Readonly<Record<string, readonly [string, string]>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: [
    'body-too-large',
    `the body is too large: ${API_BODY_BYTES_MAX / KIB} KiB at most; a configuration ${API_CONFIG_BYTES_MAX / KIB} KiB as JSON, ${API_YAML_BYTES_MAX / KIB} KiB as YAML`,
  ],
  FST_ERR_CTP_INVALID_MEDIA_TYPE: [
    'media-type-unsupported',
    'the body is of a type that is not taken here: send application/json, or a configuration as application/yaml',
  ],
  FST_ERR_CTP_EMPTY_JSON_BODY: ['json-invalid', 'the body is no JSON: it is empty'],
};

function statusOf(code: string, what: 'change' | 'ask'): number {
  if (code === 'revision-conflict') return 412;
  if (code === 'config-invalid') return 422;
  if (code === 'engine-closed') return 503;
  const known = what === 'ask' ? STATUSES.find(([ending]) => ending.test(code)) : undefined;
  return known?.[1] ?? 409;
}

function sentences({ message, cause }: Failure): string {
  // Some sentences have their reason in them already.
  if (cause === undefined || message.includes(cause.message)) return message;
  return `${message}: ${sentences(cause)}`;
}
