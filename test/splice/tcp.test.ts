/** Connections between the loopback interfaces of host and namespace, moved by splice(2): both directions, every way to end, and every bound. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { SOCKET_FAMILY, SOCKET_TYPE } from '#tapster/sys/sys.js';
import type { SpliceTcpOptions } from '#tapster/translate/splice-tcp.js';
import { atRest, call, LOOPBACK_V6, startWorld, until, type World } from './world.ts';

const MEGABYTE = 1024 * 1024;
const LARGE_BYTES: number = 100 * MEGABYTE;
const chunk: Buffer = randomBytes(MEGABYTE - 13);

// covers P18
describe('TCP between two loopback interfaces', () => {
  it('carries 100 MB each way at once, to the namespace and to the host', async (t) => {
    const world = start(t);
    const [server, port] = await world.serveInside((socket) => void exchange(socket));
    t.after(() => server.close());
    const result = await exchange(call(world.publish(port)));
    assert.equal(result, expected);
    const host = createServer({ allowHalfOpen: true }, (socket) => void exchange(socket));
    host.listen(0, '127.0.0.1');
    await once(host, 'listening');
    t.after(() => host.close());
    const inside = world.callInside(world.publishInside((host.address() as { port: number }).port));
    assert.equal(await exchange(inside), expected);
    await until('both are over', () => world.tcp.count === 0);
    const { counters } = world.tcp;
    assert.deepEqual([counters.accepted, counters.closed, counters.bytesCopied], [2, 2, 0]);
    assert.deepEqual([counters.bytesToTargets, counters.bytesToCallers], [2 * LARGE_BYTES, 2 * LARGE_BYTES]);
  });

  it('carries the same without any pipe, by copying', async (t) => {
    const world = start(t, { pipesMax: 0 });
    const [server, port] = await world.serveInside((socket) => void exchange(socket));
    t.after(() => server.close());
    assert.equal(await exchange(call(world.publish(port))), expected);
    await until('it is over', () => world.tcp.count === 0);
    assert.equal(world.tcp.counters.bytesCopied, 2 * LARGE_BYTES);
  });

  it('works over IPv6', async (t) => {
    const world = start(t);
    const [server, port] = await world.serveInside((socket) => void socket.pipe(socket), LOOPBACK_V6);
    t.after(() => server.close());
    const client = call(world.publish(port, { ...world.toNamespace, address: LOOPBACK_V6 }), '::1');
    client.end('six');
    assert.equal(await textOf(client), 'six');
  });

  it('may have low ports in the namespace, whoever we are', (t) => {
    const world = start(t);
    const address = Int32Array.of(0, 0, 0xffff, 0x7f000001, 80, 0);
    const fd = world.inside.makeOne({ family: SOCKET_FAMILY.INET, type: SOCKET_TYPE.STREAM, address, backlog: 1 });
    assert.ok(fd >= 0, `errno ${-fd}`);
    world.sys.close(fd);
  });

  it('passes the end of each half on by itself', async (t) => {
    const world = start(t);
    let answer: Socket | undefined;
    const [server, port] = await world.serveInside((socket) => {
      answer = socket;
      socket.write('before ');
    });
    t.after(() => server.close());
    const client = call(world.publish(port));
    client.end('question');
    await until('the server was called', () => answer !== undefined);
    assert.equal(await textOf(answer!), 'question');
    // The other half is open still.
    const text = textOf(client);
    await sleep(50);
    answer!.end('and after');
    assert.equal(await text, 'before and after');
    await until('it is over', () => world.tcp.count === 0);
    assert.equal(world.tcp.counters.closed, 1);
  });

  it('lets the server end first', async (t) => {
    const world = start(t);
    let received: Promise<string> | undefined;
    const [server, port] = await world.serveInside((socket) => {
      received = textOf(socket);
      socket.end('banner');
    });
    t.after(() => server.close());
    const client = call(world.publish(port));
    assert.equal(await textOf(client), 'banner');
    client.end('late');
    assert.equal(await received, 'late');
  });

  it('passes a reset on, either way', async (t) => {
    const world = start(t);
    let serverError = '';
    const [server, port] = await world.serveInside((socket) => {
      socket.on('error', (error: NodeJS.ErrnoException) => {
        serverError = error.code ?? '';
      });
      socket.on('data', (data) => {
        if (data.toString() === 'reset') socket.resetAndDestroy();
      });
    });
    t.after(() => server.close());
    const published = world.publish(port);
    const one = call(published);
    one.write('reset');
    const [error] = (await once(one, 'error')) as [NodeJS.ErrnoException];
    assert.equal(error.code, 'ECONNRESET');
    const two = call(published);
    two.write('hello');
    await until('it went through', () => world.tcp.counters.bytesToTargets === 10);
    two.resetAndDestroy();
    await until('the server was told', () => serverError === 'ECONNRESET');
    assert.equal(world.tcp.counters.reset, 2);
    assert.equal(world.tcp.count, 0);
  });

  it('gives what came before a reset', async (t) => {
    const world = start(t);
    const [server, port] = await world.serveInside((socket) => {
      socket.write('last words', () => socket.resetAndDestroy());
    });
    t.after(() => server.close());
    const client = call(world.publish(port));
    let text = '';
    client.on('data', (data) => {
      text += data.toString();
    });
    client.on('error', () => {});
    // Node takes a reset behind a short read for the end.
    await until('it was reset', () => world.tcp.counters.reset === 1 && text !== '');
    assert.equal(text, 'last words');
  });

  it('resets the caller when nobody listens', async (t) => {
    const world = start(t);
    const client = call(world.publish(1));
    await once(client, 'error');
    assert.deepEqual([world.tcp.counters.refused, world.tcp.count], [1, 0]);
  });

  it('serves 1,000 short connections, more at once than it has room for', async (t) => {
    const world = start(t, { connectionsMax: 16 });
    const [server, port] = await world.serveInside((socket) => void socket.pipe(socket));
    t.after(() => server.close());
    const published = world.publish(port);
    const ask = async (number: number): Promise<void> => {
      const client = call(published);
      client.end(`number ${number}`);
      assert.equal(await textOf(client), `number ${number}`);
    };
    for (let i = 0; i < 1000; i += 50) await Promise.all(Array.from({ length: 50 }, (_, j) => ask(i + j)));
    await until('all are over', () => world.tcp.count === 0);
    assert.deepEqual([world.tcp.counters.accepted, world.tcp.counters.closed], [1000, 1000]);
  });

  it('holds back a sender whose receiver is slow, and loses nothing', async (t) => {
    const world = start(t);
    let slow: Socket | undefined;
    const [server, port] = await world.serveInside((socket) => {
      slow = socket;
      socket.pause();
    });
    t.after(() => server.close());
    const client = call(world.publish(port));
    client.on('error', () => {});
    // More than the sockets and the pipe between them hold.
    for (let i = 0; i < 32; i++) client.write(chunk);
    const moved = await atRest('what moves', () => world.tcp.counters.bytesToTargets);
    assert.ok(moved > 0 && moved < 32 * chunk.length, `${moved} bytes`);
    const hash = createHash('sha1');
    let received = 0;
    slow!.on('data', (data) => {
      hash.update(data);
      received += data.length;
    });
    client.end();
    slow!.resume();
    await once(slow!, 'end');
    const sent = createHash('sha1');
    for (let i = 0; i < 32; i++) sent.update(chunk);
    assert.equal(received, 32 * chunk.length);
    assert.equal(hash.digest('hex'), sent.digest('hex'));
    slow!.end();
    await until('it is over', () => world.tcp.count === 0);
  });

  it('serves others while slow receivers hold all pipes', async (t) => {
    const world = start(t, { pipesMax: 2 });
    const held: Socket[] = [];
    const [deaf, deafPort] = await world.serveInside((socket) => held.push(socket.pause()));
    const [echo, echoPort] = await world.serveInside((socket) => void socket.pipe(socket));
    t.after(() => deaf.close());
    t.after(() => echo.close());
    const deafPublished = world.publish(deafPort);
    const senders = Array.from({ length: 4 }, () => call(deafPublished));
    for (const sender of senders) {
      sender.on('error', () => {});
      for (let i = 0; i < 16; i++) sender.write(chunk);
    }
    await until('all pipes are held', () => world.tcp.pipesHeld === 2);
    // What moves still would give its pipe back.
    await atRest('what moves', () => world.tcp.counters.bytesToTargets);
    assert.equal(world.tcp.pipesHeld, 2);
    const client = call(world.publish(echoPort));
    client.end(chunk);
    assert.equal((await bytesOf(client)).compare(chunk), 0);
    assert.ok(world.tcp.counters.bytesCopied >= 2 * chunk.length);
    for (const socket of [...senders, ...held]) socket.destroy();
    await until('all are over', () => world.tcp.count === 0);
    assert.equal(world.tcp.pipesHeld, 0);
  });

  it('resets who is idle for too long, where it is told to', async (t) => {
    const world = start(t, { idleMsMax: 100 });
    const [server, port] = await world.serveInside(() => {});
    t.after(() => server.close());
    const client = call(world.publish(port));
    await once(client, 'error');
    assert.deepEqual([world.tcp.counters.accepted, world.tcp.counters.idle], [1, 1]);
  });

  it('closes what it opened', async (t) => {
    const before = descriptors();
    const world = start(t);
    const [server, port] = await world.serveInside((socket) => void socket.pipe(socket));
    const client = call(world.publish(port));
    client.on('error', () => {});
    client.write('hello');
    await once(client, 'data');
    const [view] = world.tcp.connections(10);
    assert.deepEqual([view?.bytesToTarget, view?.bytesToCaller, view?.target[4]], [5, 5, port]);
    world.end();
    server.close();
    await until('all is closed', () => descriptors() <= before);
  });
});

const expected: string = digest();

function start(t: TestContext, options: SpliceTcpOptions = {}): World {
  const world = startWorld(options);
  if (typeof world === 'string') {
    t.skip(world);
    throw new Error(world);
  }
  let open = true;
  const { end } = world;
  world.end = () => {
    if (open) end.call(world);
    open = false;
  };
  t.after(() => world.end());
  return world;
}

/** Sends and receives `LARGE_BYTES`. Returns the hash of what came. */
async function exchange(socket: Socket): Promise<string> {
  const hash = createHash('sha1');
  socket.on('data', (data) => hash.update(data));
  const ended = once(socket, 'end');
  for (let left = LARGE_BYTES; left > 0; left -= chunk.length) {
    if (!socket.write(chunk.subarray(0, left))) await once(socket, 'drain');
  }
  socket.end();
  await ended;
  return hash.digest('hex');
}

function digest(): string {
  const hash = createHash('sha1');
  for (let left = LARGE_BYTES; left > 0; left -= chunk.length) hash.update(chunk.subarray(0, left));
  return hash.digest('hex');
}

async function bytesOf(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on('data', (data: Buffer) => chunks.push(data));
  await once(socket, 'end');
  return Buffer.concat(chunks);
}

async function textOf(socket: Socket): Promise<string> {
  return (await bytesOf(socket)).toString();
}

function descriptors(): number {
  return readdirSync('/proc/self/fd').length;
}
