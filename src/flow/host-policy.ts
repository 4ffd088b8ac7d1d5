/**
 * The policy of a guest that stands behind the host: it may go where the host may go, but for the host itself.
 *
 * | the guest calls                        | and gets                                                               |
 * | -------------------------------------- | ---------------------------------------------------------------------- |
 * | port 53 of the DNS address             | the host's resolver, wherever that listens                             |
 * | an address mapped to the loopback      | the host's 127.0.0.1 or ::1                                            |
 * | an address that is ours otherwise      | an answer to ping; else refused                                        |
 * | a cloud's metadata address             | refused, unless allowed; DNS there, where the user named it for that   |
 * | the host's loopback, by any spelling   | refused                                                                |
 * | a group: multicast, 255.255.255.255    | refused (IP input has dropped it already)                              |
 * | a link-local IPv6 address              | that address, on the host's interface that has the default route       |
 * | anything else                          | that                                                                   |
 *
 * "Anything else" includes two things that the host's kernel judges, not we. A broadcast address of one of the host's networks: no socket of ours has SO_BROADCAST,
 * so UDP there fails with EACCES, and TCP with ENETUNREACH. The host's other addresses, such as a bridge's: what the host serves there it serves to a whole
 * network; what it keeps to itself listens on the loopback.
 *
 * Callers may come by the packet, and so may flows that are refused: nothing is allocated here.
 */
import {
  IpAddress,
  isIpv4,
  isIpv4Words,
  isLinkLocalWords,
  isLoopbackWords,
  isMulticastWords,
  parseIpAddress,
} from '../base/address.ts';
import { assert } from '../base/assert.ts';
import type { CallerMap } from './caller-map.ts';
import { KEY_REMOTE, KEY_WORDS } from './flow-key.ts';
import { type FlowTable, TARGET_WORDS } from './flow-table.ts';
import { type Policy, VERDICT } from './policy.ts';

const PROTOCOL = { ICMP: 1, TCP: 6, UDP: 17, ICMPV6: 58 } as const;
const DNS_PORT = 53;
const LIMITED_BROADCAST = -1;
/** The word of a target that holds the scope id. */
const SCOPE = 5;

/** Where a server is that the host asks: a socket address's address and scope. */
export interface Resolver {
  readonly address: IpAddress;
  readonly scopeId: number;
}

export interface HostPolicyConfig {
  readonly tcp: boolean;
  readonly udp: boolean;
  readonly icmp: boolean;
  readonly allowMetadata: boolean;
  /** Where the guest asks DNS, and who answers. */
  readonly dnsAddresses: readonly IpAddress[];
  /** Servers that the user named for the guest to ask by itself. */
  readonly namedServers: readonly IpAddress[];
  readonly resolvers: readonly Resolver[];
  /** Guest's address for the host's loopback of the same family. */
  readonly loopbackAddresses: readonly IpAddress[];
  /** Other addresses that are ours and lead nowhere: the gateway of a private network. */
  readonly ownAddresses: readonly IpAddress[];
  /** The guest's own addresses. */
  readonly guestAddresses: readonly IpAddress[];
  /** Under which addresses callers appear that have none of their own inside; one for each family. */
  readonly callerAddresses: readonly IpAddress[];
  /** The host's interface for link-local destinations; 0: none. */
  readonly scopeId: number;
}

const METADATA: readonly IpAddress[] = ['169.254.169.254', 'fd00:ec2::254'].map((text) => {
  const address = parseIpAddress(text);
  assert(address !== undefined, 'the metadata addresses are addresses');
  return address;
});

export class HostPolicy implements Policy, CallerMap {
  #config: HostPolicyConfig;
  #resolver: number = 0;

  constructor(config: HostPolicyConfig) {
    this.#config = config;
  }

  /** Takes another configuration: for new flows. */
  configure(config: HostPolicyConfig): void {
    this.#config = config;
    this.#resolver = 0;
  }

  get config(): HostPolicyConfig {
    return this.#config;
  }

