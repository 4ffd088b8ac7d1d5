/**
 * The servers of the small internet, in one process: `server.js internet` there, `server.js host` for those on the host's loopback. Says "ready" when all listen.
 *
 * | port     | TCP                                                                                                    |
 * | -------- | ------------------------------------------------------------------------------------------------------ |
 * | 7        | echo, until the client has no more                                                                     |
 * | 9        | reads as the first line says (JSON, see `Reading`), then answers `{bytes, sha256}`                     |
 * | 11       | has nothing to say, half closes at once, and tells `{service: "listener", bytes, sha256}`              |
 * | 13       | resets the connection at the first byte                                                                |
 * | 15       | tells `{service: "watcher", end}`: how the client ended the connection                                 |
 * | 17       | says "held" and holds the connection until the client ends it                                          |
 * | 19       | sends the pattern, as many bytes as the first line says                                                |
 * | 53       | DNS, also over UDP: see `dns.ts`                                                                       |
 * | 80       | HTTP: GET /bytes/N, PUT /hash, GET / ("hello from WHERE")                                              |
 *
 * | port     | UDP                                                                                                    |
 * | -------- | ------------------------------------------------------------------------------------------------------ |
 * | 7        | echo                                                                                                   |
 * | 3478     | answers `{address, port}`: who asks, as seen from here                                                 |
 * | 3479     | a stranger, from a port and an address that the client has never spoken to, greets who asks            |
 *
 * What a service tells is a JSON line on the standard output.
 */
import { createHash } from 'node:crypto';
import { createSocket, type Socket as DatagramSocket } from 'node:dgram';
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer, type Server, type Socket } from 'node:net';
import { Readable } from 'node:stream';
import { serveDns } from './dns.ts';
import { PLACES } from './internet.ts';
import { patternChunks } from './pattern.ts';

/** How port 9 reads. */
export interface Reading {
  /** Undefined: as fast as it can. */
  readonly bytesPerSecond?: number;
  /** Stops once after so many bytes ... */
  readonly stopAfterBytes?: number;
  /** ... for so long. */
  readonly stopMs?: number;
}

const INTERNET = [PLACES.gateway, PLACES.server, PLACES.otherServer].flatMap((place) => [place[4], place[6]]);

if (process.argv[2] === 'internet') await serveInternet();
else await serveHost();
console.log('ready');

async function serveInternet(): Promise<void> {
  const services: [number, (socket: Socket) => void][] = [
    [7, (socket) => socket.pipe(socket)],
    [9, readAsTold],
    [11, halfClose],
    [13, (socket) => socket.once('data', () => socket.resetAndDestroy())],
    [15, watch],
    [17, hold],
    [19, sendAsTold],
  ];
  for (const [port, serve] of services) {
    await listen(createServer({ allowHalfOpen: true }, quiet(serve)), port, '::');
  }
  await listen(createHttpServer(serveHttp('the internet')), 80, '::');
  for (const address of INTERNET) {
    await bind(address, 7, (socket, message, from) => socket.send(message, from.port, from.address));
    await bind(address, 3478, (socket, message, from) => {
      const { address: seen, port } = from;
      socket.send(JSON.stringify({ address: seen, port, asked: message.toString() }), port, seen);
    });
    await bind(address, 3479, (_socket, _message, from) => greet(from));
    await serveDns(address, 'the internet');
  }
}

/** On the host's loopback: a resolver where stub resolvers listen, HTTP, and UDP echo. */
async function serveHost(): Promise<void> {
  await serveDns('127.0.0.53', 'the host');
  for (const address of ['127.0.0.1', '::1']) {
    await listen(createHttpServer(serveHttp("the host's loopback")), 8080, address);
    await bind(address, 7, (socket, message, from) => socket.send(message, from.port, from.address));
  }
}

function tell(fact: object): void {
  console.log(JSON.stringify(fact));
}

/** Resets are the tests' own doing. */
function quiet(serve: (socket: Socket) => void): (socket: Socket) => void {
  return (socket) => {
    socket.on('error', () => {});
    serve(socket);
  };
}

