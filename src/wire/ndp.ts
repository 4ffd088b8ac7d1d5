/**
 * Neighbor discovery for IPv6 (RFC 4861): router and neighbor solicitations and advertisements, and their options. DNS options: RFC 8106;
 * route information: RFC 4191.
 *
 * | at | bytes | router sol. | router advertisement     | neighbor sol. | neighbor advertisement   |
 * | -- | ----- | ----------- | ------------------------ | ------------- | ------------------------ |
 * | 0  | 1     | type 133    | type 134                 | type 135      | type 136                 |
 * | 1  | 1     | code 0      | code 0                   | code 0        | code 0                   |
 * | 2  | 2     | checksum    | checksum                 | checksum      | checksum                 |
 * | 4  | 1     | reserved    | hop limit                | reserved      | flags                    |
 * | 5  | 1     | reserved    | flags                    | reserved      | reserved                 |
 * | 6  | 2     | reserved    | router lifetime, s       | reserved      | reserved                 |
 * | 8  |       | options     | reachable time, ms (4)   | target (16)   | target (16)              |
 * | 12 |       |             | retransmission, ms (4)   |               |                          |
 * | 16 |       |             | options                  |               |                          |
 * | 24 |       |             |                          | options       | options                  |
 *
 * An option is a type (1 byte), its size in units of 8 bytes (1), and data. Those known here:
 *
 * | type | size in units | data, from byte 2 on                                                                                           |
 * | ---- | ------------- | -------------------------------------------------------------------------------------------------------------- |
 * | 1, 2 | 1             | link-layer address of source, target (6)                                                                       |
 * | 3    | 4             | prefix length (1), flags (1), valid lifetime (4), preferred lifetime (4), reserved (4), prefix (16)            |
 * | 5    | 1             | reserved (2), MTU (4)                                                                                          |
 * | 24   | 1 to 3        | prefix length (1), preference (bits 3 and 4 of 1), lifetime (4), prefix (0, 8 or 16)                           |
 * | 25   | 3, 5, ...     | reserved (2), lifetime (4), addresses of DNS servers (16 each)                                                 |
 * | 31   | 2 or more     | reserved (2), lifetime (4), search domains as in RFC 1035 without compression, zeros at the end                |
 *
 * No redirects. Left to the caller: hop limit 255, the checksum (`icmpv6.ts`), and which addresses are allowed (sections 6.1, 7.1).
 * Lifetimes are in seconds, 0xffffffff: for ever. Accessors are safe once `check` has returned a length, those of an option where `findOption` found it.
 */
import type { IpAddress } from '../base/address.ts';

export const ROUTER_SOLICITATION = 133;
export const ROUTER_ADVERTISEMENT = 134;
export const NEIGHBOR_SOLICITATION = 135;
export const NEIGHBOR_ADVERTISEMENT = 136;

/** The hop limit of every message: one that has passed a router has a smaller one. */
export const HOP_LIMIT = 255;

/** Flags of a router advertisement: addresses, other configuration by DHCPv6. */
export const RA_MANAGED = 0x80;
export const RA_OTHER = 0x40;

/** Flags of a neighbor advertisement: from a router, answer to a solicitation, replaces what was known. */
export const NA_ROUTER = 0x80;
export const NA_SOLICITED = 0x40;
export const NA_OVERRIDE = 0x20;

export const OPTION_SOURCE_LINK_LAYER = 1;
export const OPTION_TARGET_LINK_LAYER = 2;
export const OPTION_PREFIX = 3;
export const OPTION_MTU = 5;
export const OPTION_ROUTE = 24;
export const OPTION_RDNSS = 25;
export const OPTION_DNSSL = 31;

/** Flags of a prefix: addresses in it are neighbors; addresses may be made from it. */
export const PREFIX_ON_LINK = 0x80;
export const PREFIX_AUTONOMOUS = 0x40;

export const LIFETIME_INFINITE = 0xffff_ffff;

