/**
 * The API as a Fastify instance that does not listen yet: its limits, its routes, its OpenAPI document, and how mistakes are told. Whatever a handler throws ends
 * here, as a problem document.
 */
import type { Socket } from 'node:net';
import swagger from '@fastify/swagger';
import Fastify, { type FastifyError, type FastifyReply } from 'fastify';
import { createJsonSchemaTransform, createJsonSchemaTransformObject } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { type Api, type ApiContext, compileValidator, operation } from './api.ts';
import { ApiError, PROBLEM_TYPE, problemDocument } from './api-error.ts';
import { acceptJson, BODY_BYTES_MAX } from './body-parsers.ts';
import { configRoutes } from './config-routes.ts';
import { forwardingRoutes } from './forwarding-routes.ts';
import type { Guard } from './guard.ts';
import { bridgeRoutes, interfaceRoutes } from './interface-routes.ts';
import { fromFramework, toProblem } from './refusal.ts';
import { toolRoutes } from './tool-routes.ts';
import { SCHEMA_NAMES } from './view-schemas.ts';
import { watchRoutes } from './watch-routes.ts';

/** Connections at one time; further ones are closed at once. */
export const CONNECTIONS_MAX = 128;
const HEADER_BYTES_MAX = 16 * 1024;
/** For all of a request to arrive. */
const REQUEST_MS_MAX = 30_000;
/** Without a byte in either direction; longer than the longest ping and change. */
const IDLE_MS_MAX = 150_000;
const KEEP_ALIVE_MS = 5000;

export type Log = (level: 'error' | 'warning' | 'info' | 'debug', message: string) => void;

export async function buildApi(context: ApiContext, log: Log, guard?: Guard): Promise<Api> {
  const api: Api = Fastify({
    bodyLimit: BODY_BYTES_MAX,
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
  api.server.maxConnections = CONNECTIONS_MAX;
  api.server.on('drop', () => log('warning', `the API has ${CONNECTIONS_MAX} connections, and refused another one`));
  api.setValidatorCompiler(compileValidator as Parameters<Api['setValidatorCompiler']>[0]);
  api.setSerializerCompiler(() => (data) => JSON.stringify(data));
  api.setErrorHandler((error: FastifyError | ApiError, request, reply) => {
    const told = error instanceof ApiError ? error : fromFramework(error);
    if (told.status >= 500)
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
  await describe(api, context);
  acceptJson(api, BODY_BYTES_MAX);
  await api.register(async (scope) => configRoutes(scope as Api, context));
  interfaceRoutes(api, context);
  bridgeRoutes(api, context);
  forwardingRoutes(api, context);
  watchRoutes(api, context);
  toolRoutes(api, context);
  openApiRoute(api);
  return api;
}

async function describe(api: Api, { network }: ApiContext): Promise<void> {
  const transform = createJsonSchemaTransform({ schemaRegistry: SCHEMA_NAMES });
  await api.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Tapster',
        version: network.engine().version,
        description: 'The API of a running engine, on its UNIX socket, or on a loopback port with a bearer token.',
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      servers: [{ url: 'http://localhost', description: 'By the UNIX socket any name will do.' }],
      security: [{}, { token: [] }],
      components: { securitySchemes: { token: { type: 'http', scheme: 'bearer', description: 'On a port.' } } },
    },
    transform: (route) => {
      const { schema, url } = transform(route as Parameters<typeof transform>[0]);
      return { schema: withRefusals(schema as { response?: object }), url };
    },
    transformObject: createJsonSchemaTransformObject({ schemaRegistry: SCHEMA_NAMES }),
  });
}

/** Every path can refuse, and always in the same way. */
function withRefusals(schema: { readonly response?: object }): object {
  const refusal = { schema: { $ref: '#/components/schemas/Problem' } };
  const content = { [PROBLEM_TYPE]: refusal };
  return { ...schema, response: { ...schema.response, '4XX': { description: 'Refused; `code` says why.', content } } };
}

function openApiRoute(api: Api): void {
  let text: string | undefined;
  api.get(
    '/openapi.json',
    {
      schema: {
        ...operation('openApi', 'engine', 'This document.'),
        response: { 200: z.record(z.string(), z.unknown()).describe('An OpenAPI 3.1 document.') },
      },
    },
    async (_request, reply) => {
      text ??= JSON.stringify(api.swagger());
      return reply
        .type('application/json; charset=utf-8')
        .serializer(String)
        .send(text as never);
    },
  );
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
