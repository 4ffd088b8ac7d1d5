/**
 * Published TCP ports: listening sockets of the host whose callers reach the guest.
 *
 * The guest sees its caller under the caller's own address, unless that address means something else inside (the host's loopback, the guest's own address): `CallerMap`
 * says under which one then. Listeners are polled edge-triggered; what could not be accepted for want of descriptors is tried again by `retry`.
 *
 * Nobody is accepted before it is known where frames for the guest go: while its neighbour is asked for, callers wait in the kernel's backlog, and `retry` looks
 * again. When there is no such neighbour they are reset. Callers of forwards are accepted before anybody knows whether they are for the guest at all: those wait here
 * (`HELD_CALLERS_MAX`).
 */
import { HELD_CALLERS_MAX } from '../base/limits.ts';
import type { CallerMap } from '../flow/caller-map.ts';
import { KEY_GUEST, KEY_PORTS, KEY_PROTOCOL, KEY_REMOTE } from '../flow/flow-key.ts';
import type { FlowTable } from '../flow/flow-table.ts';
import { type GuestNeighbours, NEIGHBOUR_PENDING } from '../flow/neighbours.ts';
import type { PollHandler } from '../flow/poll-handler.ts';
import { ERRNO } from '../sys/errno.ts';
import { SO, SOL } from '../sys/options.ts';
import { POLL, POLL_OPERATION, SOCKET_ADDRESS_WORDS } from '../sys/sys.ts';
import * as tcp from '../wire/tcp.ts';
import type { TcpTranslate } from './tcp.ts';
import type { TcpDeps } from './tcp-deps.ts';

/** Callers taken in one go, so that a flood of them leaves room for the others' work. */
const ACCEPTED_PER_TURN_MAX = 128;

export type ListenDeps = Pick<TcpDeps, 'sys' | 'poll' | 'flows' | 'tokens'>;

/** Where callers are led. */
export interface TcpGuest {
  readonly interfaceIndex: number;
  /** The guest's address, four words. */
  readonly guest: Int32Array;
}

/** A listening socket and where it leads. */
export interface TcpListener extends TcpGuest {
  readonly fd: number;
  readonly guestPort: number;
}

/** A caller, accepted, of whose guest it is not known where it is. */
interface Held {
  readonly to: TcpGuest;
  readonly guestPort: number;
  readonly fd: number;
  readonly caller: Int32Array;
}

export class TcpListeners implements PollHandler {
  readonly #deps: ListenDeps;
  readonly #tcp: TcpTranslate;
  readonly #neighbours: GuestNeighbours;
  readonly #callers: CallerMap;
  /** By token. */
  readonly #listeners: Map<number, TcpListener> = new Map();
  /** Tokens of those that may have callers whom nobody will tell us of again. */
  readonly #owing: Set<number> = new Set();
  #held: Held[] = [];
  readonly #caller: Int32Array = new Int32Array(SOCKET_ADDRESS_WORDS);

  constructor(deps: ListenDeps, translate: TcpTranslate, neighbours: GuestNeighbours, callers: CallerMap) {
    this.#deps = deps;
    this.#tcp = translate;
    this.#neighbours = neighbours;
    this.#callers = callers;
  }

  /** Takes over a listening socket. Returns 0 or -errno. */
  add(listener: TcpListener): number {
    const token = this.#deps.tokens.allocate(this);
    const { sys, poll } = this.#deps;
    const error = sys.pollControl(poll, POLL_OPERATION.ADD, listener.fd, POLL.IN | POLL.EDGE, token);
    if (error < 0) this.#deps.tokens.release(token);
    else this.#listeners.set(token, listener);
    return error;
  }

  /** Closes a listening socket: who waits there is reset, flows that were opened by it stay. False: it is none of ours. */
  remove(fd: number): boolean {
    for (const [token, listener] of this.#listeners) {
      if (listener.fd !== fd) continue;
      this.#listeners.delete(token);
      this.#owing.delete(token);
      this.#deps.tokens.release(token);
      this.#deps.sys.close(fd);
      return true;
    }
    return false;
  }

