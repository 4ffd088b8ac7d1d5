/**
 * The API as a Fastify instance that does not listen yet: its limits, its routes, its OpenAPI document, and how mistakes are told. Whatever a handler throws ends
 * here, as a problem document.
 */
import type { Socket } from 'node:net';
import Fastify, { type FastifyError, type FastifyReply } from 'fastify';
import { API_BODY_BYTES_MAX, API_CONNECTIONS_MAX } from '../base/limits.ts';
import { type Api, type ApiContext, compileValidator } from './api.ts';
import { ApiError, PROBLEM_TYPE, problemDocument } from './api-error.ts';
import { acceptJson } from './body-parsers.ts';
import { configRoutes } from './config-routes.ts';
import { forwardingRoutes } from './forwarding-routes.ts';
import type { Guard } from './guard.ts';
import { bridgeRoutes, interfaceRoutes } from './interface-routes.ts';
import { describeApi, openApiRoute } from './openapi.ts';
import { fromFramework, toProblem } from './refusal.ts';
import { toolRoutes } from './tool-routes.ts';
import { watchRoutes } from './watch-routes.ts';

const HEADER_BYTES_MAX = 16 * 1024;
/** For all of a request to arrive. */
const REQUEST_MS_MAX = 30_000;
/** Without a byte in either direction; longer than the longest ping and change. */
const IDLE_MS_MAX = 150_000;
const KEEP_ALIVE_MS = 5000;

export type Log = (level: 'error' | 'warning' | 'info' | 'debug', message: string) => void;

export async function buildApi(context: ApiContext, log: Log, guard?: Guard): Promise<Api> {
  const api: Api = Fastify({
    bodyLimit: API_BODY_BYTES_MAX,
    requestTimeout: REQUEST_MS_MAX,
    connectionTimeout: IDLE_MS_MAX,
    keepAliveTimeout: KEEP_ALIVE_MS,
    forceCloseConnections: true,
    exposeHeadRoutes: false,
    http: { maxHeaderSize: HEADER_BYTES_MAX, headersTimeout: REQUEST_MS_MAX },
    routerOptions: { maxParamLength: 256 },
    clientErrorHandler: answerMalformed,
    frameworkErrors: (error, _request, reply) => sendProblem(reply, fromFramework(error)),
  });
  api.server.maxConnections = API_CONNECTIONS_MAX;
  api.server.on('drop', warnOfDrops(log));
  api.setValidatorCompiler(compileValidator as Parameters<Api['setValidatorCompiler']>[0]);
  api.setSerializerCompiler(() => (data) => JSON.stringify(data));
  api.setErrorHandler((error: FastifyError | ApiError, request, reply) => {
    const told = error instanceof ApiError ? error : fromFramework(error);
    if (told.status === 500)
      log('error', `${request.method} ${request.routeOptions.url}: ${error.stack ?? error.message}`);
    return sendProblem(reply, told);
  });
  api.setNotFoundHandler((request, reply) =>
    sendProblem(reply, new ApiError(404, 'path-unknown', `there is no ${request.method} ${request.url.split('?')[0]}`)),
  );
  api.addHook('onSend', async (_request, reply) => {
    reply.header('cache-control', 'no-store').header('x-content-type-options', 'nosniff');
  });
  if (guard !== undefined) api.addHook('onRequest', async (request) => guard(request.raw));
  await describeApi(api, context.network.engine().version);
  acceptJson(api, API_BODY_BYTES_MAX);
  await api.register(async (scope) => configRoutes(scope as Api, context));
  interfaceRoutes(api, context);
  bridgeRoutes(api, context);
  forwardingRoutes(api, context);
  watchRoutes(api, context);
  toolRoutes(api, context);
  openApiRoute(api);
  return api;
}

/** Connections that are refused come in floods; the log has a line a minute of them. */
function warnOfDrops(log: Log): () => void {
  let quietUntilMs = 0;
  return () => {
    if (performance.now() < quietUntilMs) return;
    quietUntilMs = performance.now() + 60_000;
    log('warning', `the API has ${API_CONNECTIONS_MAX} connections already, and closes further ones`);
  };
}

function sendProblem(reply: FastifyReply, error: ApiError): FastifyReply {
  if (error.status === 401) reply.header('www-authenticate', 'Bearer');
  // A serializer of its own: what the route says of its answers does not hold.
  return reply.code(error.status).type(PROBLEM_TYPE).serializer(JSON.stringify).send(toProblem(error));
}

/** What was no HTTP never became a request. */
function answerMalformed(error: Error & { readonly code?: string }, socket: Socket): void {
  if (socket.destroyed || error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const [status, title, code] =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? [431, 'Request Header Fields Too Large', 'headers-too-large']
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? [408, 'Request Timeout', 'request-timeout']
        : ([400, 'Bad Request', 'http-invalid'] as const);
  const body = JSON.stringify(problemDocument(status as number, title as string, code as string, error.message));
  socket.end(
    `HTTP/1.1 ${status} ${title}\r\nContent-Type: ${PROBLEM_TYPE}\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  );
}
