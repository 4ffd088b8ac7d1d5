/**
 * The DHCPv6 server (RFC 8415) of a guest: gives exactly one address, the configured one, with DNS servers and search list.
 *
 * It keeps no binding: the answer to every question follows from the configuration. SOLICIT is answered with ADVERTISE, at the highest preference so
 * that the client need not wait for others, or with REPLY where it asks for rapid commit; REQUEST, RENEW and REBIND with the address; CONFIRM with whether
 * the client's addresses are of this link; RELEASE and DECLINE with success, and nothing changes; INFORMATION-REQUEST without addresses.
 *
 * The first IA_NA gets the address. Any other, and IA_TA, are told that there are no addresses, IA_PD that there are no prefixes. Addresses that a
 * client wants to keep and that are not the configured one are given back with lifetimes of 0. What does not fit into 1280 bytes is left out.
 *
 * Who is given the address is a neighbour from then on: callers of published ports may come before it speaks in NDP.
 */
import { IpAddress, prefixContains } from '../base/address.ts';
import type { Neighbours } from '../flow/neighbours.ts';
import { drop } from '../graph/drop.ts';
import { ARC_DONE, type Emitter, type GraphNode } from '../graph/node.ts';
import { REASON } from '../graph/reasons.ts';
import { NO_PACKET, type Packet, type Packets } from '../packet/packets.ts';
import * as dhcpv6 from '../wire/dhcpv6.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as ipv6 from '../wire/ipv6.ts';
import * as udp from '../wire/udp.ts';
import { begin, finishUdp6, isChecksumTrusted, UDP6_PAYLOAD } from './answer.ts';
import type { Ipv6Service, ServiceConfig } from './service-config.ts';

/** An answer goes through every link: the least MTU of IPv6. */
const FRAME_BYTES_MAX = ethernet.HEADER_BYTES + 1280;

/** A client renews its address at half of its lifetime, and asks any server at four fifths (RFC 8415, section 21.4). */
const RENEW_AT = 0.5;
const REBIND_AT = 0.8;
const FOR_EVER = 0xffff_ffff;
/** Less is not allowed (RFC 8415, section 7.6, IRT_MINIMUM). */
const REFRESH_SECONDS_MIN = 600;

const PREFERENCE_MAX: Uint8Array = Uint8Array.of(255);
const NOTHING: Uint8Array = new Uint8Array(0);

const { TYPE, OPTION, STATUS } = dhcpv6;

/** The data of options that the configuration says, ready to be copied. */
interface Parts {
  readonly serverId: Uint8Array;
  readonly nameServers: Uint8Array;
  readonly searchList: Uint8Array;
  readonly fullName: Uint8Array;
  readonly refresh: Uint8Array;
}

export class Dhcpv6Input implements GraphNode {
  readonly name = 'dhcpv6-input';
  readonly next: readonly string[] = [];
  readonly #neighbours: Neighbours;
  readonly #emitter: Emitter;
  #config: ServiceConfig;
  #parts: Parts;

  constructor(config: ServiceConfig, neighbours: Neighbours, emitter: Emitter) {
    this.#neighbours = neighbours;
    this.#emitter = emitter;
    this.#config = config;
    this.#parts = encodeParts(config);
  }

  configure(config: ServiceConfig): void {
    this.#config = config;
    this.#parts = encodeParts(config);
  }

  process(packets: Packets, frame: Int32Array, count: number, arcs: Uint8Array): void {
    for (let i = 0; i < count; i++) arcs[i] = this.#arc(packets, frame[i]);
  }

