/** Messages of DHCP, DHCPv6, DNS and neighbor discovery, mostly well formed, byte by byte and not by the code that reads them. */
import type { Random } from '#tapster/base/random.js';

export function dhcpMessage(random: Random): Uint8Array {
  const bytes = new Uint8Array(700);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0x0101_0600);
  view.setInt32(4, random.below(3));
  view.setUint16(10, random.chance(0.3) ? 0x8000 : 0);
  if (random.chance(0.3)) view.setInt32(12, 0x0a00_020f);
  if (random.chance(0.1)) view.setInt32(24, 0x0a00_02fe);
  view.setUint16(28, 0x0200);
  view.setInt32(30, 1);
  view.setUint32(236, 0x6382_5363);
  const overload = random.chance(0.15) ? random.between(1, 3) : 0;
  if ((overload & 1) !== 0) options(bytes, 108, 236, random, 2);
  if ((overload & 2) !== 0) options(bytes, 44, 108, random, 1);
  let at = 240;
  at = option(bytes, at, 53, Uint8Array.of(random.between(0, 9)));
  if (overload !== 0) at = option(bytes, at, 52, Uint8Array.of(overload));
  return bytes.slice(0, options(bytes, at, 600, random, random.below(6)));
}

const DHCP_CODES: readonly number[] = [50, 54, 55, 57, 61, 80, 82, 12, 1, 3, 0];

/** Writes some DHCP options and their end. Returns what lies behind. */
function options(bytes: Uint8Array, from: number, end: number, random: Random, count: number): number {
  let at = from;
  for (let i = 0; i < count; i++) {
    const code = choose(random, DHCP_CODES);
    const isAddress = code === 50 || code === 54;
    const data = isAddress
      ? Uint8Array.of(10, 0, 2, choose(random, [2, 15, 99]))
      : random.fill(new Uint8Array(choose(random, [0, 1, 2, 4, 7, 16])));
    if (at + data.length + 3 > end) break;
    at = option(bytes, at, code, data);
  }
  bytes[at++] = 255;
  return at;
}

function option(bytes: Uint8Array, at: number, code: number, data: Uint8Array): number {
  bytes[at] = code;
  bytes[at + 1] = data.length;
  bytes.set(data, at + 2);
  return at + 2 + data.length;
}

const DHCPV6_CODES: readonly number[] = [1, 1, 2, 3, 3, 4, 5, 6, 8, 13, 14, 25];
/** The id of our server in the fuzz targets: a DUID-LL of its MAC address. */
const SERVER_ID: readonly number[] = [0, 3, 0, 1, 2, 0, 0, 0, 0, 2];

export function dhcpv6Message(random: Random): Uint8Array {
  const parts: number[] = [random.between(1, 12), 0, 0, random.below(3), ...option6(1, [0, 3, 0, 1, 2, 0, 0, 0, 0, 1])];
  for (let count = random.below(6); count > 0; count--) {
    const code = choose(random, DHCPV6_CODES);
    if (code === 2) parts.push(...option6(code, SERVER_ID));
    else if (code === 3 || code === 4 || code === 25) parts.push(...option6(code, association(code, random)));
    else if (code === 6) parts.push(...option6(code, [0, 23, 0, 24, 0, 32].slice(0, 2 * random.below(4))));
    else parts.push(...option6(code, noise(random, random.below(30))));
  }
  return Uint8Array.from(parts);
}

function association(code: number, random: Random): number[] {
  const fixed = noise(random, code === 4 ? 4 : 12);
  for (let count = random.below(4); count > 0; count--) {
    const address = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, choose(random, [0x15, 0x16])];
    fixed.push(...option6(5, [...address, ...noise(random, 8)]));
  }
  return fixed;
}

function option6(code: number, data: readonly number[]): number[] {
  return [0, code, data.length >> 8, data.length & 0xff, ...data];
}

/** A query or an answer; its names are made of few labels and of pointers, some of which lead nowhere. */
export function dnsMessage(random: Random): Uint8Array {
  const isAnswer = random.chance(0.6);
  const answers = isAnswer ? random.below(5) : 0;
  const isEdns = random.chance(0.3);
  const questions = random.chance(0.95) ? 1 : random.below(3);
  const parts: number[] = [
    0,
    7,
    isAnswer ? 0x81 : 1,
    isAnswer ? 0x80 : 0,
    0,
    questions,
    0,
    answers,
    0,
    0,
    0,
    isEdns ? 1 : 0,
  ];
  for (let i = 0; i < questions; i++) parts.push(...name(random, 0), 0, choose(random, [1, 28, 5, 12, 255]), 0, 1);
  for (let i = 0; i < answers; i++) {
    const owner = random.chance(0.7) ? [0xc0, 12] : name(random, parts.length);
    const type = choose(random, [1, 1, 28, 5, 5, 2]);
    const length = type === 1 ? 4 : 16;
    const data = type === 5 || type === 2 ? name(random, parts.length) : noise(random, random.chance(0.9) ? length : 3);
    parts.push(...owner, 0, type, 0, 1, 0, 0, 0, 60, data.length >> 8, data.length & 0xff, ...data);
  }
  if (isEdns) parts.push(0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0);
  return Uint8Array.from(parts);
}

const LABELS: readonly string[] = ['host', 'tapster', 'internal', 'www', 'example', 'org', 'a', 'A', '\\', 'x.y', '\0'];

function name(random: Random, before: number): number[] {
  const bytes: number[] = [];
  for (let count = random.below(4); count > 0; count--) {
    const label = random.chance(0.02) ? 'l'.repeat(63) : choose(random, LABELS);
    bytes.push(label.length, ...Array.from(label, (letter) => letter.charCodeAt(0)));
  }
  if (random.chance(0.4))
    bytes.push(0xc0 | (random.chance(0.02) ? 1 : 0), random.chance(0.8) ? 12 : random.below(Math.max(13, before)));
  else bytes.push(0);
  return bytes;
}

/** A router or neighbor message, its checksum 0. */
export function ndpMessage(random: Random): Uint8Array {
  const type = random.between(133, 136);
  const parts: number[] = [type, 0, 0, 0, 0, 0, 0, 0];
  if (type === 134) parts.push(0, 0, 0, 0, 0, 0, 0, 0);
  if (type >= 135) {
    const target = random.chance(0.7) ? [0xfe, 0x80] : [0x20, 1];
    parts.push(...target, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, choose(random, [1, 0x15, 0x16]));
    if (target[0] === 0xfe) parts.fill(0, 10, 12);
  }
  for (let count = random.below(4); count > 0; count--) parts.push(...ndpOption(random));
  return Uint8Array.from(parts);
}

function ndpOption(random: Random): number[] {
  const kind = choose(random, [1, 1, 2, 3, 5, 14, 24, 25, 31]);
  const units = kind === 3 ? 4 : kind === 25 ? choose(random, [3, 5]) : kind >= 24 ? random.between(1, 3) : 1;
  const option = noise(random, units * 8);
  option[0] = kind;
  option[1] = random.chance(0.97) ? units : random.below(4);
  if (kind <= 2) option.splice(2, 6, 2, 0, 0, 0, 0, 1);
  if (kind === 3 || kind === 24) option[2] = choose(random, [0, 48, 64, 128, 129]);
  if (kind === 31)
    option.splice(
      8,
      option.length - 8,
      ...[3, 108, 97, 98, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0].slice(0, option.length - 8),
    );
  return option;
}

function noise(random: Random, bytes: number): number[] {
  return [...random.fill(new Uint8Array(bytes))];
}

function choose<T>(random: Random, choices: readonly T[]): T {
  return choices[random.below(choices.length)]!;
}
