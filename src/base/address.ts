/**
 * IP and MAC addresses as values, and their text.
 *
 * An IP address of either family is four int32 words in host order, the most significant first. An IPv4 address is held in its
 * mapped form, ::ffff:a.b.c.d = (0, 0, 0xffff, a.b.c.d) (RFC 4291, section 2.5.5.2), so that one table and one comparison serve both
 * families. The functions named `...Words` are for the packet path, which makes no objects; the others are for configuration.
 *
 * Text is read strictly: a dotted quad without leading zeros, IPv6 text as in RFC 4291 section 2.2, without a zone. It is written as in RFC 5952.
 */

const MAPPED = 0xffff;
/** The longest text of an address: eight groups, the last two as a dotted quad. */
const TEXT_MAX = 45;

/** An immutable address. */
export class IpAddress {
  readonly w0: number;
  readonly w1: number;
  readonly w2: number;
  readonly w3: number;

  constructor(w0: number, w1: number, w2: number, w3: number) {
    this.w0 = w0 | 0;
    this.w1 = w1 | 0;
    this.w2 = w2 | 0;
    this.w3 = w3 | 0;
  }

  toString(): string {
    return formatIpAddress(this);
  }
}

/** An address and how many of its leading bits name the network, counted in the family's own bits: 0 to 32, or 0 to 128. */
export interface IpPrefix {
  readonly address: IpAddress;
  readonly length: number;
}

export function ipv4Address(word: number): IpAddress {
  return new IpAddress(0, 0, MAPPED, word);
}

export function isIpv4(address: IpAddress): boolean {
  return isIpv4Words(address.w0, address.w1, address.w2);
}

/** Whether an address that begins with these words is of IPv4. */
export function isIpv4Words(w0: number, w1: number, w2: number): boolean {
  return (w0 | w1) === 0 && w2 === MAPPED;
}

export function equalAddress(a: IpAddress, b: IpAddress): boolean {
  return a.w0 === b.w0 && a.w1 === b.w1 && a.w2 === b.w2 && a.w3 === b.w3;
}

/** 127.0.0.0/8 and ::1. */
export function isLoopback(address: IpAddress): boolean {
  return isLoopbackWords(address.w0, address.w1, address.w2, address.w3);
}

export function isLoopbackWords(w0: number, w1: number, w2: number, w3: number): boolean {
  return isIpv4Words(w0, w1, w2) ? w3 >>> 24 === 127 : (w0 | w1 | w2) === 0 && w3 === 1;
}

/** 224.0.0.0/4 and ff00::/8. */
export function isMulticast(address: IpAddress): boolean {
  return isMulticastWords(address.w0, address.w1, address.w2, address.w3);
}

export function isMulticastWords(w0: number, w1: number, w2: number, w3: number): boolean {
  return isIpv4Words(w0, w1, w2) ? w3 >>> 28 === 0xe : w0 >>> 24 === 0xff;
}

/** 169.254.0.0/16 and fe80::/10. */
export function isLinkLocal(address: IpAddress): boolean {
  return isLinkLocalWords(address.w0, address.w1, address.w2, address.w3);
}

export function isLinkLocalWords(w0: number, w1: number, w2: number, w3: number): boolean {
  return isIpv4Words(w0, w1, w2) ? w3 >>> 16 === 0xa9fe : w0 >>> 22 === 0xfe80 >>> 6;
}

/** 0.0.0.0 and ::. */
export function isUnspecified(address: IpAddress): boolean {
  return isUnspecifiedWords(address.w0, address.w1, address.w2, address.w3);
}

export function isUnspecifiedWords(w0: number, w1: number, w2: number, w3: number): boolean {
  return (w0 | w1 | w3) === 0 && (w2 === 0 || w2 === MAPPED);
}

export function parseIpAddress(text: string): IpAddress | undefined {
  if (text.length > TEXT_MAX) return undefined;
  if (text.includes(':')) return parseIpv6(text);
  const word = parseDottedQuad(text);
  return word === undefined ? undefined : ipv4Address(word);
}

export function formatIpAddress(address: IpAddress): string {
  return formatIpWords(address.w0, address.w1, address.w2, address.w3);
}

export function formatIpWords(w0: number, w1: number, w2: number, w3: number): string {
  return isIpv4Words(w0, w1, w2) ? formatIpv4(w3) : formatIpv6([w0, w1, w2, w3]);
}

export function formatIpv4(word: number): string {
  return `${word >>> 24}.${(word >>> 16) & 0xff}.${(word >>> 8) & 0xff}.${word & 0xff}`;
}

/** Reads `ADDRESS/LENGTH`. A mapped address in IPv6 text is an IPv4 prefix when the length covers the mapping: `::ffff:10.0.0.0/104`. */
export function parseIpPrefix(text: string): IpPrefix | undefined {
  const slash = text.indexOf('/');
  if (slash < 0) return undefined;
  const address = parseIpAddress(text.slice(0, slash));
  const written = parseDecimal(text.slice(slash + 1), 128);
  if (address === undefined || written === undefined) return undefined;
  const length = isIpv4(address) && text.includes(':') ? written - 96 : written;
  return length < 0 || (isIpv4(address) && length > 32) ? undefined : { address, length };
}

export function formatIpPrefix(prefix: IpPrefix): string {
  return `${formatIpAddress(prefix.address)}/${prefix.length}`;
}

