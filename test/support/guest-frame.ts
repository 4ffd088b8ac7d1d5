/**
 * Frames as the simulated guest's kernel reads and writes them: virtio-net header, Ethernet, IPv4 or IPv6, TCP.
 *
 * Written from RFC 791, 8200, 9293, 7323 and virtio 1.2 section 5.1.6, and on purpose without a line of `src/wire`: it judges what the engine sends. Reading
 * is strict: everything that a careful receiver would object to is listed in `problems`.
 */
import { internetSum, isSumRight, pseudoHeaderSum } from './guest-checksum.ts';

export const FIN = 0x01;
export const SYN = 0x02;
export const RST = 0x04;
export const PSH = 0x08;
export const ACK = 0x10;
export const URG = 0x20;

export const VNET_BYTES = 12;
const ETHERNET_BYTES = 14;
const TCP_BYTES = 20;
const PROTOCOL_TCP = 6;
const NEEDS_CSUM = 1;
const GSO_TCPV4 = 1;
const GSO_TCPV6 = 4;
const CHECKSUM_AT = 16;
/** An Ethernet frame has at least 60 bytes; shorter ones may be padded. */
const ETHERNET_BYTES_MIN = 60;

/** 4 bytes for IPv4, 16 for IPv6. */
export type Address = Uint8Array;

export interface TcpOptions {
  mss?: number;
  windowScale?: number;
  sackPermitted?: boolean;
  timestamps?: boolean;
  sack?: boolean;
}

export interface TcpSegment {
  source: Address;
  destination: Address;
  sourcePort: number;
  destinationPort: number;
  /** Unsigned. */
  sequence: number;
  acknowledgment: number;
  flags: number;
  /** The field, not scaled. */
  window: number;
  options: TcpOptions;
  payload: Uint8Array;
  /** Payload bytes of each packet that the frame stands for; 0: one packet. */
  gsoBytes: number;
}

export interface FrameOptions {
  readonly sourceMac: Uint8Array;
  readonly destinationMac: Uint8Array;
  /** Leave the checksum to the device (NEEDS_CSUM). */
  readonly partialChecksum: boolean;
}

/** What a frame holds, as far as the guest cares. `body` is the IP packet, or what follows the Ethernet header. */
export interface Frame {
  readonly destinationMac: Uint8Array;
  readonly sourceMac: Uint8Array;
  readonly etherType: number;
  readonly body: Uint8Array;
  readonly vnet: Uint8Array;
}

export interface IpPacket {
  readonly source: Address;
  readonly destination: Address;
  readonly protocol: number;
  readonly payload: Uint8Array;
  /** Where the payload starts, from the IP header on. */
  readonly headerBytes: number;
}

export function splitFrame(bytes: Uint8Array): Frame | undefined {
  if (bytes.length < VNET_BYTES + ETHERNET_BYTES) return undefined;
  const ethernet = bytes.subarray(VNET_BYTES);
  return {
    destinationMac: ethernet.subarray(0, 6),
    sourceMac: ethernet.subarray(6, 12),
    etherType: (ethernet[12]! << 8) | ethernet[13]!,
    body: ethernet.subarray(ETHERNET_BYTES),
    vnet: bytes.subarray(0, VNET_BYTES),
  };
}

/** Reads the IP header; undefined where there is none that could be read. */
export function readIp(frame: Frame, problems: string[]): IpPacket | undefined {
  if (frame.etherType === 0x0800) return readIpv4(frame.body, problems);
  return frame.etherType === 0x86dd ? readIpv6(frame.body, problems) : undefined;
}

export function readTcp(frame: Frame, ip: IpPacket, problems: string[]): TcpSegment | undefined {
  const bytes = ip.payload;
  const view = viewOf(bytes);
  const headerBytes = bytes.length < TCP_BYTES ? 0 : (bytes[12]! >> 4) * 4;
  if (headerBytes < TCP_BYTES || headerBytes > bytes.length) {
    problems.push('TCP header does not fit');
    return undefined;
  }
  if ((bytes[12]! & 0x0f) !== 0) problems.push('reserved TCP bits are set');
  checkChecksum(frame, ip, problems);
  return {
    source: ip.source,
    destination: ip.destination,
    sourcePort: view.getUint16(0),
    destinationPort: view.getUint16(2),
    sequence: view.getUint32(4),
    acknowledgment: view.getUint32(8),
    flags: bytes[13]!,
    window: view.getUint16(14),
    options: readOptions(bytes.subarray(TCP_BYTES, headerBytes), problems),
    payload: bytes.subarray(headerBytes),
    gsoBytes: readGso(frame, ip, headerBytes, problems),
  };
}

