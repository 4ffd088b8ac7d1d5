/** What a value means behind its qualifiers: `tcp dst port 80`, `net 10.0.0.0/8`, `ether host 02:00:00:00:00:01`. */
import { parseIpAddress, parseMacAddress } from '../../base/address.ts';
import { PORT_MAX } from '../../base/port-set.ts';
import { didYouMean } from '../../base/spelling.ts';
import { type AddressProtocol, type Direction, FilterMistake, type Primitive } from './syntax.ts';
import type { TokenReader } from './token-reader.ts';
import type { Token } from './tokens.ts';
import { ETHER_PROTOCOLS, IP_PROTOCOLS, SCTP, SERVICES, type Service, TCP, UDP } from './words.ts';

export interface Qualifiers {
  /** Where they stand. */
  readonly at: number;
  readonly protocol: string | undefined;
  readonly direction: Direction;
  /** Left out: an address. */
  readonly type: 'host' | 'net' | 'port' | 'portrange' | 'proto' | undefined;
  /** Whether a direction was written. */
  readonly turned: boolean;
}

const ALL_WITH_ADDRESSES: readonly AddressProtocol[] = ['ip', 'arp', 'rarp'];
const PORT_PROTOCOLS: ReadonlyMap<string, number> = new Map([
  ['tcp', TCP],
  ['udp', UDP],
  ['sctp', SCTP],
]);

/** Reads a value. Throws `FilterMistake`. */
export function primitiveOf(qualifiers: Qualifiers, reader: TokenReader): Primitive {
  const token = reader.next();
  switch (qualifiers.type) {
    case 'port':
      return portOf(qualifiers, token);
    case 'portrange':
      return portRangeOf(qualifiers, token);
    case 'proto':
      return protocolOf(qualifiers, token);
    case 'net':
      return netOf(qualifiers, token, reader);
    default:
      return hostOf(qualifiers, token, reader);
  }
}

function hostOf(qualifiers: Qualifiers, token: Token, reader: TokenReader): Primitive {
  const { protocol, direction } = qualifiers;
  if (reader.peek().text === '/') mistake(token, `${token.text}/... is a network: write "net ${token.text}/..."`);
  if (token.kind === 'mac' || protocol === 'ether') {
    const mac = token.kind === 'mac' ? macOf(token.text) : undefined;
    if (mac === undefined) mistake(token, `expected a MAC address, as 02:00:00:00:00:01, instead of ${shown(token)}`);
    if (protocol !== 'ether') mistake(token, `${token.text} is a MAC address: write "ether host ${token.text}"`);
    return { kind: 'mac', direction, high: mac.high, low: mac.low };
  }
  if (token.kind === 'ipv6') return address6(qualifiers, token, 128);
  if (token.kind !== 'ipv4') {
    const ports = token.kind === 'number' ? `; for a port write "port ${token.text}"` : '';
    const names = token.kind === 'word' ? '; names are not looked up' : '';
    mistake(token, `expected an address, as 10.0.0.1 or fd00::1, instead of ${shown(token)}${ports}${names}`);
  }
  const { word, bits } = partsOf(token);
  if (bits < 32) mistake(token, `${token.text} is not a whole address; for a network write "net ${token.text}"`);
  return { kind: 'ip4', protocols: carriersOf(qualifiers, token), direction, address: word, mask: -1 };
}

