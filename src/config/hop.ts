/**
 * Where a route leads, as one word:
 *
 * | text           | leads to                                                              |
 * | -------------- | --------------------------------------------------------------------- |
 * | `10.0.0.2`     | that router, on the interface in whose network it lies                |
 * | `fe80::1%tap0` | that router, on the interface behind the `%` (as in RFC 4007)          |
 * | `tap0`         | whoever has the destination's address, on that interface              |
 * | `uplink`       | sockets of the host                                                   |
 * | `drop`         | nowhere                                                               |
 */
import { isMulticast, isUnspecified, parseIpAddress } from '../base/address.ts';
import type { Hop } from './config.ts';

/** An interface, a sub-interface, or a BVI. */
export const PORT_NAME: RegExp = /^[a-zA-Z][\w-]{0,30}(\.[\w-]{1,31})?$/;

export function formatHop(hop: Hop): string {
  if (hop.kind === 'interface') return hop.interface ?? '';
  if (hop.kind !== 'address') return hop.kind;
  return hop.interface === undefined ? `${hop.address}` : `${hop.address}%${hop.interface}`;
}

export function readHop(text: string, weight: number): Hop | undefined {
  if (text === 'uplink' || text === 'drop') return { kind: text, weight };
  const [written = '', zone, ...more] = text.split('%');
  const address = parseIpAddress(written);
  if (address !== undefined && more.length === 0 && !isUnspecified(address) && !isMulticast(address)) {
    if (zone === undefined) return { kind: 'address', address, weight };
    return PORT_NAME.test(zone) ? { kind: 'address', address, interface: zone, weight } : undefined;
  }
  return PORT_NAME.test(text) ? { kind: 'interface', interface: text, weight } : undefined;
}