export function writeTcp(segment: TcpSegment, options: FrameOptions): Uint8Array {
  const optionBytes = writeOptions(segment.options);
  const isIpv4 = segment.source.length === 4;
  const ipBytes = isIpv4 ? 20 : 40;
  const tcpBytes = TCP_BYTES + optionBytes.length;
  const frame = new Uint8Array(VNET_BYTES + ETHERNET_BYTES + ipBytes + tcpBytes + segment.payload.length);
  const tcp = frame.subarray(VNET_BYTES + ETHERNET_BYTES + ipBytes);
  const view = viewOf(tcp);
  view.setUint16(0, segment.sourcePort);
  view.setUint16(2, segment.destinationPort);
  view.setUint32(4, segment.sequence);
  view.setUint32(8, segment.acknowledgment);
  tcp[12] = (tcpBytes / 4) << 4;
  tcp[13] = segment.flags;
  view.setUint16(14, segment.window);
  tcp.set(optionBytes, TCP_BYTES);
  tcp.set(segment.payload, tcpBytes);
  writeEthernetAndIp(frame, segment, options, tcp.length);
  const partial = options.partialChecksum || segment.gsoBytes > 0;
  const pseudo = pseudoHeaderSum(segment.source, segment.destination, PROTOCOL_TCP, tcp.length);
  view.setUint16(CHECKSUM_AT, partial ? pseudo : ~internetSum(tcp, pseudo) & 0xffff);
  if (partial) writeVnet(frame, segment, ETHERNET_BYTES + ipBytes, tcpBytes);
  return frame;
}

function writeVnet(frame: Uint8Array, segment: TcpSegment, transportAt: number, tcpBytes: number): void {
  const view = viewOf(frame);
  frame[0] = NEEDS_CSUM;
  view.setUint16(6, transportAt, true);
  view.setUint16(8, CHECKSUM_AT, true);
  if (segment.gsoBytes === 0) return;
  frame[1] = segment.source.length === 4 ? GSO_TCPV4 : GSO_TCPV6;
  view.setUint16(2, transportAt + tcpBytes, true);
  view.setUint16(4, segment.gsoBytes, true);
}

function writeEthernetAndIp(frame: Uint8Array, segment: TcpSegment, options: FrameOptions, tcpBytes: number): void {
  const ethernet = frame.subarray(VNET_BYTES);
  ethernet.set(options.destinationMac, 0);
  ethernet.set(options.sourceMac, 6);
  const ip = ethernet.subarray(ETHERNET_BYTES);
  const view = viewOf(ip);
  if (segment.source.length === 4) {
    ethernet.set([0x08, 0x00], 12);
    ip[0] = 0x45;
    view.setUint16(2, 20 + tcpBytes);
    // Don't fragment.
    ip[6] = 0x40;
    ip[8] = 64;
    ip[9] = PROTOCOL_TCP;
    ip.set(segment.source, 12);
    ip.set(segment.destination, 16);
    view.setUint16(10, ~internetSum(ip.subarray(0, 20), 0) & 0xffff);
  } else {
    ethernet.set([0x86, 0xdd], 12);
    ip[0] = 0x60;
    view.setUint16(4, tcpBytes);
    ip[6] = PROTOCOL_TCP;
    ip[7] = 64;
    ip.set(segment.source, 8);
    ip.set(segment.destination, 24);
  }
}

function readIpv4(body: Uint8Array, problems: string[]): IpPacket | undefined {
  if (body.length < 20 || body[0]! >> 4 !== 4) return undefined;
  const view = viewOf(body);
  const headerBytes = (body[0]! & 0x0f) * 4;
  const total = view.getUint16(2);
  if (headerBytes < 20 || total < headerBytes || total > body.length) {
    problems.push(`IPv4 lengths ${headerBytes} and ${total} do not fit a frame with ${body.length}`);
    return undefined;
  }
  if (!isSumRight(body.subarray(0, headerBytes), 0)) problems.push('IPv4 header checksum is wrong');
  if ((view.getUint16(6) & 0x3fff) !== 0) problems.push('IPv4 fragment');
  if (body[8] === 0) problems.push('IPv4 TTL is 0');
  checkPadding(body.length, total, problems);
  const payload = body.subarray(headerBytes, total);
  return { source: body.slice(12, 16), destination: body.slice(16, 20), protocol: body[9]!, payload, headerBytes };
}

