/**
 * Frames for the network of `network-config.ts`: those of `frames.ts`, with the addresses of its guests, of its networks and of ourselves, with VLAN tags, and for a TUN
 * device without Ethernet header. Virtio-net header in front of all.
 */
import { parseIpAddress } from '#tapster/base/address.js';
import type { Random } from '#tapster/base/random.js';
import * as arp from '#tapster/wire/arp.js';
import * as ethernet from '#tapster/wire/ethernet.js';
import * as icmpv6 from '#tapster/wire/icmpv6.js';
import * as ipv4 from '#tapster/wire/ipv4.js';
import * as ipv6 from '#tapster/wire/ipv6.js';
import { frame, pick, repairFrame, VNET_BYTES } from './frames.ts';
import { TUN } from './network-config.ts';

const NETWORK = VNET_BYTES + ethernet.HEADER_BYTES;
export const TYPE_VLAN = 0x8100;
const TAG_BYTES = 4;

export type Words = readonly [number, number, number, number];

export interface Guests {
  /** Ours there; of bridge members that of the BVI. */
  readonly ourMac: number;
  readonly ipv4: readonly number[];
  readonly ipv6: readonly Words[];
}

const LAN: Guests = {
  ourMac: 0x10,
  ipv4: words4('10.0.2.2', '10.0.2.3', '10.0.2.9', '10.0.4.2'),
  ipv6: words6('fd00:2::2', 'fd00:2::3', 'fe80::2'),
};

/** By device; the third byte from the end of an Ethernet address is that of its guest. */
export const GUESTS: readonly Guests[] = [
  {
    ourMac: 0,
    ipv4: words4('10.0.0.2', '10.0.0.2', '10.0.0.9', '10.0.100.2'),
    ipv6: words6('fd00::2', 'fd00::9', 'fe80::9'),
  },
  { ourMac: 1, ipv4: words4('10.0.1.2', '10.0.1.9'), ipv6: words6('fd00:1::2', 'fd00:1::9', 'fe80::1') },
  LAN,
  LAN,
  LAN,
  { ourMac: 5, ipv4: words4('10.0.3.2', '10.0.3.9'), ipv6: words6('fd00:3::2', 'fe80::3') },
];

const ALL4: readonly number[] = [
  ...GUESTS.flatMap(({ ipv4: own }) => own),
  ...words4(
    '10.0.0.1',
    '10.0.1.1',
    '10.0.2.1',
    '10.0.3.1',
    '10.0.100.1',
    '10.9.1.1',
    '10.9.1.1',
    '10.9.2.2',
    '10.8.0.1',
  ),
  ...words4('10.7.0.1', '10.6.0.1', '198.51.100.7', '198.51.100.7', '192.0.2.77', '10.0.0.255', '255.255.255.255'),
  ...words4('224.0.0.1', '127.0.0.1', '10.0.0.77', '10.0.1.77', '0.0.0.0', '169.254.169.254'),
];
const ALL6: readonly Words[] = [
  ...GUESTS.flatMap(({ ipv6: own }) => own),
  ...words6(
    'fd00::1',
    'fd00:1::1',
    'fd00:2::1',
    'fd00:9::5',
    'fd00:6::7',
    '2001:db8:1::7',
    'fd00::77',
    'ff02::1',
    'ff02::2',
  ),
  ...words6('ff02::1:ff00:1', '::1', '::', 'fe80::fe:ff:fe00:0', 'fe80::fe:ff:fe00:1', '::ffff:10.0.0.1', 'ff05::1:3'),
];

/** The MAC address of a device's guest has these halves; ours have others. */
export const GUEST_HIGH = 0x0200;
export const OUR_HIGH = 0x02fe;

