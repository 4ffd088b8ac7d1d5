/**
 * Where a virtual machine is plugged in: a listening socket, one guest at a time. When the guest goes, the next one is taken.
 *
 * Another who comes meanwhile is closed, and told of with its process, so that it fails instead of waiting; but not before a moment has passed, and not as long as the guest has
 * gone already and that was not seen, since what it sent last is read first: a machine that is started again, or connects again, comes at once.
 *
 * Works within the engine's turns: the listening socket is in its poll set, and the guest's is an interface's queue.
 */
import { closeSync } from 'node:fs';
import { POLL } from '../sys/sys.ts';
import { describePeer, type UnixListener, unixCalls } from '../sys/unix-socket.ts';

/** How long another waits for a guest to be gone. QEMU tries again at once: this is also how often. */
const WAIT_MS = 50;
const NOBODY = -1;

/** Who comes beyond that waits for the next turn: somebody who connects again and again is not to hold this one up. */
const ACCEPTS_PER_TURN_MAX = 8;

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
  /** The guest's connection, as long as it is there. */
  #guestFd: number = NOBODY;
  /** Who has come while another is there. */
  #waiting: { readonly fd: number; readonly peer: string; readonly timer: NodeJS.Timeout } | undefined;
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
    this.#guestFd = NOBODY;
    this.#refused = '';
    const next = this.#waiting;
    if (next === undefined) return;
    this.#forget();
    this.#take(next.fd, next.peer);
  }

  /** Listens no more, and removes the path. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#unwatch();
    closeSync(this.#fd);
    if (this.#waiting !== undefined) closeSync(this.#waiting.fd);
    this.#forget();
    this.#hooks.removePath();
  }

  #accept(): void {
    for (let count = 0; count < ACCEPTS_PER_TURN_MAX; count++) {
      const fd = unixCalls.unixAccept(this.#fd);
      if (fd < 0) return;
      const peer = describePeer(fd);
      if (this.#guestFd === NOBODY) this.#take(fd, peer);
      else if (this.#waiting !== undefined) this.#refuse(fd, peer);
      else this.#wait(fd, peer);
    }
  }

  #take(fd: number, peer: string): void {
    this.#guestFd = fd;
    this.#hooks.attached(fd, peer);
  }

  #wait(fd: number, peer: string): void {
    this.#waiting = { fd, peer, timer: setTimeout(() => this.#decide(), WAIT_MS) };
  }

  /** Whoever has waited has waited in vain, unless the guest is about to be found gone. */
  #decide(): void {
    const { fd, peer } = this.#waiting!;
    this.#forget();
    if (unixCalls.unixHungUp(this.#guestFd) === 1) this.#wait(fd, peer);
    else this.#refuse(fd, peer);
  }

  #refuse(fd: number, peer: string): void {
    closeSync(fd);
    if (peer !== this.#refused) this.#hooks.refused(peer);
    this.#refused = peer;
  }

  #forget(): void {
    clearTimeout(this.#waiting?.timer);
    this.#waiting = undefined;
  }
}
