/**
 * The host's side of a tap: what ip(8) would set, over rtnetlink, in the namespace where the interface is or moves to.
 *
 * The steps are done in this order, and each is undone in the opposite one when a later one fails: `move`, `rename`, `mac`, `mtu`, `bridge`, `address`, `up`,
 * `gateway`. The failure's code names the step (`host-tap-bridge-failed`), its message the interface and what the kernel says; its cause is the kernel's answer.
 *
 * An interface in a bridge has no addresses of its own here: the bridge has them.
 *
 * Moving an interface takes it down, out of its bridge, and takes its addresses and routes; taking it down takes its routes and its IPv6 addresses. When this is undone,
 * an interface that had been attached to is given back all but the routes.
 */
import { closeSync } from 'node:fs';
import {
  equalAddress,
  formatIpPrefix,
  type IpAddress,
  type IpPrefix,
  isIpv4,
  isLinkLocal,
  type MacAddress,
  prefixContains,
} from '../base/address.ts';
import { type Failure, failure, type Result, success } from '../base/result.ts';
import type { HostTap } from './host-tap.ts';
import { isSameNamespace, namespaceOfSocket, openInside } from './namespace-path.ts';
import { addAddress, deleteAddress, type InterfaceAddress, listAddresses, SCOPE } from './netlink/address.ts';
import { findBridge, setBridge } from './netlink/bridge.ts';
import { findLink, type Link, type LinkChange, setLink } from './netlink/link.ts';
import { addRoute, deleteRoute, everywhere, listRoutes, type NewRoute } from './netlink/route.ts';
import { Netlink } from './netlink/socket.ts';

/** What is left out stays as it is, but that the interface is brought up. */
export interface HostTapNetwork {
  /** Moves the interface there. The caller keeps the descriptor. */
  readonly namespaceFd?: number | undefined;
  readonly name?: string | undefined;
  readonly mac?: MacAddress | undefined;
  readonly mtu?: number | undefined;
  /** The name of a bridge in the interface's namespace. */
  readonly bridge?: string | undefined;
  /** Of both families. */
  readonly addresses?: readonly IpPrefix[];
  /** Default routes, one for each family at most. A gateway in none of the interface's networks is taken to be on the link. */
  readonly gateways?: readonly IpAddress[];
  readonly up?: boolean;
}

export type HostTapStep = 'move' | 'rename' | 'mac' | 'mtu' | 'bridge' | 'address' | 'up' | 'gateway';

/**
 * Sets the host's side up: the tap as it is then. After a move its netlink socket is another one, inside, and the old one is closed. After a failure everything is as it was,
 * and the tap that was given is still the caller's.
 */
export function configureHostTap(tap: HostTap, network: HostTapNetwork): Result<HostTap> {
  const invalid = checkNetwork(tap, network);
  if (invalid !== undefined) return invalid;
  const link = findLink(tap.netlink, tap.name);
  if (!link.ok) return link;
  const work: Work = { netlink: tap.netlink, link: link.value, undo: [], ended: [] };
  for (const [step, run] of STEPS) {
    const done = run(work, network);
    if (!done.ok) {
      const failed = stepFailure(step, work.link.name, done.failure, rollBack(work));
      end(work, tap.netlink);
      return failed;
    }
  }
  end(work, work.netlink);
  return success({ ...tap, name: work.link.name, index: work.link.index, netlink: work.netlink });
}

/** A configuration under way. `link` is the interface as it was found before the first change, or after the move; its name is kept up to date. */
interface Work {
  netlink: Netlink;
  link: Link;
  readonly undo: (readonly [what: string, undo: () => Result<void>])[];
  /** What is closed at the end, but for the socket that stays. */
  readonly ended: (Netlink | number)[];
}

type Step = (work: Work, network: HostTapNetwork) => Result<void>;

const STEPS: readonly (readonly [step: HostTapStep, run: Step])[] = [
  ['move', move],
  ['rename', rename],
  ['mac', changeMac],
  ['mtu', changeMtu],
  ['bridge', joinBridge],
  ['address', addAddresses],
  ['up', raise],
  ['gateway', addGateways],
];

const DONE: Result<void> = success(undefined);

