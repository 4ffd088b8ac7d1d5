/**
 * The graph of a running network: frames are bridged, packets are looked up and routed, are for ourselves, or go by the uplink to the translators.
 *
 *     ethernet-input -> bridge-input -> interface-output
 *                    -> arp-input
 *                    -> ip4-input -> ip4-lookup -> ip4-rewrite -> interface-output
 *                                               -> ip4-neighbour (waits for an answer)
 *                                               -> ip4-local
 *                                               -> tcp-input, udp-input, icmp-input (uplink)
 *                                               -> ip4-error
 *
 * and the same for IPv6. The look-ups stand before the translators and before reassembly, on the ways from the input nodes: what they send there themselves goes by. What
 * leaves by a bridge's own leg goes through `bvi-output`, whoever sends it.
 */
import { IpAddress, isIpv4, MacAddress } from '../base/address.ts';
import { assert } from '../base/assert.ts';
import { L2_FIB_ENTRIES_MAX } from '../base/limits.ts';
import type { TurnClock } from '../base/turn-clock.ts';
import type { InterfaceOutput } from '../engine/interface-output.ts';
import type { Wired, Wiring, WiringBase, WiringParts } from '../engine/wiring.ts';
import type { LinkTowards } from '../flow/congestion.ts';
import type { Feature, Graph } from '../graph/graph.ts';
import { type Insertion, insertNodes } from '../graph/insert-nodes.ts';
import type { GraphNode, Output } from '../graph/node.ts';
import { AddressConflicts } from '../nodes/address-conflicts.ts';
import { ArpResponder } from '../nodes/arp-responder.ts';
import { BridgeForward } from '../nodes/bridge-forward.ts';
import { BridgeInput } from '../nodes/bridge-input.ts';
import { BviOutput } from '../nodes/bvi-output.ts';
import { DhcpServer } from '../nodes/dhcp-server.ts';
import { ForwardingInput } from '../nodes/forwarding-input.ts';
import { Ip4Error, Ip6Error, IpErrors } from '../nodes/ip-error.ts';
import { type IcmpListener, Ip4Local, Ip6Local } from '../nodes/ip-local.ts';
import { Ip4Input } from '../nodes/ip4-input.ts';
import { Ip4Lookup } from '../nodes/ip4-lookup.ts';
import { Ip4Reassembly } from '../nodes/ip4-reassembly.ts';
import { Ip4Rewrite } from '../nodes/ip4-rewrite.ts';
import { Ip6Input } from '../nodes/ip6-input.ts';
import { Ip6Lookup } from '../nodes/ip6-lookup.ts';
import { Ip6Reassembly } from '../nodes/ip6-reassembly.ts';
import { Ip6Rewrite } from '../nodes/ip6-rewrite.ts';
import { Ip4Services, Ip6Services } from '../nodes/local-services.ts';
import { NdResponder } from '../nodes/nd-responder.ts';
import { Ip4Neighbour, Ip6Neighbour } from '../nodes/neighbour-queue.ts';
import { NeighbourResolver } from '../nodes/neighbour-resolver.ts';
import { NoService } from '../nodes/no-service.ts';
import { RouterAdvertiser } from '../nodes/router-advertiser.ts';
import { arpRequest } from '../nodes/solicitation.ts';
import { NO_PACKET, type Packet, type Packets } from '../packet/packets.ts';
import * as ethernet from '../wire/ethernet.ts';
import type { Forwarding } from './forwarding.ts';
import { ForwardingNeighbours } from './forwarding-neighbours.ts';
import { ReleasedFrames } from './released-frames.ts';

export interface ForwardingWiringOptions {
  readonly forwarding: Forwarding;
  /** 32 random bits. */
  readonly random: () => number;
  /** Somebody else claims an address of ours. */
  readonly onConflict: (interfaceIndex: number, address: IpAddress, mac: MacAddress) => void;
  /** Further nodes: their names are no other's, and they stand before nodes that are there. */
  readonly nodes?: readonly Insertion[];
}

/** Ways that lead by the look-up: between these and those. */
const LOOKUPS = [
  { node: 'ip4-lookup', from: ['ip4-input', 'ip4-reassembly'] },
  { node: 'ip6-lookup', from: ['ip6-input', 'ip6-reassembly'] },
] as const;
/** In front of what answers for ourselves. */
const SERVICE_FEATURES: readonly Feature[] = [
  { before: 'ip4-local', node: 'ip4-services' },
  { before: 'ip6-local', node: 'ip6-services' },
];
const BEHIND_LOOKUPS = ['tcp-input', 'udp-input', 'icmp-input', 'icmp6-input', 'ip4-reassembly', 'ip6-reassembly'];

