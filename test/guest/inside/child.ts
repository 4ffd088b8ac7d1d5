/**
 * What runs in a namespace, as a process of its own:
 *
 *     serve PORT BYTES             accepts one connection, reads it to its end while it sends BYTES: the hashes of both
 *     connect ADDRESS PORT BYTES   the other end of that; pieces of many sizes, both ways at once
 *     datagrams ADDRESS PORT       sends numbered datagrams until it is killed
 */
import { createHash } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { connect, createServer, type Socket } from 'node:net';

const [mode = '', ...words] = process.argv.slice(2);

if (mode === 'serve') {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    server.close();
    talk(socket, Number(words[1]), 3);
  });
  server.listen(Number(words[0]), '::');
} else if (mode === 'connect') {
  const socket = connectAgain(words[0]!, Number(words[1]));
  socket.then((each) => talk(each, Number(words[2]), 7));
} else {
  flood(words[0]!, Number(words[1]));
}

/** The server may not listen yet. */
async function connectAgain(host: string, port: number): Promise<Socket> {
  for (;;) {
    const socket = connect({ host, port, allowHalfOpen: true });
    const ok = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true));
      socket.once('error', () => resolve(false));
    });
    if (ok) return socket;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

function talk(socket: Socket, bytes: number, seed: number): void {
  const sent = createHash('sha256');
  const received = createHash('sha256');
  socket.on('data', (chunk) => received.update(chunk));
  socket.on('end', () => {
    const wait = (): void => {
      if (left > 0 || !socket.writableFinished) setTimeout(wait, 10);
      else console.log(JSON.stringify({ sent: sent.digest('hex'), received: received.digest('hex') }));
    };
    wait();
  });
  let left = bytes;
  let state = seed;
  const write = (): void => {
    while (left > 0) {
      state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
      const piece = Buffer.alloc(Math.min(left, 1 + ((state >> 8) % (state & 64 ? 100_000 : 1000))));
      for (let at = 0; at < piece.length; at += 61) piece[at] = state + at;
      left -= piece.length;
      sent.update(piece);
      if (!socket.write(piece)) return void socket.once('drain', write);
    }
    socket.end();
  };
  write();
}

function flood(address: string, port: number): void {
  const socket = createSocket('udp4');
  let number = 0;
  const burst = (): void => {
    for (let i = 0; i < 64; i++) {
      const payload = Buffer.alloc(8 + (number % 40));
      payload.writeUInt32BE(number++);
      socket.send(payload, port, address, () => {});
    }
    setImmediate(burst);
  };
  burst();
}
