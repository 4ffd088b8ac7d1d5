/**
 * Policy: the one place between "who called" and "where to", for TCP, UDP and ICMP alike.
 *
 * A policy sees a new flow (its key is set, its target equals the remote address) and either leaves or changes the target, or refuses.
 */
import type { FlowTable } from './flow-table.ts';

export const VERDICT = {
  /** Go on to the target. */
  ALLOW: 0,
  /** Refuse visibly: RST for TCP, ICMP administratively prohibited for the others. */
  REFUSE: 1,
  /** The address is ours: no host socket; echo requests are answered here, everything else is refused like a closed port. */
  LOCAL: 2,
} as const;

export interface Policy {
  /** Decides on `flow`, in state NEW. Whoever calls moves it on to TARGETED when allowed. */
  decide(flows: FlowTable, flow: number): number;
}

/** Who wants to know of flows: logs, names, summary. Never called per packet. */
export interface FlowObserver {
  /** The host side is connected (TCP), or the first packet has gone (others), or policy refused it. */
  opened(flow: number): void;
  /** The last moment at which the flow's columns can be read; its outcome is final. */
  closed(flow: number): void;
}