function netOf(qualifiers: Qualifiers, token: Token, reader: TokenReader): Primitive {
  if (token.kind === 'ipv6') {
    return address6(qualifiers, token, reader.accept('/') ? prefixLength(reader, 128) : 128);
  }
  if (token.kind !== 'ipv4' && token.kind !== 'number') {
    mistake(token, `expected a network, as 10.0.0.0/8 or fd00::/64, instead of ${shown(token)}`);
  }
  const { word, bits } = partsOf(token);
  let mask = bits === 0 ? 0 : -1 << (32 - bits);
  let text = token.text;
  if (reader.accept('/')) {
    const length = prefixLength(reader, 32);
    mask = length === 0 ? 0 : -1 << (32 - length);
    text += `/${length}`;
  } else if (reader.accept('mask')) {
    const maskToken = reader.next();
    if (maskToken.kind !== 'ipv4')
      mistake(maskToken, `expected a mask, as 255.255.255.0, instead of ${shown(maskToken)}`);
    mask = partsOf(maskToken).word;
    text += ` mask ${maskToken.text}`;
  }
  if ((word & ~mask) !== 0)
    mistake(token, `${text} has bits set behind the network; clear them, or use a longer prefix`);
  const { direction } = qualifiers;
  return { kind: 'ip4', protocols: carriersOf(qualifiers, token), direction, address: word, mask };
}

function prefixLength(reader: TokenReader, max: number): number {
  const token = reader.next();
  if (token.kind === 'number' && token.value <= max) return token.value;
  mistake(token, `expected the length of the prefix, 0 to ${max}, instead of ${shown(token)}`);
}

/** One to four numbers from the left of an address, and how many bits they are. */
function partsOf(token: Token): { readonly word: number; readonly bits: number } {
  const parts = token.kind === 'number' ? [token.value] : token.text.split('.').map(Number);
  if (parts.some((part) => part > 255)) mistake(token, `${token.text} is no IPv4 address: its parts go from 0 to 255`);
  let word = 0;
  parts.forEach((part, i) => {
    word |= part << (24 - 8 * i);
  });
  return { word, bits: parts.length * 8 };
}

function address6({ protocol, direction }: Qualifiers, token: Token, length: number): Primitive {
  const address = parseIpAddress(token.text);
  if (address === undefined) mistake(token, `${token.text} is no IPv6 address`);
  if (protocol !== undefined && protocol !== 'ip6') {
    mistake(token, `"${protocol}" does not go with an IPv6 address${separately(protocol, `host ${token.text}`)}`);
  }
  const words = [address.w0, address.w1, address.w2, address.w3];
  const mask = words.map((_, i) => maskWord(length - 32 * i));
  if (words.some((word, i) => (word & ~mask[i]) !== 0)) {
    mistake(token, `${token.text}/${length} has bits set behind the network; clear them, or use a longer prefix`);
  }
  return { kind: 'ip6', direction, address: words, mask };
}

function maskWord(bits: number): number {
  if (bits <= 0) return 0;
  return bits >= 32 ? -1 : -1 << (32 - bits);
}

/** Protocols in which an IPv4 address is looked for. */
function carriersOf({ protocol }: Qualifiers, token: Token): readonly AddressProtocol[] {
  if (protocol === undefined) return ALL_WITH_ADDRESSES;
  if (protocol === 'ip' || protocol === 'arp' || protocol === 'rarp') return [protocol];
  mistake(token, `"${protocol}" does not go with an IPv4 address${separately(protocol, `host ${token.text}`)}`);
}

function separately(protocol: string, rest: string): string {
  return protocol === 'ether' || protocol.startsWith('ip') ? '' : `; write "${protocol} and ${rest}"`;
}

function portOf(qualifiers: Qualifiers, token: Token): Primitive {
  if (token.kind === 'word' && /^\d+-\d+$/.test(token.text)) mistake(token, `write "portrange ${token.text}"`);
  const { port, protocol } = serviceOf(token.text, token);
  return portsOf(qualifiers, token, port, port, protocol);
}

function portRangeOf(qualifiers: Qualifiers, token: Token): Primitive {
  const ends = token.kind === 'number' ? [token.text, token.text] : endsOf(token.text);
  if (ends === undefined) mistake(token, `expected two ports, as 8000-8080 (no blanks), instead of ${shown(token)}`);
  const [from, to] = ends.map((end) => serviceOf(end, token));
  const protocol = from.protocol === to.protocol ? from.protocol : 'any';
  return portsOf(qualifiers, token, Math.min(from.port, to.port), Math.max(from.port, to.port), protocol);
}

