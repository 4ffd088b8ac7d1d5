/**
 * Taps of a host's kernel (linux/if_tun.h): made or attached to, in our own network namespace or in another one, with one descriptor for each queue.
 *
 * An interface belongs to the namespace in which its descriptor of /dev/net/tun was opened, so only that is done inside (namespace-path.ts). Such descriptors keep
 * the namespace alive, like the netlink socket that comes with them. An interface that was made here and moved there later (host-tap-network.ts) is deleted with the
 * namespace, as long as no socket of ours is inside.
 *
 * It is there until the last descriptor is closed, or until it is deleted when it persists. If somebody else deletes it, reading gives EBADFD.
 *
 * Not here: addresses and all else that other programs set with ip(8): host-tap-network.ts.
 */
import { closeSync } from 'node:fs';
import { INTERFACE_NAME_BYTES_MAX } from '../base/limits.ts';
import { failure, type Result, success } from '../base/result.ts';
import { ERRNO, errnoName } from './errno.ts';
import { tunDeviceFailure } from './namespace-failures.ts';
import { openInside, TAPS_INSIDE_MAX } from './namespace-path.ts';
import { findLink, type Link } from './netlink/link.ts';
import { Netlink } from './netlink/socket.ts';
import {
  IFF,
  negotiateOffloads,
  TUN_F,
  tunFeatures,
  tunInterfaceName,
  tunOpenDevice,
  tunSetCarrier,
  tunSetGroup,
  tunSetInterface,
  tunSetOwner,
  tunSetPersist,
  tunSetSendBuffer,
} from './tun.ts';

/** What dev_valid_name() of the kernel takes; of the percent sign, %d once. */
const NAME_PATTERN = /^(?!\.{1,2}$)[^\s/:\0%]*(%d)?[^\s/:\0%]*$/;

/** What has room for every frame. It is the kernel's own choice for a new tap, but not for one that another program has opened. */
const SEND_BUFFER_UNLIMITED = 0x7fffffff;

/** IFF_TUN and IFF_TAP: frames are IP packets, or Ethernet frames. */
export type TapMode = 'tap' | 'tun';

/** Which unfinished frames we take: none, such without checksums, and such that are not segmented either. */
export type OffloadLevel = 'off' | 'checksum' | 'segmentation';

export interface TapOptions {
  /** A `%d` in it becomes the lowest free number. Left out: `tap%d`, or `tun%d`. To attach it takes a full name. */
  readonly name?: string | undefined;
  readonly mode?: TapMode;
  /** One descriptor each. */
  readonly queues?: number;
  /** IFF_MULTI_QUEUE even for one queue: further ones may come. Left out: for two and more. */
  readonly multiQueue?: boolean;
  /** Where the interface is, or is to be. Left out: in our own namespace. The caller keeps it. */
  readonly namespaceFd?: number | undefined;
  /** A user namespace to join on the way there. Left out: the one that owns the namespace, where that is needed. */
  readonly userNamespaceFd?: number | undefined;
  /** The interface is there already. Without, it must not be. */
  readonly attach?: boolean;
  /** It stays when we end. */
  readonly persist?: boolean;
  /** Who may attach to a new one without privilege. */
  readonly owner?: number | undefined;
  readonly group?: number | undefined;
  /** A virtio-net header of 12 bytes in front of each frame, which offloads need. Left out: yes. */
  readonly vnetHeader?: boolean;
  /** Left out: the best that the kernel has. */
  readonly offloads?: OffloadLevel;
}

export interface HostTap {
  readonly name: string;
  readonly index: number;
  readonly mode: TapMode;
  /** Non-blocking, one for each queue. */
  readonly fds: readonly number[];
  /** In the namespace that the interface is in. */
  readonly netlink: Netlink;
  readonly attached: boolean;
  readonly persistent: boolean;
  readonly hasVnetHeader: boolean;
  /** `TUN_F`. */
  readonly offloads: number;
}

/** What the caller then owns is given back with `closeHostTap`. After a failure there is nothing left. */
export function openHostTap(options: TapOptions): Result<HostTap> {
  const invalid = checkOptions(options);
  if (invalid !== undefined) return invalid;
  const devices = openDevices(options, options.queues ?? 1);
  if (!devices.ok) return devices;
  const tap = makeInterface(devices.value, options);
  if (!tap.ok) closeDevices(devices.value);
  return tap;
}

/** Closes all descriptors. The interface goes with them, unless it persists. */
export function closeHostTap(tap: HostTap): void {
  closeDevices(tap);
}

/** Closes all descriptors, and the interface goes, even one that persisted: others that have it open keep it until they close it. */
export function removeHostTap(tap: HostTap): Result<void> {
  const result = tunSetPersist(tap.fds[0]!, 0);
  closeDevices(tap);
  // Deleted by somebody else: it is gone, as was wanted.
  if (result === 0 || result === -ERRNO.EBADFD) return success(undefined);
  return failure('tap-remove-failed', `${tap.name} can not be made to go: ${errnoName(result)}`);
}

