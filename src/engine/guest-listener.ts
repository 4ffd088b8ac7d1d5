/**
 * Where a virtual machine is plugged in: a listening socket, one guest at a time. Another who comes meanwhile is accepted, closed, and told of with its process, so that it fails
 * at once instead of waiting. When the guest goes, the next one is taken.
 *
 * Works within the engine's turns: the listening socket is in its poll set, and the guest's is an interface's queue.
 */
import { closeSync } from 'node:fs';
import { POLL } from '../sys/sys.ts';
import { describePeer, type UnixListener, unixCalls } from '../sys/unix-socket.ts';

/** Where the listener is watched: an engine. */
export interface Watching {
  watch(fd: number, events: number, ready: (events: number) => void): () => void;
}

export interface GuestListenerHooks {
  /** A guest has come: its connection is the taker's. */
  attached(fd: number, peer: string): void;
  /** Another one has come while one is there, and was sent away; told once of one who tries again and again. */
  refused(peer: string): void;
  /** The listener has been closed: nobody is to find its path. */
  removePath(): void;
}

export class GuestListener {
  readonly path: string;
  readonly #fd: number;
  readonly #hooks: GuestListenerHooks;
  readonly #unwatch: () => void;
  #isTaken: boolean = false;
  /** Who was sent away last. */
  #refused: string = '';
  #closed: boolean = false;

  constructor(engine: Watching, { fd, path }: UnixListener, hooks: GuestListenerHooks) {
    this.path = path;
    this.#fd = fd;
    this.#hooks = hooks;
    this.#unwatch = engine.watch(fd, POLL.IN, () => this.#accept());
  }

  /** The guest has gone: another may come. */
  release(): void {
    this.#isTaken = false;
    this.#refused = '';
  }

  /** Listens no more, and removes the path. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#unwatch();
    closeSync(this.#fd);
    this.#hooks.removePath();
  }

  #accept(): void {
    for (let fd = unixCalls.unixAccept(this.#fd); fd >= 0; fd = unixCalls.unixAccept(this.#fd)) {
      const peer = describePeer(fd);
      if (this.#isTaken) {
        closeSync(fd);
        // QEMU tries again at once, tens of thousands of times a second.
        if (peer !== this.#refused) this.#hooks.refused(peer);
        this.#refused = peer;
      } else {
        this.#isTaken = true;
        this.#hooks.attached(fd, peer);
      }
    }
  }
}
