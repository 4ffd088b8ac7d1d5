/**
 * The policy of the uplink: where the flows of guests on any number of interfaces may go. As that of `tapster run` (`flow/host-policy.ts`), with our addresses
 * on interfaces in the place of an invented gateway.
 *
 * | a guest calls                                          | and gets                                                       |
 * | ------------------------------------------------------ | -------------------------------------------------------------- |
 * | port 53 of an address that we have on its interface    | the DNS servers of that interface, where it serves DNS         |
 * | the address that stands for the host's loopback        | the host's 127.0.0.1 or ::1                                    |
 * | an address of ours otherwise, on any interface         | refused, like a closed port                                    |
 * | a cloud's metadata address                             | refused, unless allowed                                        |
 * | the host's loopback, by any spelling                   | refused                                                        |
 * | a group: multicast, 255.255.255.255                    | refused                                                        |
 * | a protocol that is switched off                        | refused; DNS is passed on all the same                         |
 * | a link-local IPv6 address                              | that address, on the host's interface with the default route   |
 * | anything else                                          | that                                                           |
 *
 * Callers of published ports appear under their own address, unless it means something else inside: the host's loopback, any link-local address, an address of
 * ours, of the guest, or of the interface's networks, whose owner the guest would look for on its own link. These appear under our address there.
 *
 * Callers and refused flows may come by the packet: nothing is allocated on their way.
 */
import { type IpAddress, isIpv4Words } from '../base/address.ts';
import type { UplinkConfig } from '../config/config.ts';
import {
  DNS_PORT,
  includes,
  isAt,
  isGroup,
  isHostItself,
  isLinkLocal,
  isLinkLocalIpv6,
  METADATA,
  PROTOCOL,
  SCOPE,
  toLoopback,
} from '../flow/address-words.ts';
import type { CallerMap } from '../flow/caller-map.ts';
import { KEY_REMOTE, KEY_WORDS } from '../flow/flow-key.ts';
import { type FlowTable, TARGET_WORDS } from '../flow/flow-table.ts';
import { type Policy, VERDICT } from '../flow/policy.ts';
import { type AsksResolvers, type Resolver, Resolvers } from '../flow/resolvers.ts';
import type { InterfaceAddresses } from '../forward/interface-addresses.ts';

export type UplinkSettings = Pick<UplinkConfig, 'tcp' | 'udp' | 'icmp' | 'hostLoopback' | 'allowMetadata'>;

/** The servers of an interface that serves DNS; `own` is false where they are the host's. */
interface DnsService {
  readonly own: boolean;
  resolvers: Resolvers;
}

export class UplinkPolicy implements Policy, CallerMap, AsksResolvers {
  readonly #addresses: InterfaceAddresses;
  #settings: UplinkSettings;
  #hostResolvers: readonly Resolver[];
  #scopeId: number;
  /** By interface; a hole where it serves no DNS. */
  readonly #dns: (DnsService | undefined)[] = [];

  /** `hostResolvers`: whom the host asks. `scopeId`: the host's interface for link-local destinations, 0: none. */
  constructor(
    addresses: InterfaceAddresses,
    settings: UplinkSettings,
    hostResolvers: readonly Resolver[],
    scopeId: number = 0,
  ) {
    this.#addresses = addresses;
    this.#settings = settings;
    this.#hostResolvers = hostResolvers;
    this.#scopeId = scopeId;
  }

  /** Takes other settings, for new flows. */
  configure(settings: UplinkSettings): void {
    this.#settings = settings;
  }

  /** Whom the host asks now. */
  setHostResolvers(resolvers: readonly Resolver[]): void {
    this.#hostResolvers = resolvers;
    for (const service of this.#dns) {
      if (service !== undefined && !service.own) service.resolvers = new Resolvers(resolvers);
    }
  }

  setScopeId(scopeId: number): void {
    this.#scopeId = scopeId;
  }