function readIpv6(body: Uint8Array, problems: string[]): IpPacket | undefined {
  if (body.length < 40 || body[0]! >> 4 !== 6) return undefined;
  const length = viewOf(body).getUint16(4);
  if (40 + length > body.length) {
    problems.push(`IPv6 payload length ${length} does not fit a frame with ${body.length}`);
    return undefined;
  }
  if (body[7] === 0) problems.push('IPv6 hop limit is 0');
  checkPadding(body.length, 40 + length, problems);
  const payload = body.subarray(40, 40 + length);
  return { source: body.slice(8, 24), destination: body.slice(24, 40), protocol: body[6]!, payload, headerBytes: 40 };
}

function checkPadding(bodyBytes: number, packetBytes: number, problems: string[]): void {
  if (bodyBytes > packetBytes && bodyBytes > ETHERNET_BYTES_MIN - ETHERNET_BYTES)
    problems.push('bytes behind the packet');
}

function checkChecksum(frame: Frame, ip: IpPacket, problems: string[]): void {
  const pseudo = pseudoHeaderSum(ip.source, ip.destination, PROTOCOL_TCP, ip.payload.length);
  if ((frame.vnet[0]! & NEEDS_CSUM) === 0) {
    if (!isSumRight(ip.payload, pseudo)) problems.push('TCP checksum is wrong');
    return;
  }
  const vnet = viewOf(frame.vnet);
  const start = vnet.getUint16(6, true);
  const offset = vnet.getUint16(8, true);
  if (start !== ETHERNET_BYTES + ip.headerBytes) problems.push(`checksum start ${start} is not the TCP header`);
  if (offset !== CHECKSUM_AT) problems.push(`checksum offset ${offset} is not TCP's`);
  if (viewOf(ip.payload).getUint16(CHECKSUM_AT) !== pseudo)
    problems.push('partial TCP checksum is not the pseudo-header');
}

/** The payload bytes of each packet, 0 when the frame is one packet. */
function readGso(frame: Frame, ip: IpPacket, tcpBytes: number, problems: string[]): number {
  const kind = frame.vnet[1]! & 0x7f;
  if (kind === 0) return 0;
  const vnet = viewOf(frame.vnet);
  const size = vnet.getUint16(4, true);
  if (kind !== (ip.source.length === 4 ? GSO_TCPV4 : GSO_TCPV6)) problems.push(`GSO type ${kind} does not fit`);
  if ((frame.vnet[0]! & NEEDS_CSUM) === 0) problems.push('GSO without NEEDS_CSUM');
  if (size === 0) problems.push('GSO size is 0');
  const headers = ETHERNET_BYTES + ip.headerBytes + tcpBytes;
  if (vnet.getUint16(2, true) !== headers) problems.push(`GSO header length is not ${headers}`);
  return size;
}

function readOptions(bytes: Uint8Array, problems: string[]): TcpOptions {
  const options: TcpOptions = {};
  const view = viewOf(bytes);
  let at = 0;
  while (at < bytes.length && bytes[at] !== 0) {
    if (bytes[at] === 1) {
      at++;
      continue;
    }
    const length = bytes[at + 1] ?? 0;
    if (length < 2 || at + length > bytes.length) {
      problems.push('TCP options do not fit');
      return options;
    }
    readOption(options, bytes[at]!, length, view, at, problems);
    at += length;
  }
  return options;
}

function readOption(
  options: TcpOptions,
  kind: number,
  length: number,
  view: DataView,
  at: number,
  problems: string[],
): void {
  if (kind === 2 && length === 4) options.mss = view.getUint16(at + 2);
  else if (kind === 3 && length === 3) options.windowScale = view.getUint8(at + 2);
  else if (kind === 4 && length === 2) options.sackPermitted = true;
  else if (kind === 5) options.sack = true;
  else if (kind === 8 && length === 10) options.timestamps = true;
  else problems.push(`TCP option ${kind} of ${length} bytes`);
}

function writeOptions(options: TcpOptions): Uint8Array {
  const bytes: number[] = [];
  if (options.mss !== undefined) bytes.push(2, 4, options.mss >> 8, options.mss & 0xff);
  if (options.windowScale !== undefined) bytes.push(1, 3, 3, options.windowScale);
  return Uint8Array.from(bytes);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
