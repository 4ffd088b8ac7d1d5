/**
 * How an engine's graph is wired: which nodes there are beside those that every engine has, and what is to be done beside the graph's own work. `guest-wiring.ts` is
 * that of one guest behind each link, who is shown the host's world; the one for forwarding between interfaces stands with the running network.
 */
import type { TurnClock } from '../base/turn-clock.ts';
import type { LinkTowards } from '../flow/congestion.ts';
import type { GuestLink } from '../flow/guest-link.ts';
import type { GuestNeighbours } from '../flow/neighbours.ts';
import type { Feature, Graph } from '../graph/graph.ts';
import type { GraphNode, Output } from '../graph/node.ts';
import type { Reassembly } from '../nodes/reassembly.ts';
import type { Packets } from '../packet/packets.ts';
import type { InterfaceOutput } from './interface-output.ts';

/** What an engine has before it has flows. */
export interface WiringBase {
  readonly packets: Packets;
  readonly clock: TurnClock;
  /** The last node of every graph. */
  readonly interfaceOutput: InterfaceOutput;
  readonly guestLinks: readonly (GuestLink | undefined)[];
}

export interface WiringParts extends WiringBase {
  readonly reassembly: Reassembly;
  /** `tcp-input`, `udp-input`, `icmp-input` and `icmp6-input`. */
  readonly translators: readonly GraphNode[];
}

export interface Wired {
  /** In the order in which the graph visits them; `ethernet-input` is where packets enter. */
  readonly nodes: readonly GraphNode[];
  readonly features: readonly Feature[];
}

export interface Wiring {
  /** Called first: what flows emit into, who they find callers' guests by, and which links their frames leave by. */
  begin(base: WiringBase): {
    readonly output: Output;
    readonly neighbours: GuestNeighbours;
    readonly linkTowards: LinkTowards;
  };
  /** Called once, then. */
  wire(parts: WiringParts): Wired;
  /** When a frame has gone through the graph and no received packet is in use: runs what it holds back through the graph. Returns whether there is more. */
  settle(graph: Graph): boolean;
  /** Once a second. */
  keepHouse(nowMs: number): void;
}
