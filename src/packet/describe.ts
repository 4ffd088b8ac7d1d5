/**
 * One packet as one line of text, for traces, logs and failing tests:
 *
 *     IP 10.0.2.15.4242 > 1.2.3.4.80: TCP SYN seq 1 ack 2 win 3 len 0
 *     IP6 fe80::1.546 > ff02::1:2.547: UDP len 40
 *     ARP who-has 10.0.2.2 tell 10.0.2.15
 *
 * Reads the frame itself and trusts no column but `start` and `length`, so it can be asked at any place of the graph and about any garbage: what
 * cannot be read is said to be so. Not for the packet path: it makes strings.
 */
import { formatIpv4, formatIpWords, formatMacAddress, MacAddress } from '../base/address.ts';
import * as arp from '../wire/arp.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as icmp from '../wire/icmp.ts';
import * as icmpv6 from '../wire/icmpv6.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as ipv6 from '../wire/ipv6.ts';
import * as ndp from '../wire/ndp.ts';
import * as tcp from '../wire/tcp.ts';
import * as udp from '../wire/udp.ts';
import * as vnet from '../wire/vnet-header.ts';
import type { Packet, Packets } from './packets.ts';

/** The line of a packet, and what is left to do to it, where its virtio-net header asks for that. */
export function describe(packets: Packets, packet: Packet): string {
  const start = packets.start[packet];
  const length = packets.length[packet];
  if (start === undefined || length === undefined) return `no packet ${packet}`;
  const line = describeFrame(packets.view, start, start + length);
  const header = start - vnet.HEADER_BYTES;
  if (vnet.check(packets.view, header, length) < 0 || vnet.gsoType(packets.view, header) === vnet.GSO_NONE) return line;
  return `${line} gso ${vnet.gsoSize(packets.view, header)}`;
}

/** The line of an Ethernet frame that lies from `start` to `end`. */
export function describeFrame(view: DataView, start: number, end: number): string {
  const at = Math.max(start, 0);
  const limit = Math.min(end, view.byteLength);
  if (ethernet.check(view, at, limit) < 0) return `frame cut short, len ${Math.max(limit - at, 0)}`;
  const network = at + ethernet.HEADER_BYTES;
  switch (ethernet.type(view, at)) {
    case ethernet.TYPE_ARP:
      return describeArp(view, network, limit);
    case ethernet.TYPE_IPV4:
      return describeIpv4(view, network, limit);
    case ethernet.TYPE_IPV6:
      return describeIpv6(view, network, limit);
    default:
      return describeUnknownFrame(view, at, limit);
  }
}

function describeUnknownFrame(view: DataView, at: number, end: number): string {
  const from = mac(ethernet.sourceHigh(view, at), ethernet.sourceLow(view, at));
  const to = mac(ethernet.destinationHigh(view, at), ethernet.destinationLow(view, at));
  const type = ethernet.type(view, at).toString(16).padStart(4, '0');
  return `ethernet ${from} > ${to}: type 0x${type} len ${end - at - ethernet.HEADER_BYTES}`;
}

function describeArp(view: DataView, at: number, end: number): string {
  if (arp.check(view, at, end) < 0) return `ARP malformed, len ${end - at}`;
  const sender = formatIpv4(arp.senderAddress(view, at));
  switch (arp.operation(view, at)) {
    case arp.OPERATION_REQUEST:
      return `ARP who-has ${formatIpv4(arp.targetAddress(view, at))} tell ${sender}`;
    case arp.OPERATION_REPLY:
      return `ARP reply ${sender} is-at ${mac(arp.senderHigh(view, at), arp.senderLow(view, at))}`;
    default:
      return `ARP operation ${arp.operation(view, at)} from ${sender}`;
  }
}

function describeIpv4(view: DataView, at: number, end: number): string {
  const bytes = ipv4.check(view, at, end);
  if (bytes < 0) return `IP malformed, len ${end - at}`;
  const from = formatIpv4(ipv4.source(view, at));
  const to = formatIpv4(ipv4.destination(view, at));
  const payload = at + bytes;
  const packetEnd = at + ipv4.totalLength(view, at);
  const protocol = ipv4.protocol(view, at);
  if (!ipv4.isFragment(view, at)) return describeTransport(view, payload, packetEnd, 'IP', from, to, protocol);
  const place = fragmentText(ipv4.fragmentOffset(view, at), ipv4.moreFragments(view, at));
  const id = ipv4.identification(view, at);
  return `IP ${from} > ${to}: fragment id ${id} ${place} protocol ${protocol} len ${packetEnd - payload}`;
}

