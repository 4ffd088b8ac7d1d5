/** Published ports: opens the host's sockets of `--publish` rules, all or none. */
import { type IpAddress, isIpv4, parseIpAddress } from '../base/address.ts';
import { assert } from '../base/assert.ts';
import { LISTEN_BACKLOG } from '../base/limits.ts';
import { type Failure, failure, type Result, success } from '../base/result.ts';
import { ERRNO, errnoName } from '../sys/errno.ts';
import { SO, SOL } from '../sys/options.ts';
import { SOCKET_ADDRESS_WORDS, SOCKET_FAMILY, SOCKET_PROTOCOL, SOCKET_TYPE, type Sys } from '../sys/sys.ts';
import type { PublishRule } from './run-options.ts';
import { formatEndpoint } from './text.ts';

/** How often another port is tried when the one that the kernel picked for one family is taken in the other. */
const PICK_TRIES_MAX = 16;

export interface PublishedSocket {
  readonly rule: PublishRule;
  readonly fd: number;
  readonly address: IpAddress;
  /** The host's port. */
  readonly port: number;
  /** The guest's port. */
  readonly guestPort: number;
}

/** Opens and binds the sockets of all rules, those of TCP listening. `families`: which the guest has. */
export function openPublished(
  sys: Sys,
  rules: readonly PublishRule[],
  families: { readonly ipv4: boolean; readonly ipv6: boolean },
): Result<PublishedSocket[]> {
  const sockets: PublishedSocket[] = [];
  for (const rule of rules) {
    const addresses = addressesOf(rule, families);
    const opened = addresses.length === 0 ? withoutFamily(rule) : openRule(sys, rule, addresses);
    if (!opened.ok) {
      closeAll(sys, sockets);
      return opened;
    }
    sockets.push(...opened.value);
  }
  return success(sockets);
}

/** Empty: the guest has not the family of the rule's address. */
function addressesOf(rule: PublishRule, families: { readonly ipv4: boolean; readonly ipv6: boolean }): IpAddress[] {
  if (rule.address !== undefined) {
    return (isIpv4(rule.address) ? families.ipv4 : families.ipv6) ? [rule.address] : [];
  }
  return [...(families.ipv4 ? [ANY_IPV4] : []), ...(families.ipv6 ? [ANY_IPV6] : [])];
}

function withoutFamily(rule: PublishRule): Result<never> {
  return failure(
    'family-missing',
    `can't publish ${rule.address ?? 'any address'}: the command has no address of that family that callers could be led to`,
  );
}

function openRule(sys: Sys, rule: PublishRule, addresses: readonly IpAddress[]): Result<PublishedSocket[]> {
  if (rule.firstPort === 0) return openPicked(sys, rule, addresses);
  const sockets: PublishedSocket[] = [];
  for (let port = rule.firstPort; port <= rule.lastPort; port++) {
    const opened = openPort(sys, rule, addresses, port, (rule.toPort ?? rule.firstPort) + port - rule.firstPort);
    if (!opened.ok) {
      closeAll(sys, sockets);
      return opened;
    }
    sockets.push(...opened.value);
  }
  return success(sockets);
}

/** The kernel picks a port for the first address that there is; the others must have the same. */
function openPicked(sys: Sys, rule: PublishRule, addresses: readonly IpAddress[]): Result<PublishedSocket[]> {
  const [address, ...others] = addresses;
  for (let tries = 1; ; tries++) {
    const first = openSocket(sys, rule, address!, 0);
    if (!first.ok)
      return isDispensable(rule, first.failure) && others.length > 0 ? openPicked(sys, rule, others) : first;
    const port = localPort(sys, first.value);
    const guestPort = rule.toPort ?? port;
    const picked = { rule, fd: first.value, address: address!, port, guestPort };
    const rest = others.length === 0 ? success([]) : openPort(sys, rule, others, port, guestPort);
    if (rest.ok) return success([picked, ...rest.value]);
    if (isDispensable(rule, rest.failure)) return success([picked]);
    sys.close(first.value);
    if (rest.failure.code !== 'port-in-use' || tries === PICK_TRIES_MAX) return rest;
  }
}

