/**
 * DHCPv6 messages between clients and servers: RFC 8415, with DNS servers and search list (RFC 3646).
 *
 * | at | bytes | field                                |
 * | -- | ----- | ------------------------------------ |
 * | 0  | 1     | message type                         |
 * | 1  | 3     | transaction id                       |
 * | 4  |       | options: code 2, length 2, data      |
 *
 * Options that hold others, by what lies in front of these in their data:
 *
 * | option     | data                                                                          |
 * | ---------- | ----------------------------------------------------------------------------- |
 * | IA_NA (3)  | IAID 4, T1 4, T2 4, options: an association for addresses                     |
 * | IA_TA (4)  | IAID 4, options: the same for temporary ones                                  |
 * | IA_PD (25) | IAID 4, T1 4, T2 4, options: the same for delegated prefixes                  |
 * | IAADDR (5) | address 16, preferred lifetime 4, valid lifetime 4, options                   |
 *
 * Not here: relay messages (12, 13), reconfiguration, authentication. Options that we do not know are passed over.
 * Accessors are safe once `check` has returned a length. An option is named by where its code stands; its data starts at `data(option)`.
 */
import type { IpAddress, MacAddress } from '../base/address.ts';
import { copyBytes } from '../base/bytes.ts';
import * as dns from './dns.ts';

export const SERVER_PORT = 547;
export const CLIENT_PORT = 546;

/** Where the options start. */
export const HEADER_BYTES = 4;

export const TYPE = {
  SOLICIT: 1,
  ADVERTISE: 2,
  REQUEST: 3,
  CONFIRM: 4,
  RENEW: 5,
  REBIND: 6,
  REPLY: 7,
  RELEASE: 8,
  DECLINE: 9,
  INFORMATION_REQUEST: 11,
} as const;

export const OPTION = {
  CLIENT_ID: 1,
  SERVER_ID: 2,
  IA_NA: 3,
  IA_TA: 4,
  IA_ADDRESS: 5,
  REQUESTED: 6,
  PREFERENCE: 7,
  STATUS: 13,
  RAPID_COMMIT: 14,
  NAME_SERVERS: 23,
  SEARCH_LIST: 24,
  IA_PD: 25,
  REFRESH_SECONDS: 32,
  /** RFC 4704. */
  FULL_NAME: 39,
} as const;

export const STATUS = { SUCCESS: 0, NO_ADDRESSES: 2, NO_BINDING: 3, NOT_ON_LINK: 4, NO_PREFIX: 6 } as const;

/** What `check` returns. */
export const TOO_SHORT = -1;
/** An option leaves what it stands in, or is too short for its kind. */
export const OPTIONS_INVALID = -2;

/** An option that is not there. */
export const NO_OPTION = -1;

/** A DUID's type and up to 128 bytes (RFC 8415, section 11.1). */
const ID_BYTES_MIN = 3;
const ID_BYTES_MAX = 130;

/** How deep options stand in one another: an IAADDR in an association in the message. What it holds itself is not looked at. */
const DEPTH_MAX = 2;

/** The server makes no records of the name (N). */
const FULL_NAME_FLAGS = 0x04;

const OPTION_HEADER_BYTES = 4;
const STATUS_BYTES = 6;
const ADDRESS_DATA_BYTES = 24;

/** Bytes that `appendAddress` writes. */
export const ADDRESS_BYTES: number = OPTION_HEADER_BYTES + ADDRESS_DATA_BYTES;
/** Bytes of an association with one address or one status in it, at most. */
export const ASSOCIATION_BYTES: number = OPTION_HEADER_BYTES + 12 + ADDRESS_BYTES;

/** The fixed part's bytes, or a negative constant. */
export function check(view: DataView, at: number, end: number): number {
  if (end - at < HEADER_BYTES) return TOO_SHORT;
  return areWhole(view, at + HEADER_BYTES, end, 0) ? HEADER_BYTES : OPTIONS_INVALID;
}

export function type(view: DataView, at: number): number {
  return view.getUint8(at);
}

export function transaction(view: DataView, at: number): number {
  return view.getInt32(at) & 0xff_ffff;
}

