/**
 * What DHCP servers have in common (RFC 2131): judging a client's message, and building the reply. `dhcp.ts` serves the one guest of `tapster run`, `dhcp-server.ts` a
 * network.
 *
 * A client is told what it asks for; one that does not say what it wants is told everything. What does not fit into the message that it takes is left out, the
 * last of the options first.
 */
import type { MacAddress } from '../base/address.ts';
import { drop } from '../graph/drop.ts';
import { ARC_DONE, type Emitter } from '../graph/node.ts';
import { REASON } from '../graph/reasons.ts';
import { NO_PACKET, type Packet, type Packets } from '../packet/packets.ts';
import * as dhcp from '../wire/dhcp.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as udp from '../wire/udp.ts';
import { begin, finishUdp4, isChecksumTrusted, UDP4_PAYLOAD } from './answer.ts';

/** Every client takes an IP packet of 576 bytes (RFC 2131, section 2); of those that take more, none needs more than a link's usual MTU. */
const PACKET_BYTES_MIN = 576;
const PACKET_BYTES_MAX = 1500;

const NOTHING: Uint8Array = new Uint8Array(0);

/** An option, ready to be copied. */
export interface EncodedOption {
  readonly code: number;
  readonly data: Uint8Array;
}

/** What a server says in all its replies. */
export interface ReplyConfig {
  readonly ourMac: MacAddress;
  /** The server's address, and its name. */
  readonly server: number;
  readonly mtu: number;
  readonly leaseSeconds: number;
  /** What the client is told, the most important first. */
  readonly options: readonly EncodedOption[];
}

/** Why a packet for port 67 is no message of a client's; `REASON.none` when it is one. */
export function judgeMessage(packets: Packets, packet: Packet): number {
  const { view } = packets;
  const transport = packets.transport[packet];
  if (udp.check(view, transport, packets.end[packet]) < 0) return REASON['udp-header-invalid'];
  if (!isChecksumTrusted(packets, packet) && !udp.verifyChecksum(view, packets.network[packet], transport)) {
    return REASON['udp-checksum-wrong'];
  }
  const at = messageAt(packets, packet);
  const isRequest =
    dhcp.check(view, at, messageEnd(packets, packet)) >= 0 && dhcp.operation(view, at) === dhcp.OPERATION_REQUEST;
  return isRequest ? REASON.none : REASON['dhcp-invalid'];
}

export function messageAt(packets: Packets, packet: Packet): number {
  return packets.transport[packet] + udp.HEADER_BYTES;
}

export function messageEnd(packets: Packets, packet: Packet): number {
  return packets.transport[packet] + udp.length(packets.view, packets.transport[packet]);
}

/** Sends a reply of `type` that gives the address `given`, 0: none. `rapid`: it answers DISCOVER with ACK at once. Returns the request's arc. */
export function reply(
  packets: Packets,
  request: Packet,
  emitter: Emitter,
  config: ReplyConfig,
  type: number,
  given: number,
  rapid: boolean,
): number {
  const { view } = packets;
  const asked = messageAt(packets, request);
  const askedEnd = messageEnd(packets, request);
  const to = dhcp.replyAddress(view, asked, type, given);
  const limitBytes = packetBytesMax(view, asked, askedEnd, config.mtu);
  const packet = beginReply(packets, request, config.ourMac, to, ethernet.HEADER_BYTES + limitBytes);
  if (packet === NO_PACKET) return drop(packets, request, REASON['arena-full']);

  const start = packets.start[packet] + UDP4_PAYLOAD;
  // Relay information goes last (RFC 3046, section 2.2): room is kept for what is only echoed.
  const limit = packets.start[packet] + ethernet.HEADER_BYTES + limitBytes;
  const { SERVER, LEASE_SECONDS, RAPID_COMMIT, CLIENT_ID, RELAY_INFORMATION } = dhcp.OPTION;
  const echoed = echoBytes(view, asked, askedEnd, CLIENT_ID) + echoBytes(view, asked, askedEnd, RELAY_INFORMATION);
  let at = dhcp.beginReply(view, start, asked, type, given);
  at = dhcp.appendWord(view, at, limit, SERVER, config.server);
  if (given !== 0) at = dhcp.appendWord(view, at, limit, LEASE_SECONDS, config.leaseSeconds);
  if (rapid) at = dhcp.appendOption(view, at, limit, RAPID_COMMIT, NOTHING);
  if (type !== dhcp.TYPE.NAK) at = tell(view, at, limit - echoed, asked, askedEnd, config.options);
  at = dhcp.echoOption(view, at, limit, asked, askedEnd, CLIENT_ID);
  at = dhcp.echoOption(view, at, limit, asked, askedEnd, RELAY_INFORMATION);
  const end = dhcp.endReply(view, at, start);

  const toPort = dhcp.relayAddress(view, asked) === 0 ? dhcp.CLIENT_PORT : dhcp.SERVER_PORT;
  finishUdp4(packets, packet, end, config.server, dhcp.SERVER_PORT, to, toPort);
  emitter.emit(packet);
  return ARC_DONE;
}

/** Nothing, where the text is not made of what names of hosts are made of: clients hand it to shell scripts. */
export function encodeText(text: string): Uint8Array {
  if (!/^[\w.-]+$/.test(text)) return NOTHING;
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/** Appends what is configured and wanted. */
function tell(
  view: DataView,
  at: number,
  limit: number,
  asked: number,
  askedEnd: number,
  options: readonly EncodedOption[],
): number {
  for (const { code, data } of options) {
    if (dhcp.wants(view, asked, askedEnd, code)) at = dhcp.appendOption(view, at, limit, code, data);
  }
  return at;
}

/** A frame to the client, which may have no IP address yet, so its MAC address is taken from its message; through a relay, to where it came from. */
function beginReply(packets: Packets, request: Packet, ourMac: MacAddress, to: number, frameBytes: number): Packet {
  const { view } = packets;
  const at = messageAt(packets, request);
  const link = packets.rxInterface[request];
  if (dhcp.relayAddress(view, at) !== 0) {
    const frame = packets.start[request];
    const high = ethernet.sourceHigh(view, frame);
    return begin(packets, link, frameBytes, high, ethernet.sourceLow(view, frame), ourMac, ethernet.TYPE_IPV4);
  }
  const isBroadcast = to === -1;
  const high = isBroadcast ? ethernet.BROADCAST_HIGH : dhcp.hardwareHigh(view, at);
  const low = isBroadcast ? ethernet.BROADCAST_LOW : dhcp.hardwareLow(view, at);
  return begin(packets, link, frameBytes, high, low, ourMac, ethernet.TYPE_IPV4);
}

/** How large an IP packet the answer may be. */
function packetBytesMax(view: DataView, at: number, end: number, mtu: number): number {
  const said = dhcp.optionValue(view, at, end, dhcp.OPTION.MESSAGE_BYTES_MAX, 2, PACKET_BYTES_MIN) & 0xffff;
  return Math.max(PACKET_BYTES_MIN, Math.min(said, mtu, PACKET_BYTES_MAX));
}

/** What it takes to echo an option. */
function echoBytes(view: DataView, at: number, end: number, code: number): number {
  const option = dhcp.findOption(view, at, end, code);
  return option < 0 ? 0 : 2 + dhcp.optionBytes(view, option);
}