/** A frame that comes in by a device. */
export function networkFrame(random: Random, device: number): Uint8Array {
  const bytes = frame(random);
  const guests = GUESTS[device]!;
  readdress(bytes, random, device, guests);
  repair(bytes, random);
  if (device === TUN) return withoutEthernet(bytes);
  const tagged = random.chance(device === 0 ? 0.3 : 0.05);
  return tagged ? withTag(bytes, pick(random, [100, 100, 7, 7, 0, 9, 4095])) : bytes;
}

/** Makes lengths and checksums right, mostly, in place. */
export function repairNetworkFrame(bytes: Uint8Array, random: Random, device: number): void {
  if (device === TUN) {
    if (bytes.length <= VNET_BYTES) return;
    const whole = withEthernet(bytes);
    repair(whole, random);
    bytes.set(whole.subarray(NETWORK), VNET_BYTES);
  } else if (typeOf(bytes) === TYPE_VLAN && bytes.length >= NETWORK + TAG_BYTES) {
    const whole = withoutTag(bytes);
    repair(whole, random);
    bytes.set(whole.subarray(VNET_BYTES + 12), VNET_BYTES + 12 + TAG_BYTES);
  } else {
    repair(bytes, random);
  }
}

/** As a frame with an Ethernet header that says what the packet's version does. */
export function withEthernet(bytes: Uint8Array): Uint8Array {
  const whole = new Uint8Array(bytes.length + ethernet.HEADER_BYTES);
  whole.set(bytes.subarray(0, VNET_BYTES));
  whole.set(bytes.subarray(VNET_BYTES), NETWORK);
  const isIpv6 = whole[NETWORK]! >>> 4 === 6;
  viewOf(whole).setUint16(NETWORK - 2, isIpv6 ? ethernet.TYPE_IPV6 : ethernet.TYPE_IPV4);
  return whole;
}

export function withoutTag(bytes: Uint8Array): Uint8Array {
  const whole = new Uint8Array(bytes.length - TAG_BYTES);
  whole.set(bytes.subarray(0, VNET_BYTES + 12));
  whole.set(bytes.subarray(VNET_BYTES + 12 + TAG_BYTES), VNET_BYTES + 12);
  return whole;
}

/** Of a frame; -1: it is too short. */
export function typeOf(bytes: Uint8Array): number {
  return bytes.length < NETWORK ? -1 : (bytes[NETWORK - 2]! << 8) | bytes[NETWORK - 1]!;
}

export function withTag(bytes: Uint8Array, id: number): Uint8Array {
  const whole = new Uint8Array(bytes.length + TAG_BYTES);
  whole.set(bytes.subarray(0, VNET_BYTES + 12));
  whole.set(bytes.subarray(VNET_BYTES + 12), VNET_BYTES + 12 + TAG_BYTES);
  viewOf(whole).setUint32(VNET_BYTES + 12, ((TYPE_VLAN << 16) | id) >>> 0);
  return whole;
}

export function withoutEthernet(bytes: Uint8Array): Uint8Array {
  const whole = new Uint8Array(Math.max(VNET_BYTES, bytes.length - ethernet.HEADER_BYTES));
  whole.set(bytes.subarray(0, VNET_BYTES));
  whole.set(bytes.subarray(NETWORK), VNET_BYTES);
  return whole;
}

function repair(bytes: Uint8Array, random: Random): void {
  if (bytes.length < NETWORK) return;
  const destination = bytes.slice(VNET_BYTES, VNET_BYTES + 6);
  repairFrame(bytes, random);
  bytes.set(destination, VNET_BYTES);
}