/** The first option with this code among those from `at` to `end`, or `NO_OPTION`. To find the next, go on at `next(option)`. */
export function findOption(view: DataView, at: number, end: number, code: number): number {
  for (let option = at; option < end; option = next(view, option)) {
    if (optionCode(view, option) === code) return option;
  }
  return NO_OPTION;
}

export function optionCode(view: DataView, option: number): number {
  return view.getUint16(option);
}

/** Where the option's data starts. */
export function data(option: number): number {
  return option + OPTION_HEADER_BYTES;
}

/** Where the option ends: the next one starts there, or what it stands in ends. */
export function next(view: DataView, option: number): number {
  return option + OPTION_HEADER_BYTES + view.getUint16(option + 2);
}

/** Whether the client wants an option: it says so, or does not say what it wants at all. `at` and `end` are the message's options. */
export function wants(view: DataView, at: number, end: number, code: number): boolean {
  const requested = findOption(view, at, end, OPTION.REQUESTED);
  if (requested === NO_OPTION) return true;
  const behind = next(view, requested);
  for (let i = data(requested); i < behind; i += 2) if (view.getUint16(i) === code) return true;
  return false;
}

/** Whether the option's data are these bytes. */
export function hasData(view: DataView, option: number, bytes: Uint8Array): boolean {
  const at = data(option);
  if (next(view, option) - at !== bytes.length) return false;
  for (let i = 0; i < bytes.length; i++) if (view.getUint8(at + i) !== bytes[i]) return false;
  return true;
}

/** The number by which the client knows an association (IA_NA, IA_TA, IA_PD). */
export function associationId(view: DataView, association: number): number {
  return view.getInt32(data(association));
}

/** Where the options in an association start; they go on to its end. */
export function associationOptions(view: DataView, association: number): number {
  return data(association) + fixedBytes(optionCode(view, association));
}

/** Word `index` (0 to 3) of an IAADDR's address. */
export function addressWord(view: DataView, option: number, index: number): number {
  return view.getInt32(data(option) + index * 4);
}

export function preferredSeconds(view: DataView, option: number): number {
  return view.getUint32(data(option) + 16);
}

export function validSeconds(view: DataView, option: number): number {
  return view.getUint32(data(option) + 20);
}

export function statusCode(view: DataView, option: number): number {
  return view.getUint16(data(option));
}

/** Writes the fixed part and returns where the first option goes. Of all that follows the caller knows that there is room for it. */
export function writeHeader(view: DataView, at: number, messageType: number, id: number): number {
  view.setInt32(at, (messageType << 24) | (id & 0xff_ffff));
  return at + HEADER_BYTES;
}

/** Appends an option, if it fits in front of `limit`. Returns where the next one goes: `at` itself when this one does not fit. */
export function appendOption(view: DataView, at: number, limit: number, code: number, bytes: Uint8Array): number {
  if (at + OPTION_HEADER_BYTES + bytes.length > limit) return at;
  view.setUint16(at, code);
  view.setUint16(at + 2, bytes.length);
  for (let i = 0; i < bytes.length; i++) view.setUint8(data(at) + i, bytes[i]);
  return next(view, at);
}

/** Appends an option of another message in the same memory as it stands there, if it fits, as `appendOption` does. */
export function echoOption(view: DataView, at: number, limit: number, option: number): number {
  const bytes = next(view, option) - option;
  if (at + bytes > limit) return at;
  copyBytes(view, option, view, at, bytes);
  return at + bytes;
}

/** Appends a status without text. */
export function appendStatus(view: DataView, at: number, status: number): number {
  view.setUint16(at, OPTION.STATUS);
  view.setUint16(at + 2, STATUS_BYTES - OPTION_HEADER_BYTES);
  view.setUint16(data(at), status);
  return at + STATUS_BYTES;
}

/** Begins an association of a kind (IA_NA, IA_TA, IA_PD); addresses or a status follow, then `endAssociation`. IA_TA has no renewal times. */
export function beginAssociation(
  view: DataView,
  at: number,
  kind: number,
  id: number,
  renewSeconds: number,
  rebindSeconds: number,
): number {
  view.setUint16(at, kind);
  view.setInt32(data(at), id);
  const fixed = fixedBytes(kind);
  if (fixed === 12) {
    view.setInt32(data(at) + 4, renewSeconds);
    view.setInt32(data(at) + 8, rebindSeconds);
  }
  return data(at) + fixed;
}

