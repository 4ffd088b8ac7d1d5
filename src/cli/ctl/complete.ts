/** What Tab offers: words of the grammar, names that the engine knows, files. */
import { readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Client } from '../../control/client.ts';
import { harmless } from '../../engine/text.ts';
import type { Command } from './command.ts';
import { type Line, readLine } from './line.ts';
import type { Grammar } from './parser.ts';
import type { Source } from './value-types.ts';

/** Offered at most: more are no help. */
const OFFERED_MAX = 200;

/** The words that can stand where the last one of `text` does, and that one, as node:readline wants them. */
export async function complete(
  grammar: Grammar<Command>,
  text: string,
  client: () => Promise<Client>,
): Promise<[offers: string[], partial: string]> {
  const { before, partial } = splitLast(text);
  const { words, sources } = grammar.complete(before, partial);
  const names = (await Promise.all(sources.map((source) => namesOf(source, partial, client)))).flat();
  const all = [...words, ...new Set(names.filter((name) => name.startsWith(partial)).sort())];
  const offers = all.slice(0, OFFERED_MAX);
  // One that is whole is followed by the next word; a folder is not whole.
  return [offers.length === 1 && !offers[0]!.endsWith('/') ? [`${offers[0]} `] : offers, partial];
}

/** The last word, and the line before it. */
export function splitLast(text: string): { readonly before: Line; readonly partial: string } {
  const partial = /\S*$/.exec(text)![0];
  return { before: readLine(text.slice(0, text.length - partial.length)), partial };
}

/** Nothing, where the engine does not answer: Tab is no question worth an error. */
async function namesOf(source: Source, partial: string, client: () => Promise<Client>): Promise<string[]> {
  if (source === 'file') return files(partial);
  try {
    const found = await ask(source, await client());
    return found.filter((name) => harmless(name) === name);
  } catch {
    return [];
  }
}

async function ask(source: Exclude<Source, 'file'>, client: Client): Promise<string[]> {
  const nameOf = ({ name }: { readonly name: string }): string => name;
  switch (source) {
    case 'interface':
      return (await client.interfaces()).map(nameOf);
    case 'tap':
      return (await client.taps()).map(nameOf);
    case 'bridge':
      return (await client.bridges()).map(nameOf);
    case 'node':
      return client.nodes();
    case 'capture':
      return (await client.captures()).map(nameOf);
  }
}

function files(partial: string): string[] {
  const folder = partial.endsWith('/') ? partial : dirname(partial || '.');
  const begun = partial.endsWith('/') ? '' : basename(partial);
  try {
    const entries = readdirSync(folder, { withFileTypes: true }).filter(({ name }) => name.startsWith(begun));
    const inFolder = partial.includes('/') ? folder : '';
    return entries.map((entry) => `${join(inFolder, entry.name)}${entry.isDirectory() ? '/' : ''}`);
  } catch {
    return [];
  }
}
