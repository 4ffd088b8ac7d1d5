/**
 * Hops and traffic classes that the host's sockets are told, and tell. Most packets have those that a socket sends with anyway; what differs
 * means something, as to traceroute, and is carried over.
 */
import * as ipv4 from '../wire/ipv4.ts';
import * as ipv6 from '../wire/ipv6.ts';

/** What nearly all hosts send with. */
export const HOPS_DEFAULT = 64;

/** The socket's own: what `SendQueue.add` takes where nothing is to be carried over. */
const OWN = -1;

/** The hops that a packet of either version has left, `OWN` where these are the usual ones. */
export function carriedHops(view: DataView, network: number): number {
  const hops = isIpv4(view, network) ? ipv4.timeToLive(view, network) : ipv6.hopLimit(view, network);
  return hops === HOPS_DEFAULT ? OWN : hops;
}

/** The traffic class of a packet of either version, `OWN` where it is 0. */
export function carriedClass(view: DataView, network: number): number {
  const trafficClass = isIpv4(view, network) ? ipv4.typeOfService(view, network) : ipv6.trafficClass(view, network);
  return trafficClass === 0 ? OWN : trafficClass;
}

/** Of what a socket tells: it may not know. */
export function toldHops(hops: number): number {
  return hops < 1 ? HOPS_DEFAULT : hops;
}

function isIpv4(view: DataView, network: number): boolean {
  return view.getUint8(network) >>> 4 === 4;
}
