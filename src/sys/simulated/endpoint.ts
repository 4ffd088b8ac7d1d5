/** Socket addresses as values, for the simulated network; between the calls they travel as words (see `sys.ts`). */
import { formatIpAddress, IpAddress, isIpv4, isLoopback, isUnspecified, parseIpAddress } from '../../base/address.ts';
import { SOCKET_FAMILY } from '../sys.ts';

export interface Endpoint {
  readonly address: IpAddress;
  readonly port: number;
  readonly scope: number;
}

/** `endpoint('192.0.2.1', 80)`. */
export function endpoint(address: string, port: number): Endpoint {
  return { address: ipAddress(address), port, scope: 0 };
}

/** Reads an address that a test wrote; a mistake there throws. */
export function ipAddress(text: string): IpAddress {
  const address = parseIpAddress(text);
  if (address === undefined) throw new Error(`not an IP address: ${text}`);
  return address;
}

export function readEndpoint(words: Int32Array, at: number): Endpoint {
  const address = new IpAddress(words[at]!, words[at + 1]!, words[at + 2]!, words[at + 3]!);
  return { address, port: words[at + 4]!, scope: words[at + 5]! };
}

export function writeEndpoint(words: Int32Array, at: number, from: Endpoint): void {
  words[at] = from.address.w0;
  words[at + 1] = from.address.w1;
  words[at + 2] = from.address.w2;
  words[at + 3] = from.address.w3;
  words[at + 4] = from.port;
  words[at + 5] = from.scope;
}

export function endpointText(from: Endpoint): string {
  const address = formatIpAddress(from.address);
  return isIpv4(from.address) ? `${address}:${from.port}` : `[${address}]:${from.port}`;
}

export function familyOf(address: IpAddress): number {
  return isIpv4(address) ? SOCKET_FAMILY.INET : SOCKET_FAMILY.INET6;
}

export function unspecified(family: number): Endpoint {
  return endpoint(family === SOCKET_FAMILY.INET ? '0.0.0.0' : '::', 0);
}

/** The address that the simulated host has on its way to `to`. */
export function sourceTowards(to: IpAddress): IpAddress {
  if (isLoopback(to) || isUnspecified(to)) return ipAddress(isIpv4(to) ? '127.0.0.1' : '::1');
  return ipAddress(isIpv4(to) ? '192.0.2.2' : '2001:db8::2');
}