/** Fails when there is no socket at all. */
function openPort(
  sys: Sys,
  rule: PublishRule,
  addresses: readonly IpAddress[],
  port: number,
  guestPort: number,
): Result<PublishedSocket[]> {
  const sockets: PublishedSocket[] = [];
  let missing: Result<never> | undefined;
  for (const address of addresses) {
    const opened = openSocket(sys, rule, address, port);
    if (opened.ok) sockets.push({ rule, fd: opened.value, address, port, guestPort });
    else if (isDispensable(rule, opened.failure)) missing = opened;
    else {
      closeAll(sys, sockets);
      return opened;
    }
  }
  return sockets.length > 0 || missing === undefined ? success(sockets) : missing;
}

/** A host without IPv6 publishes in IPv4 alone, unless an IPv6 address was asked for. */
function isDispensable(rule: PublishRule, reason: Failure): boolean {
  return reason.code === 'family-missing' && rule.address === undefined;
}

function closeAll(sys: Sys, sockets: readonly PublishedSocket[]): void {
  for (const socket of sockets) sys.close(socket.fd);
}

function openSocket(sys: Sys, rule: PublishRule, address: IpAddress, port: number): Result<number> {
  const family = isIpv4(address) ? SOCKET_FAMILY.INET : SOCKET_FAMILY.INET6;
  const stream = rule.protocol === 'tcp';
  const fd = sys.socket(family, stream ? SOCKET_TYPE.STREAM : SOCKET_TYPE.DGRAM, SOCKET_PROTOCOL.DEFAULT);
  if (fd < 0) return failed(rule, address, port, fd);
  if (stream) sys.setOption(fd, SOL.SOCKET, SO.REUSEADDR, 1);
  const bound = sys.bind(fd, Int32Array.of(address.w0, address.w1, address.w2, address.w3, port, 0));
  const error = bound < 0 || !stream ? bound : sys.listen(fd, LISTEN_BACKLOG);
  if (error >= 0) return success(fd);
  sys.close(fd);
  return failed(rule, address, port, error);
}

function failed(rule: PublishRule, address: IpAddress, port: number, error: number): Result<never> {
  const where = `${formatEndpoint(address.toString(), port)}/${rule.protocol}`;
  switch (-error) {
    case ERRNO.EADDRINUSE:
      return failure(
        'port-in-use',
        `can't publish ${where}: another program has it; choose another port, or 0 for any`,
      );
    case ERRNO.EACCES:
      return failure(
        'port-denied',
        `can't publish ${where}: ports below net.ipv4.ip_unprivileged_port_start are for root; choose a higher one, such as ${port + 8000}:${rule.toPort ?? port}`,
      );
    case ERRNO.EADDRNOTAVAIL:
      // What bind(2) says to :: where IPv6 is switched off.
      if (address === ANY_IPV6) return failure('family-missing', `can't publish ${where}: the host has no IPv6`);
      return failure(
        'address-not-local',
        `can't publish ${where}: the host has no interface with this address; see "ip address"`,
      );
    case ERRNO.EINVAL:
      return failure(
        'port-failed',
        `can't publish ${where}: EINVAL; a link-local address needs an interface, which can't be named here`,
      );
    case ERRNO.EAFNOSUPPORT:
      return failure('family-missing', `can't publish ${where}: the host has no such address family`);
    case ERRNO.EMFILE:
    case ERRNO.ENFILE:
      return failure(
        'descriptors-exhausted',
        `can't publish ${where}: no descriptors are left; publish fewer ports or raise "ulimit -n"`,
      );
    default:
      return failure('port-failed', `can't publish ${where}: ${errnoName(error)}`);
  }
}

function localPort(sys: Sys, fd: number): number {
  const address = new Int32Array(SOCKET_ADDRESS_WORDS);
  const error = sys.localAddress(fd, address);
  assert(error === 0, 'a bound socket has an address');
  return address[4]!;
}

const ANY_IPV4: IpAddress = known('0.0.0.0');
const ANY_IPV6: IpAddress = known('::');

function known(text: string): IpAddress {
  const address = parseIpAddress(text);
  assert(address !== undefined, `${text} is an address`);
  return address;
}
