/**
 * Guests of the network of `network-config.ts` that answer, as a kernel would: who they are (ARP, neighbor discovery), pings, connections and DNS queries. Without answers few
 * packets are routed to anybody, and no connection gets further than its first segment. Nothing that answers is answered, so that there is an end.
 */
import { ipv4Address, parseIpAddress } from '#tapster/base/address.js';
import * as arp from '#tapster/wire/arp.js';
import * as ethernet from '#tapster/wire/ethernet.js';
import * as icmp from '#tapster/wire/icmp.js';
import * as icmpv6 from '#tapster/wire/icmpv6.js';
import * as ipv4 from '#tapster/wire/ipv4.js';
import * as ipv6 from '#tapster/wire/ipv6.js';
import * as tcp from '#tapster/wire/tcp.js';
import * as udp from '#tapster/wire/udp.js';
import { VNET_BYTES } from './frames.ts';
import { DEVICES, TUN } from './network-config.ts';
import { GUEST_HIGH, TYPE_VLAN, typeOf, withEthernet, withoutEthernet, withoutTag, withTag } from './network-frames.ts';

const NETWORK = VNET_BYTES + ethernet.HEADER_BYTES;
const DNS_PORT = 53;
/** Of a DNS message in a datagram. */
const FLAGS_AT: number = udp.HEADER_BYTES + 2;
const IS_ANSWER = 0x80;
/** Servers have lower ones, clients have not. */
const SERVER_PORTS = 1024;
const WINDOW = 64_000;
const OPTION_TARGET_MAC = 2;

/** Who answers, by device: each address is one guest's, so that bridges have stations of their own. */
const ADDRESSES: readonly ReadonlySet<string>[] = [
  ['10.0.0.2', '10.0.0.9', '10.0.100.2', 'fd00::2', 'fd00::9', 'fe80::9'],
  ['10.0.1.2', '10.0.1.9', '10.9.1.1', 'fd00:1::2', 'fd00:1::9', 'fe80::1'],
  ['10.0.2.2', '10.0.4.2', 'fd00:2::2'],
  ['10.0.2.3', 'fd00:2::3'],
  ['10.0.2.9', 'fe80::2'],
  ['10.0.3.2', '10.0.3.9', 'fd00:3::2', 'fe80::3'],
].map((texts) => new Set(texts.map((text) => String(parseIpAddress(text)))));

/** What the guest of a device answers to a frame, if anything. */
export function answerOf(name: string, frame: Uint8Array): Uint8Array | undefined {
  const device = DEVICES.indexOf(name);
  if (device === TUN) {
    const answer = plainAnswer(device, withEthernet(frame));
    return answer && withoutEthernet(answer);
  }
  if (typeOf(frame) !== TYPE_VLAN) return plainAnswer(device, frame);
  if (frame.length < NETWORK + 4) return undefined;
  const answer = plainAnswer(device, withoutTag(frame));
  return answer && withTag(answer, ((frame[NETWORK]! << 8) | frame[NETWORK + 1]!) & 0xfff);
}

function plainAnswer(device: number, frame: Uint8Array): Uint8Array | undefined {
  const type = typeOf(frame);
  if (type === ethernet.TYPE_ARP) return arpReply(device, frame);
  if (type === ethernet.TYPE_IPV4) return ipv4Answer(device, frame);
  return type === ethernet.TYPE_IPV6 ? ipv6Answer(device, frame) : undefined;
}

function arpReply(device: number, frame: Uint8Array): Uint8Array | undefined {
  const asked = viewOf(frame);
  if (frame.length < NETWORK + arp.PACKET_BYTES || arp.operation(asked, NETWORK) !== arp.OPERATION_REQUEST) {
    return undefined;
  }
  const address = arp.targetAddress(asked, NETWORK);
  // Who announces itself is not answered.
  if (!isAt(device, String(ipv4Address(address))) || arp.senderAddress(asked, NETWORK) === address) return undefined;
  const [answer, view] = answerTo(device, frame, NETWORK + arp.PACKET_BYTES);
  const [toHigh, toLow] = [arp.senderHigh(asked, NETWORK), arp.senderLow(asked, NETWORK)];
  const from = arp.senderAddress(asked, NETWORK);
  arp.writePacket(view, NETWORK, arp.OPERATION_REPLY, GUEST_HIGH, device << 8, address, toHigh, toLow, from);
  return answer;
}

function ipv4Answer(device: number, frame: Uint8Array): Uint8Array | undefined {
  const asked = viewOf(frame);
  if (ipv4.check(asked, NETWORK, frame.length) < 0 || ipv4.isFragment(asked, NETWORK)) return undefined;
  const ours = ipv4.destination(asked, NETWORK);
  if (!isAt(device, String(ipv4Address(ours)))) return undefined;
  const protocol = ipv4.protocol(asked, NETWORK);
  const at = NETWORK + ipv4.headerBytes(asked, NETWORK);
  const message = transportAnswer(frame, at, protocol);
  if (message === undefined) return undefined;
  const [answer, view] = answerTo(device, frame, NETWORK + ipv4.HEADER_BYTES + message.length);
  const to = ipv4.source(asked, NETWORK);
  ipv4.writeHeader(view, NETWORK, ipv4.HEADER_BYTES + message.length, protocol, ours, to, 64, 0, 0, 0);
  ipv4.writeChecksum(view, NETWORK);
  answer.set(message, NETWORK + ipv4.HEADER_BYTES);
  writeChecksum(view, NETWORK + ipv4.HEADER_BYTES, protocol);
  return answer;
}

