/**
 * A command for tests that change the world while it runs. It reads one instruction a line and answers each with one line, `NUMBER ANSWER`:
 *
 * | instruction                  | does                                                    | answers                               |
 * | ---------------------------- | ------------------------------------------------------- | ------------------------------------- |
 * | `N open NAME ADDRESS PORT`   | connects                                                | `open`, or an error's code            |
 * | `N say NAME BYTES`           | sends the pattern to an echo server and waits for it    | `heard`, `other`, or an error's code  |
 * | `N close NAME`               | ends both halves                                        | `closed`, or an error's code          |
 * | `N udp ADDRESS PORT BYTES`   | one datagram to an echo server, from a new socket       | `heard`, `other`, `silence`, or a code|
 * | `N keep ADDRESS PORT BYTES`  | the same, always from one socket                        | the same                              |
 * | `N where ADDRESS`            | asks port 3478 from what address we come                | an address, `silence`, or a code      |
 * | `N resolve NAME`             | looks up an IPv4 address                                | an address or a code                  |
 *
 * With `briefly` before the verb, what takes longer than two seconds is answered with `nothing` (datagrams: `silence`), and goes on. Without it only what hangs is
 * answered so, after a minute.
 *
 * With the words `reset-after PORT BYTES` it is a server that takes so many bytes and then resets.
 */

import { createSocket, type Socket as DatagramSocket } from 'node:dgram';
import { Resolver } from 'node:dns/promises';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { patternAt } from '../support/netns/pattern.ts';

const BRIEFLY_MS = 2000;
const PATIENCE_MS = 60_000;

const sockets = new Map<string, Socket>();
const datagramSockets = new Map<string, DatagramSocket>();

if (process.argv[2] === 'reset-after') resetAfter(Number(process.argv[3]), Number(process.argv[4]));
else await listenToInstructions();

async function listenToInstructions(): Promise<void> {
  console.log('ready');
  for await (const line of createInterface({ input: process.stdin })) {
    const [, number, brief, verb = '', rest = ''] = line.match(/^(\d+) (briefly )?(\S+) ?(.*)$/)!;
    const patienceMs = brief === undefined ? PATIENCE_MS : BRIEFLY_MS;
    const isDatagram = verb === 'udp' || verb === 'keep' || verb === 'where';
    const patience = new Promise<string>((resolve) =>
      setTimeout(resolve, patienceMs, isDatagram ? 'silence' : 'nothing').unref(),
    );
    void Promise.race([follow(verb, rest.split(' ')), patience]).then((answer) => console.log(`${number} ${answer}`));
  }
  process.exit(0);
}

async function follow(verb: string, words: readonly string[]): Promise<string> {
  const [first = '', second = '', third = ''] = words;
  try {
    switch (verb) {
      case 'open':
        return await open(first, second, Number(third));
      case 'say':
        return await say(first, Number(second));
      case 'close':
        return await close(first);
      case 'udp':
        return await sendDatagram(newSocket(first), first, Number(second), Number(third));
      case 'keep':
        return await sendDatagram(keptSocket(first), first, Number(second), Number(third));
      case 'where':
        return await askWhere(first);
      case 'resolve':
        return await resolve(first);
      default:
        return `no verb ${verb}`;
    }
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  }
}

async function open(name: string, host: string, port: number): Promise<string> {
  const socket = connect({ host, port, allowHalfOpen: true });
  // Whoever waits for the socket hears of it.
  socket.on('error', () => {});
  sockets.set(name, socket);
  await once(socket, 'connect');
  return 'open';
}

async function say(name: string, bytes: number): Promise<string> {
  const socket = sockets.get(name)!;
  if (socket.errored !== null) throw socket.errored;
  if (socket.destroyed) return 'gone';
  const sent = patternAt(0, bytes);
  const echo = readExactly(socket, bytes);
  socket.write(sent);
  return (await echo).equals(sent) ? 'heard' : 'other';
}

function readExactly(socket: Socket, bytes: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let got = 0;
    const take = (chunk: Buffer): void => {
      chunks.push(chunk);
      got += chunk.length;
      if (got >= bytes) finish(() => resolve(Buffer.concat(chunks)));
    };
    const fail = (error: Error): void => finish(() => reject(error));
    const end = (): void => finish(() => reject(Object.assign(new Error('ended'), { code: 'ended' })));
    const finish = (done: () => void): void => {
      socket.off('data', take).off('error', fail).off('end', end);
      done();
    };
    socket.on('data', take).on('error', fail).on('end', end);
  });
}

async function close(name: string): Promise<string> {
  const socket = sockets.get(name)!;
  sockets.delete(name);
  socket.resume().end();
  if (!socket.destroyed) await once(socket, 'close');
  return socket.errored === null ? 'closed' : ((socket.errored as NodeJS.ErrnoException).code ?? 'failed');
}

function newSocket(address: string): DatagramSocket {
  return createSocket(address.includes(':') ? 'udp6' : 'udp4');
}

function keptSocket(address: string): DatagramSocket {
  const kept = datagramSockets.get(address) ?? newSocket(address);
  datagramSockets.set(address, kept);
  return kept;
}

async function sendDatagram(socket: DatagramSocket, address: string, port: number, bytes: number): Promise<string> {
  const sent = patternAt(0, bytes);
  const answer = await exchange(socket, address, port, sent);
  return answer.equals(sent) ? 'heard' : 'other';
}

async function askWhere(address: string): Promise<string> {
  const answer = await exchange(newSocket(address), address, 3478, Buffer.from('who am I'));
  return (JSON.parse(answer.toString()) as { address: string }).address;
}

/** The answer; fails with an error's code, which only connected sockets hear of. */
async function exchange(socket: DatagramSocket, address: string, port: number, sent: Buffer): Promise<Buffer> {
  try {
    socket.remoteAddress();
  } catch {
    await new Promise<void>((resolve) => socket.connect(port, address, resolve));
  }
  const answer = once(socket, 'message').then(([message]) => message as Buffer);
  socket.send(sent);
  return answer;
}

async function resolve(name: string): Promise<string> {
  const [address = 'nowhere'] = await new Resolver({ timeout: PATIENCE_MS, tries: 1 }).resolve4(name);
  return address;
}

function resetAfter(port: number, bytes: number): void {
  const server = createServer((socket) => {
    let got = 0;
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      got += chunk.length;
      if (got >= bytes) socket.resetAndDestroy();
    });
  });
  server.listen(port, '::', () => console.log('ready'));
}