  #arc(packets: Packets, packet: Packet): number {
    const { view } = packets;
    const transport = packets.transport[packet];
    const service = this.#config.ipv6;
    if (service === undefined || !this.#config.dhcpv6) return drop(packets, packet, REASON['protocol-disabled']);
    if (udp.check(view, transport, packets.end[packet]) < 0) return drop(packets, packet, REASON['udp-header-invalid']);
    if (!isChecksumTrusted(packets, packet) && !udp.verifyChecksum(view, packets.network[packet], transport)) {
      return drop(packets, packet, REASON['udp-checksum-wrong']);
    }
    const at = transport + udp.HEADER_BYTES;
    const end = transport + udp.length(view, transport);
    if (dhcpv6.check(view, at, end) < 0) return drop(packets, packet, REASON['dhcpv6-invalid']);
    const refused = this.#judge(view, at, end);
    if (refused !== REASON.none) return drop(packets, packet, refused);
    // Who asks whether its addresses are right and names none gets no answer (RFC 8415, section 18.3.3).
    if (dhcpv6.type(view, at) === TYPE.CONFIRM && !hasAddress(view, at, end)) return ARC_DONE;
    return this.#answer(packets, packet, at, end, service);
  }

  /** Which messages must name a client, a server or none (RFC 8415, section 16). Returns the reason to drop it. */
  #judge(view: DataView, at: number, end: number): number {
    const options = at + dhcpv6.HEADER_BYTES;
    const hasClient = dhcpv6.findOption(view, options, end, OPTION.CLIENT_ID) >= 0;
    const server = dhcpv6.findOption(view, options, end, OPTION.SERVER_ID);
    const isOurs = server >= 0 && dhcpv6.hasData(view, server, this.#parts.serverId);
    switch (dhcpv6.type(view, at)) {
      case TYPE.SOLICIT:
      case TYPE.CONFIRM:
      case TYPE.REBIND:
        return hasClient && server < 0 ? REASON.none : REASON['dhcpv6-invalid'];
      case TYPE.REQUEST:
      case TYPE.RENEW:
      case TYPE.RELEASE:
      case TYPE.DECLINE:
        if (!hasClient || server < 0) return REASON['dhcpv6-invalid'];
        return isOurs ? REASON.none : REASON['not-for-us'];
      case TYPE.INFORMATION_REQUEST:
        if (hasAssociation(view, options, end)) return REASON['dhcpv6-invalid'];
        return server < 0 || isOurs ? REASON.none : REASON['not-for-us'];
      default:
        return REASON['dhcpv6-invalid'];
    }
  }

  #answer(packets: Packets, request: Packet, asked: number, askedEnd: number, service: Ipv6Service): number {
    const { view } = packets;
    const frame = packets.start[request];
    const link = packets.rxInterface[request];
    const high = ethernet.sourceHigh(view, frame);
    const low = ethernet.sourceLow(view, frame);
    const packet = begin(packets, link, FRAME_BYTES_MAX, high, low, this.#config.ourMac, ethernet.TYPE_IPV6);
    if (packet === NO_PACKET) return drop(packets, request, REASON['arena-full']);

    if (isGiven(view, asked, askedEnd)) {
      const { w0, w1, w2, w3 } = service.address.address;
      this.#neighbours.learn(link, w0, w1, w2, w3, high, low);
    }
    const network = packets.start[packet] + ethernet.HEADER_BYTES;
    const { w0, w1, w2, w3 } = service.ourLinkLocal;
    ipv6.setSource(view, network, w0, w1, w2, w3);
    ipv6.copyToDestination(view, network, view, ipv6.sourceAt(packets.network[request]));
    const start = packets.start[packet] + UDP6_PAYLOAD;
    const end = this.#write(view, start, packets.start[packet] + FRAME_BYTES_MAX, asked, askedEnd, service);
    finishUdp6(packets, packet, end, dhcpv6.SERVER_PORT, dhcpv6.CLIENT_PORT);
    this.#emitter.emit(packet);
    return ARC_DONE;
  }

