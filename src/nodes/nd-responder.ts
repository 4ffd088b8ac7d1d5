/**
 * Neighbor discovery (RFC 4861, sections 7.1 and 7.2; duplicate address detection: RFC 4862, section 5.4) on interfaces that are routed. It stands where
 * `ndp.ts`, which speaks for all the world, stands in `tapster run`: under the same name.
 *
 * Solicitations for an address of ours on this interface are answered, to who asks; to all nodes when who asks has no address yet. Who asks us, and says
 * where it is, is learnt. Advertisements correct and confirm neighbours that we know, and make no new ones. Not learnt: MAC addresses that no station can
 * have, and addresses that are on none of the interface's networks.
 *
 * Who solicits a router is learnt like who asks us, and answered where the interface advertises one (`router-advertiser.ts`). Others' router advertisements, and
 * redirects, are dropped: our routes are configured. No anycast, no proxying, no answers for addresses of ours on other interfaces.
 */
import { MacAddress } from '../base/address.ts';
import type { InterfaceAddresses } from '../forward/interface-addresses.ts';
import type { InterfaceTable } from '../forward/interface-table.ts';
import { isStation, NO_NEIGHBOUR } from '../forward/neighbour-table.ts';
import { drop } from '../graph/drop.ts';
import { ARC_DONE, type Emitter, type GraphNode } from '../graph/node.ts';
import { REASON } from '../graph/reasons.ts';
import { NO_PACKET, type Packet, type Packets } from '../packet/packets.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as icmpv6 from '../wire/icmpv6.ts';
import * as ipv6 from '../wire/ipv6.ts';
import * as ndp from '../wire/ndp.ts';
import type { AddressConflicts } from './address-conflicts.ts';
import { begin, finishIcmpv6, ICMPV6_MESSAGE, isChecksumTrusted } from './answer.ts';
import type { NeighbourResolver } from './neighbour-resolver.ts';
import { ALL_NODES_MAC_HIGH, ALL_NODES_MAC_LOW, toAllNodes } from './router-advertisement.ts';
import type { RouterAdvertiser } from './router-advertiser.ts';
import { NEIGHBOR_FRAME_BYTES } from './solicitation.ts';

export class NdResponder implements GraphNode {
  readonly name = 'ndp-input';
  readonly next: readonly string[] = [];
  readonly #interfaces: InterfaceTable;
  readonly #addresses: InterfaceAddresses;
  readonly #resolver: NeighbourResolver;
  readonly #conflicts: AddressConflicts;
  readonly #emitter: Emitter;
  readonly #advertiser: RouterAdvertiser | undefined;
  /** The packet's source, and its target: four words each. */
  readonly #source: Int32Array = new Int32Array(4);
  readonly #target: Int32Array = new Int32Array(4);

  /** Without an advertiser no interface has a router. */
  constructor(
    interfaces: InterfaceTable,
    addresses: InterfaceAddresses,
    resolver: NeighbourResolver,
    conflicts: AddressConflicts,
    emitter: Emitter,
    advertiser?: RouterAdvertiser,
  ) {
    this.#interfaces = interfaces;
    this.#addresses = addresses;
    this.#resolver = resolver;
    this.#conflicts = conflicts;
    this.#emitter = emitter;
    this.#advertiser = advertiser;
  }

  process(packets: Packets, frame: Int32Array, count: number, arcs: Uint8Array): void {
    for (let i = 0; i < count; i++) arcs[i] = this.#arc(packets, frame[i]);
  }

