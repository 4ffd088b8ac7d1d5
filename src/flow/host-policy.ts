/**
 * The policy of a guest that stands behind the host: it may go where the host may go, but for the host itself.
 *
 * | the guest calls                        | and gets                                                               |
 * | -------------------------------------- | ---------------------------------------------------------------------- |
 * | port 53 of the DNS address             | the host's resolver, wherever that listens; where wanted 853 too       |
 * | an address mapped to the loopback      | the host's 127.0.0.1 or ::1                                            |
 * | an address mapped to the guest's own   | the host at the address that both have                                 |
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
import { type IpAddress, isIpv4, isIpv4Words } from '../base/address.ts';
import {
  DNS_PORT,
  DNS_TLS_PORT,
  includes,
  isGroup,
  isHostItself,
  isLinkLocalIpv6,
  METADATA,
  PROTOCOL,
  SCOPE,
  toLoopback,
  writeAddress,
} from './address-words.ts';
import type { CallerMap } from './caller-map.ts';
import { KEY_REMOTE, KEY_WORDS } from './flow-key.ts';
import { type FlowTable, TARGET_WORDS } from './flow-table.ts';
import { type Policy, VERDICT } from './policy.ts';
import { type AsksResolvers, type Resolver, Resolvers } from './resolvers.ts';

export interface HostPolicyConfig {
  readonly tcp: boolean;
  readonly udp: boolean;
  readonly icmp: boolean;
  readonly allowMetadata: boolean;
  /** Where the guest asks DNS, and who answers. */
  readonly dnsAddresses: readonly IpAddress[];
  /** The resolvers' port 853 can be reached there too. A client that tries it first waits where they have none. */
  readonly dnsTls?: boolean;
  /** Servers that the user named for the guest to ask by itself. */
  readonly namedServers: readonly IpAddress[];
  readonly resolvers: readonly Resolver[];
  /** Guest's address for the host's loopback of the same family. */
  readonly loopbackAddresses: readonly IpAddress[];
  /** Guest's addresses for the address that the host has like the guest, of the same family. */
  readonly sharedAddresses?: readonly IpAddress[];
  /** Other addresses that are ours and lead nowhere: the gateway of a private network. */
  readonly ownAddresses: readonly IpAddress[];
  /** The guest's own addresses. */
  readonly guestAddresses: readonly IpAddress[];
  /** Under which addresses callers appear that have none of their own inside; one for each family. */
  readonly callerAddresses: readonly IpAddress[];
  /** The host's interface for link-local destinations; 0: none. */
  readonly scopeId: number;
}

export class HostPolicy implements Policy, CallerMap, AsksResolvers {
  #config: HostPolicyConfig;
  #resolvers: Resolvers;

  constructor(config: HostPolicyConfig) {
    this.#config = config;
    this.#resolvers = new Resolvers(config.resolvers);
  }

  /** Takes another configuration: for new flows. */
  configure(config: HostPolicyConfig): void {
    this.#config = config;
    this.#resolvers = new Resolvers(config.resolvers);
  }

  get config(): HostPolicyConfig {
    return this.#config;
  }

  resolverUnanswered(flows: FlowTable, flow: number): void {
    this.#resolvers.unanswered(flows, flow);
  }

  decide(flows: FlowTable, flow: number): number {
    const config = this.#config;
    const { keys } = flows;
    const protocol = flows.protocol(flow);
    const at = flow * KEY_WORDS + KEY_REMOTE;
    const hasPorts = protocol === PROTOCOL.TCP || protocol === PROTOCOL.UDP;
    const asks = hasPorts && isDnsPort(config, flows.remotePort(flow));
    const isDns = includes(config.dnsAddresses, keys, at);
    // Without names nothing else is of use: questions go to the host's resolvers also where the protocol is switched off.
    if (isDns && asks) return this.#resolvers.ask(flows, flow);
    if (!this.#isEnabled(protocol)) return VERDICT.REFUSE;
    if (includes(config.loopbackAddresses, keys, at)) return hasPorts ? toLoopback(flows, flow) : VERDICT.LOCAL;
    if (config.sharedAddresses !== undefined && includes(config.sharedAddresses, keys, at)) {
      return hasPorts ? this.#toShared(flows, flow) : VERDICT.LOCAL;
    }
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

  /** Sends the flow to the guest's own address, at the host. Returns the verdict. */
  #toShared(flows: FlowTable, flow: number): number {
    const { guestAddresses } = this.#config;
    for (let i = 0; i < guestAddresses.length; i++) {
      if (isIpv4(guestAddresses[i]) !== flows.isIpv4(flow)) continue;
      writeAddress(guestAddresses[i], flows.targets, flow * TARGET_WORDS);
      return VERDICT.ALLOW;
    }
    return VERDICT.LOCAL;
  }

  #isEnabled(protocol: number): boolean {
    if (protocol === PROTOCOL.TCP) return this.#config.tcp;
    return protocol === PROTOCOL.UDP ? this.#config.udp : this.#config.icmp;
  }
}

function isDnsPort(config: HostPolicyConfig, port: number): boolean {
  return port === DNS_PORT || (port === DNS_TLS_PORT && config.dnsTls === true);
}
