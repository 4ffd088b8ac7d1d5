/**
 * `Sys` for an engine whose sockets leave by an address or an interface of the host's that the user chose, whatever the routes say. Sockets to the host's own loopback do
 * not: nothing leaves there. A UDP socket that is bound to an interface reaches no loopback, though: it is shared by all whom its guest talks to.
 */
import { type IpAddress, isIpv4, isIpv4Words } from '../base/address.ts';
import { failure, type Result, success } from '../base/result.ts';
import { isHostItself } from '../flow/address-words.ts';
import { findLink } from '../sys/netlink/link.ts';
import { Netlink } from '../sys/netlink/socket.ts';
import { IP, SO, SOL } from '../sys/options.ts';
import { SOCKET_ADDRESS_WORDS, type Sys } from '../sys/sys.ts';

export interface Outbound {
  /** One for each family at most. */
  readonly addresses: readonly IpAddress[];
  readonly ipv4Interface: string | undefined;
  readonly ipv6Interface: string | undefined;
}

export const ANYWHERE: Outbound = { addresses: [], ipv4Interface: undefined, ipv6Interface: undefined };

interface Family {
  /** Words, with port 0; undefined: the kernel chooses. */
  readonly address: Int32Array | undefined;
  /** 0: any. */
  readonly interfaceIndex: number;
}

const PORT = 4;

/** What is put around a `Sys`. */
export function prepareOutbound(outbound: Outbound): Result<(sys: Sys) => Sys> {
  const { ipv4Interface, ipv6Interface } = outbound;
  if (outbound.addresses.length === 0 && ipv4Interface === undefined && ipv6Interface === undefined) {
    return success((sys) => sys);
  }
  const indexes: number[] = [];
  for (const name of [ipv4Interface, ipv6Interface]) {
    const index = indexOf(name);
    if (!index.ok) return index;
    indexes.push(index.value);
  }
  const ipv4 = familyOf(outbound, true, indexes[0]!);
  const ipv6 = familyOf(outbound, false, indexes[1]!);
  return success((sys) => bindingSys(sys, ipv4, ipv6));
}

function familyOf({ addresses }: Outbound, ipv4: boolean, interfaceIndex: number): Family {
  const address = addresses.find((each) => isIpv4(each) === ipv4);
  const words = address === undefined ? undefined : Int32Array.of(address.w0, address.w1, address.w2, address.w3, 0, 0);
  return { address: words, interfaceIndex };
}

function bindingSys(sys: Sys, ipv4: Family, ipv6: Family): Sys {
  const own = new Int32Array(SOCKET_ADDRESS_WORDS);
  const familyOfWords = (words: Int32Array): Family => (isIpv4Words(words[0]!, words[1]!, words[2]!) ? ipv4 : ipv6);
  const toInterface = (fd: number, { interfaceIndex }: Family): number =>
    interfaceIndex === 0 ? 0 : sys.setOption(fd, SOL.SOCKET, SO.BINDTOIFINDEX, interfaceIndex);
  const bind: Sys['bind'] = (fd, address) => {
    const family = familyOfWords(address);
    if (!isUnspecified(address)) return sys.bind(fd, address);
    const error = toInterface(fd, family);
    if (error < 0 || family.address === undefined) return error < 0 ? error : sys.bind(fd, address);
    own.set(family.address);
    own[PORT] = address[PORT]!;
    return sys.bind(fd, own);
  };
  const connect: Sys['connect'] = (fd, target) => {
    if (isHostItself(target, 0)) return sys.connect(fd, target);
    const family = familyOfWords(target);
    let error = toInterface(fd, family);
    if (error === 0 && family.address !== undefined) {
      // The port is chosen with the connection, so that there are as many as for any other.
      sys.setOption(fd, SOL.IP, IP.BIND_ADDRESS_NO_PORT, 1);
      error = sys.bind(fd, family.address);
    }
    return error < 0 ? error : sys.connect(fd, target);
  };
  return { ...sys, bind, connect };
}

function isUnspecified(words: Int32Array): boolean {
  if (isIpv4Words(words[0]!, words[1]!, words[2]!)) return words[3] === 0;
  return (words[0]! | words[1]! | words[2]! | words[3]!) === 0;
}

function indexOf(name: string | undefined): Result<number> {
  if (name === undefined) return success(0);
  const opened = Netlink.open();
  if (!opened.ok) return opened;
  const found = findLink(opened.value, name);
  opened.value.close();
  if (found.ok) return success(found.value.index);
  return failure('outbound-missing', `sockets can not leave by ${name}: there is no such interface`, found.failure);
}
