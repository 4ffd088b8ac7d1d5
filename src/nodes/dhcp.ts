/**
 * The DHCP server (RFC 2131) of a guest: gives exactly one address, the configured one, with the gateway, DNS servers, search list, MTU and routes.
 *
 * It keeps no lease: the answer to every question follows from the configuration. DISCOVER is answered with OFFER, or with ACK where
 * the client asks for rapid commit (RFC 4039); REQUEST with ACK, or NAK where it names another address; INFORM with ACK without an address.
 * RELEASE and DECLINE change nothing. A REQUEST to another server is none of ours. The server's name is the gateway's address.
 *
 * A client is told what it asks for; one that does not say what it wants is told everything. What does not fit into the message that it takes
 * is left out, the search list first. The router is sent as a classless route too (RFC 3442) where it lies outside the guest's network, which the
 * plain option cannot say, or where there are other routes: a client that takes those must ignore the plain option.
 */
import { type IpAddress, type IpPrefix, ipv4Address, prefixContains, prefixMask } from '../base/address.ts';
import { drop } from '../graph/drop.ts';
import { ARC_DONE, type Emitter, type GraphNode } from '../graph/node.ts';
import { REASON } from '../graph/reasons.ts';
import { NO_PACKET, type Packet, type Packets } from '../packet/packets.ts';
import * as dhcp from '../wire/dhcp.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as udp from '../wire/udp.ts';
import { begin, finishUdp4, isChecksumTrusted, UDP4_PAYLOAD } from './answer.ts';
import type { Ipv4Service, ServiceConfig } from './service-config.ts';

/** Every client takes an IP packet of 576 bytes (RFC 2131, section 2); of those that take more, none needs more than a link's usual MTU. */
const PACKET_BYTES_MIN = 576;
const PACKET_BYTES_MAX = 1500;

const NOTHING: Uint8Array = new Uint8Array(0);
const DEFAULT_ROUTE: IpPrefix = { address: ipv4Address(0), length: 0 };

/** An option of the configuration, ready to be copied. */
interface EncodedOption {
  readonly code: number;
  readonly data: Uint8Array;
}

export class DhcpInput implements GraphNode {
  readonly name = 'dhcp-input';
  readonly next: readonly string[] = [];
  readonly #emitter: Emitter;
  #config: ServiceConfig;
  /** What the client is told, the most important first. */
  #options: readonly EncodedOption[];

  constructor(config: ServiceConfig, emitter: Emitter) {
    this.#emitter = emitter;
    this.#config = config;
    this.#options = encodeOptions(config);
  }

  configure(config: ServiceConfig): void {
    this.#config = config;
    this.#options = encodeOptions(config);
  }

  process(packets: Packets, frame: Int32Array, count: number, arcs: Uint8Array): void {
    for (let i = 0; i < count; i++) arcs[i] = this.#arc(packets, frame[i]);
  }

  #arc(packets: Packets, packet: Packet): number {
    const { view } = packets;
    const transport = packets.transport[packet];
    const service = this.#config.ipv4;
    if (service === undefined || !this.#config.dhcp) return drop(packets, packet, REASON['protocol-disabled']);
    if (udp.check(view, transport, packets.end[packet]) < 0) return drop(packets, packet, REASON['udp-header-invalid']);
    if (!isChecksumTrusted(packets, packet) && !udp.verifyChecksum(view, packets.network[packet], transport)) {
      return drop(packets, packet, REASON['udp-checksum-wrong']);
    }
    const at = messageAt(packets, packet);
    const end = messageEnd(packets, packet);
    if (dhcp.check(view, at, end) < 0 || dhcp.operation(view, at) !== dhcp.OPERATION_REQUEST) {
      return drop(packets, packet, REASON['dhcp-invalid']);
    }
    if (!this.#isForClient(view, at)) return drop(packets, packet, REASON['not-for-us']);
    switch (dhcp.type(view, at, end)) {
      case dhcp.TYPE.DISCOVER: {
        const rapid = dhcp.findOption(view, at, end, dhcp.OPTION.RAPID_COMMIT) >= 0;
        return this.#reply(packets, packet, rapid ? dhcp.TYPE.ACK : dhcp.TYPE.OFFER, service, rapid);
      }
      case dhcp.TYPE.REQUEST:
        return this.#request(packets, packet, service);
      case dhcp.TYPE.INFORM:
        return this.#reply(packets, packet, dhcp.TYPE.ACK, service, false);
      case dhcp.TYPE.RELEASE:
      case dhcp.TYPE.DECLINE:
        return ARC_DONE;
      default:
        return drop(packets, packet, REASON['dhcp-invalid']);
    }
  }

  #isForClient(view: DataView, at: number): boolean {
    const { guestMac } = this.#config;
    if (guestMac === undefined) return true;
    return dhcp.hardwareLow(view, at) === guestMac.low && dhcp.hardwareHigh(view, at) === guestMac.high;
  }