function ipv6Answer(device: number, frame: Uint8Array): Uint8Array | undefined {
  const asked = viewOf(frame);
  if (ipv6.check(asked, NETWORK, frame.length) < 0) return undefined;
  const protocol = ipv6.nextHeader(asked, NETWORK);
  const at = NETWORK + ipv6.HEADER_BYTES;
  const isSolicitation = protocol === icmpv6.PROTOCOL && frame.length >= at + 24 && frame[at] === 135;
  // What is asked for, or whoever it was sent to.
  const addressAt = isSolicitation ? at + 8 : NETWORK + 24;
  const address = frame.subarray(addressAt, addressAt + 16);
  if (!isAt(device, textOf(address))) return undefined;
  const message = isSolicitation ? advertisement(address, device) : transportAnswer(frame, at, protocol);
  if (message === undefined) return undefined;
  const [answer, view] = answerTo(device, frame, at + message.length);
  ipv6.writeHeader(view, NETWORK, message.length, protocol, isSolicitation ? 255 : 64, 0, 0);
  answer.set(address, NETWORK + 8);
  answer.set(frame.subarray(NETWORK + 8, NETWORK + 24), NETWORK + 24);
  answer.set(message, at);
  writeChecksum(view, at, protocol);
  return answer;
}

/** Solicited, overriding what was known. */
function advertisement(address: Uint8Array, device: number): Uint8Array {
  const mac = [GUEST_HIGH >> 8, GUEST_HIGH & 0xff, 0, 0, device, 0];
  return Uint8Array.of(136, 0, 0, 0, 0x60, 0, 0, 0, ...address, OPTION_TARGET_MAC, 1, ...mac);
}

function transportAnswer(frame: Uint8Array, at: number, protocol: number): Uint8Array | undefined {
  const view = viewOf(frame);
  if (protocol === tcp.PROTOCOL) return tcp.check(view, at, frame.length) < 0 ? undefined : segmentAnswer(view, at);
  if (protocol === udp.PROTOCOL) return udp.check(view, at, frame.length) < 0 ? undefined : datagramAnswer(frame, at);
  const request = protocol === icmp.PROTOCOL ? icmp.ECHO_REQUEST : icmpv6.ECHO_REQUEST;
  const isPing = (protocol === icmp.PROTOCOL || protocol === icmpv6.PROTOCOL) && frame[at] === request;
  if (!isPing || frame.length < at + icmp.HEADER_BYTES) return undefined;
  const message = frame.slice(at);
  message[0] = protocol === icmp.PROTOCOL ? icmp.ECHO_REPLY : icmpv6.ECHO_REPLY;
  return message;
}

/** Takes everything; and a client ends when its server does. */
function segmentAnswer(view: DataView, at: number): Uint8Array | undefined {
  const flags = tcp.flags(view, at);
  const isSyn = (flags & tcp.SYN) !== 0;
  const ends = (flags & tcp.FIN) !== 0;
  const bytes = view.byteLength - at - tcp.dataOffset(view, at) + (isSyn ? 1 : 0) + (ends ? 1 : 0);
  if ((flags & tcp.RST) !== 0 || bytes === 0) return undefined;
  const opens = isSyn && (flags & tcp.ACK) === 0;
  const answer = new Uint8Array(tcp.HEADER_BYTES);
  const sequence = opens ? 0 : tcp.acknowledgment(view, at);
  const acknowledged = (tcp.sequence(view, at) + bytes) | 0;
  const [from, to] = [tcp.destinationPort(view, at), tcp.sourcePort(view, at)];
  const follows = ends && to < SERVER_PORTS && from >= SERVER_PORTS;
  const own = tcp.ACK | (opens ? tcp.SYN : 0) | (follows ? tcp.FIN : 0);
  tcp.writeHeader(viewOf(answer), 0, from, to, sequence, acknowledged, tcp.HEADER_BYTES, own, WINDOW);
  return answer;
}

function datagramAnswer(frame: Uint8Array, at: number): Uint8Array | undefined {
  const view = viewOf(frame);
  const [from, to] = [udp.sourcePort(view, at), udp.destinationPort(view, at)];
  const answer = frame.slice(at, at + udp.length(view, at));
  const isQuery = ((answer[FLAGS_AT] ?? IS_ANSWER) & IS_ANSWER) === 0;
  if (to !== DNS_PORT || from === DNS_PORT || !isQuery) return undefined;
  answer[FLAGS_AT]! |= IS_ANSWER;
  udp.writeHeader(viewOf(answer), 0, to, from, answer.length);
  return answer;
}

function writeChecksum(view: DataView, at: number, protocol: number): void {
  const end = view.byteLength;
  if (protocol === tcp.PROTOCOL) tcp.writeChecksum(view, NETWORK, at, end);
  else if (protocol === udp.PROTOCOL) udp.writeChecksum(view, NETWORK, at);
  else if (protocol === icmp.PROTOCOL) icmp.writeChecksum(view, at, end);
  else icmpv6.writeChecksum(view, NETWORK, at, end);
}

/** A frame back to the sender of another. */
function answerTo(device: number, frame: Uint8Array, bytes: number): [Uint8Array, DataView] {
  const asked = viewOf(frame);
  const answer = new Uint8Array(bytes);
  const view = viewOf(answer);
  const [high, low] = [ethernet.sourceHigh(asked, VNET_BYTES), ethernet.sourceLow(asked, VNET_BYTES)];
  ethernet.writeHeader(view, VNET_BYTES, high, low, GUEST_HIGH, device << 8, typeOf(frame));
  return [answer, view];
}

function isAt(device: number, address: string): boolean {
  return ADDRESSES[device]?.has(address) === true;
}

function textOf(address: Uint8Array): string {
  const view = viewOf(address);
  const groups = [0, 2, 4, 6, 8, 10, 12, 14].map((at) => view.getUint16(at).toString(16));
  return String(parseIpAddress(groups.join(':')));
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
