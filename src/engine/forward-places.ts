/**
 * Which sockets the ports of a forward need, as values.
 *
 * | forward                          | sockets of each port                                                                     |
 * | -------------------------------- | ---------------------------------------------------------------------------------------- |
 * | TCP to the namespace             | one, of both families where none is named: callers are told apart when they are accepted |
 * | UDP to the namespace             | of each family one for the guest, and one beside it at the loopback, whose datagrams are spliced: the kernel tells senders apart |
 * | either from the namespace        | of each family one at the loopback in there                                              |
 */
import { IpAddress, ipv4Address, isIpv4, isLoopback, isUnspecified } from '../base/address.ts';
import { SOCKET_FAMILY } from '../sys/sys.ts';
import type { ForwardRule } from './forward-rules.ts';

export type ForwardProtocol = 'tcp' | 'udp';
/** `in`: from the host to the namespace or the machine; `out`: from the namespace to the host. */
export type ForwardDirection = 'in' | 'out';

export interface Forward {
  readonly direction: ForwardDirection;
  readonly protocol: ForwardProtocol;
  readonly rule: ForwardRule;
}

export interface ForwardPlace {
  readonly family: number;
  readonly address: IpAddress;
  /** Of IPv4 too. */
  readonly dual: boolean;
  readonly device: string | undefined;
  /** Where datagrams go on; for TCP callers decide that. */
  readonly by: 'splice' | 'guest';
  /** Nobody asked for this family: it may be missing. */
  readonly dispensable: boolean;
}

/** What there is on the other side, and on this one. */
export interface ForwardWays {
  /** What was asked for, whatever there is. */
  readonly families: 'both' | '4' | '6';
  /** Families that the guest has, or both where there is none. */
  readonly ipv4: boolean;
  readonly ipv6: boolean;
  /** Whether there is a guest behind a link, and whether sockets of its namespace can be had. */
  readonly guest: boolean;
  readonly splice: boolean;
  /** Whether the host has IPv6. */
  readonly hostIpv6: boolean;
}

/** Empty: there is no way. */
export function placesOf({ direction, protocol, rule }: Forward, ways: ForwardWays): ForwardPlace[] {
  if (direction === 'out') return atLoopback(rule).filter(({ address }) => isWanted(ways, address));
  return protocol === 'tcp' ? ofCallers(rule, ways) : ofDatagrams(rule, ways);
}

/** Whether what the forward leads to can only be reached by splicing: the namespace's loopback. */
export function isSpliceOnly({ toAddress }: ForwardRule): boolean {
  return toAddress !== undefined && isLoopback(toAddress);
}

function atLoopback(rule: ForwardRule): ForwardPlace[] {
  if (rule.address !== undefined) {
    if (!isUnspecified(rule.address)) return [place(rule.address, rule.interfaceName, 'splice', false)];
    return [place(isIpv4(rule.address) ? LOOPBACK_IPV4 : LOOPBACK_IPV6, rule.interfaceName, 'splice', false)];
  }
  const wanted = familiesOf(rule);
  return [
    ...(wanted.ipv4 ? [place(LOOPBACK_IPV4, rule.interfaceName, 'splice', true)] : []),
    ...(wanted.ipv6 ? [place(LOOPBACK_IPV6, rule.interfaceName, 'splice', true)] : []),
  ];
}

function ofCallers(rule: ForwardRule, ways: ForwardWays): ForwardPlace[] {
  const { address, interfaceName } = rule;
  if (!ways.guest && !ways.splice) return [];
  if (address !== undefined) return has(ways, address) ? [place(address, interfaceName, 'guest', false)] : [];
  const wanted = familiesOf(rule);
  const ipv4 = ways.ipv4 && wanted.ipv4;
  const ipv6 = ways.ipv6 && wanted.ipv6 && ways.hostIpv6;
  if (ipv4 && ipv6) return [{ ...place(ANY_IPV6, interfaceName, 'guest', false), dual: true }];
  if (ipv4) return [place(ANY_IPV4, interfaceName, 'guest', false)];
  return ipv6 ? [place(ANY_IPV6, interfaceName, 'guest', false)] : [];
}

function ofDatagrams(rule: ForwardRule, ways: ForwardWays): ForwardPlace[] {
  const { address, interfaceName } = rule;
  const guest = ways.guest && !isSpliceOnly(rule);
  // The loopback's senders come by no other interface.
  const splice = ways.splice && (interfaceName === undefined || interfaceName === 'lo');
  const places: ForwardPlace[] = [];
  const wanted = familiesOf(rule);
  for (const any of address === undefined ? [ANY_IPV4, ANY_IPV6] : [address]) {
    const ipv4 = isIpv4(any);
    if (!has(ways, any) || !(ipv4 ? wanted.ipv4 : wanted.ipv6) || (!ipv4 && !ways.hostIpv6)) continue;
    const dispensable = address === undefined;
    const isAny = isUnspecified(any);
    if (guest && !(splice && isLoopback(any))) places.push(place(any, interfaceName, 'guest', dispensable));
    const local = isAny ? (ipv4 ? LOOPBACK_IPV4 : LOOPBACK_IPV6) : any;
    if (splice && isLoopback(local)) places.push(place(local, interfaceName, 'splice', dispensable));
  }
  // Those of the guest first: who has their port has the other's.
  return places.sort((a, b) => (a.by === b.by ? 0 : a.by === 'guest' ? -1 : 1));
}

function isWanted({ families }: ForwardWays, address: IpAddress): boolean {
  return families === 'both' || (families === '4') === isIpv4(address);
}

/** A target is of one family. */
function familiesOf({ toAddress }: ForwardRule): { readonly ipv4: boolean; readonly ipv6: boolean } {
  if (toAddress === undefined) return { ipv4: true, ipv6: true };
  return { ipv4: isIpv4(toAddress), ipv6: !isIpv4(toAddress) };
}

function has(ways: ForwardWays, address: IpAddress): boolean {
  return isIpv4(address) ? ways.ipv4 : ways.ipv6;
}

function place(
  address: IpAddress,
  device: string | undefined,
  by: ForwardPlace['by'],
  dispensable: boolean,
): ForwardPlace {
  const family = isIpv4(address) ? SOCKET_FAMILY.INET : SOCKET_FAMILY.INET6;
  return { family, address, dual: false, device, by, dispensable };
}

const ANY_IPV4: IpAddress = ipv4Address(0);
const ANY_IPV6: IpAddress = new IpAddress(0, 0, 0, 0);
export const LOOPBACK_IPV4: IpAddress = ipv4Address(0x7f000001);
export const LOOPBACK_IPV6: IpAddress = new IpAddress(0, 0, 0, 1);
