/**
 * Two network namespaces, the host's and a new one with nothing but a loopback interface, and what moves between the two: driven from this process's event loop as
 * in an engine. Servers and clients of either side live in this process too, on sockets that were made in their namespace.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { connect, createServer, type Server, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { EventLoop } from '#tapster/engine/event-loop.js';
import { Tokens } from '#tapster/engine/tokens.js';
import { LinuxSys } from '#tapster/sys/linux.js';
import { type NamespaceChild, startNamespace } from '#tapster/sys/namespace.js';
import { openNetworkNamespace } from '#tapster/sys/namespace-path.js';
import { type SocketServer, startSocketServer } from '#tapster/sys/socket-server.js';
import { POLL_EVENT_WORDS, SOCKET_FAMILY, SOCKET_TYPE } from '#tapster/sys/sys.js';
import { type ForwardListenDeps, ForwardListeners } from '#tapster/translate/forward-listen.js';
import type { SpliceTarget } from '#tapster/translate/splice-deps.js';
import { ownSockets, SocketStock } from '#tapster/translate/splice-sockets.js';
import { SpliceTcp, type SpliceTcpOptions } from '#tapster/translate/splice-tcp.js';
import { SpliceUdp } from '#tapster/translate/splice-udp.js';

const EVENTS_MAX = 256;
const WAIT_MS = 60_000;
/** Nothing has moved so often one look after the other: nothing will. */
const LOOKS_AT_REST = 40;

export const LOOPBACK: Int32Array = Int32Array.of(0, 0, 0xffff, 0x7f000001);
export const LOOPBACK_V6: Int32Array = Int32Array.of(0, 0, 0, 1);

export class World {
  readonly sys: LinuxSys = new LinuxSys();
  readonly child: NamespaceChild;
  /** Sockets of the namespace. */
  readonly inside: SocketServer;
  readonly tcp: SpliceTcp;
  readonly listeners: ForwardListeners;
  readonly udp: SpliceUdp;
  readonly #poll: number = this.sys.pollCreate();
  readonly #tokens: Tokens = new Tokens();
  readonly #clock: { nowUs: number } = { nowUs: this.sys.nowUs() };
  readonly #events: Int32Array = new Int32Array(EVENTS_MAX * POLL_EVENT_WORDS);
  readonly #loop: EventLoop;
  readonly #stock: SocketStock;
  readonly #seconds: NodeJS.Timeout;
  #collected: number = 0;

  constructor(child: NamespaceChild, inside: SocketServer, options: SpliceTcpOptions) {
    this.child = child;
    this.inside = inside;
    this.#stock = new SocketStock(this.sys, inside);
    const deps: ForwardListenDeps = { sys: this.sys, poll: this.#poll, tokens: this.#tokens, clock: this.#clock };
    this.tcp = new SpliceTcp(deps, options);
    this.listeners = new ForwardListeners(deps, this.tcp, { introduce: () => assert.fail('there is no guest') });
    this.udp = new SpliceUdp(deps, { random: () => (Math.random() * 2 ** 32) | 0 });
    const world = this;
    this.#loop = new EventLoop(
      this.sys,
      {
        poll: this.#poll,
        turn: (spinUs: number): boolean => this.#turn(spinUs),
        get idle(): boolean {
          return world.#collected <= 0;
        },
        distantBytes: 0,
      },
      (error) => {
        throw error;
      },
    );
    this.#seconds = setInterval(() => this.housekeep(), 1000);
  }

