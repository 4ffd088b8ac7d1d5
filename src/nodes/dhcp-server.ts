/**
 * The DHCP server (RFC 2131) of interfaces that are routed: gives the addresses of a pool, with mask, router, DNS servers, search list (RFC 3397) and MTU. It stands
 * where `dhcp.ts`, which has one guest and one address, stands in `tapster run`: under the same name.
 *
 * | message  | answer                                                                                                                      |
 * | -------- | --------------------------------------------------------------------------------------------------------------------------- |
 * | DISCOVER | OFFER of the client's address, the one that it wants, or a free one; with rapid commit (RFC 4039) ACK                       |
 * | REQUEST  | to another server: our offer is withdrawn. To us: ACK, or NAK where the address is another's                                |
 * |          | of a client that reboots: ACK of its address, NAK of another, silence where we do not know it                               |
 * |          | that renews or rebinds: ACK, also where we have forgotten the lease and the address is free; NAK where it is another's      |
 * |          | in each: NAK for an address of another network; silence for one of this network that is not ours to give                    |
 * | DECLINE  | none; the address rests                                                                                                     |
 * | RELEASE  | none; the address is free, and remembered                                                                                   |
 * | INFORM   | ACK without an address                                                                                                      |
 *
 * Never given: our addresses, the router's, a network's first and last address. Clients that come through a relay are not served: dropped and counted.
 *
 * What comes to an interface without the service: a packet on its way to somebody else goes on to the look-up, like any other; the rest is dropped. Leases
 * are kept in memory alone, which is why clients may go on with theirs after a restart. Not done: looking whether an address is in use before it is offered
 * (clients do, and decline), host names, BOOTP, authentication.
 */
import { type IpAddress, type IpPrefix, ipv4Address, MacAddress, prefixContains, prefixMask } from '../base/address.ts';
import type { TurnClock } from '../base/turn-clock.ts';
import type { InterfaceAddresses } from '../forward/interface-addresses.ts';
import type { InterfaceTable } from '../forward/interface-table.ts';
import { isStation } from '../forward/neighbour-table.ts';
import { drop } from '../graph/drop.ts';
import { ARC_DONE, ARC_NEXT, type Emitter, type GraphNode } from '../graph/node.ts';
import { REASON } from '../graph/reasons.ts';
import type { Packet, Packets } from '../packet/packets.ts';
import * as dhcp from '../wire/dhcp.ts';
import * as ipv4 from '../wire/ipv4.ts';
import { DhcpLeases, NO_LEASE } from './dhcp-leases.ts';
import { type EncodedOption, encodeText, judgeMessage, messageAt, messageEnd, reply } from './dhcp-reply.ts';

const ARC_LOOKUP = ARC_NEXT;
const LIMITED_BROADCAST = -1;

const { ACK, DECLINE, DISCOVER, INFORM, NAK, OFFER, RELEASE, REQUEST } = dhcp.TYPE;

export interface DhcpServerSettings {
  /** Our address on the interface, which is the server's name, and its network. */
  readonly network: IpPrefix;
  readonly first: IpAddress;
  readonly last: IpAddress;
  readonly leaseMs: number;
  /** Undefined: no default route is told. */
  readonly router: IpAddress | undefined;
  readonly dns: readonly IpAddress[];
  readonly searchDomains: readonly string[];
  readonly mtu: number;
}

export interface DhcpServerDeps {
  readonly interfaces: InterfaceTable;
  readonly addresses: InterfaceAddresses;
  readonly output: Emitter;
  readonly clock: TurnClock;
}

interface Service {
  readonly settings: DhcpServerSettings;
  readonly options: readonly EncodedOption[];
  readonly leaseSeconds: number;
  readonly leases: DhcpLeases;
}

export class DhcpServer implements GraphNode {
  readonly name = 'dhcp-input';
  readonly next: readonly string[] = ['ip4-lookup'];
  readonly #deps: DhcpServerDeps;
  /** By interface; a hole where there is no service. */
  readonly #services: (Service | undefined)[] = [];

  constructor(deps: DhcpServerDeps) {
    this.#deps = deps;
  }

