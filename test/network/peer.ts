/**
 * Who is in a namespace. `peer.js serve`: echo of TCP and UDP at port 7; at port 9 a reader that answers with the hash of what it read, as that of
 * `test/support/netns/server.ts` does, at port 19 the pattern, as many bytes as the first line says. `peer.js talk ADDRESS`: says each line of the standard input to the echo server
 * there, and prints what comes back. `peer.js fetch ADDRESS BYTES COUNT`: so much of the pattern from there, so often at once; tells when one has a quarter, and
 * what they read.
 */
import { createHash } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { patternChunks } from '../support/netns/pattern.ts';

const [verb, address, bytes, count] = process.argv.slice(2);
if (verb === 'serve') await serve();
else if (verb === 'fetch') await fetch(address!, Number(bytes), Number(count));
else await talk(address!);

async function serve(): Promise<void> {
  await listen(7, (socket) => socket.pipe(socket));
  await listen(9, (socket) => void read(socket));
  await listen(19, (socket) => socket.once('data', (line) => Readable.from(patternChunks(Number(line))).pipe(socket)));
  for (const type of ['udp4', 'udp6'] as const) {
    const socket = createSocket({ type, ipv6Only: type === 'udp6', recvBufferSize: 4 << 20 });
    socket.on('message', (message, from) => socket.send(message, from.port, from.address));
    await new Promise<void>((resolve) => socket.bind(7, resolve));
  }
  console.log('ready');
}

function listen(port: number, speak: (socket: Socket) => void): Promise<void> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    // Streams that break are the tests' own doing.
    socket.on('error', () => {});
    speak(socket);
  });
  return new Promise((resolve) => server.listen(port, '::', resolve));
}

async function fetch(host: string, bytes: number, count: number): Promise<void> {
  let isInSwing = false;
  const one = async (): Promise<{ bytes: number; sha256: string }> => {
    const socket = connect({ host, port: 19, allowHalfOpen: true });
    socket.write(`${bytes}\n`);
    const hash = createHash('sha256');
    let read = 0;
    for await (const chunk of socket as AsyncIterable<Buffer>) {
      read += chunk.length;
      hash.update(chunk);
      if (!isInSwing && read >= bytes / 4) console.log('in full swing');
      isInSwing ||= read >= bytes / 4;
    }
    return { bytes: read, sha256: hash.digest('hex') };
  };
  console.log(JSON.stringify(await Promise.all(Array.from({ length: count }, one))));
}

/** The first line is not for us. */
async function read(socket: Socket): Promise<void> {
  const hash = createHash('sha256');
  let bytes = 0;
  let begun = false;
  try {
    for await (const chunk of socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      const body = begun ? chunk : chunk.subarray(chunk.indexOf('\n') + 1);
      begun = true;
      bytes += body.length;
      hash.update(body);
    }
    socket.end(JSON.stringify({ bytes, sha256: hash.digest('hex') }));
  } catch {
    // Who sent it knows that it broke.
  }
}

async function talk(to: string): Promise<void> {
  const socket = connect({ host: to, port: 7 });
  await once(socket, 'connect');
  console.log('connected');
  createInterface({ input: process.stdin })
    .on('line', (line) => socket.write(`${line}\n`))
    .on('close', () => socket.end());
  createInterface({ input: socket }).on('line', (line) => console.log(`echo ${line}`));
  socket.on('error', ({ code }: NodeJS.ErrnoException) => {
    console.log(`ended ${code}`);
    process.exit(0);
  });
  socket.on('close', () => {
    console.log('ended closed');
    process.exit(0);
  });
}
