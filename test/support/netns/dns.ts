/**
 * A small DNS server (RFC 1035), over UDP and TCP, for names under "test":
 *
 *     www.test, www.example.test   A and AAAA: the server's addresses
 *     who.test              TXT: which server answers
 *     big.test              TXT: 40 strings of 100 bytes, which UDP does not take: truncated there
 *
 * Anything else does not exist.
 */
import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';
import { PLACES } from './internet.ts';

const TYPE = { A: 1, TXT: 16, AAAA: 28 } as const;
const TTL_SECONDS = 60;
const UDP_BYTES_MAX = 512;
const HEADER_BYTES = 12;
const NAME_MISSING = 3;

/** Resolves when the server listens at port 53 of the address. */
export async function serveDns(address: string, identity: string): Promise<void> {
  const udp = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  udp.on('error', () => {});
  udp.on('message', (query, from) => {
    const answer = answerQuery(query, identity, UDP_BYTES_MAX);
    if (answer !== undefined) udp.send(answer, from.port, from.address);
  });
  const tcp = createServer((socket) => {
    let buffer: Buffer = Buffer.alloc(0);
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      buffer = Buffer.concat([buffer, chunk]);
      while (buffer.length >= 2 && buffer.length >= 2 + buffer.readUInt16BE(0)) {
        const end = 2 + buffer.readUInt16BE(0);
        const answer = answerQuery(buffer.subarray(2, end), identity, 65_535);
        buffer = buffer.subarray(end);
        if (answer !== undefined) socket.write(Buffer.concat([uint16(answer.length), answer]));
      }
    });
  });
  await new Promise<void>((resolve) => udp.bind(53, address, () => resolve()));
  await new Promise<void>((resolve) => tcp.listen(53, address, () => resolve()));
}

function answerQuery(query: Buffer, identity: string, bytesMax: number): Buffer | undefined {
  if (query.length < HEADER_BYTES + 5) return undefined;
  let at = HEADER_BYTES;
  const labels: string[] = [];
  while (at < query.length && query[at] !== 0) {
    labels.push(query.toString('latin1', at + 1, at + 1 + query[at]!));
    at += 1 + query[at]!;
  }
  if (at + 5 > query.length) return undefined;
  const type = query.readUInt16BE(at + 1);
  const question = query.subarray(HEADER_BYTES, at + 5);
  const known = records(labels.join('.').toLowerCase(), identity);
  const data = known?.filter((each) => each.type === type) ?? [];
  const answers = data.map(({ value }) =>
    Buffer.concat([
      uint16(0xc00c),
      uint16(type),
      uint16(1),
      uint16(0),
      uint16(TTL_SECONDS),
      uint16(value.length),
      value,
    ]),
  );
  const whole = message(query, known === undefined ? NAME_MISSING : 0, false, question, answers);
  return whole.length <= bytesMax ? whole : message(query, 0, true, question, []);
}

function message(query: Buffer, code: number, truncated: boolean, question: Buffer, answers: Buffer[]): Buffer {
  // Response, authoritative, recursion available; "recursion desired" as it was asked.
  const flags = 0x8480 | (query.readUInt16BE(2) & 0x0100) | (truncated ? 0x0200 : 0) | code;
  const counts = [1, answers.length, 0, 0].map(uint16);
  return Buffer.concat([query.subarray(0, 2), uint16(flags), ...counts, question, ...answers]);
}

function records(name: string, identity: string): { type: number; value: Buffer }[] | undefined {
  switch (name) {
    case 'www.test':
    case 'www.example.test':
      return [
        { type: TYPE.A, value: Buffer.from(PLACES.server[4].split('.').map(Number)) },
        { type: TYPE.AAAA, value: Buffer.from('20010db8005100000000000000000001', 'hex') },
      ];
    case 'who.test':
      return [{ type: TYPE.TXT, value: text(identity) }];
    case 'big.test':
      return Array.from({ length: 40 }, (_, i) => ({ type: TYPE.TXT, value: text(String(i).padStart(100, '.')) }));
    default:
      return undefined;
  }
}

function text(value: string): Buffer {
  return Buffer.concat([Buffer.from([value.length]), Buffer.from(value)]);
}

function uint16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 0xff]);
}