/** Whether the interface sees a cable: tells the host whether our side of it is up. */
export function setTapCarrier(tap: HostTap, carrier: boolean): Result<void> {
  const result = tunSetCarrier(tap.fds[0]!, carrier ? 1 : 0);
  if (result === 0) return success(undefined);
  return failure('tap-carrier-failed', `the carrier of ${tap.name} can not be set: ${errnoName(result)}`);
}

/** Changes at run time which unfinished frames the kernel may hand to us: the `TUN_F` that it has then. Frames that it has queued already stay as they are. */
export function setTapOffloads(tap: HostTap, level: OffloadLevel): Result<number> {
  return setOffloads(tap.fds[0]!, tap.name, tap.hasVnetHeader, level);
}

interface Devices {
  readonly netlink: Netlink;
  readonly fds: readonly number[];
}

function checkOptions(options: TapOptions): Result<never> | undefined {
  const { name, queues = 1, attach = false } = options;
  if (!Number.isInteger(queues) || queues < 1 || queues > TAPS_INSIDE_MAX) {
    return failure('tap-queues-invalid', `a tap has 1 to ${TAPS_INSIDE_MAX} queues, not ${queues}`);
  }
  if (queues > 1 && options.multiQueue === false) {
    return failure('tap-queues-invalid', `${queues} queues take IFF_MULTI_QUEUE: leave multiQueue out`);
  }
  if (
    name !== undefined &&
    (name === '' || !NAME_PATTERN.test(name) || Buffer.byteLength(name) > INTERFACE_NAME_BYTES_MAX)
  ) {
    return failure(
      'tap-name-invalid',
      `${JSON.stringify(name)} can not be the name of an interface: give up to ${INTERFACE_NAME_BYTES_MAX} characters without space, slash, colon and percent sign; %d becomes a free number`,
    );
  }
  if (attach && (name === undefined || name.includes('%'))) {
    return failure('tap-attach-nameless', 'attaching to an interface takes its full name');
  }
  if (attach && (options.owner !== undefined || options.group !== undefined)) {
    return failure('tap-attach-owner', `owner and group are given when ${name} is made, not when it is attached to`);
  }
  return undefined;
}

function openDevices({ namespaceFd, userNamespaceFd }: TapOptions, queues: number): Result<Devices> {
  if (namespaceFd !== undefined) {
    const inside = openInside(namespaceFd, queues, userNamespaceFd);
    if (!inside.ok) return inside;
    return success({ netlink: new Netlink(inside.value.netlinkFd), fds: inside.value.tunFds });
  }
  const netlink = Netlink.open();
  if (!netlink.ok) return netlink;
  const fds: number[] = [];
  while (fds.length < queues) {
    const fd = tunOpenDevice();
    if (fd < 0) {
      closeDevices({ netlink: netlink.value, fds });
      return tunDeviceFailure(-fd);
    }
    fds.push(fd);
  }
  return success({ netlink: netlink.value, fds });
}

function closeDevices({ netlink, fds }: Devices): void {
  for (const fd of fds) closeSync(fd);
  netlink.close();
}

function makeInterface(devices: Devices, options: TapOptions): Result<HostTap> {
  const { netlink, fds } = devices;
  const { mode = 'tap', queues = 1, attach = false, vnetHeader = true, persist = false } = options;
  const flags =
    (mode === 'tun' ? IFF.TUN : IFF.TAP) |
    IFF.NO_PI |
    (vnetHeader ? IFF.VNET_HDR : 0) |
    ((options.multiQueue ?? queues > 1) ? IFF.MULTI_QUEUE : 0);
  const known = checkFeatures(fds[0]!, flags);
  if (!known.ok) return known;
  const existing = attach ? findLink(netlink, options.name!) : undefined;
  if (existing?.ok === false) return attachMissing(options.name!, existing);
  const name = attachQueues(fds, options.name ?? `${mode}%d`, flags, attach);
  if (!name.ok) return name;
  const link = findLink(netlink, name.value);
  if (!link.ok) return link;
  if (existing?.ok === true && existing.value.index !== link.value.index) {
    return failure('tap-attach-missing', `the interface ${name.value} went away while it was being attached to`);
  }
  return settle(devices, options, link.value, flags, persist);
}

