/** Tracing, captures, pings, clearing; and the end of the engine. */
import { z } from 'zod';
import { FILTER_TEXT_MAX, FRAME_BYTES_MAX, PING_BYTES_MAX, PINGS_MAX, TRACE_PACKETS_MAX } from '../base/limits.ts';
import { CLEARABLE } from '../network/running-network.ts';
import { type Api, type ApiContext, operation } from './api.ts';
import { ApiError } from './api-error.ts';
import { unwrap } from './refusal.ts';
import { CAPTURE_VIEW, PING_VIEW, TRACE_VIEW } from './view-schemas.ts';

/** A ping that takes longer is several. */
const PING_MS_MAX = 60_000;
const PING_COUNT_DEFAULT = 5;
const PING_INTERVAL_MS_DEFAULT = 1000;
const CAPTURE_BYTES_MAX = 2 ** 40;
const CAPTURE_PACKETS_MAX = 2 ** 40;

const NAME = z.string().min(1).max(64);
const FILTER = z.string().min(1).max(FILTER_TEXT_MAX).describe('As pcap-filter(7) has it.');

const NOTHING = z.undefined().describe('Done.');

const TRACE = z.strictObject({
  node: NAME.describe('One of `GET /v1/nodes`.'),
  count: z.int().min(1).max(TRACE_PACKETS_MAX),
  filter: FILTER.exactOptional(),
});

const CAPTURE = z.strictObject({
  name: NAME.exactOptional().describe("Left out: the interface's."),
  interface: NAME.describe('`any`: all that there are, and those that come.'),
  file: z
    .string()
    .max(4095)
    .refine((path) => path.startsWith('/') && !path.includes('\0'), { error: 'must be an absolute path' })
    .describe("On the engine's machine. It must not be there."),
  directions: z
    .array(z.enum(['rx', 'tx']))
    .min(1)
    .max(2)
    .exactOptional(),
  filter: FILTER.exactOptional(),
  packetsMax: z.int().min(1).max(CAPTURE_PACKETS_MAX).exactOptional(),
  bytesMax: z.int().min(1).max(CAPTURE_BYTES_MAX).exactOptional(),
  bytesPerPacketMax: z.int().min(1).max(FRAME_BYTES_MAX).exactOptional(),
});

const PING = z.strictObject({
  address: NAME,
  count: z.int().min(1).max(PINGS_MAX).exactOptional(),
  intervalMs: z.int().min(10).max(PING_MS_MAX).exactOptional(),
  size: z.int().min(0).max(PING_BYTES_MAX).exactOptional(),
  interface: NAME.exactOptional().describe('For link-local addresses.'),
});

export function toolRoutes(api: Api, context: ApiContext): void {
  traceRoutes(api, context);
  captureRoutes(api, context);
  const { network, onStop } = context;

  api.post(
    '/v1/clear',
    {
      schema: {
        ...operation('clear', 'tools', 'Forgets what was counted, recorded or learnt.'),
        body: z.strictObject({ what: z.enum(CLEARABLE) }),
        response: { 204: NOTHING },
      },
    },
    async (request, reply) => {
      network.clear(request.body.what);
      return reply.code(204).send();
    },
  );

  api.post(
    '/v1/ping',
    {
      schema: {
        ...operation(
          'ping',
          'tools',
          'Sends echo requests from our own address on the way there, and waits for the answers.',
        ),
        body: PING,
        response: { 200: PING_VIEW },
      },
    },
    async ({ body }) => {
      const { count = PING_COUNT_DEFAULT, intervalMs = PING_INTERVAL_MS_DEFAULT } = body;
      if (count * intervalMs > PING_MS_MAX) {
        const message = `${count} pings every ${intervalMs} ms take longer than ${PING_MS_MAX / 1000} s: send fewer, or faster`;
        throw new ApiError(422, 'ping-too-long', message);
      }
      return unwrap(await network.ping({ ...body, count, intervalMs }));
    },
  );

  api.post(
    '/v1/stop',
    {
      schema: {
        ...operation('stopEngine', 'engine', 'Ends the engine, once this is answered.'),
        response: { 202: z.undefined().describe('It ends.') },
      },
    },
    async (_request, reply) => {
      reply.raw.once('close', onStop);
      return reply.code(202).send();
    },
  );
}

function traceRoutes(api: Api, { network }: ApiContext): void {
  api.get(
    '/v1/nodes',
    {
      schema: {
        ...operation('nodes', 'tools', 'Nodes that packets can be traced at.'),
        response: { 200: z.array(z.string()) },
      },
    },
    async () => network.nodes(),
  );

  api.post(
    '/v1/trace',
    {
      schema: {
        ...operation('addTrace', 'tools', 'Asks for the way of the next packets that enter a node.'),
        body: TRACE,
        response: { 201: z.strictObject({ node: z.string(), count: z.int() }) },
      },
    },
    async ({ body: { node, count, filter } }, reply) =>
      reply.code(201).send(unwrap(network.addTrace(node, count, filter))),
  );

  api.get(
    '/v1/trace',
    {
      schema: {
        ...operation('traces', 'tools', 'Every node that a traced packet passed, with what it decided.'),
        response: { 200: z.array(TRACE_VIEW) },
      },
    },
    async () => network.traces(),
  );

  api.delete(
    '/v1/trace',
    {
      schema: {
        ...operation('clearTrace', 'tools', 'Forgets what was traced, and asks for no more.'),
        response: { 204: NOTHING },
      },
    },
    async (_request, reply) => {
      network.clear('trace');
      return reply.code(204).send();
    },
  );
}

function captureRoutes(api: Api, { network }: ApiContext): void {
  api.post(
    '/v1/captures',
    {
      schema: {
        ...operation('startCapture', 'tools', 'Writes the packets of an interface to a file, as pcap.'),
        body: CAPTURE,
        response: { 201: CAPTURE_VIEW },
      },
    },
    async ({ body }, reply) => {
      const capture = unwrap(network.startCapture(body));
      reply.header('location', `/v1/captures/${encodeURIComponent(capture.name)}`);
      return reply.code(201).send(capture);
    },
  );

  api.get(
    '/v1/captures',
    {
      schema: {
        ...operation('captures', 'tools', 'Captures, those that have ended too.'),
        response: { 200: z.array(CAPTURE_VIEW) },
      },
    },
    async () => network.captures(),
  );

  api.get(
    '/v1/captures/:name',
    {
      schema: {
        ...operation('capture', 'tools', 'One capture.'),
        params: z.strictObject({ name: NAME }),
        response: { 200: CAPTURE_VIEW },
      },
    },
    async ({ params: { name } }) => {
      const found = network.captures().find((capture) => capture.name === name);
      if (found === undefined) throw new ApiError(404, 'capture-unknown', `there is no capture ${name}`);
      return found;
    },
  );

  api.delete(
    '/v1/captures/:name',
    {
      schema: {
        ...operation('stopCapture', 'tools', 'Ends a capture; its file is whole then.'),
        params: z.strictObject({ name: NAME }),
        response: { 200: CAPTURE_VIEW },
      },
    },
    async ({ params: { name } }) => unwrap(await network.stopCapture(name)),
  );
}
