/**
 * Traffic for the soak: `traffic.js inside` is Tapster's command, `traffic.js outside` calls its published ports. Conversations of random kinds and sizes, one after another in
 * each of some lanes, everything compared with what was to come. A line of JSON each second says what was done so far. When the standard input ends, conversations that
 * stand are finished, and the last line is written.
 */

import { spawn } from 'node:child_process';
import { createSocket, type Socket as DatagramSocket } from 'node:dgram';
import { Resolver } from 'node:dns/promises';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { PLACES } from '../support/netns/internet.ts';
import { patternAt, patternChunks, patternHash } from '../support/netns/pattern.ts';

/** What was done so far, by kind of conversation. */
export interface Tally {
  readonly done: Record<string, number>;
  /** Kind and what went wrong. */
  readonly failed: Record<string, number>;
  /** Payload, both ways. */
  bytes: number;
}

const PUBLISHED = { tcp: 7000, udp: 7001 } as const;

const BYTES_MAX = 2_000_000;
/** So few that the ports of what has just ended, which rest for a minute, are not used up. */
const BURST = 20;
const PATIENCE_MS = 60_000;
/** A datagram that has been away for so long does not come back. */
const LOST_MS = 10_000;
const REPORT_MS = 1000;

type Converse = () => Promise<void>;

const tally: Tally = { done: {}, failed: {}, bytes: 0 };
let isEnding = false;
const datagramSockets = new Map<string, DatagramSocket>();
let datagrams = 0;

process.stdin.resume().on('end', () => {
  isEnding = true;
});
const reporting = setInterval(report, REPORT_MS);
await (process.argv[2] === 'outside' ? callPublished() : talkToTheInternet());
clearInterval(reporting);
report();
console.log('"done"');
// Whoever called us looks now at what is left.
if (process.argv[2] === 'inside') await new Promise((resolve) => setTimeout(resolve, PATIENCE_MS));
process.exit(0);

async function talkToTheInternet(): Promise<void> {
  await serve();
  console.log('"ready"');
  const kinds: Record<string, Converse> = {
    'tcp up': () => sendUp(anyServer(), random(BYTES_MAX)),
    'tcp down': () => fetchDown(anyServer(), random(BYTES_MAX)),
    'tcp echo': () => echo(anyServer(), 7, random(BYTES_MAX / 4)),
    burst: () => burst(anyServer(), 7),
    refused: () => expectError(anyServer(), 4, 'ECONNREFUSED'),
    reset: () => expectError(anyServer(), 13, 'ECONNRESET'),
    dns: resolveName,
  };
  const datagrams = Object.values(PLACES.server).map((server) => (): Promise<void> => echoDatagrams(server));
  await Promise.all([
    ...Array.from({ length: 3 }, () => lane(kinds)),
    ...datagrams.map((each) => lane({ udp: each })),
    lane({ ping: () => ping(anyServer()) }, 500),
  ]);
}

async function callPublished(): Promise<void> {
  const kinds: Record<string, Converse> = {
    'published tcp': () => echo(PLACES.host[4], PUBLISHED.tcp, random(BYTES_MAX / 4)),
    'published tcp6': () => echo(PLACES.host[6], PUBLISHED.tcp, random(BYTES_MAX / 4)),
    'published burst': () => burst(PLACES.host[4], PUBLISHED.tcp),
  };
  console.log('"ready"');
  await Promise.all([
    lane(kinds),
    lane({ 'published udp': () => echoDatagram(callerSocket(), PLACES.host[4], PUBLISHED.udp) }),
  ]);
}

/** One conversation after another, until the end. */
async function lane(kinds: Record<string, Converse>, pauseMs: number = 0): Promise<void> {
  const names = Object.keys(kinds);
  while (!isEnding) {
    const name = names[random(names.length)]!;
    const what = await Promise.race([attempt(kinds[name]!), patience()]);
    if (what === undefined) tally.done[name] = (tally.done[name] ?? 0) + 1;
    else tally.failed[`${name}: ${what}`] = (tally.failed[`${name}: ${what}`] ?? 0) + 1;
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}

/** What went wrong; undefined: nothing. */
async function attempt(converse: Converse): Promise<string | undefined> {
  try {
    await converse();
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? (error as Error).message;
  }
}

function patience(): Promise<string> {
  return new Promise((resolve) => setTimeout(resolve, PATIENCE_MS, `took more than ${PATIENCE_MS} ms`).unref());
}

function report(): void {
  console.log(JSON.stringify(tally));
}

/** Who is called on published ports. */
async function serve(): Promise<void> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  await new Promise<void>((resolve) => server.listen(PUBLISHED.tcp, '::', 1024, resolve));
  const socket = createSocket('udp4');
  socket.on('message', (message, { address, port }) => socket.send(message, port, address));
  await new Promise<void>((resolve) => socket.bind(PUBLISHED.udp, resolve));
}

