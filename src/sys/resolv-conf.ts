/**
 * The resolver's configuration, /etc/resolv.conf (resolv.conf(5)): read, watched on the host, written for the guest.
 *
 * Taken are `nameserver`, `search`, `domain` and `options`; `sortlist` and what is not understood is passed over, as the C library does. Of `search` and `domain`
 * the last one counts. A file that names no server means one on the machine itself.
 */
import { type FSWatcher, openSync, readFileSync, readSync, realpathSync, watch } from 'node:fs';
import { basename, dirname } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { type IpAddress, ipv4Address, parseIpAddress } from '../base/address.ts';

export const RESOLV_CONF_PATH = '/etc/resolv.conf';

/** Beyond these the rest is passed over. The C library takes 3 servers; others (musl, systemd-resolved) have other bounds. */
const FILE_BYTES_MAX = 65_536;
const NAMESERVERS_MAX = 8;
const SEARCH_MAX = 32;
const OPTIONS_MAX = 32;

/** Of a domain name as text (RFC 1035, section 2.3.4). */
const DOMAIN_CHARACTERS_MAX = 254;

/** Programs write the file in several steps. */
const SETTLE_MS = 50;

export interface ResolvConf {
  /** At least one, in the order in which they are asked. */
  readonly nameservers: readonly Nameserver[];
  readonly search: readonly string[];
  readonly options: readonly string[];
}

export interface Nameserver {
  readonly address: IpAddress;
  /** Index of the interface for a link-local address (`fe80::1%eth0`), otherwise 0. */
  readonly scopeId: number;
}

/** `interfaceIndex` resolves the name in `fe80::1%eth0`, undefined where there is none of that name. */
export function parseResolvConf(text: string, interfaceIndex: (name: string) => number | undefined): ResolvConf {
  const nameservers: Nameserver[] = [];
  let search: string[] = [];
  const options: string[] = [];
  for (const line of text.slice(0, FILE_BYTES_MAX).split('\n')) {
    // A comment begins with its line; within a line the C library knows none.
    const [keyword, ...words] = line.split(/[ \t\r]+/);
    const first = words[0];
    if (first === undefined || first === '') continue;
    if (keyword === 'nameserver') {
      const nameserver = parseNameserver(first, interfaceIndex);
      if (nameserver !== undefined) nameservers.push(nameserver);
    } else if (keyword === 'search') search = words.filter(isDomain);
    else if (keyword === 'domain') search = [first].filter(isDomain);
    else if (keyword === 'options') options.push(...words.filter(isOption));
  }
  if (nameservers.length === 0) nameservers.push({ address: ipv4Address(0x7f000001), scopeId: 0 });
  return {
    nameservers: nameservers.slice(0, NAMESERVERS_MAX),
    search: search.slice(0, SEARCH_MAX),
    options: options.slice(0, OPTIONS_MAX),
  };
}

/** The text of a file for the guest. */
export function renderResolvConf(
  nameservers: readonly IpAddress[],
  search: readonly string[],
  options: readonly string[],
): string {
  const lines = nameservers.map((address) => `nameserver ${address}`);
  if (search.length > 0) lines.push(`search ${search.join(' ')}`);
  if (options.length > 0) lines.push(`options ${options.join(' ')}`);
  return lines.map((line) => `${line}\n`).join('');
}

/** The host's, as it is now. A file that can not be read counts as empty. */
export function readResolvConf(path: string = RESOLV_CONF_PATH): ResolvConf {
  return parseResolvConf(readText(path) ?? '', interfaceIndex);
}

/** The file, and what it leads to now. */
export function resolvConfFiles(path: string = RESOLV_CONF_PATH): string[] {
  return [...new Set([path, target(path)])];
}

/**
 * Calls back with the host's new configuration whenever it changes, until closed. Does not keep the program alive. `known` is what the caller has read already: what is
 * different by now is told too.
 *
 * Folders are watched too, since programs replace the file, or the link that leads to it.
 */
