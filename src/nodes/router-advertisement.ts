/**
 * Router advertisements (RFC 4861, section 4.2; DNS: RFC 8106) as packets: what `ndp.ts` tells the guest of `tapster run`, and `router-advertiser.ts` whoever is on an
 * interface.
 *
 * Contract: `begin` one of `ADVERTISEMENT_FRAME_BYTES`, write its destination, then `finishAdvertisement`, which writes the rest. What does not fit is left out, DNS
 * last.
 */
import type { IpAddress, IpPrefix, MacAddress } from '../base/address.ts';
import { prefixNetwork } from '../base/address.ts';
import type { Packet, Packets } from '../packet/packets.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as ipv6 from '../wire/ipv6.ts';
import * as ndp from '../wire/ndp.ts';
import { finishIcmpv6, ICMPV6_MESSAGE } from './answer.ts';

/** An advertisement goes through every link: the least MTU of IPv6. */
export const ADVERTISEMENT_FRAME_BYTES: number = ethernet.HEADER_BYTES + 1280;

/** The multicast MAC address of ff02::1, all nodes (RFC 2464, section 7). */
export const ALL_NODES_MAC_HIGH = 0x3333;
export const ALL_NODES_MAC_LOW = 1;
const ALL_NODES_0 = 0xff02_0000 | 0;

/** The hop limit that hosts are told to use. */
const HOP_LIMIT = 64;

/** Prefixes can change, so they are given for a short time, as RFC 9096, section 3.2 asks of home routers. */
const PREFIX_VALID_SECONDS = 5400;
const PREFIX_PREFERRED_SECONDS = 2700;

/** Only a prefix of this length makes addresses from itself on Ethernet (RFC 4862, section 5.5.3). */
export const AUTONOMOUS_PREFIX_BITS = 64;

export const MTU_UNTOLD = 0;

export interface RouterAdvertisement {
  readonly ourMac: MacAddress;
  /** The address that it comes from. */
  readonly from: IpAddress;
  /** `ndp.RA_MANAGED`, `ndp.RA_OTHER`. */
  readonly flags: number;
  /** Of us as a default router; 0: we are none. */
  readonly lifetimeSeconds: number;
  /** `MTU_UNTOLD`: the option is left out. */
  readonly mtu: number;
  /** Networks on the link. Hosts make addresses from those of 64 bits. */
  readonly prefixes: readonly IpPrefix[];
  readonly dns: readonly IpAddress[];
  readonly searchDomains: readonly string[];
  /** Of DNS servers and domains; 0: they are to be forgotten. */
  readonly dnsLifetimeSeconds: number;
}

export function toAllNodes(packets: Packets, packet: Packet): void {
  ipv6.setDestination(packets.view, packets.start[packet] + ethernet.HEADER_BYTES, ALL_NODES_0, 0, 0, 1);
  ethernet.setDestination(packets.view, packets.start[packet], ALL_NODES_MAC_HIGH, ALL_NODES_MAC_LOW);
}

/** Writes the advertisement into a packet whose destination is known: it can be sent then. */
export function finishAdvertisement(packets: Packets, packet: Packet, told: RouterAdvertisement): void {
  const { view } = packets;
  const { from, ourMac } = told;
  ipv6.setSource(view, packets.start[packet] + ethernet.HEADER_BYTES, from.w0, from.w1, from.w2, from.w3);
  const limit = packets.start[packet] + ADVERTISEMENT_FRAME_BYTES;
  let at = packets.start[packet] + ICMPV6_MESSAGE;
  at += ndp.writeRouterAdvertisement(view, at, HOP_LIMIT, told.flags, told.lifetimeSeconds, 0, 0);
  at += ndp.writeLinkLayerOption(view, at, ndp.OPTION_SOURCE_LINK_LAYER, ourMac.high, ourMac.low);
  if (told.mtu !== MTU_UNTOLD) at += ndp.writeMtuOption(view, at, told.mtu);
  for (const prefix of told.prefixes) if (at + PREFIX_BYTES <= limit) at += writePrefix(view, at, prefix);
  at += ndp.writeRdnssOption(view, at, limit, told.dns, told.dnsLifetimeSeconds);
  at += ndp.writeDnsslOption(view, at, limit, told.searchDomains, told.dnsLifetimeSeconds);
  finishIcmpv6(packets, packet, at, ndp.HOP_LIMIT);
}

const PREFIX_BYTES = 32;

function writePrefix(view: DataView, at: number, prefix: IpPrefix): number {
  const autonomous = prefix.length === AUTONOMOUS_PREFIX_BITS ? ndp.PREFIX_AUTONOMOUS : 0;
  const flags = ndp.PREFIX_ON_LINK | autonomous;
  const network = prefixNetwork(prefix);
  return ndp.writePrefixOption(view, at, network, prefix.length, flags, PREFIX_VALID_SECONDS, PREFIX_PREFERRED_SECONDS);
}