function checkNetwork(tap: HostTap, network: HostTapNetwork): Result<never> | undefined {
  const { addresses = [], gateways = [], bridge, mac } = network;
  if (bridge !== undefined && addresses.length + gateways.length > 0) {
    return failure(
      'host-tap-exclusive',
      `${tap.name} can not be in the bridge ${bridge} and have host addresses or gateways of its own: give one or the other; the bridge itself can have addresses`,
    );
  }
  if (tap.mode === 'tun' && (bridge !== undefined || mac !== undefined)) {
    return failure(
      'host-tap-mode',
      `${tap.name} carries IP packets (tun), so it has no MAC address and can be in no bridge`,
    );
  }
  const ipv4Count = gateways.filter(isIpv4).length;
  if (ipv4Count > 1 || gateways.length - ipv4Count > 1) {
    return failure(
      'host-tap-gateways',
      `${tap.name} can have one default gateway for each family, not ${gateways.join(', ')}`,
    );
  }
  const own = gateways.find((gateway) => addresses.some((each) => equalAddress(each.address, gateway)));
  if (own !== undefined) {
    return failure('host-tap-gateways', `the gateway ${own} of ${tap.name} is its own address: give that of another`);
  }
  if (gateways.length > 0 && network.up === false) {
    return failure('host-tap-gateways', `${tap.name} must come up to have a default gateway`);
  }
  return undefined;
}

function move(work: Work, { namespaceFd, name }: HostTapNetwork): Result<void> {
  if (namespaceFd === undefined) return DONE;
  const home = namespaceOfSocket(work.netlink.fd);
  if (!home.ok) return home;
  work.ended.push(home.value);
  if (isSameNamespace(home.value, namespaceFd)) return DONE;
  const before = ownAddresses(work);
  if (!before.ok) return before;
  const inside = openInside(namespaceFd);
  if (!inside.ok) return inside;
  const there = new Netlink(inside.value.netlinkFd);
  work.ended.push(work.netlink, there);
  const { netlink: here, link } = work;
  // The kernel takes a second name for an interface whose own is taken there. Where it is free, renaming is a step by itself.
  const taken = findLink(there, link.name).ok && name !== undefined && !findLink(there, name).ok;
  const nameThere = taken ? name : link.name;
  const moved = setLink(here, link.index, { namespaceFd, ...(taken ? { name: nameThere } : {}) });
  if (!moved.ok) return moved;
  work.netlink = there;
  work.undo.push(['the move', () => moveBack(work, here, home.value, link, before.value)]);
  const found = findLink(there, nameThere);
  if (found.ok) work.link = found.value;
  return found.ok ? DONE : found;
}

function moveBack(
  work: Work,
  here: Netlink,
  homeFd: number,
  before: Link,
  addresses: readonly InterfaceAddress[],
): Result<void> {
  const moved = setLink(work.netlink, work.link.index, { namespaceFd: homeFd, name: before.name });
  if (!moved.ok) return moved;
  work.netlink = here;
  const found = findLink(here, before.name);
  if (!found.ok) return found;
  const { index } = found.value;
  work.link = found.value;
  if (before.master !== undefined) {
    const joined = setBridge(here, index, before.master);
    if (!joined.ok) return joined;
  }
  const raised = before.up ? setLink(here, index, { up: true }) : DONE;
  return raised.ok ? restoreAddresses(work, addresses) : raised;
}

function rename(work: Work, { name }: HostTapNetwork): Result<void> {
  if (name === undefined || name === work.link.name) return DONE;
  const renamed = change(work, 'the new name', { name }, { name: work.link.name });
  if (!renamed.ok) return findLink(work.netlink, name).ok ? nameTaken(name) : renamed;
  work.link = { ...work.link, name };
  return renamed;
}

function nameTaken(name: string): Result<never> {
  return failure('tap-exists', `there is an interface ${name} already (EEXIST): take another name, or delete it`);
}

function changeMac(work: Work, { mac }: HostTapNetwork): Result<void> {
  if (mac === undefined) return DONE;
  const before = work.link.mac;
  return change(work, 'the MAC address', { mac }, before === undefined ? {} : { mac: before });
}

function changeMtu(work: Work, { mtu }: HostTapNetwork): Result<void> {
  return mtu === undefined ? DONE : change(work, 'the MTU', { mtu }, { mtu: work.link.mtu });
}

function joinBridge(work: Work, { bridge }: HostTapNetwork): Result<void> {
  if (bridge === undefined) return DONE;
  const found = findBridge(work.netlink, bridge);
  if (!found.ok) return found;
  const { index, master } = work.link;
  const joined = setBridge(work.netlink, index, found.value.index);
  if (joined.ok) work.undo.push(['the bridge', () => setBridge(work.netlink, index, master)]);
  return joined;
}

