/**
 * Where a virtual machine is plugged in by datagrams: a socket at a path of ours, connected to the one that the machine's side has bound at a path of its own, whenever it does so
 * (`sys/datagram-peer.ts`). Neither side listens or accepts: who comes again goes on at once, and whoever binds the other path anew takes the place of who had it.
 *
 * Works within the engine's turns: the link is an interface's queue from the beginning to the end, whether a guest is there or not.
 */
import { DatagramLink } from '../link/datagram-link.ts';
import type { StreamMemory } from '../link/stream-link.ts';
import type { DatagramPeer } from '../sys/datagram-peer.ts';
import { ERRNO, errnoName } from '../sys/errno.ts';
import { POLL, type Sys } from '../sys/sys.ts';
import type { Watching } from './guest-listener.ts';

export interface DatagramGuestOptions {
  readonly name: string;
  /** Bound, non-blocking. The link closes it. */
  readonly fd: number;
  readonly queue: StreamMemory;
}

export interface DatagramGuestHooks {
  /** Somebody has bound the other path. */
  attached(): void;
  /** Nobody is there any more. */
  gone(): void;
  /** Somebody may be there, and can't be reached; nobody who comes can be, any more. */
  unreachable(why: string): void;
}

export class DatagramGuest {
  /** The caller closes it. */
  readonly link: DatagramLink;
  readonly #peer: DatagramPeer;
  readonly #hooks: DatagramGuestHooks;
  #unwatch: () => void;
  /** Who was here last. */
  #number: number = 0;

  constructor(
    engine: Watching,
    sys: Sys,
    peer: DatagramPeer,
    options: DatagramGuestOptions,
    hooks: DatagramGuestHooks,
  ) {
    this.#peer = peer;
    this.#hooks = hooks;
    this.link = new DatagramLink(sys, {
      ...options,
      present: false,
      onAway: () => {
        hooks.gone();
        peer.look();
      },
    });
    this.#unwatch = engine.watch(peer.fd, POLL.IN, () => this.#hear());
  }

  close(): void {
    this.#unwatch();
    this.#peer.end();
  }

  #hear(): void {
    for (let told = this.#peer.read(); told !== undefined; told = this.#peer.read()) {
      if (typeof told === 'number') {
        this.#unwatch();
        this.#unwatch = () => {};
        this.#hooks.unreachable(`the process that connects has ended (${errnoName(told)})`);
        return;
      }
      if (told.error !== 0) this.#leave(told.error);
      else this.#arrive(told.number);
    }
  }

  #arrive(number: number): void {
    if (this.link.present && number === this.#number) return;
    if (this.link.present) this.#hooks.gone();
    this.#number = number;
    this.link.present = true;
    this.#hooks.attached();
  }

  #leave(error: number): void {
    if (error !== ERRNO.ENOENT && error !== ERRNO.ECONNREFUSED) this.#hooks.unreachable(errnoName(error));
    if (!this.link.present) return;
    this.link.present = false;
    this.#hooks.gone();
  }
}
