/**
 * Netlink messages (netlink(7), linux/netlink.h): building and bounds-checked reading. Everything is in the machine's byte order, except for addresses.
 *
 * | offset | bytes | nlmsghdr                          |   | offset | bytes | rtattr (nlattr)                       |
 * | ------ | ----- | --------------------------------- | - | ------ | ----- | ------------------------------------- |
 * | 0      | 4     | length, with this header          |   | 0      | 2     | length, with these 4 bytes            |
 * | 4      | 2     | type                              |   | 2      | 2     | type; bit 15: nested, 14: big endian  |
 * | 6      | 2     | flags                             |   | 4      |       | payload                               |
 * | 8      | 4     | sequence, echoed by the kernel    |
 * | 12     | 4     | port of the sender, 0: the kernel |
 *
 * Both are padded to 4 bytes. Behind the message's header stands one of the kernel's structs, then attributes.
 *
 * Not here: what the messages mean (link.ts, address.ts, route.ts), and sending them (socket.ts).
 */
import { IpAddress, ipv4Address, isIpv4, MacAddress } from '../../base/address.ts';

/** The machine's own byte order, as DataView wants it. */
export const LITTLE_ENDIAN: boolean = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

export const MESSAGE_TYPE = { NOOP: 1, ERROR: 2, DONE: 3 } as const;

export const MESSAGE_FLAG = {
  REQUEST: 0x1,
  ACK: 0x4,
  /** A dump that changed while it was read. */
  DUMP_INTERRUPTED: 0x10,
  DUMP: 0x300,
  REPLACE: 0x100,
  EXCLUDE: 0x200,
  CREATE: 0x400,
  /** Of an acknowledgment: the request is not repeated in it; attributes follow. */
  CAPPED: 0x100,
  ACK_ATTRIBUTES: 0x200,
} as const;

export const MESSAGE_HEADER_BYTES = 16;
const ATTRIBUTE_HEADER_BYTES = 4;
const ATTRIBUTE_TYPE_MASK = 0x3fff;
const ATTRIBUTE_NESTED = 0x8000;

/** Requests are small: the largest sets a handful of attributes. */
const REQUEST_BYTES_MAX = 1024;

/** A request under construction: fields in order, then attributes. More than `REQUEST_BYTES_MAX` is a bug of ours and throws a RangeError. */
export class Request {
  readonly #bytes: Uint8Array = new Uint8Array(REQUEST_BYTES_MAX);
  readonly #view: DataView = new DataView(this.#bytes.buffer);
  #length: number = MESSAGE_HEADER_BYTES;

  constructor(type: number, flags: number) {
    this.#view.setUint16(4, type, LITTLE_ENDIAN);
    this.#view.setUint16(6, flags | MESSAGE_FLAG.REQUEST, LITTLE_ENDIAN);
  }

  uint8(...values: readonly number[]): this {
    for (const value of values) this.#view.setUint8(this.#length++, value);
    return this;
  }

  uint16(value: number): this {
    this.#view.setUint16(this.#length, value, LITTLE_ENDIAN);
    this.#length += 2;
    return this;
  }

  uint32(value: number): this {
    this.#view.setUint32(this.#length, value, LITTLE_ENDIAN);
    this.#length += 4;
    return this;
  }

  attribute(type: number, payload: Uint8Array): this {
    this.uint16(ATTRIBUTE_HEADER_BYTES + payload.length).uint16(type);
    this.#bytes.set(payload, this.#length);
    this.#length += payload.length;
    return this.#pad();
  }

  attributeUint8(type: number, value: number): this {
    return this.attribute(type, Uint8Array.of(value));
  }

  attributeUint32(type: number, value: number): this {
    return this.uint16(ATTRIBUTE_HEADER_BYTES + 4)
      .uint16(type)
      .uint32(value);
  }

  attributeText(type: number, text: string): this {
    return this.attribute(type, new TextEncoder().encode(`${text}\0`));
  }

  attributeAddress(type: number, address: IpAddress): this {
    return this.attribute(type, addressBytes(address));
  }

  attributeMac(type: number, mac: MacAddress): this {
    const bytes = new DataView(new ArrayBuffer(6));
    bytes.setUint16(0, mac.high);
    bytes.setInt32(2, mac.low);
    return this.attribute(type, new Uint8Array(bytes.buffer));
  }

  /** An attribute of attributes: those that `fill` adds. */
  nested(type: number, fill: (request: this) => void): this {
    const at = this.#length;
    this.uint16(0).uint16(type | ATTRIBUTE_NESTED);
    fill(this);
    this.#view.setUint16(at, this.#length - at, LITTLE_ENDIAN);
    return this;
  }

