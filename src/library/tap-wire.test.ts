/** Two taps in two namespaces, joined by a program as if by a wire: TCP from one to the other, with and without offloads. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { inOwnNamespace, ip } from '../sys/own-namespace-fixture.test.ts';
import type { FrameHeader } from './frame-header.ts';
import { openTap } from './open-tap.ts';
import type { FramePort, TapBatch, TapOffload } from './tap.ts';

const STREAM_BYTES = 8_000_000;

/** Tells how many bytes came, and their hash. */
const SERVER = `
  import { createHash } from 'node:crypto'; import { createServer } from 'node:net';
  createServer((socket) => {
    const hash = createHash('sha256'); let bytes = 0;
    socket.on('data', (chunk) => { hash.update(chunk); bytes += chunk.length; });
    socket.on('end', () => { socket.end(bytes + ' ' + hash.digest('hex')); process.exitCode = 0; setTimeout(() => process.exit(), 20); });
  }).listen(7000, () => console.log('ready'));`;

const CLIENT = `
  import { createHash, randomBytes } from 'node:crypto'; import { connect } from 'node:net';
  const bytes = randomBytes(${STREAM_BYTES}); const hash = createHash('sha256').update(bytes).digest('hex');
  const socket = connect(7000, '10.5.0.1', () => socket.end(bytes)); let answer = '';
  socket.on('data', (chunk) => { answer += chunk; });
  socket.on('end', () => console.log(answer === bytes.length + ' ' + hash ? 'same' : answer));`;

/** How a program may pass a batch on. */
const WAYS: Readonly<Record<string, (batch: TapBatch, to: FramePort) => number>> = {
  'as a batch': (batch, to) => to.send(batch),
  'frame by frame': (batch, to) => to.send([...batch], headersOf(batch)),
};

inOwnNamespace(import.meta.url, 'taps as a wire', () => {
  for (const offload of ['gso', 'csum', 'none'] as const) {
    for (const [name, pass] of Object.entries(WAYS)) {
      test(`a stream arrives as it was sent, with offload ${offload}, passed on ${name}`, async () => {
        const seen = await carry(offload, pass);
        const largest = Math.max(...seen.map(({ bytes }) => bytes));
        const cut = seen.find(({ header }) => header.gsoType !== 'none')?.header;
        const unsummed = seen.find(({ header }) => header.needsChecksum)?.header;
        if (offload === 'gso') {
          // How large a kernel makes them is a matter of how fast the way is.
          assert.ok(largest > 1514, `the largest frame has ${largest} bytes`);
          assert.equal(cut?.gsoType, 'tcp4');
          assert.ok(cut.gsoSize > 1000 && cut.gsoSize <= 1460 && cut.headerBytes >= 54, JSON.stringify(cut));
        } else {
          assert.equal(cut, undefined);
          assert.equal(largest, 1514);
        }
        if (offload === 'none') assert.equal(unsummed, undefined);
        else assert.deepEqual([unsummed?.checksumStart, unsummed?.checksumOffset], [34, 16]);
      });
    }
  }
});

interface Seen {
  readonly bytes: number;
  readonly header: FrameHeader;
}

/** Every TCP frame that went towards the server. */
async function carry(offload: TapOffload, pass: (batch: TapBatch, to: FramePort) => number): Promise<Seen[]> {
  for (const name of ['red', 'blue']) ip('netns', 'add', name);
  const red = await openTap({ name: 'eth0', namespace: 'red', addresses: ['10.5.0.1/24'], offload });
  const blue = await openTap({ name: 'eth0', namespace: 'blue', addresses: ['10.5.0.2/24'], offload });
  const seen: Seen[] = [];
  const wires = [
    forward(red, blue, pass),
    forward(blue, red, (batch, to) => {
      for (let i = 0; i < batch.count; i++) {
        const isTcp = batch.bytes[batch.offset(i) + 12] === 8 && batch.bytes[batch.offset(i) + 23] === 6;
        if (isTcp) seen.push({ bytes: batch.length(i), header: batch.header(i) });
      }
      return pass(batch, to);
    }),
  ];
  try {
    const server = inside('red', SERVER);
    await once(server.stdout, 'data');
    const client = inside('blue', CLIENT);
    const [answer] = (await once(client.stdout, 'data')) as [Buffer];
    assert.equal(answer.toString(), 'same\n');
    await Promise.all([client, server].map(async (each) => each.exitCode ?? (await once(each, 'exit'))));
  } finally {
    for (const tap of [red, blue]) tap.close();
    await Promise.all(wires);
    for (const name of ['red', 'blue']) ip('netns', 'del', name);
  }
  return seen;
}

async function forward(
  from: FramePort,
  to: FramePort,
  pass: (batch: TapBatch, to: FramePort) => number,
): Promise<void> {
  for await (const batch of from) assert.equal(pass(batch, to), batch.count);
}

function headersOf(batch: TapBatch): FrameHeader[] {
  return Array.from({ length: batch.count }, (_, i) => batch.header(i));
}

function inside(namespace: string, script: string) {
  const words = ['netns', 'exec', namespace, process.execPath, '--input-type=module', '-e', script];
  return spawn('ip', words, { stdio: ['ignore', 'pipe', 'inherit'] });
}
