/** A running network on a kernel that has vhost-net: its taps take it, and are as others in all that can be done to them. */
// covers V6, V8, V10, V12
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { inLab, Namespace, onOwnMachine } from '../../network/lab.ts';
import { eventually } from '../../support/netns/process.ts';

await onOwnMachine(import.meta.url);

const MEGABYTE = 1024 * 1024;
const CHILD = fileURLToPath(new URL('./child.js', import.meta.url));

interface Options {
  readonly offload?: string;
  readonly rxMode?: string;
  readonly queues?: number;
  readonly mode?: string;
  readonly backends?: readonly [string, string];
}

/** Red and blue, and routes between them. */
function routed(options: Options = {}): string {
  const { offload = 'gso', rxMode = 'interrupt', queues = 1, mode = 'tap', backends = ['auto', 'auto'] } = options;
  const side = (name: string, net: number, backend: string): string => `
  ${name}:
    tap:
      host: { name: eth0, namespace: ${name}, address: [10.${net}.0.2/24, "fd00:${net}::2/64"], gateway: [10.${net}.0.1, "fd00:${net}::1"] }
      ${`offload: ${offload}\n      rxMode: ${rxMode}\n      queues: ${queues}\n      mode: ${mode}\n      backend: ${backend}`}
    address: [10.${net}.0.1/24, "fd00:${net}::1/64"]`;
  return `interfaces:${side('red', 1, backends[0])}${side('blue', 2, backends[1])}`;
}

const bridged = `
interfaces:
  red: { tap: { host: { name: eth0, namespace: red, address: [10.3.0.1/24] } }, bridge: lan }
  blue: { tap: { host: { name: eth0, namespace: blue, address: [10.3.0.2/24] }, backend: read-write }, bridge: lan }
bridges: { lan: { bvi: { address: [10.3.0.3/24] } } }`;

const openDescriptors = (): number => readdirSync('/proc/self/fd').length;

describe('a running network whose taps have vhost-net', () => {
  const lab = inLab();
  let red: Namespace;
  let blue: Namespace;
  before(() => {
    [red, blue] = [new Namespace('red'), new Namespace('blue')];
  });
  after(() => {
    for (const each of [red, blue]) each.delete();
  });

  const backends = (): string[] => ['red', 'blue'].map((name) => lab.tap(name).backend);
  const carrier = (namespace: Namespace) =>
    eventually('there is carrier', () => namespace.shell('ip link show eth0').includes('LOWER_UP'));

  /** Bytes both ways at once, each end with the hash of what it sent and what it got. */
  async function exchange(address: string, bytes: number, port = 5000): Promise<void> {
    const ended = await Promise.all([
      blue.run(process.execPath, CHILD, 'serve', String(port), String(bytes)),
      red.run(process.execPath, CHILD, 'connect', address, String(port), String(bytes)),
    ]);
    const [served, connected] = ended.map(({ stdout, stderr }) => {
      assert.notEqual(stdout, '', stderr);
      return JSON.parse(stdout) as { sent: string; received: string };
    });
    assert.deepEqual([served!.received, connected!.received], [connected!.sent, served!.sent]);
  }

  it('takes it where nothing else is said, and says so', async () => {
    await lab.apply(routed());
    assert.deepEqual(backends(), ['vhost-net', 'vhost-net']);
    assert.deepEqual(
      lab.network.hardware().map(({ backend }) => backend),
      ['vhost-net', 'vhost-net'],
    );
    await Promise.all([carrier(red), carrier(blue)]);
    for (const address of ['10.2.0.2', 'fd00:2::2']) {
      for (const bytes of [0, 56, 1472, 20_000]) await red.reach(address, { bytes });
    }
  });

  for (const offload of ['gso', 'csum', 'none', 'gso']) {
    it(`carries streams both ways with offload ${offload}, changed while it runs`, async () => {
      const { index } = lab.interface('red');
      await lab.apply(routed({ offload }));
      assert.equal(lab.interface('red').index, index);
      await exchange('10.2.0.2', offload === 'gso' ? 8 * MEGABYTE : 2 * MEGABYTE);
      await exchange('fd00:2::2', MEGABYTE);
    });
  }

  it('asks for frames all the time, and waits to be told again', async () => {
    const { index } = lab.interface('red');
    for (const rxMode of ['polling', 'adaptive', 'polling', 'interrupt']) {
      await lab.apply(routed({ rxMode }));
      assert.equal(lab.network.hardware()[0]?.queues[0]?.mode, rxMode);
      await red.reach('10.2.0.2', { count: 3 });
      await exchange('10.2.0.2', MEGABYTE);
    }
    assert.equal(lab.interface('red').index, index);
  });

  it('has a pair of rings for each queue', async () => {
    await lab.apply(routed({ queues: 2 }));
    assert.deepEqual(backends(), ['vhost-net', 'vhost-net']);
    assert.equal(lab.tap('red').rxQueues, 2);
    await Promise.all([carrier(red), carrier(blue)]);
    await Promise.all([1, 2, 3, 4].map((stream) => exchange('10.2.0.2', MEGABYTE, 5000 + stream)));
  });

  it('reads and writes packets without Ethernet, which vhost-net is not for', async () => {
    await lab.apply(routed({ mode: 'tun' }));
    assert.deepEqual(backends(), ['read-write', 'read-write']);
    await Promise.all([carrier(red), carrier(blue)]);
    await red.reach('10.2.0.2', { bytes: 20_000 });
    await exchange('10.2.0.2', MEGABYTE);
  });

  it('is beside one that is read and written: routed, and in a bridge', async () => {
    await lab.apply(routed({ backends: ['vhost-net', 'read-write'] }));
    assert.deepEqual(backends(), ['vhost-net', 'read-write']);
    await Promise.all([carrier(red), carrier(blue)]);
    await exchange('10.2.0.2', 2 * MEGABYTE);
    await lab.apply(bridged);
    assert.deepEqual(backends(), ['vhost-net', 'read-write']);
    await Promise.all([carrier(red), carrier(blue)]);
    await red.reach('10.3.0.2');
    await red.reach('10.3.0.3');
    await exchange('10.3.0.2', MEGABYTE);
  });

  it('notices within seconds that it is deleted, and is made again with its namespace', async () => {
    for (const rxMode of ['interrupt', 'polling']) {
      await lab.apply(routed({ rxMode }));
      await Promise.all([carrier(red), carrier(blue)]);
      const { index } = lab.interface('blue');
      lab.events.length = 0;
      const deletedMs = performance.now();
      blue.delete();
      await lab.heard('interface-lost', ({ data }) => data?.['part'] === 'interface blue');
      assert.ok(performance.now() - deletedMs < 5000);
      await red.reach('10.1.0.1');
      blue = new Namespace('blue');
      await lab.heard('part-met', ({ data }) => data?.['part'] === 'up blue');
      assert.notEqual(lab.interface('blue').index, index);
      assert.deepEqual(backends(), ['vhost-net', 'vhost-net']);
      await carrier(blue);
      await red.reach('10.2.0.2');
    }
  });

  it('gives everything back', async () => {
    await lab.apply('');
    const before = openDescriptors();
    await lab.apply(routed({ queues: 2 }));
    await lab.apply('');
    assert.equal(openDescriptors(), before);
    assert.ok(!red.shell('ip link').includes('eth0'));
    // What is taken back has rings already.
    await lab.refuse(`${routed()}\n  grey: { tap: { host: { namespace: grey } } }`);
    assert.deepEqual(lab.network.taps(), []);
    assert.equal(openDescriptors(), before);
  });
});
