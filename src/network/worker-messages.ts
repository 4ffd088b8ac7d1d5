/**
 * What the main thread and a worker tell each other (`MessagePort`: in order, as structured clones, so classes are plain data here).
 *
 * What a worker knows of the network are *updates*: each says how one thing is now, or that it is gone, in the numbers of the main thread's tables. Telling one twice does no
 * harm. What an update needs (an address its interface) comes before it, and goes after it.
 */
import type { RxMode } from '../engine/event-loop.ts';
import type { ErrorCount } from '../graph/errors.ts';
import type { NodeRuntime } from '../graph/runtime.ts';
import type { LinkOffload } from '../packet/offload.ts';

/** Most significant first; IPv4 is mapped. */
export type AddressWords = readonly [number, number, number, number];

export interface PrefixWords {
  readonly words: AddressWords;
  readonly length: number;
}

export interface InterfaceUpdate {
  readonly kind: 'interface';
  readonly index: number;
  readonly name: string;
  /** Whether frames pass. */
  readonly up: boolean;
  readonly macHigh: number;
  readonly macLow: number;
  readonly mtu: number;
  readonly promiscuous: boolean;
  /** -1: none. */
  readonly bridge: number;
  readonly isBvi: boolean;
  readonly splitHorizonGroup: number;
  /** Of a sub-interface. */
  readonly vlan?: { readonly parent: number; readonly id: number };
}

export interface HopUpdate {
  readonly kind: 'address' | 'interface' | 'uplink' | 'drop';
  readonly words: AddressWords;
  /** -1: none. */
  readonly interfaceIndex: number;
  readonly weight: number;
}

export interface NeighbourUpdate {
  readonly kind: 'neighbour';
  /** Its number, which is another's when it is gone. */
  readonly neighbour: number;
  readonly index: number;
  readonly words: AddressWords;
  readonly macHigh: number;
  readonly macLow: number;
}

export type Update =
  | InterfaceUpdate
  | { readonly kind: 'no-interface'; readonly index: number }
  | { readonly kind: 'bridge'; readonly bridge: number; readonly learn: boolean }
  | { readonly kind: 'no-bridge'; readonly bridge: number }
  | { readonly kind: 'address' | 'no-address'; readonly index: number; readonly prefix: PrefixWords }
  | { readonly kind: 'route'; readonly to: PrefixWords; readonly hops: readonly HopUpdate[] }
  | { readonly kind: 'no-route'; readonly to: PrefixWords }
  | NeighbourUpdate
  /** `incomplete-neighbour`: nothing is to be sent to it now. */
  | { readonly kind: 'incomplete-neighbour' | 'no-neighbour'; readonly neighbour: number }
  /** `STATION_WORDS` each. */
  | { readonly kind: 'stations'; readonly words: Int32Array };

/** A station: bridge, MAC address (high, low), interface (-1: gone), whether it is static. */
export const STATION_WORDS = 5;

/** A tap whose frames a worker may read and write. */
export interface TapAttachment {
  readonly index: number;
  readonly name: string;
  readonly hasVnetHeader: boolean;
  readonly offload: LinkOffload;
  readonly groCoalesce: boolean;
  /** Descriptors of the queues that the worker is to read; it writes to the first of them. */
  readonly served: readonly number[];
  /** Where it writes when it reads none. */
  readonly shared: number;
}

/** What a worker is started with. The descriptors are the main thread's, which closes them. */
export interface WorkerSetup {
  /** From 1 on. */
  readonly worker: number;
  readonly poll: number;
  /** Rung when the ring has frames again: `punt-link.ts`. */
  readonly bell: number;
  readonly ring: SharedArrayBuffer;
  /** For `flowHash`. */
  readonly secrets: Int32Array;
  readonly mode: RxMode;
}

export type ToWorker =
  | { readonly type: 'updates'; readonly updates: readonly Update[] }
  | { readonly type: 'attach'; readonly tap: TapAttachment }
  /** Answered by `detached`. */
  | { readonly type: 'detach'; readonly indexes: readonly number[] }
  | { readonly type: 'mode'; readonly mode: RxMode }
  | { readonly type: 'time-nodes' }
  | { readonly type: 'clear'; readonly what: 'runtime' | 'errors' };

export type FromWorker =
  | { readonly type: 'ready' }
  /** The worker has nothing any more of the interfaces that it was told to let go of. */
  | { readonly type: 'detached' }
  /** Reading failed for good. */
  | { readonly type: 'lost'; readonly index: number; readonly errno: number }
  | ({ readonly type: 'report' } & WorkerReport);

/** What has happened since the last report, and how things are. */
export interface WorkerReport {
  /** `CARRIED_NUMBERS` for each interface that has carried anything. */
  readonly carried: Float64Array;
  /** Neighbour, packets and bytes of IP sent to it: three each. */
  readonly sent: Float64Array;
  /** Of stations heard: bridge, MAC address (high, low), interface, and in which second: five each. */
  readonly heard: Int32Array;
  /** Since the worker began. */
  readonly turns: number;
  /** Of the time since the last report. */
  readonly busyRatio: number;
  readonly runtime: readonly NodeRuntime[];
  readonly errors: readonly ErrorCount[];
}

/** Interface; packets and bytes received, packets and bytes sent, frames not sent, packets dropped. */
export const CARRIED_NUMBERS = 7;
