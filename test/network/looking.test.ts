/** What a network tells of itself: counters, errors, times, packets' ways, pings of its own. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { eventually, inOneOf } from '../support/netns/process.ts';
import { inLab, Namespace, onOwnMachine } from './lab.ts';

await onOwnMachine(import.meta.url);

describe('looking inside', () => {
  const lab = inLab();
  let red: Namespace;
  let blue: Namespace;
  before(async () => {
    [red, blue] = ['red', 'blue'].map((name) => new Namespace(name)) as [Namespace, Namespace];
    await lab.apply(`
interfaces:
  tap0: { tap: { host: { name: eth0, namespace: red, address: [10.0.0.2/24, "fd00:a::2/64"], gateway: [10.0.0.1, "fd00:a::1"] } }, address: [10.0.0.1/24, "fd00:a::1/64"] }
  tap1: { tap: { host: { name: eth0, namespace: blue, address: [10.1.0.2/24, "fd00:b::2/64"], gateway: [10.1.0.1, "fd00:b::1"] } }, address: [10.1.0.1/24, "fd00:b::1/64"] }
routes: [ { to: 10.66.0.0/16, via: drop } ]
`);
    // Nobody says anything but the tests: neighbours are known, and the kernel has said what it says by itself.
    await red.reach('10.1.0.2');
    await red.reach('fd00:b::2');
  });
  after(() => {
    for (const each of [red, blue]) each.delete();
  });

  // covers T9
  it('counts packets and bytes of each interface as the kernel does', async () => {
    lab.network.clear('interfaces');
    await red.reach('10.1.0.2', { count: 10, bytes: 100 });
    const { rxPackets, rxBytes } = lab.interface('tap0').counters;
    const { txPackets, txBytes } = lab.interface('tap1').counters;
    assert.ok(rxPackets >= 10 && txPackets >= 10, `${rxPackets} and ${txPackets}`);
    // 100 bytes, and the headers of ICMP, IPv4 and Ethernet.
    assert.ok(rxBytes >= 10 * 142 && txBytes >= 10 * 142, `${rxBytes} and ${txBytes}`);
    const [link] = red.list<{ stats64: { tx: { packets: number } } }>('-s link show eth0');
    assert.ok(link!.stats64.tx.packets >= rxPackets);
    const hops = lab.network.routes('ipv4', { within: '10.1.0.2' });
    assert.ok(hops.ok && hops.value.some(({ to }) => to === '10.1.0.0/24'));
  });

  it('counts what it drops, by node and reason', async () => {
    lab.network.clear('errors');
    const drops = lab.interface('tap0').counters.rxDrops;
    const ping = red.start(['ping', '-c', '1', '10.66.0.1']);
    await eventually('it is counted', () => lab.dropped('route-drops') > 0);
    ping.kill('SIGKILL');
    assert.ok(lab.interface('tap0').counters.rxDrops > drops);
    assert.match(lab.network.errors().find(({ reason }) => reason === 'route-drops')?.node ?? '', /^ip4-/);
  });

  it('times nodes, from the first time that somebody asks', async () => {
    lab.network.runtime();
    lab.network.clear('runtime');
    await red.reach('10.1.0.2', { count: 10 });
    const nodes = new Map(lab.network.runtime().map((each) => [each.node, each]));
    for (const name of ['ethernet-input', 'ip4-input', 'ip4-lookup', 'ip4-rewrite']) {
      const { calls = 0, packets = 0, packetsPerVector = 0 } = nodes.get(name) ?? {};
      assert.ok(calls > 0 && packets >= 20 && packetsPerVector >= 1, `${name}: ${calls} calls, ${packets} packets`);
    }
  });

  // covers T10
  it('traces a packet from node to node, with what each decided', async () => {
    lab.network.clear('trace');
    const added = lab.network.addTrace('ethernet-input', 50);
    assert.deepEqual(added.ok && added.value, { node: 'ethernet-input', count: 50 });
    await red.reach('10.1.0.2');
    const there = lab.network
      .traces()
      .find((each) => each.interface === 'tap0' && each.hops.some(({ text }) => text.includes('10.1.0.2')));
    assert.ok(there, JSON.stringify(lab.network.traces()));
    const nodes = there.hops.map(({ node }) => node);
    assert.deepEqual(nodes.slice(0, 4), ['ethernet-input', 'ip4-input', 'ip4-lookup', 'ip4-rewrite']);
    for (const [i, { decision, text }] of there.hops.entries()) {
      const next = nodes[i + 1];
      assert.equal(decision, next === undefined ? 'done' : `to ${next}`);
      assert.notEqual(text, '');
    }
    assert.equal(there.frameBytes, 98);
    lab.network.clear('trace');
    assert.deepEqual(lab.network.traces(), []);
  });

  it('says why a traced packet was dropped', async () => {
    lab.network.clear('trace');
    lab.network.addTrace('ip4-input', 10);
    const ping = red.start(['ping', '-c', '1', '10.66.0.1']);
    const decisions = (): string[] => lab.network.traces().flatMap(({ hops }) => hops.map(({ decision }) => decision));
    await eventually('it is traced', () => decisions().includes('dropped: route-drops'));
    ping.kill('SIGKILL');
    lab.network.clear('trace');
  });

  it('refuses to trace at a node that is not there, and names those that are', () => {
    const added = lab.network.addTrace('ip5-input', 1);
    assert.ok(!added.ok);
    assert.match(added.failure.message, /ip5-input/);
    assert.ok(lab.network.nodes().includes('ip4-input'));
  });

  it('pings, both families, and says who did not answer', async () => {
    for (const address of ['10.0.0.2', 'fd00:b::2']) {
      // What takes longer than a second is no answer.
      await inOneOf(5, async () => {
        const pinged = await lab.network.ping({ address, count: 2, intervalMs: 10 });
        assert.ok(pinged.ok, JSON.stringify(pinged));
        const { sent, received, replies } = pinged.value;
        assert.equal(sent, 2);
        assert.ok(replies.every(({ from }) => from === address));
        return received === 2 && replies.every(({ rttUs }) => rttUs !== undefined) ? undefined : `${received} answers`;
      });
    }
    const nobody = await lab.network.ping({ address: '10.77.0.1', count: 1 });
    assert.ok(!nobody.ok || nobody.value.received === 0);
  });

  it('keeps events, the newest last, as many as are asked for', async () => {
    const log = lab.network.eventLog();
    assert.ok(log.some(({ event }) => event === 'configuration-applied'));
    assert.deepEqual(
      log.map(({ id }) => id),
      log.map(({ id }) => id).toSorted((a, b) => a - b),
    );
    assert.deepEqual(lab.network.eventLog(1), log.slice(-1));
    lab.network.clear('event-log');
    assert.deepEqual(lab.network.eventLog(), []);
  });

  it('says who it is', () => {
    const { name, pid, revision, unmet } = lab.network.engine();
    assert.deepEqual([name, pid, revision, unmet], ['test', process.pid, 1, []]);
    assert.deepEqual(
      lab.network.threads().flatMap(({ queues }) => queues),
      ['tap0:0', 'tap1:0'],
    );
  });
});