  #arc(packets: Packets, packet: Packet): number {
    const { view } = packets;
    const network = packets.network[packet];
    const at = packets.transport[packet];
    const end = packets.end[packet];
    const options = ndp.check(view, at, end);
    if (options < 0 || ipv6.hopLimit(view, network) !== ndp.HOP_LIMIT) {
      return drop(packets, packet, REASON['ndp-invalid']);
    }
    if (!isChecksumTrusted(packets, packet) && !icmpv6.verifyChecksum(view, network, at, end)) {
      return drop(packets, packet, REASON['icmp-checksum-wrong']);
    }
    for (let i = 0; i < 4; i++) this.#source[i] = ipv6.sourceWord(view, network, i);
    switch (ndp.type(view, at)) {
      case ndp.ROUTER_SOLICITATION:
        return this.#routerSolicitation(packets, packet, at + options);
      case ndp.NEIGHBOR_SOLICITATION:
        this.#readTarget(packets, packet);
        return this.#solicitation(packets, packet, at + options);
      case ndp.NEIGHBOR_ADVERTISEMENT:
        this.#readTarget(packets, packet);
        return this.#advertisement(packets, packet, at + options);
      default:
        return drop(packets, packet, REASON['ndp-invalid']);
    }
  }

  #readTarget(packets: Packets, packet: Packet): void {
    for (let i = 0; i < 4; i++) this.#target[i] = ndp.targetWord(packets.view, packets.transport[packet], i);
  }

  /** RFC 4861, sections 6.1.1 and 6.2.6. */
  #routerSolicitation(packets: Packets, packet: Packet, options: number): number {
    const { view } = packets;
    const on = packets.rxInterface[packet];
    const source = this.#source;
    const option = ndp.findOption(view, options, packets.end[packet], ndp.OPTION_SOURCE_LINK_LAYER);
    const isNobody = isUnspecified(source);
    if (isNobody ? option >= 0 : !isUnicast(source)) return drop(packets, packet, REASON['ndp-invalid']);
    const high = option < 0 ? ethernet.sourceHigh(view, packets.start[packet]) : ndp.linkLayerHigh(view, option);
    const low = option < 0 ? ethernet.sourceLow(view, packets.start[packet]) : ndp.linkLayerLow(view, option);
    if (!isStation(high, low)) return drop(packets, packet, REASON['ndp-invalid']);
    if (this.#isOurs(on, source)) return this.#claimed(packets, packet, source, high, low);
    const { nowMs, table } = this.#resolver;
    const isAnswered = this.#advertiser?.solicited(packet, nowMs) === true;
    if (isAnswered && option >= 0 && this.#mayLearn(on, source, high, low)) {
      table.heard(on, source[0], source[1], source[2], source[3], high, low, nowMs);
    }
    return ARC_DONE;
  }

  #solicitation(packets: Packets, packet: Packet, options: number): number {
    const { view } = packets;
    const on = packets.rxInterface[packet];
    const option = ndp.findOption(view, options, packets.end[packet], ndp.OPTION_SOURCE_LINK_LAYER);
    const isProbe = isUnspecified(this.#source);
    const isValid =
      isUnicast(this.#target) && (isProbe ? option < 0 && isToGroup(packets, packet) : isUnicast(this.#source));
    if (!isValid) return drop(packets, packet, REASON['ndp-invalid']);
    const high = option < 0 ? ethernet.sourceHigh(view, packets.start[packet]) : ndp.linkLayerHigh(view, option);
    const low = option < 0 ? ethernet.sourceLow(view, packets.start[packet]) : ndp.linkLayerLow(view, option);
    if (!isStation(high, low)) return drop(packets, packet, REASON['ndp-invalid']);
    if (this.#isOurs(on, this.#source)) return this.#claimed(packets, packet, this.#source, high, low);
    if (!this.#isOurs(on, this.#target)) return ARC_DONE;
    if (option >= 0 && this.#mayLearn(on, this.#source, high, low)) {
      const source = this.#source;
      this.#resolver.table.heard(on, source[0], source[1], source[2], source[3], high, low, this.#resolver.nowMs);
    }
    return this.#answer(packets, packet, isProbe, high, low);
  }

  #advertisement(packets: Packets, packet: Packet, options: number): number {
    const { view } = packets;
    const on = packets.rxInterface[packet];
    const flags = ndp.neighborFlags(view, packets.transport[packet]);
    const isSolicited = (flags & ndp.NA_SOLICITED) !== 0;
    const isValid = isUnicast(this.#target) && isUnicast(this.#source) && !(isSolicited && isToGroup(packets, packet));
    if (!isValid) return drop(packets, packet, REASON['ndp-invalid']);
    const option = ndp.findOption(view, options, packets.end[packet], ndp.OPTION_TARGET_LINK_LAYER);
    const high = option < 0 ? ethernet.sourceHigh(view, packets.start[packet]) : ndp.linkLayerHigh(view, option);
    const low = option < 0 ? ethernet.sourceLow(view, packets.start[packet]) : ndp.linkLayerLow(view, option);
    if (!isStation(high, low)) return drop(packets, packet, REASON['ndp-invalid']);
    if (this.#isOurs(on, this.#target)) return this.#claimed(packets, packet, this.#target, high, low);
    const { nowMs, table } = this.#resolver;
    const target = this.#target;
    const neighbour = table.find(on, target[0], target[1], target[2], target[3]);
    if (neighbour === NO_NEIGHBOUR || !this.#mayLearn(on, this.#target, high, low)) return ARC_DONE;
    if (option >= 0) table.advertised(neighbour, high, low, isSolicited, (flags & ndp.NA_OVERRIDE) !== 0, nowMs);
    else if (isSolicited) table.confirmed(neighbour, nowMs);
    return ARC_DONE;
  }

  #isOurs(on: number, address: Int32Array): boolean {
    return this.#addresses.isOn(on, address[0], address[1], address[2], address[3]);
  }

  #mayLearn(on: number, address: Int32Array, high: number, low: number): boolean {
    // With our MAC address, frames for the neighbour would come back to us.
    const isOurMac = high === this.#interfaces.macHigh[on] && low === this.#interfaces.macLow[on];
    return !isOurMac && this.#addresses.isOnLink(on, address[0], address[1], address[2], address[3]);
  }

  /** Somebody speaks as us, unless it is a frame of our own that came back. */
  #claimed(packets: Packets, packet: Packet, address: Int32Array, high: number, low: number): number {
    const on = packets.rxInterface[packet];
    if (high !== this.#interfaces.macHigh[on] || low !== this.#interfaces.macLow[on]) {
      this.#conflicts.note(on, address[0], address[1], address[2], address[3], high, low);
    }
    return drop(packets, packet, REASON['ndp-own-address']);
  }

  /** A new packet, since a solicitation may be shorter or longer than its answer. */
  #answer(packets: Packets, request: Packet, toAll: boolean, high: number, low: number): number {
    const on = packets.rxInterface[request];
    const ourMac = new MacAddress(this.#interfaces.macHigh[on], this.#interfaces.macLow[on]);
    const toHigh = toAll ? ALL_NODES_MAC_HIGH : high;
    const packet = begin(
      packets,
      on,
      NEIGHBOR_FRAME_BYTES,
      toHigh,
      toAll ? ALL_NODES_MAC_LOW : low,
      ourMac,
      ethernet.TYPE_IPV6,
    );
    if (packet === NO_PACKET) return drop(packets, request, REASON['arena-full']);
    const { view } = packets;
    const network = packets.start[packet] + ethernet.HEADER_BYTES;
    const source = this.#source;
    const target = this.#target;
    ipv6.setSource(view, network, target[0], target[1], target[2], target[3]);
    if (toAll) toAllNodes(packets, packet);
    else ipv6.setDestination(view, network, source[0], source[1], source[2], source[3]);
    const flags = ndp.NA_ROUTER | ndp.NA_OVERRIDE | (toAll ? 0 : ndp.NA_SOLICITED);
    let at = packets.start[packet] + ICMPV6_MESSAGE;
    at += ndp.writeNeighborAdvertisement(view, at, flags, target[0], target[1], target[2], target[3]);
    at += ndp.writeLinkLayerOption(view, at, ndp.OPTION_TARGET_LINK_LAYER, ourMac.high, ourMac.low);
    finishIcmpv6(packets, packet, at, ndp.HOP_LIMIT);
    this.#emitter.emit(packet);
    return ARC_DONE;
  }
}

function isToGroup(packets: Packets, packet: Packet): boolean {
  return ipv6.destinationWord(packets.view, packets.network[packet], 0) >>> 24 === 0xff;
}

function isUnspecified(address: Int32Array): boolean {
  return (address[0] | address[1] | address[2] | address[3]) === 0;
}

/** Neither multicast nor one of ::/96 and ::ffff:0:0/96: unspecified, loopback, embedded IPv4. */
function isUnicast(address: Int32Array): boolean {
  if (address[0] >>> 24 === 0xff) return false;
  return (address[0] | address[1]) !== 0 || (address[2] !== 0 && address[2] !== 0xffff);
}
