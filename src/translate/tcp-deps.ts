/** What the parts of TCP translation work with. Each part's constructor names those that it uses. */
import type { TimerWheel } from '../base/timer-wheel.ts';
import type { TurnClock } from '../base/turn-clock.ts';
import type { Congestion } from '../flow/congestion.ts';
import type { FlowTable } from '../flow/flow-table.ts';
import type { GuestLinks } from '../flow/guest-link.ts';
import type { FlowObserver, Policy } from '../flow/policy.ts';
import type { TokenSpace } from '../flow/poll-handler.ts';
import type { Output } from '../graph/node.ts';
import type { Packets } from '../packet/packets.ts';
import type { Sys } from '../sys/sys.ts';
import type { IcmpErrors } from './icmp-error.ts';

export interface TcpDeps {
  readonly sys: Sys;
  /** The poll set that sockets are added to. */
  readonly poll: number;
  readonly packets: Packets;
  /** The id under which the arena is registered with `sys`. */
  readonly arenaMemory: number;
  readonly flows: FlowTable;
  readonly timers: TimerWheel;
  readonly clock: TurnClock;
  readonly links: GuestLinks;
  readonly policy: Policy;
  readonly observer: FlowObserver;
  readonly output: Output;
  readonly tokens: TokenSpace;
  readonly errors: IcmpErrors;
  readonly congestion: Congestion;
  /** 32 random bits: for initial sequence numbers. */
  readonly random: () => number;
  /** Bytes held for hosts, all flows together; `TCP_HELD_BYTES_TOTAL_MAX` unless said. */
  readonly heldBytesMax?: number;
}