  /** The interface has the service from now on, with the leases that it had as far as they lie in the pool. Undefined: no more, and leases are forgotten. */
  configure(interfaceIndex: number, settings: DhcpServerSettings | undefined): void {
    if (settings === undefined) {
      if (interfaceIndex < this.#services.length) this.#services[interfaceIndex] = undefined;
      return;
    }
    const leases = this.#services[interfaceIndex]?.leases ?? new DhcpLeases();
    const { first, last, leaseMs } = settings;
    leases.setPool(first.w3, last.w3, (address) => this.#isReserved(settings, interfaceIndex, address));
    const leaseSeconds = Math.max(1, Math.floor(leaseMs / 1000));
    this.#services[interfaceIndex] = { settings, options: encodeOptions(settings), leaseSeconds, leases };
  }

  process(packets: Packets, frame: Int32Array, count: number, arcs: Uint8Array): void {
    for (let i = 0; i < count; i++) arcs[i] = this.#arc(packets, frame[i]);
  }

  #arc(packets: Packets, packet: Packet): number {
    const { addresses } = this.#deps;
    const { view } = packets;
    const on = packets.rxInterface[packet];
    const to = ipv4.destination(view, packets.network[packet]);
    if (to !== LIMITED_BROADCAST && !addresses.isOurIpv4(on, to) && !addresses.isBroadcastOn(on, to)) return ARC_LOOKUP;
    const service = this.#services[on];
    if (service === undefined) return drop(packets, packet, REASON['service-absent']);
    const refused = judgeMessage(packets, packet);
    if (refused !== REASON.none) return drop(packets, packet, refused);
    const at = messageAt(packets, packet);
    if (dhcp.relayAddress(view, at) !== 0) return drop(packets, packet, REASON['dhcp-relayed']);
    if (!isStation(dhcp.hardwareHigh(view, at), dhcp.hardwareLow(view, at))) {
      return drop(packets, packet, REASON['dhcp-invalid']);
    }
    return this.#serve(packets, packet, service);
  }

  #serve(packets: Packets, packet: Packet, service: Service): number {
    const { view } = packets;
    const at = messageAt(packets, packet);
    const end = messageEnd(packets, packet);
    const client = clientOf(view, at, end);
    switch (dhcp.type(view, at, end)) {
      case DISCOVER:
        return this.#discover(packets, packet, service, client);
      case REQUEST:
        return this.#request(packets, packet, service, client);
      case INFORM:
        return this.#reply(packets, packet, service, ACK, 0);
      case RELEASE:
        service.leases.release(client, dhcp.clientAddress(view, at), this.#nowMs);
        return ARC_DONE;
      case DECLINE:
        service.leases.decline(client, requested(view, at, end), this.#nowMs);
        return ARC_DONE;
      default:
        return drop(packets, packet, REASON['dhcp-invalid']);
    }
  }

  #discover(packets: Packets, packet: Packet, service: Service, client: string): number {
    const { view } = packets;
    const at = messageAt(packets, packet);
    const end = messageEnd(packets, packet);
    const address = service.leases.offer(client, requested(view, at, end), this.#nowMs);
    if (address === NO_LEASE) return drop(packets, packet, REASON['dhcp-pool-exhausted']);
    const isRapid = dhcp.findOption(view, at, end, dhcp.OPTION.RAPID_COMMIT) >= 0;
    if (!isRapid) return this.#reply(packets, packet, service, OFFER, address);
    this.#bind(service, client, address);
    return this.#reply(packets, packet, service, ACK, address, true);
  }

  /** RFC 2131, section 4.3.2: which state the client is in shows in what it fills in. */
  #request(packets: Packets, packet: Packet, service: Service, client: string): number {
    const { view } = packets;
    const at = messageAt(packets, packet);
    const end = messageEnd(packets, packet);
    const { leases, settings } = service;
    const server = settings.network.address.w3;
    const named = dhcp.optionValue(view, at, end, dhcp.OPTION.SERVER, 4, 0);
    if (named !== 0 && named !== server) {
      leases.withdraw(client, this.#nowMs);
      return drop(packets, packet, REASON['not-for-us']);
    }
    const current = dhcp.clientAddress(view, at);
    const wanted = current === 0 ? requested(view, at, end) : current;
    if (wanted === 0) return drop(packets, packet, REASON['dhcp-invalid']);
    if (!prefixContains(settings.network, ipv4Address(wanted))) return this.#reply(packets, packet, service, NAK, 0);
    const known = leases.of(client);
    if (named === 0 && known !== wanted) {
      const isReboot = current === 0;
      if (isReboot && known !== NO_LEASE) return this.#reply(packets, packet, service, NAK, 0);
      if (isReboot || !leases.mayGive(wanted)) return drop(packets, packet, REASON['not-for-us']);
    }
    const isBound = this.#bind(service, client, wanted);
    return this.#reply(packets, packet, service, isBound ? ACK : NAK, isBound ? wanted : 0);
  }

  #bind({ leases, leaseSeconds }: Service, client: string, address: number): boolean {
    return leases.bind(client, address, this.#nowMs + leaseSeconds * 1000, this.#nowMs);
  }

  #reply(packets: Packets, request: Packet, service: Service, type: number, given: number, rapid = false): number {
    const { interfaces, output } = this.#deps;
    const on = packets.rxInterface[request];
    const { leaseSeconds, options, settings } = service;
    const config = {
      ourMac: new MacAddress(interfaces.macHigh[on], interfaces.macLow[on]),
      server: settings.network.address.w3,
      mtu: settings.mtu,
      leaseSeconds,
      options,
    };
    return reply(packets, request, output, config, type, given, rapid);
  }

  #isReserved({ network, router }: DhcpServerSettings, interfaceIndex: number, address: number): boolean {
    if (router?.w3 === address || this.#deps.addresses.isOurIpv4(interfaceIndex, address)) return true;
    const hostBits = ~prefixMask(network.length);
    const isEdge = (address & hostBits) === 0 || (address & hostBits) === hostBits;
    return (network.length < 31 && isEdge) || !prefixContains(network, ipv4Address(address));
  }

  get #nowMs(): number {
    return this.#deps.clock.nowUs / 1000;
  }
}