function readdress(bytes: Uint8Array, random: Random, device: number, guests: Guests): void {
  const view = viewOf(bytes);
  const isGroup = ethernet.isMulticast(view, VNET_BYTES);
  const other = random.below(DEVICES_COUNT);
  if (random.chance(0.01)) ethernet.setDestination(view, VNET_BYTES, RESERVED_HIGH, RESERVED_LOW | random.below(16));
  else if (isGroup ? random.chance(0.2) : random.chance(0.8)) {
    ethernet.setDestination(view, VNET_BYTES, OUR_HIGH, guests.ourMac);
  } else if (!isGroup || random.chance(0.3)) {
    if (random.chance(0.7)) ethernet.setDestination(view, VNET_BYTES, GUEST_HIGH, other << 8);
    else ethernet.setDestination(view, VNET_BYTES, 0xffff, -1);
  }
  ethernet.setSource(view, VNET_BYTES, GUEST_HIGH, (random.chance(0.9) ? device : other) << 8);
  const type = typeOf(bytes);
  if (type === ethernet.TYPE_ARP && bytes.length >= NETWORK + arp.PACKET_BYTES) {
    const sender = random.chance(0.85) ? pick(random, guests.ipv4) : pick(random, ALL4);
    arp.setSender(view, NETWORK, GUEST_HIGH, device << 8, random.chance(0.95) ? sender : 0);
    if (random.chance(0.8)) arp.setTarget(view, NETWORK, OUR_HIGH, guests.ourMac, pick(random, ALL4));
  } else if (type === ethernet.TYPE_IPV4 && bytes.length >= NETWORK + ipv4.HEADER_BYTES) {
    readdressIpv4(view, random, guests);
  } else if (type === ethernet.TYPE_IPV6 && bytes.length >= NETWORK + ipv6.HEADER_BYTES) {
    readdressIpv6(view, random, guests);
  }
}

/** IEEE 802.1Q-2022, table 8-1: bridges keep these to themselves. */
const RESERVED_HIGH = 0x0180;
const RESERVED_LOW = 0xc200_0000 | 0;

const DEVICES_COUNT: number = GUESTS.length;

function readdressIpv4(view: DataView, random: Random, guests: Guests): void {
  // DHCP comes from nobody, and goes to all.
  const isNobody = ipv4.source(view, NETWORK) === 0;
  if (!isNobody) ipv4.setSource(view, NETWORK, random.chance(0.9) ? pick(random, guests.ipv4) : pick(random, ALL4));
  if (!isNobody || random.chance(0.1)) ipv4.setDestination(view, NETWORK, pick(random, ALL4));
  if (random.chance(0.5)) ipv4.setTimeToLive(view, NETWORK, pick(random, [0, 1, 2, 37, 200]));
}

function readdressIpv6(view: DataView, random: Random, guests: Guests): void {
  const isNdp = ipv6.nextHeader(view, NETWORK) === icmpv6.PROTOCOL && ipv6.hopLimit(view, NETWORK) === 255;
  const isNobody = ipv6.sourceWord(view, NETWORK, 0) === 0;
  if (!isNobody || random.chance(0.1)) {
    ipv6.setSource(view, NETWORK, ...(random.chance(0.9) ? pick(random, guests.ipv6) : pick(random, ALL6)));
  }
  const isGroup = ipv6.destinationWord(view, NETWORK, 0) >>> 24 === 0xff;
  if (!isGroup || random.chance(0.3)) ipv6.setDestination(view, NETWORK, ...pick(random, ALL6));
  if (!isNdp && random.chance(0.5)) ipv6.setHopLimit(view, NETWORK, pick(random, [0, 1, 2, 37, 200]));
  const target = NETWORK + ipv6.HEADER_BYTES + 8;
  if (isNdp && view.byteLength >= target + 16 && random.chance(0.8)) {
    const asked = random.chance(0.5) ? pick(random, guests.ipv6) : pick(random, ALL6);
    for (let word = 0; word < 4; word++) view.setInt32(target + 4 * word, asked[word]!);
  }
}

function words4(...texts: string[]): number[] {
  return texts.map((text) => parseIpAddress(text)!.w3);
}

function words6(...texts: string[]): Words[] {
  return texts.map((text) => {
    const { w0, w1, w2, w3 } = parseIpAddress(text)!;
    return [w0, w1, w2, w3];
  });
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
