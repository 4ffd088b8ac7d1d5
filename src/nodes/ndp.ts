/**
 * Neighbour discovery (RFC 4861) as the guest's router: advertises ourselves, its prefix, MTU, DNS servers and search list (RFC 8106), and answers
 * for every IPv6 address on this link, for behind us is the rest of the world.
 *
 * Not answered for: the guest's own address; addresses that are only looked for before they are taken (duplicate address detection, RFC 4862,
 * section 5.4: the sender has none yet), unless they are the gateway's; addresses of neighbours on the same link, which answer for themselves.
 * What senders say about themselves is learnt, unless it is the gateway's address that they claim.
 *
 * Advertisements without being asked: `advertise`, which the engine calls when the time comes that its last call named, and after `configure`.
 * A guest's own advertisements as a router, and redirects, are dropped: we route nothing through it.
 */
import type { IpAddress } from '../base/address.ts';
import { type Neighbours, NO_NEIGHBOUR } from '../flow/neighbours.ts';
import { drop } from '../graph/drop.ts';
import { ARC_DONE, type Emitter, type GraphNode } from '../graph/node.ts';
import { REASON } from '../graph/reasons.ts';
import { NO_PACKET, type Packet, type Packets } from '../packet/packets.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as icmpv6 from '../wire/icmpv6.ts';
import * as ipv6 from '../wire/ipv6.ts';
import * as ndp from '../wire/ndp.ts';
import { begin, finishIcmpv6, ICMPV6_MESSAGE, isChecksumTrusted } from './answer.ts';
import {
  ADVERTISEMENT_FRAME_BYTES,
  ALL_NODES_MAC_HIGH,
  ALL_NODES_MAC_LOW,
  finishAdvertisement,
  MTU_UNTOLD,
  toAllNodes,
} from './router-advertisement.ts';
import type { Ipv6Service, ServiceConfig } from './service-config.ts';

/** A router says how long it is one: three times the longest interval that RFC 4861 lets it be silent for (section 6.2.1). DNS servers: the same (RFC 8106). */
const ROUTER_LIFETIME_SECONDS = 1800;

/** Unsolicited advertisements: the first three soon after one another, so that one lost does no harm (RFC 4861, section 6.2.4). */
const FIRST_ADVERTISEMENTS = 3;
const FIRST_INTERVAL_MS = 16_000;
const INTERVAL_MS = 300_000;
/** When there was no room for one. */
const RETRY_MS = 1000;

const HOST_PREFIX_BITS = 128;

const NEIGHBOR_ADVERTISEMENT_BYTES = 32;
export class NdpInput implements GraphNode {
  readonly name = 'ndp-input';
  readonly next: readonly string[] = [];
  readonly #neighbours: Neighbours;
  readonly #emitter: Emitter;
  #config: ServiceConfig;
  /** Advertisements sent since the configuration was given, and when the next one is due. */
  #advertised: number = 0;
  #dueMs: number = 0;

  constructor(config: ServiceConfig, neighbours: Neighbours, emitter: Emitter) {
    this.#config = config;
    this.#neighbours = neighbours;
    this.#emitter = emitter;
  }

  configure(config: ServiceConfig): void {
    this.#config = config;
    this.#advertised = 0;
    this.#dueMs = 0;
  }

  process(packets: Packets, frame: Int32Array, count: number, arcs: Uint8Array): void {
    for (let i = 0; i < count; i++) arcs[i] = this.#arc(packets, frame[i]);
  }