function describeIpv6(view: DataView, at: number, end: number): string {
  if (ipv6.check(view, at, end) < 0) return `IP6 malformed, len ${end - at}`;
  const from = words((i) => ipv6.sourceWord(view, at, i));
  const to = words((i) => ipv6.destinationWord(view, at, i));
  const packetEnd = at + ipv6.HEADER_BYTES + ipv6.payloadLength(view, at);
  const found = new Int32Array(ipv6.WALK_WORDS);
  const payload = ipv6.walkExtensions(view, at, packetEnd, found);
  if (payload < 0) return `IP6 ${from} > ${to}: extension headers malformed`;
  const protocol = found[ipv6.WALK_PROTOCOL];
  const fragment = found[ipv6.WALK_FRAGMENT];
  if (fragment < 0) return describeTransport(view, payload, packetEnd, 'IP6', from, to, protocol);
  const place = fragmentText(ipv6.fragmentOffset(view, fragment), ipv6.moreFragments(view, fragment));
  const id = ipv6.fragmentIdentification(view, fragment) >>> 0;
  return `IP6 ${from} > ${to}: fragment id ${id} ${place} protocol ${protocol} len ${packetEnd - payload}`;
}

function describeTransport(
  view: DataView,
  at: number,
  end: number,
  version: 'IP' | 'IP6',
  from: string,
  to: string,
  protocol: number,
): string {
  if (protocol === tcp.PROTOCOL && tcp.check(view, at, end) > 0) {
    const ends = `${from}.${tcp.sourcePort(view, at)} > ${to}.${tcp.destinationPort(view, at)}`;
    return `${version} ${ends}: ${describeTcp(view, at, end)}`;
  }
  if (protocol === udp.PROTOCOL && udp.check(view, at, end) > 0) {
    const ends = `${from}.${udp.sourcePort(view, at)} > ${to}.${udp.destinationPort(view, at)}`;
    return `${version} ${ends}: UDP len ${udp.length(view, at) - udp.HEADER_BYTES}`;
  }
  const ends = `${version} ${from} > ${to}`;
  const payload = version === 'IP' ? describeIcmp(view, at, end, protocol) : describeIcmpv6(view, at, end, protocol);
  return `${ends}: ${payload ?? describeOther(protocol, end - at)}`;
}

function describeOther(protocol: number, bytes: number): string {
  if (protocol === tcp.PROTOCOL) return `TCP malformed, len ${bytes}`;
  if (protocol === udp.PROTOCOL) return `UDP malformed, len ${bytes}`;
  return `protocol ${protocol} len ${bytes}`;
}

const FLAG_NAMES: readonly (readonly [number, string])[] = [
  [tcp.SYN, 'SYN'],
  [tcp.FIN, 'FIN'],
  [tcp.RST, 'RST'],
  [tcp.PSH, 'PSH'],
  [tcp.URG, 'URG'],
  [tcp.ECE, 'ECE'],
  [tcp.CWR, 'CWR'],
];

/** The ACK flag is not named: it shows as the acknowledgment number. */
function describeTcp(view: DataView, at: number, end: number): string {
  const flags = tcp.flags(view, at);
  const parts = ['TCP'];
  for (const [flag, name] of FLAG_NAMES) if ((flags & flag) !== 0) parts.push(name);
  parts.push(`seq ${tcp.sequence(view, at) >>> 0}`);
  if ((flags & tcp.ACK) !== 0) parts.push(`ack ${tcp.acknowledgment(view, at) >>> 0}`);
  parts.push(`win ${tcp.window(view, at)} len ${end - at - tcp.dataOffset(view, at)}`);
  const options = new Int32Array(tcp.OPTION_WORDS);
  if (tcp.readOptions(view, at, options) < 0) parts.push('options malformed');
  if (options[tcp.OPTION_MSS] >= 0) parts.push(`mss ${options[tcp.OPTION_MSS]}`);
  if (options[tcp.OPTION_WINDOW_SCALE] >= 0) parts.push(`wscale ${options[tcp.OPTION_WINDOW_SCALE]}`);
  if (options[tcp.OPTION_SACK_BLOCKS] > 0) parts.push(`sack ${options[tcp.OPTION_SACK_BLOCKS]}`);
  return parts.join(' ');
}

