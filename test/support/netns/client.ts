/**
 * What runs as Tapster's command in the tests: `client.js VERB ARGS`. The last line that it prints is what it found out, as JSON. Errors that the network
 * gives are findings, with their code; anything else fails.
 */
import { createSocket, type Socket as DatagramSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { patternAt, patternChunks } from './pattern.ts';

const VERBS: Readonly<Record<string, (...words: string[]) => Promise<object>>> = {
  connect: tryConnect,
  exchange,
  send,
  'send-after-eof': sendAfterEof,
  'be-reset': beReset,
  reset,
  burst,
  hold,
  stay,
  'last-words': lastWords,
  generate,
  'serve-tcp': serveTcp,
  'serve-udp': serveUdp,
  'udp-echo': udpEcho,
  stun,
};

const [verb = '', ...words] = process.argv.slice(2);
const run = VERBS[verb];
if (run === undefined) throw new Error(`no verb ${verb}`);
const finding = await run(...words);
if (verb !== 'generate') console.log(JSON.stringify(finding));
process.exit(0);

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? String(error);
}

async function open(address: string, port: string): Promise<Socket> {
  const socket = connect({ host: address, port: Number(port), allowHalfOpen: true });
  await once(socket, 'connect');
  return socket;
}

async function readAll(socket: Socket): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

/** `connect ADDRESS PORT`: how it goes, and how long it took. */
async function tryConnect(address: string, port: string): Promise<object> {
  const startedAt = performance.now();
  const ms = (): number => Math.round(performance.now() - startedAt);
  try {
    (await open(address, port)).destroy();
    return { outcome: 'connected', ms: ms() };
  } catch (error) {
    return { outcome: codeOf(error), ms: ms() };
  }
}

/** `exchange ADDRESS PORT TEXT`: sends the text, closes its half, and reads what comes until the other half is closed too. */
async function exchange(address: string, port: string, text: string): Promise<object> {
  const socket = await open(address, port);
  socket.end(text);
  return { answer: await readAll(socket), from: socket.localAddress };
}

/** `send ADDRESS PORT BYTES READING`: sends the pattern to a reader (see `server.ts`) and tells what it got, and how often our kernel had to repeat itself. */
async function send(address: string, port: string, bytes: string, reading: string): Promise<object> {
  const socket = await open(address, port);
  const before = retransmitted();
  socket.write(`${reading}\n`);
  for (const chunk of patternChunks(Number(bytes))) {
    if (!socket.write(chunk)) await once(socket, 'drain');
  }
  socket.end();
  const answer = JSON.parse(await readAll(socket)) as object;
  return { ...answer, retransmitted: retransmitted() - before };
}

/** Segments that TCP has sent again in this network namespace. */
function retransmitted(): number {
  const [names = '', values = ''] = readFileSync('/proc/net/snmp', 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('Tcp:'));
  return Number(values.split(' ')[names.split(' ').indexOf('RetransSegs')]);
}

/** `send-after-eof ADDRESS PORT BYTES`: waits until the server has closed its half, then sends. */
async function sendAfterEof(address: string, port: string, bytes: string): Promise<object> {
  const socket = await open(address, port);
  const received = await readAll(socket);
  for (const chunk of patternChunks(Number(bytes))) {
    if (!socket.write(chunk)) await once(socket, 'drain');
  }
  socket.end();
  await once(socket, 'close');
  return { received };
}

/** `be-reset ADDRESS PORT`: speaks to a server that answers with a reset. */
async function beReset(address: string, port: string): Promise<object> {
  const socket = await open(address, port);
  socket.write('hello');
  try {
    return { end: 'closed', received: await readAll(socket) };
  } catch (error) {
    return { end: codeOf(error) };
  }
}

/** `reset ADDRESS PORT`: resets the connection when the server has said something. */
async function reset(address: string, port: string): Promise<object> {
  const socket = await open(address, port);
  await once(socket, 'data');
  socket.resetAndDestroy();
  await once(socket, 'close');
  return {};
}

/** `burst ADDRESS PORT COUNT`: so many conversations with an echo server, all at once. Waits for the end of the input before it ends. */
async function burst(address: string, port: string, count: string): Promise<object> {
  const outcomes = await Promise.all(
    Array.from({ length: Number(count) }, async (_, i) => {
      try {
        const { answer } = (await exchange(address, port, `hello ${i}`)) as { answer: string };
        return answer === `hello ${i}` ? 'ok' : `answered ${answer}`;
      } catch (error) {
        return codeOf(error);
      }
    }),
  );
  const finding = tally(outcomes);
  console.log(JSON.stringify({ burst: finding }));
  for await (const _ of process.stdin) {
    // Only its end matters.
  }
  return finding;
}

