/** Values of the options of pasta, passt and slirp4netns, as those programs take them: laxer than our own where callers rely on it. */
import {
  type IpAddress,
  type IpPrefix,
  isIpv4,
  isLoopback,
  isMulticast,
  isUnspecified,
  type MacAddress,
  parseIpAddress,
  parseMacAddress,
} from '../../base/address.ts';
import { SOCKET_PATH_BYTES_MAX } from '../../base/limits.ts';
import { parseInterfaceName } from '../parse/interface-name.ts';
import { type Parsed, parsed, wrong } from '../parse/parsed.ts';

/** Process numbers of 64-bit Linux (PID_MAX_LIMIT). */
export const PID_MAX = 4_194_304;

const BROADCAST = -1;
const IPV6_PREFIX_LENGTH = 64;
const INT_MAX = 2_147_483_647;
const DOMAIN_BYTES_MAX = 253;

export interface UserName {
  /** A number or a login. */
  readonly user: string;
  /** A number or a name; undefined: the user's own. */
  readonly group: string | undefined;
}

export function readWhole(text: string, min: number, max: number, what: string): Parsed<number> {
  const right = `Use ${what} from ${min} to ${max}.`;
  if (!/^\d{1,15}$/.test(text)) return wrong('not a whole number', right);
  const value = Number(text);
  if (value < min) return wrong(`below ${min}`, right);
  return value > max ? wrong(`above ${max}`, right) : parsed(value);
}

export function readDescriptorNumber(text: string): Parsed<number> {
  return readWhole(text, 0, INT_MAX, 'the number of an open descriptor,');
}

export function readPath(text: string): Parsed<string> {
  if (text === '') return wrong('empty', 'Use a path.');
  return text.includes('\0') ? wrong('contains a zero byte', 'Use a path.') : parsed(text);
}

export function readSocketPath(text: string): Parsed<string> {
  const bytes = new TextEncoder().encode(text).length;
  if (bytes > SOCKET_PATH_BYTES_MAX) {
    return wrong(`${bytes} bytes long, a socket's path has ${SOCKET_PATH_BYTES_MAX} at most`, 'Use a shorter path.');
  }
  return readPath(text);
}

/** An interface of the host, where `lo` is one as well. */
export function readHostInterface(text: string): Parsed<string> {
  return text === 'lo' ? parsed(text) : parseInterfaceName(text);
}

export function readUnicast(text: string): Parsed<IpAddress> {
  const right = 'Use an address such as 192.0.2.1 or 2001:db8::1.';
  const address = parseIpAddress(text);
  if (address === undefined) return wrong('not an address', right);
  if (isUnspecified(address)) return wrong("the unspecified address is nobody's", right);
  if (isMulticast(address)) return wrong('a multicast address', right);
  return isIpv4(address) && address.w3 === BROADCAST ? wrong('the broadcast address', right) : parsed(address);
}

/** As the guest sees it: its own loopback never leaves it. */
export function readGuestSide(text: string): Parsed<IpAddress> {
  const address = readUnicast(text);
  if (!address.ok || !isLoopback(address.value)) return address;
  return wrong('a loopback address, which the guest has itself', 'Use an address that it sends to its gateway.');
}

/** `A[/P]`; the length is undefined for IPv4 without one, and 64 for IPv6 whatever is written. */
export function readGuestAddress(
  text: string,
): Parsed<{ readonly address: IpAddress; readonly prefixLength: number | undefined }> {
  const slash = text.indexOf('/');
  const address = readGuestSide(slash < 0 ? text : text.slice(0, slash));
  if (!address.ok) return address;
  const ipv4 = isIpv4(address.value);
  if (slash < 0) return parsed({ address: address.value, prefixLength: ipv4 ? undefined : IPV6_PREFIX_LENGTH });
  const length = readWhole(text.slice(slash + 1), 1, ipv4 ? 32 : 128, 'a prefix length');
  if (!length.ok) return wrong(`its prefix length is ${length.wrong}`, length.right);
  return parsed({ address: address.value, prefixLength: ipv4 ? length.value : IPV6_PREFIX_LENGTH });
}

/** `255.255.255.0` or `24`, as a length. */
export function readNetmask(text: string): Parsed<number> {
  const right = 'Use a number of bits from 0 to 32, or a mask such as 255.255.255.0.';
  if (/^\d{1,2}$/.test(text)) return Number(text) <= 32 ? parsed(Number(text)) : wrong('above 32', right);
  const mask = parseIpAddress(text);
  if (mask === undefined || !isIpv4(mask)) return wrong('not a netmask', right);
  const zeros = ~mask.w3;
  // A mask is ones, then zeros: what is not in it, and one more, have no bit in common.
  return (zeros & (zeros + 1)) === 0 ? parsed(Math.clz32(zeros)) : wrong('has ones behind zeros', right);
}

export function readMac(text: string): Parsed<MacAddress> {
  const right = 'Use six pairs of hexadecimal digits of a unicast address, for example 9a:55:9a:55:9a:55.';
  const mac = parseMacAddress(text);
  if (mac === undefined) return wrong('not a MAC address', right);
  if ((mac.high & 0x0100) !== 0) return wrong("a multicast address can't be an interface's own", right);
  return mac.high === 0 && mac.low === 0 ? wrong('all zeros', right) : parsed(mac);
}

/** `2:0:0:0:0:1` is a MAC address to slirp4netns. */
export function readLaxMac(text: string): Parsed<MacAddress> {
  const padded = text.replace(/\b[0-9a-fA-F]\b/g, '0$&');
  return readMac(padded);
}

export function readUserName(text: string): Parsed<UserName> {
  const [user = '', group, ...more] = text.split(':');
  if (user === '' || group === '' || more.length > 0) {
    return wrong('not a user', 'Use UID, UID:GID, LOGIN or LOGIN:GROUP, for example nobody or 65534:65534.');
  }
  return parsed({ user, group });
}

/** A domain, or a host's name: printable, without spaces, as long as DNS allows (RFC 1035, section 2.3.4). */
export function readDomain(text: string): Parsed<string> {
  const right = `Use 1 to ${DOMAIN_BYTES_MAX} letters, digits, dashes and dots, for example example.org.`;
  if (text === '') return wrong('empty', right);
  if (text.length > DOMAIN_BYTES_MAX) return wrong(`${text.length} characters long`, right);
  if (!/^[\w.-]+$/.test(text)) return wrong(`"${text}" is not a name`, right);
  if (text.split('.').some((label) => label.length > 63)) return wrong('has a part of more than 63 characters', right);
  return parsed(text);
}

/** `10.0.2.0/24`: a network with room for the hundred addresses that slirp4netns plans with. */
export function readSlirpNetwork(text: string): Parsed<IpPrefix> {
  const right = 'Use an IPv4 network with a prefix length from 1 to 25, for example 10.0.2.0/24.';
  const [addressText = '', lengthText, ...more] = text.split('/');
  const address = parseIpAddress(addressText);
  if (address === undefined || !isIpv4(address) || lengthText === undefined || more.length > 0) {
    return wrong('not an IPv4 network', right);
  }
  const length = readWhole(lengthText, 1, 25, 'a prefix length');
  if (!length.ok) return wrong(`its prefix length is ${length.wrong}`, right);
  const inside = address.w3 & ((1 << (32 - length.value)) - 1);
  // With a length of 1 the shift is of 31 bits, still within an int32.
  return inside === 0 ? parsed({ address, length: length.value }) : wrong('the address of a host in a network', right);
}
