import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { ApiError } from './api-error.ts';
import { connect } from './client.ts';
import { isOwnName } from './guard.ts';
import { startServer } from './server.ts';
import { raw, type Served, serve } from './server-fixture.test.ts';

const TOKEN = '0123456789abcdef0123';

let served: Served;
let port = 0;

before(async () => {
  served = await serve({ tcp: { port: 0, token: TOKEN } });
  port = Number(new URL(served.server.url!).port);
});

after(() => served.close());

describe('the port', () => {
  it('answers to who has the token', async () => {
    const client = await connect({ url: served.server.url!, token: TOKEN });
    assert.equal((await client.engine()).name, 'main');
    const events = client.events({ signal: AbortSignal.timeout(5000) })[Symbol.asyncIterator]();
    const next = events.next();
    while (served.network.listeners.size === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    served.network.emit();
    assert.equal((await next).value?.id, 1);
    await events.return?.();
  });

  it('answers to nobody else, whatever is asked', async () => {
    for (const authorization of ['', 'Bearer', `Bearer ${TOKEN}x`, `Bearer ${TOKEN.slice(1)}`, `Basic ${TOKEN}`]) {
      for (const path of ['/v1/engine', '/openapi.json', '/metrics', '/v1/events', '/nothing']) {
        const { status, headers, text } = await raw({ port }, 'GET', path, { authorization });
        assert.deepEqual([status, headers['www-authenticate']], [401, 'Bearer'], `${authorization} ${path}`);
        assert.equal(JSON.parse(text).code, 'token-wrong');
      }
    }
    const error = (await connect({ url: served.server.url! }).catch((reason: unknown) => reason)) as ApiError;
    assert.equal(error.status, 401);
  });

  it('answers to no web page that gave itself our address', async () => {
    const headers = { authorization: `Bearer ${TOKEN}` };
    assert.equal((await raw({ port }, 'GET', '/v1/engine', { ...headers, host: `localhost:${port}` })).status, 200);
    const answer = await raw({ port }, 'GET', '/v1/engine', { ...headers, host: 'attacker.example' });
    assert.deepEqual([answer.status, JSON.parse(answer.text).code], [403, 'host-refused']);
  });

  it('knows our names', () => {
    for (const host of ['localhost', 'LOCALHOST:80', '127.0.0.1:7100', '127.9.9.9', '[::1]', '[::1]:7100']) {
      assert.ok(isOwnName(host), host);
    }
    for (const host of [
      '',
      '::1',
      'localhost.example',
      '10.0.0.1',
      '[fd00::1]:7100',
      'localhost:x',
      '127.0.0.1.example',
    ]) {
      assert.ok(!isOwnName(host), host);
    }
  });

  it('is refused where it would be open to others', async () => {
    const cases = [
      [{ port: 0, token: TOKEN, address: '0.0.0.0' }, 'api-address-refused'],
      [{ port: 0, token: TOKEN, address: 'localhost' }, 'api-address-refused'],
      [{ port: 0, token: 'short' }, 'api-token-weak'],
      [{ port: 0, token: 'with white space in it' }, 'api-token-weak'],
      [{ port: 70_000, token: TOKEN }, 'api-port-invalid'],
      [{ port, token: TOKEN }, 'api-port-failed'],
    ] as const;
    for (const [tcp, code] of cases) {
      const socketPath = `${served.folder}/other.sock`;
      const started = await startServer(served.network, { socketPath, tcp, log: () => {}, onStop: () => {} });
      assert.ok(!started.ok);
      assert.equal(started.failure.code, code);
    }
  });
});

describe('the client', () => {
  it('says who is not there, and what would start it', async () => {
    const failed = async (options: Parameters<typeof connect>[0]): Promise<string> => {
      const error = (await connect(options).catch((reason: unknown) => reason)) as ApiError;
      assert.equal(error.status, 0);
      return `${error.code}: ${error.message}`;
    };
    const missing = `${served.folder}/none.sock`;
    assert.match(
      await failed({ socketPath: missing }),
      /^engine-not-running: .*none\.sock; start one with `tapster up/,
    );
    assert.match(await failed({ url: 'http://10.0.0.1:80' }), /^options-invalid/);
    assert.match(await failed({ url: 'https://127.0.0.1:80' }), /^options-invalid/);
    assert.match(await failed({ socketPath: missing, name: 'main' }), /^options-invalid/);
    assert.match(await failed({ token: TOKEN }), /^options-invalid/);
    assert.match(await failed({ name: '../main' }), /^engine-name-invalid/);
    assert.match(await failed({ socketPath: `/${'x'.repeat(200)}` }), /^options-invalid/);
  });
});