/** The settings of the interface as a whole. To persist comes last, so that a failure leaves nothing behind. */
function settle(
  { netlink, fds }: Devices,
  options: TapOptions,
  { name, index }: Link,
  flags: number,
  persist: boolean,
): Result<HostTap> {
  const fd = fds[0]!;
  const { owner, group, attach = false, mode = 'tap' } = options;
  const hasVnetHeader = (flags & IFF.VNET_HDR) !== 0;
  const offloads = setOffloads(fd, name, hasVnetHeader, options.offloads ?? 'segmentation');
  if (!offloads.ok) return offloads;
  const settings: readonly (readonly [what: string, result: number])[] = [
    ['an unlimited send buffer', tunSetSendBuffer(fd, SEND_BUFFER_UNLIMITED)],
    [`the owner ${owner}`, owner === undefined ? 0 : tunSetOwner(fd, owner)],
    [`the group ${group}`, group === undefined ? 0 : tunSetGroup(fd, group)],
  ];
  for (const [what, result] of settings) {
    if (result < 0) return failure('tap-setting-failed', `${name} does not take ${what}: ${errnoName(result)}`);
  }
  const kept = persist ? tunSetPersist(fd, 1) : 0;
  if (kept < 0) return failure('tap-setting-failed', `${name} can not be made to persist: ${errnoName(kept)}`);
  const persistent = persist || attach;
  return success({
    ...{ name, index, mode, fds, netlink, attached: attach, persistent },
    ...{ hasVnetHeader, offloads: offloads.value },
  });
}

function checkFeatures(fd: number, flags: number): Result<void> {
  const features = tunFeatures(fd);
  if (features < 0)
    return failure('tap-failed', `the kernel does not tell what its taps can do: ${errnoName(features)}`);
  const missing = flags & ~features;
  if ((missing & IFF.MULTI_QUEUE) !== 0) {
    return failure(
      'tap-queues-unsupported',
      'this kernel has no taps with several queues (IFF_MULTI_QUEUE): ask for one, or take Linux 3.8 or newer',
    );
  }
  if ((missing & IFF.VNET_HDR) !== 0) {
    return failure(
      'tap-header-unsupported',
      'this kernel has no taps with virtio-net headers (IFF_VNET_HDR): do without offloads, or take Linux 2.6.27 or newer',
    );
  }
  return success(undefined);
}

/** Gives every descriptor its queue of the interface: the name of it. */
function attachQueues(fds: readonly number[], wanted: string, flags: number, attach: boolean): Result<string> {
  let name = wanted;
  for (const [queue, fd] of fds.entries()) {
    const isNew = queue === 0 && !attach;
    const result = tunSetInterface(fd, name, isNew ? flags | IFF.EXCLUSIVE : flags);
    if (result < 0) return isNew ? makeFailure(name, -result) : attachFailure(name, -result, queue);
    const given = tunInterfaceName(fd);
    if (typeof given === 'number') return failure('tap-failed', `${name} was lost: ${errnoName(given)}`);
    name = given;
  }
  return success(name);
}

function setOffloads(fd: number, name: string, hasVnetHeader: boolean, level: OffloadLevel): Result<number> {
  // Without headers nothing can say what is unfinished.
  if (!hasVnetHeader) return success(0);
  const allowed = level === 'segmentation' ? ~0 : level === 'checksum' ? TUN_F.CSUM : 0;
  const offloads = negotiateOffloads(fd, allowed);
  if (offloads >= 0) return success(offloads);
  return failure('tap-offloads-failed', `the offloads of ${name} can not be set: ${errnoName(offloads)}`);
}

function makeFailure(name: string, errno: number): Result<never> {
  const error = errnoName(errno);
  if (errno === ERRNO.EBUSY || errno === ERRNO.EEXIST) {
    return failure(
      'tap-exists',
      `there is an interface ${name} already (${error}): take another name, or attach to it if it is a tap`,
    );
  }
  if (errno === ERRNO.EPERM) {
    return failure(
      'tap-denied',
      `the interface ${name} may not be made (EPERM): that takes CAP_NET_ADMIN in its namespace. Run as root, or attach to one that root made for you`,
    );
  }
  return failure('tap-failed', `the interface ${name} can not be made: ${error}`);
}

function attachMissing(name: string, found: Result<Link>): Result<never> {
  if (found.ok || found.failure.code !== 'interface-missing') return found as Result<never>;
  return failure('tap-attach-missing', `there is no interface ${name} to attach to: make it, or leave attach out`);
}

function attachFailure(name: string, errno: number, queue: number): Result<never> {
  const error = errnoName(errno);
  const which = `queue ${queue} of ${name}`;
  if (errno === ERRNO.EBUSY) {
    return failure('tap-attach-busy', `${name} is in use by another program (${error}), and has no queues for two`);
  }
  if (errno === ERRNO.EINVAL) {
    return failure(
      'tap-attach-mismatch',
      `${name} can not be attached to (${error}): it is no tap, or of the other mode (tap or tun), or it was made with a single queue and several are asked for, or the other way round`,
    );
  }
  if (errno === ERRNO.EPERM) {
    return failure('tap-denied', `${which} may not be attached to (EPERM): it belongs to another user or group`);
  }
  if (errno === ERRNO.E2BIG) {
    return failure('tap-queues-exhausted', `${which} is one too many (${error}): it has as many as the kernel allows`);
  }
  return failure('tap-failed', `${which} can not be attached to: ${error}`);
}
