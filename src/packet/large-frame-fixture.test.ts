/** Frames that are to be cut, of all shapes, and the two arenas that cutting needs. */
import fc from 'fast-check';
import { fold, pseudoHeader } from '../wire/checksum.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as ipv6 from '../wire/ipv6.ts';
import * as tcp from '../wire/tcp.ts';
import * as udp from '../wire/udp.ts';
import * as vnet from '../wire/vnet-header.ts';
import { type Packet, Packets, VNET_HEADER_BYTES } from './packets.ts';

export interface LargeFrame {
  readonly isIpv6: boolean;
  readonly isTcp: boolean;
  readonly vlanTags: number;
  /** Bytes of IPv4 options or of each IPv6 extension header, in units of 8. */
  readonly networkOptions: readonly number[];
  /** Bytes of TCP options, in units of 4. */
  readonly tcpOptions: number;
  readonly tcpFlags: number;
  readonly sequence: number;
  readonly identification: number;
  readonly payload: Uint8Array;
  readonly segmentBytes: number;
  /** The checksum is partial; otherwise it is complete and the virtio-net header says that it was checked. */
  readonly isPartial: boolean;
  readonly paddingBytes: number;
}

/** An ordinary one: 4000 bytes of TCP in segments of 1448. */
export const ORDINARY: LargeFrame = {
  isIpv6: false,
  isTcp: true,
  vlanTags: 0,
  networkOptions: [],
  tcpOptions: 3,
  tcpFlags: tcp.ACK | tcp.PSH,
  sequence: -1000,
  identification: 0xffff,
  payload: Uint8Array.from({ length: 4000 }, (_, i) => (i * 31) & 0xff),
  segmentBytes: 1448,
  isPartial: true,
  paddingBytes: 0,
};

const shapes = {
  isIpv6: fc.boolean(),
  isTcp: fc.boolean(),
  vlanTags: fc.nat({ max: 2 }),
  networkOptions: fc.array(fc.integer({ min: 1, max: 2 }), { maxLength: 2 }),
  tcpOptions: fc.nat({ max: 10 }),
  tcpFlags: fc.nat({ max: 0xff }),
  sequence: fc.integer(),
  identification: fc.nat({ max: 0xffff }),
  isPartial: fc.boolean(),
  paddingBytes: fc.nat({ max: 3 }),
};

