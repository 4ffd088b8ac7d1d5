/**
 * DHCP messages: RFC 2131 and 2132, with the search list (RFC 3397), classless routes (RFC 3442), long options when writing (RFC 3396),
 * rapid commit (RFC 4039) and relay information (RFC 3046).
 *
 * | at  | bytes | field                                                                      |
 * | --- | ----- | -------------------------------------------------------------------------- |
 * | 0   | 1     | operation: 1 from a client, 2 from a server                                |
 * | 1   | 1     | hardware type, 1: Ethernet                                                 |
 * | 2   | 1     | bytes of a hardware address, 6                                             |
 * | 3   | 1     | hops                                                                       |
 * | 4   | 4     | transaction id                                                             |
 * | 8   | 2     | seconds since the client began                                             |
 * | 10  | 2     | flags: 0x8000 asks for broadcast replies                                   |
 * | 12  | 4     | ciaddr: the client's address, when it has one that works                   |
 * | 16  | 4     | yiaddr: the address that the server gives                                  |
 * | 20  | 4     | siaddr: the next server of a boot                                          |
 * | 24  | 4     | giaddr: the relay that the message came through                            |
 * | 28  | 16    | chaddr: the client's hardware address                                      |
 * | 44  | 64    | sname: the server's name, or options (overload)                            |
 * | 108 | 128   | file: the boot file's name, or options (overload)                          |
 * | 236 | 4     | magic cookie                                                               |
 * | 240 |       | options: code, length, data; 0 is padding, 255 the end                     |
 *
 * Not here: plain BOOTP (a message without a type is refused by whoever asks for the type), hardware other than Ethernet, authentication.
 * Accessors are safe once `check` has returned a length. Of an option that stands more than once the first is taken.
 */
import { type IpPrefix, prefixNetwork } from '../base/address.ts';
import { copyBytes } from '../base/bytes.ts';
import * as dns from './dns.ts';

export const SERVER_PORT = 67;
export const CLIENT_PORT = 68;

/** Where the options start. */
export const HEADER_BYTES = 240;
/** A BOOTP message has at least this size (RFC 1542, section 2.1), and there are clients that insist. */
const MESSAGE_BYTES_MIN = 300;

export const OPERATION_REQUEST = 1;
export const OPERATION_REPLY = 2;

export const TYPE = { DISCOVER: 1, OFFER: 2, REQUEST: 3, DECLINE: 4, ACK: 5, NAK: 6, RELEASE: 7, INFORM: 8 } as const;

export const OPTION = {
  SUBNET_MASK: 1,
  ROUTERS: 3,
  NAME_SERVERS: 6,
  HOST_NAME: 12,
  DOMAIN_NAME: 15,
  MTU: 26,
  REQUESTED_ADDRESS: 50,
  LEASE_SECONDS: 51,
  OVERLOAD: 52,
  TYPE: 53,
  SERVER: 54,
  PARAMETERS: 55,
  MESSAGE_BYTES_MAX: 57,
  CLIENT_ID: 61,
  RAPID_COMMIT: 80,
  /** RFC 4702. */
  FULL_NAME: 81,
  RELAY_INFORMATION: 82,
  SEARCH_LIST: 119,
  CLASSLESS_ROUTES: 121,
} as const;

/** What `check` returns. */
export const TOO_SHORT = -1;
/** Not Ethernet, or no magic cookie. */
export const HEADER_INVALID = -2;
/** An option leaves the message, or the options have no end. */
export const OPTIONS_INVALID = -3;

/** An option that is not there. */
export const NO_OPTION = -4;

const OPERATION = 0;
const HARDWARE = 1;
const TRANSACTION = 4;
const FLAGS = 10;
const CLIENT_ADDRESS = 12;
const YOUR_ADDRESS = 16;
const RELAY_ADDRESS = 24;
const HARDWARE_ADDRESS = 28;
const SERVER_NAME = 44;
const BOOT_FILE = 108;
const COOKIE = 236;

