/**
 * `openTap`: a TAP or TUN device for any program, in this or another network namespace, set up and ready.
 *
 * It is made step by step (namespace, device, what ip(8) would set), and where one fails, what was there before is as it was.
 */
import { closeSync } from 'node:fs';
import { failure, type Result } from '../base/result.ts';
import { closeHostTap, type HostTap, openHostTap, removeHostTap, type TapOptions } from '../sys/host-tap.ts';
import { configureHostTap, type HostTapNetwork } from '../sys/host-tap-network.ts';
import { LinuxSys } from '../sys/linux.ts';
import { openNetworkNamespace } from '../sys/namespace-path.ts';
import { findLink, type Link } from '../sys/netlink/link.ts';
import type { OpenTapOptions, Tap } from './tap.ts';
import { OpenTap } from './tap-device.ts';
import { readTapOptions } from './tap-options.ts';
import { orThrow } from './tapster-error.ts';

let sys: LinuxSys | undefined;

/**
 * Opens a TAP or TUN device.
 *
 * ```js
 * const tap = await openTap({ name: 'tap0', addresses: ['10.0.0.1/24'] });
 * for await (const batch of tap) for (const frame of batch) console.log(frame.length);
 * ```
 *
 * Making an interface takes CAP_NET_ADMIN in its namespace; attaching to one that belongs to the user, or has no owner to say no, does not.
 * Fails with a `TapsterError`, and then nothing is left behind: `tap-option-invalid`, `tap-exists`, `tap-denied`, `tap-attach-missing`, `tap-attach-busy`,
 * `namespace-missing`, `host-tap-address-failed` (and so on, for each step) and more, each with a message that says what to do. With a `signal` that is
 * aborted already it fails with its reason.
 */
export async function openTap(options: OpenTapOptions = {}): Promise<Tap> {
  const read = readTapOptions(options);
  options.signal?.throwIfAborted();
  const host = openThere(options.namespace, read.tap);
  try {
    const [configured, link] = settle(host, read.network, options.attach === true);
    sys ??= new LinuxSys();
    return new OpenTap(sys, configured, link, options.signal);
  } catch (error) {
    // An interface that is attached to is somebody's, and stays.
    if (host.attached) closeHostTap(host);
    else removeHostTap(host);
    throw error;
  }
}

function openThere(namespace: string | undefined, options: TapOptions): HostTap {
  if (namespace === undefined) return orThrow(openHostTap(options));
  const { fd } = orThrow(openNetworkNamespace(namespace));
  const opened = openHostTap({ ...options, namespaceFd: fd });
  closeSync(fd);
  return orThrow(opened);
}

/** The tap when all that was asked for is set, and the link as it is then. */
function settle(host: HostTap, network: HostTapNetwork, attached: boolean): [HostTap, Link] {
  const before = orThrow(findLink(host.netlink, host.name));
  // Whoever may only attach could not bring it up; and who attaches to one that is down may want it so.
  const up = network.up ?? (attached ? before.up : true);
  const configured = orThrow(configureHostTap(host, { ...network, up }));
  return [configured, orThrow(found(findLink(configured.netlink, configured.name), host.name))];
}

function found(link: Result<Link>, name: string): Result<Link> {
  if (link.ok || link.failure.code !== 'interface-missing') return link;
  return failure('tap-lost', `${name} was deleted by somebody else while it was being opened`);
}
