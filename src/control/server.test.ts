/** Every route, by the client, over a real socket. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { z } from 'zod';
import { failure } from '../base/result.ts';
import { ApiError } from './api-error.ts';
import type { Client } from './client.ts';
import type { FakeNetwork } from './network-fixture.test.ts';
import { raw, type Served, serve } from './server-fixture.test.ts';
import * as views from './view-schemas.ts';

let served: Served;
let client: Client;
let network: FakeNetwork;

before(async () => {
  served = await serve();
  ({ client, network } = served);
});

after(() => served.close());

beforeEach(() => {
  network.calls.length = 0;
});

function many<T>(schema: z.ZodType<T>): z.ZodType<T[]> {
  return z.array(schema);
}

async function refusal(promise: Promise<unknown>): Promise<ApiError> {
  const error = await promise.then(
    () => assert.fail('it was not refused'),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof ApiError, String(error));
  return error;
}

describe('what the API shows', () => {
  it('is what the network says, and what the schemas promise', async () => {
    assert.deepEqual(views.ENGINE_VIEW.parse(await client.engine()), network.engine());
    assert.deepEqual(many(views.INTERFACE_VIEW).parse(await client.interfaces()), network.interfaces());
    assert.deepEqual(many(views.HARDWARE_VIEW).parse(await client.hardware()), network.hardware());
    assert.deepEqual(many(views.TAP_VIEW).parse(await client.taps()), network.taps());
    assert.deepEqual(many(views.BRIDGE_VIEW).parse(await client.bridges()), network.bridges());
    assert.deepEqual(many(views.STATION_VIEW).parse(await client.stations('lan')), network.stations());
    assert.deepEqual(many(views.NEIGHBOUR_VIEW).parse(await client.neighbours()), network.neighbours());
    assert.deepEqual(many(views.FLOW_VIEW).parse(await client.flows()), network.flows());
    assert.deepEqual(many(views.THREAD_VIEW).parse(await client.threads()), network.threads());
    assert.deepEqual(many(views.NODE_VIEW).parse(await client.runtime()), network.runtime());
    assert.deepEqual(many(views.ERROR_VIEW).parse(await client.errors()), network.errors());
    assert.deepEqual(many(views.TRACE_VIEW).parse(await client.traces()), network.traces());
    assert.deepEqual(many(views.CAPTURE_VIEW).parse(await client.captures()), network.captures());
    assert.deepEqual(await client.nodes(), network.nodes());
  });

  it('is asked for with what the query says', async () => {
    assert.equal((await client.routes('ipv4', { within: '10.0.0.0/8', limit: 5 })).length, 1);
    await client.flows({ interface: 'tap0', protocol: 'tcp', limit: 2 });
    await client.neighbours({ interface: 'tap0' });
    await client.stations();
    assert.deepEqual(network.calls, [
      '["routes","ipv4",{"within":"10.0.0.0/8","limit":5}]',
      '["flows",{"interface":"tap0","protocol":"tcp","limit":2}]',
      '["neighbours",{"interface":"tap0"}]',
      '["stations",null]',
    ]);
  });

  it('has single things by name', async () => {
    const detail = views.INTERFACE_DETAIL.parse(await client.interface('tap0'));
    assert.equal(detail.tap?.host.namespace, 'red');
    assert.deepEqual(detail.config?.['address'], ['10.0.0.1/24']);
    assert.equal((await refusal(client.interface('tap9'))).code, 'interface-unknown');
    const lan = await raw(served, 'GET', '/v1/bridges/lan');
    assert.deepEqual(JSON.parse(lan.text), network.bridges()[0]);
    assert.equal((await raw(served, 'GET', '/v1/bridges/wan')).status, 404);
    assert.equal((await raw(served, 'GET', '/v1/captures/tap0')).status, 200);
    assert.equal((await raw(served, 'GET', '/v1/captures/tap9')).status, 404);
  });

  it('has the event log', async () => {
    network.emit();
    network.emit();
    const [last] = many(views.EVENT_VIEW).parse(await client.eventLog(1));
    assert.equal(last?.id, network.log.at(-1)?.id);
  });

  it('has metrics of everything', async () => {
    const text = await client.metrics();
    for (const line of [
      'tapster_interface_receive_packets_total{interface="tap0"} 7',
      'tapster_node_packets_total{node="ip4-lookup",worker="0"} 10',
      'tapster_node_drops_total{node="ip4-lookup",reason="no-route"} 2',
      'tapster_flows{protocol="tcp",outcome="open"} 1',
      'tapster_bridge_stations{bridge="lan"} 1',
      'tapster_routes_configured 1',
      'tapster_neighbours{state="reachable"} 1',
    ]) {
      assert.ok(text.includes(`${line}\n`), line);
    }
    assert.match(text, /^nodejs_eventloop_lag_seconds /m);
    assert.match(text, /^process_resident_memory_bytes /m);
    assert.ok(
      (await client.metrics()).includes('tapster_interface_receive_packets_total{interface="tap0"} 7\n'),
      'twice',
    );
  });
});

describe('the tools', () => {
  it('trace, and forget', async () => {
    assert.deepEqual(await client.addTrace('ip4-lookup', 3, 'icmp'), { node: 'ip4-lookup', count: 3 });
    await client.clear('runtime');
    await raw(served, 'DELETE', '/v1/trace');
    assert.deepEqual(network.calls, ['["addTrace","ip4-lookup",3,"icmp"]', '["clear","runtime"]', '["clear","trace"]']);
    const unknown = await refusal(client.addTrace('ip5-lookup', 3));
    assert.deepEqual([unknown.status, unknown.code], [404, 'trace-node-unknown']);
  });

  it('capture', async () => {
    const capture = await client.startCapture({ interface: 'tap0', file: '/tmp/a.pcap', packetsMax: 10 });
    assert.equal(views.CAPTURE_VIEW.parse(capture).packetsMax, 10);
    assert.equal((await client.stopCapture('tap0')).active, false);
    assert.equal((await refusal(client.stopCapture('tap9'))).status, 404);
    const relative = await refusal(client.startCapture({ interface: 'tap0', file: 'a.pcap' }));
    assert.deepEqual([relative.status, relative.message], [422, 'file must be an absolute path']);
  });

  it('ping, for no longer than a minute', async () => {
    const view = views.PING_VIEW.parse(await client.ping({ address: '10.0.0.2', count: 1, size: 0 }));
    assert.equal(view.received, 1);
    assert.deepEqual(network.calls, ['["ping",{"address":"10.0.0.2","count":1,"size":0,"intervalMs":1000}]']);
    const long = await refusal(client.ping({ address: '10.0.0.2', count: 100, intervalMs: 1000 }));
    assert.equal(long.code, 'ping-too-long');
  });

  it('end the engine once, after the answer', async () => {
    await client.stopEngine();
    await client.stopEngine();
    while (served.stops === 0) await new Promise((resolve) => setImmediate(resolve));
    await client.engine();
    assert.equal(served.stops, 1);
  });
});

describe('mistakes', () => {
  it('are problem documents with a stable code', async () => {
    const { status, headers, text } = await raw(served, 'GET', '/v1/routes?family=ipv5&limit=0');
    assert.equal(status, 400);
    assert.equal(headers['content-type'], 'application/problem+json');
    const document = views.PROBLEM_DOCUMENT.parse(JSON.parse(text));
    assert.equal(document.type, 'urn:tapster:problem:request-invalid');
    assert.equal(document.title, 'Bad Request');
    assert.equal(document.detail, 'family must be ipv4 or ipv6: did you mean "ipv4"?');
    assert.deepEqual(
      document.problems?.map(({ path }) => path),
      [['family'], ['limit']],
    );
  });

  it('have the status that fits', async () => {
    const json = { 'content-type': 'application/json' };
    const deep = `${'{"a":'.repeat(100)}1${'}'.repeat(100)}`;
    const large = JSON.stringify({ name: 'x'.repeat(300 * 1024) });
    const cases: [string, string, Record<string, string>, string | undefined, number, string][] = [
      ['GET', '/v1/nothing', {}, undefined, 404, 'path-unknown'],
      ['PUT', '/v1/interfaces', {}, undefined, 404, 'path-unknown'],
      ['POST', '/v1/clear', json, '{"what":"all"}', 422, 'body-invalid'],
      ['POST', '/v1/clear', json, '{"what":', 400, 'json-invalid'],
      ['POST', '/v1/clear', json, '', 400, 'json-invalid'],
      ['POST', '/v1/clear', json, '{"__proto__":{"a":1}}', 400, 'json-invalid'],
      ['POST', '/v1/interfaces', json, deep, 400, 'json-invalid'],
      ['POST', '/v1/clear', {}, undefined, 422, 'body-invalid'],
      ['POST', '/v1/clear', { 'content-type': 'text/plain' }, 'trace', 415, 'media-type-unsupported'],
      ['POST', '/v1/interfaces', { 'content-type': 'application/yaml' }, 'name: a', 415, 'media-type-unsupported'],
      ['POST', '/v1/interfaces', json, large, 413, 'body-too-large'],
      [
        'PUT',
        '/v1/config',
        { 'content-type': 'application/yaml' },
        `# ${'x'.repeat(300 * 1024)}`,
        413,
        'body-too-large',
      ],
      ['GET', '/v1/routes?family=ipv4&within=nowhere', {}, undefined, 422, 'network-invalid'],
      ['GET', '/v1/interfaces/%zz', {}, undefined, 400, 'request-invalid'],
      ['GET', '/v1/flows?port=1', {}, undefined, 400, 'request-invalid'],
      ['GET', '/v1/events?types=interface,weather', {}, undefined, 400, 'request-invalid'],
    ];
    for (const [method, path, headers, body, status, code] of cases) {
      const answer = await raw(served, method, path, headers, body);
      const what = `${method} ${path} ${body?.slice(0, 40)}: ${answer.text}`;
      assert.equal(answer.status, status, what);
      assert.equal(answer.headers['content-type'], 'application/problem+json', what);
      assert.equal(JSON.parse(answer.text).code, code, what);
    }
  });

  it('of our own are told to the log only', async () => {
    const { errors } = network;
    network.errors = () => {
      throw new Error('secret of the engine');
    };
    try {
      const error = await refusal(client.errors());
      assert.deepEqual([error.status, error.code], [500, 'internal-error']);
      assert.ok(!error.message.includes('secret'));
      assert.match(served.lines.at(-1)!, /^error: GET \/v1\/errors: Error: secret of the engine/);
    } finally {
      network.errors = errors;
    }
  });

  it('of the network keep their code and their reasons', async () => {
    network.failNext = failure('interface-failed', 'tap2 can not be made', { code: 'tap-denied', message: 'EPERM' });
    const error = await refusal(client.createInterface('tap2', {}));
    assert.deepEqual(
      [error.status, error.code, error.message],
      [409, 'interface-failed', 'tap2 can not be made: EPERM'],
    );
  });
});