function addAddresses(work: Work, { addresses = [] }: HostTapNetwork): Result<void> {
  if (addresses.length === 0) return DONE;
  const { netlink, link } = work;
  const listed = ownAddresses(work);
  if (!listed.ok) return listed;
  for (const prefix of addresses) {
    if (listed.value.some((each) => isSamePrefix(each.prefix, prefix))) continue;
    const scope = isLinkLocal(prefix.address) ? SCOPE.LINK : SCOPE.UNIVERSE;
    const added = addAddress(netlink, link.index, prefix, scope);
    if (!added.ok) return added;
    work.undo.push([`the address ${formatIpPrefix(prefix)}`, () => deleteAddress(netlink, link.index, prefix)]);
  }
  return DONE;
}

function raise(work: Work, { up = true }: HostTapNetwork): Result<void> {
  const { netlink, link } = work;
  if (up === link.up) return DONE;
  const before = ownAddresses(work);
  if (!before.ok) return before;
  const changed = setLink(netlink, link.index, { up });
  if (!changed.ok) return changed;
  work.undo.push([
    'the state',
    () => {
      const undone = setLink(netlink, link.index, { up: link.up });
      return undone.ok ? restoreAddresses(work, before.value) : undone;
    },
  ]);
  return DONE;
}

function addGateways(work: Work, { gateways = [] }: HostTapNetwork): Result<void> {
  if (gateways.length === 0) return DONE;
  const { netlink, link } = work;
  const routes = listRoutes(netlink);
  if (!routes.ok) return routes;
  const addresses = ownAddresses(work);
  if (!addresses.ok) return addresses;
  const defaults = routes.value.filter((each) => each.interfaceIndex === link.index && each.destination.length === 0);
  for (const gateway of gateways) {
    if (defaults.some((each) => each.gateway !== undefined && equalAddress(each.gateway, gateway))) continue;
    const onlink =
      !(isLinkLocal(gateway) && !isIpv4(gateway)) &&
      !addresses.value.some(({ prefix }) => prefixContains(prefix, gateway));
    const route: NewRoute = { destination: everywhere(gateway), gateway, interfaceIndex: link.index, onlink };
    const added = addRoute(netlink, route, true);
    if (!added.ok) return added;
    work.undo.push([`the gateway ${gateway}`, () => deleteRoute(netlink, route)]);
  }
  return DONE;
}

/** One change of the interface, with the one that undoes it. */
function change(work: Work, what: string, wanted: LinkChange, before: LinkChange): Result<void> {
  const { netlink, link } = work;
  const changed = setLink(netlink, link.index, wanted);
  if (changed.ok) work.undo.push([what, () => setLink(netlink, link.index, before)]);
  return changed;
}

/** Undoes what was done, the last first; what can not be undone, as sentences. */
function rollBack(work: Work): string[] {
  const left: string[] = [];
  for (const [what, undo] of work.undo.reverse()) {
    const undone = undo();
    if (!undone.ok) left.push(`${what} (${undone.failure.message})`);
  }
  return left;
}

/** Closes what was opened on the way, but for the socket that somebody goes on to use. */
function end(work: Work, kept: Netlink): void {
  for (const each of work.ended) {
    if (typeof each === 'number') closeSync(each);
    else if (each !== kept) each.close();
  }
}

function stepFailure(step: HostTapStep, name: string, cause: Failure, left: readonly string[]): Result<never> {
  const rest = left.length === 0 ? '' : `. What was done before could not all be undone: ${left.join('; ')}`;
  return failure(`host-tap-${step}-failed`, `${name} can not be set up (step ${step}): ${cause.message}${rest}`, cause);
}

function ownAddresses({ netlink, link }: Work): Result<InterfaceAddress[]> {
  const listed = listAddresses(netlink);
  if (!listed.ok) return listed;
  return success(listed.value.filter((each) => each.interfaceIndex === link.index));
}

/** Adds what is no longer there: an interface that is taken down loses its IPv6 addresses, one that moves loses all. */
function restoreAddresses(work: Work, wanted: readonly InterfaceAddress[]): Result<void> {
  const listed = ownAddresses(work);
  if (!listed.ok) return listed;
  for (const { prefix, scope } of wanted) {
    if (listed.value.some((each) => isSamePrefix(each.prefix, prefix))) continue;
    const added = addAddress(work.netlink, work.link.index, prefix, scope);
    if (!added.ok) return added;
  }
  return DONE;
}

function isSamePrefix(a: IpPrefix, b: IpPrefix): boolean {
  return a.length === b.length && equalAddress(a.address, b.address);
}