function tally(outcomes: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const outcome of outcomes) counts[outcome] = (counts[outcome] ?? 0) + 1;
  return counts;
}

/** `hold ADDRESS PORT COUNT`: opens one connection after another and keeps them. */
async function hold(address: string, port: string, count: string): Promise<object> {
  const outcomes: string[] = [];
  for (let i = 0; i < Number(count); i++) {
    try {
      const socket = await open(address, port);
      await once(socket, 'data');
      outcomes.push('held');
    } catch (error) {
      outcomes.push(codeOf(error));
    }
  }
  return { outcomes };
}

/** `stay ADDRESS PORT`: says "there" when the server has said something, and stays until the server ends it. */
async function stay(address: string, port: string): Promise<object> {
  const socket = await open(address, port);
  socket.once('data', () => console.log('there'));
  await once(socket.resume(), 'end');
  return {};
}

/** `last-words ADDRESS PORT BYTES READING`: ends as soon as its kernel has taken the last byte. */
async function lastWords(address: string, port: string, bytes: string, reading: string): Promise<object> {
  const socket = await open(address, port);
  socket.write(`${reading}\n`);
  await new Promise<void>((resolve) => socket.write(patternAt(0, Number(bytes)), () => resolve()));
  return {};
}

/** `generate BYTES`: the pattern, to the standard output. */
async function generate(bytes: string): Promise<object> {
  for (const chunk of patternChunks(Number(bytes))) {
    await new Promise<void>((resolve) => process.stdout.write(chunk, () => resolve()));
  }
  return {};
}

/** `serve-tcp COUNT PORT...`: an echo server; tells who called, when so many have. */
async function serveTcp(count: string, ...ports: string[]): Promise<object> {
  const callers: string[] = [];
  let over = 0;
  const served = new Promise<void>((resolve) => {
    const serve = (socket: Socket): void => {
      callers.push(socket.remoteAddress!.replace('::ffff:', ''));
      socket.on('close', () => ++over === Number(count) && resolve());
      socket.on('error', () => {});
      socket.pipe(socket);
    };
    for (const port of ports) {
      const server = createServer({ allowHalfOpen: true }, serve);
      server.listen(Number(port), '::', () => console.log(`listening at ${port}`));
    }
  });
  await served;
  return { callers };
}

/** `serve-udp COUNT PORT`: an echo server that ends when it has answered so often. */
async function serveUdp(count: string, port: string): Promise<object> {
  const callers: string[] = [];
  let answered = 0;
  await new Promise<void>((resolve) => {
    const sockets = ['udp4', 'udp6'].map((type) => createSocket({ type: type as 'udp4', ipv6Only: type === 'udp6' }));
    let bound = 0;
    for (const socket of sockets) {
      socket.on('message', (message, { address, port: from }) => {
        callers.push(address);
        socket.send(message, from, address, () => ++answered === Number(count) && resolve());
      });
      socket.bind(Number(port), () => ++bound === sockets.length && console.log(`listening at ${port}`));
    }
  });
  return { callers };
}

/** `udp-echo ADDRESS PORT BYTES`: one datagram there and back, with a connected socket, which hears of errors. */
async function udpEcho(address: string, port: string, bytes: string): Promise<object> {
  const socket = datagramSocket(address);
  await new Promise<void>((resolve) => socket.connect(Number(port), address, resolve));
  const sent = patternAt(0, Number(bytes));
  try {
    const answer = nextMessage(socket);
    socket.send(sent);
    return { echoed: (await answer).equals(sent) };
  } catch (error) {
    return { error: codeOf(error) };
  }
}

/** `stun ADDRESS1 ADDRESS2`: two servers say from where one socket's datagrams come; then a stranger is asked to greet it. */
async function stun(first: string, second: string): Promise<object> {
  const socket = datagramSocket(first);
  await new Promise<void>((resolve) => socket.bind(0, resolve));
  const seen: unknown[] = [];
  for (const server of [first, second]) {
    const answer = nextMessage(socket);
    socket.send('who am I', 3478, server);
    seen.push(JSON.parse((await answer).toString()));
  }
  const greeting = nextMessage(socket);
  socket.send('tell the stranger', 3479, first);
  return { seen, greeting: (await greeting).toString(), port: socket.address().port };
}

function datagramSocket(address: string): DatagramSocket {
  const type = address.includes(':') ? 'udp6' : 'udp4';
  return createSocket({ type, recvBufferSize: 4 * 1024 * 1024, sendBufferSize: 4 * 1024 * 1024 });
}

async function nextMessage(socket: DatagramSocket): Promise<Buffer> {
  const [message] = (await once(socket, 'message')) as [Buffer];
  return message;
}
