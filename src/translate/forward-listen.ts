/**
 * Listening sockets of forwards, and who calls there: moved to a socket of the other namespace (`splice-tcp.ts`), or led to the guest by its link
 * (`tcp-listen.ts`). Which of both is known when a caller is accepted: who comes from the loopback has no address that would mean him elsewhere.
 *
 * Ports come in ranges of up to all there are: for each port there is a descriptor in a column and its token, nothing else. Polled edge-triggered; where
 * there is no room for more connections, or no descriptor, callers wait in the kernel until there is.
 */
import { isIpv4Words, isLoopbackWords } from '../base/address.ts';
import type { PollHandler, TokenRanges } from '../flow/poll-handler.ts';
import { ERRNO } from '../sys/errno.ts';
import { SO, SOL } from '../sys/options.ts';
import { POLL, POLL_OPERATION, SOCKET_ADDRESS_WORDS } from '../sys/sys.ts';
import type { SpliceDeps, SpliceTarget } from './splice-deps.ts';
import type { SpliceTcp } from './splice-tcp.ts';
import type { TcpGuest } from './tcp-listen.ts';

/** Callers taken in one go, so that a flood of them leaves room for the others' work. */
const ACCEPTED_PER_TURN_MAX = 128;

const WATCHED: number = POLL.IN | POLL.EDGE;

/** Where callers go, by their family. Undefined: they can't. */
export interface ForwardRoute {
  readonly splice: { readonly ipv4: SpliceTarget | undefined; readonly ipv6: SpliceTarget | undefined };
  /** Those who don't call from the loopback; undefined: they are spliced too. */
  readonly guest: { readonly ipv4: TcpGuest | undefined; readonly ipv6: TcpGuest | undefined } | undefined;
}

/** Sockets of ports that follow each other, and where they lead. */
export interface ListeningRange {
  /** -1: the port has none. */
  readonly fds: Int32Array;
  readonly route: ForwardRoute;
  /** The port that the first one leads to; the others follow. */
  readonly toPort: number;
}

/** Leads callers to a guest: `TcpListeners`. */
export interface Introduces {
  introduce(to: TcpGuest, guestPort: number, fd: number, caller: Int32Array): void;
}

export interface ForwardListenDeps extends SpliceDeps {
  readonly tokens: TokenRanges;
}

class Range implements PollHandler {
  readonly fds: Int32Array;
  readonly route: ForwardRoute;
  readonly toPort: number;
  firstToken: number = 0;
  readonly #listeners: ForwardListeners;

  constructor(listeners: ForwardListeners, { fds, route, toPort }: ListeningRange) {
    this.#listeners = listeners;
    this.fds = fds;
    this.route = route;
    this.toPort = toPort;
  }

  ready(_events: number, token: number): void {
    this.#listeners.accept(this, this.firstToken - token);
  }
}

export class ForwardListeners {
  readonly #deps: ForwardListenDeps;
  readonly #tcp: SpliceTcp | undefined;
  readonly #guests: Introduces;
  /** By the sockets that they were added with. */
  readonly #ranges: Map<Int32Array, Range> = new Map();
  /** Ports that may have callers whom nobody will tell us of again: ranges by token. */
  readonly #owing: Map<number, Range> = new Map();
  readonly #caller: Int32Array = new Int32Array(SOCKET_ADDRESS_WORDS);

  /** `tcp` undefined: nobody is spliced. */
  constructor(deps: ForwardListenDeps, tcp: SpliceTcp | undefined, guests: Introduces) {
    this.#deps = deps;
    this.#tcp = tcp;
    this.#guests = guests;
    if (tcp !== undefined) tcp.onRoom = () => this.retry();
  }

  /** Takes over listening sockets. Returns 0 or -errno; then they are the caller's still. */
  add(listening: ListeningRange): number {
    const { sys, poll, tokens } = this.#deps;
    const { fds } = listening;
    const range = new Range(this, listening);
    range.firstToken = tokens.allocateRange(range, fds.length);
    for (let i = 0; i < fds.length; i++) {
      if (fds[i] < 0) continue;
      const error = sys.pollControl(poll, POLL_OPERATION.ADD, fds[i], WATCHED, range.firstToken - i);
      if (error === 0) continue;
      for (let j = 0; j < i; j++) if (fds[j] >= 0) sys.pollControl(poll, POLL_OPERATION.REMOVE, fds[j], 0, 0);
      tokens.releaseRange(range.firstToken, fds.length);
      return error;
    }
    this.#ranges.set(fds, range);
    return 0;
  }

  /** Closes listening sockets: who waits there is reset, connections stay. False: they are none of ours. */
  remove(fds: Int32Array): boolean {
    const range = this.#ranges.get(fds);
    if (range === undefined) return false;
    this.#ranges.delete(fds);
    for (let i = 0; i < fds.length; i++) {
      this.#owing.delete(range.firstToken - i);
      if (fds[i] >= 0) this.#deps.sys.close(fds[i]);
    }
    this.#deps.tokens.releaseRange(range.firstToken, fds.length);
    return true;
  }

  /** Looks again, in the next turn, at those whose callers found no room. To be called about every second too, for descriptors that others give back. */
  retry(): void {
    if (this.#owing.size === 0) return;
    for (const [token, range] of this.#owing) this.#askAgain(range, range.firstToken - token);
    this.#owing.clear();
  }

  closeAll(): void {
    for (const fds of [...this.#ranges.keys()]) this.remove(fds);
  }

  /** For the ranges: somebody calls at port `index`. */
  accept(range: Range, index: number): void {
    const { sys } = this.#deps;
    for (let accepted = 0; accepted < ACCEPTED_PER_TURN_MAX; accepted++) {
      const hasRoom = this.#tcp === undefined || this.#tcp.hasRoom;
      const fd = hasRoom ? sys.accept(range.fds[index], this.#caller) : -ERRNO.ENOSPC;
      // That caller has gone while it waited (accept(2)).
      if (fd === -ERRNO.ECONNABORTED) continue;
      if (fd === -ERRNO.EAGAIN) return;
      if (fd < 0) {
        this.#owing.set(range.firstToken - index, range);
        return;
      }
      this.#lead(range, range.toPort + index, fd);
    }
    this.#askAgain(range, index);
  }

  #lead({ route }: Range, port: number, fd: number): void {
    const caller = this.#caller;
    const ipv4 = isIpv4Words(caller[0], caller[1], caller[2]);
    const isLocal = isLoopbackWords(caller[0], caller[1], caller[2], caller[3]);
    const target = ipv4 ? route.splice.ipv4 : route.splice.ipv6;
    const guest = ipv4 ? route.guest?.ipv4 : route.guest?.ipv6;
    const spliced = target !== undefined && (isLocal || route.guest === undefined);
    if (spliced && this.#tcp !== undefined) this.#tcp.open(fd, target, port);
    else if (guest !== undefined) this.#guests.introduce(guest, port, fd, caller);
    else this.#refuse(fd);
  }

  /** There is no way for him: he is reset. */
  #refuse(fd: number): void {
    this.#deps.sys.setOption(fd, SOL.SOCKET, SO.LINGER, 0);
    this.#deps.sys.close(fd);
  }

  #askAgain(range: Range, index: number): void {
    const { sys, poll } = this.#deps;
    sys.pollControl(poll, POLL_OPERATION.MODIFY, range.fds[index], WATCHED, range.firstToken - index);
  }
}
