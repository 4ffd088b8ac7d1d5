/**
 * Datagrams and echo messages in Ethernet frames, as a guest's kernel writes and reads them: RFC 768, 792, 4443, and DNS questions (RFC 1035). Like `guest-frame.ts`
 * written without a line of `src/wire`, because it judges.
 */
import { internetSum, isSumRight, pseudoHeaderSum } from '../support/guest-checksum.ts';
import { type Address, type Frame, type IpPacket, readIp, splitFrame, VNET_BYTES } from '../support/guest-frame.ts';

export const UDP = 17;
export const ICMP = 1;
export const ICMPV6 = 58;
const ETHERNET_BYTES = 14;
const UDP_BYTES = 8;
const NEEDS_CSUM = 1;
const GSO_UDP_L4 = 5;
const UDP_CHECKSUM_AT = 6;

export interface Ends {
  readonly sourceMac: Uint8Array;
  readonly destinationMac: Uint8Array;
  readonly source: Address;
  readonly destination: Address;
}

/** What came: a datagram, an echo reply, or an error that quotes a datagram of ours. */
export type Arrival =
  | {
      readonly kind: 'udp';
      readonly source: Address;
      readonly from: number;
      readonly to: number;
      readonly payload: Uint8Array;
    }
  | { readonly kind: 'echo'; readonly source: Address; readonly identifier: number; readonly message: Uint8Array }
  | { readonly kind: 'error'; readonly quotedFrom: number; readonly quotedTo: number };

export function writeUdp(ends: Ends, from: number, to: number, payload: Uint8Array): Uint8Array {
  const message = new Uint8Array(UDP_BYTES + payload.length);
  const view = viewOf(message);
  view.setUint16(0, from);
  view.setUint16(2, to);
  view.setUint16(4, message.length);
  message.set(payload, UDP_BYTES);
  const sum = ~internetSum(message, pseudoHeaderSum(ends.source, ends.destination, UDP, message.length)) & 0xffff;
  view.setUint16(UDP_CHECKSUM_AT, sum === 0 ? 0xffff : sum);
  return wrap(ends, UDP, message);
}

/** An echo request; its data is what is behind the sequence number. */
export function writeEcho(ends: Ends, identifier: number, sequence: number, data: Uint8Array): Uint8Array {
  const isIpv4 = ends.source.length === 4;
  const message = new Uint8Array(8 + data.length);
  message[0] = isIpv4 ? 8 : 128;
  viewOf(message).setUint16(4, identifier);
  viewOf(message).setUint16(6, sequence);
  message.set(data, 8);
  const pseudo = isIpv4 ? 0 : pseudoHeaderSum(ends.source, ends.destination, ICMPV6, message.length);
  viewOf(message).setUint16(2, ~internetSum(message, pseudo) & 0xffff);
  return wrap(ends, isIpv4 ? ICMP : ICMPV6, message);
}

/** Everything of this kind that a frame holds; undefined when it holds something else. What is wrong with it goes to `problems`. */
export function readDatagrams(bytes: Uint8Array, problems: string[]): Arrival[] | undefined {
  const frame = splitFrame(bytes);
  const ip = frame === undefined ? undefined : readIp(frame, []);
  if (frame === undefined || ip === undefined) return undefined;
  if (ip.protocol === UDP) return readUdp(frame, ip, problems);
  if (ip.protocol !== ICMP && ip.protocol !== ICMPV6) return undefined;
  return readIcmp(ip, problems);
}

/** The question for the addresses of a name. */
export function writeQuestion(id: number, name: string, type: number): Uint8Array {
  const labels = name.split('.').flatMap((label) => [label.length, ...new TextEncoder().encode(label)]);
  return Uint8Array.from([id >> 8, id & 255, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, ...labels, 0, 0, type, 0, 1]);
}

/** What a resolver answers: the same question, and one address. */
export function writeAnswer(question: Uint8Array, address: Uint8Array): Uint8Array {
  const type = address.length === 4 ? 1 : 28;
  const record = [0xc0, 12, 0, type, 0, 1, 0, 0, 0, 60, 0, address.length, ...address];
  const message = Uint8Array.from([...question, ...record]);
  message[2] = 0x81;
  message[3] = 0x80;
  message[7] = 1;
  return message;
}

