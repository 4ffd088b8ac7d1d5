/** Datagrams between the loopback interfaces of host and namespace: both directions, many senders, batches, and what is forgotten. */
import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { DATAGRAM_WORDS, SOCKET_FAMILY, SOCKET_TYPE } from '#tapster/sys/sys.js';
import { LOOPBACK, startWorld, succeed, until, type World } from './world.ts';

// covers P18
describe('UDP between two loopback interfaces', () => {
  it('carries datagrams of every size there and back', async (t) => {
    const world = start(t);
    const client = await open(t);
    const port = publish(world, echoInside(t, world));
    for (const bytes of [0, 1, 1472, 9000, 65_507]) {
      const sent = Buffer.alloc(bytes, bytes & 0xff);
      client.send(sent, port, '127.0.0.1');
      const [received] = (await once(client, 'message')) as [Buffer];
      assert.equal(received.compare(sent), 0, `${bytes} bytes`);
    }
    const { counters, count } = world.udp;
    assert.deepEqual([counters.datagramsToTargets, counters.datagramsToSenders, count], [5, 5, 1]);
    assert.deepEqual([counters.bytesToTargets, counters.bytesToSenders], [75_980, 75_980]);
  });

  it('keeps a hundred senders apart', async (t) => {
    const world = start(t);
    const port = publish(world, echoInside(t, world));
    const clients = await Promise.all(Array.from({ length: 100 }, () => open(t)));
    const answers = clients.map((client) => once(client, 'message'));
    for (const [i, client] of clients.entries()) client.send(`sender ${i}`, port, '127.0.0.1');
    for (const [i, answer] of answers.entries()) {
      const [data] = (await answer) as [Buffer];
      assert.equal(data.toString(), `sender ${i}`);
    }
    assert.equal(world.udp.count, 100);
  });

  it('leads from the namespace to the host', async (t) => {
    const world = start(t);
    const host = await open(t);
    host.on('message', (data, { port, address }) => host.send(data, port, address));
    const fd = world.makeInside(SOCKET_TYPE.DGRAM);
    const port = world.portOf(fd);
    succeed(world.udp.add({ fd, target: world.toHost, port: host.address().port }));
    const asker = succeed(world.inside.makeOne({ family: SOCKET_FAMILY.INET, type: SOCKET_TYPE.DGRAM }));
    succeed(world.sys.connect(asker, Int32Array.of(...LOOPBACK, port, 0)));
    const memory = world.sys.register(new TextEncoder().encode('up'));
    t.after(() => world.sys.unregister(memory));
    t.after(() => world.sys.close(asker));
    succeed(world.sys.write(asker, memory, 0, 2));
    await until('the answer came', () => world.udp.counters.datagramsToSenders === 1);
    assert.equal(world.sys.read(asker, memory, 0, 2), 2);
  });

  it('counts that nobody listens, and goes on', async (t) => {
    const world = start(t);
    const fd = world.makeInside(SOCKET_TYPE.DGRAM);
    const free = world.portOf(fd);
    world.sys.close(fd);
    const client = await open(t);
    const port = publish(world, free);
    client.send('anyone?', port, '127.0.0.1');
    await until('it was refused', () => world.udp.counters.refused === 1);
    client.send('anyone?', port, '127.0.0.1');
    await until('and again', () => world.udp.counters.refused >= 2);
    assert.equal(world.udp.count, 1);
  });

  it('forgets the senders of a port that is taken back', async (t) => {
    const world = start(t);
    const client = await open(t);
    const fd = bound(world);
    const port = world.portOf(fd);
    succeed(world.udp.add({ fd, target: world.toNamespace, port: echoInside(t, world) }));
    client.send('hello', port, '127.0.0.1');
    await once(client, 'message');
    assert.ok(world.udp.remove(fd));
    assert.equal(world.udp.remove(fd), false);
    assert.equal(world.udp.count, 0);
    client.send('hello?', port, '127.0.0.1');
    await sleep(30);
    assert.equal(world.udp.counters.datagramsToTargets, 1);
  });
});

function start(t: TestContext): World {
  const world = startWorld();
  if (typeof world === 'string') {
    t.skip(world);
    throw new Error(world);
  }
  t.after(() => world.end());
  return world;
}

/** Answers each datagram with itself, in the namespace. Returns its port. */
function echoInside(t: TestContext, world: World): number {
  const { sys } = world;
  const fd = world.makeInside(SOCKET_TYPE.DGRAM);
  const bytes = new Uint8Array(16 * 65_536);
  const records = new Int32Array(16 * DATAGRAM_WORDS);
  const memory = sys.register(bytes);
  const recordMemory = sys.register(records);
  const watch = sys.watchReadable(fd, () => {
    const count = sys.receiveDatagrams(fd, memory, 0, bytes.length, 0, 65_536, recordMemory, 0, 16);
    for (let i = 0; i < count; i++) records.fill(-1, i * DATAGRAM_WORDS + 3, i * DATAGRAM_WORDS + 5);
    if (count > 0) sys.sendDatagrams(fd, memory, recordMemory, 0, count);
  });
  t.after(() => {
    sys.unwatch(watch);
    sys.close(fd);
    sys.unregister(memory);
    sys.unregister(recordMemory);
  });
  return world.portOf(fd);
}

function bound(world: World): number {
  const fd = succeed(world.sys.socket(SOCKET_FAMILY.INET, SOCKET_TYPE.DGRAM, 0));
  succeed(world.sys.bind(fd, Int32Array.of(...LOOPBACK, 0, 0)));
  return fd;
}

/** The host's 127.0.0.1 leads to a port of the namespace's. Returns its port. */
function publish(world: World, port: number): number {
  const fd = bound(world);
  succeed(world.udp.add({ fd, target: world.toNamespace, port }));
  return world.portOf(fd);
}

async function open(t: TestContext): Promise<Socket> {
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  t.after(() => socket.close());
  return socket;
}
