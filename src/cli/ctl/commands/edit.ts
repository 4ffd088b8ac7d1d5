/** Changes of lists in the configuration: read, changed and written, and tried again where somebody else was faster. */

import { didYouMean } from '../../../base/spelling.ts';
import { bviName, vlanName } from '../../../config/config.ts';
import { ApiError } from '../../../control/api-error.ts';
import type { Client, ConfigDocument } from '../../../control/client.ts';
import type { ApplyView } from '../../../network/views.ts';
import { CommandError } from '../command.ts';

const TRIES = 3;

/** The patch that `change` makes of what an interface, sub-interface or BVI is configured as. */
export async function editInterface(
  client: Client,
  name: string,
  change: (config: ConfigDocument) => ConfigDocument | Promise<ConfigDocument>,
): Promise<ApplyView> {
  for (let tries = 1; ; tries++) {
    const { document, revision } = await client.configuration();
    const configured = configuredInterfaces(document);
    const config = configured.get(name);
    if (config === undefined) {
      throw new CommandError(`there is no interface ${name}${didYouMean(name, configured.keys())}`);
    }
    try {
      return await client.changeInterface(name, await change(config), { ifRevision: revision });
    } catch (error) {
      if (!(error instanceof ApiError && error.code === 'revision-conflict') || tries === TRIES) throw error;
    }
  }
}

/** A change of a list: entries are the same when `normal` makes the same text of them. */
export interface ListChange {
  readonly key: 'address' | 'publish';
  readonly entry: string;
  readonly normal: (text: string) => string;
  readonly remove: boolean;
}

/** Adds an entry to a list of an interface, or takes it away. */
export function editList(client: Client, name: string, { key, entry, normal, remove }: ListChange): Promise<ApplyView> {
  return editInterface(client, name, (config) => {
    const list = listOf(config, key);
    const others = list.filter((each) => normal(each) !== normal(entry));
    const there = others.length < list.length;
    if (remove && !there) {
      const has = list.length === 0 ? `${name} has none` : `${name} has ${list.join(', ')}`;
      throw new CommandError(`${name} has no ${entry}`, `${has}.`);
    }
    if (!remove && there) throw new CommandError(`${name} has ${entry} already`);
    return { [key]: remove ? others : [...list, entry] };
  });
}

export function listOf(config: ConfigDocument, key: string): readonly string[] {
  return (config[key] ?? []) as readonly string[];
}

/** Everything that packets come and go by, by name. */
export function configuredInterfaces(document: ConfigDocument): Map<string, ConfigDocument> {
  const found = new Map<string, ConfigDocument>();
  for (const [name, config] of entriesOf(document, 'interfaces')) {
    found.set(name, config);
    for (const [vlan, sub] of entriesOf(config, 'vlans')) found.set(vlanName(name, vlan), sub);
  }
  for (const [name, { bvi }] of entriesOf(document, 'bridges')) {
    if (bvi !== undefined) found.set(bviName(name), bvi as ConfigDocument);
  }
  return found;
}

function entriesOf(config: ConfigDocument, key: string): [string, ConfigDocument][] {
  return Object.entries((config[key] ?? {}) as Record<string, ConfigDocument>);
}
