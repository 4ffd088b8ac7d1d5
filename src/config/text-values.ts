/**
 * Values that configuration writes as text and the engine holds as something better. Each is a codec: read (and judged) by `decode`, written back by
 * `encode`; for JSON Schema it is a string. A message says what would be right; what was written stands beside it (see `problem.ts`).
 */
import { z } from 'zod';
import {
  formatIpAddress,
  formatIpPrefix,
  formatMacAddress,
  type IpAddress,
  type IpPrefix,
  isIpv4,
  isMulticast,
  isUnspecified,
  type MacAddress,
  parseIpAddress,
  parseIpPrefix,
  parseMacAddress,
  prefixNetwork,
} from '../base/address.ts';
import { INTERFACE_NAME_BYTES_MAX } from '../base/limits.ts';
import type { AddressRange, PublishConfig } from './config.ts';
import { formatDuration, parseDurationMs } from './duration.ts';
import { formatPublish, parsePublish } from './publish.ts';

/** A timer's longest time: 2^31 - 1 ms. */
const DURATION_MS_MAX = 2_147_483_647;
const TEXT_MAX = 255;

export const ADDRESS_SCHEMA: z.ZodType<IpAddress> = text(readAddress, formatIpAddress, 'address', '10.0.0.1');

/** An address of an interface with the length of its network's prefix. */
export const INTERFACE_ADDRESS_SCHEMA: z.ZodType<IpPrefix> = text(
  readInterfaceAddress,
  formatIpPrefix,
  'address and prefix length',
  '10.0.0.1/24',
);

/** A network: no bits behind the prefix. */
export const NETWORK_SCHEMA: z.ZodType<IpPrefix> = text(readNetwork, formatIpPrefix, 'network', '10.1.0.0/16');

export const MAC_SCHEMA: z.ZodType<MacAddress> = text(readMac, formatMacAddress, 'MAC address', '02:fe:00:00:00:01');

export const DURATION_SCHEMA: z.ZodType<number> = text(readDuration, formatDuration, 'duration', '300s');

export const PUBLISH_SCHEMA: z.ZodType<PublishConfig> = text(readPublish, formatPublish, 'ports', '8080:80/tcp');

export const RANGE_SCHEMA: z.ZodType<AddressRange> = text(
  readRange,
  ({ first, last }) => `${first}-${last}`,
  'range of addresses',
  '10.0.0.100-10.0.0.199',
);

export const LOOPBACK_SCHEMA: z.ZodType<'gateway' | IpAddress> = text<'gateway' | IpAddress>(
  (written) => (written === 'gateway' ? written : readAddress(written)),
  String,
  'address, or "gateway"',
  'gateway',
);

/** The name of an interface or bridge of the kernel's (dev_valid_name() in net/core/dev.c). */
export const KERNEL_NAME_SCHEMA: z.ZodType<string> = text(
  readKernelName,
  String,
  'interface name of the kernel',
  'eth0',
);

export const NAMESPACE_SCHEMA: z.ZodType<string> = text(readNamespace, String, 'network namespace', 'red');

export const PATH_SCHEMA: z.ZodType<string> = text(readPath, String, 'file', '/var/log/flows.jsonl');

export const DOMAIN_SCHEMA: z.ZodType<string> = text(readDomain, String, 'domain', 'lab.example');

/** What would be right instead. */
class Wrong {
  readonly right: string;

  constructor(right: string) {
    this.right = right;
  }
}

function wrong(right: string): Wrong {
  return new Wrong(right);
}

/** A string that `read` makes a value of, or refuses with a sentence. */
function text<Value>(
  read: (written: string) => Value | Wrong,
  write: (value: Value) => string,
  what: string,
  example: string,
): z.ZodType<Value> {
  const written = z.string({
    error: ({ input }) => `${input === undefined ? 'is missing' : 'must be text'}: ${an(what)}, such as ${example}`,
  });
  const value = z.custom<Value>();
  const codec = z.codec(written.meta({ examples: [example] }), value, {
    decode: (from, context) => {
      const result = from.length > TEXT_MAX ? wrong(`has more than ${TEXT_MAX} characters`) : read(from);
      if (!(result instanceof Wrong)) return result;
      context.issues.push({ code: 'custom', message: result.right, input: from });
      return z.NEVER;
    },
    encode: write,
  });
  return codec as unknown as z.ZodType<Value>;
}

function an(what: string): string {
  return /^[aeiou]/.test(what) ? `an ${what}` : `a ${what}`;
}