  /** Writes the answer to the message from `asked` to `askedEnd`, and returns its end. */
  #write(view: DataView, start: number, limit: number, asked: number, askedEnd: number, service: Ipv6Service): number {
    const options = asked + dhcpv6.HEADER_BYTES;
    const kind = dhcpv6.type(view, asked);
    const rapid = isRapid(view, asked, askedEnd);
    const isOffer = kind === TYPE.SOLICIT && !rapid;
    const client = dhcpv6.findOption(view, options, askedEnd, OPTION.CLIENT_ID);
    let at = dhcpv6.writeHeader(view, start, isOffer ? TYPE.ADVERTISE : TYPE.REPLY, dhcpv6.transaction(view, asked));
    if (client >= 0) at = dhcpv6.echoOption(view, at, limit, client);
    at = dhcpv6.appendOption(view, at, limit, OPTION.SERVER_ID, this.#parts.serverId);
    if (isOffer) at = dhcpv6.appendOption(view, at, limit, OPTION.PREFERENCE, PREFERENCE_MAX);
    if (rapid) at = dhcpv6.appendOption(view, at, limit, OPTION.RAPID_COMMIT, NOTHING);
    switch (kind) {
      case TYPE.CONFIRM:
        return dhcpv6.appendStatus(
          view,
          at,
          isOnLink(view, options, askedEnd, service) ? STATUS.SUCCESS : STATUS.NOT_ON_LINK,
        );
      case TYPE.RELEASE:
      case TYPE.DECLINE:
        return dhcpv6.appendStatus(view, at, STATUS.SUCCESS);
      case TYPE.INFORMATION_REQUEST:
        at = this.#tell(view, at, limit, options, askedEnd, OPTION.REFRESH_SECONDS, this.#parts.refresh);
        return this.#tellNames(view, at, limit, options, askedEnd);
      default: {
        const keeps = kind === TYPE.RENEW || kind === TYPE.REBIND;
        const first = dhcpv6.findOption(view, options, askedEnd, OPTION.IA_NA);
        if (first >= 0) at = this.#give(view, at, limit, first, keeps, service);
        at = refuseOthers(view, at, limit, options, askedEnd, first);
        return this.#tellNames(view, at, limit, options, askedEnd);
      }
    }
  }

  /** Appends the association with the configured address, and with those that the client must give up when it keeps others. */
  #give(view: DataView, at: number, limit: number, association: number, keeps: boolean, service: Ipv6Service): number {
    const { leaseSeconds } = this.#config;
    const { w0, w1, w2, w3 } = service.address.address;
    const given = at;
    const id = dhcpv6.associationId(view, association);
    const renewSeconds = leaseSeconds === FOR_EVER ? FOR_EVER : Math.floor(leaseSeconds * RENEW_AT);
    const rebindSeconds = leaseSeconds === FOR_EVER ? FOR_EVER : Math.floor(leaseSeconds * REBIND_AT);
    at = dhcpv6.beginAssociation(view, at, OPTION.IA_NA, id, renewSeconds, rebindSeconds);
    at = dhcpv6.appendAddress(view, at, w0, w1, w2, w3, leaseSeconds, leaseSeconds);
    const end = dhcpv6.next(view, association);
    let option = keeps ? dhcpv6.associationOptions(view, association) : end;
    for (; option < end && at + dhcpv6.ADDRESS_BYTES <= limit; option = dhcpv6.next(view, option)) {
      if (dhcpv6.optionCode(view, option) !== OPTION.IA_ADDRESS) continue;
      const { addressWord } = dhcpv6;
      const k0 = addressWord(view, option, 0);
      const k1 = addressWord(view, option, 1);
      const k2 = addressWord(view, option, 2);
      const k3 = addressWord(view, option, 3);
      if (k0 === w0 && k1 === w1 && k2 === w2 && k3 === w3) continue;
      at = dhcpv6.appendAddress(view, at, k0, k1, k2, k3, 0, 0);
    }
    return dhcpv6.endAssociation(view, given, at);
  }

  #tellNames(view: DataView, at: number, limit: number, options: number, end: number): number {
    at = this.#tell(view, at, limit, options, end, OPTION.NAME_SERVERS, this.#parts.nameServers);
    at = this.#tell(view, at, limit, options, end, OPTION.SEARCH_LIST, this.#parts.searchList);
    return this.#tell(view, at, limit, options, end, OPTION.FULL_NAME, this.#parts.fullName);
  }

  /** Appends an option of the configuration, where it is not empty and the client wants it. */
  #tell(
    view: DataView,
    at: number,
    limit: number,
    options: number,
    end: number,
    code: number,
    bytes: Uint8Array,
  ): number {
    if (bytes.length === 0 || !dhcpv6.wants(view, options, end, code)) return at;
    return dhcpv6.appendOption(view, at, limit, code, bytes);
  }
}

