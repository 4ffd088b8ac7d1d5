/**
 * Every protocol of `src/wire`: where `check` passes bytes, each accessor stays within them, and what it says makes sense. The bytes lie once at the very end of
 * their memory and once in the middle of a larger one whose rest may not be touched.
 */
import assert from 'node:assert/strict';
import type { Random } from '#tapster/base/random.js';
import { describeFrame } from '#tapster/packet/describe.js';
import * as arp from '#tapster/wire/arp.js';
import * as dhcp from '#tapster/wire/dhcp.js';
import * as dhcpv6 from '#tapster/wire/dhcpv6.js';
import * as dns from '#tapster/wire/dns.js';
import * as ethernet from '#tapster/wire/ethernet.js';
import * as icmp from '#tapster/wire/icmp.js';
import * as icmpv6 from '#tapster/wire/icmpv6.js';
import * as ipv4 from '#tapster/wire/ipv4.js';
import * as ipv6 from '#tapster/wire/ipv6.js';
import * as ndp from '#tapster/wire/ndp.js';
import * as tcp from '#tapster/wire/tcp.js';
import * as udp from '#tapster/wire/udp.js';
import * as vnet from '#tapster/wire/vnet-header.js';
import { frame, VNET_BYTES } from '../frames.ts';
import { exactView, WindowView } from '../guarded-view.ts';
import { dhcpMessage, dhcpv6Message, dnsMessage, ndpMessage } from '../messages.ts';
import type { FuzzTarget } from '../target.ts';

/** Reads of a packet's bytes for each byte that it has: a header is read more than once, but not once for each other one. */
const ACCESSES_PER_BYTE = 64;
const ACCESSES_MORE = 2000;
const NETWORK = VNET_BYTES + ethernet.HEADER_BYTES;

type Read = (view: DataView, at: number, end: number) => void;

export const wireTargets: readonly FuzzTarget[] = [
  target('ethernet', (random) => frame(random).slice(VNET_BYTES), readEthernet),
  target('vnet', (random) => frame(random).slice(0, VNET_BYTES + random.below(80)), readVnet),
  target('arp', (random) => frame(random).slice(NETWORK), readArp),
  target('ipv4', (random) => networkOf(random, ethernet.TYPE_IPV4), readIpv4),
  target('ipv6', (random) => networkOf(random, ethernet.TYPE_IPV6), readIpv6),
  target('tcp', (random) => transportOf(random, tcp.PROTOCOL), readTcp),
  target('udp', (random) => transportOf(random, udp.PROTOCOL), readUdp),
  target('icmp', (random) => transportOf(random, icmp.PROTOCOL), readIcmp),
  target('icmpv6', (random) => ndpMessage(random), readIcmpv6),
  target('ndp', ndpMessage, readNdp),
  target('dhcp', dhcpMessage, readDhcp),
  target('dhcpv6', dhcpv6Message, readDhcpv6),
  target('dns', dnsMessage, readDns),
  target(
    'describe',
    (random) => frame(random).slice(VNET_BYTES),
    (view, at, end) => {
      assert.match(describeFrame(view, at, end), /^[\x20-\x7e]*$/, 'a line of plain text');
    },
  ),
];

function target(name: string, generate: (random: Random) => Uint8Array, read: Read): FuzzTarget {
  return {
    name,
    about: 'accessors stay within what `check` passed, and the work is bounded',
    bytesMax: 2048,
    millisecondsMax: 500,
    generate,
    run: (input) => {
      read(exactView(input), 0, input.length);
      const window = new WindowView(input);
      read(window, window.from, window.to);
      const most = ACCESSES_MORE + ACCESSES_PER_BYTE * input.length;
      assert.ok(window.accesses <= most, `${window.accesses} accesses for ${input.length} bytes`);
    },
  };
}

/** What lies behind the Ethernet header of a frame of that type. */
function networkOf(random: Random, type: number): Uint8Array {
  for (;;) {
    const bytes = frame(random);
    if (bytes.length > NETWORK && ((bytes[NETWORK - 2]! << 8) | bytes[NETWORK - 1]!) === type)
      return bytes.slice(NETWORK);
  }
}

function transportOf(random: Random, protocol: number): Uint8Array {
  for (;;) {
    const bytes = networkOf(random, ethernet.TYPE_IPV4);
    if (bytes[9] === protocol) return bytes.slice((bytes[0]! & 0xf) * 4);
  }
}