/** What is made first, and again needed when the nodes are. */
interface Begun {
  readonly packets: Packets;
  readonly clock: TurnClock;
  readonly bridgeForward: BridgeForward;
  readonly bviOutput: BviOutput;
  readonly output: Output;
  readonly resolver: NeighbourResolver;
  readonly released: ReleasedFrames;
  readonly advertiser: RouterAdvertiser;
  readonly dhcp: DhcpServer;
  readonly neighbours: ForwardingNeighbours;
}

export class ForwardingWiring implements Wiring {
  /** A guest that callers wait for has been found, or has not: they are to be looked at again. */
  onGuestSettled: () => void = () => {};
  readonly #options: ForwardingWiringOptions;
  #begun: Begun | undefined;
  #locals: { listener: IcmpListener | undefined }[] = [];
  readonly #services: readonly [Ip4Services, Ip6Services] = [new Ip4Services(), new Ip6Services()];

  constructor(options: ForwardingWiringOptions) {
    this.#options = options;
  }

  /** Who is on the links. */
  get resolver(): NeighbourResolver {
    return this.#parts.resolver;
  }

  /** Gives addresses. */
  get dhcp(): DhcpServer {
    return this.#parts.dhcp;
  }

  /** Says that we are a router. */
  get advertiser(): RouterAdvertiser {
    return this.#parts.advertiser;
  }

