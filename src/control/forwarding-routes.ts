/** `/v1/routes`, `/v1/neighbours`, `/v1/uplink`. */
import { z } from 'zod';
import { API_LIST_MAX } from '../base/limits.ts';
import { type Api, type ApiContext, applied, applyOptions, CHANGE_QUERY, operation, PART } from './api.ts';
import type { ConfigDocument } from './client.ts';
import * as edit from './edit-config.ts';
import { unwrap } from './refusal.ts';
import { APPLY_VIEW, DOCUMENT_VIEW, NEIGHBOUR_VIEW, ROUTE_VIEW } from './view-schemas.ts';

/** Listed where nobody says how many. */
const LISTED_DEFAULT = 1000;

const TEXT = z.string().min(1).max(255);

export const LIMIT: z.ZodType<number> = z.coerce
  .number()
  .int()
  .min(1)
  .max(API_LIST_MAX)
  .default(LISTED_DEFAULT)
  .describe('At most so many.');

/** What else it says is judged with the whole configuration. */
const NEW_ROUTE = z.looseObject({
  to: TEXT.describe('The network, as `10.1.0.0/16`.'),
  via: z.unknown().describe('Where it leads, as in a file: `uplink`, `10.0.0.2`, `[10.0.0.2, 10.0.0.3]`.'),
});

const NEW_NEIGHBOUR = z.looseObject({ interface: TEXT, address: TEXT, mac: TEXT });

export function forwardingRoutes(api: Api, context: ApiContext): void {
  routeRoutes(api, context);
  neighbourRoutes(api, context);
  uplinkRoutes(api, context);
}

function routeRoutes(api: Api, context: ApiContext): void {
  const { network, editor } = context;

  api.get(
    '/v1/routes',
    {
      schema: {
        ...operation('routes', 'forwarding', 'Routes of one family, with what went by each hop.'),
        querystring: z.strictObject({
          family: z.enum(['ipv4', 'ipv6']),
          within: TEXT.exactOptional().describe('An address or a network: routes that cover it or lie under it.'),
          limit: LIMIT,
        }),
        response: { 200: z.array(ROUTE_VIEW) },
      },
    },
    async ({ query: { family, ...query } }) => unwrap(network.routes(family, query)),
  );

  api.post(
    '/v1/routes',
    {
      schema: {
        ...operation('addRoute', 'forwarding', 'Adds a route.'),
        querystring: CHANGE_QUERY,
        body: NEW_ROUTE,
        response: { 201: APPLY_VIEW },
      },
    },
    async (request, reply) => {
      const view = await editor.change(edit.addRoute(request.body), applyOptions(request, context));
      return applied(reply.code(201), view);
    },
  );

  api.delete(
    '/v1/routes',
    {
      schema: {
        ...operation('deleteRoute', 'forwarding', 'Takes a configured route away.'),
        querystring: CHANGE_QUERY.extend({ to: TEXT.describe('Its network.') }),
        response: { 200: APPLY_VIEW },
      },
    },
    async (request, reply) =>
      applied(reply, await editor.change(edit.deleteRoute(request.query.to), applyOptions(request, context))),
  );
}

function neighbourRoutes(api: Api, context: ApiContext): void {
  const { network, editor } = context;

  api.get(
    '/v1/neighbours',
    {
      schema: {
        ...operation('neighbours', 'forwarding', 'Who is on the links, and how sure that is.'),
        querystring: z.strictObject({ interface: TEXT.exactOptional() }),
        response: { 200: z.array(NEIGHBOUR_VIEW) },
      },
    },
    async ({ query }) => network.neighbours(query),
  );

  api.post(
    '/v1/neighbours',
    {
      schema: {
        ...operation('addNeighbour', 'forwarding', "Gives a neighbour's MAC address, which is never asked for then."),
        querystring: CHANGE_QUERY,
        body: NEW_NEIGHBOUR,
        response: { 201: APPLY_VIEW },
      },
    },
    async (request, reply) => {
      const view = await editor.change(edit.addNeighbour(request.body), applyOptions(request, context));
      return applied(reply.code(201), view);
    },
  );

  api.delete(
    '/v1/neighbours',
    {
      schema: {
        ...operation(
          'deleteNeighbour',
          'forwarding',
          'Takes a configured neighbour away; `clear` forgets learnt ones.',
        ),
        querystring: CHANGE_QUERY.extend({ interface: TEXT, address: TEXT }),
        response: { 200: APPLY_VIEW },
      },
    },
    async (request, reply) => {
      const { interface: on, address } = request.query;
      const change = edit.deleteNeighbour(on, address);
      return applied(reply, await editor.change(change, applyOptions(request, context)));
    },
  );
}

function uplinkRoutes(api: Api, context: ApiContext): void {
  const { editor } = context;

  api.get(
    '/v1/uplink',
    {
      schema: {
        ...operation(
          'uplink',
          'forwarding',
          'The way to the world through sockets of the host, as configured; null: none.',
        ),
        response: { 200: DOCUMENT_VIEW.nullable() },
      },
    },
    async (_request, reply) => {
      const { uplink } = editor.documentWithoutLists() as { readonly uplink?: ConfigDocument };
      // Fastify sends no body for null by itself.
      return reply
        .type('application/json; charset=utf-8')
        .serializer(JSON.stringify)
        .send(uplink ?? null);
    },
  );

  api.put(
    '/v1/uplink',
    {
      schema: {
        ...operation('setUplink', 'forwarding', 'Gives the engine an uplink, or changes the one that it has.'),
        querystring: CHANGE_QUERY,
        body: PART,
        response: { 200: APPLY_VIEW },
      },
    },
    async (request, reply) =>
      applied(reply, await editor.change(edit.setUplink(request.body), applyOptions(request, context))),
  );

  api.delete(
    '/v1/uplink',
    {
      schema: {
        ...operation('deleteUplink', 'forwarding', 'Takes the uplink away; not while routes lead there.'),
        querystring: CHANGE_QUERY,
        response: { 200: APPLY_VIEW },
      },
    },
    async (request, reply) => {
      const needed = 'the uplink is still needed';
      return applied(reply, await editor.change(edit.deleteUplink(), applyOptions(request, context), needed));
    },
  );
}