const ETHERNET_6 = 0x0106;
/** The name is as DNS writes it (E), and the server makes no records of it (N). */
const FULL_NAME_FLAGS = 0x0c;
const MAGIC = 0x63825363;
const FLAG_BROADCAST = 0x8000;
const BROADCAST = -1;
const PAD = 0;
const END = 255;
const OPTION_DATA_MAX = 255;

/** Option overload: which fields hold options too. */
const OVERLOAD_FILE = 1;
const OVERLOAD_NAME = 2;

/** The fixed part's bytes, or a negative constant. */
export function check(view: DataView, at: number, end: number): number {
  if (end - at < HEADER_BYTES) return TOO_SHORT;
  if (view.getUint16(at + HARDWARE) !== ETHERNET_6 || view.getInt32(at + COOKIE) !== MAGIC) return HEADER_INVALID;
  if (scan(view, at + HEADER_BYTES, end, END) === OPTIONS_INVALID) return OPTIONS_INVALID;
  const overload = overloaded(view, at, end);
  if ((overload & OVERLOAD_FILE) !== 0 && scan(view, at + BOOT_FILE, at + COOKIE, END) === OPTIONS_INVALID) {
    return OPTIONS_INVALID;
  }
  if ((overload & OVERLOAD_NAME) !== 0 && scan(view, at + SERVER_NAME, at + BOOT_FILE, END) === OPTIONS_INVALID) {
    return OPTIONS_INVALID;
  }
  return HEADER_BYTES;
}

export function operation(view: DataView, at: number): number {
  return view.getUint8(at + OPERATION);
}

export function transaction(view: DataView, at: number): number {
  return view.getInt32(at + TRANSACTION);
}

export function wantsBroadcast(view: DataView, at: number): boolean {
  return (view.getUint16(at + FLAGS) & FLAG_BROADCAST) !== 0;
}

export function clientAddress(view: DataView, at: number): number {
  return view.getInt32(at + CLIENT_ADDRESS);
}

export function yourAddress(view: DataView, at: number): number {
  return view.getInt32(at + YOUR_ADDRESS);
}

export function relayAddress(view: DataView, at: number): number {
  return view.getInt32(at + RELAY_ADDRESS);
}

export function hardwareHigh(view: DataView, at: number): number {
  return view.getUint16(at + HARDWARE_ADDRESS);
}

export function hardwareLow(view: DataView, at: number): number {
  return view.getInt32(at + HARDWARE_ADDRESS + 2);
}

/** Where the data of an option starts, its length in the byte before; `NO_OPTION` when it is not there. */
export function findOption(view: DataView, at: number, end: number, code: number): number {
  const found = scan(view, at + HEADER_BYTES, end, code);
  if (found >= 0) return found;
  const overload = overloaded(view, at, end);
  if ((overload & OVERLOAD_FILE) !== 0) {
    const inFile = scan(view, at + BOOT_FILE, at + COOKIE, code);
    if (inFile >= 0) return inFile;
  }
  return (overload & OVERLOAD_NAME) !== 0 ? scan(view, at + SERVER_NAME, at + BOOT_FILE, code) : NO_OPTION;
}

/** The data bytes of an option that was found. */
export function optionBytes(view: DataView, option: number): number {
  return view.getUint8(option - 1);
}

/** The value of an option of 1, 2 or 4 bytes as a signed number of that size; `missing` when it is not there or has another size. */
export function optionValue(
  view: DataView,
  at: number,
  end: number,
  code: number,
  bytes: number,
  missing: number,
): number {
  const option = findOption(view, at, end, code);
  if (option < 0 || optionBytes(view, option) !== bytes) return missing;
  if (bytes === 1) return view.getInt8(option);
  return bytes === 2 ? view.getInt16(option) : view.getInt32(option);
}

/** The message's type, 0 for none: it is plain BOOTP then. */
export function type(view: DataView, at: number, end: number): number {
  return optionValue(view, at, end, OPTION.TYPE, 1, 0);
}

