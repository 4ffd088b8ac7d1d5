/** What can only be looked at: the engine itself, flows, counters, threads, events, metrics. */
import { z } from 'zod';
import { API_LISTENERS_MAX } from '../base/limits.ts';
import { type Api, type ApiContext, operation } from './api.ts';
import { ApiError } from './api-error.ts';
import { LIMIT } from './forwarding-routes.ts';
import {
  ENGINE_VIEW,
  ERROR_VIEW,
  EVENT_TYPES,
  EVENT_VIEW,
  FLOW_PROTOCOL,
  FLOW_VIEW,
  NODE_VIEW,
  THREAD_VIEW,
} from './view-schemas.ts';

const TYPES = z
  .string()
  .transform((text) => text.split(','))
  .refine((types) => types.every((type) => (EVENT_TYPES as readonly string[]).includes(type)), {
    error: `must be of ${EVENT_TYPES.join(', ')}, with commas between`,
  });

export function watchRoutes(api: Api, { network, events, metrics }: ApiContext): void {
  api.get(
    '/v1/engine',
    {
      schema: {
        ...operation('engine', 'engine', 'Which engine this is, and what it lacks.'),
        response: { 200: ENGINE_VIEW },
      },
    },
    async () => network.engine(),
  );

  api.get(
    '/v1/flows',
    {
      schema: {
        ...operation('flows', 'watching', 'Conversations with the host, the newest first.'),
        querystring: z.strictObject({
          interface: z.string().max(64).exactOptional(),
          protocol: FLOW_PROTOCOL.exactOptional(),
          limit: LIMIT,
        }),
        response: { 200: z.array(FLOW_VIEW) },
      },
    },
    async ({ query }) => network.flows(query),
  );

  api.get(
    '/v1/runtime',
    {
      schema: {
        ...operation(
          'runtime',
          'watching',
          'What each node had to do. Times are there from the first time that somebody asked.',
        ),
        response: { 200: z.array(NODE_VIEW) },
      },
    },
    async () => network.runtime(),
  );

  api.get(
    '/v1/errors',
    {
      schema: {
        ...operation('errors', 'watching', 'Packets dropped, by node and reason.'),
        response: { 200: z.array(ERROR_VIEW) },
      },
    },
    async () => network.errors(),
  );

  api.get(
    '/v1/threads',
    {
      schema: {
        ...operation('threads', 'watching', 'Workers, and the queues that they serve.'),
        response: { 200: z.array(THREAD_VIEW) },
      },
    },
    async () => network.threads(),
  );

  api.get(
    '/v1/event-log',
    {
      schema: {
        ...operation('eventLog', 'watching', 'What happened, the newest last.'),
        querystring: z.strictObject({ limit: LIMIT }),
        response: { 200: z.array(EVENT_VIEW) },
      },
    },
    async ({ query: { limit } }) => network.eventLog(limit),
  );

  api.get(
    '/v1/events',
    {
      schema: {
        ...operation('events', 'watching', 'What happens, as server-sent events.'),
        description:
          'Each has the `id` of the event, and the event as JSON. With `Last-Event-ID`, first those behind that one which the event log still has. An event `lost` tells how many were left out, `{"count": 12}`, because they were too many for how fast they were read. Comments come while nothing happens.',
        querystring: z.strictObject({ types: TYPES.exactOptional().describe('With commas between. Left out: all.') }),
        headers: z.object({ 'last-event-id': z.coerce.number().int().min(0).exactOptional() }),
        response: { 200: { description: 'Events.', content: { 'text/event-stream': { schema: z.string() } } } },
      },
    },
    async (request, reply) => {
      if (events.full) {
        throw new ApiError(503, 'listeners-full', `${API_LISTENERS_MAX} listen to events already: close one of them`);
      }
      reply.hijack();
      request.raw.socket.setTimeout(0);
      events.add(reply.raw, request.query.types, request.headers['last-event-id']);
    },
  );

  api.get(
    '/metrics',
    {
      schema: {
        ...operation('metrics', 'watching', "What the network counts, in Prometheus' text format."),
        response: { 200: { description: 'Metrics.', content: { 'text/plain': { schema: z.string() } } } },
      },
    },
    async (_request, reply) => {
      const { contentType, text } = await metrics.text();
      return reply.type(contentType).send(text);
    },
  );
}
