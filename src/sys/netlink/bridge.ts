/**
 * Membership in a bridge of the kernel's, over rtnetlink(7): a port is a link whose master (IFLA_MASTER) is the bridge.
 *
 * Not here: making bridges, and the settings of ports (IFLA_PROTINFO).
 */
import { failure, type Result } from '../../base/result.ts';
import { findLink, type Link, setLink } from './link.ts';
import type { Netlink } from './socket.ts';

const NO_MASTER = 0;

/** The bridge of this name, in the namespace of the socket. */
export function findBridge(netlink: Netlink, name: string): Result<Link> {
  const link = findLink(netlink, name);
  if (!link.ok) {
    if (link.failure.code !== 'interface-missing') return link;
    return failure('bridge-missing', `there is no bridge ${name}: make it with "ip link add ${name} type bridge"`);
  }
  if (link.value.kind === 'bridge') return link;
  return failure(
    'bridge-wrong-kind',
    `${name} is no bridge but ${link.value.kind ?? 'a device'}: give the name of a bridge`,
  );
}

/** Makes the interface a port of the bridge; of none when `bridgeIndex` is undefined. It leaves the one that it was in. */
export function setBridge(netlink: Netlink, index: number, bridgeIndex: number | undefined): Result<void> {
  return setLink(netlink, index, { master: bridgeIndex ?? NO_MASTER });
}