  /** RFC 2131, section 4.3.2: which state the client is in shows in what it fills in; in each it names the address that it wants to use. */
  #request(packets: Packets, packet: Packet, service: Ipv4Service): number {
    const { view } = packets;
    const at = messageAt(packets, packet);
    const end = messageEnd(packets, packet);
    const { SERVER, REQUESTED_ADDRESS } = dhcp.OPTION;
    const server = service.gateway.w3;
    // Without a server's name it goes to any: the client reboots, renews or rebinds.
    if (dhcp.optionValue(view, at, end, SERVER, 4, server) !== server) {
      return drop(packets, packet, REASON['not-for-us']);
    }
    const current = dhcp.clientAddress(view, at);
    const wanted = dhcp.optionValue(view, at, end, REQUESTED_ADDRESS, 4, current);
    if (wanted === 0) return drop(packets, packet, REASON['dhcp-invalid']);
    const isRight = wanted === service.address.address.w3;
    return this.#reply(packets, packet, isRight ? dhcp.TYPE.ACK : dhcp.TYPE.NAK, service, false);
  }

  #reply(packets: Packets, request: Packet, type: number, service: Ipv4Service, rapid: boolean): number {
    const { view } = packets;
    const asked = messageAt(packets, request);
    const askedEnd = messageEnd(packets, request);
    const isInform = dhcp.type(view, asked, askedEnd) === dhcp.TYPE.INFORM;
    const given = isInform || type === dhcp.TYPE.NAK ? 0 : service.address.address.w3;
    const to = dhcp.replyAddress(view, asked, type, given);
    const limitBytes = packetBytesMax(view, asked, askedEnd, this.#config.mtu);
    const packet = this.#begin(packets, request, to, ethernet.HEADER_BYTES + limitBytes);
    if (packet === NO_PACKET) return drop(packets, request, REASON['arena-full']);

    const start = packets.start[packet] + UDP4_PAYLOAD;
    // Relay information goes last (RFC 3046, section 2.2): room is kept for what is only echoed.
    const limit = packets.start[packet] + ethernet.HEADER_BYTES + limitBytes;
    const { SERVER, LEASE_SECONDS, RAPID_COMMIT, CLIENT_ID, RELAY_INFORMATION } = dhcp.OPTION;
    const echoed = echoBytes(view, asked, askedEnd, CLIENT_ID) + echoBytes(view, asked, askedEnd, RELAY_INFORMATION);
    let at = dhcp.beginReply(view, start, asked, type, given);
    at = dhcp.appendWord(view, at, limit, SERVER, service.gateway.w3);
    if (given !== 0) at = dhcp.appendWord(view, at, limit, LEASE_SECONDS, this.#config.leaseSeconds);
    if (rapid) at = dhcp.appendOption(view, at, limit, RAPID_COMMIT, NOTHING);
    if (type !== dhcp.TYPE.NAK) at = this.#tell(view, at, limit - echoed, asked, askedEnd);
    at = dhcp.echoOption(view, at, limit, asked, askedEnd, CLIENT_ID);
    at = dhcp.echoOption(view, at, limit, asked, askedEnd, RELAY_INFORMATION);
    const end = dhcp.endReply(view, at, start);

    const toPort = dhcp.relayAddress(view, asked) === 0 ? dhcp.CLIENT_PORT : dhcp.SERVER_PORT;
    finishUdp4(packets, packet, end, service.gateway.w3, dhcp.SERVER_PORT, to, toPort);
    this.#emitter.emit(packet);
    return ARC_DONE;
  }

  /** Appends what is configured and wanted. */
  #tell(view: DataView, at: number, limit: number, asked: number, askedEnd: number): number {
    for (const { code, data } of this.#options) {
      if (dhcp.wants(view, asked, askedEnd, code)) at = dhcp.appendOption(view, at, limit, code, data);
    }
    return at;
  }

  /** A frame to the client, which may have no IP address yet, so its MAC address is taken from its message; through a relay, to where it came from. */
  #begin(packets: Packets, request: Packet, to: number, frameBytes: number): Packet {
    const { view } = packets;
    const at = messageAt(packets, request);
    const link = packets.rxInterface[request];
    const { ourMac } = this.#config;
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
}

function messageAt(packets: Packets, packet: Packet): number {
  return packets.transport[packet] + udp.HEADER_BYTES;
}

function messageEnd(packets: Packets, packet: Packet): number {
  return packets.transport[packet] + udp.length(packets.view, packets.transport[packet]);
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

function encodeOptions(config: ServiceConfig): EncodedOption[] {
  const service = config.ipv4;
  if (service === undefined) return [];
  const { OPTION } = dhcp;
  const mtu = Math.min(config.mtu, 0xffff);
  const options: EncodedOption[] = [
    { code: OPTION.SUBNET_MASK, data: dhcp.encodeAddresses([prefixMask(service.address.length)]) },
    { code: OPTION.ROUTERS, data: dhcp.encodeAddresses([service.gateway.w3]) },
    { code: OPTION.CLASSLESS_ROUTES, data: encodeRoutes(service) },
    { code: OPTION.NAME_SERVERS, data: dhcp.encodeAddresses(service.dns.map((server: IpAddress) => server.w3)) },
    { code: OPTION.MTU, data: Uint8Array.of(mtu >> 8, mtu & 0xff) },
    { code: OPTION.HOST_NAME, data: encodeText(config.hostName ?? '') },
    { code: OPTION.DOMAIN_NAME, data: encodeText(config.searchDomains[0] ?? '') },
    { code: OPTION.SEARCH_LIST, data: dhcp.encodeSearchList(config.searchDomains) },
  ];
  // None of these may be empty.
  return options.filter(({ data }) => data.length > 0);
}

/** Nothing, where mask and router say it all. */
function encodeRoutes({ address, gateway, routes }: Ipv4Service): Uint8Array {
  const isInside = prefixContains(address, gateway);
  if (isInside && routes.length === 0) return NOTHING;
  const toGateway = isInside ? [] : [{ destination: { address: gateway, length: 32 }, router: 0 }];
  const others = routes.map(({ destination, gateway: router }) => ({ destination, router: router?.w3 ?? 0 }));
  return dhcp.encodeRoutes([...toGateway, ...others, { destination: DEFAULT_ROUTE, router: gateway.w3 }]);
}

/** Nothing, where the text is not made of what names of hosts are made of: clients hand it to shell scripts. */
function encodeText(text: string): Uint8Array {
  if (!/^[\w.-]+$/.test(text)) return NOTHING;
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}
