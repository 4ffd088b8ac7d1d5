/**
 * Addresses of interfaces over rtnetlink(7): RTM_GETADDR, RTM_NEWADDR and RTM_DELADDR.
 *
 * | offset | bytes | ifaddrmsg               |
 * | ------ | ----- | ----------------------- |
 * | 0      | 1     | family                  |
 * | 1      | 1     | prefix length           |
 * | 2      | 1     | flags (IFA_F_*, 8 bits) |
 * | 3      | 1     | scope (RT_SCOPE_*)      |
 * | 4      | 4     | interface index         |
 */
import { formatIpPrefix, type IpPrefix, ipv4Address, isIpv4, prefixMask } from '../../base/address.ts';
import type { Result } from '../../base/result.ts';
import {
  attributeAddress,
  attributeUint32,
  LITTLE_ENDIAN,
  MESSAGE_FLAG,
  type Message,
  Request,
  readAttributes,
} from './message.ts';
import type { Netlink } from './socket.ts';

/** RT_SCOPE_*: how far an address or a route reaches. */
export const SCOPE = { UNIVERSE: 0, SITE: 200, LINK: 253, HOST: 254, NOWHERE: 255 } as const;

/** IFA_F_*. */
export const ADDRESS_FLAG = {
  /** IPv6 only: of a privacy extension (RFC 8981). For IPv4 the same bit says "secondary". */
  TEMPORARY: 0x01,
  NO_DAD: 0x02,
  DAD_FAILED: 0x08,
  DEPRECATED: 0x20,
  TENTATIVE: 0x40,
  PERMANENT: 0x80,
} as const;

export interface InterfaceAddress {
  readonly interfaceIndex: number;
  /** Our own address, with the length of its network's prefix. */
  readonly prefix: IpPrefix;
  readonly scope: number;
  readonly flags: number;
}

const NEW_ADDRESS = 20;
const DELETE_ADDRESS = 21;
const GET_ADDRESS = 22;
const ADDRESS_BYTES = 8;
const IFA = { ADDRESS: 1, LOCAL: 2, BROADCAST: 4, FLAGS: 8 } as const;
const AF = { UNSPEC: 0, INET: 2, INET6: 10 } as const;

export function listAddresses(netlink: Netlink): Result<InterfaceAddress[]> {
  return netlink.dump(header(GET_ADDRESS, 0, AF.UNSPEC, 0, 0, 0), readAddress, 'list the addresses of the interfaces');
}

/** Adds an address, usable at once: without duplicate address detection. One that is there already is taken over. */
export function addAddress(
  netlink: Netlink,
  interfaceIndex: number,
  prefix: IpPrefix,
  scope: number = SCOPE.UNIVERSE,
): Result<void> {
  const { address, length } = prefix;
  const family = isIpv4(address) ? AF.INET : AF.INET6;
  const flags = MESSAGE_FLAG.CREATE | MESSAGE_FLAG.REPLACE;
  const request = header(NEW_ADDRESS, flags, family, length, scope, interfaceIndex)
    .attributeAddress(IFA.LOCAL, address)
    .attributeAddress(IFA.ADDRESS, address)
    .attributeUint32(IFA.FLAGS, ADDRESS_FLAG.PERMANENT | (family === AF.INET6 ? ADDRESS_FLAG.NO_DAD : 0));
  // A network of one or two addresses has no broadcast address (RFC 3021).
  if (family === AF.INET && length <= 30)
    request.attributeAddress(IFA.BROADCAST, ipv4Address(address.w3 | ~prefixMask(length)));
  return netlink.request(request, `add the address ${formatIpPrefix(prefix)}`);
}

export function deleteAddress(netlink: Netlink, interfaceIndex: number, prefix: IpPrefix): Result<void> {
  const { address, length } = prefix;
  const family = isIpv4(address) ? AF.INET : AF.INET6;
  const request = header(DELETE_ADDRESS, 0, family, length, 0, interfaceIndex).attributeAddress(IFA.LOCAL, address);
  return netlink.request(request, `delete the address ${formatIpPrefix(prefix)}`);
}

function header(type: number, flags: number, family: number, length: number, scope: number, index: number): Request {
  return new Request(type, flags).uint8(family, length, 0, scope).uint32(index);
}

function readAddress(message: Message): InterfaceAddress | undefined {
  const { view, at, end } = message;
  if (message.type !== NEW_ADDRESS || at + ADDRESS_BYTES > end) return undefined;
  const attributes = readAttributes(view, at + ADDRESS_BYTES, end);
  // On a point-to-point link IFA_ADDRESS is the other end's.
  const address = attributeAddress(attributes, IFA.LOCAL) ?? attributeAddress(attributes, IFA.ADDRESS);
  const length = view.getUint8(at + 1);
  if (address === undefined || length > (isIpv4(address) ? 32 : 128)) return undefined;
  return {
    interfaceIndex: view.getInt32(at + 4, LITTLE_ENDIAN),
    prefix: { address, length },
    scope: view.getUint8(at + 3),
    flags: attributeUint32(attributes, IFA.FLAGS) ?? view.getUint8(at + 2),
  };
}