/** A SOLICIT that is to be answered with the address at once. */
function isRapid(view: DataView, asked: number, end: number): boolean {
  if (dhcpv6.type(view, asked) !== TYPE.SOLICIT) return false;
  return dhcpv6.findOption(view, asked + dhcpv6.HEADER_BYTES, end, OPTION.RAPID_COMMIT) >= 0;
}

/** Whether the answer to the message makes the configured address its sender's. */
function isGiven(view: DataView, asked: number, end: number): boolean {
  const kind = dhcpv6.type(view, asked);
  const asks = kind === TYPE.REQUEST || kind === TYPE.RENEW || kind === TYPE.REBIND || isRapid(view, asked, end);
  return asks && dhcpv6.findOption(view, asked + dhcpv6.HEADER_BYTES, end, OPTION.IA_NA) >= 0;
}

/** Appends, for every association but `given`, that there is nothing for it. */
function refuseOthers(view: DataView, at: number, limit: number, options: number, end: number, given: number): number {
  for (let option = options; option < end; option = dhcpv6.next(view, option)) {
    const kind = dhcpv6.optionCode(view, option);
    if (option === given || !isAssociation(kind) || at + dhcpv6.ASSOCIATION_BYTES > limit) continue;
    const refused = at;
    at = dhcpv6.beginAssociation(view, at, kind, dhcpv6.associationId(view, option), 0, 0);
    at = dhcpv6.appendStatus(view, at, kind === OPTION.IA_PD ? STATUS.NO_PREFIX : STATUS.NO_ADDRESSES);
    dhcpv6.endAssociation(view, refused, at);
  }
  return at;
}

function isAssociation(code: number): boolean {
  return code === OPTION.IA_NA || code === OPTION.IA_TA || code === OPTION.IA_PD;
}

function hasAssociation(view: DataView, options: number, end: number): boolean {
  for (let option = options; option < end; option = dhcpv6.next(view, option)) {
    if (isAssociation(dhcpv6.optionCode(view, option))) return true;
  }
  return false;
}

function hasAddress(view: DataView, at: number, end: number): boolean {
  for (let option = at + dhcpv6.HEADER_BYTES; option < end; option = dhcpv6.next(view, option)) {
    if (firstAddress(view, option) >= 0) return true;
  }
  return false;
}

/** Whether all addresses that the client has belong to the guest's network. */
function isOnLink(view: DataView, options: number, end: number, service: Ipv6Service): boolean {
  for (let option = options; option < end; option = dhcpv6.next(view, option)) {
    const behind = dhcpv6.next(view, option);
    let address = firstAddress(view, option);
    while (address >= 0) {
      const { addressWord } = dhcpv6;
      const w0 = addressWord(view, address, 0);
      const w1 = addressWord(view, address, 1);
      const kept = new IpAddress(w0, w1, addressWord(view, address, 2), addressWord(view, address, 3));
      if (!prefixContains(service.address, kept)) return false;
      address = dhcpv6.findOption(view, dhcpv6.next(view, address), behind, OPTION.IA_ADDRESS);
    }
  }
  return true;
}

/** The first address of an association for addresses, `NO_OPTION` when there is none or it is another option. */
function firstAddress(view: DataView, option: number): number {
  const code = dhcpv6.optionCode(view, option);
  if (code !== OPTION.IA_NA && code !== OPTION.IA_TA) return dhcpv6.NO_OPTION;
  const options = dhcpv6.associationOptions(view, option);
  return dhcpv6.findOption(view, options, dhcpv6.next(view, option), OPTION.IA_ADDRESS);
}

function encodeParts(config: ServiceConfig): Parts {
  const refresh = new Uint8Array(4);
  new DataView(refresh.buffer).setUint32(0, Math.max(config.leaseSeconds, REFRESH_SECONDS_MIN));
  return {
    serverId: dhcpv6.encodeLinkLayerId(config.ourMac),
    nameServers: dhcpv6.encodeAddresses(config.ipv6?.dns ?? []),
    searchList: dhcpv6.encodeSearchList(config.searchDomains),
    fullName: dhcpv6.encodeFullName(config.fullName ?? ''),
    refresh,
  };
}
