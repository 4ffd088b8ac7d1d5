/**
 * `[ADDR:]PORT[-PORT][:[TOADDR:]TOPORT][/tcp|/udp]`: ports of the host that lead to somebody behind an interface. As `--publish` of `tapster run`, with the
 * address that they lead to: many may be behind one interface.
 */
import { type IpAddress, isIpv4, isMulticast, parseIpAddress } from '../base/address.ts';
import type { PublishConfig } from './config.ts';

/** Each port is a listening socket or two: a range is bounded so that a slip of the pen does not use up all descriptors. */
export const PUBLISHED_PORTS_MAX: number = 1024;

const PORT_MAX = 65_535;
const ADDRESS = String.raw`(?:(\d+\.\d+\.\d+\.\d+|\[[0-9a-fA-F:.]+\]):)?`;
const RULE: RegExp = new RegExp(
  String.raw`^${ADDRESS}(\d{1,5})(?:-(\d{1,5}))?(?::${ADDRESS}(\d{1,5}))?(?:/(tcp|udp))?$`,
);
const RIGHT = 'write [ADDR:]PORT[-PORT][:[TOADDR:]TOPORT][/tcp|/udp], such as 8080:80 or 8080:[fd00::2]:80/udp';

/** The rule, or a sentence that says what is wrong with it. */
export function parsePublish(text: string): PublishConfig | string {
  const match = RULE.exec(text);
  if (match === null) return RIGHT;
  const [, at, first, last, to, toPort, protocol] = match;
  const address = inBrackets(at);
  const toAddress = inBrackets(to);
  if (address === null || toAddress === null) return `not an address; ${RIGHT}`;
  if (address !== undefined && isMulticast(address)) return 'nobody can listen at a multicast address';
  const firstPort = Number(first);
  const lastPort = Number(last ?? first);
  const inside = Number(toPort ?? first);
  if (firstPort === 0 || inside === 0) return 'port 0 is no port: name the ones to publish';
  if (lastPort < firstPort) return `the range runs backwards: write ${lastPort}-${firstPort}`;
  const count = lastPort - firstPort + 1;
  if (lastPort > PORT_MAX || inside + count - 1 > PORT_MAX) return `ports end at ${PORT_MAX}`;
  if (count > PUBLISHED_PORTS_MAX) return `${count} ports in one rule: ${PUBLISHED_PORTS_MAX} at most`;
  return { protocol: protocol === 'udp' ? 'udp' : 'tcp', address, firstPort, lastPort, toAddress, toPort: inside };
}

export function formatPublish(rule: PublishConfig): string {
  const { protocol, address, firstPort, lastPort, toAddress, toPort } = rule;
  const range = firstPort === lastPort ? `${firstPort}` : `${firstPort}-${lastPort}`;
  return `${prefix(address)}${range}:${prefix(toAddress)}${toPort}/${protocol}`;
}

function prefix(address: IpAddress | undefined): string {
  if (address === undefined) return '';
  return isIpv4(address) ? `${address}:` : `[${address}]:`;
}

/** Undefined: there is none. Null: it is none. */
function inBrackets(text: string | undefined): IpAddress | undefined | null {
  return text === undefined ? undefined : (parseIpAddress(text.replace(/[[\]]/g, '')) ?? null);
}
