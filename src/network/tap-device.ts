/**
 * The kernel's side of a tap interface: made or attached to, moved to its namespace, configured; changed at run time; given back.
 *
 * A tap is made in our own namespace and moved to where it belongs. No socket of ours is left inside then, so the namespace ends when its users do, and the tap
 * with it: reading says so (EBADFD). Who may make taps only inside (a user with a user namespace of his own) has it made there; such a tap keeps its namespace alive.
 *
 * What is done inside later goes by a child that opens a netlink socket there (`sys/namespace-path.ts`), wherever the tap is by then, and is closed again.
 */
import { closeSync } from 'node:fs';
import { formatIpPrefix, type IpAddress, type IpPrefix, isIpv4, isLinkLocal } from '../base/address.ts';
import { failure, type Result, success } from '../base/result.ts';
import type { TapPart } from '../config/parts.ts';
import { type LinkOffload, NO_OFFLOAD } from '../packet/offload.ts';
import { errnoName } from '../sys/errno.ts';
import {
  closeHostTap,
  type HostTap,
  type OffloadLevel,
  openHostTap,
  setTapCarrier,
  setTapOffloads,
} from '../sys/host-tap.ts';
import { configureHostTap } from '../sys/host-tap-network.ts';
import { isSameNamespace, namespaceOfSocket, openInside, openNetworkNamespace } from '../sys/namespace-path.ts';
import { addAddress, deleteAddress, listAddresses, SCOPE } from '../sys/netlink/address.ts';
import { findBridge, setBridge } from '../sys/netlink/bridge.ts';
import { findLink, type Link, type LinkChange, setLink } from '../sys/netlink/link.ts';
import { addRoute, deleteRoute, everywhere, type NewRoute } from '../sys/netlink/route.ts';
import { Netlink } from '../sys/netlink/socket.ts';
import { TUN_F, tunInterfaceName, tunNamespace, tunSetPersist } from '../sys/tun.ts';

/** What the kernel makes a name of for a tap that is not in its namespace yet. */
const TRANSIENT_NAME = 'tapster%d';

export type OffloadSetting = TapPart['tap']['offload'];

/** Where a tap is, as netlink sees it. */
interface Inside {
  readonly netlink: Netlink;
  readonly link: Link;
}

export class TapDevice {
  /** Its netlink socket is closed. */
  readonly tap: HostTap;
  /** What it takes and gives unfinished. */
  offload: LinkOffload;
  /** It has been deleted by others: nothing more can be done to it. */
  lost: boolean = false;

  constructor(tap: HostTap, offload: OffloadSetting) {
    this.tap = tap;
    this.offload = offloadOf(tap.offloads, offload);
  }

  /** One for each queue. */
  get fds(): readonly number[] {
    return this.tap.fds;
  }

  /** The kernel's name of it now. */
  get hostName(): string {
    const name = tunInterfaceName(this.tap.fds[0]!);
    return typeof name === 'string' ? name : this.tap.name;
  }

  /** One that was deleted has none, whether or not we have noticed. */
  setCarrier(carrier: boolean): Result<void> {
    if (this.lost) return success(undefined);
    const set = setTapCarrier(this.tap, carrier);
    return set.ok || carrier || !this.isGone ? set : success(undefined);
  }

  /** From now on the kernel hands us what the setting allows. */
  setOffload(setting: OffloadSetting): Result<void> {
    const set = setTapOffloads(this.tap, levelOf(setting));
    if (!set.ok) return set;
    this.offload = offloadOf(set.value, setting);
    return success(undefined);
  }

  change(wanted: LinkChange): Result<void> {
    return this.#inside(({ netlink, link }) => setLink(netlink, link.index, wanted));
  }

  /** Makes it a member of a bridge of the kernel's there; undefined: of none. */
  setBridge(name: string | undefined): Result<void> {
    return this.#inside(({ netlink, link }) => {
      if (name === undefined) return setBridge(netlink, link.index, undefined);
      const bridge = findBridge(netlink, name);
      return bridge.ok ? setBridge(netlink, link.index, bridge.value.index) : bridge;
    });
  }

  addAddress(prefix: IpPrefix): Result<void> {
    return this.#inside(({ netlink, link }) => {
      const scope = isLinkLocal(prefix.address) ? SCOPE.LINK : SCOPE.UNIVERSE;
      return addAddress(netlink, link.index, prefix, scope);
    });
  }

  /** It may have been taken away by others already. */
  removeAddress(prefix: IpPrefix): Result<void> {
    return unlessGone(this.#inside(({ netlink, link }) => deleteAddress(netlink, link.index, prefix)));
  }

  /** The default route there. */
  addGateway(gateway: IpAddress): Result<void> {
    return this.#inside(({ netlink, link }) => addRoute(netlink, gatewayRoute(gateway, link.index), true));
  }

  /** It may have gone already: the kernel drops routes of a link that goes down, or whose address goes. */
  removeGateway(gateway: IpAddress): Result<void> {
    return unlessGone(this.#inside(({ netlink, link }) => deleteRoute(netlink, gatewayRoute(gateway, link.index))));
  }

  /** The interface as the kernel has it, and its addresses. */
  inspect(): Result<{ readonly link: Link; readonly addresses: readonly string[] }> {
    return this.#inside(({ netlink, link }) => {
      const listed = listAddresses(netlink);
      if (!listed.ok) return listed;
      const own = listed.value.filter(({ interfaceIndex }) => interfaceIndex === link.index);
      return success({ link, addresses: own.map(({ prefix }) => formatIpPrefix(prefix)) });
    });
  }

  /** It is to go with its last descriptor even where it persists; one that was there before us stays. */
  letGo(): void {
    if (!this.tap.attached) tunSetPersist(this.tap.fds[0]!, 0);
  }

  /** Closes the descriptors of the queues from `first` on, those before have links: the kernel's side goes with the last unless it persists. */
  close(first: number = 0): void {
    for (const fd of this.tap.fds.slice(first)) closeSync(fd);
  }

  /** Deleted by others, whether or not we have noticed. */
  get isGone(): boolean {
    return typeof tunInterfaceName(this.tap.fds[0]!) !== 'string';
  }

  #inside<T>(work: (inside: Inside) => Result<T>): Result<T> {
    const namespaceFd = tunNamespace(this.tap.fds[0]!);
    if (namespaceFd < 0) {
      return failure('tap-lost', `${this.tap.name} is not there any more: ${errnoName(namespaceFd)}`);
    }
    const netlink = openNetlink(namespaceFd);
    closeSync(namespaceFd);
    if (!netlink.ok) return netlink;
    const link = findLink(netlink.value, this.hostName);
    const done = link.ok ? work({ netlink: netlink.value, link: link.value }) : link;
    netlink.value.close();
    return done;
  }
}