/** Whether the client wants an option: it says so, or does not say what it wants at all. */
export function wants(view: DataView, at: number, end: number, code: number): boolean {
  const parameters = findOption(view, at, end, OPTION.PARAMETERS);
  if (parameters < 0) return true;
  const behind = parameters + optionBytes(view, parameters);
  for (let i = parameters; i < behind; i++) if (view.getUint8(i) === code) return true;
  return false;
}

/** The address that a reply to `request` goes to (RFC 2131, section 4.1); `given` is its yiaddr, 0 in an answer to INFORM. */
export function replyAddress(view: DataView, request: number, replyType: number, given: number): number {
  const relay = relayAddress(view, request);
  if (relay !== 0) return relay;
  if (replyType === TYPE.NAK) return BROADCAST;
  const client = clientAddress(view, request);
  if (client !== 0) return client;
  return wantsBroadcast(view, request) || given === 0 ? BROADCAST : given;
}

/**
 * Writes the fixed part of a reply to `request`, which lies in the same memory, and the option that says its type. Returns where the next option
 * goes. The caller has room for `MESSAGE_BYTES_MIN`.
 */
export function beginReply(view: DataView, at: number, request: number, replyType: number, given: number): number {
  for (let i = 0; i < HEADER_BYTES; i += 4) view.setInt32(at + i, 0);
  view.setUint8(at + OPERATION, OPERATION_REPLY);
  view.setUint16(at + HARDWARE, ETHERNET_6);
  view.setInt32(at + TRANSACTION, transaction(view, request));
  const relay = relayAddress(view, request);
  // A relay can deliver a refusal only by broadcast: the client's address is not valid (RFC 2131, section 4.3.2).
  const mustBroadcast = replyType === TYPE.NAK && relay !== 0;
  view.setUint16(at + FLAGS, mustBroadcast || wantsBroadcast(view, request) ? FLAG_BROADCAST : 0);
  if (replyType === TYPE.ACK) view.setInt32(at + CLIENT_ADDRESS, clientAddress(view, request));
  view.setInt32(at + YOUR_ADDRESS, given);
  view.setInt32(at + RELAY_ADDRESS, relay);
  view.setUint16(at + HARDWARE_ADDRESS, hardwareHigh(view, request));
  view.setInt32(at + HARDWARE_ADDRESS + 2, hardwareLow(view, request));
  view.setInt32(at + COOKIE, MAGIC);
  view.setUint8(at + HEADER_BYTES, OPTION.TYPE);
  view.setUint8(at + HEADER_BYTES + 1, 1);
  view.setUint8(at + HEADER_BYTES + 2, replyType);
  return at + HEADER_BYTES + 3;
}

/**
 * Appends an option, cut into several where its data is longer than 255 bytes. Returns where the next one goes: `at` itself when this one does not fit
 * in front of `limit`, where one byte stays free for the end.
 */
export function appendOption(view: DataView, at: number, limit: number, code: number, data: Uint8Array): number {
  const pieces = Math.max(1, Math.ceil(data.length / OPTION_DATA_MAX));
  if (at + pieces * 2 + data.length >= limit) return at;
  for (let piece = 0; piece < pieces; piece++) {
    const from = piece * OPTION_DATA_MAX;
    const bytes = Math.min(data.length - from, OPTION_DATA_MAX);
    view.setUint8(at, code);
    view.setUint8(at + 1, bytes);
    for (let i = 0; i < bytes; i++) view.setUint8(at + 2 + i, data[from + i]);
    at += 2 + bytes;
  }
  return at;
}

/** Appends an option of one 32-bit word, as `appendOption` does. */
export function appendWord(view: DataView, at: number, limit: number, code: number, word: number): number {
  if (at + 6 >= limit) return at;
  view.setUint8(at, code);
  view.setUint8(at + 1, 4);
  view.setInt32(at + 2, word);
  return at + 6;
}

