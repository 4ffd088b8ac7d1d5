/**
 * What all routes of the API have in common: what they are given, how their schemas are read, and how they describe themselves.
 *
 * Answers are not checked against their schemas: the compiler does that, and a listing of a thousand interfaces would be walked once more on the engine's thread.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { FastifyBaseLogger, FastifyInstance, FastifyReply, FastifyRequest, RawServerDefault } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { describeIssue, schemaProblems } from '../config/schema-problems.ts';
import type { ApplyOptions, RunningNetwork } from '../network/running-network.ts';
import type { ApplyView } from '../network/views.ts';
import { ApiError } from './api-error.ts';
import type { ConfigEditor } from './config-editor.ts';
import type { EventHub } from './event-hub.ts';
import type { Metrics } from './metrics.ts';
import { etagOf, revisionOf } from './revision-tag.ts';

export type Api = FastifyInstance<
  RawServerDefault,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  ZodTypeProvider
>;

export interface ApiContext {
  readonly network: RunningNetwork;
  readonly editor: ConfigEditor;
  readonly events: EventHub;
  readonly metrics: Metrics;
  /** Called when somebody asked the engine to end, and was answered. */
  readonly onStop: () => void;
}

/** What stands in the OpenAPI document beside the schemas. */
export interface Operation {
  readonly operationId: string;
  readonly tags: readonly string[];
  readonly summary: string;
  readonly description?: string;
}

/** The operation's name is that of the client's method. */
export function operation(operationId: string, tag: string, summary: string): Operation {
  return { operationId, tags: [tag], summary };
}

const NOWHERE = { line: 0, column: 0 };

/** In the words of the configuration's mistakes. A body that is understood and wrong is 422, anything else 400. */
export function compileValidator({ schema, httpPart }: { schema: unknown; httpPart?: string | undefined }) {
  return (data: unknown): { value: unknown } | { error: ApiError } => {
    const parsed = (schema as z.ZodType).safeParse(data, { error: describeIssue, reportInput: true });
    if (parsed.success) return { value: parsed.data };
    const source = { data, placeOfKey: () => NOWHERE, placeOfValue: () => NOWHERE };
    const problems = schemaProblems(parsed.error, source);
    const [first] = problems;
    const where = first === undefined || first.path.length === 0 ? `the ${httpPart}` : first.path.join('.');
    const [status, code] = httpPart === 'body' ? [422, 'body-invalid'] : [400, 'request-invalid'];
    return { error: new ApiError(status, code, `${where} ${first?.message ?? 'is wrong'}`, problems) };
  };
}

/** Every change can be tried before. */
export const CHANGE_QUERY: z.ZodObject<{ dryRun: z.ZodExactOptional<z.ZodEnum<{ true: 'true'; false: 'false' }>> }> =
  z.strictObject({
    dryRun: z.enum(['true', 'false']).exactOptional().describe('`true`: only say what would be done.'),
  });

/** From the query and `If-Match`: the change is made of that revision, or not at all. */
export function applyOptions(
  request: Pick<FastifyRequest, 'headers'> & { readonly query: { readonly dryRun?: string } },
  context: ApiContext,
): ApplyOptions {
  const dryRun = request.query.dryRun === 'true';
  const tags = request.headers['if-match'];
  if (tags === undefined || tags.trim() === '*') return { dryRun };
  const { revision } = context.network.configuration();
  if (tags.split(',').some((tag) => revisionOf(tag) === revision)) return { dryRun, ifRevision: revision };
  throw new ApiError(412, 'revision-conflict', `the configuration is at revision "${revision}", not at ${tags}`);
}

/** The answer to a change. */
export function applied(reply: Pick<FastifyReply, 'header'>, view: ApplyView): ApplyView {
  reply.header('etag', etagOf(view.revision));
  return view;
}

/** A part of the configuration as a body: judged with the whole document, which says more than its own schema could. */
export const PART: z.ZodType<Readonly<Record<string, unknown>>> = z.record(z.string(), z.unknown());