/** Makes the tap that a part of the configuration asks for, or attaches to it. After a failure there is nothing of it. */
export function openTapDevice(part: TapPart): Result<TapDevice> {
  const { namespace } = part.tap.host;
  if (namespace === undefined) return openIn(part, undefined);
  const opened = openNetworkNamespace(namespace);
  if (!opened.ok) return opened;
  const device = openIn(part, opened.value.isOurs ? undefined : opened.value.fd);
  closeSync(opened.value.fd);
  return device;
}

function openIn(part: TapPart, namespaceFd: number | undefined): Result<TapDevice> {
  const opened = openTap(part, namespaceFd);
  if (!opened.ok) return opened;
  const { host } = part.tap;
  const configured = configureHostTap(opened.value, {
    ...(namespaceFd === undefined ? {} : { namespaceFd }),
    ...(part.tap.attach ? {} : { name: part.hostName }),
    ...(host.mac === undefined ? {} : { mac: host.mac }),
    ...(host.bridge === undefined ? {} : { bridge: host.bridge }),
    mtu: part.hostMtu,
  });
  if (!configured.ok) {
    closeHostTap(opened.value);
    return configured;
  }
  // A socket inside would keep the namespace alive.
  configured.value.netlink.close();
  return success(new TapDevice(configured.value, part.tap.offload));
}

function openTap({ hostName, tap }: TapPart, namespaceFd: number | undefined): Result<HostTap> {
  const common = {
    ...{ mode: tap.mode, queues: tap.queues, persist: tap.persist, offloads: levelOf(tap.offload) },
    ...{ attach: tap.attach },
  };
  if (namespaceFd === undefined) return openHostTap({ ...common, name: hostName });
  const inside = { ...common, name: hostName, namespaceFd };
  if (tap.attach) return openHostTap(inside);
  const outside = openHostTap({ ...common, name: TRANSIENT_NAME });
  if (outside.ok || !DENIED.includes(outside.failure.code)) return outside;
  return openHostTap(inside);
}

/** Whoever may not make taps here may be allowed to make them there. */
const DENIED: readonly string[] = ['tap-denied', 'tun-device-denied', 'tun-device-missing'];

function openNetlink(namespaceFd: number): Result<Netlink> {
  const ours = Netlink.open();
  if (!ours.ok) return ours;
  const home = namespaceOfSocket(ours.value.fd);
  if (!home.ok) {
    ours.value.close();
    return home;
  }
  const isOurs = isSameNamespace(home.value, namespaceFd);
  closeSync(home.value);
  if (isOurs) return ours;
  ours.value.close();
  const opened = openInside(namespaceFd);
  return opened.ok ? success(new Netlink(opened.value.netlinkFd)) : opened;
}

/** What is to go and is not there has gone. */
const GONE: readonly string[] = ['netlink-esrch', 'netlink-eaddrnotavail', 'tap-lost'];

function unlessGone(removed: Result<void>): Result<void> {
  return !removed.ok && GONE.includes(removed.failure.code) ? success(undefined) : removed;
}

function gatewayRoute(gateway: IpAddress, interfaceIndex: number): NewRoute {
  const onlink = !(isLinkLocal(gateway) && !isIpv4(gateway));
  return { destination: everywhere(gateway), gateway, interfaceIndex, onlink };
}

function levelOf(setting: OffloadSetting): OffloadLevel {
  return ({ gso: 'segmentation', csum: 'checksum', none: 'off' } as const)[setting];
}

/** What we may leave unfinished: the kernel takes it from every tap with a header, but an interface has what was configured. */
function offloadOf(flags: number, setting: OffloadSetting): LinkOffload {
  if (setting === 'none' || (flags & TUN_F.CSUM) === 0) return NO_OFFLOAD;
  const segmentation = setting === 'gso';
  return {
    checksum: true,
    tcpSegmentation: segmentation && (flags & TUN_F.TSO4) !== 0,
    udpSegmentation: segmentation && (flags & TUN_F.USO4) !== 0,
  };
}