/** The address that the client names in an option, 0: none. */
function requested(view: DataView, at: number, end: number): number {
  return dhcp.optionValue(view, at, end, dhcp.OPTION.REQUESTED_ADDRESS, 4, 0);
}

/** What tells clients apart: the identifier that it sends, else its MAC address. */
function clientOf(view: DataView, at: number, end: number): string {
  const option = dhcp.findOption(view, at, end, dhcp.OPTION.CLIENT_ID);
  const bytes = option < 0 ? 0 : dhcp.optionBytes(view, option);
  if (bytes === 0) return `mac ${dhcp.hardwareHigh(view, at)} ${dhcp.hardwareLow(view, at)}`;
  let text = 'id ';
  for (let i = 0; i < bytes; i++) text += String.fromCharCode(view.getUint8(option + i));
  return text;
}

function encodeOptions({ dns, mtu, network, router, searchDomains }: DhcpServerSettings): EncodedOption[] {
  const { OPTION } = dhcp;
  const bytes = Math.min(mtu, 0xffff);
  const options: EncodedOption[] = [
    { code: OPTION.SUBNET_MASK, data: dhcp.encodeAddresses([prefixMask(network.length)]) },
    { code: OPTION.ROUTERS, data: dhcp.encodeAddresses(router === undefined ? [] : [router.w3]) },
    { code: OPTION.NAME_SERVERS, data: dhcp.encodeAddresses(dns.map((server) => server.w3)) },
    { code: OPTION.MTU, data: Uint8Array.of(bytes >> 8, bytes & 0xff) },
    { code: OPTION.DOMAIN_NAME, data: encodeText(searchDomains[0] ?? '') },
    { code: OPTION.SEARCH_LIST, data: dhcp.encodeSearchList(searchDomains) },
  ];
  // None of these may be empty.
  return options.filter(({ data }) => data.length > 0);
}
