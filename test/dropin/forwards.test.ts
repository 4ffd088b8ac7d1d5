/** Forwards between the host and a namespace, on the kernel: who is led where, what follows ports, and what can not be had. */
import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { describe, it, type TestContext } from 'node:test';
import { parseIpAddress } from '#tapster/base/address.js';
import { AUTO_FORWARDS, type ForwardRule, type ForwardSpec } from '#tapster/engine/forward-rules.js';
import type { Forwards } from '#tapster/engine/forwards.js';
import { descriptorLimit } from '#tapster/sys/descriptor-limit.js';
import { SOCKET_FAMILY, SOCKET_TYPE } from '#tapster/sys/sys.js';
import { ip, onOwnMachine } from '../network/lab.ts';
import { ask, OUTSIDE, PORT, startWorld, until, type World } from './forwards-world.ts';

// Where nobody else has our ports.
await onOwnMachine(import.meta.url);
ip('address', 'add', `${OUTSIDE}/32`, 'dev', 'lo');

function start(t: TestContext): World {
  const world = startWorld();
  if (typeof world === 'string') {
    t.skip(world);
    throw new Error(world);
  }
  t.after(() => world.end());
  return world;
}

function rule(firstPort: number, more: Partial<ForwardRule> = {}): ForwardRule {
  const anywhere = { address: undefined, interfaceName: undefined, toAddress: undefined, weak: false };
  return { ...anywhere, firstPort, lastPort: firstPort, toPort: firstPort, ...more };
}

function ports(...rules: ForwardRule[]): ForwardSpec {
  return { rules, auto: [] };
}

function opened(forwards: Forwards | string): Forwards {
  assert.notEqual(typeof forwards, 'string', String(forwards));
  return forwards as Forwards;
}

// covers P17, P18
describe('ports of the host that lead to a namespace', () => {
  it('splice callers of the loopback, of both families, to the port that is meant', async (t) => {
    const world = start(t);
    const forwards = opened(world.open({ tcpIn: ports(rule(PORT, { lastPort: PORT + 2, toPort: 80 })) }));
    await world.serveInside(81);
    assert.equal(await ask(PORT + 1), '127.0.0.1');
    assert.equal(await ask(PORT + 1, '::1'), '::1');
    assert.equal(await ask(PORT), 'ECONNRESET');
    // Frames may go by the interface all the same: its kernel asks for a router.
    assert.deepEqual([forwards.tcp?.counters.accepted, world.engine.flows.opened], [3, 0]);
  });

  it('lead callers from elsewhere by the interface, under their own address', async (t) => {
    const world = start(t);
    const forwards = opened(world.open({ tcpIn: ports(rule(PORT, { toPort: 80 })) }));
    await world.serveInside(80);
    assert.equal(await ask(PORT, OUTSIDE), OUTSIDE);
    assert.equal(forwards.tcp?.counters.accepted, 0);
  });

  it('lead everybody by the interface where nothing is spliced', async (t) => {
    const world = start(t);
    opened(world.open({ tcpIn: ports(rule(PORT, { toPort: 80 })), splice: false }));
    await world.serveInside(80);
    assert.equal(await ask(PORT), '10.0.2.2');
  });

  it('may be of one address, one interface, and lead to one address', async (t) => {
    const world = start(t);
    const address = parseIpAddress('127.0.0.5');
    const toAddress = parseIpAddress('127.0.0.9');
    opened(
      world.open({
        tcpIn: ports(
          rule(PORT, { address, toPort: 80 }),
          rule(PORT + 1, { interfaceName: 'lo', toAddress, toPort: 80 }),
        ),
      }),
    );
    const server = await world.serveInside(80);
    const called = once(server, 'connection');
    assert.equal(await ask(PORT + 1), '127.0.0.1');
    assert.equal((await called)[0].localAddress.replace('::ffff:', ''), '127.0.0.9');
    assert.equal(await ask(PORT), 'ECONNREFUSED');
    assert.equal(await ask(PORT, '127.0.0.5'), '127.0.0.1');
  });

  it('carry datagrams, of the loopback by splice and of others by the interface', async (t) => {
    const world = start(t);
    const forwards = opened(world.open({ udpIn: ports(rule(PORT, { toPort: 53 })) }));
    const echo = echoInside(t, world, 53);
    assert.deepEqual(await exchange(t, '127.0.0.1'), 'hello');
    assert.equal(forwards.udp?.counters.senders, 1);
    assert.deepEqual(await exchange(t, OUTSIDE), 'hello');
    assert.equal(forwards.udp?.counters.senders, 1);
    assert.equal(echo.callers.size, 2);
  });

  it('come and go while connections stay', async (t) => {
    const world = start(t);
    const forwards = opened(world.open({}));
    await world.serveInside(80);
    const before = readdirSync('/proc/self/fd').length;
    const address = '127.77.77.77';
    for (const protocol of ['tcp', 'udp'] as const) {
      const more = { address: parseIpAddress(address), lastPort: PORT + 299, toPort: 80 };
      const added = forwards.add({ direction: 'in', protocol, rule: rule(PORT, more) });
      assert.ok(added.ok, JSON.stringify(added));
      assert.deepEqual([added.value.ports, forwards.list().length], [300, 1]);
      if (protocol === 'tcp') assert.equal(await ask(PORT, address), '127.0.0.1');
      assert.ok(forwards.remove(added.value.id));
      assert.equal(forwards.remove(added.value.id), false);
    }
    assert.equal(await ask(PORT, address), 'ECONNREFUSED');
    await until('its sockets are closed', () => readdirSync('/proc/self/fd').length <= before + STOCK_MAX);
  });
});

