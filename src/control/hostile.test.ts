/** Clients that send what no client would, or too much of it. */
import assert from 'node:assert/strict';
import { connect as connectSocket, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, it } from 'node:test';
import fc from 'fast-check';
import { API_CONNECTIONS_MAX } from '../base/limits.ts';
import { raw, type Served, serve } from './server-fixture.test.ts';

let served: Served;

beforeEach(async () => {
  served = await serve();
});

afterEach(() => served.close());

/** All that comes back for some bytes, until the other side ends. */
function exchange(bytes: string): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    const socket = connectSocket(served.socketPath, () => socket.write(bytes));
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
    socket.on('error', () => {}).on('close', () => resolve(text));
  });
}

function opened(): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connectSocket(served.socketPath, () => resolve(socket));
    socket.on('error', reject);
  });
}

describe('the API', () => {
  it('tells even those who speak no HTTP what is wrong', async () => {
    const cases: [string, number, string][] = [
      ['GARBAGE\r\n\r\n', 400, 'http-invalid'],
      [`GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(32 * 1024)}\r\n\r\n`, 431, 'headers-too-large'],
      [
        'POST /v1/clear HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n',
        400,
        'http-invalid',
      ],
    ];
    for (const [bytes, status, code] of cases) {
      const answer = await exchange(bytes);
      assert.ok(answer.startsWith(`HTTP/1.1 ${status} `), answer);
      assert.match(answer, /\r\nContent-Type: application\/problem\+json\r\n/);
      assert.equal(JSON.parse(answer.split('\r\n\r\n')[1]!).code, code);
    }
  });

  it('has room for so many connections, and says once that there are more', async () => {
    const sockets = await Promise.all(Array.from({ length: API_CONNECTIONS_MAX }, opened));
    assert.equal(await exchange('GET /v1/engine HTTP/1.1\r\nHost: a\r\n\r\n'), '');
    assert.equal(await exchange('GET /v1/engine HTTP/1.1\r\nHost: a\r\n\r\n'), '');
    assert.equal(served.lines.filter((line) => line.includes('connections')).length, 1);
    for (const socket of sockets) socket.destroy();
    for (let tries = 0; tries < 100; tries++) {
      if (
        await served.client.engine().then(
          () => true,
          () => false,
        )
      )
        return;
    }
    assert.fail('there is no room when they have gone');
  });

  it('answers others while somebody takes nothing of many answers', async () => {
    const deaf = await opened();
    deaf.pause();
    for (let i = 0; i < 200; i++) deaf.write('GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n');
    const before = process.memoryUsage().rss;
    for (let i = 0; i < 20; i++) await served.client.interfaces();
    assert.ok(process.memoryUsage().rss - before < 64 * 1024 * 1024, 'the answers are not all made');
    deaf.destroy();
  });

  it('has no bug that a request could find', async () => {
    const word = fc.constantFrom(
      'interfaces',
      'bridges',
      'routes',
      'config',
      'neighbours',
      'uplink',
      'trace',
      'captures',
    );
    const name = fc.oneof(fc.constantFrom('tap0', 'lan', 'bvi.lan', 'tap0.1', '..', '__proto__', '%00'), fc.string());
    const path = fc
      .tuple(word, fc.option(name))
      .map(([first, second]) => `/v1/${first}${second === null ? '' : `/${encodeURIComponent(second)}`}`);
    const query = fc.constantFrom('', '?dryRun=true', '?to=1', '?interface=a&address=b', '?family=ipv4', '?limit=-1');
    const type = fc.constantFrom('application/json', 'application/yaml', 'application/merge-patch+json', 'a/b', '');
    const body = fc.oneof(
      fc.json(),
      fc.string(),
      fc.record({ name, config: fc.jsonValue() }).map((value) => JSON.stringify(value)),
      fc.record({ to: name, via: fc.jsonValue() }).map((value) => JSON.stringify(value)),
    );
    const method = fc.constantFrom('GET', 'POST', 'PUT', 'PATCH', 'DELETE');
    await fc.assert(
      fc.asyncProperty(method, path, query, type, body, async (verb, to, asked, contentType, text) => {
        const sent = verb === 'GET' ? undefined : text;
        const headers = contentType === '' ? {} : { 'content-type': contentType };
        const { status, text: answer } = await raw(served, verb, to + asked, headers, sent);
        assert.ok(status < 500, answer);
        if (status >= 400) assert.equal(JSON.parse(answer).status, status);
      }),
      { numRuns: 300 },
    );
    assert.deepEqual(served.lines, []);
  });
});
