/** What a value on a line of `tapster ctl` can be: how it is judged, and where its completions come from. */
import {
  formatIpAddress,
  formatIpPrefix,
  formatMacAddress,
  isIpv4,
  parseIpAddress,
  parseIpPrefix,
  parseMacAddress,
  prefixNetwork,
} from '../../base/address.ts';
import { parsePublish } from '../../config/publish.ts';
import { type Parsed, parsed, wrong } from '../parse/parsed.ts';

/** What the engine, or the file system, is asked for. */
export type Source = 'interface' | 'tap' | 'bridge' | 'node' | 'capture' | 'file';

export interface ValueType {
  /** `an interface`, for "expected ...". */
  readonly what: string;
  read(text: string): Parsed<string | number>;
  readonly source: Source | undefined;
  /** Nearly every word is one, so words of the grammar that can stand in its place are not abbreviated. */
  readonly free: boolean;
  /** Takes the rest of the line. */
  readonly toEnd: boolean;
}

const NAME = /^[a-zA-Z][\w.-]{0,63}$/;
const NAME_RIGHT = 'A name has letters, digits, "-", "_" and ".", and begins with a letter.';

export const INTERFACE: ValueType = name('an interface', 'interface');
export const TAP: ValueType = name('a tap', 'tap');
export const BRIDGE: ValueType = name('a bridge', 'bridge');
export const NEW_NAME: ValueType = name('a name', undefined);
export const NODE: ValueType = name('a node', 'node');
export const CAPTURE: ValueType = name('a capture', 'capture');

/** Names of devices and namespaces of the kernel: whoever knows them judges them. */
export const TEXT: ValueType = type('a name', (text) => (text === '' ? wrong('empty', 'Give a name.') : parsed(text)), {
  free: true,
});

export const FILE: ValueType = type(
  'a file',
  (text) => (text === '' || text.includes('\0') ? wrong('not a file', 'Give the path of a file.') : parsed(text)),
  { free: true, source: 'file' },
);

export const FILTER: ValueType = type('a filter', parsed, { free: true, toEnd: true });

export const ADDRESS: ValueType = type('an address', (text) => readAddress(text));
export const IPV4: ValueType = type('an IPv4 address', (text) => readAddress(text, true));
export const IPV6: ValueType = type('an IPv6 address', (text) => readAddress(text, false));

/** An address and the length of its network's prefix. */
export const ADDRESS_AND_LENGTH: ValueType = type('an address with its prefix length', (text) => readWithLength(text));
export const IPV4_AND_LENGTH: ValueType = type('an IPv4 address with its prefix length', (text) =>
  readWithLength(text, true),
);
export const IPV6_AND_LENGTH: ValueType = type('an IPv6 address with its prefix length', (text) =>
  readWithLength(text, false),
);

export const PREFIX: ValueType = type('a prefix', readPrefix);

/** A prefix, or an address that is looked up. */
export const PREFIX_OR_ADDRESS: ValueType = type('a prefix or an address', (text) => {
  const address = parseIpAddress(text);
  return address === undefined ? readPrefix(text) : parsed(formatIpAddress(address));
});

export const MAC: ValueType = type('a MAC address', (text) => {
  const mac = parseMacAddress(text);
  return mac === undefined
    ? wrong('not a MAC address', 'Use six pairs of hexadecimal digits, such as 02:fe:00:00:00:01.')
    : parsed(formatMacAddress(mac));
});

export const RULE: ValueType = type('ports to publish', (text) => {
  const rule = parsePublish(text);
  if (typeof rule !== 'string') return parsed(text);
  return wrong('no rule of ports', `${rule[0]?.toUpperCase()}${rule.slice(1)}.`);
});