function readAddress(written: string): IpAddress | Wrong {
  const address = parseIpAddress(written);
  if (address !== undefined) return address;
  return written.includes('/')
    ? wrong('must be an address without a prefix length, such as 10.0.0.1 or fd00::1')
    : wrong('must be an IP address, such as 10.0.0.1 or fd00::1');
}

function readInterfaceAddress(written: string): IpPrefix | Wrong {
  const prefix = parseIpPrefix(written);
  if (prefix === undefined) {
    const length = parseIpAddress(written);
    if (length === undefined)
      return wrong('must be an address and its prefix length, such as 10.0.0.1/24 or fd00::1/64');
    return wrong(`the prefix length is missing: ${written}${isIpv4(length) ? '/24' : '/64'}?`);
  }
  if (isUnspecified(prefix.address) || isMulticast(prefix.address))
    return wrong('must be the address of one interface');
  if (isIpv4(prefix.address) && prefix.length < 31 && isEdge(prefix)) {
    return wrong('must be an address of one host, not the first or last of its network');
  }
  return prefix;
}

/** The network's own address, or its directed broadcast. */
function isEdge({ address, length }: IpPrefix): boolean {
  const hostBits = length === 0 ? -1 : (1 << (32 - length)) - 1;
  return (address.w3 & hostBits) === 0 || (address.w3 & hostBits) === hostBits;
}

function readNetwork(written: string): IpPrefix | Wrong {
  const prefix = parseIpPrefix(written);
  if (prefix === undefined)
    return wrong('must be a network with its prefix length, such as 10.1.0.0/16, 0.0.0.0/0 or ::/0');
  const network = { address: prefixNetwork(prefix), length: prefix.length };
  const right = formatIpPrefix(network);
  return right === formatIpPrefix(prefix) ? network : wrong(`has bits behind its prefix: ${right}?`);
}

function readMac(written: string): MacAddress | Wrong {
  const mac = parseMacAddress(written);
  if (mac === undefined) return wrong('must be a MAC address, such as 02:fe:00:00:00:01');
  if ((mac.high & 0x100) !== 0) return wrong('must be the MAC address of one station: this one is of a group');
  return (mac.high | mac.low) === 0 ? wrong('must be a MAC address other than zero') : mac;
}

function readDuration(written: string): number | Wrong {
  const ms = parseDurationMs(written);
  if (ms === undefined) return wrong('must be a number with its unit (ms, s, m, h, d), such as 300s or 1.5h');
  return ms <= DURATION_MS_MAX ? ms : wrong(`must be ${formatDuration(86_400_000 * 24)} at most`);
}

function readRange(written: string): AddressRange | Wrong {
  const [from = '', to = '', ...more] = written.split('-');
  const first = parseIpAddress(from.trim());
  const last = parseIpAddress(to.trim());
  if (first === undefined || last === undefined || more.length > 0 || !isIpv4(first) || !isIpv4(last)) {
    return wrong('must be the first and the last address, such as 10.0.0.100-10.0.0.199');
  }
  return first.w3 >>> 0 <= last.w3 >>> 0 ? { first, last } : wrong(`runs backwards: ${last}-${first}?`);
}

function readPublish(written: string): PublishConfig | Wrong {
  const rule = parsePublish(written);
  return typeof rule === 'string' ? wrong(rule) : rule;
}

function readKernelName(written: string): string | Wrong {
  const bytes = Buffer.byteLength(written);
  if (bytes === 0 || bytes > INTERFACE_NAME_BYTES_MAX) return wrong(`must have 1 to ${INTERFACE_NAME_BYTES_MAX} bytes`);
  if (/[/:%\s]|\p{Cc}/u.test(written)) return wrong('must have no "/", ":", "%" or white space');
  return ['.', '..', 'lo'].includes(written) ? wrong('is taken: choose another name, such as eth0') : written;
}

function readNamespace(written: string): string | Wrong {
  if (/^pid:[1-9]\d{0,9}$/.test(written)) return written;
  if (written.startsWith('pid:')) return wrong('a process is named by its number, such as "pid:4242"');
  if (written.startsWith('/') && !written.includes('\0')) return written;
  return /^[^/\s\p{Cc}]+$/u.test(written) && !['.', '..'].includes(written)
    ? written
    : wrong('must be a name as of "ip netns", an absolute path or pid:N');
}

function readPath(written: string): string | Wrong {
  return written !== '' && !written.includes('\0') ? written : wrong('must be the path of a file');
}

function readDomain(written: string): string | Wrong {
  return /^(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*$/i.test(written)
    ? written
    : wrong('must be a domain name, such as lab.example');
}
