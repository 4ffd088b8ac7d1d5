/** The schema of `tapster up` as JSON Schema (2020-12), for editors that complete and check YAML. Loads zod: see `schema.ts`. */
import { z } from 'zod';
import { CONFIG_SCHEMA } from './schema.ts';

/** What of JSON Schema is used here. */
export interface JsonSchema {
  readonly $schema?: string;
  readonly title?: string;
  readonly description?: string;
  readonly type?: string;
  readonly default?: unknown;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly examples?: readonly unknown[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly pattern?: string;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: JsonSchema | boolean;
  readonly propertyNames?: JsonSchema;
  readonly items?: JsonSchema;
  readonly anyOf?: readonly JsonSchema[];
}

/** Of what is written in a file: texts where the engine has addresses and durations. */
export function toJsonSchema(): JsonSchema {
  const schema = z.toJSONSchema(CONFIG_SCHEMA, { io: 'input', target: 'draft-2020-12' }) as JsonSchema;
  return { title: 'Configuration of tapster up', ...schema };
}