/** What `check` returns: cut short; none of the four types; a code other than 0; an option of size 0 or that runs over the end. */
export const TOO_SHORT = -1;
export const TYPE_UNKNOWN = -2;
export const CODE_INVALID = -3;
export const OPTIONS_INVALID = -4;

const TYPE = 0;
const CODE = 1;
const RA_HOP_LIMIT = 4;
const RA_FLAGS = 5;
const RA_LIFETIME = 6;
const RA_REACHABLE = 8;
const RA_RETRANSMISSION = 12;
const RA_BYTES = 16;
const RS_BYTES = 8;
const NA_FLAGS = 4;
const TARGET = 8;
const NEIGHBOR_BYTES = 24;

/** An option's size counts units of 8 bytes. */
const UNIT = 8;
/** The largest size that fits its byte. */
const UNITS_MAX = 255;
const OPTION_SIZE = 1;
const LINK_LAYER_ADDRESS = 2;
const MTU = 4;
const PREFIX_LENGTH = 2;
const PREFIX_FLAGS = 3;
const PREFIX_VALID = 4;
const PREFIX_PREFERRED = 8;
const PREFIX_RESERVED = 12;
const PREFIX_ADDRESS = 16;
const ROUTE_PREFERENCE = 3;
const ROUTE_PREFIX = 8;
/** Of route information, RDNSS and DNSSL. */
const LIFETIME = 4;
const LIST = 8;

const LABEL_BYTES_MAX = 63;
const DOMAIN_BYTES_MAX = 255;

/** Where the options start, counted from `at`, or a negative constant. All options up to `end` lie within it. */
export function check(view: DataView, at: number, end: number): number {
  if (end - at < RS_BYTES) return TOO_SHORT;
  const bytes = fixedBytes(view.getUint8(at + TYPE));
  if (bytes < 0) return TYPE_UNKNOWN;
  if (view.getUint8(at + CODE) !== 0) return CODE_INVALID;
  if (end - at < bytes) return TOO_SHORT;
  for (let position = at + bytes; position < end; position += optionBytes(view, position)) {
    if (end - position < UNIT) return OPTIONS_INVALID;
    const size = optionBytes(view, position);
    if (size === 0 || size > end - position) return OPTIONS_INVALID;
  }
  return bytes;
}

export function type(view: DataView, at: number): number {
  return view.getUint8(at + TYPE);
}

/** The hop limit that a router advertises for all packets, 0: it does not say. */
export function routerHopLimit(view: DataView, at: number): number {
  return view.getUint8(at + RA_HOP_LIMIT);
}

export function routerFlags(view: DataView, at: number): number {
  return view.getUint8(at + RA_FLAGS);
}

/** For how many seconds this is a default router, 0: it is none. */
export function routerLifetime(view: DataView, at: number): number {
  return view.getUint16(at + RA_LIFETIME);
}

export function reachableTimeMs(view: DataView, at: number): number {
  return view.getUint32(at + RA_REACHABLE);
}

export function retransmissionTimeMs(view: DataView, at: number): number {
  return view.getUint32(at + RA_RETRANSMISSION);
}

/** Flags of a neighbor advertisement. */
export function neighborFlags(view: DataView, at: number): number {
  return view.getUint8(at + NA_FLAGS);
}

/** Word `index` (0 to 3) of the target of a neighbor solicitation or advertisement. */
export function targetWord(view: DataView, at: number, index: number): number {
  return view.getInt32(at + TARGET + index * 4);
}

/**
 * The first option of a type, from the option at `position` on, or -1. Options of the wrong size for their type are passed over. To find the next of the
 * same type, start behind this one: `position + optionBytes(view, position)`.
 */
export function findOption(view: DataView, position: number, end: number, kind: number): number {
  let option = position;
  while (option < end) {
    if (view.getUint8(option) === kind && isSizeRight(view, option)) return option;
    option += optionBytes(view, option);
  }
  return -1;
}

export function optionType(view: DataView, option: number): number {
  return view.getUint8(option);
}

/** All of the option, its type and size included. */
export function optionBytes(view: DataView, option: number): number {
  return view.getUint8(option + OPTION_SIZE) * UNIT;
}