/** Whether `address` lies in the network; never when it is of the other family. */
export function prefixContains(prefix: IpPrefix, address: IpAddress): boolean {
  const network = prefix.address;
  if (isIpv4(network) !== isIpv4(address)) return false;
  const bits = isIpv4(network) ? prefix.length + 96 : prefix.length;
  return (
    ((network.w0 ^ address.w0) & prefixMask(bits)) === 0 &&
    ((network.w1 ^ address.w1) & prefixMask(bits - 32)) === 0 &&
    ((network.w2 ^ address.w2) & prefixMask(bits - 64)) === 0 &&
    ((network.w3 ^ address.w3) & prefixMask(bits - 96)) === 0
  );
}

/** A word whose first `bits` bits are set; any number is taken, below 0 as 0 and above 32 as 32. `prefixMask(24)` is 255.255.255.0. */
export function prefixMask(bits: number): number {
  if (bits <= 0) return 0;
  return bits >= 32 ? -1 : (-1 << (32 - bits)) | 0;
}

/** The first address of the network: all bits behind the prefix are zero. */
export function prefixNetwork(prefix: IpPrefix): IpAddress {
  const { address, length } = prefix;
  const bits = isIpv4(address) ? length + 96 : length;
  return new IpAddress(
    address.w0 & prefixMask(bits),
    address.w1 & prefixMask(bits - 32),
    address.w2 & prefixMask(bits - 64),
    address.w3 & prefixMask(bits - 96),
  );
}

/** A MAC address is two numbers: its first 2 bytes (uint16) and its last 4 (int32). */
export class MacAddress {
  readonly high: number;
  readonly low: number;

  constructor(high: number, low: number) {
    this.high = high & 0xffff;
    this.low = low | 0;
  }

  toString(): string {
    return formatMacAddress(this);
  }
}

/** Six pairs of hexadecimal digits, all separated by colons or all by dashes. */
export function parseMacAddress(text: string): MacAddress | undefined {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$|^[0-9a-f]{2}(-[0-9a-f]{2}){5}$/i.test(text)) return undefined;
  const digits = text.replace(/[:-]/g, '');
  return new MacAddress(Number.parseInt(digits.slice(0, 4), 16), Number.parseInt(digits.slice(4), 16));
}

export function formatMacAddress(mac: MacAddress): string {
  const digits = mac.high.toString(16).padStart(4, '0') + (mac.low >>> 0).toString(16).padStart(8, '0');
  return digits.replace(/..(?!$)/g, '$&:');
}

/** A decimal number without sign and leading zeros, at most `max`. */
function parseDecimal(text: string, max: number): number | undefined {
  if (!/^(0|[1-9][0-9]{0,8})$/.test(text)) return undefined;
  const value = Number(text);
  return value <= max ? value : undefined;
}

function parseDottedQuad(text: string): number | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  let word = 0;
  for (const part of parts) {
    const byte = parseDecimal(part, 255);
    if (byte === undefined) return undefined;
    word = (word << 8) | byte;
  }
  return word;
}

function parseIpv6(text: string): IpAddress | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const last = halves.length - 1;
  const head = parseGroups(halves[0], last === 0);
  const tail = last === 0 ? [] : parseGroups(halves[1], true);
  if (head === undefined || tail === undefined) return undefined;
  // "::" stands for one group at least (RFC 4291, section 2.2).
  const missing = 8 - head.length - tail.length;
  if (last === 0 ? missing !== 0 : missing < 1) return undefined;
  const groups = [...head, ...new Array<number>(missing).fill(0), ...tail];
  const word = (i: number): number => (groups[i] << 16) | groups[i + 1];
  return new IpAddress(word(0), word(2), word(4), word(6));
}

/** The 16-bit groups of a part of an IPv6 address; only the last part may end in a dotted quad, which is two groups. */
function parseGroups(text: string, quadAllowed: boolean): number[] | undefined {
  if (text === '') return [];
  const groups: number[] = [];
  const parts = text.split(':');
  for (let i = 0; i < parts.length; i++) {
    if (/^[0-9a-f]{1,4}$/i.test(parts[i])) {
      groups.push(Number.parseInt(parts[i], 16));
      continue;
    }
    const quad = quadAllowed && i === parts.length - 1 ? parseDottedQuad(parts[i]) : undefined;
    if (quad === undefined) return undefined;
    groups.push(quad >>> 16, quad & 0xffff);
  }
  return groups;
}

function formatIpv6(words: readonly number[]): string {
  const groups = words.flatMap((word) => [word >>> 16, word & 0xffff]);
  const zeros = longestZeroRun(groups);
  const hex = (from: number, to: number): string =>
    groups
      .slice(from, to)
      .map((group) => group.toString(16))
      .join(':');
  return zeros.count < 2 ? hex(0, 8) : `${hex(0, zeros.from)}::${hex(zeros.from + zeros.count, 8)}`;
}

/** The longest run of zero groups, the first of equals (RFC 5952, section 4.2.3). */
function longestZeroRun(groups: readonly number[]): { from: number; count: number } {
  const longest = { from: 0, count: 0 };
  let count = 0;
  for (let i = 0; i < groups.length; i++) {
    count = groups[i] === 0 ? count + 1 : 0;
    if (count > longest.count) {
      longest.from = i + 1 - count;
      longest.count = count;
    }
  }
  return longest;
}
