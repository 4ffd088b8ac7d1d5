import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, it } from 'node:test';
import { ApiError, readProblem } from './api-error.ts';
import { connect } from './client.ts';
import { readEvents, type ServerEvent } from './event-reader.ts';
import { etagOf, revisionOf } from './revision-tag.ts';

let server: Server | undefined;

afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

/** Something that is no engine. */
function impostor(listener: RequestListener): Promise<string> {
  return new Promise((resolve) => {
    server = createServer(listener).listen(0, '127.0.0.1', () => {
      resolve(`http://127.0.0.1:${(server!.address() as AddressInfo).port}`);
    });
  });
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  const error = await promise.catch((reason: unknown) => reason);
  assert.ok(error instanceof ApiError, String(error));
  return error.code;
}

describe('the client', () => {
  it('loads no package, and nothing of the server', () => {
    const seen = new Set<string>();
    const visit = (url: URL): void => {
      if (seen.has(url.href)) return;
      seen.add(url.href);
      for (const [, specifier = ''] of readFileSync(url, 'utf8').matchAll(/\bfrom '([^']+)';$/gm)) {
        if (specifier.startsWith('node:')) continue;
        assert.match(specifier, /^\.{1,2}\//, `${url.pathname} loads ${specifier}`);
        visit(new URL(specifier, url));
      }
    };
    visit(new URL('client.js', import.meta.url));
    assert.ok(seen.size > 4 && [...seen].every((href) => !href.endsWith('/server.js')));
  });

  it('says of others that they are no engine', async () => {
    const url = await impostor((_request, response) => response.writeHead(404).end('<h1>Not here</h1>'));
    assert.equal(await codeOf(connect({ url })), 'answer-not-understood');
  });

  it('does not wait for ever', async () => {
    const url = await impostor(() => {});
    assert.equal(await codeOf(connect({ url, timeoutMs: 50 })), 'timeout');
  });

  it('says when the engine ends in the middle of an answer', async () => {
    const url = await impostor((_request, response) => {
      response.writeHead(200, { 'content-length': '100' }).write('{');
      setTimeout(() => response.destroy(), 20);
    });
    assert.equal(await codeOf(connect({ url })), 'engine-lost');
  });

  it('ends what is under way when it is closed', async () => {
    let asked = 0;
    const url = await impostor((_request, response) => {
      if (asked++ === 0) response.end('{}');
    });
    const client = await connect({ url });
    const waiting = client.interfaces();
    setTimeout(() => client.close(), 50);
    assert.equal(await codeOf(waiting), 'engine-lost');
  });
});

describe('problem documents', () => {
  it('are read from anything', () => {
    assert.equal(readProblem(404, '{"code":"route-unknown","detail":"no"}').code, 'route-unknown');
    for (const body of ['', 'null', '[]', '"x"', '{"code":1,"detail":"x"}', '{"code":"x"}', '<html>']) {
      assert.equal(readProblem(500, body).code, 'answer-not-understood', body);
    }
    assert.equal(readProblem(422, '{"code":"a","detail":"b","problems":"c"}').problems, undefined);
  });
});

describe('server-sent events', () => {
  async function eventsOf(pieces: readonly string[]): Promise<ServerEvent[]> {
    async function* text(): AsyncGenerator<string> {
      yield* pieces;
    }
    const found: ServerEvent[] = [];
    for await (const event of readEvents(text())) found.push(event);
    return found;
  }

  it('are the same however the text is cut', async () => {
    const text =
      ': hello\n\nid: 1\ndata: {"a":1}\n\nevent: lost\ndata: {"count":2}\n\ndata:x\ndata: y\n\nid: 9\n\ndata: half';
    const wanted = [
      { event: 'message', data: '{"a":1}' },
      { event: 'lost', data: '{"count":2}' },
      { event: 'message', data: 'x\ny' },
    ];
    assert.deepEqual(await eventsOf([text]), wanted);
    assert.deepEqual(await eventsOf([...text]), wanted);
  });

  it('are no longer than an event is', async () => {
    await assert.rejects(eventsOf(['data: ', 'x'.repeat(2 * 1024 * 1024)]), /has more than/);
  });
});

it('revisions are entity tags and back', () => {
  assert.equal(revisionOf(etagOf(17)), 17);
  for (const tag of [undefined, '', '17', 'W/"17"', '"-1"', '"x"', '"99999999999999999999"']) {
    assert.equal(revisionOf(tag), undefined, tag);
  }
});