export function linkLayerHigh(view: DataView, option: number): number {
  return view.getUint16(option + LINK_LAYER_ADDRESS);
}

export function linkLayerLow(view: DataView, option: number): number {
  return view.getInt32(option + LINK_LAYER_ADDRESS + 2);
}

/** The MTU option's value. */
export function mtu(view: DataView, option: number): number {
  return view.getUint32(option + MTU);
}

/** Bits of a prefix or of a route's prefix. */
export function prefixLength(view: DataView, option: number): number {
  return view.getUint8(option + PREFIX_LENGTH);
}

export function prefixFlags(view: DataView, option: number): number {
  return view.getUint8(option + PREFIX_FLAGS);
}

export function prefixValidLifetime(view: DataView, option: number): number {
  return view.getUint32(option + PREFIX_VALID);
}

export function prefixPreferredLifetime(view: DataView, option: number): number {
  return view.getUint32(option + PREFIX_PREFERRED);
}

export function prefixWord(view: DataView, option: number, index: number): number {
  return view.getInt32(option + PREFIX_ADDRESS + index * 4);
}

/** Of route information, RDNSS and DNSSL, in seconds. */
export function lifetime(view: DataView, option: number): number {
  return view.getUint32(option + LIFETIME);
}

/** 1 high, 0 medium, -1 low; -2 is reserved, and such a route is to be ignored (RFC 4191, section 2.1). */
export function routePreference(view: DataView, option: number): number {
  return (view.getUint8(option + ROUTE_PREFERENCE) << 27) >> 30;
}

/** Word `index` of a route's prefix; words that are not there are 0. */
export function routeWord(view: DataView, option: number, index: number): number {
  const position = ROUTE_PREFIX + index * 4;
  return position < optionBytes(view, option) ? view.getInt32(option + position) : 0;
}

/** How many DNS servers an RDNSS option names. */
export function rdnssCount(view: DataView, option: number): number {
  return (optionBytes(view, option) - LIST) / 16;
}

/** Word `index` of DNS server `server`. */
export function rdnssWord(view: DataView, option: number, server: number, index: number): number {
  return view.getInt32(option + LIST + server * 16 + index * 4);
}

/** The search domains of a DNSSL option, up to the first that is malformed. Bytes that are not printable, dots and backslashes come as \ddd. */
export function dnsslDomains(view: DataView, option: number): string[] {
  const domains: string[] = [];
  const end = option + optionBytes(view, option);
  let labels: string[] = [];
  let position = option + LIST;
  while (position < end) {
    const length = view.getUint8(position++);
    if (length > LABEL_BYTES_MAX || length > end - position) break;
    if (length > 0) {
      labels.push(labelText(view, position, length));
      position += length;
      continue;
    }
    // An empty name is the padding.
    if (labels.length === 0) break;
    domains.push(labels.join('.'));
    labels = [];
  }
  return domains;
}

/** Writes a router solicitation and returns its bytes, behind which options may follow. The checksum is written when they are complete. */
export function writeRouterSolicitation(view: DataView, at: number): number {
  writeStart(view, at, ROUTER_SOLICITATION);
  return RS_BYTES;
}

/** Writes a router advertisement without options and returns its bytes. */
export function writeRouterAdvertisement(
  view: DataView,
  at: number,
  hopLimit: number,
  flags: number,
  lifetimeSeconds: number,
  reachableMs: number,
  retransmissionMs: number,
): number {
  writeStart(view, at, ROUTER_ADVERTISEMENT);
  view.setUint8(at + RA_HOP_LIMIT, hopLimit);
  view.setUint8(at + RA_FLAGS, flags);
  view.setUint16(at + RA_LIFETIME, lifetimeSeconds);
  view.setUint32(at + RA_REACHABLE, reachableMs);
  view.setUint32(at + RA_RETRANSMISSION, retransmissionMs);
  return RA_BYTES;
}

