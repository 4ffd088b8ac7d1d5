/**
 * Frames of a guest for fuzzing, virtio-net header in front: whole conversations' worth of kinds, mostly well formed, and the repair of lengths and checksums behind a
 * mutation. The addresses are few, so that frames meet: requests and answers, fragments of one datagram, segments of one flow.
 */
import type { Random } from '#tapster/base/random.js';
import * as arp from '#tapster/wire/arp.js';
import * as checksum from '#tapster/wire/checksum.js';
import * as ethernet from '#tapster/wire/ethernet.js';
import * as icmp from '#tapster/wire/icmp.js';
import * as icmpv6 from '#tapster/wire/icmpv6.js';
import * as ipv4 from '#tapster/wire/ipv4.js';
import * as ipv6 from '#tapster/wire/ipv6.js';
import * as tcp from '#tapster/wire/tcp.js';
import * as udp from '#tapster/wire/udp.js';
import * as vnet from '#tapster/wire/vnet-header.js';
import { dhcpMessage, dhcpv6Message, dnsMessage, ndpMessage } from './messages.ts';

export const VNET_BYTES = 12;
const NETWORK = VNET_BYTES + ethernet.HEADER_BYTES;

export const GUEST4: number = 0x0a00_020f;
export const GATEWAY4 = 0x0a00_0202;
export const DNS4 = 0x0a00_0203;
/** 198.51.100.7 */
export const REMOTE4: number = 0xc633_6407 | 0;
type Words = readonly [number, number, number, number];
export const GUEST6: Words = [0x2001_0db8, 0, 0, 0x15];
export const REMOTE6: Words = [0x2001_0db8, 0x0001_0000, 0, 7];
const GUEST_LINK_LOCAL: Words = [0xfe80_0000 | 0, 0, 0, 0x15];
const OUR_LINK_LOCAL: Words = [0xfe80_0000 | 0, 0, 0, 1];
const ALL_NODES: Words = [0xff02_0000 | 0, 0, 0, 1];
const ALL_ROUTERS: Words = [0xff02_0000 | 0, 0, 0, 2];
const ALL_DHCP: Words = [0xff02_0000 | 0, 0, 1, 2];
const UNSPECIFIED: Words = [0, 0, 0, 0];

const DESTINATIONS4: readonly number[] = [
  REMOTE4,
  REMOTE4,
  REMOTE4,
  GATEWAY4,
  DNS4,
  GUEST4,
  -1,
  0x7f00_0001,
  0xa9fe_a9fe | 0,
];
const DESTINATIONS6: readonly Words[] = [REMOTE6, REMOTE6, REMOTE6, OUR_LINK_LOCAL, ALL_NODES, GUEST6, [0, 0, 0, 1]];
const PORTS: readonly number[] = [80, 80, 81, 82, 83, 84, 85, 86, 53, 7];
const GUEST_PORTS: readonly number[] = [4000, 4001, 4002, 68, 546];
const PAYLOAD_BYTES: readonly number[] = [0, 0, 1, 7, 8, 64, 536, 1400];

export function pick<T>(random: Random, choices: readonly T[]): T {
  return choices[random.below(choices.length)]!;
}

/** One frame of a guest, most kinds equally likely. */
export function frame(random: Random): Uint8Array {
  const payload = random.chance(0.1) ? otherFrame(random) : random.chance(0.55) ? ipv4Frame(random) : ipv6Frame(random);
  if (random.chance(0.15)) giveOffload(payload, random);
  return payload;
}

/** Makes lengths and checksums right, each with a good chance only: an input with one thing wrong is worth more than one with all. */
export function repairFrame(bytes: Uint8Array, random: Random): void {
  if (bytes.length < NETWORK + 20) return;
  const view = viewOf(bytes);
  const mostly = (): boolean => random.chance(0.9);
  if (mostly()) ethernet.setDestination(view, VNET_BYTES, 0x0200, 2);
  const type = ethernet.type(view, VNET_BYTES);
  if (type === ethernet.TYPE_IPV4) repairIpv4(view, mostly);
  else if (type === ethernet.TYPE_IPV6 && bytes.length >= NETWORK + 40) repairIpv6(view, mostly);
}