export function watchResolvConf(
  changed: (conf: ResolvConf) => void,
  path: string = RESOLV_CONF_PATH,
  known?: ResolvConf,
): { close(): void } {
  let watchers: FSWatcher[] = [];
  let timer: NodeJS.Timeout | undefined;
  let last: string | undefined;
  openInterfaces();

  const reread = (): void => {
    timer = undefined;
    follow();
    const text = readText(path);
    if (text === undefined || text === last) return;
    last = text;
    changed(parseResolvConf(text, interfaceIndex));
  };
  const settle = (): void => {
    timer ??= setTimeout(reread, SETTLE_MS).unref();
  };
  const stop = (): void => {
    for (const watcher of watchers) watcher.close();
    watchers = [];
  };
  const follow = (): void => {
    stop();
    watchers = resolvConfFiles(path).flatMap((file) => watchFile(file, settle));
  };
  follow();
  last = readText(path);
  if (known !== undefined && !isDeepStrictEqual(known, parseResolvConf(last ?? '', interfaceIndex))) {
    last = undefined;
    settle();
  }
  return {
    close: () => {
      clearTimeout(timer);
      stop();
    },
  };
}

/**
 * Two watchers: on the folder, where a new file may take the name, and on the file itself, because a mount point (containers have their resolv.conf as one) is
 * written elsewhere, and its folder hears nothing of it.
 */
function watchFile(file: string, changed: () => void): FSWatcher[] {
  const inFolder = (name: string | null): void => {
    if (name === null || name === basename(file)) changed();
  };
  return [...watchPath(dirname(file), inFolder), ...watchPath(file, changed)];
}

/** One watcher, or none where the path is missing or the system has no more of them: then changes are not seen. */
function watchPath(path: string, changed: (name: string | null) => void): FSWatcher[] {
  try {
    const watcher = watch(path, { persistent: false }, (_event, name) => changed(name));
    watcher.on('error', () => watcher.close());
    return [watcher];
  } catch {
    return [];
  }
}

/** Where the links lead to. */
function target(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

/** Undefined: it may be there, and is kept from us, perhaps by the sandbox: what was known stays. */
function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').slice(0, FILE_BYTES_MAX);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EACCES' ? undefined : '';
  }
}

function parseNameserver(text: string, interfaceIndex: (name: string) => number | undefined): Nameserver | undefined {
  const [before, zone, ...more] = text.split('%');
  const address = more.length > 0 ? undefined : parseIpAddress(before ?? '');
  if (address === undefined) return undefined;
  if (zone === undefined) return { address, scopeId: 0 };
  const scopeId = /^[1-9][0-9]{0,8}$/.test(zone) ? Number(zone) : interfaceIndex(zone);
  return scopeId === undefined ? undefined : { address, scopeId };
}

const INTERFACES_PATH = '/proc/self/net/if_inet6';
const INTERFACES_BYTES_MAX = 65_536;
const LINK_LOCAL = /^fe[89ab]/;
let interfacesFd = -1;

/** It stays open, because it can't be opened any more in the sandbox; and a netlink socket, which else would tell, can't be made. */
function openInterfaces(): number {
  try {
    if (interfacesFd < 0) interfacesFd = openSync(INTERFACES_PATH, 'r');
  } catch {
    // There is no IPv6 on this machine.
  }
  return interfacesFd;
}

/**
 * Every interface that a link-local server can be reached by has a link-local address, and so a line in the kernel's list: address, index in hexadecimal, prefix
 * length, scope, flags, name.
 */
function interfaceIndex(name: string): number | undefined {
  const bytes = Buffer.alloc(INTERFACES_BYTES_MAX);
  let length = 0;
  try {
    length = readSync(openInterfaces(), bytes, 0, bytes.length, 0);
  } catch {
    return undefined;
  }
  for (const line of bytes.toString('latin1', 0, length).split('\n')) {
    const [address = '', index = '', , , , interfaceName] = line.trim().split(/\s+/);
    if (interfaceName === name && LINK_LOCAL.test(address)) return Number.parseInt(index, 16);
  }
  return undefined;
}

/** What may go into a DHCP option or another file: letters, digits, and what is found in names. */
function isDomain(word: string): boolean {
  return word.length <= DOMAIN_CHARACTERS_MAX && /^[\w-]+(\.[\w-]+)*\.?$/.test(word);
}

function isOption(word: string): boolean {
  return /^[\w:-]{1,64}$/.test(word);
}