/** Writes a neighbor solicitation for a target, without options, and returns its bytes. */
export function writeNeighborSolicitation(
  view: DataView,
  at: number,
  target0: number,
  target1: number,
  target2: number,
  target3: number,
): number {
  writeStart(view, at, NEIGHBOR_SOLICITATION);
  writeWords(view, at + TARGET, target0, target1, target2, target3);
  return NEIGHBOR_BYTES;
}

/** Writes a neighbor advertisement of a target, without options, and returns its bytes. */
export function writeNeighborAdvertisement(
  view: DataView,
  at: number,
  flags: number,
  target0: number,
  target1: number,
  target2: number,
  target3: number,
): number {
  writeStart(view, at, NEIGHBOR_ADVERTISEMENT);
  view.setUint8(at + NA_FLAGS, flags);
  writeWords(view, at + TARGET, target0, target1, target2, target3);
  return NEIGHBOR_BYTES;
}

/** Writes a source or target link-layer address option (`kind`) and returns its bytes. */
export function writeLinkLayerOption(view: DataView, option: number, kind: number, high: number, low: number): number {
  view.setUint16(option, (kind << 8) | 1);
  view.setUint16(option + LINK_LAYER_ADDRESS, high);
  view.setInt32(option + LINK_LAYER_ADDRESS + 2, low);
  return UNIT;
}

export function writePrefixOption(
  view: DataView,
  option: number,
  prefix: IpAddress,
  lengthBits: number,
  flags: number,
  validSeconds: number,
  preferredSeconds: number,
): number {
  view.setUint16(option, (OPTION_PREFIX << 8) | 4);
  view.setUint8(option + PREFIX_LENGTH, lengthBits);
  view.setUint8(option + PREFIX_FLAGS, flags);
  view.setUint32(option + PREFIX_VALID, validSeconds);
  view.setUint32(option + PREFIX_PREFERRED, preferredSeconds);
  view.setInt32(option + PREFIX_RESERVED, 0);
  writeWords(view, option + PREFIX_ADDRESS, prefix.w0, prefix.w1, prefix.w2, prefix.w3);
  return 4 * UNIT;
}

export function writeMtuOption(view: DataView, option: number, value: number): number {
  view.setInt32(option, (OPTION_MTU << 24) | (1 << 16));
  view.setUint32(option + MTU, value);
  return UNIT;
}

/** Writes a route through the sender, always with the whole prefix (3 units), and returns its bytes. `preference` is 1, 0 or -1. */
export function writeRouteOption(
  view: DataView,
  option: number,
  prefix: IpAddress,
  lengthBits: number,
  preference: number,
  lifetimeSeconds: number,
): number {
  view.setUint16(option, (OPTION_ROUTE << 8) | 3);
  view.setUint8(option + PREFIX_LENGTH, lengthBits);
  view.setUint8(option + ROUTE_PREFERENCE, (preference & 3) << 3);
  view.setUint32(option + LIFETIME, lifetimeSeconds);
  writeWords(view, option + ROUTE_PREFIX, prefix.w0, prefix.w1, prefix.w2, prefix.w3);
  return 3 * UNIT;
}

/**
 * Writes DNS servers, as many as fit before `end`, and returns the option's bytes: 0, and nothing written, when not one of them does.
 */
export function writeRdnssOption(
  view: DataView,
  option: number,
  end: number,
  servers: readonly IpAddress[],
  lifetimeSeconds: number,
): number {
  const room = Math.min(Math.floor((end - option - LIST) / 16), (UNITS_MAX - 1) / 2);
  const count = Math.min(servers.length, room);
  if (count <= 0) return 0;
  writeListStart(view, option, OPTION_RDNSS, lifetimeSeconds);
  for (let i = 0; i < count; i++) {
    const server = servers[i];
    writeWords(view, option + LIST + i * 16, server.w0, server.w1, server.w2, server.w3);
  }
  view.setUint8(option + OPTION_SIZE, 1 + 2 * count);
  return LIST + 16 * count;
}

/**
 * Writes search domains, as many as fit before `end`, and returns the option's bytes: 0, and nothing written, when not one of them does.
 * A domain that is no valid name is left out.
 */