  ready(_events: number, token: number): void {
    const listener = this.#listeners.get(token);
    if (listener !== undefined) this.#accept(listener, token);
  }

  /** Looks again at the listeners whose callers came when there was no descriptor for them, or when it was not known where to lead them. */
  retry(): void {
    const held = this.#held;
    if (held.length > 0) this.#held = [];
    for (const { to, guestPort, fd, caller } of held) this.introduce(to, guestPort, fd, caller);
    if (this.#owing.size === 0) return;
    for (const token of [...this.#owing]) {
      const listener = this.#listeners.get(token);
      if (listener !== undefined) this.#accept(listener, token);
    }
  }

  /** Takes over the socket of a caller, whose address (six words) is overwritten. Who can't be led there is reset, at once or later. */
  introduce(to: TcpGuest, guestPort: number, fd: number, caller: Int32Array): void {
    const { interfaceIndex, guest } = to;
    const neighbour = this.#neighbours.find(interfaceIndex, guest[0], guest[1], guest[2], guest[3]);
    if (neighbour === NEIGHBOUR_PENDING && this.#held.length < HELD_CALLERS_MAX) {
      this.#held.push({ to, guestPort, fd, caller: caller.slice() });
    } else if (neighbour < 0 || !this.#introduce(to, guestPort, fd, caller, neighbour)) {
      this.#reset(fd);
    }
  }

  closeAll(): void {
    for (const [token, listener] of this.#listeners) {
      this.#deps.sys.close(listener.fd);
      this.#deps.tokens.release(token);
    }
    for (const { fd } of this.#held) this.#reset(fd);
    this.#held = [];
    this.#listeners.clear();
    this.#owing.clear();
  }

  #accept(listener: TcpListener, token: number): void {
    const { interfaceIndex, guest } = listener;
    const neighbour = this.#neighbours.find(interfaceIndex, guest[0], guest[1], guest[2], guest[3]);
    this.#owing.add(token);
    if (neighbour === NEIGHBOUR_PENDING) return;
    for (let accepted = 0; accepted < ACCEPTED_PER_TURN_MAX; accepted++) {
      const fd = this.#deps.sys.accept(listener.fd, this.#caller);
      // That caller has gone while it waited (accept(2)).
      if (fd === -ERRNO.ECONNABORTED) continue;
      if (fd === -ERRNO.EAGAIN) this.#owing.delete(token);
      if (fd < 0) return;
      const { guestPort } = listener;
      if (neighbour < 0 || !this.#introduce(listener, guestPort, fd, this.#caller, neighbour)) this.#reset(fd);
    }
    // There may be more: to be told so again in the next turn.
    this.#owing.delete(token);
    const { sys, poll } = this.#deps;
    sys.pollControl(poll, POLL_OPERATION.MODIFY, listener.fd, POLL.IN | POLL.EDGE, token);
  }

  #introduce(to: TcpGuest, guestPort: number, fd: number, caller: Int32Array, neighbour: number): boolean {
    const { interfaceIndex, guest } = to;
    this.#callers.map(caller, interfaceIndex, guest, 0);
    const flows: FlowTable = this.#deps.flows;
    const probe = flows.probe;
    probe[KEY_PROTOCOL] = tcp.PROTOCOL | (interfaceIndex << 8);
    for (let word = 0; word < 4; word++) {
      probe[KEY_GUEST + word] = guest[word];
      probe[KEY_REMOTE + word] = caller[word];
    }
    probe[KEY_PORTS] = (guestPort << 16) | caller[4];
    if (flows.find() !== -1) return false;
    const macHigh = this.#neighbours.macHigh(interfaceIndex, neighbour);
    const macLow = this.#neighbours.macLow(interfaceIndex, neighbour);
    return this.#tcp.accepted(fd, macHigh, macLow);
  }

  #reset(fd: number): void {
    this.#deps.sys.setOption(fd, SOL.SOCKET, SO.LINGER, 0);
    this.#deps.sys.close(fd);
  }
}
