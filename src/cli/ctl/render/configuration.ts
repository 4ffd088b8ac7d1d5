/** `show configuration`: YAML, which `tapster apply` reads again. Loads yaml: import it where it is asked for. */
import { stringify } from 'yaml';
import { harmless } from '../../../engine/text.ts';

/** What terminals obey is made harmless. */
export function configurationText(document: unknown): string {
  return stringify(withoutEmpty(document)).split('\n').map(harmless).join('\n');
}

/** Empty lists and mappings are left out: they are what is assumed without them. A mapping stays that has only such in it: that it is there says something. */
function withoutEmpty(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutEmpty);
  if (value === null || typeof value !== 'object') return value;
  const said = Object.entries(value).filter(([, each]) => !isEmpty(each));
  return Object.fromEntries(said.map(([key, each]) => [key, withoutEmpty(each)]));
}

function isEmpty(value: unknown): boolean {
  return value !== null && typeof value === 'object' && Object.keys(value).length === 0;
}
