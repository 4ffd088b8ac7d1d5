/** The MAC address of the interface inside: unicast and locally administered (IEEE 802, section 8.2: the two low bits of the first byte are 10). */
import { formatMacAddress, MacAddress, parseMacAddress } from '../../base/address.ts';
import { type Parsed, parsed, wrong } from './parsed.ts';

const MULTICAST = 0x0100;
const LOCAL = 0x0200;

const RIGHT = 'Use six pairs of hexadecimal digits of a local unicast address, for example 02:00:00:00:00:01.';

export function parseMac(text: string): Parsed<MacAddress> {
  const mac = parseMacAddress(text);
  if (mac === undefined) return wrong('not a MAC address', RIGHT);
  if ((mac.high & MULTICAST) !== 0) return wrong("a multicast address can't be an interface's own", RIGHT);
  if ((mac.high & LOCAL) === 0) {
    const local = formatMacAddress(new MacAddress(mac.high | LOCAL, mac.low));
    return wrong("belongs to a manufacturer's device", `Set the "locally administered" bit: ${local}.`);
  }
  return parsed(mac);
}