  /** Sends an advertisement to all on the interface if one is due. Returns when the next one is, Infinity: never. */
  advertise(packets: Packets, interfaceIndex: number, nowMs: number): number {
    const service = this.#config.ipv6;
    if (service === undefined || !this.#config.ndp || !this.#config.ra) return Number.POSITIVE_INFINITY;
    if (nowMs < this.#dueMs) return this.#dueMs;
    const packet = this.#begin(
      packets,
      interfaceIndex,
      ADVERTISEMENT_FRAME_BYTES,
      ALL_NODES_MAC_HIGH,
      ALL_NODES_MAC_LOW,
    );
    if (packet === NO_PACKET) return nowMs + RETRY_MS;
    toAllNodes(packets, packet);
    this.#advertiseIn(packets, packet, service);
    this.#advertised++;
    this.#dueMs = nowMs + (this.#advertised < FIRST_ADVERTISEMENTS ? FIRST_INTERVAL_MS : INTERVAL_MS);
    return this.#dueMs;
  }

  #arc(packets: Packets, packet: Packet): number {
    const { view } = packets;
    const network = packets.network[packet];
    const at = packets.transport[packet];
    const end = packets.end[packet];
    const service = this.#config.ipv6;
    if (service === undefined || !this.#config.ndp) return drop(packets, packet, REASON['protocol-disabled']);
    const options = ndp.check(view, at, end);
    if (options < 0 || ipv6.hopLimit(view, network) !== ndp.HOP_LIMIT) {
      return drop(packets, packet, REASON['ndp-invalid']);
    }
    if (!isChecksumTrusted(packets, packet) && !icmpv6.verifyChecksum(view, network, at, end)) {
      return drop(packets, packet, REASON['icmp-checksum-wrong']);
    }
    switch (ndp.type(view, at)) {
      case ndp.ROUTER_SOLICITATION:
        return this.#routerSolicitation(packets, packet, at + options, service);
      case ndp.NEIGHBOR_SOLICITATION:
        return this.#neighborSolicitation(packets, packet, at + options, service);
      case ndp.NEIGHBOR_ADVERTISEMENT:
        return this.#neighborAdvertisement(packets, packet, at + options, service);
      default:
        return drop(packets, packet, REASON['ndp-invalid']);
    }
  }

  #routerSolicitation(packets: Packets, request: Packet, options: number, service: Ipv6Service): number {
    const { view } = packets;
    const source = ipv6.sourceAt(packets.network[request]);
    const learnt = this.#learn(packets, request, source, options, ndp.OPTION_SOURCE_LINK_LAYER, service);
    if (!learnt) return drop(packets, request, REASON['ndp-invalid']);
    if (!this.#config.ra) return drop(packets, request, REASON['protocol-disabled']);
    const packet = this.#beginAnswer(packets, request, ADVERTISEMENT_FRAME_BYTES);
    if (packet === NO_PACKET) return drop(packets, request, REASON['arena-full']);
    if (isUnspecified(view, source)) toAllNodes(packets, packet);
    else ipv6.copyToDestination(view, packets.start[packet] + ethernet.HEADER_BYTES, view, source);
    this.#advertiseIn(packets, packet, service);
    return ARC_DONE;
  }

  #neighborSolicitation(packets: Packets, request: Packet, options: number, service: Ipv6Service): number {
    const { view } = packets;
    const source = ipv6.sourceAt(packets.network[request]);
    const target = targetAt(packets, request);
    if (!isUnicast(view, target)) return drop(packets, request, REASON['ndp-invalid']);
    const learnt = this.#learn(packets, request, source, options, ndp.OPTION_SOURCE_LINK_LAYER, service);
    if (!learnt) return drop(packets, request, REASON['ndp-invalid']);
    if (isAddress(view, target, service.address.address)) return ARC_DONE;
    const isOurs = isGateway(view, target, service);
    // Who has no address yet wants to take the target for itself.
    const isProbe = isUnspecified(view, source);
    if (!isOurs && (isProbe || this.#isAnothers(packets, request, target))) return ARC_DONE;

    const packet = this.#beginAnswer(packets, request, ICMPV6_MESSAGE + NEIGHBOR_ADVERTISEMENT_BYTES);
    if (packet === NO_PACKET) return drop(packets, request, REASON['arena-full']);
    const network = packets.start[packet] + ethernet.HEADER_BYTES;
    if (isProbe) toAllNodes(packets, packet);
    else ipv6.copyToDestination(view, network, view, source);
    ipv6.copyToSource(view, network, view, target);
    const solicited = isProbe ? 0 : ndp.NA_SOLICITED;
    this.#answerFor(packets, packet, target, solicited | (isOurs ? ndp.NA_ROUTER : 0) | ndp.NA_OVERRIDE);
    return ARC_DONE;
  }

  #neighborAdvertisement(packets: Packets, packet: Packet, options: number, service: Ipv6Service): number {
    const target = targetAt(packets, packet);
    const isValid =
      isUnicast(packets.view, target) &&
      this.#learn(packets, packet, target, options, ndp.OPTION_TARGET_LINK_LAYER, service);
    return isValid ? ARC_DONE : drop(packets, packet, REASON['ndp-invalid']);
  }

  /** Learns where the address that stands at `at` lives, if an option says. False when the guest says what it may not. */
  #learn(
    packets: Packets,
    packet: Packet,
    at: number,
    options: number,
    optionType: number,
    service: Ipv6Service,
  ): boolean {
    const { view } = packets;
    if (isGateway(view, at, service)) return false;
    const option = ndp.findOption(view, options, packets.end[packet], optionType);
    if (option < 0) return true;
    // Who has no address has none to be reached at (RFC 4861, sections 4.1 and 7.1.1).
    if (isUnspecified(view, at)) return false;
    const high = ndp.linkLayerHigh(view, option);
    if ((high & 0x100) !== 0) return false;
    const low = ndp.linkLayerLow(view, option);
    const link = packets.rxInterface[packet];
    const w0 = view.getInt32(at);
    this.#neighbours.learn(link, w0, view.getInt32(at + 4), view.getInt32(at + 8), view.getInt32(at + 12), high, low);
    return true;
  }

