/**
 * The host, a namespace with an interface whose other end is an engine of this process, and forwards between the two. Servers and clients of either side live in this
 * process too, on sockets that were made in their namespace.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { connect, createServer, type Server, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseIpAddress, parseIpPrefix } from '#tapster/base/address.js';
import { type Result, success } from '#tapster/base/result.js';
import { Closers } from '#tapster/engine/closers.js';
import type { Engine } from '#tapster/engine/engine.js';
import { EventLoop } from '#tapster/engine/event-loop.js';
import { type ForwardOptions, NO_FORWARDS } from '#tapster/engine/forward-rules.js';
import type { Forwards } from '#tapster/engine/forwards.js';
import type { RunOptions } from '#tapster/engine/run-options.js';
import { OPTIONS } from '#tapster/engine/run-options-fixture.test.js';
import { SessionForwards } from '#tapster/engine/session-forwards.js';
import { type SessionHooks, SessionHost } from '#tapster/engine/session-host.js';
import { plugTap } from '#tapster/engine/session-tap.js';
import { configureGuest, guestSysctls } from '#tapster/sys/guest-network.js';
import { LinuxSys } from '#tapster/sys/linux.js';
import { startNamespace } from '#tapster/sys/namespace.js';
import { openNetworkNamespace } from '#tapster/sys/namespace-path.js';
import { type SocketServer, startSocketServer } from '#tapster/sys/socket-server.js';
import { SOCKET_FAMILY, SOCKET_TYPE } from '#tapster/sys/sys.js';

const WAIT_MS = 60_000;
const TAP = 'tap0';
const GUEST = '10.0.2.100';
const GUEST_IPV6 = 'fd00::100';

/** The first of some for tests, below those that are given to who asks for any. */
export const PORT = 12_000;
/** The host is to have it: an address that is none of a loopback. */
export const OUTSIDE = '192.0.2.7';

export class World {
  readonly sys: LinuxSys = new LinuxSys();
  readonly closers: Closers;
  readonly engine: Engine;
  /** Sockets of the namespace, for servers and clients in there. */
  readonly inside: SocketServer;
  readonly #host: SessionHost;
  readonly #namespaceFd: number;
  readonly #loop: EventLoop;

  constructor(closers: Closers, engine: Engine, host: SessionHost, namespaceFd: number, inside: SocketServer) {
    this.closers = closers;
    this.engine = engine;
    this.inside = inside;
    this.#host = host;
    this.#namespaceFd = namespaceFd;
    this.#loop = new EventLoop(this.sys, engine, (error) => {
      throw error;
    });
  }

  /** What is asked for, or the code and the sentence of why not. */
  open(options: Partial<ForwardOptions>): Forwards | string {
    let forwards: Forwards | undefined;
    const forwarding = (opened: Forwards): Result<undefined> => {
      forwards = opened;
      return success(undefined);
    };
    const begun = SessionForwards.begin({ ...NONE, ...options }, { ...HOOKS, forwarding }, this.closers);
    assert.ok(begun.ok && begun.value !== undefined);
    const entered = begun.value.enter(this.#namespaceFd);
    assert.ok(entered.ok, JSON.stringify(entered));
    const opened = begun.value.open(this.engine, this.#host);
    return opened.ok ? forwards! : `${opened.failure.code}: ${opened.failure.message}`;
  }

  /** A server in the namespace that says who calls, at a port of all its addresses. */
  async serveInside(port: number): Promise<Server> {
    const address = Int32Array.of(0, 0, 0, 0, port, 0);
    const fd = this.inside.makeOne({ family: INET6, type: STREAM, address, backlog: 100, dual: true });
    assert.ok(fd >= 0, `errno ${-fd}`);
    return await this.#serve({ fd });
  }

  /** The same on the host's loopback. */
  async serveOutside(port: number): Promise<Server> {
    return await this.#serve({ port, host: '127.0.0.1' });
  }

  /** What a server says at a port of the namespace's loopback. */
  async askInside(port: number): Promise<string> {
    const fd = this.inside.makeOne({ family: INET, type: STREAM });
    const error = this.sys.connect(fd, Int32Array.of(0, 0, 0xffff, 0x7f000001, port, 0));
    assert.ok(error === 0 || error === -115, `errno ${-error}`);
    return await textOf(new Socket({ fd, readable: true, writable: true }));
  }

  async end(): Promise<void> {
    this.#loop.stop();
    await this.closers.closeAll();
  }

  async #serve(where: { fd: number } | { port: number; host: string }): Promise<Server> {
    const server = createServer((socket) => {
      socket.on('error', () => {});
      // Without an engine nobody tells it of its end.
      this.closers.add(() => void socket.destroy());
      socket.end(`${socket.remoteAddress?.replace('::ffff:', '')}`);
    });
    server.listen(where);
    await once(server, 'listening');
    this.closers.add(() => {
      server.close();
    });
    return server;
  }
}

const NONE: ForwardOptions = {
  tcpIn: NO_FORWARDS,
  udpIn: NO_FORWARDS,
  udpFollows: false,
  tcpOut: NO_FORWARDS,
  udpOut: NO_FORWARDS,
  splice: true,
  hostLoopbackToNamespaceLoopback: true,
  freebind: false,
};
const HOOKS: SessionHooks = { flowSinks: [], log: () => {}, published: () => {} };
const { INET, INET6 } = SOCKET_FAMILY;
const { STREAM } = SOCKET_TYPE;

/** The reason where there can be none. */
export function startWorld(): World | string {
  const closers = new Closers();
  const sys = new LinuxSys();
  const child = startNamespace({ tap: { name: TAP }, sysctls: guestSysctls(TAP, undefined, false) });
  if (!child.ok) return child.failure.message;
  closers.add(() => void child.value.end());
  const options: RunOptions = {
    ...OPTIONS,
    interfaceName: TAP,
    addresses: [parseIpPrefix(`${GUEST}/24`)!, parseIpPrefix(`${GUEST_IPV6}/64`)!],
    gateways: [parseIpAddress('10.0.2.2')!, parseIpAddress('fd00::2')!],
    dns: 'none',
  };
  const planned = SessionHost.plan(sys, options, HOOKS, closers);
  assert.ok(planned.ok, JSON.stringify(planned));
  const namespace = openNetworkNamespace(`pid:${child.value.pid}`);
  assert.ok(namespace.ok, JSON.stringify(namespace));
  closers.add(() => closeSync(namespace.value.fd));
  const inside = startSocketServer(namespace.value.fd);
  assert.ok(inside.ok, JSON.stringify(inside));
  closers.add(() => inside.value.close());
  const engine = planned.value.makeEngine();
  const plugged = plugTap(planned.value, engine, child.value, '');
  assert.ok(plugged.ok, JSON.stringify(plugged));
  const configured = configureGuest(child.value.netlinkFd, planned.value.guest);
  assert.ok(configured.ok, JSON.stringify(configured));
  return new World(closers, engine, planned.value, namespace.value.fd, inside.value);
}

/** What a server of the host's says, or the code of why it does not. */
export async function ask(port: number, host: string = '127.0.0.1'): Promise<string> {
  return await textOf(connect({ port, host }));
}

export async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = Date.now() + WAIT_MS; !(await condition()); await sleep(10)) assert.ok(Date.now() < end, what);
}

async function textOf(socket: Socket): Promise<string> {
  let text = '';
  try {
    for await (const chunk of socket) text += chunk.toString();
    return text;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  }
}
