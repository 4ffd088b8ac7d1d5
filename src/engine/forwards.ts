/**
 * The forwards of a session: ports of the host that lead to a namespace or a machine, and ports of a namespace that lead to the host. They come and go while it runs.
 *
 * | caller                           | is led                                                                             |
 * | -------------------------------- | ---------------------------------------------------------------------------------- |
 * | to the host, from its loopback   | by splice to a socket of the namespace, where there is one                         |
 * | to the host, from elsewhere      | by the link to the guest, who sees him under his own address                       |
 * | to the namespace's loopback      | by splice to the host's                                                            |
 *
 * A forward is opened whole or not at all, but for one that is weak: that has what it can get. Sockets are made by processes that were started before the
 * engine gave its rights away (`SocketServer`), and belong to the forward until it is removed; connections stay.
 */
import { type IpAddress, isIpv4 } from '../base/address.ts';
import { type PortRange, PortSet } from '../base/port-set.ts';
import { type Result, success } from '../base/result.ts';
import { ERRNO } from '../sys/errno.ts';
import { SO, SOL } from '../sys/options.ts';
import { SOCKET_ADDRESS_WORDS, SOCKET_FAMILY, SOCKET_TYPE, type Sys } from '../sys/sys.ts';
import { ForwardListeners } from '../translate/forward-listen.ts';
import type { SpliceTarget } from '../translate/splice-deps.ts';
import { ownSockets, SocketStock } from '../translate/splice-sockets.ts';
import { SpliceTcp } from '../translate/splice-tcp.ts';
import { SpliceUdp } from '../translate/splice-udp.ts';
import type { Engine } from './engine.ts';
import type { FlowSink } from './flow-record.ts';
import { noSplice, noWay, portFailure } from './forward-failures.ts';
import {
  type Forward,
  type ForwardDirection,
  type ForwardPlace,
  type ForwardProtocol,
  type ForwardWays,
  placesOf,
} from './forward-places.ts';
import { type AddressPair, ForwardRoutes } from './forward-routes.ts';
import type { ForwardRule } from './forward-rules.ts';
import { ForwardSockets, type SocketSides } from './forward-sockets.ts';
import { randomWord } from './random-word.ts';
import { SpliceReporter } from './splice-reporter.ts';

export interface ForwardsOptions {
  /** Where sockets come from; without a namespace nothing is spliced. They stay the caller's. */
  readonly sides: SocketSides;
  readonly families: ForwardWays['families'];
  readonly interfaceIndex: number;
  /** The addresses of the guest behind that interface; undefined: there is none, and all is spliced. */
  readonly guest: AddressPair | undefined;
  /** What those who call from the host's loopback are connected with in the namespace: its loopback, or the guest's addresses. */
  readonly inside: AddressPair;
  readonly freebind: boolean;
  /** Ports that weak forwards leave out. */
  readonly ephemeral: PortRange | undefined;
  /** Hear of what is spliced. */
  readonly sinks: readonly FlowSink[];
  /** A forward leads to this address of the guest's. */
  reached(address: IpAddress): void;
}

/** A forward that is there. */
export interface OpenForward extends Forward {
  readonly id: number;
  /** Ports that it has: fewer than its rule's where it is weak. */
  readonly ports: number;
  /** From `auto`: it goes when nobody on the other side has the port any more. */
  readonly auto: boolean;
}

/** The sockets of one kind of a forward, for ports that follow each other. */
interface Column {
  readonly place: ForwardPlace;
  readonly firstPort: number;
  /** -1: the port has none. */
  readonly fds: Int32Array;
}

interface Entry extends OpenForward {
  ports: number;
  readonly columns: Column[];
}

export class Forwards {
  readonly tcp: SpliceTcp | undefined;
  readonly udp: SpliceUdp | undefined;
  readonly #engine: Engine;
  readonly #options: ForwardsOptions;
  readonly #sockets: ForwardSockets;
  readonly #stock: SocketStock | undefined;
  readonly #routes: ForwardRoutes;
  readonly #ways: ForwardWays;
  readonly #listeners: ForwardListeners;
  readonly #entries: Map<number, Entry> = new Map();
  #lastId: number = 0;
  #closed: boolean = false;

