/**
 * `--publish [ADDR:]PORT[-PORT][:TOPORT][/tcp|/udp]`: connections to the host's ports reach the command.
 *
 * | text                    | means                                                                    |
 * | ----------------------- | ------------------------------------------------------------------------ |
 * | `8080`                  | port 8080 of all the host's addresses, both families, to port 8080       |
 * | `8080:80`               | port 8080 to port 80                                                     |
 * | `127.0.0.1:8080:80`     | the same, at one address                                                 |
 * | `[::1]:8080:80/tcp`     | an IPv6 address stands in brackets                                       |
 * | `9000-9009:7000/udp`    | ten ports: 9000 to 7000, 9001 to 7001, ...                               |
 * | `0:80`                  | the kernel picks a port, which is printed                                |
 */
import { type IpAddress, isMulticast, isUnspecified, parseIpAddress } from '../../base/address.ts';
import type { PublishRule } from '../../engine/run-options.ts';
import { type Parsed, parsed, type Wrong, wrong } from './parsed.ts';

const PORT_MAX = 65_535;

/** Each port is a listening socket or two: a range is bounded so that a slip of the pen does not use up all descriptors. */
export const PUBLISHED_PORTS_MAX: number = 1024;

const RIGHT = 'Use [ADDR:]PORT[-PORT][:TOPORT][/tcp|/udp], for example 8080:80, [::1]:8080:80 or 5353:53/udp.';

export function parsePublish(text: string): Parsed<PublishRule> {
  const slash = text.lastIndexOf('/');
  const protocol = slash < 0 ? 'tcp' : text.slice(slash + 1);
  if (protocol !== 'tcp' && protocol !== 'udp') return wrong(`"${protocol}" is neither tcp nor udp`, RIGHT);
  const rest = slash < 0 ? text : text.slice(0, slash);
  const split = splitAddress(rest);
  if (!split.ok) return split;
  const parts = split.value.ports.split(':');
  if (parts.length > 2) return wrong('has too many parts', RIGHT);
  const range = parseRange(parts[0] ?? '');
  if (!range.ok) return range;
  const toPort = parts[1] === undefined ? parsed(undefined) : parsePort(parts[1]);
  if (!toPort.ok) return toPort;
  if (toPort.value === 0) return wrong('port 0 inside is no port', RIGHT);
  const { first, last } = range.value;
  const count = last - first + 1;
  if (toPort.value !== undefined && toPort.value + count - 1 > PORT_MAX) {
    return wrong(`${count} ports from ${toPort.value} on go beyond ${PORT_MAX}`, 'Use a lower TOPORT or fewer ports.');
  }
  const { address } = split.value;
  return parsed({ protocol, address, firstPort: first, lastPort: last, toPort: toPort.value });
}

/** Cuts the host's address off: in brackets, or a dotted quad before a colon. What remains are ports. */
function splitAddress(text: string): Parsed<{ address: IpAddress | undefined; ports: string }> {
  if (text.startsWith('[')) {
    const bracket = text.indexOf(']');
    if (bracket < 0) return wrong('the bracket is never closed', RIGHT);
    const address = judgeAddress(text.slice(1, bracket));
    if (!address.ok) return address;
    if (text[bracket + 1] !== ':') return wrong('the port is missing behind the address', RIGHT);
    return parsed({ address: address.value, ports: text.slice(bracket + 2) });
  }
  const colon = text.indexOf(':');
  if (text.includes('::') || (text.match(/:/g) ?? []).length > 2) {
    return wrong('an IPv6 address stands in brackets', RIGHT);
  }
  if (!text.slice(0, colon < 0 ? text.length : colon).includes('.')) return parsed({ address: undefined, ports: text });
  const address = judgeAddress(colon < 0 ? text : text.slice(0, colon));
  if (!address.ok) return address;
  if (colon < 0) return wrong('the port is missing behind the address', RIGHT);
  return parsed({ address: address.value, ports: text.slice(colon + 1) });
}

/** 0.0.0.0 and :: stand for all addresses of their family. */
function judgeAddress(text: string): Parsed<IpAddress> {
  const address = parseIpAddress(text);
  if (address === undefined) return wrong(`"${text}" is not an address`, RIGHT);
  if (isMulticast(address) && !isUnspecified(address)) return wrong(`nobody can listen at multicast ${text}`, RIGHT);
  return parsed(address);
}

function parseRange(text: string): Parsed<{ first: number; last: number }> {
  const dash = text.indexOf('-');
  const first = parsePort(dash < 0 ? text : text.slice(0, dash));
  if (!first.ok) return first;
  if (dash < 0) return parsed({ first: first.value, last: first.value });
  const last = parsePort(text.slice(dash + 1));
  if (!last.ok) return last;
  if (first.value === 0 || last.value === 0) return wrong("a range can't contain port 0", RIGHT);
  if (last.value < first.value) {
    return wrong(`the range ${text} runs backwards`, `Turn it round: ${last.value}-${first.value}.`);
  }
  const count = last.value - first.value + 1;
  if (count > PUBLISHED_PORTS_MAX) {
    return wrong(`${count} ports in one rule`, `Publish ${PUBLISHED_PORTS_MAX} at most.`);
  }
  return parsed({ first: first.value, last: last.value });
}

function parsePort(text: string): Parsed<number> | Wrong {
  if (text === '') return wrong('a port is missing', RIGHT);
  if (!/^(0|[1-9][0-9]*)$/.test(text)) return wrong(`"${text}" is not a port`, RIGHT);
  const port = Number(text);
  return port > PORT_MAX ? wrong(`port ${text} is above ${PORT_MAX}`, RIGHT) : parsed(port);
}