function readEthernet(view: DataView, at: number, end: number): void {
  if (ethernet.check(view, at, end) < 0) return;
  ethernet.destinationHigh(view, at);
  ethernet.destinationLow(view, at);
  ethernet.sourceHigh(view, at);
  ethernet.sourceLow(view, at);
  ethernet.type(view, at);
  assert.ok(ethernet.isMulticast(view, at) || !ethernet.isBroadcast(view, at), 'broadcast is multicast');
}

function readVnet(view: DataView, at: number, end: number): void {
  if (end - at < vnet.HEADER_BYTES) return;
  const frameBytes = end - at - vnet.HEADER_BYTES;
  if (vnet.check(view, at, frameBytes) < 0) return;
  if ((vnet.flags(view, at) & vnet.FLAG_NEEDS_CSUM) !== 0) {
    assert.ok(vnet.checksumStart(view, at) + vnet.checksumOffset(view, at) + 2 <= frameBytes, 'checksum in the frame');
  }
  if (vnet.gsoType(view, at) !== vnet.GSO_NONE) {
    assert.ok(vnet.gsoSize(view, at) > 0 && vnet.headerLength(view, at) <= frameBytes, 'segments of something');
  }
  vnet.bufferCount(view, at);
}

function readArp(view: DataView, at: number, end: number): void {
  if (arp.check(view, at, end) < 0) return;
  arp.operation(view, at);
  arp.senderHigh(view, at);
  arp.senderLow(view, at);
  arp.senderAddress(view, at);
  arp.targetHigh(view, at);
  arp.targetLow(view, at);
  arp.targetAddress(view, at);
}

function readIpv4(view: DataView, at: number, end: number): void {
  const bytes = ipv4.check(view, at, end);
  if (bytes < 0) return;
  assert.ok(bytes >= ipv4.HEADER_BYTES && bytes <= ipv4.totalLength(view, at), 'the header is in the packet');
  assert.ok(ipv4.totalLength(view, at) <= end - at, 'the packet is in the frame');
  ipv4.verifyChecksum(view, at);
  const place = ipv4.fragmentOffset(view, at);
  assert.equal(ipv4.isFragment(view, at), place > 0 || ipv4.moreFragments(view, at));
  ipv4.setTimeToLiveAndChecksum(view, at, 9);
  ipv4.writeChecksum(view, at);
  assert.ok(ipv4.verifyChecksum(view, at), 'a checksum just written is right');
  ipv4.setSourceAndChecksum(view, at, ipv4.destination(view, at) + 1);
  assert.ok(ipv4.verifyChecksum(view, at), 'a checksum brought up to date is right');
}

function readIpv6(view: DataView, at: number, end: number): void {
  if (ipv6.check(view, at, end) < 0) return;
  const packetEnd = at + ipv6.HEADER_BYTES + ipv6.payloadLength(view, at);
  assert.ok(packetEnd <= end, 'the packet is in the frame');
  for (let word = 0; word < 4; word++) ipv6.sourceWord(view, at, word) + ipv6.destinationWord(view, at, word);
  const found = new Int32Array(ipv6.WALK_WORDS);
  const transport = ipv6.walkExtensions(view, at, packetEnd, found);
  if (transport < 0) return;
  assert.ok(transport >= at + ipv6.HEADER_BYTES && transport <= packetEnd, 'the transport header is in the packet');
  const namedAt = found[ipv6.WALK_NEXT_HEADER_AT]!;
  assert.ok(namedAt >= at && namedAt < packetEnd, 'what names it is in the packet');
  const fragment = found[ipv6.WALK_FRAGMENT]!;
  if (fragment === -1) {
    assert.equal(view.getUint8(namedAt), found[ipv6.WALK_PROTOCOL], 'it is named there');
    return;
  }
  assert.equal(ipv6.fragmentNextHeader(view, fragment), found[ipv6.WALK_PROTOCOL]);
  assert.equal(ipv6.fragmentOffset(view, fragment) % 8, 0);
  ipv6.fragmentIdentification(view, fragment);
}

function readTcp(view: DataView, at: number, end: number): void {
  const bytes = tcp.check(view, at, end);
  if (bytes < 0) return;
  assert.ok(bytes >= tcp.HEADER_BYTES && bytes <= end - at, 'the header is in the segment');
  const options = new Int32Array(tcp.OPTION_WORDS);
  const read = tcp.readOptions(view, at, options);
  assert.ok(read <= bytes - tcp.HEADER_BYTES);
  assert.ok(options[tcp.OPTION_WINDOW_SCALE]! <= tcp.WINDOW_SCALE_MAX, 'the scale has its limit');
  const blocks = options[tcp.OPTION_SACK_BLOCKS]!;
  if (blocks > 0) assert.ok(options[tcp.OPTION_SACK_AT]! + 8 * blocks <= at + bytes, 'SACK blocks are in the header');
  tcp.sequence(view, at);
  tcp.acknowledgment(view, at);
  tcp.window(view, at);
  tcp.urgent(view, at);
}

