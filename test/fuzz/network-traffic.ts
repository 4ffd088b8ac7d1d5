/**
 * Traffic that reaches what single small frames of `network-frames.ts` do not: trains of segments, which links may join; packets that are larger than the MTU somewhere; many DHCP clients.
 * Virtio-net header in front of all.
 */
import { parseIpAddress } from '#tapster/base/address.js';
import type { Random } from '#tapster/base/random.js';
import * as ethernet from '#tapster/wire/ethernet.js';
import * as icmp from '#tapster/wire/icmp.js';
import * as ipv4 from '#tapster/wire/ipv4.js';
import * as ipv6 from '#tapster/wire/ipv6.js';
import * as tcp from '#tapster/wire/tcp.js';
import * as udp from '#tapster/wire/udp.js';
import * as vnet from '#tapster/wire/vnet-header.js';
import { pick, VNET_BYTES } from './frames.ts';
import { dhcpMessage } from './messages.ts';
import { TUN } from './network-config.ts';
import { GUEST_HIGH, GUESTS, OUR_HIGH, withoutEthernet } from './network-frames.ts';

const NETWORK = VNET_BYTES + ethernet.HEADER_BYTES;

/** Of the guest that begins each network, and who is behind routes. */
const ENDS4: readonly number[] = [
  '198.51.100.7',
  '10.0.0.2',
  '10.0.1.2',
  '10.0.2.2',
  '10.0.2.9',
  '10.0.3.2',
  '10.9.1.1',
  '10.9.2.2',
]
  .concat(['10.9.3.3', '10.6.0.1', '10.0.1.1'])
  .map((text) => parseIpAddress(text)!.w3);
const ENDS6: readonly (readonly number[])[] = [
  '2001:db8:1::7',
  'fd00::2',
  'fd00:1::2',
  'fd00:2::2',
  'fd00:3::2',
  'fd00:9::5',
]
  .concat(['fd00:6::7'])
  .map((text) => parseIpAddress(text)!)
  .map(({ w0, w1, w2, w3 }) => [w0, w1, w2, w3]);
/** Among both: who is behind the uplink. */
const REMOTE = 0;
/** Around what configurations have as MTU, and more than any: for those that are to be cut. */
const SIZES: readonly number[] = [548, 600, 601, 1280, 1300, 1301, 1500, 4000];
const TRAIN_BYTES: readonly number[] = [100, 536, 1200, 1448];
const SEGMENT_BYTES = 1000;
const DHCP_CLIENTS = 7;
/** The first option is the message's type. */
const DHCP_OPTIONS_AT = 240;
const DHCP_OPTION_TYPE = 53;
const DHCP_END = 255;
/** More than there may be flows. */
const FLOWS_DIALLED_MAX = 20;

/** Frames that one guest sends at once: segments of one connection, or the first ones of several. */
export function train(random: Random, device: number): Uint8Array[] {
  const isIpv6 = random.chance(0.4);
  const dials = random.chance(0.3);
  const ends = isIpv6 ? ENDS6 : ENDS4;
  const destination = dials && random.chance(0.6) ? REMOTE : random.below(ends.length);
  const hops = pick(random, [1, 2, 37, 64, 200]);
  const bytes = pick(random, TRAIN_BYTES);
  const [from, to] = [random.between(4000, 4003), pick(random, [80, 84, 7])];
  let sequence = 1001;
  return Array.from({ length: random.between(2, dials ? FLOWS_DIALLED_MAX : 6) }, (_, index) => {
    const message = new Uint8Array(tcp.HEADER_BYTES + bytes);
    const flags = dials ? tcp.SYN : tcp.ACK | (random.chance(0.1) ? pick(random, [tcp.PSH, tcp.FIN, tcp.SYN]) : 0);
    tcp.writeHeader(
      viewOf(message),
      0,
      dials ? from + 100 + index : from,
      to,
      sequence,
      1,
      tcp.HEADER_BYTES,
      flags,
      1000,
    );
    if (random.chance(0.95)) sequence += bytes;
    return asSent(device, packet(device, isIpv6, destination, hops, tcp.PROTOCOL, message, false));
  });
}

/** One packet of a size that matters, which may be larger than a frame may be: then to be cut by whoever sends it. */
export function bulk(random: Random, device: number): Uint8Array {
  const isIpv6 = random.chance(0.4);
  const destination = random.below(isIpv6 ? ENDS6.length : ENDS4.length);
  const room = pick(random, SIZES) - (isIpv6 ? ipv6.HEADER_BYTES : ipv4.HEADER_BYTES);
  const protocol = pick(random, [tcp.PROTOCOL, udp.PROTOCOL, icmp.PROTOCOL]);
  const message = new Uint8Array(room);
  const view = viewOf(message);
  const headerBytes = protocol === tcp.PROTOCOL ? tcp.HEADER_BYTES : udp.HEADER_BYTES;
  if (protocol === tcp.PROTOCOL) tcp.writeHeader(view, 0, 4000, 80, 1001, 1, tcp.HEADER_BYTES, tcp.ACK, 1000);
  else if (protocol === udp.PROTOCOL) udp.writeHeader(view, 0, 4000, 7, room);
  else icmp.writeEcho(view, 0, icmp.ECHO_REQUEST, 1, 1);
  const hops = pick(random, [2, 37, 64]);
  const bytes = packet(device, isIpv6, destination, hops, protocol, message, random.chance(0.4));
  const isGso = protocol !== icmp.PROTOCOL && (room + ipv4.HEADER_BYTES > 1500 || random.chance(0.2));
  if (isGso) giveGso(bytes, isIpv6, protocol, headerBytes, pick(random, [8, 500, SEGMENT_BYTES, 1448]));
  return asSent(device, bytes);
}