/** Small ones with odd sizes, and a few that are as large as they get. */
export const largeFrames: fc.Arbitrary<LargeFrame> = fc.oneof(
  {
    weight: 9,
    arbitrary: fc.record({
      ...shapes,
      payload: fc.uint8Array({ maxLength: 300 }),
      segmentBytes: fc.integer({ min: 1, max: 320 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      ...shapes,
      payload: fc.uint8Array({ minLength: 64_000, maxLength: 65_300, size: 'max' }),
      segmentBytes: fc.integer({ min: 500, max: 0xffff }),
    }),
  },
);

/** An arena for frames and one for segments, in one memory, as the engine has them. */
export function twoArenas(segmentArenaBytes: number = 128 * 1024): {
  memory: Uint8Array;
  packets: Packets;
  segments: Packets;
} {
  const frameBytes = 256 * 1024;
  const memory = new Uint8Array(frameBytes + segmentArenaBytes);
  return {
    memory,
    packets: new Packets(frameBytes, 64, memory),
    segments: new Packets(segmentArenaBytes, 256, memory, frameBytes),
  };
}

/** Writes the frame into the arena, as a guest's kernel leaves it to its device. */
export function putLargeFrame(packets: Packets, large: LargeFrame): Packet {
  const packet = packets.allocate(70_000);
  const { view, bytes } = packets;
  const start = packets.start[packet];
  const network = writeEthernet(view, start, large);
  const transport = writeNetwork(view, network, large);
  const payload = writeTransport(view, transport, large);
  const end = payload + large.payload.length;
  bytes.set(large.payload, payload);
  bytes.fill(0xee, end, end + large.paddingBytes);
  packets.trim(packet, end + large.paddingBytes - start);
  finishLengths(view, network, transport, end, large);
  writeOffload(view, start, transport, payload, large);
  return packet;
}

function writeEthernet(view: DataView, start: number, large: LargeFrame): number {
  let at = start;
  ethernet.writeHeader(view, at, 0x0200, 11, 0x0200, 10, 0);
  for (let tag = 0; tag < large.vlanTags; tag++) {
    ethernet.setType(view, at, tag === large.vlanTags - 1 ? 0x8100 : 0x88a8);
    view.setUint16(at + ethernet.HEADER_BYTES, 100 + tag);
    at += 4;
  }
  ethernet.setType(view, at, large.isIpv6 ? ethernet.TYPE_IPV6 : ethernet.TYPE_IPV4);
  return at + ethernet.HEADER_BYTES;
}

/** All but the lengths. Returns where the transport header goes. */
function writeNetwork(view: DataView, network: number, large: LargeFrame): number {
  const protocol = large.isTcp ? tcp.PROTOCOL : udp.PROTOCOL;
  const { networkOptions: options, identification } = large;
  if (!large.isIpv6) {
    ipv4.writeHeader(view, network, 0, protocol, 0x0a00020f, 0x0a000202, 64, 1, identification, ipv4.DONT_FRAGMENT);
    const optionBytes = 8 * options.reduce((sum, each) => sum + each, 0);
    for (let i = 0; i < optionBytes; i++) view.setUint8(network + ipv4.HEADER_BYTES + i, 1);
    ipv4.setHeaderBytes(view, network, ipv4.HEADER_BYTES + optionBytes);
    return network + ipv4.HEADER_BYTES + optionBytes;
  }
  ipv6.writeHeader(view, network, 0, protocol, 64, 3, 0x12345);
  ipv6.setSource(view, network, 0x20010db8, 0, 0, 0x15);
  ipv6.setDestination(view, network, 0x20010db8, 0, -1, 2);
  let at = network + ipv6.HEADER_BYTES;
  let namedAt = network + 6;
  for (const [i, units] of options.entries()) {
    view.setUint8(namedAt, i === 0 ? ipv6.HEADER_HOP_BY_HOP : ipv6.HEADER_DESTINATION_OPTIONS);
    namedAt = at;
    view.setUint8(at, protocol);
    view.setUint8(at + 1, units - 1);
    at += 8 * units;
  }
  return at;
}

/** Returns where the payload goes. */
function writeTransport(view: DataView, at: number, large: LargeFrame): number {
  if (!large.isTcp) return at + udp.writeHeader(view, at, 4000, 5000, udp.HEADER_BYTES + large.payload.length);
  const bytes = tcp.HEADER_BYTES + 4 * large.tcpOptions;
  for (let i = tcp.HEADER_BYTES; i < bytes; i++) view.setUint8(at + i, i);
  return at + tcp.writeHeader(view, at, 4000, 5000, large.sequence, 77, bytes, large.tcpFlags, 500);
}

function finishLengths(view: DataView, network: number, transport: number, end: number, large: LargeFrame): void {
  if (large.isIpv6) {
    ipv6.setPayloadLength(view, network, end - network - ipv6.HEADER_BYTES);
  } else {
    ipv4.setTotalLength(view, network, end - network);
    ipv4.writeChecksum(view, network);
  }
  if (large.isTcp && large.isPartial) tcp.writePartialChecksum(view, network, transport, end);
  else if (large.isTcp) tcp.writeChecksum(view, network, transport, end);
  else if (large.isPartial) udp.writePartialChecksum(view, network, transport);
  else udp.writeChecksum(view, network, transport);
}

function writeOffload(view: DataView, start: number, transport: number, payload: number, large: LargeFrame): void {
  const header = start - VNET_HEADER_BYTES;
  const tcpKind =
    (large.isIpv6 ? vnet.GSO_TCPV6 : vnet.GSO_TCPV4) | ((large.tcpFlags & tcp.CWR) === 0 ? 0 : vnet.GSO_ECN);
  vnet.setGso(view, header, large.isTcp ? tcpKind : vnet.GSO_UDP_L4, large.segmentBytes, payload - start);
  if (large.isPartial)
    vnet.setChecksum(view, header, transport - start, large.isTcp ? tcp.CHECKSUM_OFFSET : udp.CHECKSUM_OFFSET);
  else vnet.setFlags(view, header, vnet.FLAG_DATA_VALID);
}

/** What a receiver reads in a frame. */
export interface ReadFrame {
  /** Both checksums are right, and nothing lies behind the packet. */
  readonly isValid: boolean;
  /** The TCP or UDP checksum is the pseudo-header's sum. */
  readonly isPartial: boolean;
  readonly payload: Uint8Array;
  /** 0 for IPv6. */
  readonly identification: number;
  /** These are 0 for UDP. */
  readonly sequence: number;
  readonly tcpFlags: number;
  /** The headers, with all that differs between segments zeroed. */
  readonly headers: Uint8Array;
}

/** Reads a frame that starts at its Ethernet header. */
export function readFrame(frame: Uint8Array): ReadFrame {
  const copy = frame.slice();
  const view = new DataView(copy.buffer);
  const network = networkOf(view);
  const isIpv6 = view.getUint8(network) >>> 4 === 6;
  const walk = new Int32Array(ipv6.WALK_WORDS);
  const end =
    network + (isIpv6 ? ipv6.HEADER_BYTES + ipv6.payloadLength(view, network) : ipv4.totalLength(view, network));
  const transport = isIpv6
    ? ipv6.walkExtensions(view, network, end, walk)
    : network + Math.max(ipv4.check(view, network, copy.length), 0);
  const isTcp = (isIpv6 ? walk[ipv6.WALK_PROTOCOL] : ipv4.protocol(view, network)) === tcp.PROTOCOL;
  const header = isTcp ? tcp.check(view, transport, end) : udp.check(view, transport, end);
  const read = {
    isValid:
      header > 0 &&
      end === copy.length &&
      (isIpv6 || ipv4.verifyChecksum(view, network)) &&
      (isTcp || transport + udp.length(view, transport) === end) &&
      (isTcp ? tcp.verifyChecksum(view, network, transport, end) : udp.verifyChecksum(view, network, transport)),
    isPartial: isPartial(view, network, transport, end, isTcp),
    payload: copy.slice(transport + header, end),
    identification: isIpv6 ? 0 : ipv4.identification(view, network),
    sequence: isTcp ? tcp.sequence(view, transport) : 0,
    tcpFlags: isTcp ? tcp.flags(view, transport) : 0,
  };
  zeroWhatDiffers(view, network, transport, isIpv6, isTcp);
  return { ...read, headers: copy.slice(0, transport + header) };
}

function networkOf(view: DataView): number {
  let at = 0;
  while ([0x8100, 0x88a8].includes(ethernet.type(view, at))) at += 4;
  return at + ethernet.HEADER_BYTES;
}

function isPartial(view: DataView, network: number, transport: number, end: number, isTcp: boolean): boolean {
  const field = transport + (isTcp ? tcp.CHECKSUM_OFFSET : udp.CHECKSUM_OFFSET);
  const protocol = isTcp ? tcp.PROTOCOL : udp.PROTOCOL;
  return view.getUint16(field) === fold(pseudoHeader(view, network, protocol, end - transport));
}

function zeroWhatDiffers(view: DataView, network: number, transport: number, isIpv6: boolean, isTcp: boolean): void {
  if (isIpv6) {
    ipv6.setPayloadLength(view, network, 0);
  } else {
    ipv4.setTotalLength(view, network, 0);
    ipv4.setIdentification(view, network, 0);
    ipv4.setHeaderChecksum(view, network, 0);
  }
  if (isTcp) {
    tcp.setSequence(view, transport, 0);
    tcp.setFlags(view, transport, 0);
    tcp.setChecksum(view, transport, 0);
  } else {
    udp.setLength(view, transport, 0);
    udp.setChecksum(view, transport, 0);
  }
}
