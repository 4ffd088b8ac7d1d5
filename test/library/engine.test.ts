/** An engine inside of a program, on the real kernel. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { after, before, describe, it } from 'node:test';
import {
  type ConfigDocument,
  CUSTOM_NODE_PLACES,
  type CustomNode,
  createEngine,
  DROP,
  type Engine,
  type TapsterError,
} from 'tapster';
import { whyNoInternet } from '../support/netns/internet.ts';
import { eventually, execute } from '../support/netns/process.ts';

const NAMESPACE = `tapster-test-${process.pid}-engine`;

function interfaces(address: string): ConfigDocument {
  return {
    tap0: { tap: { host: { name: 'eth0', namespace: NAMESPACE, address: ['10.76.0.2/24'] } }, address: [address] },
  };
}

async function ping(address: string, waitSeconds: string = '60'): Promise<boolean> {
  const words = ['ip', 'netns', 'exec', NAMESPACE, 'ping', '-c', '1', '-W', waitSeconds, address];
  return (await execute(words)).status === 0;
}

function isSilent(address: string): Promise<boolean> {
  return ping(address, '0.5').then((answered) => !answered);
}

function nodeCalls(engine: Engine, name: string): number | undefined {
  return engine.runtime().find(({ node }) => node === name)?.packets;
}

describe('an engine in a program', { skip: whyNoInternet() ?? false }, () => {
  before(() => {
    spawnSync('ip', ['netns', 'add', NAMESPACE]);
  });
  after(() => {
    spawnSync('ip', ['netns', 'del', NAMESPACE]);
  });

  it('runs a configuration, is changed, and leaves nothing behind', async () => {
    const engine = await createEngine();
    assert.deepEqual(engine.interfaces(), []);
    await engine.apply({ interfaces: interfaces('10.76.0.1/24') });
    assert.ok(await ping('10.76.0.1'));
    await engine.apply(`{ interfaces: ${JSON.stringify(interfaces('10.76.0.9/24'))} }`);
    assert.ok(await ping('10.76.0.9'));
    assert.ok(await isSilent('10.76.0.1'));
    assert.deepEqual(
      engine.interfaces().map(({ name }) => name),
      ['tap0'],
    );
    await engine.close();
    const { stdout } = await execute(['ip', '-n', NAMESPACE, 'link']);
    assert.doesNotMatch(stdout, /eth0/);
  });

  it('shows what packets meet, nodes of the program among it, which may drop', async () => {
    let refused = 0;
    const seen: CustomNode = { name: 'seen', before: 'ip4-lookup', process: () => {} };
    const refuser: CustomNode = {
      name: 'refuser',
      before: 'ip4-lookup',
      process: (_packets, _frame, count, verdicts) => {
        refused += count;
        verdicts.fill(DROP, 0, count);
      },
    };
    const engine = await createEngine({ interfaces: interfaces('10.76.0.1/24') }, { nodes: [seen, refuser] });
    try {
      engine.addTrace('custom-seen', 1);
      assert.ok(await isSilent('10.76.0.1'));
      await eventually('it was refused', () => refused > 0);
      assert.equal(nodeCalls(engine, 'custom-seen'), refused);
      assert.equal(nodeCalls(engine, 'custom-refuser'), refused);
      const ways = engine.traces().map(({ hops }) => hops.map(({ node }) => node).join(' '));
      assert.deepEqual(ways, ['custom-seen custom-refuser']);
    } finally {
      await engine.close();
    }
  });

  it('has every place that nodes may stand in, and packets pass them', async () => {
    const nodes = CUSTOM_NODE_PLACES.map((before) => ({ name: `at-${before}`, before, process: () => {} }));
    const engine = await createEngine({ interfaces: interfaces('10.76.0.1/24') }, { nodes });
    try {
      engine.runtime();
      assert.ok(await ping('10.76.0.1'));
      for (const place of ['ip4-input', 'ip4-lookup']) assert.equal(nodeCalls(engine, `custom-at-${place}`), 1);
    } finally {
      await engine.close();
    }
  });

  it('with a mistake is not created, and says all of them', async () => {
    const wrong = { interfaces: { tap0: { tap: { host: { mtu: 9 } }, adress: [] } } };
    await assert.rejects(createEngine(wrong), (error: TapsterError) => {
      assert.equal(error.code, 'config-invalid');
      assert.match(error.message, /mtu/);
      assert.match(error.message, /adress/);
      return true;
    });
    const node = { name: 'mine', before: 'nowhere', process: () => {} } as never;
    await assert.rejects(createEngine({}, { nodes: [node] }), { code: 'node-invalid' });
    const missing = { interfaces: { tap0: { tap: { host: { bridge: 'br9' } } } } };
    await assert.rejects(createEngine(missing), (error: TapsterError) => /br9/.test(error.message));
  });
});
