/** The graph of `tapster run`: each link has a guest, whom we tell who it is, and whose packets are translated to host sockets, wherever they go. */
import type { GuestLink } from '../flow/guest-link.ts';
import { Neighbours } from '../flow/neighbours.ts';
import type { Feature } from '../graph/graph.ts';
import type { GraphNode } from '../graph/node.ts';
import { ArpInput } from '../nodes/arp.ts';
import { DhcpInput } from '../nodes/dhcp.ts';
import { Dhcpv6Input } from '../nodes/dhcpv6.ts';
import { DnsInput, type LocalNames } from '../nodes/dns-input.ts';
import { EthernetInput } from '../nodes/ethernet-input.ts';
import { GuestSeeker } from '../nodes/guest-seeker.ts';
import { Ip4Input } from '../nodes/ip4-input.ts';
import { Ip4Reassembly } from '../nodes/ip4-reassembly.ts';
import { Ip6Input } from '../nodes/ip6-input.ts';
import { Ip6Reassembly } from '../nodes/ip6-reassembly.ts';
import { NdpInput } from '../nodes/ndp.ts';
import type { ServiceConfig } from '../nodes/service-config.ts';
import type { Packets } from '../packet/packets.ts';
import type { Wired, Wiring, WiringBase, WiringParts } from './wiring.ts';

export interface GuestWiringOptions {
  /** What ARP, NDP and the DHCP servers tell the guest. */
  readonly services: ServiceConfig;
  /** Names that only we know, and their addresses. */
  readonly localNames: LocalNames;
}

export class GuestWiring implements Wiring {
  /** Who is behind each link. */
  readonly neighbours: Neighbours = new Neighbours();
  /** Called when callers may be waiting for a guest that has been heard now. */
  onGuestSettled: () => void = () => {};
  readonly #options: GuestWiringOptions;
  #services: { configure(config: ServiceConfig): void }[] = [];
  #seeker: GuestSeeker | undefined;
  #ndp: NdpInput | undefined;
  #packets: Packets | undefined;
  #links: readonly (GuestLink | undefined)[] = [];

  constructor(options: GuestWiringOptions) {
    this.#options = options;
  }

  begin(base: WiringBase): ReturnType<Wiring['begin']> {
    const { packets, clock, interfaceOutput } = base;
    this.#seeker = new GuestSeeker(this.#options.services, this.neighbours, {
      packets,
      clock,
      output: interfaceOutput,
    });
    return { output: interfaceOutput, neighbours: this.#seeker, linkTowards: (index) => index };
  }

  wire({ packets, interfaceOutput, guestLinks, reassembly, translators }: WiringParts): Wired {
    const { services, localNames } = this.#options;
    const arp = new ArpInput(services, this.neighbours);
    const ndp = new NdpInput(services, this.neighbours, interfaceOutput);
    const dhcp = new DhcpInput(services, this.neighbours, interfaceOutput);
    const dhcpv6 = new Dhcpv6Input(services, this.neighbours, interfaceOutput);
    this.#services = [arp, ndp, dhcp, dhcpv6, this.#seeker!];
    this.#ndp = ndp;
    this.#packets = packets;
    this.#links = guestLinks;
    const nodes: GraphNode[] = [
      new EthernetInput(guestLinks),
      arp,
      new Ip4Input(),
      new Ip6Input(),
      new Ip4Reassembly(reassembly),
      new Ip6Reassembly(reassembly),
      ndp,
      dhcp,
      dhcpv6,
      ...translators,
      interfaceOutput,
    ];
    const features: Feature[] = [];
    if (localNames.size > 0) {
      const dns = new DnsInput(services, localNames, interfaceOutput);
      this.#services.push(dns);
      nodes.unshift(dns);
      features.push({ before: 'udp-input', node: dns.name });
    }
    return { nodes, features };
  }

  /** Changes what the guest is told, from the next question on. */
  configure(config: ServiceConfig): void {
    for (const service of this.#services) service.configure(config);
  }

  settle(): boolean {
    if (this.#seeker!.isSettled()) this.onGuestSettled();
    return false;
  }

  keepHouse(nowMs: number): void {
    for (const link of this.#links) {
      if (link !== undefined) this.#ndp!.advertise(this.#packets!, link.index, nowMs);
    }
  }
}
