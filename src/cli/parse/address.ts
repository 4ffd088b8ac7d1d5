/** Addresses and prefixes of options, each judged for the use that it is put to. */
import {
  equalAddress,
  type IpAddress,
  type IpPrefix,
  isIpv4,
  isLoopback,
  isMulticast,
  isUnspecified,
  parseIpAddress,
  parseIpPrefix,
  prefixNetwork,
} from '../../base/address.ts';
import { type Parsed, parsed, wrong } from './parsed.ts';

const BROADCAST = -1;

/** `--address A/P`: the address of the interface inside and the length of its prefix. */
export function parseInterfaceAddress(text: string): Parsed<IpPrefix> {
  const right = 'Use an address and its prefix length, for example 192.0.2.15/24 or 2001:db8::15/64.';
  const bare = parseIpAddress(text);
  if (bare !== undefined) {
    return wrong('has no prefix length', `Append it: ${text}/${isIpv4(bare) ? 24 : 64}.`);
  }
  const prefix = parseIpPrefix(text);
  if (prefix === undefined) {
    const slash = text.indexOf('/');
    const address = slash < 0 ? undefined : parseIpAddress(text.slice(0, slash));
    if (address === undefined) return wrong('not an address', right);
    return wrong(
      `"${text.slice(slash + 1)}" is not a prefix length`,
      `Use a number from 1 to ${isIpv4(address) ? 32 : 128}.`,
    );
  }
  if (prefix.length === 0) return wrong('a prefix of length 0 is the default route, not a network', right);
  const unusable = notAnInterfaces(prefix.address);
  if (unusable !== undefined) return wrong(unusable, right);
  return isNetworkOrBroadcast(prefix) ? wrong("is the network's own or its broadcast address", right) : parsed(prefix);
}

/** `--gateway A`, which is also the address at which Tapster itself answers inside. */
export function parseGateway(text: string): Parsed<IpAddress> {
  return parseUnicast(text, 'Use the address of a router, for example 192.0.2.1 or fe80::1.');
}

/** `--dns A`: asked by the command itself, so that any unicast address will do, one on its own loopback too. */
export function parseDnsAddress(text: string): Parsed<IpAddress> {
  const right = 'Use the address of a DNS server, for example 9.9.9.9 or 2620:fe::fe.';
  const address = parseIpAddress(text);
  if (address === undefined) return wrong(notAnAddress(text), right);
  if (isMulticast(address) || isUnspecified(address) || isBroadcast(address))
    return wrong('is no unicast address', right);
  return parsed(address);
}

/** `--host-loopback [ADDR]`: where the host's own loopback answers inside; without a value, or with `gateway`, at the gateway. */
export function parseHostLoopback(text: string): Parsed<'gateway' | IpAddress> {
  return text === 'gateway'
    ? parsed('gateway')
    : parseUnicast(text, 'Use an address that nothing else inside has, for example 192.0.2.1, or "gateway".');
}

function parseUnicast(text: string, right: string): Parsed<IpAddress> {
  const address = parseIpAddress(text);
  if (address === undefined) return wrong(notAnAddress(text), right);
  const unusable = notAnInterfaces(address);
  return unusable === undefined ? parsed(address) : wrong(unusable, right);
}

function notAnAddress(text: string): string {
  if (text.includes('%')) return 'an address here has no zone ("%...")';
  if (text.startsWith('[')) return 'an address here stands without brackets';
  return 'not an address';
}

function notAnInterfaces(address: IpAddress): string | undefined {
  if (isUnspecified(address)) return 'is the unspecified address';
  if (isLoopback(address)) return 'is a loopback address, which never leaves the command';
  if (isMulticast(address)) return 'is a multicast address';
  if (isBroadcast(address)) return 'is the broadcast address';
  return undefined;
}

function isBroadcast(address: IpAddress): boolean {
  return isIpv4(address) && address.w3 === BROADCAST;
}

/** RFC 919; prefixes of 31 and 32 have neither (RFC 3021). In IPv6 the first address is the routers' anycast, which a host may well use. */
function isNetworkOrBroadcast(prefix: IpPrefix): boolean {
  if (!isIpv4(prefix.address) || prefix.length >= 31) return false;
  const hostBits = (1 << (32 - prefix.length)) - 1;
  return equalAddress(prefix.address, prefixNetwork(prefix)) || (prefix.address.w3 & hostBits) === hostBits;
}