async function open(host: string, port: number): Promise<Socket> {
  const socket = connect({ host, port, allowHalfOpen: true });
  await once(socket, 'connect');
  return socket;
}

async function sendUp(host: string, bytes: number): Promise<void> {
  const socket = await open(host, 9);
  socket.write('{}\n');
  await writeAll(socket, bytes);
  socket.end();
  let answer = '';
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) answer += String(chunk);
  const { sha256 } = JSON.parse(answer) as { sha256: string };
  if (sha256 !== patternHash(bytes)) throw new Error(`another hash of ${bytes} bytes`);
  tally.bytes += bytes;
}

async function fetchDown(host: string, bytes: number): Promise<void> {
  const socket = await open(host, 19);
  socket.end(`${bytes}\n`);
  await expectPattern(socket, bytes);
  tally.bytes += bytes;
}

async function echo(host: string, port: number, bytes: number): Promise<void> {
  const socket = await open(host, port);
  const expected = expectPattern(socket, bytes);
  expected.catch(() => {});
  await writeAll(socket, bytes);
  socket.end();
  await expected;
  tally.bytes += 2 * bytes;
}

async function writeAll(socket: Socket, bytes: number): Promise<void> {
  for (const chunk of patternChunks(bytes)) if (!socket.write(chunk)) await once(socket, 'drain');
}

/** Reads the stream to its end and compares each byte. */
async function expectPattern(socket: Socket, bytes: number): Promise<void> {
  let at = 0;
  for await (const each of socket.iterator({ destroyOnReturn: false })) {
    const chunk = each as Buffer;
    for (let from = 0; from < chunk.length; ) {
      const expected = patternAt(at, Math.min(chunk.length - from, bytes - at));
      if (expected.length === 0 || !chunk.subarray(from, from + expected.length).equals(expected)) {
        throw new Error(`another byte behind ${at}`);
      }
      from += expected.length;
      at += expected.length;
    }
  }
  if (at !== bytes) throw new Error(`${at} of ${bytes} bytes`);
}

async function burst(host: string, port: number): Promise<void> {
  await Promise.all(Array.from({ length: BURST }, () => echo(host, port, 1000)));
}

async function expectError(host: string, port: number, code: string): Promise<void> {
  try {
    const socket = await open(host, port);
    socket.write('hello');
    for await (const _ of socket) {
      // Nothing is to come.
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === code) return;
    throw error;
  }
  throw new Error(`no ${code}`);
}

async function resolveName(): Promise<void> {
  const [address] = await new Resolver({ timeout: 15_000, tries: 2 }).resolve4('www.test');
  if (address !== PLACES.server[4]) throw new Error(`resolved to ${address}`);
}

/** Sockets stay: their flows do too, and their number says something. */
function socketFor(name: string, isIpv6: boolean): DatagramSocket {
  const kept = datagramSockets.get(name) ?? createSocket(isIpv6 ? 'udp6' : 'udp4').setMaxListeners(0);
  datagramSockets.set(name, kept);
  return kept;
}

function callerSocket(): DatagramSocket {
  return socketFor('caller', false);
}

async function echoDatagrams(server: string): Promise<void> {
  const socket = socketFor(server, server.includes(':'));
  for (let i = 0; i < 20; i++) await echoDatagram(socket, server, 7);
}

async function echoDatagram(socket: DatagramSocket, host: string, port: number): Promise<void> {
  const size = random(20) === 0 ? 20_000 : 8 + random(1400);
  // The pattern from somewhere else each time: an old answer is not taken for this one's.
  const sent = Buffer.from(patternAt(++datagrams * 997, size));
  const answered = new Promise<Buffer>((resolve) => {
    const take = (message: Buffer): void => {
      if (message.length !== sent.length) return;
      socket.off('message', take);
      resolve(message);
    };
    socket.on('message', take);
    setTimeout(() => socket.off('message', take), PATIENCE_MS).unref();
  });
  socket.send(sent, port, host);
  const lost = new Promise<undefined>((resolve) => setTimeout(resolve, LOST_MS, undefined).unref());
  const answer = await Promise.race([answered, lost]);
  if (answer === undefined) throw new Error('lost');
  if (!answer.equals(sent)) throw new Error('came back as something else');
  tally.bytes += 2 * sent.length;
}

async function ping(host: string): Promise<void> {
  const child = spawn('ping', ['-n', '-q', '-c', '1', '-W', '30', host], { stdio: 'ignore' });
  const [code] = (await once(child, 'exit')) as [number];
  if (code !== 0) throw new Error(`status ${code}`);
}

function anyServer(): string {
  return PLACES.server[random(3) === 0 ? 6 : 4];
}

function random(limit: number): number {
  return Math.floor(Math.random() * limit);
}
