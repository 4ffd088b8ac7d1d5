/**
 * Routes of the main table over rtnetlink(7): RTM_GETROUTE, RTM_NEWROUTE and RTM_DELROUTE.
 *
 * | offset | bytes | rtmsg                          |   | offset | bytes | rtnexthop, in RTA_MULTIPATH     |
 * | ------ | ----- | ------------------------------ | - | ------ | ----- | ------------------------------- |
 * | 0      | 1     | family                         |   | 0      | 2     | length, with these 8 bytes      |
 * | 1      | 1     | length of the destination      |   | 2      | 1     | flags (RTNH_F_*)                |
 * | 2      | 1     | length of the source           |   | 3      | 1     | weight - 1                      |
 * | 3      | 1     | type of service                |   | 4      | 4     | interface index                 |
 * | 4      | 1     | table, RT_TABLE_COMPAT if >255 |   | 8      |       | attributes                      |
 * | 5      | 1     | protocol: who made it          |
 * | 6      | 1     | scope                          |
 * | 7      | 1     | type (unicast, blackhole, ...) |
 * | 8      | 4     | flags (RTNH_F_*)               |
 *
 * Not here: other tables and rules. A host that routes by policy is seen by its main table.
 */
import { formatIpPrefix, IpAddress, type IpPrefix, ipv4Address, isIpv4, prefixNetwork } from '../../base/address.ts';
import { type Result, success } from '../../base/result.ts';
import { SCOPE } from './address.ts';
import {
  type Attributes,
  align,
  attributeAddress,
  attributeUint32,
  LITTLE_ENDIAN,
  MESSAGE_FLAG,
  type Message,
  Request,
  readAttributes,
} from './message.ts';
import type { Netlink } from './socket.ts';

/** RTPROT_*. The kernel makes the routes to directly connected networks itself. */
const ROUTE_PROTOCOL = { KERNEL: 2, BOOT: 3, STATIC: 4 } as const;

/** One way to a destination: a route with several next hops is as many of these. */
export interface Route {
  readonly destination: IpPrefix;
  readonly interfaceIndex: number;
  /** Undefined: the destination is on the link, or its gateway is of the other family (RFC 8950). */
  readonly gateway: IpAddress | undefined;
  readonly metric: number;
  readonly protocol: number;
  /** The next hop can not be used: its interface is gone, or has no carrier. */
  readonly dead: boolean;
}

export interface NewRoute {
  readonly destination: IpPrefix;
  readonly interfaceIndex: number;
  readonly gateway?: IpAddress | undefined;
  readonly metric?: number | undefined;
  readonly preferredSource?: IpAddress | undefined;
  /** The gateway can be reached on the link though no address' network holds it. */
  readonly onlink?: boolean;
}

/** Where a default route of the gateway's family leads: everywhere. */
export function everywhere(gateway: IpAddress): IpPrefix {
  return { address: isIpv4(gateway) ? ipv4Address(0) : new IpAddress(0, 0, 0, 0), length: 0 };
}

const NEW_ROUTE = 24;
const DELETE_ROUTE = 25;
const GET_ROUTE = 26;
const ROUTE_BYTES = 12;
const HOP_BYTES = 8;
const TABLE_MAIN = 254;
const TYPE_UNICAST = 1;
const RTA = { DST: 1, OIF: 4, GATEWAY: 5, PRIORITY: 6, PREFSRC: 7, MULTIPATH: 9, TABLE: 15 } as const;
const HOP_FLAG = { DEAD: 1, ONLINK: 4, LINK_DOWN: 16 } as const;
/** RTM_F_CLONED: an entry of the route cache, not of the table. */
const FLAG_CLONED = 0x200;
const AF = { INET: 2, INET6: 10 } as const;

/** The unicast routes of the main table, of both families. */
export function listRoutes(netlink: Netlink): Result<Route[]> {
  const routes: Route[] = [];
  for (const family of [AF.INET, AF.INET6]) {
    const request = header(GET_ROUTE, 0, family, 0, 0, 0, 0, 0).attributeUint32(RTA.TABLE, TABLE_MAIN);
    const found = netlink.dump(request, readRoute, 'list the routes');
    if (!found.ok) {
      // With this filter a kernel that has no such table says so.
      if (found.failure.code === 'netlink-enoent') continue;
      return found;
    }
    for (const hops of found.value) routes.push(...hops);
  }
  return success(routes);
}

/** `exclusive`: a route with the same destination and metric is a failure; otherwise it is replaced. */
export function addRoute(netlink: Netlink, route: NewRoute, exclusive: boolean = false): Result<void> {
  const flags = MESSAGE_FLAG.CREATE | (exclusive ? MESSAGE_FLAG.EXCLUDE : MESSAGE_FLAG.REPLACE);
  return netlink.request(routeRequest(NEW_ROUTE, flags, route), `add ${describe(route)}`);
}

