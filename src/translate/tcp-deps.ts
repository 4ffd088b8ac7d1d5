/** What the parts of TCP translation work with. Each part's constructor names those that it uses. */
import type { TimerWheel } from '../base/timer-wheel.ts';
import type { FlowTable } from '../flow/flow-table.ts';
import type { GuestLinks } from '../flow/guest-link.ts';
import type { FlowObserver, Policy } from '../flow/policy.ts';
import type { TokenSpace } from '../flow/poll-handler.ts';
import type { Output } from '../graph/node.ts';
import type { Packets } from '../packet/packets.ts';
import type { Sys } from '../sys/sys.ts';

/** Tells the guest by ICMP that a flow's target can't be reached. */
export interface UnreachableReporter {
  /** `errno`: what connect(2) failed with, positive. */
  flowUnreachable(flow: number, errno: number): void;
  /** `record`: what the socket's error queue had to say, with the node that sent the ICMP (see `ERROR_RECORD_WORDS`). */
  flowError(flow: number, record: Int32Array): void;
}

export interface TcpDeps {
  readonly sys: Sys;
  /** The poll set that sockets are added to. */
  readonly poll: number;
  readonly packets: Packets;
  /** The id under which the arena is registered with `sys`. */
  readonly arenaMemory: number;
  readonly flows: FlowTable;
  readonly timers: TimerWheel;
  readonly links: GuestLinks;
  readonly policy: Policy;
  readonly observer: FlowObserver;
  readonly output: Output;
  readonly tokens: TokenSpace;
  readonly unreachable: UnreachableReporter;
  /** 32 random bits: for initial sequence numbers. */
  readonly random: () => number;
}
