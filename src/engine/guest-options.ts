/** What `tapster guest` is asked to do, as a value: the options of `tapster run` for the network, and where the guest is plugged in. */
import type { RxMode } from './event-loop.ts';
import type { RunOptions } from './run-options.ts';

export interface GuestSockets {
  readonly pathOf: (number: number) => string;
}

export interface GuestOptions extends RunOptions {
  /** The path to listen at; or a series, of which the first free one is taken; undefined: nobody is waited for. */
  readonly socket: string | GuestSockets | undefined;
  /** Where somebody listens, to connect to instead. */
  readonly connectPath: string | undefined;
  /** A connected socket to use instead: its type says whether frames are datagrams. */
  readonly fd: number | undefined;
  /** Pairs of queues of a vhost-user socket; 0: another kind of socket. */
  readonly vhostUserPairs: number;
  /** A datagram socket instead of a stream. */
  readonly datagrams: boolean;
  /** End with the first guest. */
  readonly oneOff: boolean;
  /** How frames are waited for. */
  readonly rxMode: RxMode;
}
