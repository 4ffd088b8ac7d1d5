/**
 * Listening sockets whose callers are moved to the other namespace (`splice-tcp.ts`). Polled edge-triggered; where there is no room for more
 * connections, or no descriptor, callers wait in the kernel until there is.
 */
import type { PollHandler } from '../flow/poll-handler.ts';
import { ERRNO } from '../sys/errno.ts';
import { POLL, POLL_OPERATION, SOCKET_ADDRESS_WORDS } from '../sys/sys.ts';
import type { SpliceDeps, SpliceListener } from './splice-deps.ts';
import type { SpliceTcp } from './splice-tcp.ts';

/** Callers taken in one go, so that a flood of them leaves room for the others' work. */
const ACCEPTED_PER_TURN_MAX = 128;

const WATCHED: number = POLL.IN | POLL.EDGE;

export class SpliceListeners implements PollHandler {
  readonly #deps: SpliceDeps;
  readonly #tcp: SpliceTcp;
  readonly #byToken: Map<number, SpliceListener> = new Map();
  readonly #tokens: Map<number, number> = new Map();
  /** Tokens of those that may have callers whom nobody will tell us of again. */
  readonly #owing: Set<number> = new Set();
  readonly #caller: Int32Array = new Int32Array(SOCKET_ADDRESS_WORDS);

  constructor(deps: SpliceDeps, tcp: SpliceTcp) {
    this.#deps = deps;
    this.#tcp = tcp;
    tcp.onRoom = () => this.retry();
  }

  /** Takes over a listening socket. Returns 0 or -errno; then it is the caller's still. */
  add(listener: SpliceListener): number {
    const { sys, poll, tokens } = this.#deps;
    const token = tokens.allocate(this);
    const error = sys.pollControl(poll, POLL_OPERATION.ADD, listener.fd, WATCHED, token);
    if (error < 0) {
      tokens.release(token);
      return error;
    }
    this.#byToken.set(token, listener);
    this.#tokens.set(listener.fd, token);
    return 0;
  }

  /** Closes a listening socket: who waits there is reset, connections stay. False: it is none of ours. */
  remove(fd: number): boolean {
    const token = this.#tokens.get(fd);
    if (token === undefined) return false;
    this.#tokens.delete(fd);
    this.#byToken.delete(token);
    this.#owing.delete(token);
    this.#deps.tokens.release(token);
    this.#deps.sys.close(fd);
    return true;
  }

  ready(_events: number, token: number): void {
    const listener = this.#byToken.get(token);
    if (listener !== undefined) this.#accept(listener, token);
  }

  /** Looks again, in the next turn, at those whose callers found no room. To be called about every second too, for descriptors that others give back. */
  retry(): void {
    if (this.#owing.size === 0) return;
    for (const token of this.#owing) this.#askAgain(this.#byToken.get(token)!.fd, token);
    this.#owing.clear();
  }

  closeAll(): void {
    for (const fd of [...this.#tokens.keys()]) this.remove(fd);
  }

  #accept(listener: SpliceListener, token: number): void {
    for (let accepted = 0; accepted < ACCEPTED_PER_TURN_MAX; accepted++) {
      const fd = this.#tcp.hasRoom ? this.#deps.sys.accept(listener.fd, this.#caller) : -ERRNO.ENOSPC;
      // That caller has gone while it waited (accept(2)).
      if (fd === -ERRNO.ECONNABORTED) continue;
      if (fd === -ERRNO.EAGAIN) return;
      if (fd < 0) {
        this.#owing.add(token);
        return;
      }
      this.#tcp.open(fd, listener.target, listener.port);
    }
    this.#askAgain(listener.fd, token);
  }

  #askAgain(fd: number, token: number): void {
    const { sys, poll } = this.#deps;
    sys.pollControl(poll, POLL_OPERATION.MODIFY, fd, WATCHED, token);
  }
}