function repairIpv4(view: DataView, mostly: () => boolean): void {
  const end = view.byteLength;
  // The pseudo-header goes by the version.
  if (view.getUint8(NETWORK) >>> 4 !== 4) ipv4.setHeaderBytes(view, NETWORK, ipv4.HEADER_BYTES);
  if (mostly() && ipv4.totalLength(view, NETWORK) > end - NETWORK) ipv4.setTotalLength(view, NETWORK, end - NETWORK);
  const at = NETWORK + ipv4.headerBytes(view, NETWORK);
  const to = Math.min(end, NETWORK + ipv4.totalLength(view, NETWORK));
  if (at > to || at < NETWORK + 20) return;
  if (mostly()) repairTransport(view, at, to, ipv4.protocol(view, NETWORK), mostly);
  if (mostly()) ipv4.writeChecksum(view, NETWORK);
}

function repairIpv6(view: DataView, mostly: () => boolean): void {
  const end = view.byteLength;
  view.setUint8(NETWORK, 0x60 | (view.getUint8(NETWORK) & 0xf));
  const room = end - NETWORK - ipv6.HEADER_BYTES;
  if (mostly() && ipv6.payloadLength(view, NETWORK) > room) ipv6.setPayloadLength(view, NETWORK, room);
  const to = Math.min(end, NETWORK + ipv6.HEADER_BYTES + ipv6.payloadLength(view, NETWORK));
  const found = new Int32Array(ipv6.WALK_WORDS);
  const at = ipv6.walkExtensions(view, NETWORK, to, found);
  if (at >= 0 && found[ipv6.WALK_FRAGMENT] === -1 && mostly()) {
    repairTransport(view, at, to, found[ipv6.WALK_PROTOCOL]!, mostly);
  }
}

function repairTransport(view: DataView, at: number, to: number, protocol: number, mostly: () => boolean): void {
  if (protocol === tcp.PROTOCOL && to - at >= tcp.HEADER_BYTES) {
    if (tcp.check(view, at, to) < 0 && mostly()) tcp.setDataOffset(view, at, tcp.HEADER_BYTES);
    tcp.writeChecksum(view, NETWORK, at, to);
  } else if (protocol === udp.PROTOCOL && to - at >= udp.HEADER_BYTES) {
    if (mostly()) udp.setLength(view, at, to - at);
    if (udp.check(view, at, to) > 0) udp.writeChecksum(view, NETWORK, at);
  } else if (protocol === icmp.PROTOCOL && to - at >= icmp.HEADER_BYTES) icmp.writeChecksum(view, at, to);
  else if (protocol === icmpv6.PROTOCOL && to - at >= 4) icmpv6.writeChecksum(view, NETWORK, at, to);
}

function otherFrame(random: Random): Uint8Array {
  if (random.chance(0.2)) return start(random.between(0, 100), pick(random, [0x8100, 0x88cc, 60, 0x0800, 0x86dd]));
  const bytes = start(arp.PACKET_BYTES + random.below(20), ethernet.TYPE_ARP);
  const view = viewOf(bytes);
  const asked = pick(random, [GATEWAY4, GUEST4, DNS4, REMOTE4, 0x0a00_0263]);
  const asker = pick(random, [GUEST4, GUEST4, 0, GATEWAY4, 0x0a00_0263]);
  if (random.chance(0.7)) ethernet.setDestination(view, VNET_BYTES, ethernet.BROADCAST_HIGH, ethernet.BROADCAST_LOW);
  arp.writePacket(view, NETWORK, random.between(1, 2), 0x0200, 1, asker, 0, 0, asked);
  return bytes;
}

function ipv4Frame(random: Random): Uint8Array {
  const kind = random.below(10);
  if (kind === 0) return dhcpFrame(random);
  const protocol = kind < 4 ? tcp.PROTOCOL : kind < 7 ? udp.PROTOCOL : kind < 9 ? icmp.PROTOCOL : random.below(256);
  const to = pick(random, DESTINATIONS4);
  const optionBytes = random.chance(0.1) ? 4 * random.between(1, 10) : 0;
  const at = NETWORK + ipv4.HEADER_BYTES + optionBytes;
  const bytes = start(ipv4.HEADER_BYTES + optionBytes + 1500, ethernet.TYPE_IPV4);
  const view = viewOf(bytes);
  const from = random.chance(0.95) ? GUEST4 : random.next();
  ipv4.writeHeader(
    view,
    NETWORK,
    0,
    protocol,
    from,
    to,
    random.chance(0.9) ? 64 : random.below(3),
    0,
    random.below(4),
    0,
  );
  ipv4.setHeaderBytes(view, NETWORK, ipv4.HEADER_BYTES + optionBytes);
  const end = transport(bytes, at, protocol, random, (message) => icmpMessage(bytes, message, random));
  ipv4.setTotalLength(view, NETWORK, end - NETWORK);
  if (random.chance(0.15)) fragmentIpv4(view, random);
  const whole = bytes.slice(0, end);
  repairIpv4(viewOf(whole), () => true);
  return whole;
}