/** Ends the association that began at `association`: what stands up to `at` belongs to it. */
export function endAssociation(view: DataView, association: number, at: number): number {
  view.setUint16(association + 2, at - data(association));
  return at;
}

/** Appends an IAADDR to an association. Lifetimes of 0 take the address away. */
export function appendAddress(
  view: DataView,
  at: number,
  w0: number,
  w1: number,
  w2: number,
  w3: number,
  preferred: number,
  valid: number,
): number {
  view.setUint16(at, OPTION.IA_ADDRESS);
  view.setUint16(at + 2, ADDRESS_DATA_BYTES);
  view.setInt32(at + 4, w0);
  view.setInt32(at + 8, w1);
  view.setInt32(at + 12, w2);
  view.setInt32(at + 16, w3);
  view.setUint32(at + 20, preferred);
  view.setUint32(at + 24, valid);
  return at + ADDRESS_BYTES;
}

/** A DUID from a link-layer address, DUID-LL (RFC 8415, section 11.4): type 3, hardware type 1 (Ethernet), the address. */
export function encodeLinkLayerId(mac: MacAddress): Uint8Array {
  const bytes = new Uint8Array(10);
  const view = new DataView(bytes.buffer);
  view.setInt32(0, 0x0003_0001);
  view.setUint16(4, mac.high);
  view.setInt32(6, mac.low);
  return bytes;
}

export function encodeAddresses(addresses: readonly IpAddress[]): Uint8Array {
  const bytes = new Uint8Array(addresses.length * 16);
  const words = new DataView(bytes.buffer);
  addresses.forEach(({ w0, w1, w2, w3 }, i) => {
    words.setInt32(i * 16, w0);
    words.setInt32(i * 16 + 4, w1);
    words.setInt32(i * 16 + 8, w2);
    words.setInt32(i * 16 + 12, w3);
  });
  return bytes;
}

/** The client's name with its domain (RFC 4704, section 4): flags, and the name as DNS writes it. Nothing for what is no domain name. */
export function encodeFullName(name: string): Uint8Array {
  const encoded = encodeSearchList([name]);
  return encoded.length === 0 ? encoded : Uint8Array.of(FULL_NAME_FLAGS, ...encoded);
}

/** The data of the search list: whole names, which may not be compressed (RFC 8415, section 10). Text that is no name is left out. */
export function encodeSearchList(domains: readonly string[]): Uint8Array {
  const list: number[] = [];
  const name = new Uint8Array(dns.NAME_BYTES_MAX);
  for (const domain of domains) {
    const end = dns.writeName(new DataView(name.buffer), 0, name.length, domain);
    if (end > 1) list.push(...name.subarray(0, end));
  }
  return Uint8Array.from(list);
}

/** Whether the options from `at` to `end` fill this range, and those that we know have the size of their kind. */
function areWhole(view: DataView, at: number, end: number, depth: number): boolean {
  if (depth === DEPTH_MAX) return true;
  while (at < end) {
    if (end - at < OPTION_HEADER_BYTES || next(view, at) > end) return false;
    if (!isSizeRight(view, at)) return false;
    const code = optionCode(view, at);
    const fixed = fixedBytes(code);
    if (fixed > 0 && !areWhole(view, data(at) + fixed, next(view, at), depth + 1)) return false;
    at = next(view, at);
  }
  return true;
}

function isSizeRight(view: DataView, option: number): boolean {
  const bytes = next(view, option) - data(option);
  const code = optionCode(view, option);
  switch (code) {
    case OPTION.CLIENT_ID:
    case OPTION.SERVER_ID:
      return bytes >= ID_BYTES_MIN && bytes <= ID_BYTES_MAX;
    case OPTION.REQUESTED:
      return bytes % 2 === 0;
    case OPTION.STATUS:
      return bytes >= 2;
    default:
      return bytes >= fixedBytes(code);
  }
}

/** What stands in front of the options in an option that holds others; 0 for one that does not. */
function fixedBytes(code: number): number {
  switch (code) {
    case OPTION.IA_NA:
    case OPTION.IA_PD:
      return 12;
    case OPTION.IA_TA:
      return 4;
    case OPTION.IA_ADDRESS:
      return ADDRESS_DATA_BYTES;
    default:
      return 0;
  }
}
