/** The host's resolvers, to which DNS is forwarded: /etc/resolv.conf, and whether they answer. */

import { Resolver } from 'node:dns/promises';
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import type { Check } from './check.ts';

const PATH = '/etc/resolv.conf';
const TIMEOUT_MS = 1500;
/** resolv.conf(5), MAXNS. */
const SERVERS_MAX = 3;
/** As many bytes of the file as we would read anyway. */
const FILE_BYTES_MAX = 65_536;
/** Errors that a server has answered with, as Node calls them. */
const ANSWERS = ['ENOTFOUND', 'ENODATA', 'ESERVFAIL', 'EREFUSED', 'EFORMERR', 'ENOTIMP'];

export async function probeResolvers(path: string = PATH): Promise<Check> {
  const id = 'resolvers';
  const title = 'Resolvers';
  const without = 'names can not be looked up inside, save host.tapster.internal';
  let text: string;
  try {
    text = readFileSync(path, 'utf8').slice(0, FILE_BYTES_MAX);
  } catch (error) {
    const found = `${path}: ${(error as NodeJS.ErrnoException).code}`;
    return { id, title, status: 'warning', found, without, fix: `echo "nameserver 9.9.9.9" > ${path}  (as root)` };
  }
  const servers = nameservers(text);
  if (servers.length === 0) {
    const fix = `echo "nameserver 9.9.9.9" >> ${path}  (as root)`;
    return { id, title, status: 'warning', found: `${path} names none`, without, fix };
  }
  const answers = await Promise.all(servers.map(answersAtAll));
  const found = servers.map((server, i) => `${server} ${answers[i] ? 'answers' : 'is silent'}`).join(', ');
  if (answers.includes(true)) return { id, title, status: 'ok', found };
  return { id, title, status: 'warning', found, without, fix: `repair the servers that ${path} names` };
}

export function nameservers(text: string): string[] {
  const servers: string[] = [];
  for (const line of text.split('\n')) {
    const server = /^nameserver\s+(\S+)/.exec(line)?.[1];
    if (server !== undefined && isIP(server) !== 0) servers.push(server);
  }
  return servers.slice(0, SERVERS_MAX);
}

/** Any answer will do, "there is no such name" too. */
async function answersAtAll(server: string): Promise<boolean> {
  const resolver = new Resolver({ timeout: TIMEOUT_MS, tries: 1 });
  try {
    resolver.setServers([isIP(server) === 6 ? `[${server}]` : server]);
    await resolver.resolve('localhost', 'A');
    return true;
  } catch (error) {
    return ANSWERS.includes((error as NodeJS.ErrnoException).code ?? '');
  }
}