/** What stands there becomes a piece of a datagram, of one of few, at one of few places. */
function fragmentIpv4(view: DataView, random: Random): void {
  const flags = random.chance(0.6) ? ipv4.MORE_FRAGMENTS : 0;
  ipv4.setFragment(view, NETWORK, flags, 8 * pick(random, [0, 0, 1, 2, 8, 9, 67, 8191]));
  if (flags !== 0) ipv4.setTotalLength(view, NETWORK, ipv4.HEADER_BYTES + 8 * pick(random, [1, 8, 8, 67]));
}

function ipv6Frame(random: Random): Uint8Array {
  const kind = random.below(12);
  const protocol = kind < 4 ? tcp.PROTOCOL : kind < 7 ? udp.PROTOCOL : kind < 11 ? icmpv6.PROTOCOL : random.below(256);
  const bytes = start(ipv6.HEADER_BYTES + 1600, ethernet.TYPE_IPV6);
  const view = viewOf(bytes);
  const isNdp = protocol === icmpv6.PROTOCOL && random.chance(0.6);
  const isDhcp = protocol === udp.PROTOCOL && random.chance(0.4);
  ipv6.writeHeader(view, NETWORK, 0, protocol, isNdp ? 255 : 64, 0, 0);
  const local = isNdp || isDhcp;
  ipv6.setSource(view, NETWORK, ...(local ? pick(random, [GUEST_LINK_LOCAL, GUEST6, UNSPECIFIED]) : GUEST6));
  const groups = isDhcp ? [ALL_DHCP] : [ALL_ROUTERS, ALL_NODES, OUR_LINK_LOCAL];
  ipv6.setDestination(view, NETWORK, ...(local ? pick(random, groups) : pick(random, DESTINATIONS6)));
  const at = extensions(view, protocol, random);
  let end: number;
  if (isNdp) end = put(bytes, at, ndpMessage(random));
  else if (isDhcp) end = datagram(bytes, at, 546, 547, dhcpv6Message(random));
  else end = transport(bytes, at, protocol, random, (message) => icmpv6Message(bytes, message, random));
  ipv6.setPayloadLength(view, NETWORK, end - NETWORK - ipv6.HEADER_BYTES);
  const whole = bytes.slice(0, end);
  repairIpv6(viewOf(whole), () => true);
  return whole;
}

/** Writes extension headers, mostly none. Returns where the transport header goes. */
function extensions(view: DataView, protocol: number, random: Random): number {
  let at = NETWORK + ipv6.HEADER_BYTES;
  let namedAt = NETWORK + 6;
  const count = random.chance(0.25) ? random.between(1, 4) : 0;
  for (let i = 0; i < count; i++) {
    const kind = pick(random, [0, 43, 44, 44, 60]);
    view.setUint8(namedAt, kind);
    namedAt = at;
    if (kind === ipv6.HEADER_FRAGMENT) {
      const offset = 8 * pick(random, [0, 0, 1, 2, 8, 8191]);
      at += ipv6.writeFragmentHeader(view, at, protocol, offset, random.chance(0.5), random.below(4));
    } else {
      view.setUint16(at, (protocol << 8) | (random.chance(0.9) ? 0 : random.below(4)));
      at += (view.getUint8(at + 1) + 1) * 8;
    }
  }
  view.setUint8(namedAt, protocol);
  return at;
}

/** Writes a transport header and a payload. Returns its end. */
function transport(
  bytes: Uint8Array,
  at: number,
  protocol: number,
  random: Random,
  message: (at: number) => number,
): number {
  if (protocol === tcp.PROTOCOL) return segment(bytes, at, random);
  if (protocol === udp.PROTOCOL) {
    const isDns = random.chance(0.4);
    const payload = isDns ? dnsMessage(random) : new Uint8Array(pick(random, PAYLOAD_BYTES));
    return datagram(bytes, at, pick(random, GUEST_PORTS), isDns ? 53 : pick(random, PORTS), payload);
  }
  if (protocol === icmp.PROTOCOL || protocol === icmpv6.PROTOCOL) return message(at);
  return at + pick(random, PAYLOAD_BYTES);
}