  /** A flow to a resolver got no answer. If that is the one that new questions go to, the next one is asked from now on. */
  resolverUnanswered(flows: FlowTable, flow: number): void {
    const { resolvers } = this.#config;
    const asked = resolvers[this.#resolver];
    if (asked === undefined || !isAt(asked.address, flows.targets, flow * TARGET_WORDS)) return;
    this.#resolver = (this.#resolver + 1) % resolvers.length;
  }

  decide(flows: FlowTable, flow: number): number {
    const config = this.#config;
    const { keys } = flows;
    const protocol = flows.protocol(flow);
    const at = flow * KEY_WORDS + KEY_REMOTE;
    const hasPorts = protocol === PROTOCOL.TCP || protocol === PROTOCOL.UDP;
    const asks = hasPorts && flows.remotePort(flow) === DNS_PORT;
    const isDns = includes(config.dnsAddresses, keys, at);
    // Without names nothing else is of use: questions go to the host's resolvers also where the protocol is switched off.
    if (isDns && asks) return this.#decideQuestion(flows, flow);
    if (!this.#isEnabled(protocol)) return VERDICT.REFUSE;
    if (includes(config.loopbackAddresses, keys, at)) return hasPorts ? toLoopback(flows, flow) : VERDICT.LOCAL;
    if (isDns || includes(config.ownAddresses, keys, at)) return VERDICT.LOCAL;
    if (!config.allowMetadata && includes(METADATA, keys, at)) {
      return asks && includes(config.namedServers, keys, at) ? VERDICT.ALLOW : VERDICT.REFUSE;
    }
    if (isHostItself(keys, at) || isGroup(keys, at)) return VERDICT.REFUSE;
    if (isLinkLocalIpv6(keys, at)) flows.targets[flow * TARGET_WORDS + SCOPE] = config.scopeId;
    return VERDICT.ALLOW;
  }

  map(address: Int32Array): void {
    const { callerAddresses, guestAddresses } = this.#config;
    if (!isHostItself(address, 0) && !isLinkLocalIpv6(address, 0) && !includes(guestAddresses, address, 0)) return;
    const ipv4 = isIpv4Words(address[0], address[1], address[2]);
    for (let i = 0; i < callerAddresses.length; i++) {
      if (isIpv4(callerAddresses[i]) !== ipv4) continue;
      writeAddress(callerAddresses[i], address, 0);
      return;
    }
  }

  #isEnabled(protocol: number): boolean {
    if (protocol === PROTOCOL.TCP) return this.#config.tcp;
    return protocol === PROTOCOL.UDP ? this.#config.udp : this.#config.icmp;
  }

  #decideQuestion(flows: FlowTable, flow: number): number {
    const resolver = this.#config.resolvers[this.#resolver];
    if (resolver === undefined) return VERDICT.LOCAL;
    const at = flow * TARGET_WORDS;
    writeAddress(resolver.address, flows.targets, at);
    flows.targets[at + SCOPE] = resolver.scopeId;
    return VERDICT.ALLOW;
  }
}

function toLoopback(flows: FlowTable, flow: number): number {
  writeAddress(flows.isIpv4(flow) ? LOOPBACK_IPV4 : LOOPBACK_IPV6, flows.targets, flow * TARGET_WORDS);
  return VERDICT.ALLOW;
}

const LOOPBACK_IPV4: IpAddress = new IpAddress(0, 0, 0xffff, 0x7f000001);
const LOOPBACK_IPV6: IpAddress = new IpAddress(0, 0, 0, 1);

/**
 * Addresses that a kernel may take for itself wherever they come from: 127.0.0.0/8 and 0.0.0.0/8, which as socket addresses are the same in their mapped form, and
 * ::/96, which holds ::, ::1 and the IPv4-compatible ::127.0.0.1.
 */
function isHostItself(words: Int32Array, at: number): boolean {
  const w0 = words[at];
  const w1 = words[at + 1];
  const w2 = words[at + 2];
  const w3 = words[at + 3];
  if (isLoopbackWords(w0, w1, w2, w3)) return true;
  return isIpv4Words(w0, w1, w2) ? w3 >>> 24 === 0 : (w0 | w1 | w2) === 0;
}

function isGroup(words: Int32Array, at: number): boolean {
  if (isMulticastWords(words[at], words[at + 1], words[at + 2], words[at + 3])) return true;
  return words[at + 3] === LIMITED_BROADCAST && isIpv4Words(words[at], words[at + 1], words[at + 2]);
}

function isLinkLocalIpv6(words: Int32Array, at: number): boolean {
  if (isIpv4Words(words[at], words[at + 1], words[at + 2])) return false;
  return isLinkLocalWords(words[at], words[at + 1], words[at + 2], words[at + 3]);
}

function includes(addresses: readonly IpAddress[], words: Int32Array, at: number): boolean {
  for (let i = 0; i < addresses.length; i++) {
    if (isAt(addresses[i], words, at)) return true;
  }
  return false;
}

function isAt(address: IpAddress, words: Int32Array, at: number): boolean {
  return (
    address.w3 === words[at + 3] &&
    address.w0 === words[at] &&
    address.w1 === words[at + 1] &&
    address.w2 === words[at + 2]
  );
}

function writeAddress(address: IpAddress, words: Int32Array, at: number): void {
  words[at] = address.w0;
  words[at + 1] = address.w1;
  words[at + 2] = address.w2;
  words[at + 3] = address.w3;
}
