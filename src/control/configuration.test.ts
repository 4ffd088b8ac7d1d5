/** Changes of the configuration by the API, with the real schema and the real plan. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { parse } from 'yaml';
import { ApiError } from './api-error.ts';
import type { Client, ConfigDocument } from './client.ts';
import type { FakeNetwork } from './network-fixture.test.ts';
import { raw, type Served, serve } from './server-fixture.test.ts';
import { APPLY_VIEW } from './view-schemas.ts';

let served: Served;
let client: Client;
let network: FakeNetwork;

beforeEach(async () => {
  served = await serve();
  ({ client, network } = served);
});

afterEach(() => served.close());

async function refusal(promise: Promise<unknown>): Promise<ApiError> {
  const error = await promise.then(() => undefined).catch((reason: unknown) => reason);
  assert.ok(error instanceof ApiError, 'it was not refused');
  return error;
}

function section(document: ConfigDocument, key: string): Record<string, Record<string, unknown>> {
  return document[key] as Record<string, Record<string, unknown>>;
}

describe('the configuration', () => {
  it('is read with its revision, and put back as no change', async () => {
    const { document, revision } = await client.configuration();
    assert.equal(revision, 1);
    const view = APPLY_VIEW.parse(await client.putConfiguration(document));
    assert.deepEqual(view, { revision: 2, dryRun: false, actions: [] });
  });

  it('is YAML for who asks, and from who sends it', async () => {
    const { headers, text } = await raw(served, 'GET', '/v1/config', { accept: 'application/yaml' });
    assert.match(headers['content-type']!, /^application\/yaml/);
    assert.equal(headers['etag'], '"1"');
    assert.deepEqual(parse(text), (await client.configuration()).document);
    const { actions } = await client.putConfiguration(text.replace('10.0.0.1/24', '10.0.0.3/24'));
    assert.deepEqual(actions.map(({ text }) => text).sort(), [
      '+ address tap0 10.0.0.3/24',
      '+ route 10.9.0.0/16 via 10.0.0.9',
      '- address tap0 10.0.0.1/24',
      '- route 10.9.0.0/16',
    ]);
  });

  it('tells every mistake of YAML with its line, and of JSON with its path', async () => {
    const yaml = await refusal(client.putConfiguration('interfaces:\n  tap0: { mtu: 1 }\nbridge: {}\n'));
    assert.deepEqual([yaml.status, yaml.code], [422, 'config-invalid']);
    assert.deepEqual(
      yaml.problems?.map(({ line, column, path }) => [line, column, path.join('.')]),
      [
        [2, 16, 'interfaces.tap0.mtu'],
        [3, 1, 'bridge'],
      ],
    );
    const json = await refusal(client.putConfiguration({ interfaces: { tap0: { mtu: 'large' } } }));
    assert.deepEqual([json.problems?.[0]?.path, json.problems?.[0]?.line], [['interfaces', 'tap0', 'mtu'], 0]);
    assert.equal(json.message, 'the configuration is wrong: interfaces.tap0.mtu must be a number');
    assert.equal(network.revision, 1);
  });

  it('can be tried', async () => {
    const view = await client.putConfiguration({}, { dryRun: true });
    assert.ok(view.dryRun && view.actions.length > 0);
    assert.equal(network.revision, 1);
    assert.equal((await client.deleteRoute('10.9.0.0/16', { dryRun: true })).dryRun, true);
    assert.equal(network.config.routes.length, 1);
  });

  it('changes only from the revision that was meant', async () => {
    assert.equal((await client.putConfiguration({}, { ifRevision: 1 })).revision, 2);
    const late = await refusal(client.putConfiguration({}, { ifRevision: 1 }));
    assert.deepEqual([late.status, late.code], [412, 'revision-conflict']);
    const put = (tag: string): Promise<{ status: number }> =>
      raw(served, 'PUT', '/v1/config', { 'content-type': 'application/json', 'if-match': tag }, '{}');
    assert.equal((await put('"7", "2"')).status, 200);
    assert.equal((await put('*')).status, 200);
    assert.equal((await put('W/"4"')).status, 412, 'a weak tag never matches');
    assert.equal((await put('4')).status, 412);
  });
});

describe('single changes', () => {
  it('make, change and take away an interface', async () => {
    const made = await client.createInterface('tap2', { address: ['10.2.0.1/24'] });
    assert.ok(made.actions.some(({ text }) => text.startsWith('+ interface tap2')));
    await client.changeInterface('tap2', { mtu: 9000 });
    assert.equal(network.config.interfaces['tap2']?.mtu, 9000);
    await client.changeInterface('tap2', { mtu: null });
    assert.equal(network.config.interfaces['tap2']?.mtu, undefined);
    await client.createInterface('tap2.100', {});
    await client.changeInterface('tap2.100', { up: false });
    assert.equal(network.config.interfaces['tap2']?.vlans['100']?.up, false);
    await client.deleteInterface('tap2.100');
    await client.deleteInterface('tap2');
    assert.deepEqual(Object.keys(network.config.interfaces), ['tap0', 'tap1']);
  });

  it('say where the new thing is', async () => {
    const body = '{"name":"tap2","config":{}}';
    const { status, headers } = await raw(
      served,
      'POST',
      '/v1/interfaces',
      { 'content-type': 'application/json' },
      body,
    );
    assert.deepEqual([status, headers['location'], headers['etag']], [201, '/v1/interfaces/tap2', '"2"']);
  });

  it('make, change and take away a bridge and its BVI', async () => {
    await client.createBridge('wan', { ageing: '10s' });
    await client.changeBridge('wan', { learn: false });
    await client.createInterface('bvi.wan', { address: ['10.5.0.1/24'] });
    assert.equal(network.config.bridges['wan']?.bvi?.address.length, 1);
    await client.deleteInterface('bvi.wan');
    await client.deleteBridge('wan');
    assert.deepEqual(Object.keys(network.config.bridges), ['lan']);
  });

  it('add and delete routes and neighbours, however they are written', async () => {
    await client.addRoute({ to: 'fd00:9::/32', via: 'drop' });
    await client.deleteRoute('FD00:0009:0::/32');
    await client.addNeighbour({ interface: 'tap0', address: '10.0.0.7', mac: '02:00:00:00:00:07' });
    const twice = client.addNeighbour({ interface: 'tap0', address: '10.0.0.7', mac: '02:00:00:00:00:08' });
    assert.equal((await refusal(twice)).code, 'neighbour-exists');
    await client.deleteNeighbour('tap0', '10.0.0.7');
    assert.deepEqual([network.config.routes.length, network.config.neighbours.length], [1, 0]);
  });

  it('give and take the uplink', async () => {
    assert.equal(await client.uplink(), null);
    await client.setUplink({ translate: 'host', icmp: false });
    assert.equal((await client.uplink())?.['icmp'], false);
    await client.addRoute({ to: '0.0.0.0/0', via: 'uplink' });
    const needed = await refusal(client.setUplink(null));
    assert.deepEqual([needed.status, needed.code], [409, 'still-needed']);
    await client.deleteRoute('0.0.0.0/0');
    await client.setUplink(null);
    assert.equal(await client.uplink(), null);
  });

  it('are refused where there is nothing to change, or it is there already', async () => {
    const cases: [() => Promise<unknown>, number, string][] = [
      [() => client.createInterface('tap0', {}), 409, 'interface-exists'],
      [() => client.createInterface('tap9.5', {}), 404, 'interface-unknown'],
      [() => client.createInterface('bvi.wan', {}), 404, 'bridge-unknown'],
      [() => client.createInterface('9', {}), 422, 'body-invalid'],
      [() => client.createInterface('__proto__', {}), 422, 'body-invalid'],
      [() => client.changeInterface('constructor', {}), 404, 'interface-unknown'],
      [() => client.changeInterface('tap0', { mtuu: 3 }), 422, 'config-invalid'],
      [() => client.deleteInterface('tap9'), 404, 'interface-unknown'],
      [() => client.createBridge('lan', {}), 409, 'bridge-exists'],
      [() => client.deleteBridge('wan'), 404, 'bridge-unknown'],
      [() => client.deleteBridge('lan'), 409, 'still-needed'],
      [() => client.addRoute({ to: '10.9.0.0/16', via: 'drop' }), 409, 'route-exists'],
      [() => client.addRoute({ to: '10.9.0.0/33', via: 'drop' }), 422, 'config-invalid'],
      [() => client.deleteRoute('10.0.0.0/24'), 404, 'route-unknown'],
      [() => client.deleteNeighbour('tap0', '10.0.0.2'), 404, 'neighbour-unknown'],
      [() => client.setUplink(null), 404, 'uplink-unknown'],
      [() => client.setUplink({ translate: 'mars' }), 422, 'config-invalid'],
    ];
    for (const [change, status, code] of cases) {
      const error = await refusal(change());
      assert.deepEqual([error.status, error.code], [status, code], error.message);
    }
    assert.equal(network.revision, 1);
  });

  it('name the parts that still need what is to go', async () => {
    await client.addRoute({ to: '10.8.0.0/16', via: 'tap0' });
    const error = await refusal(client.deleteInterface('tap0'));
    assert.equal(error.message, 'tap0 is still needed by routes[0].via, routes[1].via');
    assert.ok(
      error.problems?.some(({ path }) => path.join('.').startsWith('routes.1')),
      JSON.stringify(error.problems),
    );
  });

  it('go one after the other, and none is lost', async () => {
    network.whileApplying = () => new Promise((resolve) => setImmediate(resolve));
    const names = Array.from({ length: 20 }, (_, index) => `many${index}`);
    await Promise.all(names.map((name) => client.createBridge(name, {})));
    assert.deepEqual(Object.keys(network.config.bridges).sort(), ['lan', ...names].sort());
  });

  it('begin again when somebody else changed the configuration, unless a revision was meant', async () => {
    let others = 2;
    network.whileApplying = () => {
      if (others-- > 0) network.revision++;
    };
    await client.createBridge('wan', {});
    assert.ok('wan' in network.config.bridges);
    others = 1;
    const meant = await refusal(client.createBridge('man', {}, { ifRevision: network.revision }));
    assert.equal(meant.code, 'revision-conflict');
    others = 100;
    assert.equal((await refusal(client.createBridge('man', {}))).status, 412, 'not for ever');
    network.whileApplying = () => {};
    assert.deepEqual(Object.keys(section((await client.configuration()).document, 'bridges')), ['lan', 'wan']);
  });
});
