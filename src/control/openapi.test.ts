/** The OpenAPI document: whole, consistent in itself, and what docs/api.md says. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { raw, type Served, serve } from './server-fixture.test.ts';

const PAGE = new URL('../../docs/api.md', import.meta.url);

interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly tags: readonly string[];
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly required?: boolean }[];
  readonly requestBody?: { readonly content: Record<string, unknown> };
  readonly responses: Record<string, { readonly description: string; readonly content?: Record<string, unknown> }>;
}

interface Document {
  readonly openapi: string;
  readonly paths: Record<string, Record<string, Operation>>;
  readonly components: { readonly schemas: Record<string, { properties?: Record<string, { description?: string }> }> };
}

let served: Served;
let document: Document;
let operations: { readonly method: string; readonly path: string; readonly operation: Operation }[];

before(async () => {
  served = await serve();
  document = JSON.parse((await raw(served, 'GET', '/openapi.json')).text) as Document;
  operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ method: method.toUpperCase(), path, operation })),
  );
});

after(() => served.close());

describe('the OpenAPI document', () => {
  it('is of version 3.1, and has every route', () => {
    assert.equal(document.openapi, '3.1.0');
    assert.deepEqual(Object.keys(document.paths).sort(), [
      '/metrics',
      '/openapi.json',
      '/v1/bridges',
      '/v1/bridges/{name}',
      '/v1/captures',
      '/v1/captures/{name}',
      '/v1/clear',
      '/v1/config',
      '/v1/engine',
      '/v1/errors',
      '/v1/event-log',
      '/v1/events',
      '/v1/flows',
      '/v1/hardware-interfaces',
      '/v1/interfaces',
      '/v1/interfaces/{name}',
      '/v1/l2fib',
      '/v1/neighbours',
      '/v1/nodes',
      '/v1/ping',
      '/v1/routes',
      '/v1/runtime',
      '/v1/stop',
      '/v1/taps',
      '/v1/threads',
      '/v1/trace',
      '/v1/uplink',
    ]);
  });

  it('describes each operation, with a name of its own', () => {
    const names = operations.map(({ operation }) => operation.operationId);
    assert.equal(new Set(names).size, names.length);
    for (const { method, path, operation } of operations) {
      const what = `${method} ${path}`;
      assert.match(operation.summary, /\.$/, what);
      assert.equal(operation.tags.length, 1, what);
      assert.ok(
        Object.keys(operation.responses).some((status) => status.startsWith('2')),
        what,
      );
      assert.ok('application/problem+json' in operation.responses['4XX']!.content!, what);
      for (const { description } of Object.values(operation.responses)) {
        assert.notEqual(description, 'Default Response', what);
      }
      assert.equal('requestBody' in operation, ['POST', 'PUT', 'PATCH'].includes(method) && path !== '/v1/stop', what);
      const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      const told = (operation.parameters ?? []).filter((each) => each.in === 'path').map(({ name }) => name);
      assert.deepEqual(told, inPath, what);
    }
  });

  it('refers to schemas that are there, and has none for nothing', () => {
    const text = JSON.stringify(document);
    const named = new Set([...text.matchAll(/"#\/components\/schemas\/(\w+)"/g)].map(([, name]) => name!));
    assert.deepEqual([...named].sort(), Object.keys(document.components.schemas).sort());
    assert.ok(!text.includes('"$ref":"#/definitions') && !text.includes('"$schema"'));
  });

  it('says what values mean', () => {
    const { schemas } = document.components;
    assert.equal(schemas['Interface']?.properties?.['up']?.description, 'Admin state.');
    assert.match(schemas['Configuration']?.properties?.['uplink']?.description ?? '', /sockets of the host/);
  });

  it('tells of the types that bodies may have', () => {
    const types = (path: string, method: string): string[] =>
      Object.keys(document.paths[path]?.[method]?.requestBody?.content ?? {});
    assert.deepEqual(types('/v1/config', 'put'), ['application/json', 'application/yaml']);
    assert.deepEqual(types('/v1/interfaces/{name}', 'patch'), ['application/merge-patch+json', 'application/json']);
  });
});

it('docs/api.md has each operation in its section, and no other', () => {
  const page = readFileSync(PAGE, 'utf8');
  const rows: string[] = [];
  let section = '';
  for (const line of page.split('\n')) {
    section = /^## (.+)/.exec(line)?.[1]?.toLowerCase() ?? section;
    if (/^\| `[A-Z]+ \//.test(line)) rows.push(`${section} ${line}`);
  }
  const wanted = operations.map(
    ({ method, path, operation: { operationId, summary, tags } }) =>
      `${tags[0]} | \`${method} ${path}\` | \`${operationId}\` | ${summary} |`,
  );
  assert.deepEqual(rows.sort(), wanted.sort());
});