function describeIcmp(view: DataView, at: number, end: number, protocol: number): string | undefined {
  if (protocol !== icmp.PROTOCOL) return undefined;
  if (icmp.check(view, at, end) < 0) return `ICMP malformed, len ${end - at}`;
  const type = icmp.type(view, at);
  const code = icmp.code(view, at);
  switch (type) {
    case icmp.ECHO_REQUEST:
    case icmp.ECHO_REPLY: {
      const kind = type === icmp.ECHO_REQUEST ? 'request' : 'reply';
      return `ICMP echo ${kind} ${echoText(icmp.identifier(view, at), icmp.sequence(view, at), end - at)}`;
    }
    case icmp.DESTINATION_UNREACHABLE:
      return code === icmp.FRAGMENTATION_NEEDED
        ? `ICMP fragmentation needed mtu ${icmp.mtu(view, at)}`
        : `ICMP unreachable code ${code}`;
    case icmp.TIME_EXCEEDED:
      return `ICMP time exceeded code ${code}`;
    default:
      return `ICMP type ${type} code ${code} len ${end - at - icmp.HEADER_BYTES}`;
  }
}

function describeIcmpv6(view: DataView, at: number, end: number, protocol: number): string | undefined {
  if (protocol !== icmpv6.PROTOCOL) return undefined;
  if (icmpv6.check(view, at, end) < 0) return `ICMP6 malformed, len ${end - at}`;
  const type = icmpv6.type(view, at);
  const code = icmpv6.code(view, at);
  switch (type) {
    case icmpv6.ECHO_REQUEST:
    case icmpv6.ECHO_REPLY: {
      const kind = type === icmpv6.ECHO_REQUEST ? 'request' : 'reply';
      return `ICMP6 echo ${kind} ${echoText(icmpv6.identifier(view, at), icmpv6.sequence(view, at), end - at)}`;
    }
    case icmpv6.DESTINATION_UNREACHABLE:
      return `ICMP6 unreachable code ${code}`;
    case icmpv6.PACKET_TOO_BIG:
      return `ICMP6 packet too big mtu ${icmpv6.mtu(view, at)}`;
    case icmpv6.TIME_EXCEEDED:
      return `ICMP6 time exceeded code ${code}`;
    default:
      return describeNdp(view, at, end) ?? `ICMP6 type ${type} code ${code} len ${end - at - icmpv6.HEADER_BYTES}`;
  }
}

function describeNdp(view: DataView, at: number, end: number): string | undefined {
  if (ndp.check(view, at, end) < 0) return undefined;
  switch (ndp.type(view, at)) {
    case ndp.ROUTER_SOLICITATION:
      return 'ICMP6 router solicitation';
    case ndp.ROUTER_ADVERTISEMENT:
      return `ICMP6 router advertisement lifetime ${ndp.routerLifetime(view, at)} s`;
    case ndp.NEIGHBOR_SOLICITATION:
      return `ICMP6 neighbor solicitation who-has ${words((i) => ndp.targetWord(view, at, i))}`;
    default:
      return `ICMP6 neighbor advertisement of ${words((i) => ndp.targetWord(view, at, i))}`;
  }
}

function echoText(identifier: number, sequence: number, bytes: number): string {
  return `id ${identifier} seq ${sequence} len ${bytes - icmp.HEADER_BYTES}`;
}

function fragmentText(offset: number, more: boolean): string {
  return `offset ${offset}${more ? '+' : ''}`;
}

function mac(high: number, low: number): string {
  return formatMacAddress(new MacAddress(high, low));
}

function words(word: (index: number) => number): string {
  return formatIpWords(word(0), word(1), word(2), word(3));
}