function readUdp(frame: Frame, ip: IpPacket, problems: string[]): Arrival[] {
  const message = ip.payload;
  const view = viewOf(message);
  if (message.length < UDP_BYTES || view.getUint16(4) !== message.length) {
    problems.push(`UDP length does not fit ${message.length} bytes`);
    return [];
  }
  checkSum(frame, ip, problems);
  const payload = message.slice(UDP_BYTES);
  const [from, to] = [view.getUint16(0), view.getUint16(2)];
  const isMerged = (frame.vnet[1]! & 0x7f) === GSO_UDP_L4;
  const unit = isMerged ? viewOf(frame.vnet).getUint16(4, true) : Math.max(1, payload.length);
  if (unit === 0) problems.push('GSO size is 0');
  const arrivals: Arrival[] = [];
  for (let at = 0; at === 0 || at < payload.length; at += Math.max(1, unit)) {
    arrivals.push({ kind: 'udp', source: ip.source, from, to, payload: payload.slice(at, at + unit) });
  }
  return arrivals;
}

function checkSum(frame: Frame, ip: IpPacket, problems: string[]): void {
  const message = ip.payload;
  const pseudo = pseudoHeaderSum(ip.source, ip.destination, UDP, message.length);
  const sum = viewOf(message).getUint16(UDP_CHECKSUM_AT);
  if ((frame.vnet[0]! & NEEDS_CSUM) === 0) {
    if (sum === 0 ? ip.source.length !== 4 : !isSumRight(message, pseudo)) problems.push('UDP checksum is wrong');
  } else if (sum !== pseudo) {
    problems.push('partial UDP checksum is not the pseudo-header');
  }
}

/** Undefined for what is neither an echo reply nor an error about UDP: neighbour discovery, errors about TCP. */
function readIcmp(ip: IpPacket, problems: string[]): Arrival[] | undefined {
  const message = ip.payload;
  const isIpv4 = ip.protocol === ICMP;
  if (message.length < 8) return undefined;
  const view = viewOf(message);
  if (message[0] === (isIpv4 ? 0 : 129)) {
    const pseudo = isIpv4 ? 0 : pseudoHeaderSum(ip.source, ip.destination, ICMPV6, message.length);
    if (!isSumRight(message, pseudo)) problems.push('the checksum of an echo reply is wrong');
    return [{ kind: 'echo', source: ip.source, identifier: view.getUint16(4), message: message.slice() }];
  }
  if (message[0] !== (isIpv4 ? 3 : 1)) return undefined;
  const quoted = message.subarray(8);
  const headerBytes = isIpv4 ? 20 : 40;
  const protocol = quoted[isIpv4 ? 9 : 6];
  if (protocol === ICMP || protocol === ICMPV6) return [];
  if (protocol !== UDP || quoted.length < headerBytes + UDP_BYTES) return undefined;
  const ports = viewOf(quoted.subarray(headerBytes));
  return [{ kind: 'error', quotedFrom: ports.getUint16(0), quotedTo: ports.getUint16(2) }];
}

function wrap(ends: Ends, protocol: number, message: Uint8Array): Uint8Array {
  const isIpv4 = ends.source.length === 4;
  const ipBytes = isIpv4 ? 20 : 40;
  const bytes = new Uint8Array(VNET_BYTES + ETHERNET_BYTES + ipBytes + message.length);
  const ethernet = bytes.subarray(VNET_BYTES);
  ethernet.set(ends.destinationMac, 0);
  ethernet.set(ends.sourceMac, 6);
  ethernet.set(isIpv4 ? [8, 0] : [0x86, 0xdd], 12);
  const ip = ethernet.subarray(ETHERNET_BYTES);
  const view = viewOf(ip);
  if (isIpv4) {
    ip[0] = 0x45;
    view.setUint16(2, 20 + message.length);
    ip[8] = 64;
    ip[9] = protocol;
    ip.set(ends.source, 12);
    ip.set(ends.destination, 16);
    view.setUint16(10, ~internetSum(ip.subarray(0, 20), 0) & 0xffff);
  } else {
    ip[0] = 0x60;
    view.setUint16(4, message.length);
    ip[6] = protocol;
    ip[7] = 64;
    ip.set(ends.source, 8);
    ip.set(ends.destination, 24);
  }
  ip.set(message, ipBytes);
  return bytes;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
