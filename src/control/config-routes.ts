/** `/v1/config`: the whole configuration, read and replaced. */
import { stringify } from 'yaml';
import { z } from 'zod';
import { API_CONFIG_BYTES_MAX } from '../base/limits.ts';
import { checkConfig, parseConfig } from '../config/parse-config.ts';
import { CONFIG_SCHEMA } from '../config/schema.ts';
import { type Api, type ApiContext, applied, applyOptions, CHANGE_QUERY, operation } from './api.ts';
import { acceptJson, acceptYaml } from './body-parsers.ts';
import { etagOf } from './revision-tag.ts';
import { APPLY_VIEW, DOCUMENT_VIEW } from './view-schemas.ts';

const TAG = 'configuration';

export function configRoutes(api: Api, context: ApiContext): void {
  acceptJson(api, API_CONFIG_BYTES_MAX);
  acceptYaml(api);

  api.get(
    '/v1/config',
    {
      schema: {
        ...operation('configuration', TAG, 'The configuration as it was applied last, with all defaults.'),
        description: '`ETag` is its revision. As YAML where `Accept` asks for `application/yaml`.',
        response: {
          200: {
            description: 'The configuration.',
            content: {
              'application/json': { schema: DOCUMENT_VIEW },
              'application/yaml': { schema: z.string() },
            },
          },
        },
      },
    },
    async (request, reply) => {
      const { document, revision } = context.editor.document();
      reply.header('etag', etagOf(revision)).header('vary', 'accept');
      if (!/\byaml\b/i.test(request.headers.accept ?? '')) return document;
      return reply.type('application/yaml; charset=utf-8').send(stringify(document));
    },
  );

  api.put(
    '/v1/config',
    {
      schema: {
        ...operation(
          'putConfiguration',
          TAG,
          'Changes the network to what the configuration says, or leaves all as it was.',
        ),
        description:
          'JSON, or YAML (`application/yaml`), whose mistakes are told with line and column. `If-Match`: only if it is at that revision.',
        consumes: ['application/json', 'application/yaml'],
        querystring: CHANGE_QUERY,
        body: CONFIG_SCHEMA,
        response: { 200: APPLY_VIEW },
      },
      // The configuration's own judge finds every mistake, and knows its line.
      validatorCompiler: ({ schema, httpPart }) =>
        httpPart === 'body' ? (value) => ({ value }) : api.validatorCompiler!({ schema, httpPart } as never),
    },
    async (request, reply) => {
      const body: unknown = request.body;
      const parsed = typeof body === 'string' ? parseConfig(body) : checkConfig(body);
      return applied(reply, await context.editor.replace(parsed, applyOptions(request, context)));
    },
  );
}
