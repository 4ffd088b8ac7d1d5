/** `/v1/interfaces`, what is behind them, and `/v1/bridges`. */
import { z } from 'zod';
import { PORT_NAME } from '../config/hop.ts';
import { OUR_NAME_SCHEMA } from '../config/interface-schema.ts';
import { type Api, type ApiContext, applied, applyOptions, CHANGE_QUERY, operation, PART } from './api.ts';
import { ApiError } from './api-error.ts';
import type { InterfaceDetail } from './client.ts';
import * as edit from './edit-config.ts';
import {
  APPLY_VIEW,
  BRIDGE_VIEW,
  HARDWARE_VIEW,
  INTERFACE_DETAIL,
  INTERFACE_VIEW,
  STATION_VIEW,
  TAP_VIEW,
} from './view-schemas.ts';

const NAME = z.strictObject({ name: z.string().min(1).max(64).describe('As `tap0`, `tap0.100`, `bvi.lan`.') });
const BRIDGE_NAME = z.strictObject({ name: z.string().min(1).max(64).describe('As `lan`.') });

const CONFIG = PART.default({}).describe('What stands under the name in a file: docs/config.md.');

const NEW_INTERFACE = z.strictObject({
  name: z.string().regex(PORT_NAME, { error: 'must be a name, such as tap0, tap0.100 or bvi.lan' }),
  config: CONFIG,
});

const NEW_BRIDGE = z.strictObject({ name: OUR_NAME_SCHEMA, config: CONFIG });

export function interfaceRoutes(api: Api, context: ApiContext): void {
  const { network, editor } = context;

  api.get(
    '/v1/interfaces',
    {
      schema: {
        ...operation('interfaces', 'interfaces', 'All interfaces, with counters.'),
        response: { 200: z.array(INTERFACE_VIEW) },
      },
    },
    async () => network.interfaces(),
  );

  api.post(
    '/v1/interfaces',
    {
      schema: {
        ...operation('createInterface', 'interfaces', 'Makes an interface.'),
        description: '`tap0.100` is a sub-interface of `tap0`, `bvi.lan` the BVI of bridge `lan`.',
        querystring: CHANGE_QUERY,
        body: NEW_INTERFACE,
        response: { 201: APPLY_VIEW },
      },
    },
    async (request, reply) => {
      const { name, config } = request.body;
      const view = await editor.change(edit.createPort(name, config), applyOptions(request, context));
      reply.code(201).header('location', `/v1/interfaces/${encodeURIComponent(name)}`);
      return applied(reply, view);
    },
  );

  api.get(
    '/v1/interfaces/:name',
    {
      schema: {
        ...operation('interface', 'interfaces', 'One interface: its configuration, and how it is.'),
        params: NAME,
        response: { 200: INTERFACE_DETAIL },
      },
    },
    async (request) => interfaceDetail(context, request.params.name),
  );

  api.patch(
    '/v1/interfaces/:name',
    {
      schema: {
        ...operation('changeInterface', 'interfaces', 'Changes an interface by a merge patch (RFC 7396).'),
        description: 'Of what stands under its name in the configuration; what is `null` goes back to its default.',
        consumes: ['application/merge-patch+json', 'application/json'],
        params: NAME,
        querystring: CHANGE_QUERY,
        body: PART,
        response: { 200: APPLY_VIEW },
      },
    },
    async (request, reply) => {
      const change = edit.changePort(request.params.name, request.body);
      return applied(reply, await editor.change(change, applyOptions(request, context)));
    },
  );

  api.delete(
    '/v1/interfaces/:name',
    {
      schema: {
        ...operation(
          'deleteInterface',
          'interfaces',
          'Takes an interface away; not while routes or neighbours name it.',
        ),
        params: NAME,
        querystring: CHANGE_QUERY,
        response: { 200: APPLY_VIEW },
      },
    },
    async (request, reply) => {
      const { name } = request.params;
      const needed = `${name} is still needed`;
      return applied(reply, await editor.change(edit.deletePort(name), applyOptions(request, context), needed));
    },
  );

  api.get(
    '/v1/hardware-interfaces',
    {
      schema: {
        ...operation('hardware', 'interfaces', 'What is behind interfaces: devices, queues, offloads.'),
        response: { 200: z.array(HARDWARE_VIEW) },
      },
    },
    async () => network.hardware(),
  );

  api.get(
    '/v1/taps',
    {
      schema: {
        ...operation('taps', 'interfaces', "The kernel's side of taps."),
        response: { 200: z.array(TAP_VIEW) },
      },
    },
    async () => network.taps(),
  );
}