  /** Whether the target is a neighbour on this link, other than who asks. Who asks for an address that it had itself asks for someone behind us. */
  #isAnothers(packets: Packets, packet: Packet, target: number): boolean {
    const { view } = packets;
    const link = packets.rxInterface[packet];
    const w0 = view.getInt32(target);
    const w3 = view.getInt32(target + 12);
    const neighbour = this.#neighbours.find(link, w0, view.getInt32(target + 4), view.getInt32(target + 8), w3);
    if (neighbour === NO_NEIGHBOUR) return false;
    const frame = packets.start[packet];
    return (
      this.#neighbours.macLow(link, neighbour) !== ethernet.sourceLow(view, frame) ||
      this.#neighbours.macHigh(link, neighbour) !== ethernet.sourceHigh(view, frame)
    );
  }

  /** Allocates an answer to whoever sent the request's frame; its destination address is still to be written. */
  #beginAnswer(packets: Packets, request: Packet, frameBytes: number): Packet {
    const { view } = packets;
    const frame = packets.start[request];
    const high = ethernet.sourceHigh(view, frame);
    return this.#begin(packets, packets.rxInterface[request], frameBytes, high, ethernet.sourceLow(view, frame));
  }

  #begin(packets: Packets, interfaceIndex: number, frameBytes: number, toHigh: number, toLow: number): Packet {
    return begin(packets, interfaceIndex, frameBytes, toHigh, toLow, this.#config.ourMac, ethernet.TYPE_IPV6);
  }

  #answerFor(packets: Packets, packet: Packet, target: number, flags: number): void {
    const { view } = packets;
    const { high, low } = this.#config.ourMac;
    const w0 = view.getInt32(target);
    const w1 = view.getInt32(target + 4);
    let at = packets.start[packet] + ICMPV6_MESSAGE;
    at += ndp.writeNeighborAdvertisement(
      view,
      at,
      flags,
      w0,
      w1,
      view.getInt32(target + 8),
      view.getInt32(target + 12),
    );
    at += ndp.writeLinkLayerOption(view, at, ndp.OPTION_TARGET_LINK_LAYER, high, low);
    finishIcmpv6(packets, packet, at, ndp.HOP_LIMIT);
    this.#emitter.emit(packet);
  }

  /** Writes a router advertisement into a packet whose destination is known, and sends it. */
  #advertiseIn(packets: Packets, packet: Packet, service: Ipv6Service): void {
    const { dhcpv6, ourMac, mtu, searchDomains, tellsMtu } = this.#config;
    const { address, ourLinkLocal, dns } = service;
    finishAdvertisement(packets, packet, {
      ourMac,
      from: ourLinkLocal,
      flags: dhcpv6 ? ndp.RA_MANAGED | ndp.RA_OTHER : 0,
      lifetimeSeconds: ROUTER_LIFETIME_SECONDS,
      mtu: tellsMtu === false ? MTU_UNTOLD : mtu,
      prefixes: address.length < HOST_PREFIX_BITS ? [address] : [],
      dns,
      searchDomains,
      dnsLifetimeSeconds: ROUTER_LIFETIME_SECONDS,
    });
    this.#emitter.emit(packet);
  }
}

/** Where the target of a neighbor solicitation or advertisement stands: behind 8 bytes in front of it (RFC 4861, section 4.3). */
function targetAt(packets: Packets, packet: Packet): number {
  return packets.transport[packet] + 8;
}

function isAddress(view: DataView, at: number, address: IpAddress): boolean {
  return (
    view.getInt32(at + 12) === address.w3 &&
    view.getInt32(at + 8) === address.w2 &&
    view.getInt32(at + 4) === address.w1 &&
    view.getInt32(at) === address.w0
  );
}

function isGateway(view: DataView, at: number, service: Ipv6Service): boolean {
  return isAddress(view, at, service.ourLinkLocal) || isAddress(view, at, service.gateway);
}

function isUnspecified(view: DataView, at: number): boolean {
  return (view.getInt32(at) | view.getInt32(at + 4) | view.getInt32(at + 8) | view.getInt32(at + 12)) === 0;
}

/** Neither multicast nor one of ::/96 and ::ffff:0:0/96: unspecified, loopback, embedded IPv4. */
function isUnicast(view: DataView, at: number): boolean {
  const first = view.getInt32(at);
  if (first >>> 24 === 0xff) return false;
  const third = view.getInt32(at + 8);
  return (first | view.getInt32(at + 4)) !== 0 || (third !== 0 && third !== 0xffff);
}
