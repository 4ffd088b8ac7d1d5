/** docs/config.md: the reference of the configuration, written from its schema. Loads zod: see `schema.ts`. */
import { type JsonSchema, toJsonSchema } from './json-schema.ts';

const INTRODUCTION = `# Configuration

What \`tapster up\` reads: YAML, or JSON. This page is written from the schema (\`src/config/schema.ts\`) and checked by a test;
to change it, change the schema. Every key can be left out unless it is called required. A file with mistakes is refused as a whole, and every
mistake is told with its line and column.

\`\`\`yaml
interfaces:
  tap0:
    tap: { host: { name: eth0, namespace: red, address: [10.0.0.2/24], gateway: [10.0.0.1] }, queues: 2, offload: gso }
    address: [10.0.0.1/24]
  tap1: { tap: { host: { name: eth0, namespace: blue } }, bridge: lan }
  tap2: { tap: { host: { name: eth0, namespace: "pid:4242" } }, bridge: lan }
bridges: { lan: { ageing: 300s, bvi: { address: [10.1.0.1/24] } } }
uplink: { translate: host }
routes: [{ to: 0.0.0.0/0, via: uplink }, { to: "::/0", via: uplink }]
\`\`\`

Durations have a unit: \`ms\`, \`s\`, \`m\`, \`h\` or \`d\`. \`NAME\` stands for a name of your choice, \`VLAN\` for a number from 1 to 4094.
`;

/** The page. */
export function configReference(): string {
  const sections: string[] = [INTRODUCTION];
  addSection('The file', toJsonSchema(), sections);
  return `${sections.join('\n').trimEnd()}\n`;
}

/** A table of a mapping's keys, and behind it a section for each key that holds a mapping or a list of such. */
function addSection(title: string, schema: JsonSchema, sections: string[]): void {
  const keys = Object.entries(schema.properties ?? {});
  const rows = keys.map(
    ([key, each]) => `| \`${key}\` | ${typeText(each)} | ${defaultText(schema, key, each)} | ${meaning(each)} |`,
  );
  sections.push(`## ${title}\n`, '| key | value | left out | meaning |', '| --- | --- | --- | --- |', ...rows, '');
  const above = title === 'The file' ? '' : `${title.replaceAll('`', '')}.`;
  for (const [key, each] of keys) {
    const inner = innerOf(each);
    if (inner !== undefined) addSection(`\`${above}${key}${inner.suffix}\``, inner.schema, sections);
  }
}

function innerOf(schema: JsonSchema): { readonly schema: JsonSchema; readonly suffix: string } | undefined {
  if (schema.properties !== undefined) return { schema, suffix: '' };
  if (schema.items?.properties !== undefined) return { schema: schema.items, suffix: '[]' };
  const values = schema.additionalProperties;
  if (typeof values !== 'object' || values.properties === undefined) return undefined;
  return { schema: values, suffix: schema.propertyNames?.pattern?.includes('4095') ? '.VLAN' : '.NAME' };
}

function typeText(schema: JsonSchema): string {
  if (schema.const !== undefined) return `\`${schema.const}\``;
  if (schema.enum !== undefined) return schema.enum.map((each) => `\`${each}\``).join(', ');
  if (schema.anyOf !== undefined) return [...new Set(schema.anyOf.map(typeText))].join(', or ');
  switch (schema.type) {
    case 'integer':
      return `${schema.minimum} to ${schema.maximum}`;
    case 'boolean':
      return '`true`, `false`';
    case 'array':
      return schema.items?.properties === undefined && schema.items?.anyOf === undefined
        ? `list of ${typeText(schema.items ?? {})}`
        : 'list';
    case 'string':
      return schema.examples === undefined ? 'text' : `text as \`${schema.examples[0]}\``;
    default:
      return 'mapping';
  }
}

function defaultText(holder: JsonSchema, key: string, schema: JsonSchema): string {
  if (holder.required?.includes(key)) return 'required';
  const value = schema.default;
  if (value === undefined || (typeof value === 'object' && value !== null)) return '';
  return `\`${value}\``;
}

function meaning(schema: JsonSchema): string {
  return (schema.description ?? '').replaceAll('|', '\\|');
}
