/** Keeps the uplink's policy up to date with the DNS servers that the host asks (/etc/resolv.conf). */
import { RESOLV_CONF_PATH, readResolvConf, watchResolvConf } from '../sys/resolv-conf.ts';
import type { UplinkPolicy } from './uplink-policy.ts';

/** Tells the policy now, and whenever they change, until closed. */
export function followHostResolvers(
  policy: Pick<UplinkPolicy, 'setHostResolvers'>,
  path: string = RESOLV_CONF_PATH,
): { close(): void } {
  const watcher = watchResolvConf(({ nameservers }) => policy.setHostResolvers(nameservers), path);
  policy.setHostResolvers(readResolvConf(path).nameservers);
  return watcher;
}
