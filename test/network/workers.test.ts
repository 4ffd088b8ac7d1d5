/** Queues that workers serve, against the kernel: streams bridged and routed, while addresses, routes, taps and stations change, and when a worker ends. */
// covers V5, V10
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Worker } from 'node:worker_threads';
import { patternHash } from '../support/netns/pattern.ts';
import { eventually, inOneOf } from '../support/netns/process.ts';
import { inLab, type Lab, Namespace, onOwnMachine } from './lab.ts';

await onOwnMachine(import.meta.url);

const STREAM_BYTES = 12 << 20;
const STREAMS = 6;
/** How often streams are sent until workers had some, and how long each time may take to be told. */
const SHARE_TRIES_MAX = 5;
const SHARE_TOLD_MS = 3000;

const SPREAD = 'queues: 2, placement: [0, 1]';
const OFF_MAIN = 'queues: 2, placement: [1, 2]';

function routed(tap: string, more: string = ''): string {
  return `
interfaces:
  tap0: { tap: { ${tap}, host: { name: eth0, namespace: red, address: [10.0.0.2/24, fd00:a::2/64], gateway: [10.0.0.1, fd00:a::1] } }, address: [10.0.0.1/24, fd00:a::1/64] }
  tap1: { tap: { ${tap}, host: { name: eth0, namespace: blue, address: [10.1.0.2/24, fd00:b::2/64], gateway: [10.1.0.1, fd00:b::1] } }, address: [10.1.0.1/24, fd00:b::1/64] }
  ${more}
`;
}

function bridged(tap: string, more: string = ''): string {
  return `
interfaces:
  tap0: { tap: { ${tap}, host: { name: eth0, namespace: red, address: [10.0.0.2/24] } }, bridge: lan }
  tap1: { tap: { ${tap}, host: { name: eth0, namespace: blue, address: [10.0.0.3/24] } }, bridge: lan }
  ${more}
bridges: { lan: { ageing: 2s } }
`;
}

/** Packets that the workers' look-ups and bridges have seen, as far as they have told. */
function carriedByWorkers(lab: Lab, node: string): number {
  const nodes = lab.network.runtime().filter((each) => each.worker > 0 && each.node === node);
  return nodes.reduce((sum, { packets }) => sum + packets, 0);
}

/** Notes the threads that are told something from now on, in the order of their first message. */
function workersStarted(): () => Worker[] {
  const started = new Set<Worker>();
  const { postMessage } = Worker.prototype;
  Worker.prototype.postMessage = function (...words) {
    started.add(this);
    postMessage.apply(this, words);
  };
  return () => {
    Worker.prototype.postMessage = postMessage;
    return [...started];
  };
}

interface Traffic {
  readonly packets: number;
  readonly bytes: number;
}

function placement(lab: Lab, name: string): number[] {
  return lab.network
    .hardware()
    .find((each) => each.name === name)!
    .queues.map(({ worker }) => worker);
}

