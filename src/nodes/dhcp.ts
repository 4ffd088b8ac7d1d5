/**
 * The DHCP server (RFC 2131) of a guest: gives exactly one address, the configured one, with the gateway, DNS servers, search list, MTU and routes.
 *
 * It keeps no lease: the answer to every question follows from the configuration. DISCOVER is answered with OFFER, or with ACK where
 * the client asks for rapid commit (RFC 4039); REQUEST with ACK, or NAK where it names another address; INFORM with ACK without an address.
 * RELEASE and DECLINE change nothing. A REQUEST to another server is none of ours. The server's name is the gateway's address.
 *
 * Who is given the address is a neighbour from then on: callers of published ports may come before it asks for anybody by ARP.
 *
 * The search list is left out first where there is no room. The router is sent as a classless route too (RFC 3442) where it lies outside the guest's network, which the
 * plain option cannot say, or where there are other routes: a client that takes those must ignore the plain option.
 */
import { type IpAddress, type IpPrefix, ipv4Address, prefixContains, prefixMask } from '../base/address.ts';
import type { Neighbours } from '../flow/neighbours.ts';
import { drop } from '../graph/drop.ts';
import { ARC_DONE, type Emitter, type GraphNode } from '../graph/node.ts';
import { REASON } from '../graph/reasons.ts';
import type { Packet, Packets } from '../packet/packets.ts';
import * as dhcp from '../wire/dhcp.ts';
import {
  type EncodedOption,
  encodeText,
  judgeMessage,
  messageAt,
  messageEnd,
  type ReplyConfig,
  reply,
} from './dhcp-reply.ts';
import type { Ipv4Service, ServiceConfig } from './service-config.ts';

const NOTHING: Uint8Array = new Uint8Array(0);
/** The word in front of an IPv4 address: ::ffff:a.b.c.d. */
const MAPPED = 0xffff;
const DEFAULT_ROUTE: IpPrefix = { address: ipv4Address(0), length: 0 };

export class DhcpInput implements GraphNode {
  readonly name = 'dhcp-input';
  readonly next: readonly string[] = [];
  readonly #neighbours: Neighbours;
  readonly #emitter: Emitter;
  #config: ServiceConfig;
  #reply: ReplyConfig | undefined;

  constructor(config: ServiceConfig, neighbours: Neighbours, emitter: Emitter) {
    this.#neighbours = neighbours;
    this.#emitter = emitter;
    this.#config = config;
    this.#reply = replyConfig(config);
  }

  configure(config: ServiceConfig): void {
    this.#config = config;
    this.#reply = replyConfig(config);
  }

  process(packets: Packets, frame: Int32Array, count: number, arcs: Uint8Array): void {
    for (let i = 0; i < count; i++) arcs[i] = this.#arc(packets, frame[i]);
  }

  #arc(packets: Packets, packet: Packet): number {
    const { view } = packets;
    const service = this.#config.ipv4;
    const config = this.#reply;
    if (service === undefined || config === undefined || !this.#config.dhcp) {
      return drop(packets, packet, REASON['protocol-disabled']);
    }
    const refused = judgeMessage(packets, packet);
    if (refused !== REASON.none) return drop(packets, packet, refused);
    const at = messageAt(packets, packet);
    const end = messageEnd(packets, packet);
    if (!this.#isForClient(view, at)) return drop(packets, packet, REASON['not-for-us']);
    const given = service.address.address.w3;
    const { ACK, DECLINE, DISCOVER, INFORM, OFFER, RELEASE, REQUEST } = dhcp.TYPE;
    switch (dhcp.type(view, at, end)) {
      case DISCOVER: {
        const rapid = dhcp.findOption(view, at, end, dhcp.OPTION.RAPID_COMMIT) >= 0;
        if (rapid) this.#learn(packets, packet, given);
        return reply(packets, packet, this.#emitter, config, rapid ? ACK : OFFER, given, rapid);
      }
      case REQUEST:
        return this.#request(packets, packet, config, given);
      case INFORM:
        return reply(packets, packet, this.#emitter, config, ACK, 0, false);
      case RELEASE:
      case DECLINE:
        return ARC_DONE;
      default:
        return drop(packets, packet, REASON['dhcp-invalid']);
    }
  }

  /** Frames for the address go where the answer goes; not for a client behind a relay, who is on another link. */
  #learn(packets: Packets, packet: Packet, given: number): void {
    const { view } = packets;
    const at = messageAt(packets, packet);
    const high = dhcp.hardwareHigh(view, at);
    if (dhcp.relayAddress(view, at) !== 0 || (high & 0x100) !== 0) return;
    this.#neighbours.learn(packets.rxInterface[packet], 0, 0, MAPPED, given, high, dhcp.hardwareLow(view, at));
  }

  #isForClient(view: DataView, at: number): boolean {
    const { guestMac } = this.#config;
    if (guestMac === undefined) return true;
    return dhcp.hardwareLow(view, at) === guestMac.low && dhcp.hardwareHigh(view, at) === guestMac.high;
  }

  /** RFC 2131, section 4.3.2: which state the client is in shows in what it fills in; in each it names the address that it wants to use. */
  #request(packets: Packets, packet: Packet, config: ReplyConfig, given: number): number {
    const { view } = packets;
    const at = messageAt(packets, packet);
    const end = messageEnd(packets, packet);
    const { SERVER, REQUESTED_ADDRESS } = dhcp.OPTION;
    const { server } = config;
    // Without a server's name it goes to any: the client reboots, renews or rebinds.
    if (dhcp.optionValue(view, at, end, SERVER, 4, server) !== server) {
      return drop(packets, packet, REASON['not-for-us']);
    }
    const current = dhcp.clientAddress(view, at);
    const wanted = dhcp.optionValue(view, at, end, REQUESTED_ADDRESS, 4, current);
    if (wanted === 0) return drop(packets, packet, REASON['dhcp-invalid']);
    const isRight = wanted === given;
    if (isRight) this.#learn(packets, packet, given);
    return reply(
      packets,
      packet,
      this.#emitter,
      config,
      isRight ? dhcp.TYPE.ACK : dhcp.TYPE.NAK,
      isRight ? given : 0,
      false,
    );
  }
}

/** Undefined: the guest has no IPv4. */
function replyConfig(config: ServiceConfig): ReplyConfig | undefined {
  const { ipv4: service, leaseSeconds, mtu, ourMac } = config;
  if (service === undefined) return undefined;
  return { ourMac, server: service.gateway.w3, mtu, leaseSeconds, options: encodeOptions(config, service) };
}

function encodeOptions(config: ServiceConfig, service: Ipv4Service): EncodedOption[] {
  const { OPTION } = dhcp;
  const mtu = Math.min(config.mtu, 0xffff);
  const options: EncodedOption[] = [
    { code: OPTION.SUBNET_MASK, data: dhcp.encodeAddresses([prefixMask(service.address.length)]) },
    { code: OPTION.ROUTERS, data: dhcp.encodeAddresses([service.gateway.w3]) },
    { code: OPTION.CLASSLESS_ROUTES, data: encodeRoutes(service) },
    { code: OPTION.NAME_SERVERS, data: dhcp.encodeAddresses(service.dns.map((server: IpAddress) => server.w3)) },
    { code: OPTION.MTU, data: config.tellsMtu === false ? NOTHING : Uint8Array.of(mtu >> 8, mtu & 0xff) },
    { code: OPTION.HOST_NAME, data: encodeText(config.hostName ?? '') },
    { code: OPTION.FULL_NAME, data: dhcp.encodeFullName(config.fullName ?? '') },
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