/** Names of services have dashes themselves. */
function endsOf(text: string): [string, string] | undefined {
  for (let dash = text.indexOf('-'); dash > 0; dash = text.indexOf('-', dash + 1)) {
    const ends: [string, string] = [text.slice(0, dash), text.slice(dash + 1)];
    if (ends.every((end) => /^\d+$/.test(end) || SERVICES.has(end))) return ends;
  }
  return undefined;
}

function serviceOf(text: string, token: Token): Service {
  const number = token.kind === 'number' ? token.value : /^\d+$/.test(text) ? Number(text) : undefined;
  if (number !== undefined) {
    if (number > PORT_MAX) mistake(token, `${text} is no port; ports go from 0 to ${PORT_MAX}`);
    return { port: number, protocol: 'any' };
  }
  const service = SERVICES.get(text);
  if (service !== undefined) return service;
  mistake(token, `expected a port, as 80 or http, instead of ${shown(token)}${didYouMean(text, SERVICES.keys())}`);
}

function portsOf(
  { protocol, direction }: Qualifiers,
  token: Token,
  low: number,
  high: number,
  service: Service['protocol'],
): Primitive {
  if (protocol !== undefined && !PORT_PROTOCOLS.has(protocol)) {
    const hint = ['ip', 'ip6'].includes(protocol) ? `; write "${protocol} and port ${token.text}"` : '';
    mistake(token, `"${protocol}" has no ports; tcp, udp and sctp have${hint}`);
  }
  if (service !== 'any' && protocol !== undefined && protocol !== service) {
    mistake(token, `${token.text} is a service of ${service}, not of ${protocol}; write the number ${low}`);
  }
  const name = protocol ?? (service === 'any' ? undefined : service);
  const protocols = [...PORT_PROTOCOLS].filter(([each]) => name === undefined || name === each);
  return { kind: 'ports', protocols: protocols.map(([, number]) => number), direction, low, high };
}

function protocolOf({ protocol, turned, at }: Qualifiers, token: Token): Primitive {
  if (turned) throw new FilterMistake(at, 'protocols have no direction; leave out src and dst');
  if (protocol === 'ether') {
    return { kind: 'ether-proto', value: protocolNumber(token, ETHER_PROTOCOLS, 0xffff) };
  }
  const family = protocol ?? 'either';
  if (family !== 'ip' && family !== 'ip6' && family !== 'either') {
    mistake(
      token,
      `no protocol is looked for inside ${family}; there are "proto", "ip proto", "ip6 proto", "ether proto"`,
    );
  }
  return { kind: 'protocol', family, protocol: protocolNumber(token, IP_PROTOCOLS, 255) };
}

function protocolNumber(token: Token, names: ReadonlyMap<string, number>, max: number): number {
  if (token.kind === 'number' && token.value <= max) return token.value;
  const number = token.kind === 'word' ? names.get(token.text) : undefined;
  if (number !== undefined) return number;
  const guess = token.kind === 'word' ? didYouMean(token.text, names.keys()) : '';
  mistake(
    token,
    `expected a protocol, as ${[...names.keys()].slice(0, 4).join(', ')} or 0 to ${max}, instead of ${shown(token)}${guess}`,
  );
}

/** Six groups of one or two digits, three of four, or all twelve, with any separator. */
function macOf(text: string): { readonly high: number; readonly low: number } | undefined {
  const groups = text.split(/[:.-]/);
  const digits = groups.length === 6 ? groups.map((group) => group.padStart(2, '0')).join('') : groups.join('');
  return parseMacAddress(digits.replace(/..(?!$)/g, '$&:'));
}

function shown(token: Token): string {
  return token.kind === 'end' ? token.text : JSON.stringify(token.text);
}

function mistake(token: Token, message: string): never {
  throw new FilterMistake(token.at, message);
}