function segment(bytes: Uint8Array, at: number, random: Random): number {
  const view = viewOf(bytes);
  const flags = pick(random, [tcp.SYN, tcp.SYN, tcp.ACK, tcp.ACK, tcp.ACK | tcp.FIN, tcp.RST, tcp.RST | tcp.ACK, 0x3f]);
  const optionBytes = flags === tcp.SYN ? tcp.writeSynOptions(view, at, pick(random, [1460, 536, 0, 65_535]), 7) : 0;
  const headerBytes = tcp.HEADER_BYTES + optionBytes;
  const sequence = pick(random, [1000, 1001, 1001, 1002, -1]);
  tcp.writeHeader(view, at, pick(random, GUEST_PORTS), pick(random, PORTS), sequence, 1, headerBytes, flags, 1000);
  return at + headerBytes + (flags === tcp.SYN ? 0 : pick(random, PAYLOAD_BYTES));
}

function datagram(bytes: Uint8Array, at: number, fromPort: number, toPort: number, payload: Uint8Array): number {
  udp.writeHeader(viewOf(bytes), at, fromPort, toPort, udp.HEADER_BYTES + payload.length);
  return put(bytes, at + udp.HEADER_BYTES, payload);
}

function icmpMessage(bytes: Uint8Array, at: number, random: Random): number {
  const view = viewOf(bytes);
  if (random.chance(0.6)) {
    icmp.writeEcho(view, at, pick(random, [8, 8, 8, 0, 13]), random.below(3), random.below(3));
    return at + icmp.HEADER_BYTES + pick(random, PAYLOAD_BYTES);
  }
  icmp.writeError(view, at, pick(random, [3, 3, 4, 5, 11, 12]), random.below(6), random.below(1500));
  const original = icmp.original(at);
  ipv4.writeHeader(view, original, 28, pick(random, [6, 17, 1]), REMOTE4, GUEST4, 64, 0, 0, 0);
  view.setUint16(original + 20, pick(random, PORTS));
  view.setUint16(original + 22, pick(random, GUEST_PORTS));
  return original + random.between(0, 48);
}

function icmpv6Message(bytes: Uint8Array, at: number, random: Random): number {
  const view = viewOf(bytes);
  if (random.chance(0.6)) {
    icmpv6.writeEcho(view, at, pick(random, [128, 128, 129, 131, 143]), random.below(3), random.below(3));
    return at + icmpv6.HEADER_BYTES + pick(random, PAYLOAD_BYTES);
  }
  icmpv6.writeError(view, at, random.between(1, 4), random.below(6), random.below(3000));
  const original = icmpv6.original(at);
  ipv6.writeHeader(view, original, 8, pick(random, [6, 17, 58]), 64, 0, 0);
  ipv6.setSource(view, original, ...REMOTE6);
  ipv6.setDestination(view, original, ...GUEST6);
  return original + random.between(0, 60);
}

function dhcpFrame(random: Random): Uint8Array {
  const bytes = start(ipv4.HEADER_BYTES + 1500, ethernet.TYPE_IPV4);
  const view = viewOf(bytes);
  ipv4.writeHeader(
    view,
    NETWORK,
    0,
    udp.PROTOCOL,
    random.chance(0.7) ? 0 : GUEST4,
    random.chance(0.7) ? -1 : GATEWAY4,
    64,
    0,
    0,
    0,
  );
  const end = datagram(bytes, NETWORK + ipv4.HEADER_BYTES, 68, 67, dhcpMessage(random));
  ipv4.setTotalLength(view, NETWORK, end - NETWORK);
  const whole = bytes.slice(0, end);
  repairIpv4(viewOf(whole), () => true);
  return whole;
}

/** A virtio-net header as guests with offloads write it: with the checksum undone, a size of segments, or nonsense. */
function giveOffload(bytes: Uint8Array, random: Random): void {
  const view = viewOf(bytes);
  if (random.chance(0.2)) {
    random.fill(bytes.subarray(0, VNET_BYTES));
    return;
  }
  const isIpv4 = ethernet.type(view, VNET_BYTES) === ethernet.TYPE_IPV4;
  const at = NETWORK + (isIpv4 ? ipv4.HEADER_BYTES : ipv6.HEADER_BYTES);
  const kind = pick(random, [vnet.GSO_NONE, isIpv4 ? vnet.GSO_TCPV4 : vnet.GSO_TCPV6, vnet.GSO_UDP_L4, vnet.GSO_UDP]);
  vnet.setChecksum(view, 0, at - VNET_BYTES, kind === vnet.GSO_UDP_L4 ? udp.CHECKSUM_OFFSET : tcp.CHECKSUM_OFFSET);
  if (kind !== vnet.GSO_NONE) vnet.setGso(view, 0, kind, pick(random, [1, 8, 536, 1448]), at + 20 - VNET_BYTES);
}