export function writeDnsslOption(
  view: DataView,
  option: number,
  end: number,
  domains: readonly string[],
  lifetimeSeconds: number,
): number {
  // The padding at the end must fit too, so the room is counted in whole units.
  const units = Math.min(Math.floor((end - option) / UNIT), UNITS_MAX);
  if (units < 2) return 0;
  const limit = option + units * UNIT;
  let position = option + LIST;
  for (const domain of domains) position += writeDomain(view, position, limit, domain);
  if (position === option + LIST) return 0;
  while ((position - option) % UNIT !== 0) view.setUint8(position++, 0);
  writeListStart(view, option, OPTION_DNSSL, lifetimeSeconds);
  view.setUint8(option + OPTION_SIZE, (position - option) / UNIT);
  return position - option;
}

function fixedBytes(messageType: number): number {
  switch (messageType) {
    case ROUTER_SOLICITATION:
      return RS_BYTES;
    case ROUTER_ADVERTISEMENT:
      return RA_BYTES;
    case NEIGHBOR_SOLICITATION:
    case NEIGHBOR_ADVERTISEMENT:
      return NEIGHBOR_BYTES;
    default:
      return -1;
  }
}

function isSizeRight(view: DataView, option: number): boolean {
  const units = view.getUint8(option + OPTION_SIZE);
  switch (view.getUint8(option)) {
    case OPTION_SOURCE_LINK_LAYER:
    case OPTION_TARGET_LINK_LAYER:
    case OPTION_MTU:
      return units === 1;
    case OPTION_PREFIX:
      return units === 4 && prefixLength(view, option) <= 128;
    case OPTION_ROUTE:
      // The prefix may be cut to the bytes that its length needs (RFC 4191, section 2.3).
      return units <= 3 && prefixLength(view, option) <= Math.min((units - 1) * 64, 128);
    case OPTION_RDNSS:
      return units >= 3 && units % 2 === 1;
    case OPTION_DNSSL:
      return units >= 2;
    default:
      return true;
  }
}

function labelText(view: DataView, position: number, length: number): string {
  let text = '';
  for (let i = 0; i < length; i++) {
    const byte = view.getUint8(position + i);
    const plain = byte > 0x20 && byte < 0x7f && byte !== 0x2e && byte !== 0x5c;
    text += plain ? String.fromCharCode(byte) : `\\${String(byte).padStart(3, '0')}`;
  }
  return text;
}

function writeStart(view: DataView, at: number, messageType: number): void {
  view.setInt32(at, messageType << 24);
  view.setInt32(at + 4, 0);
}

function writeListStart(view: DataView, option: number, kind: number, lifetimeSeconds: number): void {
  view.setInt32(option, kind << 24);
  view.setUint32(option + LIFETIME, lifetimeSeconds);
}

/** Writes a name as labels with the empty one at the end; 0, when it is not valid or does not fit. */
function writeDomain(view: DataView, position: number, limit: number, domain: string): number {
  const name = domain.endsWith('.') ? domain.slice(0, -1) : domain;
  // Each label has its length in the place of a dot, and the first one and the empty one have a byte more.
  const bytes = name.length + 2;
  if (!/^[\x21-\x7e]+$/.test(name) || bytes > DOMAIN_BYTES_MAX || bytes > limit - position) return 0;
  const labels = name.split('.');
  if (labels.some((label) => label.length === 0 || label.length > LABEL_BYTES_MAX)) return 0;
  let written = position;
  for (const label of labels) {
    view.setUint8(written++, label.length);
    for (let i = 0; i < label.length; i++) view.setUint8(written++, label.charCodeAt(i));
  }
  view.setUint8(written, 0);
  return bytes;
}

function writeWords(view: DataView, position: number, w0: number, w1: number, w2: number, w3: number): void {
  view.setInt32(position, w0);
  view.setInt32(position + 4, w1);
  view.setInt32(position + 8, w2);
  view.setInt32(position + 12, w3);
}