  /** The interface serves DNS: by these servers, or where there are none by those of the host. Undefined: no more. */
  setDns(interfaceIndex: number, servers: readonly IpAddress[] | undefined): void {
    if (servers === undefined) {
      if (interfaceIndex < this.#dns.length) this.#dns[interfaceIndex] = undefined;
      return;
    }
    const own = servers.length > 0;
    const list = own ? servers.map((address) => ({ address, scopeId: 0 })) : this.#hostResolvers;
    this.#dns[interfaceIndex] = { own, resolvers: new Resolvers(list) };
  }

  resolverUnanswered(flows: FlowTable, flow: number): void {
    this.#dns[flows.interfaceIndex(flow)]?.resolvers.unanswered(flows, flow);
  }

  decide(flows: FlowTable, flow: number): number {
    const { keys } = flows;
    const on = flows.interfaceIndex(flow);
    const protocol = flows.protocol(flow);
    const at = flow * KEY_WORDS + KEY_REMOTE;
    const hasPorts = protocol === PROTOCOL.TCP || protocol === PROTOCOL.UDP;
    const isHere = this.#addresses.isOn(on, keys[at]!, keys[at + 1]!, keys[at + 2]!, keys[at + 3]!);
    // Without names nothing else is of use: questions go to the servers also where the protocol is switched off.
    const dns = isHere && hasPorts && flows.remotePort(flow) === DNS_PORT ? this.#dns[on] : undefined;
    if (dns !== undefined) return dns.resolvers.ask(flows, flow);
    if (!this.#isEnabled(protocol)) return VERDICT.REFUSE;
    if (this.#isHostLoopback(isHere, keys, at)) return hasPorts ? toLoopback(flows, flow) : VERDICT.LOCAL;
    if (this.#isOurs(on, keys, at)) return VERDICT.LOCAL;
    if (!this.#settings.allowMetadata && includes(METADATA, keys, at)) return VERDICT.REFUSE;
    if (isHostItself(keys, at) || isGroup(keys, at)) return VERDICT.REFUSE;
    if (isLinkLocalIpv6(keys, at)) flows.targets[flow * TARGET_WORDS + SCOPE] = this.#scopeId;
    return VERDICT.ALLOW;
  }

  map(address: Int32Array, interfaceIndex: number, guest: Int32Array, guestAt: number): void {
    if (!this.#isForeign(address, interfaceIndex, guest, guestAt)) return;
    const w0 = guest[guestAt]!;
    const w1 = guest[guestAt + 1]!;
    const w2 = guest[guestAt + 2]!;
    const w3 = guest[guestAt + 3]!;
    if (isIpv4Words(w0, w1, w2)) {
      const ours = this.#addresses.ipv4On(interfaceIndex, w3);
      if (ours !== 0) address[3] = ours;
    } else {
      this.#addresses.ipv6On(interfaceIndex, w0, w1, w2, w3, address);
    }
  }

  /** Whether a caller's address means something else to this guest. */
  #isForeign(address: Int32Array, on: number, guest: Int32Array, guestAt: number): boolean {
    if (isHostItself(address, 0) || isLinkLocal(address, 0) || this.#isOurs(on, address, 0)) return true;
    if (this.#addresses.isOnLink(on, address[0]!, address[1]!, address[2]!, address[3]!)) return true;
    for (let word = 0; word < 4; word++) if (address[word] !== guest[guestAt + word]) return false;
    return true;
  }

  #isHostLoopback(isHere: boolean, words: Int32Array, at: number): boolean {
    const { hostLoopback } = this.#settings;
    if (hostLoopback === undefined) return false;
    return hostLoopback === 'gateway' ? isHere : isAt(hostLoopback, words, at);
  }

  #isOurs(on: number, words: Int32Array, at: number): boolean {
    return this.#addresses.isOurs(on, words[at]!, words[at + 1]!, words[at + 2]!, words[at + 3]!);
  }

  #isEnabled(protocol: number): boolean {
    const { tcp, udp, icmp } = this.#settings;
    if (protocol === PROTOCOL.TCP) return tcp;
    return protocol === PROTOCOL.UDP ? udp : icmp;
  }
}