async function readAsTold(socket: Socket): Promise<void> {
  const hash = createHash('sha256');
  let reading: Reading | undefined;
  let bytes = 0;
  let stopped = false;
  try {
    for await (const chunk of keptOpen(socket)) {
      let body = chunk;
      if (reading === undefined) {
        const end = chunk.indexOf('\n');
        reading = JSON.parse(chunk.subarray(0, end).toString()) as Reading;
        body = chunk.subarray(end + 1);
      }
      hash.update(body);
      bytes += body.length;
      const { bytesPerSecond, stopAfterBytes = Number.POSITIVE_INFINITY, stopMs = 0 } = reading;
      if (bytesPerSecond !== undefined) await pause((body.length * 1000) / bytesPerSecond);
      if (bytes > stopAfterBytes && !stopped) {
        stopped = true;
        await pause(stopMs);
      }
    }
  } catch (error) {
    return tell({ service: 'reader', bytes, error: (error as NodeJS.ErrnoException).code });
  }
  const result = { service: 'reader', bytes, sha256: hash.digest('hex') };
  tell(result);
  socket.end(`${JSON.stringify(result)}\n`);
}

/** What comes, without the end of the connection that a plain iteration would make of its half. */
function keptOpen(socket: Socket): AsyncIterable<Buffer> {
  return socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function halfClose(socket: Socket): void {
  const hash = createHash('sha256');
  let bytes = 0;
  socket.end();
  socket.on('data', (chunk) => {
    hash.update(chunk);
    bytes += chunk.length;
  });
  socket.on('end', () => tell({ service: 'listener', bytes, sha256: hash.digest('hex') }));
  socket.on('error', (error: NodeJS.ErrnoException) => tell({ service: 'listener', bytes, error: error.code }));
}

function watch(socket: Socket): void {
  socket.on('error', (error: NodeJS.ErrnoException) => tell({ service: 'watcher', end: error.code }));
  socket.on('end', () => {
    tell({ service: 'watcher', end: 'closed' });
    socket.end();
  });
  socket.resume();
  socket.write('watching\n');
}

function hold(socket: Socket): void {
  socket.write('held\n');
  socket.on('end', () => socket.end());
  socket.resume();
}

function sendAsTold(socket: Socket): void {
  socket.once('data', (line) => {
    const body = Readable.from(patternChunks(Number(line.toString())));
    body.pipe(socket);
  });
}

function serveHttp(where: string): (request: IncomingMessage, response: ServerResponse) => void {
  return (request, response) => {
    const bytes = request.url?.match(/^\/bytes\/(\d+)$/)?.[1];
    if (request.method === 'PUT') void answerHash(request, response);
    else if (bytes !== undefined) {
      response.setHeader('content-length', bytes);
      Readable.from(patternChunks(Number(bytes))).pipe(response);
    } else response.end(`hello from ${where} to ${request.socket.remoteAddress?.replace('::ffff:', '')}\n`);
  };
}

async function answerHash(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    hash.update(chunk);
    bytes += chunk.length;
  }
  response.end(`${JSON.stringify({ bytes, sha256: hash.digest('hex') })}\n`);
}

function greet({ address, port }: { address: string; port: number }): void {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  const stranger = address.includes(':') ? PLACES.otherServer[6] : PLACES.otherServer[4];
  socket.bind(0, stranger, () => socket.send('hello from a stranger', port, address, () => socket.close()));
}

function listen(server: Server, port: number, address: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, address, 1024, () => resolve());
  });
}

type Receive = (socket: DatagramSocket, message: Buffer, from: { address: string; port: number }) => void;

function bind(address: string, port: number, receive: Receive): Promise<void> {
  const type = address.includes(':') ? 'udp6' : 'udp4';
  const socket = createSocket({ type, recvBufferSize: 4 * 1024 * 1024, sendBufferSize: 4 * 1024 * 1024 });
  // Errors that come back for an answer are the client's business.
  socket.on('error', () => {});
  socket.on('message', (message, from) => receive(socket, message, from));
  return new Promise((resolve) => socket.bind(port, address, () => resolve()));
}