describe('queues on workers', () => {
  const lab = inLab();
  let red: Namespace;
  let blue: Namespace;
  before(async () => {
    red = new Namespace('red');
    blue = new Namespace('blue');
    await red.serve();
    await blue.serve();
  });
  after(() => {
    red.delete();
    blue.delete();
  });

  async function streams(to: string, count: number = STREAMS): Promise<void> {
    const sent = Array.from({ length: count }, () => red.client('send', to, '9', String(STREAM_BYTES), '{}'));
    for (const { bytes, sha256 } of await Promise.all(sent)) {
      assert.deepEqual({ bytes, sha256 }, { bytes: STREAM_BYTES, sha256: patternHash(STREAM_BYTES) });
    }
  }

  /** The kernel deals streams to queues by a hash that nobody chooses: more are sent until workers have had their share, and have told of it. */
  async function streamsByWorkers(to: string, node: string): Promise<void> {
    for (let tries = 1; ; tries++) {
      await streams(to);
      const isCarried = (): boolean => carriedByWorkers(lab, node) > 1000;
      if (tries === SHARE_TRIES_MAX) return eventually('workers tell what they did', isCarried);
      if (
        await eventually('workers tell', isCarried, SHARE_TOLD_MS).then(
          () => true,
          () => false,
        )
      )
        return;
    }
  }

  it('tells who serves what', async () => {
    await lab.apply(routed(OFF_MAIN));
    assert.deepEqual(placement(lab, 'tap0'), [1, 2]);
    await lab.apply(routed(SPREAD));
    assert.deepEqual(placement(lab, 'tap1'), [0, 1]);
    assert.deepEqual(
      lab.network.threads().map(({ worker, name, queues }) => ({ worker, name, queues })),
      [
        { worker: 0, name: 'main', queues: ['tap0:0', 'tap1:0'] },
        { worker: 1, name: 'worker-1', queues: ['tap0:1', 'tap1:1'] },
      ],
    );
    await lab.apply(routed('queues: 2'));
    assert.deepEqual(placement(lab, 'tap0'), [0, 0]);
    assert.equal(lab.network.threads().length, 1);
  });

  for (const [name, tap] of Object.entries({ SPREAD, OFF_MAIN })) {
    it(`routes streams (${name})`, async () => {
      await lab.apply(routed(tap));
      await red.reach('10.1.0.2');
      await red.reach('fd00:b::2');
      await streams('fd00:b::2', 2);
      await streamsByWorkers('10.1.0.2', 'ip4-rewrite');
    });

    it(`bridges streams (${name})`, async () => {
      await lab.apply(bridged(tap));
      await red.reach('10.0.0.3');
      await streamsByWorkers('10.0.0.3', 'bridge-input');
    });
  }

  it('counts what workers carry', async () => {
    await lab.apply('');
    await lab.apply(routed(OFF_MAIN));
    await red.reach('10.1.0.2', { count: 50 });
    // What the kernel has sent there we have received, and what we have sent there it has received.
    const kernels = (each: Namespace, way: 'rx' | 'tx'): number[] => {
      const [link] = each.list<{ stats64: Record<string, Traffic> }>('-s link show eth0');
      const { packets, bytes } = link!.stats64[way]!;
      return [packets, bytes];
    };
    const ours = (): number[] => {
      const { rxPackets, rxBytes } = lab.interface('tap0').counters;
      const { txPackets, txBytes } = lab.interface('tap1').counters;
      return [rxPackets, rxBytes, txPackets, txBytes];
    };
    const theirs = (): number[] => [...kernels(red, 'tx'), ...kernels(blue, 'rx')];
    await eventually('workers have told of all', () => ours().join() === theirs().join()).catch(() =>
      assert.deepEqual(ours(), theirs()),
    );
    const [rxPackets, rxBytes] = ours();
    assert.ok(rxPackets! >= 51 && rxBytes! >= 51 * 98, String(ours()));
  });

  it('keeps streams while everything around them changes', async () => {
    await lab.apply(routed(SPREAD));
    await red.reach('10.1.0.2');
    let going = true;
    const change = async (): Promise<number> => {
      let changes = 0;
      while (going) {
        const third =
          'tap2: { tap: { queues: 2, placement: [1, 1], host: { name: eth1, namespace: blue, address: [10.2.0.2/24] } }, address: [10.2.0.1/24] }';
        await lab.apply(routed(SPREAD, third));
        await lab.apply(`${routed(OFF_MAIN, third)}routes: [ { to: 10.77.0.0/16, via: 10.2.0.2 } ]`);
        await lab.apply(routed(SPREAD).replace('10.1.0.1/24', '10.1.0.1/24, 10.1.0.9/24'));
        await lab.apply(routed('queues: 2'));
        changes += 4;
      }
      return changes;
    };
    const [changes] = await Promise.all([
      change(),
      streams('10.1.0.2', 4)
        .then(() => streams('10.1.0.2', 4))
        .finally(() => {
          going = false;
        }),
    ]);
    assert.ok(changes >= 4);
    assert.deepEqual(
      lab.events.filter(({ event }) => event === 'worker-lost'),
      [],
    );
  });

  it('keeps a station that only workers hear, and follows one that moves', async () => {
    await lab.apply(bridged(OFF_MAIN));
    const talk = await red.talk('10.0.0.3').catch(async () => {
      await red.reach('10.0.0.3');
      return red.talk('10.0.0.3');
    });
    const flooded = (): number => lab.network.bridges()[0]!.counters['flooded']!;
    // More than twice the time of ageing. Where nobody ran for as long as that, they are forgotten with good reason.
    await inOneOf(5, async () => {
      const before = flooded();
      for (let i = 0; i < 12; i++) {
        await talk.say(`word${i}`);
        await new Promise((resolve) => setTimeout(resolve, 400));
      }
      const stations = lab.network.stations('lan').filter(({ kind }) => kind === 'learnt');
      const areKnown = ['tap0', 'tap1'].every((tap) =>
        stations.some((each) => each.interface === tap && each.ageSeconds! <= 2),
      );
      await red.reach('10.0.0.3', { count: 20 });
      // The kernel's own multicasts are for everybody.
      const more = flooded() - before;
      return areKnown && more <= 8 ? undefined : `${more} frames for everybody; ${JSON.stringify(stations)}`;
    });
    await talk.end();

    // The same address behind another tap.
    const mac = red.list<{ address: string }>('link', 'show', 'dev', 'eth0')[0]!.address;
    const third = 'tap2: { tap: { queues: 2, placement: [1, 2], host: { name: eth1, namespace: red } }, bridge: lan }';
    await lab.apply(bridged(OFF_MAIN, third));
    red.shell(
      `ip link set eth0 down; ip link set eth1 address ${mac} up; ip addr flush dev eth0; ip addr add 10.0.0.2/24 dev eth1`,
    );
    await red.reach('10.0.0.3', { count: 3 });
    await eventually('it has moved', () =>
      lab.network.stations('lan').some((each) => each.mac === mac && each.interface === 'tap2'),
    );
    await red.client('send', '10.0.0.3', '9', String(STREAM_BYTES), '{}');
    red.shell('ip addr flush dev eth1');
  });

  it('shows everything to who looks', async () => {
    await lab.apply('');
    await lab.apply(routed(OFF_MAIN));
    await red.reach('10.1.0.2');
    await streams('10.1.0.2', 2);
    assert.ok(lab.network.addTrace('ip4-rewrite', 3).ok);
    await eventually('main serves all', () => placement(lab, 'tap0').every((worker) => worker === 0));
    await red.reach('10.1.0.2', { count: 4 });
    assert.equal(lab.network.traces().length, 3);
    await eventually('workers serve again', () => placement(lab, 'tap0').every((worker) => worker > 0));
  });

  it('leaves to the main thread what is not decided', async () => {
    await lab.apply('');
    await lab.apply(
      routed(OFF_MAIN)
        .replaceAll('10.1.0.1/24,', '10.1.0.1/24, 10.3.0.1/24,')
        .replace('interfaces:', 'uplink: { translate: host }\nroutes: [ { to: 0.0.0.0/0, via: uplink } ]\ninterfaces:'),
    );
    await red.reach('10.1.0.2');
    await red.reach('10.0.0.1');
    assert.match((await red.ping('10.1.0.2', { ttl: 1 })).text, /From 10\.0\.0\.1 .*Time to live exceeded/);
    assert.match((await red.ping('10.3.0.7')).text, /From 10\.0\.0\.1 .*Destination Host Unreachable/);
    assert.deepEqual(await red.client('udp-echo', '10.1.0.2', '7', '9000'), { echoed: true });
    assert.equal((await red.client('connect', '10.1.0.2', '4'))['outcome'], 'ECONNREFUSED');
  });

  it('shows a capture all that goes by its interface', async () => {
    await lab.apply(routed(OFF_MAIN));
    await red.reach('10.1.0.2');
    const file = `/run/workers-${process.pid}.pcap`;
    const started = lab.network.startCapture({ interface: 'tap1', file, filter: 'icmp and greater 500' });
    assert.ok(started.ok, JSON.stringify(started));
    await eventually('main serves it', () => placement(lab, 'tap1').every((worker) => worker === 0));
    assert.deepEqual(placement(lab, 'tap0'), [1, 2]);
    assert.ok((await red.ping('10.1.0.2', { count: 5, bytes: 600 })).answered);
    const stopped = await lab.network.stopCapture(started.value.name);
    assert.ok(stopped.ok && stopped.value.packets === 10, JSON.stringify(stopped));
    await eventually('workers serve again', () => placement(lab, 'tap1').every((worker) => worker > 0));
  });

  it('goes on when a worker ends, and starts another one with the next change', async () => {
    await lab.apply('');
    lab.events.length = 0;
    const started = workersStarted();
    await lab.apply(routed(OFF_MAIN));
    await red.reach('10.1.0.2');
    const going = streams('10.1.0.2', 4);
    await new Promise((resolve) => setTimeout(resolve, 100));
    await started()[0]!.terminate();
    const lost = await lab.heard('worker-lost');
    assert.deepEqual(lost.data, { worker: 1, queues: ['tap0:0', 'tap1:0'] });
    await going;
    assert.deepEqual(placement(lab, 'tap0'), [0, 2]);
    await streams('10.1.0.2', 2);
    await lab.apply(routed(OFF_MAIN).replace('10.1.0.1/24', '10.1.0.1/24, 10.1.0.9/24'));
    assert.deepEqual(placement(lab, 'tap0'), [1, 2]);
    await streams('10.1.0.2', 2);
  });

  it('loses a tap that goes', async () => {
    await lab.apply(routed(OFF_MAIN));
    await red.reach('10.1.0.2');
    blue.shell('ip link del eth0');
    await lab.heard('interface-lost', ({ data }) => data?.['part'] === 'interface tap1');
    await eventually('it is back', () => lab.network.engine().unmet.length === 0);
    await eventually('workers serve it', () => placement(lab, 'tap1').join() === '1,2');
    await red.reach('10.1.0.2');
    await streams('10.1.0.2', 1);
  });
});