function readUdp(view: DataView, at: number, end: number): void {
  if (udp.check(view, at, end) < 0) return;
  assert.ok(udp.length(view, at) >= udp.HEADER_BYTES && udp.length(view, at) <= end - at, 'the datagram is there');
  udp.sourcePort(view, at);
  udp.destinationPort(view, at);
  udp.checksum(view, at);
}

function readIcmp(view: DataView, at: number, end: number): void {
  if (icmp.check(view, at, end) < 0) return;
  icmp.isError(view, at);
  icmp.code(view, at);
  icmp.identifier(view, at);
  icmp.sequence(view, at);
  icmp.mtu(view, at);
  icmp.pointer(view, at);
  icmp.verifyChecksum(view, at, end);
  readIpv4(view, icmp.original(at), end);
}

function readIcmpv6(view: DataView, at: number, end: number): void {
  if (icmpv6.check(view, at, end) < 0) return;
  icmpv6.isError(view, at);
  icmpv6.code(view, at);
  icmpv6.identifier(view, at);
  icmpv6.sequence(view, at);
  icmpv6.mtu(view, at);
  icmpv6.pointer(view, at);
  readIpv6(view, icmpv6.original(at), end);
}

function readNdp(view: DataView, at: number, end: number): void {
  const bytes = ndp.check(view, at, end);
  if (bytes < 0) return;
  const type = ndp.type(view, at);
  if (type === ndp.ROUTER_ADVERTISEMENT) {
    ndp.routerHopLimit(view, at);
    ndp.routerFlags(view, at);
    ndp.routerLifetime(view, at);
    ndp.reachableTimeMs(view, at);
    ndp.retransmissionTimeMs(view, at);
  }
  if (type >= ndp.NEIGHBOR_SOLICITATION) for (let word = 0; word < 4; word++) ndp.targetWord(view, at, word);
  if (type === ndp.NEIGHBOR_ADVERTISEMENT) ndp.neighborFlags(view, at);
  for (const kind of [1, 2, 3, 5, 24, 25, 31, 77]) {
    for (let option = ndp.findOption(view, at + bytes, end, kind); option !== -1; ) {
      assert.ok(option + ndp.optionBytes(view, option) <= end, 'the option is in the message');
      readNdpOption(view, option, kind);
      option = ndp.findOption(view, option + ndp.optionBytes(view, option), end, kind);
    }
  }
}

function readNdpOption(view: DataView, option: number, kind: number): void {
  switch (kind) {
    case ndp.OPTION_SOURCE_LINK_LAYER:
    case ndp.OPTION_TARGET_LINK_LAYER:
      ndp.linkLayerHigh(view, option);
      ndp.linkLayerLow(view, option);
      break;
    case ndp.OPTION_MTU:
      ndp.mtu(view, option);
      break;
    case ndp.OPTION_PREFIX:
      assert.ok(ndp.prefixLength(view, option) <= 128);
      ndp.prefixFlags(view, option);
      ndp.prefixValidLifetime(view, option);
      ndp.prefixPreferredLifetime(view, option);
      for (let word = 0; word < 4; word++) ndp.prefixWord(view, option, word);
      break;
    case ndp.OPTION_ROUTE:
      assert.ok(Math.abs(ndp.routePreference(view, option)) <= 2);
      for (let word = 0; word < 4; word++) ndp.routeWord(view, option, word);
      ndp.lifetime(view, option);
      break;
    case ndp.OPTION_RDNSS:
      for (let server = 0; server < ndp.rdnssCount(view, option); server++) ndp.rdnssWord(view, option, server, 3);
      break;
    case ndp.OPTION_DNSSL:
      for (const domain of ndp.dnsslDomains(view, option)) assert.match(domain, /^[\x21-\x7e]*$/, 'a plain name');
  }
}

function readDhcp(view: DataView, at: number, end: number): void {
  if (dhcp.check(view, at, end) < 0) return;
  dhcp.operation(view, at);
  dhcp.transaction(view, at);
  dhcp.type(view, at, end);
  dhcp.replyAddress(view, at, dhcp.TYPE.OFFER, 1);
  for (const code of [...Object.values(dhcp.OPTION), 0, 77, 255]) {
    const option = dhcp.findOption(view, at, end, code);
    if (option < 0) continue;
    assert.ok(option + dhcp.optionBytes(view, option) <= end, 'the option is in the message');
    for (let i = 0; i < dhcp.optionBytes(view, option); i++) view.getUint8(option + i);
    dhcp.optionValue(view, at, end, code, 4, 0);
  }
  dhcp.wants(view, at, end, dhcp.OPTION.MTU);
}