  /** Sockets of the namespace, and of the host. */
  get toNamespace(): SpliceTarget {
    return { sockets: this.#stock, address: LOOPBACK };
  }

  get toHost(): SpliceTarget {
    return { sockets: ownSockets(this.sys), address: LOOPBACK };
  }

  housekeep(): void {
    this.#clock.nowUs = this.sys.nowUs();
    this.tcp.housekeep();
    this.listeners.retry();
    this.udp.housekeep();
  }

  /** The host's 127.0.0.1 leads to a port of the namespace's. Returns its port. */
  publish(port: number, target: SpliceTarget = this.toNamespace): number {
    const family = target.address[2] === 0 ? SOCKET_FAMILY.INET6 : SOCKET_FAMILY.INET;
    const fd = succeed(this.sys.socket(family, SOCKET_TYPE.STREAM, 0));
    succeed(this.sys.bind(fd, Int32Array.of(...target.address, 0, 0)));
    succeed(this.sys.listen(fd, 1024));
    this.#listen(fd, target, port);
    return this.portOf(fd);
  }

  /** The namespace's 127.0.0.1 leads to a port of the host's. Returns its port. */
  publishInside(port: number): number {
    const fd = this.makeInside(SOCKET_TYPE.STREAM, 1024);
    this.#listen(fd, this.toHost, port);
    return this.portOf(fd);
  }

  /** A socket of the namespace, bound to any port of its 127.0.0.1. */
  makeInside(type: number, backlog: number = -1, address: Int32Array = LOOPBACK): number {
    const family = address[2] === 0 ? SOCKET_FAMILY.INET6 : SOCKET_FAMILY.INET;
    return succeed(this.inside.makeOne({ family, type, address: Int32Array.of(...address, 0, 0), backlog }));
  }

  portOf(fd: number): number {
    const address = new Int32Array(6);
    succeed(this.sys.localAddress(fd, address));
    return address[4]!;
  }

  /** A server in the namespace. Returns its port. */
  async serveInside(serve: (socket: Socket) => void, address: Int32Array = LOOPBACK): Promise<[Server, number]> {
    const fd = this.makeInside(SOCKET_TYPE.STREAM, 1024, address);
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('error', () => {});
      serve(socket);
    });
    server.listen({ fd });
    await once(server, 'listening');
    return [server, this.portOf(fd)];
  }

  /** A client in the namespace. */
  callInside(port: number): Socket {
    const fd = succeed(this.inside.makeOne({ family: SOCKET_FAMILY.INET, type: SOCKET_TYPE.STREAM }));
    const error = this.sys.connect(fd, Int32Array.of(...LOOPBACK, port, 0));
    assert.ok(error === 0 || error === -115, `errno ${-error}`);
    return new Socket({ fd, allowHalfOpen: true, readable: true, writable: true });
  }

  /** Ends everything, and holds that nothing is left. */
  end(): void {
    clearInterval(this.#seconds);
    this.listeners.closeAll();
    this.tcp.closeAll();
    this.udp.closeAll();
    this.#loop.stop();
    this.#stock.close();
    this.inside.close();
    this.sys.close(this.#poll);
    this.child.end();
    assert.equal(this.tcp.count, 0);
    assert.equal(this.tcp.pipesHeld, 0);
  }

  #listen(fd: number, target: SpliceTarget, toPort: number): void {
    const route = { splice: { ipv4: target, ipv6: target }, guest: undefined };
    succeed(this.listeners.add({ fds: Int32Array.of(fd), route, toPort }));
  }

  #turn(spinUs: number): boolean {
    const count = this.sys.pollCollect(this.#poll, this.#events, EVENTS_MAX, spinUs);
    this.#collected = count;
    this.#clock.nowUs = this.sys.nowUs();
    for (let i = 0; i < count; i++) this.#tokens.dispatch(this.#events[2 * i]!, this.#events[2 * i + 1]!);
    return count === EVENTS_MAX;
  }
}

/** Undefined, with the reason, where there can be no namespace. */
export function startWorld(options: SpliceTcpOptions = {}): World | string {
  const child = startNamespace({});
  if (!child.ok) return child.failure.message;
  const namespace = openNetworkNamespace(`pid:${child.value.pid}`);
  assert.ok(namespace.ok, JSON.stringify(namespace));
  const inside = startSocketServer(namespace.value.fd);
  closeSync(namespace.value.fd);
  assert.ok(inside.ok, JSON.stringify(inside));
  return new World(child.value, inside.value, options);
}

/** A client of the host. */
export function call(port: number, host: string = '127.0.0.1'): Socket {
  return connect({ port, host, allowHalfOpen: true });
}

export async function until(what: string, condition: () => boolean): Promise<void> {
  for (const end = Date.now() + WAIT_MS; !condition(); await sleep(5)) assert.ok(Date.now() < end, what);
}

/** Resolves when a counter has stopped to grow, with what it is. */
export async function atRest(what: string, counter: () => number): Promise<number> {
  let last = counter();
  let looks = 0;
  await until(`${what} is at rest`, () => {
    const now = counter();
    looks = now === last ? looks + 1 : 0;
    last = now;
    return looks >= LOOKS_AT_REST;
  });
  return last;
}

export function succeed(result: number): number {
  assert.ok(result >= 0, `errno ${-result}`);
  return result;
}