export function bridgeRoutes(api: Api, context: ApiContext): void {
  const { network, editor } = context;

  api.get(
    '/v1/bridges',
    {
      schema: {
        ...operation('bridges', 'bridges', 'All bridges, with members.'),
        response: { 200: z.array(BRIDGE_VIEW) },
      },
    },
    async () => network.bridges(),
  );

  api.post(
    '/v1/bridges',
    {
      schema: {
        ...operation('createBridge', 'bridges', 'Makes a bridge.'),
        querystring: CHANGE_QUERY,
        body: NEW_BRIDGE,
        response: { 201: APPLY_VIEW },
      },
    },
    async (request, reply) => {
      const { name, config } = request.body;
      const view = await editor.change(edit.createBridge(name, config), applyOptions(request, context));
      return applied(reply.code(201).header('location', `/v1/bridges/${encodeURIComponent(name)}`), view);
    },
  );

  api.get(
    '/v1/bridges/:name',
    {
      schema: { ...operation('bridge', 'bridges', 'One bridge.'), params: BRIDGE_NAME, response: { 200: BRIDGE_VIEW } },
    },
    async ({ params: { name } }) => {
      const found = network.bridges().find((bridge) => bridge.name === name);
      if (found === undefined) throw new ApiError(404, 'bridge-unknown', `there is no bridge ${name}`);
      return found;
    },
  );

  api.patch(
    '/v1/bridges/:name',
    {
      schema: {
        ...operation('changeBridge', 'bridges', 'Changes a bridge by a merge patch (RFC 7396).'),
        consumes: ['application/merge-patch+json', 'application/json'],
        params: BRIDGE_NAME,
        querystring: CHANGE_QUERY,
        body: PART,
        response: { 200: APPLY_VIEW },
      },
    },
    async (request, reply) => {
      const change = edit.changeBridge(request.params.name, request.body);
      return applied(reply, await editor.change(change, applyOptions(request, context)));
    },
  );

  api.delete(
    '/v1/bridges/:name',
    {
      schema: {
        ...operation('deleteBridge', 'bridges', 'Takes a bridge away; not while it has members.'),
        params: BRIDGE_NAME,
        querystring: CHANGE_QUERY,
        response: { 200: APPLY_VIEW },
      },
    },
    async (request, reply) => {
      const { name } = request.params;
      const needed = `bridge ${name} is still needed`;
      return applied(reply, await editor.change(edit.deleteBridge(name), applyOptions(request, context), needed));
    },
  );

  api.get(
    '/v1/l2fib',
    {
      schema: {
        ...operation('stations', 'bridges', 'MAC addresses that bridges know, and where they are.'),
        querystring: z.strictObject({ bridge: z.string().max(64).exactOptional() }),
        response: { 200: z.array(STATION_VIEW) },
      },
    },
    async ({ query: { bridge } }) => network.stations(bridge),
  );
}

function interfaceDetail({ network, editor }: ApiContext, name: string): InterfaceDetail {
  const ofName = <T extends { readonly name: string }>(all: readonly T[]): T | undefined =>
    all.find((each) => each.name === name);
  const config = edit.portIn(editor.documentWithoutLists(), name);
  const present = ofName(network.interfaces());
  if (config === undefined && present === undefined) {
    throw new ApiError(404, 'interface-unknown', `there is no interface ${name}`);
  }
  const [hardware, tap] = [ofName(network.hardware()), ofName(network.taps())];
  return {
    name,
    ...(config === undefined ? {} : { config }),
    ...(present === undefined ? {} : { interface: present }),
    ...(hardware === undefined ? {} : { hardware }),
    ...(tap === undefined ? {} : { tap }),
  };
}
