/** What slirp4netns can be asked for and Tapster does not do: refused by name, never passed over. */
import type { Slirp4netnsOptions } from './slirp4netns-options.ts';

/** The first thing that can't be done, as a sentence; undefined: all can. */
export function whyNotSlirp4netns({ target, outboundIpv4, outboundIpv6 }: Slirp4netnsOptions): string | undefined {
  if (target.kind === 'bess')
    return '--target-type bess: User Mode Linux is not served; use "tapster guest" for machines';
  if (target.kind === 'tap') return '--netns-type tapfd: the tap is always our own; use pid or path';
  if (outboundIpv4 !== undefined)
    return `--outbound-addr ${outboundIpv4}: sockets are not bound; use a route of the host's`;
  if (outboundIpv6 !== undefined)
    return `--outbound-addr6 ${outboundIpv6}: sockets are not bound; use a route of the host's`;
  return undefined;
}
