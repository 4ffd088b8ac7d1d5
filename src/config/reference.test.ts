import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { it } from 'node:test';
import { toJsonSchema } from './json-schema.ts';
import { configReference } from './reference.ts';

const PAGE = new URL('../../docs/config.md', import.meta.url);

it('docs/config.md is what the schema says (node dist/config/write-reference.js writes it)', () => {
  assert.equal(readFileSync(PAGE, 'utf8'), configReference());
});

it('the schema for editors knows every key, and refuses others', () => {
  const schema = toJsonSchema();
  const { interfaces } = schema.properties!;
  const entry = interfaces!.additionalProperties as typeof schema;
  assert.deepEqual(entry.properties!['tap']!.properties!['offload']!.enum, ['gso', 'csum', 'none']);
  assert.equal(entry.additionalProperties, false);
  assert.deepEqual(Object.keys(schema.properties!), [
    'interfaces',
    'bridges',
    'routes',
    'neighbours',
    'uplink',
    'logging',
    'defaults',
  ]);
});