  /** With an uplink, TCP and UDP for our own addresses are the translators' too: their policy says what becomes of them. */
  setUplink(present: boolean): void {
    for (const node of this.#services) node.enabled = present;
  }

  /** Tells everybody on the link where our IPv4 addresses are: an ARP announcement for each (RFC 5227, section 3). Between turns. */
  announce(index: number): void {
    const { interfaces, addresses } = this.#options.forwarding;
    const { packets, output } = this.#parts;
    const mac = new MacAddress(interfaces.macHigh[index]!, interfaces.macLow[index]!);
    for (const { address } of addresses.list(index)) {
      if (!isIpv4(address)) continue;
      const { BROADCAST_HIGH, BROADCAST_LOW } = ethernet;
      const packet = arpRequest(packets, index, mac, address.w3, address.w3, BROADCAST_HIGH, BROADCAST_LOW);
      if (packet === NO_PACKET) break;
      packets.rxInterface[packet] = -1;
      output.emit(packet);
    }
    output.flush();
  }

  /** The interface goes: what waits for somebody there, and what was served. */
  forgetInterface(index: number): void {
    this.resolver.flush(index);
    this.dhcp.configure(index, undefined);
    this.advertiser.forget(index);
  }

  /** All interfaces go: routers say so. Between turns. */
  withdraw(): void {
    this.advertiser.withdrawAll();
    this.#parts.output.flush();
  }

  /** Who hears of ICMP messages for us. */
  setIcmpListener(listener: IcmpListener): void {
    for (const local of this.#locals) local.listener = listener;
  }

  begin({ packets, clock, interfaceOutput }: WiringBase): ReturnType<Wiring['begin']> {
    const { forwarding, random } = this.#options;
    const { interfaces, addresses, adjacencies, bridges, l2fib } = forwarding;
    const bridgeForward = new BridgeForward(interfaces, bridges, l2fib, interfaceOutput);
    const bviOutput = new BviOutput(packets, interfaces, bridges, bridgeForward, interfaceOutput);
    const output = new RoutedOutput(bviOutput, interfaceOutput);
    const resolver = new NeighbourResolver({ packets, interfaces, addresses, adjacencies, output, clock });
    const released = new ReleasedFrames(packets);
    const fraction = (): number => random() / 2 ** 32;
    const advertiser = new RouterAdvertiser({ packets, interfaces, addresses, output, random: fraction });
    const dhcp = new DhcpServer({ interfaces, addresses, output, clock });
    const neighbours = new ForwardingNeighbours(addresses, resolver, (...towards) => forwarding.nextHopOn(...towards));
    const begun = { packets, clock, bridgeForward, bviOutput, output, resolver, released };
    this.#begun = { ...begun, advertiser, dhcp, neighbours };
    const linkTowards: LinkTowards = (index, high, low) => forwarding.linkTowards(index, high, low);
    return { output, neighbours, linkTowards };
  }

  wire({ reassembly, translators, interfaceOutput }: WiringParts): Wired {
    const { forwarding, random, onConflict } = this.#options;
    const { clock, bridgeForward, bviOutput, output, resolver } = this.#parts;
    const { interfaces, addresses, adjacencies, bridges, l2fib, routes, groups, secrets } = forwarding;
    const conflicts = new AddressConflicts(clock, (index, w0, w1, w2, w3, high, low) => {
      onConflict(index, new IpAddress(w0, w1, w2, w3), new MacAddress(high, low));
    });
    const errors = new IpErrors({ interfaces, addresses, clock, output });
    const ip4Local = new Ip4Local(interfaces, output);
    const ip6Local = new Ip6Local(interfaces, output, random());
    this.#locals = [ip4Local, ip6Local];
    const lookup = { adjacencies, addresses, groups, secrets };
    const nodes: GraphNode[] = [
      new ForwardingInput(interfaces, forwarding.vlans),
      new BridgeInput(interfaces, bridges, l2fib, bridgeForward, clock),
      new ArpResponder(interfaces, addresses, resolver, conflicts),
      new Ip4Input('ip4-lookup'),
      new Ip6Input('ip6-lookup'),
      new Ip4Reassembly(reassembly),
      new Ip6Reassembly(reassembly),
      new NdResponder(interfaces, addresses, resolver, conflicts, output, this.advertiser),
      this.dhcp,
      new NoService('dhcpv6-input'),
      new Ip4Lookup({ ...lookup, routes: routes.fib4 }),
      new Ip6Lookup({ ...lookup, routes: routes.fib6 }),
      ...this.#services,
      ip4Local,
      ip6Local,
      new Ip4Neighbour(adjacencies, addresses, resolver),
      new Ip6Neighbour(adjacencies, addresses, resolver),
      new Ip4Rewrite({ adjacencies, interfaces }, output),
      new Ip6Rewrite({ adjacencies, interfaces }),
      ...translators,
      new Ip4Error(errors),
      new Ip6Error(errors),
      bviOutput,
      interfaceOutput,
    ];
    const plan = { nodes, features: [bviFeature(nodes), ...lookupFeatures(), ...SERVICE_FEATURES] };
    const inserted = insertNodes(plan, this.#options.nodes ?? []);
    assert(inserted.ok, 'further nodes have names and places of their own');
    return inserted.value;
  }

  settle(graph: Graph): boolean {
    const { resolver, released, neighbours } = this.#parts;
    if (neighbours.isSettled()) this.onGuestSettled();
    const more = resolver.deliver(released);
    released.run(graph);
    return more;
  }

  keepHouse(nowMs: number): void {
    const { clock, resolver } = this.#parts;
    resolver.tick();
    this.advertiser.advertise(nowMs);
    this.#options.forwarding.bridges.age(clock.nowUs, AGEING_PLACES_PER_SECOND);
  }

  get #parts(): Begun {
    assert(this.#begun !== undefined, 'an engine begins with its wiring');
    return this.#begun;
  }
}

/** The table is looked through in 4 seconds (it has two places for an entry): so much later than its time may a silent station be forgotten. */
const AGEING_PLACES_PER_SECOND = L2_FIB_ENTRIES_MAX / 2;

/** What flows and services emit into: into bridges what leaves by a BVI. */
class RoutedOutput implements Output {
  readonly #bviOutput: BviOutput;
  readonly #interfaceOutput: InterfaceOutput;

  constructor(bviOutput: BviOutput, interfaceOutput: InterfaceOutput) {
    this.#bviOutput = bviOutput;
    this.#interfaceOutput = interfaceOutput;
  }

  emit(packet: Packet): void {
    this.#bviOutput.emit(packet);
  }

  flush(): void {
    this.#interfaceOutput.flush();
  }
}

/** In front of `interface-output`, but for what comes out of a bridge already. */
function bviFeature(nodes: readonly GraphNode[]): Feature {
  const from = nodes.filter(({ name, next }) => next.includes('interface-output') && name !== 'bridge-input');
  return { before: 'interface-output', node: 'bvi-output', from: from.map(({ name }) => name) };
}

function lookupFeatures(): Feature[] {
  return LOOKUPS.flatMap(({ node, from }) => BEHIND_LOOKUPS.map((before) => ({ before, node, from })));
}