  constructor(engine: Engine, options: ForwardsOptions) {
    const { sides, families, guest, inside, interfaceIndex } = options;
    const { sys, poll, tokens, clock } = engine;
    const deps = { sys, poll, tokens, clock };
    this.#engine = engine;
    this.#options = options;
    this.#sockets = new ForwardSockets(sides, options.freebind);
    if (sides.namespace !== undefined) {
      this.tcp = new SpliceTcp(deps);
      this.udp = new SpliceUdp(deps, { random: randomWord });
      this.#stock = new SocketStock(sys, sides.namespace);
    }
    const hostSockets = ownSockets(sys);
    if (this.tcp !== undefined && this.udp !== undefined && options.sinks.length > 0) {
      const telling = {
        sinks: options.sinks,
        interfaceIndex,
        leadsOut: ({ sockets }: SpliceTarget) => sockets === hostSockets,
        takeId: () => engine.flows.takeId(),
        now: Date.now,
      };
      this.tcp.observer = new SpliceReporter({ ...telling, protocol: 'tcp', splice: this.tcp });
      this.udp.observer = new SpliceReporter({ ...telling, protocol: 'udp', splice: this.udp });
    }
    this.#routes = new ForwardRoutes({ interfaceIndex, guest, inside, namespaceSockets: this.#stock, hostSockets });
    this.#listeners = new ForwardListeners(deps, this.tcp, engine.tcpListeners);
    this.#ways = {
      families,
      ipv4: families !== '6' && (guest === undefined || guest.ipv4 !== undefined),
      ipv6: families !== '4' && (guest === undefined || guest.ipv6 !== undefined),
      guest: guest !== undefined,
      splice: sides.namespace !== undefined,
      hostIpv6: hasIpv6(sys, sides),
    };
  }

  /** Opens all ports of a forward. */
  add(forward: Forward, auto: boolean = false): Result<OpenForward> {
    const { direction, protocol, rule } = forward;
    const id = this.#lastId + 1;
    const entry: Entry = { id, direction, protocol, rule, auto, ports: 0, columns: [] };
    const places = placesOf(forward, this.#ways);
    if (direction === 'out' && !this.#ways.splice) return noSplice(forward);
    if (places.length === 0) return noWay(forward);
    const ranges = auto ? [{ first: rule.firstPort, last: rule.lastPort }] : this.#rangesOf(rule);
    const ports = ranges.reduce((sum, { first, last }) => sum + last - first + 1, 0);
    const room = this.#sockets.checkRoom(forward, ports, places.length);
    if (!room.ok) return room;
    for (const range of ranges) {
      const opened = this.#openRange(entry, places, range);
      if (opened.ok) continue;
      this.#close(entry);
      return opened;
    }
    if (direction === 'in' && rule.toAddress !== undefined) this.#options.reached(rule.toAddress);
    this.#lastId = id;
    this.#entries.set(id, entry);
    return success(viewOf(entry));
  }

  /** Closes the ports of a forward; connections stay. False: there is none of that number. */
  remove(id: number): boolean {
    const entry = this.#entries.get(id);
    if (entry === undefined) return false;
    this.#entries.delete(id);
    this.#close(entry);
    return true;
  }

  list(): readonly OpenForward[] {
    return [...this.#entries.values()].map(viewOf);
  }

  /** The ports of one direction that are ours; `named`: but for those of `auto`. */
  ports(direction: ForwardDirection, protocol: ForwardProtocol, which: 'all' | 'named'): PortSet {
    const ports = new PortSet();
    for (const entry of this.#entries.values()) {
      if (entry.direction !== direction || entry.protocol !== protocol || (which === 'named' && entry.auto)) continue;
      for (const { firstPort, fds } of entry.columns) {
        for (let i = 0; i < fds.length; i++) {
          if (fds[i]! >= 0) ports.add({ first: firstPort + i, last: firstPort + i });
        }
      }
    }
    return ports;
  }

  /** To be called about every second. */
  housekeep(): void {
    this.#listeners.retry();
    this.tcp?.housekeep();
    this.udp?.housekeep();
  }

  /** Ends all forwards, and what was spliced. To be called before the engine is closed. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const entry of this.#entries.values()) this.#close(entry);
    this.#entries.clear();
    this.tcp?.closeAll();
    this.udp?.closeAll();
    this.#stock?.close();
  }

  #rangesOf({ firstPort, lastPort, weak }: ForwardRule): PortRange[] {
    const range = { first: firstPort, last: lastPort };
    const { ephemeral } = this.#options;
    if (!weak || ephemeral === undefined) return [range];
    const left = new PortSet();
    left.add(ephemeral);
    return left.outside(range);
  }

  /** All that is opened is in `entry`, also after a failure. */
  #openRange(entry: Entry, places: readonly ForwardPlace[], range: PortRange): Result<void> {
    const count = range.last - range.first + 1;
    const opened: Column[] = [];
    let missing: Result<never> | undefined;
    for (const place of places) {
      const beside = opened.filter((column) => sharesPorts(column.place, place));
      for (const { fds } of beside) this.#setReuse(fds, 1);
      const fds = this.#sockets.open(entry, place, range.first, count, beside.length > 0);
      // Only for each other: nobody else may come beside them later.
      for (const column of beside) this.#setReuse(column.fds, 0);
      if (beside.length > 0) this.#setReuse(fds, 0);
      const refused = this.#judge(entry, place, range.first, fds);
      if (refused !== undefined && !(place.dispensable && isFamilyMissing(fds[0]!))) {
        this.#closeSockets(fds);
        for (const column of opened) this.#closeSockets(column.fds);
        return refused;
      }
      if (refused === undefined) opened.push({ place, firstPort: range.first, fds: fds.map((fd) => Math.max(fd, -1)) });
      else missing = refused;
    }
    if (opened.length === 0) return missing ?? success(undefined);
    return this.#attach(entry, opened);
  }

  /** Undefined: the forward has what it needs. */
  #judge(forward: Forward, place: ForwardPlace, firstPort: number, fds: Int32Array): Result<never> | undefined {
    const isBad = (fd: number): boolean => fd < 0 && (!forward.rule.weak || !isPassedOver(fd));
    const at = fds.findIndex(isBad);
    return at < 0 ? undefined : portFailure(forward, place, firstPort + at, fds[at]!);
  }

  #attach(entry: Entry, columns: readonly Column[]): Result<void> {
    entry.ports += Math.max(...columns.map(({ fds }) => fds.reduce((sum, fd) => sum + (fd >= 0 ? 1 : 0), 0)));
    for (const [i, column] of columns.entries()) {
      const error = entry.protocol === 'tcp' ? this.#attachTcp(entry, column) : this.#attachUdp(entry, column);
      if (error === 0) continue;
      for (const { fds } of columns.slice(i + 1)) this.#closeSockets(fds);
      return portFailure(entry, column.place, column.firstPort, error);
    }
    return success(undefined);
  }

  #attachTcp(entry: Entry, { place, firstPort, fds }: Column): number {
    const toPort = entry.rule.toPort + firstPort - entry.rule.firstPort;
    const error = this.#listeners.add({ fds, route: this.#routes.route(entry), toPort });
    if (error === 0) entry.columns.push({ place, firstPort, fds });
    else this.#closeSockets(fds);
    return error;
  }

  /** Those that could be attached are in `entry`; the others are closed. */
  #attachUdp(entry: Entry, column: Column): number {
    const { place, firstPort, fds } = column;
    const ipv4 = isIpv4(place.address);
    const target = place.by === 'splice' ? this.#routes.target(entry, ipv4) : undefined;
    const guest = place.by === 'guest' ? this.#routes.guest(entry, ipv4) : undefined;
    entry.columns.push(column);
    for (let i = 0; i < fds.length; i++) {
      const fd = fds[i]!;
      if (fd < 0) continue;
      const port = entry.rule.toPort + firstPort - entry.rule.firstPort + i;
      let error: number = -ERRNO.EAFNOSUPPORT;
      if (target !== undefined && this.udp !== undefined) error = this.udp.add({ fd, target, port });
      else if (guest !== undefined) error = this.#engine.udp.publish({ fd, ipv4, guestPort: port, ...guest });
      if (error === 0) continue;
      // Of what it refuses, the guest's side has closed the socket.
      this.#closeSockets(fds.subarray(guest === undefined ? i : i + 1));
      fds.fill(-1, i);
      return error;
    }
    return 0;
  }

  #close(entry: Entry): void {
    for (const { place, fds } of entry.columns) {
      if (entry.protocol === 'tcp') {
        this.#listeners.remove(fds);
        continue;
      }
      for (const fd of fds) {
        if (fd < 0) continue;
        if (place.by === 'splice') this.udp!.remove(fd);
        else this.#engine.udp.unpublish(fd);
      }
    }
    entry.columns.length = 0;
  }

  #closeSockets(fds: Int32Array): void {
    for (const fd of fds) if (fd >= 0) this.#engine.sys.close(fd);
  }

  #setReuse(fds: Int32Array, value: number): void {
    for (const fd of fds) if (fd >= 0) this.#engine.sys.setOption(fd, SOL.SOCKET, SO.REUSEADDR, value);
  }
}

function viewOf({ id, direction, protocol, rule, ports, auto }: Entry): OpenForward {
  return { id, direction, protocol, rule, ports, auto };
}

/** Whether a socket at one place is in the way of one at the other, so that both have to allow it. */
function sharesPorts(a: ForwardPlace, b: ForwardPlace): boolean {
  return a.family === b.family && a.by !== b.by;
}

function isFamilyMissing(error: number): boolean {
  return error === -ERRNO.EAFNOSUPPORT || error === -ERRNO.EADDRNOTAVAIL;
}

/** What a weak forward does without: ports that others have, and that are not for us. */
function isPassedOver(error: number): boolean {
  return error === -ERRNO.EADDRINUSE || error === -ERRNO.EACCES;
}

/** Whether a socket of the host's IPv6 can be bound. */
function hasIpv6(sys: Pick<Sys, 'close'>, { host }: SocketSides): boolean {
  const fd = host.makeOne({ family: SOCKET_FAMILY.INET6, type: SOCKET_TYPE.STREAM, address: ANY_ADDRESS });
  if (fd >= 0) sys.close(fd);
  return fd >= 0;
}

const ANY_ADDRESS: Int32Array = new Int32Array(SOCKET_ADDRESS_WORDS);
