/** Server-sent events: order, replay, and listeners that do not listen. */
import assert from 'node:assert/strict';
import { connect as connectSocket, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { eventually } from '../base/eventually-fixture.test.ts';
import { API_LISTENERS_MAX } from '../base/limits.ts';
import type { EventView } from '../network/views.ts';
import type { EventsOptions } from './client.ts';
import { readEvents } from './event-reader.ts';
import type { FakeNetwork } from './network-fixture.test.ts';
import { raw, type Served, serve } from './server-fixture.test.ts';

let served: Served;
let network: FakeNetwork;

/** Longer than this process ever does something else. */
const PATIENT_MS = 60_000;

async function start(stalledMs: number): Promise<void> {
  served = await serve({ eventTimes: { heartbeatMs: 20, stalledMs } });
  ({ network } = served);
}

beforeEach(() => start(PATIENT_MS));

afterEach(() => served.close());

/** Reads events in the background. */
function listen(options: EventsOptions = {}): { readonly ids: number[]; stop(): void; ended: Promise<void> } {
  const ids: number[] = [];
  const abort = new AbortController();
  const read = async (): Promise<void> => {
    for await (const { id } of served.client.events({ ...options, signal: abort.signal })) ids.push(id);
  };
  return { ids, stop: () => abort.abort(), ended: read() };
}

describe('events', () => {
  it('come as they happen, of the types that were asked for', async () => {
    const all = listen({ after: 0 });
    const some = listen({ after: 0, types: ['flow', 'error'] });
    await eventually('one subscription for all', () => network.listeners.size === 1);
    for (const type of ['interface', 'flow', 'neighbour', 'error'] as const) network.emit({ type });
    await eventually('they came', () => all.ids.length === 4 && some.ids.length === 2);
    assert.deepEqual(
      [all.ids, some.ids],
      [
        [1, 2, 3, 4],
        [2, 4],
      ],
    );
    all.stop();
    some.stop();
    await Promise.all([all.ended, some.ended]);
    await eventually('nothing is listened to for nobody', () => network.listeners.size === 0);
  });

  it('are replayed from where somebody was, and what was forgotten is counted', async () => {
    for (let i = 0; i < 10; i++) network.emit();
    network.log.splice(0, 5);
    let lost = 0;
    const late = listen({ after: 2, onLost: (count) => (lost += count) });
    await eventually('those of the log', () => late.ids.length === 5);
    network.emit();
    await eventually('and those after', () => late.ids.length === 6);
    assert.deepEqual([late.ids, lost], [[6, 7, 8, 9, 10, 11], 3]);
    const other = listen({ after: 1_000_000 });
    await eventually('a number of another engine means all', () => other.ids.length === 6);
    late.stop();
    other.stop();
    await Promise.all([late.ended, other.ended]);
  });

  it('end when the engine ends', async () => {
    const all = listen();
    await eventually('it listens', () => network.listeners.size === 1);
    await served.server.close();
    await all.ended.catch(() => {});
    assert.equal(network.listeners.size, 0);
  });

  it('leave the engine alone when nobody reads them, who is disconnected in the end', async () => {
    await served.close();
    await start(200);
    const deaf = await deafListener();
    const before = process.memoryUsage().rss;
    const data = { text: 'x'.repeat(1000) };
    for (let i = 0; i < 20_000; i++) {
      network.emit({ data });
      if (i % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    network.log.length = 0;
    assert.ok(process.memoryUsage().rss - before < 128 * 1024 * 1024, 'bytes for it are bounded');
    await eventually('it is disconnected', () => network.listeners.size === 0);
    deaf.destroy();
    assert.equal((await served.client.engine()).name, 'main');
  });

  it('are told to be lost to who was slow, and then go on', async () => {
    const slow = await deafListener();
    const data = { text: 'x'.repeat(10_000) };
    for (let i = 0; i < 200; i++) network.emit({ data });
    await new Promise((resolve) => setTimeout(resolve, 50));
    const seen: EventView[] = [];
    let lost = 0;
    const read = (async () => {
      slow.setEncoding('utf8');
      for await (const { event, data } of readEvents(unchunked(slow))) {
        if (event === 'lost') lost += (JSON.parse(data) as { count: number }).count;
        else seen.push(JSON.parse(data) as EventView);
      }
    })();
    await eventually('it is told', () => lost > 0);
    network.emit();
    await eventually('it goes on', () => seen.at(-1)?.id === 201);
    assert.equal(seen.length + lost, 201, 'each event came or was counted');
    slow.destroy();
    await read.catch(() => {});
  });

  it('are for so many listeners and no more', async () => {
    const listeners = Array.from({ length: API_LISTENERS_MAX }, () => listen());
    await eventually('they listen', () => network.listeners.size === 1);
    let status = 0;
    for (let tries = 0; status !== 503 && tries < 1000; tries++) {
      const probe = await Promise.race([raw(served, 'GET', '/v1/events'), soon()]);
      status = probe?.status ?? 0;
    }
    assert.equal(status, 503);
    for (const { stop } of listeners) stop();
    await Promise.allSettled(listeners.map(({ ended }) => ended));
  });
});

function soon(): Promise<undefined> {
  return new Promise((resolve) => setTimeout(() => resolve(undefined), 50));
}

/** It asks, and reads nothing. */
async function deafListener(): Promise<Socket> {
  const socket = connectSocket(served.socketPath);
  socket.pause();
  socket.write('GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n');
  await eventually('it listens', () => network.listeners.size === 1);
  return socket;
}

/** The body of an answer in chunks; every chunk of ours is whole lines of ASCII. */
async function* unchunked(socket: AsyncIterable<string>): AsyncGenerator<string> {
  let rest = '';
  let inBody = false;
  for await (const piece of socket) {
    rest += piece;
    if (!inBody) {
      const end = rest.indexOf('\r\n\r\n');
      if (end < 0) continue;
      rest = rest.slice(end + 4);
      inBody = true;
    }
    for (;;) {
      const line = rest.indexOf('\r\n');
      if (line < 0) break;
      const bytes = Number.parseInt(rest.slice(0, line), 16);
      if (rest.length < line + 2 + bytes + 2) break;
      yield rest.slice(line + 2, line + 2 + bytes);
      rest = rest.slice(line + 2 + bytes + 2);
    }
  }
}