/** Appends an option of the request as it stands there, if it is there, as `appendOption` does. */
export function echoOption(
  view: DataView,
  at: number,
  limit: number,
  request: number,
  requestEnd: number,
  code: number,
): number {
  const option = findOption(view, request, requestEnd, code);
  if (option < 0) return at;
  const bytes = optionBytes(view, option);
  if (at + 2 + bytes >= limit) return at;
  view.setUint8(at, code);
  view.setUint8(at + 1, bytes);
  copyBytes(view, option, view, at + 2, bytes);
  return at + 2 + bytes;
}

/** Ends the options and pads the message that starts at `message` to its smallest size. Returns its end. */
export function endReply(view: DataView, at: number, message: number): number {
  view.setUint8(at++, END);
  while (at < message + MESSAGE_BYTES_MIN) view.setUint8(at++, PAD);
  return at;
}

/** The data of the classless routes (RFC 3442): for each the prefix's length, the bytes of it that count, and the router (0: on the link). */
export function encodeRoutes(routes: readonly { destination: IpPrefix; router: number }[]): Uint8Array {
  const data: number[] = [];
  for (const { destination, router } of routes) {
    const network = prefixNetwork(destination).w3;
    const significant = Math.ceil(destination.length / 8);
    data.push(destination.length, ...bytesOf(network).slice(0, significant), ...bytesOf(router));
  }
  return Uint8Array.from(data);
}

/** The data of a list of addresses. */
export function encodeAddresses(addresses: readonly number[]): Uint8Array {
  return Uint8Array.from(addresses.flatMap(bytesOf));
}

/**
 * The client's name with its domain (RFC 4702, section 2): flags, two codes of results that nobody looks at any more, the name as DNS writes it. Nothing for what is no
 * domain name.
 */
export function encodeFullName(name: string): Uint8Array {
  const encoded = encodeSearchList([name]);
  return encoded.length === 0 ? encoded : Uint8Array.of(FULL_NAME_FLAGS, 255, 255, ...encoded);
}

/** The data of the search list (RFC 3397): names, a tail that stood before replaced by a pointer to it. Text that is no name is left out. */
export function encodeSearchList(domains: readonly string[]): Uint8Array {
  const data: number[] = [];
  const tails = new Map<string, number>();
  const name = new Uint8Array(dns.NAME_BYTES_MAX);
  const view = new DataView(name.buffer);
  for (const domain of domains) {
    const end = dns.writeName(view, 0, name.length, domain);
    if (end <= 1) continue;
    for (let at = 0; at < end; ) {
      const tail = name.slice(at, end).join();
      const before = name[at] === 0 ? undefined : tails.get(tail);
      if (before !== undefined) {
        data.push(0xc0 | (before >> 8), before & 0xff);
        break;
      }
      // A pointer has 14 bits.
      if (data.length < 0x4000) tails.set(tail, data.length);
      const next = at + 1 + name[at];
      data.push(...name.slice(at, next));
      at = next;
    }
  }
  return Uint8Array.from(data);
}

/**
 * Where the data of option `code` starts in the options from `at` to `end`; `NO_OPTION` when they end without it; `OPTIONS_INVALID` when one leaves
 * them or they have no end.
 */
function scan(view: DataView, at: number, end: number, code: number): number {
  while (at < end) {
    const found = view.getUint8(at++);
    if (found === PAD) continue;
    if (found === END) return NO_OPTION;
    if (at === end) return OPTIONS_INVALID;
    const data = at + 1;
    at = data + view.getUint8(at);
    if (at > end) return OPTIONS_INVALID;
    if (found === code) return data;
  }
  return OPTIONS_INVALID;
}

function overloaded(view: DataView, at: number, end: number): number {
  const option = scan(view, at + HEADER_BYTES, end, OPTION.OVERLOAD);
  return option >= 0 && optionBytes(view, option) === 1 ? view.getUint8(option) : 0;
}

function bytesOf(word: number): number[] {
  return [word >>> 24, (word >>> 16) & 0xff, (word >>> 8) & 0xff, word & 0xff];
}