  /** The finished message. */
  bytes(sequence: number, flags: number = 0): Uint8Array {
    this.#view.setUint32(0, this.#length, LITTLE_ENDIAN);
    this.#view.setUint16(6, this.#view.getUint16(6, LITTLE_ENDIAN) | flags, LITTLE_ENDIAN);
    this.#view.setUint32(8, sequence, LITTLE_ENDIAN);
    return this.#bytes.slice(0, this.#length);
  }

  #pad(): this {
    this.#length = align(this.#length);
    return this;
  }
}

/** A received message; its body reaches from `at` to `end`. */
export interface Message {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly view: DataView;
  readonly at: number;
  readonly end: number;
}

/** The messages of one datagram. What does not fit its own length ends the list. */
export function readMessages(datagram: Uint8Array): Message[] {
  const view = new DataView(datagram.buffer, datagram.byteOffset, datagram.byteLength);
  const messages: Message[] = [];
  let at = 0;
  while (at + MESSAGE_HEADER_BYTES <= view.byteLength) {
    const length = view.getUint32(at, LITTLE_ENDIAN);
    if (length < MESSAGE_HEADER_BYTES || at + length > view.byteLength) break;
    messages.push({
      type: view.getUint16(at + 4, LITTLE_ENDIAN),
      flags: view.getUint16(at + 6, LITTLE_ENDIAN),
      sequence: view.getUint32(at + 8, LITTLE_ENDIAN),
      view,
      at: at + MESSAGE_HEADER_BYTES,
      end: at + length,
    });
    at += align(length);
  }
  return messages;
}

/** Attributes by type: the payload of each. Where a type comes twice, the last counts. */
export type Attributes = ReadonlyMap<number, DataView>;

/** The attributes between `at` and `end`, which lie inside `view`. What does not fit its own length ends the list. */
export function readAttributes(view: DataView, at: number, end: number): Attributes {
  const attributes = new Map<number, DataView>();
  while (at + ATTRIBUTE_HEADER_BYTES <= end) {
    const length = view.getUint16(at, LITTLE_ENDIAN);
    if (length < ATTRIBUTE_HEADER_BYTES || at + length > end) break;
    const type = view.getUint16(at + 2, LITTLE_ENDIAN) & ATTRIBUTE_TYPE_MASK;
    attributes.set(
      type,
      new DataView(view.buffer, view.byteOffset + at + ATTRIBUTE_HEADER_BYTES, length - ATTRIBUTE_HEADER_BYTES),
    );
    at += align(length);
  }
  return attributes;
}

/** The attributes inside of one, none where it is absent. */
export function nestedAttributes(attributes: Attributes, type: number): Attributes {
  const payload = attributes.get(type);
  return payload === undefined ? new Map() : readAttributes(payload, 0, payload.byteLength);
}

export function attributeUint8(attributes: Attributes, type: number): number | undefined {
  const payload = attributes.get(type);
  return payload === undefined || payload.byteLength < 1 ? undefined : payload.getUint8(0);
}

export function attributeUint32(attributes: Attributes, type: number): number | undefined {
  const payload = attributes.get(type);
  return payload === undefined || payload.byteLength < 4 ? undefined : payload.getUint32(0, LITTLE_ENDIAN);
}

/** Text up to its zero byte. */
export function attributeText(attributes: Attributes, type: number): string | undefined {
  const payload = attributes.get(type);
  if (payload === undefined) return undefined;
  const bytes = new Uint8Array(payload.buffer, payload.byteOffset, payload.byteLength);
  const zero = bytes.indexOf(0);
  return new TextDecoder().decode(zero < 0 ? bytes : bytes.subarray(0, zero));
}

/** An address of 4 or 16 bytes; undefined for any other length (tunnels have others). */
export function attributeAddress(attributes: Attributes, type: number): IpAddress | undefined {
  const payload = attributes.get(type);
  if (payload?.byteLength === 4) return ipv4Address(payload.getInt32(0));
  if (payload?.byteLength !== 16) return undefined;
  return new IpAddress(payload.getInt32(0), payload.getInt32(4), payload.getInt32(8), payload.getInt32(12));
}

export function attributeMac(attributes: Attributes, type: number): MacAddress | undefined {
  const payload = attributes.get(type);
  return payload?.byteLength === 6 ? new MacAddress(payload.getUint16(0), payload.getInt32(2)) : undefined;
}

/** Fields and attributes are padded to this. */
export function align(length: number): number {
  return (length + 3) & ~3;
}

function addressBytes(address: IpAddress): Uint8Array {
  const bytes = new DataView(new ArrayBuffer(16));
  bytes.setInt32(0, address.w0);
  bytes.setInt32(4, address.w1);
  bytes.setInt32(8, address.w2);
  bytes.setInt32(12, address.w3);
  return new Uint8Array(bytes.buffer, isIpv4(address) ? 12 : 0);
}
