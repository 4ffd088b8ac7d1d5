/**
 * `[ADDR:]PORT[-PORT][:[TOADDR:]TOPORT][/tcp|/udp]`: ports of the host that lead to somebody behind an interface. The one reader of this text: `--publish` of
 * `tapster run` has it without TOADDR, since there is one guest.
 *
 * | text                        | means                                                            |
 * | --------------------------- | ---------------------------------------------------------------- |
 * | `8080`                      | port 8080 of all the host's addresses, both families, to the same |
 * | `8080:80`                   | port 8080 to port 80                                             |
 * | `127.0.0.1:8080:80`         | the same, at one address                                         |
 * | `[::1]:8080:80/tcp`         | an IPv6 address stands in brackets                               |
 * | `9000-9009:7000/udp`        | ten ports: 9000 to 7000, 9001 to 7001, ...                       |
 * | `8080:[fd00::2]:80`         | to port 80 of fd00::2                                            |
 * | `0:80`                      | the kernel picks a port; in a configuration there is no such     |
 */
import { type IpAddress, isIpv4, isLoopback, isMulticast, isUnspecified, parseIpAddress } from '../base/address.ts';
import { PORT_MAX } from '../base/port-set.ts';
import type { PublishConfig } from './config.ts';

/** Each port is a listening socket or two: a range is bounded so that a slip of the pen does not use up all descriptors. */
export const PUBLISHED_PORTS_MAX: number = 1024;

const RIGHT = 'write [ADDR:]PORT[-PORT][:[TOADDR:]TOPORT][/tcp|/udp], such as 8080:80 or 8080:[fd00::2]:80/udp';

/** What the text says. */
export interface PublishText extends Omit<PublishConfig, 'toPort'> {
  /** Undefined: it does not say, so the same as outside. */
  readonly toPort: number | undefined;
}

/** What is wrong with the text, and, where that is not the grammar, what would be right. */
export interface PublishProblem {
  readonly wrong: string;
  readonly right?: string;
}

interface Endpoint {
  readonly address: IpAddress | undefined;
  readonly ports: string;
}

export function readPublish(text: string): PublishText | PublishProblem {
  const slash = text.lastIndexOf('/');
  const protocol = slash < 0 ? 'tcp' : text.slice(slash + 1);
  if (protocol !== 'tcp' && protocol !== 'udp') return { wrong: `"${protocol}" is neither tcp nor udp` };
  const parts = cut(slash < 0 ? text : text.slice(0, slash));
  if ('wrong' in parts) return parts;
  const at = takeEndpoint(parts);
  if ('wrong' in at) return at;
  const to = parts.length === 0 ? { address: undefined, ports: undefined } : takeEndpoint(parts);
  if ('wrong' in to) return to;
  if (parts.length > 0) return { wrong: 'has too many parts' };
  if (to.address !== undefined && (isUnspecified(to.address) || isLoopback(to.address))) {
    return { wrong: `${to.address} is nobody's address behind an interface` };
  }
  const range = readRange(at.ports);
  if ('wrong' in range) return range;
  const toPort = to.ports === undefined ? undefined : readPort(to.ports);
  if (typeof toPort === 'object') return toPort;
  if (toPort === 0) return { wrong: 'port 0 inside is no port' };
  const { first: firstPort, last: lastPort } = range;
  const count = lastPort - firstPort + 1;
  if (toPort !== undefined && toPort + count - 1 > PORT_MAX) {
    const right = 'use a lower TOPORT or fewer ports';
    return { wrong: `${count} ports from ${toPort} on go beyond ${PORT_MAX}`, right };
  }
  return { protocol, address: at.address, firstPort, lastPort, toAddress: to.address, toPort };
}

/** The rule of a configuration, or a sentence that says what is wrong with the text. */
export function parsePublish(text: string): PublishConfig | string {
  const read = readPublish(text);
  if ('wrong' in read) return `${read.wrong}; ${read.right ?? RIGHT}`;
  if (read.firstPort === 0) return 'port 0 is no port: name the ones to publish';
  return { ...read, toPort: read.toPort ?? read.firstPort };
}

export function formatPublish(rule: PublishConfig): string {
  const { protocol, address, firstPort, lastPort, toAddress, toPort } = rule;
  const range = firstPort === lastPort ? `${firstPort}` : `${firstPort}-${lastPort}`;
  return `${prefix(address)}${range}:${prefix(toAddress)}${toPort}/${protocol}`;
}

function prefix(address: IpAddress | undefined): string {
  if (address === undefined) return '';
  return isIpv4(address) ? `${address}:` : `[${address}]:`;
}

/** The text between colons, but for those in brackets. */
function cut(text: string): string[] | PublishProblem {
  const parts: string[] = [];
  let rest = text;
  for (;;) {
    const bracket = rest.startsWith('[') ? rest.indexOf(']') : 0;
    if (bracket < 0) return { wrong: 'the bracket is never closed' };
    const colon = rest.indexOf(':', bracket);
    if (rest.startsWith('::', colon) && colon >= 0) return { wrong: 'an IPv6 address stands in brackets' };
    parts.push(colon < 0 ? rest : rest.slice(0, colon));
    if (colon < 0) return parts;
    rest = rest.slice(colon + 1);
  }
}

/** Takes one part, or two where the first is an address. */
function takeEndpoint(parts: string[]): Endpoint | PublishProblem {
  const [first = '', second] = parts;
  const isBracketed = first.startsWith('[');
  if (!isBracketed && !first.includes('.')) {
    parts.shift();
    return { address: undefined, ports: first };
  }
  const text = isBracketed ? first.slice(1, first.indexOf(']')) : first;
  // 0.0.0.0 and :: stand for all addresses of their family.
  const address = parseIpAddress(text);
  if (address === undefined) return { wrong: `"${text}" is not an address` };
  if (isMulticast(address)) return { wrong: `nobody can listen at multicast ${text}` };
  if (second === undefined || (isBracketed && !first.endsWith(']'))) {
    return { wrong: 'the port is missing behind the address' };
  }
  parts.splice(0, 2);
  return { address, ports: second };
}

function readRange(text: string): { readonly first: number; readonly last: number } | PublishProblem {
  const dash = text.indexOf('-');
  const first = readPort(dash < 0 ? text : text.slice(0, dash));
  if (typeof first === 'object') return first;
  if (dash < 0) return { first, last: first };
  const last = readPort(text.slice(dash + 1));
  if (typeof last === 'object') return last;
  if (first === 0 || last === 0) return { wrong: "a range can't contain port 0" };
  if (last < first) return { wrong: `the range ${text} runs backwards`, right: `turn it round: ${last}-${first}` };
  const count = last - first + 1;
  if (count <= PUBLISHED_PORTS_MAX) return { first, last };
  return { wrong: `${count} ports in one rule`, right: `publish ${PUBLISHED_PORTS_MAX} at most` };
}

function readPort(text: string): number | PublishProblem {
  if (text === '') return { wrong: 'a port is missing' };
  if (!/^(0|[1-9][0-9]*)$/.test(text)) return { wrong: `"${text}" is not a port` };
  const port = Number(text);
  return port > PORT_MAX ? { wrong: `port ${text} is above ${PORT_MAX}` } : port;
}
