/** What is known of what is spliced: in sum, of each connection, and as it happens. */
import type { SpliceTarget } from './splice-deps.ts';

/** Since the beginning. Every caller is counted once in `accepted`, and once in one of the four behind it when it is over. */
export interface SpliceTcpCounters {
  accepted: number;
  /** Both ends were passed on. */
  closed: number;
  /** An error was, in the midst of it. */
  reset: number;
  /** The target did not answer, or could not be asked. */
  refused: number;
  idle: number;
  /** From callers to targets, and back. */
  bytesToTargets: number;
  bytesToCallers: number;
  /** Of these, those that went by no pipe. */
  bytesCopied: number;
}

/** A connection, or a sender of datagrams, for people to look at. Addresses are those of sockets, six words. */
export interface SpliceView {
  readonly caller: Int32Array;
  /** Where the caller called. */
  readonly called: Int32Array;
  readonly bytesToTarget: number;
  readonly bytesToCaller: number;
}

export interface SpliceConnection extends SpliceView {
  readonly target: Int32Array;
  readonly connected: boolean;
  /** Since anything has moved last. */
  readonly idleMs: number;
}

/** What has them, and can tell of one that is there. */
export interface Spliced {
  connection(number: number): SpliceView;
}

/**
 * Hears of a connection, or of a sender of datagrams, by a number that is its own from `begun` to `ended`, and not of what it carries. Its sockets are open when each is called.
 */
export interface SpliceObserver {
  begun(connection: number, target: SpliceTarget, port: number): void;
  /** The target has answered. Of datagrams nothing more is told until the end. */
  connected(connection: number): void;
  /** `outcome`: OUTCOME of `flow/flow-table.ts`. */
  ended(connection: number, outcome: number): void;
}