/** A frame to us, with zeros behind its Ethernet header. */
function start(bytes: number, etherType: number): Uint8Array {
  const whole = new Uint8Array(NETWORK + bytes);
  ethernet.writeHeader(viewOf(whole), VNET_BYTES, 0x0200, 2, 0x0200, 1, etherType);
  return whole;
}

/** Returns where the message ends; what finds no room is cut off. */
function put(bytes: Uint8Array, at: number, message: Uint8Array): number {
  const kept = message.subarray(0, bytes.length - at);
  bytes.set(kept, at);
  return at + kept.length;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** What is wrong with a frame that was sent to the guest, or undefined: its headers must check, its checksums be right or left to the guest. */
export function problemOf(bytes: Uint8Array): string | undefined {
  const view = viewOf(bytes);
  if (vnet.check(view, 0, bytes.length - VNET_BYTES) < 0) return 'virtio-net header';
  if (ethernet.check(view, VNET_BYTES, bytes.length) < 0) return 'Ethernet header';
  const type = ethernet.type(view, VNET_BYTES);
  if (type === ethernet.TYPE_ARP) return arp.check(view, NETWORK, bytes.length) < 0 ? 'ARP' : undefined;
  if (type === ethernet.TYPE_IPV4) return problemOfIpv4(view);
  return type === ethernet.TYPE_IPV6 ? problemOfIpv6(view) : `EtherType ${type}`;
}

function problemOfIpv4(view: DataView): string | undefined {
  if (ipv4.check(view, NETWORK, view.byteLength) < 0) return 'IPv4 header';
  if (!ipv4.verifyChecksum(view, NETWORK)) return 'IPv4 header checksum';
  if (NETWORK + ipv4.totalLength(view, NETWORK) !== view.byteLength) return 'bytes behind an IPv4 packet';
  if (ipv4.isFragment(view, NETWORK)) return undefined;
  const at = NETWORK + ipv4.headerBytes(view, NETWORK);
  return problemOfTransport(view, at, ipv4.protocol(view, NETWORK));
}

function problemOfIpv6(view: DataView): string | undefined {
  if (ipv6.check(view, NETWORK, view.byteLength) < 0) return 'IPv6 header';
  const end = NETWORK + ipv6.HEADER_BYTES + ipv6.payloadLength(view, NETWORK);
  if (end !== view.byteLength) return 'bytes behind an IPv6 packet';
  const found = new Int32Array(ipv6.WALK_WORDS);
  const at = ipv6.walkExtensions(view, NETWORK, end, found);
  if (at < 0) return 'IPv6 extensions';
  return found[ipv6.WALK_FRAGMENT] === -1 ? problemOfTransport(view, at, found[ipv6.WALK_PROTOCOL]!) : undefined;
}

function problemOfTransport(view: DataView, at: number, protocol: number): string | undefined {
  const end = view.byteLength;
  const partial = (vnet.flags(view, 0) & vnet.FLAG_NEEDS_CSUM) !== 0;
  const seed = checksum.pseudoHeader(view, NETWORK, protocol, end - at);
  switch (protocol) {
    case tcp.PROTOCOL:
      if (tcp.check(view, at, end) < 0) return 'TCP header';
      if (partial) return tcp.checksum(view, at) === checksum.fold(seed) ? undefined : 'partial TCP checksum';
      return tcp.verifyChecksum(view, NETWORK, at, end) ? undefined : 'TCP checksum';
    case udp.PROTOCOL:
      if (udp.check(view, at, end) < 0) return 'UDP header';
      if (partial) return undefined;
      return udp.verifyChecksum(view, NETWORK, at) ? undefined : 'UDP checksum';
    case icmp.PROTOCOL:
      return icmp.check(view, at, end) > 0 && icmp.verifyChecksum(view, at, end) ? undefined : 'ICMP';
    case icmpv6.PROTOCOL:
      return icmpv6.check(view, at, end) > 0 && icmpv6.verifyChecksum(view, NETWORK, at, end) ? undefined : 'ICMPv6';
    default:
      return `protocol ${protocol}`;
  }
}
