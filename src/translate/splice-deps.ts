/** What moves between the loopback interfaces of host and namespace: what its parts are given, and who hears of their sockets. */
import type { PollHandler, TokenSpace } from '../flow/poll-handler.ts';
import type { Sys } from '../sys/sys.ts';
import type { SocketSource } from './splice-sockets.ts';

export interface SpliceDeps {
  readonly sys: Sys;
  readonly poll: number;
  readonly tokens: TokenSpace;
  /** When the turn began: the same until the next one. */
  readonly clock: { readonly nowUs: number };
}

/** Where something leads to: an address in a network namespace. Many ports may share it. */
export interface SpliceTarget {
  /** Sockets of that namespace. */
  readonly sockets: SocketSource;
  /** Four words. */
  readonly address: Int32Array;
}

/** A listening or bound socket, and where it leads. */
export interface SpliceListener {
  readonly fd: number;
  readonly target: SpliceTarget;
  readonly port: number;
}

/** Passes the events of one token on, with a number of the receiver's own. */
export class NumberedHandler implements PollHandler {
  readonly #number: number;
  readonly #receiver: NumberedReceiver;

  constructor(number: number, receiver: NumberedReceiver) {
    this.#number = number;
    this.#receiver = receiver;
  }

  ready(events: number): void {
    this.#receiver.numberReady(this.#number, events);
  }
}

export interface NumberedReceiver {
  numberReady(number: number, events: number): void;
}
