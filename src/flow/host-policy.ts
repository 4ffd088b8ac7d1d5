/**
 * The policy of a guest that stands behind the host: it may go where the host may go, but for the host itself.
 *
 * | the guest calls                      | and gets                                                               |
 * | ------------------------------------ | ---------------------------------------------------------------------- |
 * | the DNS address, port 53             | the host's resolver, wherever that listens                             |
 * | an address mapped to the loopback    | the host's 127.0.0.1 or ::1                                            |
 * | an address that is ours otherwise    | an answer to ping; else refused                                        |
 * | a cloud's metadata address           | refused, unless allowed                                                |
 * | the host's loopback, by any spelling | refused                                                                |
 * | a link-local IPv6 address            | that address, on the host's interface that has the default route       |
 * | anything else                        | that                                                                   |
 */
import {
  equalAddress,
  IpAddress,
  isIpv4Words,
  isLinkLocalWords,
  isLoopbackWords,
  isUnspecifiedWords,
  parseIpAddress,
} from '../base/address.ts';
import { assert } from '../base/assert.ts';
import type { CallerMap } from './caller-map.ts';
import { type FlowTable, KEY, KEY_WORDS, TARGET_WORDS } from './flow-table.ts';
import { type Policy, VERDICT } from './policy.ts';

const PROTOCOL = { ICMP: 1, TCP: 6, UDP: 17, ICMPV6: 58 } as const;
const DNS_PORT = 53;

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
    const at = flow * TARGET_WORDS;
    const { targets } = flows;
    const target = new IpAddress(targets[at], targets[at + 1], targets[at + 2], targets[at + 3]);
    if (asked === undefined || !equalAddress(asked.address, target)) return;
    this.#resolver = (this.#resolver + 1) % resolvers.length;
  }

  decide(flows: FlowTable, flow: number): number {
    const config = this.#config;
    const protocol = flows.protocol(flow);
    if (!this.#isEnabled(protocol)) return VERDICT.REFUSE;
    const at = flow * KEY_WORDS + KEY.REMOTE;
    const remote = new IpAddress(flows.keys[at], flows.keys[at + 1], flows.keys[at + 2], flows.keys[at + 3]);
    if (includes(config.dnsAddresses, remote)) return this.#decideDns(flows, flow, protocol);
    if (includes(config.loopbackAddresses, remote)) return decideLoopback(flows, flow, protocol);
    if (includes(config.ownAddresses, remote)) return VERDICT.LOCAL;
    if (!config.allowMetadata && includes(METADATA, remote)) return VERDICT.REFUSE;
    if (isHostItself(remote)) return VERDICT.REFUSE;
    if (isLinkLocalWords(remote.w0, remote.w1, remote.w2, remote.w3) && !flows.isIpv4(flow)) {
      flows.targets[flow * TARGET_WORDS + 5] = config.scopeId;
    }
    return VERDICT.ALLOW;
  }

  map(address: Int32Array): void {
    const caller = new IpAddress(address[0], address[1], address[2], address[3]);
    const shown = !isHostItself(caller) && !isLinkLocalIpv6(caller) && !includes(this.#config.guestAddresses, caller);
    if (shown) return;
    const ipv4 = isIpv4Words(caller.w0, caller.w1, caller.w2);
    const ours = this.#config.callerAddresses.find((each) => isIpv4Words(each.w0, each.w1, each.w2) === ipv4);
    if (ours === undefined) return;
    address[0] = ours.w0;
    address[1] = ours.w1;
    address[2] = ours.w2;
    address[3] = ours.w3;
  }

  #isEnabled(protocol: number): boolean {
    if (protocol === PROTOCOL.TCP) return this.#config.tcp;
    return protocol === PROTOCOL.UDP ? this.#config.udp : this.#config.icmp;
  }

  #decideDns(flows: FlowTable, flow: number, protocol: number): number {
    const resolver = this.#config.resolvers[this.#resolver];
    const asks = (protocol === PROTOCOL.UDP || protocol === PROTOCOL.TCP) && flows.remotePort(flow) === DNS_PORT;
    if (!asks || resolver === undefined) return VERDICT.LOCAL;
    setTarget(flows, flow, resolver.address, resolver.scopeId);
    return VERDICT.ALLOW;
  }
}

function decideLoopback(flows: FlowTable, flow: number, protocol: number): number {
  if (protocol !== PROTOCOL.TCP && protocol !== PROTOCOL.UDP) return VERDICT.LOCAL;
  setTarget(flows, flow, flows.isIpv4(flow) ? LOOPBACK_IPV4 : LOOPBACK_IPV6, 0);
  return VERDICT.ALLOW;
}

function setTarget(flows: FlowTable, flow: number, address: IpAddress, scopeId: number): void {
  const at = flow * TARGET_WORDS;
  flows.targets[at] = address.w0;
  flows.targets[at + 1] = address.w1;
  flows.targets[at + 2] = address.w2;
  flows.targets[at + 3] = address.w3;
  flows.targets[at + 5] = scopeId;
}

const LOOPBACK_IPV4: IpAddress = new IpAddress(0, 0, 0xffff, 0x7f000001);
const LOOPBACK_IPV6: IpAddress = new IpAddress(0, 0, 0, 1);

/** Addresses that the host's kernel takes for itself wherever they come from: 127.0.0.0/8, ::1, 0.0.0.0/8, ::. */
function isHostItself(address: IpAddress): boolean {
  const { w0, w1, w2, w3 } = address;
  if (isLoopbackWords(w0, w1, w2, w3) || isUnspecifiedWords(w0, w1, w2, w3)) return true;
  return isIpv4Words(w0, w1, w2) && w3 >>> 24 === 0;
}

function isLinkLocalIpv6({ w0, w1, w2, w3 }: IpAddress): boolean {
  return isLinkLocalWords(w0, w1, w2, w3) && !isIpv4Words(w0, w1, w2);
}

function includes(addresses: readonly IpAddress[], address: IpAddress): boolean {
  for (let i = 0; i < addresses.length; i++) {
    if (equalAddress(addresses[i], address)) return true;
  }
  return false;
}
