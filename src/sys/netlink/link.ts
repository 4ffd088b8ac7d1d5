/**
 * Network interfaces over rtnetlink(7): RTM_GETLINK, RTM_SETLINK and RTM_DELLINK.
 *
 * | offset | bytes | ifinfomsg                              |
 * | ------ | ----- | -------------------------------------- |
 * | 0      | 1     | family (AF_UNSPEC)                     |
 * | 2      | 2     | hardware type (ARPHRD_*)               |
 * | 4      | 4     | interface index                        |
 * | 8      | 4     | flags (IFF_*)                          |
 * | 12     | 4     | which of the flags are to change       |
 *
 * A bridge is a link like any other, and what is connected to it names it as its master (bridge.ts).
 */
import type { MacAddress } from '../../base/address.ts';
import { failure, type Result, success } from '../../base/result.ts';
import {
  attributeMac,
  attributeText,
  attributeUint32,
  LITTLE_ENDIAN,
  type Message,
  nestedAttributes,
  Request,
  readAttributes,
} from './message.ts';
import type { Netlink } from './socket.ts';

export interface Link {
  readonly index: number;
  readonly name: string;
  readonly up: boolean;
  readonly loopback: boolean;
  readonly mtu: number;
  readonly txQueueLength: number;
  /** Undefined for interfaces without Ethernet addresses. */
  readonly mac: MacAddress | undefined;
  /** Whether frames can pass: up, and the other end is there. */
  readonly carrier: boolean;
  readonly promiscuous: boolean;
  /** Index of the bridge that it belongs to. */
  readonly master: number | undefined;
  /** What kind of virtual interface it is: tun, bridge, veth. */
  readonly kind: string | undefined;
}

/** What `setLink` changes; what is left out stays as it is. */
export interface LinkChange {
  readonly up?: boolean;
  readonly name?: string;
  readonly mtu?: number;
  readonly txQueueLength?: number;
  readonly mac?: MacAddress;
  /** Whether it takes frames to all MAC addresses. */
  readonly promiscuous?: boolean;
  /** Index of the bridge that it joins, 0: none. */
  readonly master?: number;
  /** Descriptor of the network namespace that the interface moves to. */
  readonly namespaceFd?: number;
  /** Whether the kernel makes an IPv6 link-local address of its own when the interface comes up. */
  readonly linkLocalByKernel?: boolean;
}

export const NEW_LINK = 16;
const DELETE_LINK = 17;
const GET_LINK = 18;
const SET_LINK = 19;
const INFO_BYTES = 16;
const IFF_UP = 0x1;
const IFF_LOOPBACK = 0x8;
const IFF_PROMISC = 0x100;
const IFF_LOWER_UP = 0x10000;
const IFLA = {
  ADDRESS: 1,
  IFNAME: 3,
  MTU: 4,
  MASTER: 10,
  TXQLEN: 13,
  LINKINFO: 18,
  AF_SPEC: 26,
  NET_NS_FD: 28,
} as const;
const INFO_KIND = 1;
const AF_INET6 = 10;
/** IFLA_INET6_ADDR_GEN_MODE: from the MAC address (RFC 4291, appendix A), or none. */
const INET6_ADDRESS_MODE = 8;
const ADDRESS_MODE = { EUI64: 0, NONE: 1 } as const;

export function listLinks(netlink: Netlink): Result<Link[]> {
  return netlink.dump(info(GET_LINK, 0, 0, 0), readLink, 'list the network interfaces');
}

export function findLink(netlink: Netlink, name: string): Result<Link> {
  const links = listLinks(netlink);
  if (!links.ok) return links;
  const link = links.value.find((each) => each.name === name);
  return link === undefined ? failure('interface-missing', `there is no network interface ${name}`) : success(link);
}

export function setLink(netlink: Netlink, index: number, change: LinkChange): Result<void> {
  const { up, promiscuous } = change;
  const flags = (up === true ? IFF_UP : 0) | (promiscuous === true ? IFF_PROMISC : 0);
  const mask = (up === undefined ? 0 : IFF_UP) | (promiscuous === undefined ? 0 : IFF_PROMISC);
  const request = info(SET_LINK, index, flags, mask);
  if (change.mac !== undefined) request.attributeMac(IFLA.ADDRESS, change.mac);
  if (change.name !== undefined) request.attributeText(IFLA.IFNAME, change.name);
  if (change.mtu !== undefined) request.attributeUint32(IFLA.MTU, change.mtu);
  if (change.txQueueLength !== undefined) request.attributeUint32(IFLA.TXQLEN, change.txQueueLength);
  if (change.master !== undefined) request.attributeUint32(IFLA.MASTER, change.master);
  if (change.namespaceFd !== undefined) request.attributeUint32(IFLA.NET_NS_FD, change.namespaceFd);
  const mode = change.linkLocalByKernel;
  if (mode !== undefined) {
    request.nested(IFLA.AF_SPEC, (families) =>
      families.nested(AF_INET6, (family) =>
        family.attributeUint8(INET6_ADDRESS_MODE, mode ? ADDRESS_MODE.EUI64 : ADDRESS_MODE.NONE),
      ),
    );
  }
  return netlink.request(request, `set ${describeChange(change)} of interface ${index}`);
}

/** Deletes a virtual interface. A tap that is open goes too, and its descriptors fail with EBADFD. */
export function deleteLink(netlink: Netlink, index: number): Result<void> {
  return netlink.request(info(DELETE_LINK, index, 0, 0), `delete interface ${index}`);
}

function info(type: number, index: number, flags: number, change: number): Request {
  return new Request(type, 0).uint8(0, 0).uint16(0).uint32(index).uint32(flags).uint32(change);
}

/** What RTM_NEWLINK says of a link; undefined for what bridges say of their ports (AF_BRIDGE), and for all else. */
function readLink(message: Message): Link | undefined {
  const { view, at, end } = message;
  if (message.type !== NEW_LINK || at + INFO_BYTES > end) return undefined;
  if (view.getUint8(at) !== 0) return undefined;
  const attributes = readAttributes(view, at + INFO_BYTES, end);
  const flags = view.getUint32(at + 8, LITTLE_ENDIAN);
  const name = attributeText(attributes, IFLA.IFNAME);
  if (name === undefined) return undefined;
  return {
    index: view.getInt32(at + 4, LITTLE_ENDIAN),
    name,
    up: (flags & IFF_UP) !== 0,
    loopback: (flags & IFF_LOOPBACK) !== 0,
    mtu: attributeUint32(attributes, IFLA.MTU) ?? 0,
    txQueueLength: attributeUint32(attributes, IFLA.TXQLEN) ?? 0,
    mac: attributeMac(attributes, IFLA.ADDRESS),
    carrier: (flags & IFF_LOWER_UP) !== 0,
    promiscuous: (flags & IFF_PROMISC) !== 0,
    master: attributeUint32(attributes, IFLA.MASTER),
    kind: attributeText(nestedAttributes(attributes, IFLA.LINKINFO), INFO_KIND),
  };
}

function describeChange(change: LinkChange): string {
  return Object.entries(change)
    .map(([name, value]) => `${name} ${value}`)
    .join(', ');
}
