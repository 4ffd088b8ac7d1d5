/** Why ports can't be forwarded, as sentences that say what to do. */
import { DATAGRAM_LISTENERS_MAX } from '../base/limits.ts';
import { failure, type Result } from '../base/result.ts';
import { ERRNO, errnoName } from '../sys/errno.ts';
import type { Forward, ForwardPlace } from './forward-places.ts';
import { formatEndpoint } from './text.ts';

/** `error`: -errno of making, binding or listening at one port. */
export function portFailure(
  { direction, protocol }: Forward,
  place: ForwardPlace,
  port: number,
  error: number,
): Result<never> {
  const where = direction === 'in' ? 'the host' : 'the namespace';
  const what = `can't forward ${formatEndpoint(place.address.toString(), port)}/${protocol} of ${where}`;
  switch (-error) {
    case ERRNO.EADDRINUSE:
      return failure('port-in-use', `${what}: another program has it; choose another port`);
    case ERRNO.EACCES:
      return failure(
        'port-denied',
        `${what}: ports below net.ipv4.ip_unprivileged_port_start are for root; choose a higher one, such as ${port + 8000}:${port}`,
      );
    case ERRNO.EADDRNOTAVAIL:
      return failure('address-not-local', `${what}: no interface there has this address; see "ip address"`);
    case ERRNO.ENODEV:
      return failure('interface-missing', `${what}: there is no interface ${place.device}; see "ip link"`);
    case ERRNO.EAFNOSUPPORT:
      return failure('family-missing', `${what}: there is no such address family`);
    case ERRNO.ENOSPC:
      return failure('too-many-ports', `${what}: ${DATAGRAM_LISTENERS_MAX} UDP ports are forwarded already`);
    case ERRNO.EMFILE:
    case ERRNO.ENFILE:
      return failure('descriptors-exhausted', `${what}: no descriptors are left; name fewer ports`);
    default:
      return failure('port-failed', `${what}: ${errnoName(error)}`);
  }
}

/** More ports than there may be descriptors: each needs `perPort`, and `available` are left. */
export function tooManyPorts(
  { protocol }: Forward,
  ports: number,
  perPort: number,
  available: number,
  limit: number,
): Result<never> {
  const possible = Math.max(0, Math.floor(available / perPort));
  const each = perPort === 1 ? 'a descriptor' : `${perPort} descriptors`;
  return failure(
    'descriptors-exhausted',
    `can't forward ${ports} ${protocol.toUpperCase()} ports: each takes ${each}, and this process may have ${limit}: ${possible} ports at most; ` +
      'raise the hard limit ("ulimit -Hn", or LimitNOFILE= of a service), or name fewer ports',
  );
}

/** There is nothing on the other side that they could lead to. */
export function noWay({ protocol, rule }: Forward): Result<never> {
  const { address, firstPort } = rule;
  return failure(
    'family-missing',
    `can't forward ${formatEndpoint(address === undefined ? 'any address' : address.toString(), address === undefined ? undefined : firstPort)}/${protocol}: nobody on the other side has an address of that family`,
  );
}

/** Ports of a namespace lead to the host by splicing alone. */
export function noSplice({ protocol, rule }: Forward): Result<never> {
  return failure(
    'splice-missing',
    `can't forward port ${rule.firstPort}/${protocol} of the namespace: it would lead to the host without the tap, which --no-splice forbids`,
  );
}