export function deleteRoute(netlink: Netlink, route: NewRoute): Result<void> {
  return netlink.request(routeRequest(DELETE_ROUTE, 0, route), `delete ${describe(route)}`);
}

function routeRequest(type: number, messageFlags: number, route: NewRoute): Request {
  const { destination, gateway, metric, preferredSource } = route;
  const family = isIpv4(destination.address) ? AF.INET : AF.INET6;
  // IPv6 has no scopes of routes, and takes 0 only where it is strict.
  const scope = family === AF.INET && gateway === undefined ? SCOPE.LINK : SCOPE.UNIVERSE;
  const flags = route.onlink === true ? HOP_FLAG.ONLINK : 0;
  const protocol = ROUTE_PROTOCOL.BOOT;
  const request = header(type, messageFlags, family, destination.length, protocol, scope, TYPE_UNICAST, flags);
  if (destination.length > 0) request.attributeAddress(RTA.DST, prefixNetwork(destination));
  request.attributeUint32(RTA.OIF, route.interfaceIndex);
  if (gateway !== undefined) request.attributeAddress(RTA.GATEWAY, gateway);
  if (metric !== undefined) request.attributeUint32(RTA.PRIORITY, metric);
  if (preferredSource !== undefined) request.attributeAddress(RTA.PREFSRC, preferredSource);
  return request;
}

function describe({ destination, gateway }: NewRoute): string {
  const via = gateway === undefined ? '' : ` via ${gateway}`;
  return `the route to ${formatIpPrefix(destination)}${via}`;
}

function header(
  type: number,
  messageFlags: number,
  family: number,
  length: number,
  protocol: number,
  scope: number,
  routeType: number,
  flags: number,
): Request {
  const table = type === GET_ROUTE ? 0 : TABLE_MAIN;
  return new Request(type, messageFlags).uint8(family, length, 0, 0, table, protocol, scope, routeType).uint32(flags);
}

function readRoute(message: Message): Route[] | undefined {
  const { view, at, end } = message;
  if (message.type !== NEW_ROUTE || at + ROUTE_BYTES > end) return undefined;
  const flags = view.getUint32(at + 8, LITTLE_ENDIAN);
  const attributes = readAttributes(view, at + ROUTE_BYTES, end);
  const table = attributeUint32(attributes, RTA.TABLE) ?? view.getUint8(at + 4);
  // Kernels before 4.20 do not filter dumps.
  if (table !== TABLE_MAIN || view.getUint8(at + 7) !== TYPE_UNICAST || (flags & FLAG_CLONED) !== 0) return undefined;
  const destination = readDestination(attributes, view.getUint8(at), view.getUint8(at + 1));
  if (destination === undefined) return undefined;
  const common = {
    destination,
    metric: attributeUint32(attributes, RTA.PRIORITY) ?? 0,
    protocol: view.getUint8(at + 5),
  };
  const multipath = attributes.get(RTA.MULTIPATH);
  if (multipath !== undefined) return readHops(multipath).map((hop) => ({ ...common, ...hop }));
  const interfaceIndex = attributeUint32(attributes, RTA.OIF);
  if (interfaceIndex === undefined) return undefined;
  return [{ ...common, interfaceIndex, gateway: attributeAddress(attributes, RTA.GATEWAY), dead: isDead(flags) }];
}

function readDestination(attributes: Attributes, family: number, length: number): IpPrefix | undefined {
  if (family !== AF.INET && family !== AF.INET6) return undefined;
  if (length > (family === AF.INET ? 32 : 128)) return undefined;
  const zero = family === AF.INET ? ipv4Address(0) : new IpAddress(0, 0, 0, 0);
  const address = length === 0 ? zero : attributeAddress(attributes, RTA.DST);
  return address === undefined ? undefined : { address, length };
}

function readHops(view: DataView): Pick<Route, 'interfaceIndex' | 'gateway' | 'dead'>[] {
  const hops = [];
  let at = 0;
  while (at + HOP_BYTES <= view.byteLength) {
    const length = view.getUint16(at, LITTLE_ENDIAN);
    if (length < HOP_BYTES || at + length > view.byteLength) break;
    hops.push({
      interfaceIndex: view.getInt32(at + 4, LITTLE_ENDIAN),
      gateway: attributeAddress(readAttributes(view, at + HOP_BYTES, at + length), RTA.GATEWAY),
      dead: isDead(view.getUint8(at + 2)),
    });
    at += align(length);
  }
  return hops;
}

function isDead(flags: number): boolean {
  return (flags & (HOP_FLAG.DEAD | HOP_FLAG.LINK_DOWN)) !== 0;
}