/** From one client, or from more than there are addresses for. */
export function dhcpClients(random: Random, device: number): Uint8Array[] {
  const first = random.below(DHCP_CLIENTS);
  if (random.chance(0.7)) return [dhcpClient(random, device, first)];
  const discovery = dhcpMessage(random).slice(0, DHCP_OPTIONS_AT + 4);
  discovery.set([DHCP_OPTION_TYPE, 1, 1, DHCP_END], DHCP_OPTIONS_AT);
  return Array.from({ length: DHCP_CLIENTS }, (_, client) => dhcpClient(random, device, client, discovery));
}

function dhcpClient(random: Random, device: number, client: number, given?: Uint8Array): Uint8Array {
  const message = given ?? dhcpMessage(random);
  const view = viewOf(message);
  view.setUint16(28, GUEST_HIGH);
  view.setInt32(30, (device << 8) | client);
  if (given === undefined && random.chance(0.7)) message[DHCP_OPTIONS_AT + 2] = pick(random, [1, 1, 3, 7]);
  const datagram = new Uint8Array(udp.HEADER_BYTES + message.length);
  udp.writeHeader(viewOf(datagram), 0, 68, 67, datagram.length);
  datagram.set(message, udp.HEADER_BYTES);
  const bytes = new Uint8Array(NETWORK + ipv4.HEADER_BYTES + datagram.length);
  const whole = viewOf(bytes);
  const { BROADCAST_HIGH, BROADCAST_LOW, TYPE_IPV4 } = ethernet;
  ethernet.writeHeader(whole, VNET_BYTES, BROADCAST_HIGH, BROADCAST_LOW, GUEST_HIGH, (device << 8) | client, TYPE_IPV4);
  ipv4.writeHeader(whole, NETWORK, bytes.length - NETWORK, udp.PROTOCOL, 0, -1, 64, 0, 0, 0);
  ipv4.writeChecksum(whole, NETWORK);
  bytes.set(datagram, NETWORK + ipv4.HEADER_BYTES);
  return asSent(device, bytes);
}

/** From the guest of a device, by us, to somebody else. */
function packet(
  device: number,
  isIpv6: boolean,
  destination: number,
  hops: number,
  protocol: number,
  message: Uint8Array,
  mayNotCut: boolean,
): Uint8Array {
  const at = NETWORK + (isIpv6 ? ipv6.HEADER_BYTES : ipv4.HEADER_BYTES);
  const bytes = new Uint8Array(at + message.length);
  const view = viewOf(bytes);
  const { ourMac, ipv4: own4, ipv6: own6 } = GUESTS[device]!;
  const type = isIpv6 ? ethernet.TYPE_IPV6 : ethernet.TYPE_IPV4;
  ethernet.writeHeader(view, VNET_BYTES, OUR_HIGH, ourMac, GUEST_HIGH, device << 8, type);
  if (isIpv6) {
    ipv6.writeHeader(view, NETWORK, message.length, protocol, hops, 0, 0);
    ipv6.setSource(view, NETWORK, ...own6[0]!);
    const [w0 = 0, w1 = 0, w2 = 0, w3 = 0] = ENDS6[destination]!;
    ipv6.setDestination(view, NETWORK, w0, w1, w2, w3);
  } else {
    const flags = mayNotCut ? ipv4.DONT_FRAGMENT : 0;
    const to = ENDS4[destination]!;
    ipv4.writeHeader(view, NETWORK, bytes.length - NETWORK, protocol, own4[0]!, to, hops, 0, 7, 0);
    ipv4.setFragment(view, NETWORK, flags, 0);
    ipv4.writeChecksum(view, NETWORK);
  }
  bytes.set(message, at);
  if (protocol === tcp.PROTOCOL) tcp.writeChecksum(view, NETWORK, at, bytes.length);
  else if (protocol === udp.PROTOCOL) udp.writeChecksum(view, NETWORK, at);
  else icmp.writeChecksum(view, at, bytes.length);
  return bytes;
}

function asSent(device: number, bytes: Uint8Array): Uint8Array {
  return device === TUN ? withoutEthernet(bytes) : bytes;
}

/** Leaves the checksum, and the cutting into segments, to us. */
function giveGso(
  bytes: Uint8Array,
  isIpv6: boolean,
  protocol: number,
  headerBytes: number,
  segmentBytes: number,
): void {
  const view = viewOf(bytes);
  const at = NETWORK + (isIpv6 ? ipv6.HEADER_BYTES : ipv4.HEADER_BYTES);
  const isTcp = protocol === tcp.PROTOCOL;
  if (isTcp) tcp.writePartialChecksum(view, NETWORK, at, bytes.length);
  else udp.writePartialChecksum(view, NETWORK, at);
  vnet.setChecksum(view, 0, at - VNET_BYTES, isTcp ? tcp.CHECKSUM_OFFSET : udp.CHECKSUM_OFFSET);
  const kind = !isTcp ? vnet.GSO_UDP_L4 : isIpv6 ? vnet.GSO_TCPV6 : vnet.GSO_TCPV4;
  vnet.setGso(view, 0, kind, segmentBytes, at + headerBytes - VNET_BYTES);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
