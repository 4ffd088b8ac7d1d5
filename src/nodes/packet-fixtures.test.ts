/** Packets for the tests of nodes and translation, written byte by byte so that they do not depend on the code that reads them. */
import { type Packet, Packets } from '../packet/packets.ts';

export const GUEST_MAC = [0x02, 0, 0, 0, 0, 1];
export const OUR_MAC = [0x02, 0, 0, 0, 0, 2];
export const OUR_MAC_HIGH: number = 0x0200;
export const OUR_MAC_LOW: number = 2;
export const GUEST4 = [10, 0, 2, 15];
export const REMOTE4 = [192, 0, 2, 1];
export const GUEST6 = v6(0x20010db8, 0, 0, 0x15);
export const REMOTE6 = v6(0x20010db8, 1, 0, 1);

export type Bytes = readonly number[];

/** A small arena for one test. */
export function arena(): Packets {
  return new Packets(1024 * 1024, 512);
}

/** Puts a frame into the arena, as a link would. */
export function put(packets: Packets, frame: Bytes, vnet: Bytes = []): Packet {
  const packet = packets.allocate(frame.length);
  packets.bytes.set(frame, packets.start[packet]);
  packets.bytes.set(vnet, packets.start[packet] - 12);
  packets.rxInterface[packet] = 0;
  return packet;
}

/** The frame's bytes, without its virtio-net header. */
export function taken(packets: Packets, packet: Packet): number[] {
  const at = packets.start[packet];
  return [...packets.bytes.subarray(at, at + packets.length[packet])];
}

export function v6(...words: number[]): number[] {
  return words.flatMap((word) => [word >>> 24, (word >>> 16) & 0xff, (word >>> 8) & 0xff, word & 0xff]);
}

export function u16(value: number): number[] {
  return [(value >>> 8) & 0xff, value & 0xff];
}

export function ethernet(etherType: number, payload: Bytes, to: Bytes = OUR_MAC): number[] {
  return [...to, ...GUEST_MAC, ...u16(etherType), ...payload];
}

export interface Ip4Fields {
  from?: Bytes;
  to?: Bytes;
  ttl?: number;
  tos?: number;
  id?: number;
  /** Flags and offset, as on the wire. */
  fragment?: number;
  options?: Bytes;
  total?: number;
}

export function ip4(protocol: number, payload: Bytes, fields: Ip4Fields = {}): number[] {
  const options = fields.options ?? [];
  const total = fields.total ?? 20 + options.length + payload.length;
  const header = [
    0x45 + options.length / 4,
    fields.tos ?? 0,
    ...u16(total),
    ...u16(fields.id ?? 1),
    ...u16(fields.fragment ?? 0),
    fields.ttl ?? 64,
    protocol,
    0,
    0,
    ...(fields.from ?? GUEST4),
    ...(fields.to ?? REMOTE4),
    ...options,
  ];
  const sum = checksum(header);
  header[10] = sum >>> 8;
  header[11] = sum & 0xff;
  return [...header, ...payload];
}

export interface Ip6Fields {
  from?: Bytes;
  to?: Bytes;
  limit?: number;
  trafficClass?: number;
  length?: number;
}

export function ip6(next: number, payload: Bytes, fields: Ip6Fields = {}): number[] {
  const trafficClass = fields.trafficClass ?? 0;
  return [
    0x60 | (trafficClass >>> 4),
    (trafficClass & 15) << 4,
    0,
    0,
    ...u16(fields.length ?? payload.length),
    next,
    fields.limit ?? 64,
    ...(fields.from ?? GUEST6),
    ...(fields.to ?? REMOTE6),
    ...payload,
  ];
}

/** A UDP datagram with the checksum that belongs between these two addresses. */
export function udp(
  fromPort: number,
  toPort: number,
  payload: Bytes,
  from: Bytes = GUEST4,
  to: Bytes = REMOTE4,
): number[] {
  const datagram = [...u16(fromPort), ...u16(toPort), ...u16(8 + payload.length), 0, 0, ...payload];
  const sum = checksum([...from, ...to, 0, 17, ...u16(datagram.length), ...datagram]) || 0xffff;
  datagram[6] = sum >>> 8;
  datagram[7] = sum & 0xff;
  return datagram;
}

export function icmp4(type: number, code: number, rest: Bytes): number[] {
  const message = [type, code, 0, 0, ...rest];
  const sum = checksum(message);
  message[2] = sum >>> 8;
  message[3] = sum & 0xff;
  return message;
}

export function icmp6(type: number, code: number, rest: Bytes, from: Bytes = GUEST6, to: Bytes = REMOTE6): number[] {
  const message = [type, code, 0, 0, ...rest];
  const sum = checksum([...from, ...to, 0, 58, ...u16(message.length), ...message]);
  message[2] = sum >>> 8;
  message[3] = sum & 0xff;
  return message;
}

/** The Internet checksum of `bytes`, bit by bit as RFC 1071 says it. */
export function checksum(bytes: Bytes): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) {
    sum += (bytes[i] << 8) | (i + 1 < bytes.length ? bytes[i + 1] : 0);
    if (sum > 0xffff) sum = (sum & 0xffff) + 1;
  }
  return ~sum & 0xffff;
}