/** Entries of a virtqueue. */
export const RING_SIZE: ValueType = type('a ring size', (text) => {
  const size = Number(text);
  const right = 'Use a power of two up to 32768, such as 256.';
  if (!/^\d{1,6}$/.test(text)) return wrong('not a number', right);
  if (size < 1 || size > 32_768) return wrong('not from 1 to 32768', right);
  return (size & (size - 1)) === 0
    ? parsed(size)
    : wrong('not a power of two', `Use ${2 ** Math.round(Math.log2(size))}.`);
});

export const SECONDS: ValueType = type('seconds', (text) =>
  /^\d{1,7}(\.\d{1,3})?$/.test(text) && Number(text) <= 2_000_000
    ? parsed(Number(text))
    : wrong('not a number of seconds', 'Use a number such as 300 or 0.2.'),
);

export function number(min: number, max: number): ValueType {
  return type(`a number from ${min} to ${max}`, (text) => {
    const right = `Use a whole number from ${min} to ${max}.`;
    if (!/^(0|[1-9]\d{0,15})$/.test(text)) return wrong('not a whole number', right);
    const read = Number(text);
    if (read < min) return wrong(`below ${min}`, right);
    return read > max ? wrong(`above ${max}`, right) : parsed(read);
  });
}

/** As a VLAN sub-interface is called: `tap0.100`. */
export const SUB_INTERFACE: ValueType = type(
  'a sub-interface',
  (text) =>
    /^[a-zA-Z][\w-]{0,30}\.[1-9]\d{0,3}$/.test(text)
      ? parsed(text)
      : wrong('not a sub-interface', 'It is called by its interface and its VLAN, such as tap0.100.'),
  { free: true, source: 'interface' },
);

function type(
  what: string,
  read: (text: string) => Parsed<string | number>,
  more: Partial<Pick<ValueType, 'source' | 'free' | 'toEnd'>> = {},
): ValueType {
  return { what, read, source: more.source, free: more.free ?? false, toEnd: more.toEnd ?? false };
}

function name(what: string, source: Source | undefined): ValueType {
  const read = (text: string): Parsed<string> =>
    NAME.test(text) ? parsed(text) : wrong(`not the name of ${what}`.replace('of a name', 'of anything'), NAME_RIGHT);
  return type(what, read, { free: true, source });
}

function readAddress(text: string, ipv4?: boolean): Parsed<string> {
  const family = ipv4 === undefined ? '' : ipv4 ? 'IPv4 ' : 'IPv6 ';
  const right = ipv4 === false ? 'Use one such as fd00::1.' : 'Use one such as 10.0.0.1.';
  const address = parseIpAddress(text);
  if (address === undefined) return wrong(`not an ${family || 'IP '}address`, right);
  return ipv4 !== undefined && isIpv4(address) !== ipv4
    ? wrong(`not an ${family}address`, right)
    : parsed(formatIpAddress(address));
}

function readWithLength(text: string, ipv4?: boolean): Parsed<string> {
  const prefix = parseIpPrefix(text);
  if (prefix !== undefined && (ipv4 === undefined || isIpv4(prefix.address) === ipv4))
    return parsed(formatIpPrefix(prefix));
  const example = ipv4 === false ? 'fd00::1/64' : '10.0.0.1/24';
  const address = parseIpAddress(text);
  if (address !== undefined && (ipv4 === undefined || isIpv4(address) === ipv4)) {
    return wrong('has no prefix length', `Append it: ${text}/${isIpv4(address) ? 24 : 64}.`);
  }
  const family = ipv4 === undefined ? '' : ipv4 ? 'IPv4 ' : 'IPv6 ';
  return wrong(`not an ${family}address with its prefix length`, `Use one such as ${example}.`);
}

function readPrefix(text: string): Parsed<string> {
  const prefix = parseIpPrefix(text);
  if (prefix === undefined) return wrong('not a prefix', 'Use one such as 10.1.0.0/16, 0.0.0.0/0 or ::/0.');
  const network = formatIpPrefix({ address: prefixNetwork(prefix), length: prefix.length });
  return network === formatIpPrefix(prefix) ? parsed(network) : wrong('has bits behind its prefix', `Use ${network}.`);
}
