/**
 * The OpenAPI document (3.1), from the routes' own schemas. Views are written once, under their names; all else stands where it is used. What routes take is
 * described as it is sent, what they answer as it is received.
 */
import swagger, { type FastifyDynamicSwaggerOptions } from '@fastify/swagger';
import { z } from 'zod';
import { CONFIG_SCHEMA } from '../config/schema.ts';
import { type Api, operation } from './api.ts';
import { PROBLEM_TYPE } from './api-error.ts';
import { SCHEMA_NAMES } from './view-schemas.ts';

type Json = Record<string, unknown>;
type Direction = 'input' | 'output';

/** A response as it stands in a route: a schema, or one for each type of content. */
type Response = z.ZodType | { readonly description: string; readonly content: Record<string, { schema: z.ZodType }> };

const CONFIGURATION = 'Configuration';

const ANSWERS: Readonly<Record<string, string>> = {
  '200': 'Done.',
  '201': 'Made.',
  '202': 'It will be done.',
  '204': 'Done; there is nothing to tell.',
};

/** Before any route is added. */
export async function describeApi(api: Api, version: string): Promise<void> {
  await api.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Tapster',
        version,
        description: 'The API of a running engine, on its UNIX socket, or on a loopback port with a bearer token.',
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' } as { name: string },
      },
      servers: [{ url: 'http://localhost', description: 'By the UNIX socket any name will do.' }],
      security: [{}, { token: [] }],
      components: {
        securitySchemes: { token: { type: 'http', scheme: 'bearer', description: 'On a port.' } },
        schemas: namedSchemas() as never,
      },
    },
    transform: (({ schema, url }) => ({ schema: transformed(schema as Json), url })) as NonNullable<
      FastifyDynamicSwaggerOptions['transform']
    >,
  });
}

export function openApiRoute(api: Api): void {
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

function namedSchemas(): Json {
  const views = [...SCHEMA_NAMES].map(([schema, name]) => [name, jsonSchema(schema, 'output')]);
  return { [CONFIGURATION]: jsonSchema(CONFIG_SCHEMA, 'input'), ...Object.fromEntries(views) };
}

function transformed(schema: Json): Json {
  const result: Json = { ...schema, response: responses((schema['response'] ?? {}) as Record<string, Response>) };
  for (const part of ['headers', 'querystring', 'body', 'params']) {
    if (schema[part] !== undefined) result[part] = reference(schema[part] as z.ZodType, 'input');
  }
  return result;
}

/** Every path can refuse, and always in the same way. */
function responses(all: Readonly<Record<string, Response>>): Json {
  const result: Json = {};
  for (const [status, response] of Object.entries(all)) {
    if (response instanceof z.ZodUndefined) {
      // The plugin's word for an answer without a body.
      result[status] = { type: 'null', description: response.description ?? ANSWERS[status] };
      continue;
    }
    const { description, content } = response instanceof z.ZodType ? contentOf(status, response) : response;
    const schemas = Object.entries(content).map(([type, { schema }]) => [
      type,
      { schema: reference(schema, 'output') },
    ]);
    result[status] = { description, content: Object.fromEntries(schemas) };
  }
  const refusal = { schema: { $ref: '#/components/schemas/Problem' } };
  return { ...result, '4XX': { description: 'Refused; `code` says why.', content: { [PROBLEM_TYPE]: refusal } } };
}

function contentOf(status: string, schema: z.ZodType): Exclude<Response, z.ZodType> {
  const description = schema.description ?? ANSWERS[status] ?? 'Done.';
  return { description, content: { 'application/json': { schema } } };
}

function reference(schema: z.ZodType, direction: Direction): Json {
  const name = nameOf(schema);
  return name === undefined ? jsonSchema(schema, direction) : refTo(name);
}

function jsonSchema(root: z.ZodType, io: Direction): Json {
  const { $schema, ...schema } = z.toJSONSchema(root, {
    io,
    target: 'draft-2020-12',
    unrepresentable: 'any',
    override: ({ zodSchema, jsonSchema: json }) => {
      const each = zodSchema as unknown as z.ZodType;
      const name = each === root ? undefined : nameOf(each);
      if (name !== undefined) {
        for (const key of Object.keys(json)) delete json[key];
        Object.assign(json, refTo(name));
      }
      // Whole numbers are safe integers everywhere; saying so each time says nothing.
      if (json.maximum === Number.MAX_SAFE_INTEGER) delete json.maximum;
    },
  });
  return schema;
}

function nameOf(schema: z.ZodType): string | undefined {
  return schema === CONFIG_SCHEMA ? CONFIGURATION : SCHEMA_NAMES.get(schema);
}

function refTo(name: string): Json {
  return { $ref: `#/components/schemas/${name}` };
}