function readDhcpv6(view: DataView, at: number, end: number): void {
  const bytes = dhcpv6.check(view, at, end);
  if (bytes < 0) return;
  dhcpv6.type(view, at);
  dhcpv6.transaction(view, at);
  dhcpv6.wants(view, at + bytes, end, dhcpv6.OPTION.NAME_SERVERS);
  for (const kind of Object.values(dhcpv6.OPTION)) {
    const option = dhcpv6.findOption(view, at + bytes, end, kind);
    if (option === dhcpv6.NO_OPTION) continue;
    assert.ok(dhcpv6.next(view, option) <= end, 'the option is in the message');
    dhcpv6.hasData(view, option, Uint8Array.of(0, 3, 0, 1, 2, 0, 0, 0, 0, 2));
    if (kind === dhcpv6.OPTION.STATUS) dhcpv6.statusCode(view, option);
    if (kind === dhcpv6.OPTION.IA_ADDRESS) readIaAddress(view, option);
    const holds = [dhcpv6.OPTION.IA_NA, dhcpv6.OPTION.IA_TA, dhcpv6.OPTION.IA_PD] as readonly number[];
    if (!holds.includes(kind)) continue;
    dhcpv6.associationId(view, option);
    const inside = dhcpv6.associationOptions(view, option);
    const address = dhcpv6.findOption(view, inside, dhcpv6.next(view, option), dhcpv6.OPTION.IA_ADDRESS);
    if (address !== dhcpv6.NO_OPTION) readIaAddress(view, address);
  }
}

function readIaAddress(view: DataView, option: number): void {
  for (let word = 0; word < 4; word++) dhcpv6.addressWord(view, option, word);
  dhcpv6.preferredSeconds(view, option);
  dhcpv6.validSeconds(view, option);
}

function readDns(view: DataView, at: number, end: number): void {
  const bytes = dns.check(view, at, end);
  if (bytes < 0) return;
  assert.ok(bytes >= dns.HEADER_BYTES && at + bytes <= end, 'the message is there');
  const record = new Int32Array(dns.RECORD_WORDS);
  let position = at + dns.HEADER_BYTES;
  let previous = position;
  for (let left = Math.min(8, dns.questionCount(view, at)); left > 0; left--) {
    readName(view, at, position, end);
    position = dns.readQuestion(view, position, end, record);
  }
  if (dns.questionCount(view, at) <= 8) {
    for (let left = Math.min(8, dns.answerCount(view, at)); left > 0; left--) {
      readName(view, at, position, end);
      assert.equal(dns.sameName(view, at, position, previous, end), dns.sameName(view, at, previous, position, end));
      previous = position;
      position = dns.readRecord(view, position, end, record);
      assert.ok(record[dns.RECORD.DATA]! + record[dns.RECORD.DATA_BYTES]! === position, 'a record ends with its data');
    }
  }
  readQuery(view, at, end);
}

function readQuery(view: DataView, at: number, end: number): void {
  const query = new Int32Array(dns.QUERY_WORDS);
  if (dns.readQuery(view, at, end, query) !== 0) return;
  let to = dns.beginResponse(view, at, query, dns.RESPONSE_CODE.NO_ERROR);
  for (const w0 of [0, 0x2001_0db8]) {
    const behind = dns.appendAddress(view, at, to, end, 60, w0, 0, w0 === 0 ? 0xffff : 0, 1);
    if (behind > 0) to = behind;
  }
  const behind = dns.endResponse(view, at, to, end, query);
  if (behind < 0) return;
  assert.ok(dns.check(view, at, behind) === behind - at, 'an answer that we write checks');
}

/** Its text is safe to print, and names the same again. */
function readName(view: DataView, message: number, at: number, end: number): void {
  const text = dns.nameText(view, message, at, end);
  if (text === undefined) return;
  assert.match(text, /^[\x21-\x7e]+$/, 'a name is plain text');
  const again = new DataView(new ArrayBuffer(dns.NAME_BYTES_MAX));
  const bytes = dns.writeName(again, 0, dns.NAME_BYTES_MAX, text);
  assert.ok(bytes > 0, `${text} can be written`);
  assert.equal(dns.nameText(again, 0, 0, bytes), text);
}