describe('ports of a namespace that lead to the host', () => {
  it('are those of its loopback', async (t) => {
    const world = start(t);
    opened(world.open({ tcpOut: ports(rule(80, { toPort: PORT })) }));
    await world.serveOutside(PORT);
    assert.equal(await world.askInside(80), '127.0.0.1');
  });
});

describe('ports that follow those of the other side', () => {
  it('are opened when a server comes, either way, and closed when it goes', async (t) => {
    const world = start(t);
    const forwards = opened(world.open({ tcpIn: AUTO_FORWARDS, tcpOut: AUTO_FORWARDS }));
    const inside = await world.serveInside(PORT);
    await until('it was noticed', () => isOpen(forwards, 'in', PORT));
    assert.equal(await ask(PORT), '127.0.0.1');
    await world.serveOutside(PORT + 1);
    await until('it was noticed', () => isOpen(forwards, 'out', PORT + 1));
    assert.equal(await world.askInside(PORT + 1), '127.0.0.1');
    // What is ours on one side is no server that the other would follow.
    assert.deepEqual([isOpen(forwards, 'out', PORT), isOpen(forwards, 'in', PORT + 1)], [false, false]);
    inside.close();
    await until('its end was noticed', () => !isOpen(forwards, 'in', PORT));
    assert.equal(await ask(PORT), 'ECONNREFUSED');
  });

  it('are not those that are excluded, or forwarded by name', async (t) => {
    const world = start(t);
    const excluded = [{ first: PORT + 1, last: PORT + 1 }];
    const tcpIn = {
      rules: [rule(PORT, { toPort: 80 })],
      auto: [{ address: undefined, interfaceName: undefined, excluded }],
    };
    const forwards = opened(world.open({ tcpIn }));
    for (const port of [PORT, PORT + 1, PORT + 2]) await world.serveInside(port);
    await until('the third was noticed', () => isOpen(forwards, 'in', PORT + 2));
    assert.deepEqual(
      forwards.list().map(({ rule, auto }) => [rule.firstPort, auto]),
      [
        [PORT, false],
        [PORT + 2, true],
      ],
    );
  });
});

describe('ports that can not be had', () => {
  it('are named, and then nothing is forwarded', async (t) => {
    const world = start(t);
    const taken = await world.serveOutside(PORT + 1);
    const refusal = world.open({ tcpIn: ports(rule(PORT, { lastPort: PORT + 2 })) });
    assert.equal(
      refusal,
      `port-in-use: can't forward [::]:${PORT + 1}/tcp of the host: another program has it; choose another port`,
    );
    // The process that made the others has to close them, too.
    await until('it is closed', async () => (await ask(PORT)) === 'ECONNREFUSED');
    taken.close();
  });

  it('are left out of what is weak', async (t) => {
    const world = start(t);
    await world.serveOutside(PORT + 1);
    const forwards = opened(world.open({ tcpIn: ports(rule(PORT, { lastPort: PORT + 2, weak: true })) }));
    assert.deepEqual(
      forwards.list().map(({ ports }) => ports),
      [2],
    );
    await world.serveInside(PORT + 2);
    assert.equal(await ask(PORT + 2), '127.0.0.1');
  });

  it('may be more than there may be descriptors, which is said before one is opened', (t) => {
    const world = start(t);
    const limit = descriptorLimit();
    if (descriptorLimit(200_000) > limit) {
      t.skip('this process may have as many descriptors as it likes');
      return;
    }
    const refusal = world.open({ udpOut: ports(rule(1, { lastPort: 65_535 })) });
    assert.match(
      String(refusal),
      new RegExp(
        `^descriptors-exhausted: can't forward 65535 UDP ports: .* ${limit}: \\d+ ports at most; raise the hard limit`,
      ),
    );
  });

  it('may be of interfaces and addresses that are not there', (t) => {
    const world = start(t);
    const refusal = (more: Partial<ForwardRule>): string => String(world.open({ tcpIn: ports(rule(PORT, more)) }));
    assert.match(refusal({ interfaceName: 'no-such' }), /^interface-missing: .* there is no interface no-such/);
    assert.match(refusal({ address: parseIpAddress('203.0.113.9') }), /^address-not-local: /);
    assert.match(refusal({ address: parseIpAddress('fd74::9') }), /^address-not-local: /);
  });
});

/** What splicing keeps in stock of sockets of the namespace. */
const STOCK_MAX = 64;

function isOpen(forwards: Forwards, direction: 'in' | 'out', port: number): boolean {
  return forwards.list().some((each) => each.direction === direction && each.rule.firstPort === port);
}

/** Answers each datagram at a port of the namespace's with itself. */
function echoInside(t: TestContext, world: World, port: number): { readonly callers: Set<string> } {
  const address = Int32Array.of(0, 0, 0xffff, 0, port, 0);
  const fd = world.inside.makeOne({ family: SOCKET_FAMILY.INET, type: SOCKET_TYPE.DGRAM, address });
  assert.ok(fd >= 0, `errno ${-fd}`);
  const socket = createSocket('udp4');
  socket.bind({ fd });
  t.after(() => socket.close());
  const callers = new Set<string>();
  socket.on('message', (message, from) => {
    callers.add(from.address);
    socket.send(message, from.port, from.address);
  });
  return { callers };
}

async function exchange(t: TestContext, host: string): Promise<string> {
  const socket: Socket = createSocket('udp4');
  t.after(() => socket.close());
  socket.send('hello', PORT, host);
  const [message] = (await once(socket, 'message')) as [Buffer];
  return message.toString();
}
