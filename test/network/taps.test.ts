/** The kernel's side of taps: made where they belong, changed while they run, given back. Asked of the kernel with ip(8) and ethtool(8). */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { after, before, beforeEach, describe, it, type TestContext } from 'node:test';
import { vhostNetAvailable } from '#tapster/sys/vhost-net.js';
import { eventually, Program } from '../support/netns/process.ts';
import { lacking } from '../support/netns/programs.ts';
import { inLab, ip, Namespace, onOwnMachine } from './lab.ts';

await onOwnMachine(import.meta.url);

interface Link {
  readonly ifname: string;
  readonly ifindex: number;
  readonly mtu: number;
  readonly address: string;
  readonly flags: readonly string[];
  readonly master?: string;
}

describe('taps', () => {
  const lab = inLab();
  let red: Namespace;
  before(() => {
    red = new Namespace('red');
  });
  after(() => red.delete());
  beforeEach(() => lab.apply(''));

  const link = (name = 'eth0'): Link => {
    const [found] = red.list<Link>(`link show ${name}`);
    assert.ok(found);
    return found;
  };
  const tap = (host: string, rest = '', port = ''): string =>
    `interfaces: { tap0: { tap: { host: { name: eth0, namespace: red, ${host} } ${rest} }, address: [10.0.0.1/24] ${port} } }`;

  // covers V1, V2, V11
  describe('are made in a namespace', () => {
    const at = (namespace: string): string =>
      `interfaces: { tap0: { tap: { host: { name: eth0, namespace: "${namespace}", address: [10.0.0.2/24] } }, address: [10.0.0.1/24] } }`;

    it('given by its name or its path', async () => {
      for (const namespace of ['red', '/run/netns/red']) {
        await lab.apply('');
        await lab.apply(at(namespace));
        assert.equal(link().ifname, 'eth0');
        assert.equal(lab.tap('tap0').host.namespace, namespace);
        await red.reach('10.0.0.1');
      }
    });

    it('given by a process in it, and they go with it', async (t) => {
      const program = await container(t);
      await lab.apply(at(`pid:${program.pid}`));
      const ping = new Program([
        'nsenter',
        '-t',
        String(program.pid),
        '--net',
        'ping',
        '-c',
        '1',
        '-W',
        '60',
        '10.0.0.1',
      ]);
      assert.equal((await ping.ended).status, 0);
      program.kill('SIGKILL');
      await lab.heard('interface-lost', ({ data }) => data?.['part'] === 'interface tap0');
      assert.deepEqual(lab.network.interfaces(), []);
    });

    it('of our own, where none is given', async () => {
      await lab.apply('interfaces: { tap0: { tap: { host: { name: own0 } } } }');
      assert.match(ip('link', 'show', 'own0'), /own0/);
      await lab.apply('');
      assert.ok(!ip('link').includes('own0'));
    });

    it('with all that is said of the host side', async () => {
      await lab.apply(
        tap(
          'mac: "02:11:22:33:44:55", mtu: 1400, address: [10.0.0.2/24, "fd00::2/64"], gateway: [10.0.0.1, "fd00::1"]',
        ),
      );
      const { address, mtu, flags } = link();
      assert.deepEqual([address, mtu, flags.includes('UP')], ['02:11:22:33:44:55', 1400, true]);
      assert.match(red.shell('ip route'), /^default via 10\.0\.0\.1 dev eth0/m);
      assert.match(red.shell('ip -6 route'), /^default via fd00::1 dev eth0/m);
      assert.match(red.shell('ip -6 addr show eth0'), /fd00::2\/64/);
      const { host } = lab.tap('tap0');
      assert.deepEqual(host, {
        ...{ name: 'eth0', index: link().ifindex, namespace: 'red', mac: '02:11:22:33:44:55', mtu: 1400 },
        addresses: host.addresses,
        ...{ gateways: ['10.0.0.1', 'fd00::1'], up: true, carrier: true },
      });
      assert.ok(
        ['10.0.0.2/24', 'fd00::2/64'].every((each) => host.addresses.includes(each)),
        host.addresses.join(),
      );
    });

    it('as members of a bridge there', async () => {
      red.shell('ip link add br0 type bridge; ip link set br0 up; ip addr add 10.0.0.7/24 dev br0');
      await lab.apply(tap('bridge: br0'));
      assert.equal(link().master, 'br0');
      // Its port listens before it forwards, unless it has no spanning tree.
      await eventually('its port forwards', () => red.shell('bridge link show dev eth0').includes('forwarding'));
      await red.reach('10.0.0.1');
      await lab.apply(tap(''));
      assert.equal(link().master, undefined);
      red.shell('ip link del br0');
    });
  });

  it('have the lowest free id, or the one that is asked for', async () => {
    const one = (name: string, id = ''): string => `${name}: { tap: { ${id} host: { namespace: red } } }`;
    await lab.apply(`interfaces: { ${one('a')}, ${one('b', 'id: 7,')}, ${one('c')} }`);
    assert.deepEqual(
      lab.network.taps().map(({ id, host }) => [id, host.name]),
      [
        [0, 'a'],
        [7, 'tap7'],
        [1, 'c'],
      ],
    );
    await lab.apply(`interfaces: { ${one('b', 'id: 7,')}, ${one('c')}, ${one('d')} }`);
    assert.equal(lab.tap('d').id, 0);
  });

  it('have a MAC address of ours that is locally administered', async () => {
    await lab.apply(tap(''));
    assert.match(lab.interface('tap0').mac, /^02:fe:/);
    await lab.apply(tap('', '', ', mac: "02:00:00:00:00:0a"'));
    assert.equal(lab.interface('tap0').mac, '02:00:00:00:00:0a');
  });

  it('are taken back whole where their frames can not be moved as asked for', async (t) => {
    if (vhostNetAvailable()) return t.skip('this machine has vhost-net');
    const before = readdirSync('/proc/self/fd').length;
    const failure = await lab.refuse(tap('', ', backend: vhost-net, queues: 2, persist: true'));
    assert.match(failure.code, /^vhost-net-(missing|denied)$/);
    assert.match(failure.message, /read-write/);
    assert.deepEqual(lab.network.taps(), []);
    // What earlier tests have ended may be closed meanwhile.
    await eventually('no descriptor is left', () => readdirSync('/proc/self/fd').length <= before);
    assert.ok(!red.shell('ip link').includes('eth0'));
  });

  it('never have the index of another', async () => {
    const seen = new Set<number>();
    for (let i = 0; i < 4; i++) {
      await lab.apply(tap(''));
      seen.add(lab.interface('tap0').index);
      await lab.apply('');
    }
    assert.equal(seen.size, 4);
  });

  // covers T11
  describe('change while they run', () => {
    it('their MTU, MAC addresses and mode, without being made anew', async () => {
      await lab.apply(tap('address: [10.0.0.2/24]'));
      const { ifindex } = link();
      const { index } = lab.interface('tap0');
      await lab.apply(
        tap(
          'address: [10.0.0.2/24], mac: "02:00:00:00:00:0b"',
          '',
          ', mtu: 1300, mac: "02:00:00:00:00:0c", promiscuous: true',
        ),
      );
      assert.deepEqual([link().ifindex, link().mtu, link().address], [ifindex, 1300, '02:00:00:00:00:0b']);
      const ours = lab.interface('tap0');
      assert.deepEqual([ours.index, ours.mtu, ours.mac, ours.promiscuous], [index, 1300, '02:00:00:00:00:0c', true]);
      await eventually('it is found under its new address', () => link().flags.includes('LOWER_UP'));
      await red.reach('10.0.0.1');
      assert.match(red.shell('ip neigh'), /02:00:00:00:00:0c/);
      await lab.apply(tap('address: [10.0.0.2/24]', '', ', promiscuous: false'));
      assert.deepEqual([link().ifindex, link().mtu, lab.interface('tap0').promiscuous], [ifindex, 1500, false]);
    });

    it('their admin state, which the other side sees as carrier', async () => {
      await lab.apply(tap('address: [10.0.0.2/24]', '', ', up: false'));
      assert.ok(!link().flags.includes('LOWER_UP'));
      assert.deepEqual([lab.interface('tap0').up, lab.interface('tap0').linkUp], [false, false]);
      await lab.apply(tap('address: [10.0.0.2/24]'));
      await eventually('there is carrier', () => link().flags.includes('LOWER_UP'));
      await red.reach('10.0.0.1');
      await lab.apply(tap('address: [10.0.0.2/24]', '', ', up: false'));
      await eventually('carrier is gone', () => !link().flags.includes('LOWER_UP'));
    });

    it('the addresses and the gateway inside', async () => {
      await lab.apply(tap('address: [10.0.0.2/24], gateway: [10.0.0.1]'));
      const { ifindex } = link();
      await lab.apply(tap('address: [10.0.0.3/24, 10.0.0.4/24], gateway: [10.0.0.1]'));
      const shown = red.shell('ip addr show eth0');
      assert.ok(!shown.includes('10.0.0.2/') && shown.includes('10.0.0.3/24') && shown.includes('10.0.0.4/24'));
      assert.match(red.shell('ip route'), /default via 10\.0\.0\.1/);
      assert.equal(link().ifindex, ifindex);
      await lab.apply(tap('address: [10.0.0.3/24]'));
      assert.ok(!red.shell('ip route').includes('default'));
    });

    // covers V8
    it('their offloads', { skip: lacking('ethtool') }, async () => {
      const offloads = (): string[] => lab.network.hardware()[0]!.offloads.slice();
      const features = (): string =>
        red
          .shell('ethtool -k eth0')
          .split('\n')
          .filter((line) => /^(tx-checksumming|tcp-segmentation-offload)/.test(line))
          .map((line) => line.replace(/ \[.*/, ''))
          .join(', ');
      await lab.apply(tap('', ', offload: none'));
      const { ifindex } = link();
      assert.deepEqual([offloads(), features()], [[], 'tx-checksumming: off, tcp-segmentation-offload: off']);
      await lab.apply(tap('', ', offload: csum'));
      assert.deepEqual([offloads(), features()], [['checksum'], 'tx-checksumming: on, tcp-segmentation-offload: off']);
      await lab.apply(tap('', ', offload: gso'));
      assert.deepEqual(offloads().slice(0, 2), ['checksum', 'tcp-segmentation']);
      assert.equal(features(), 'tx-checksumming: on, tcp-segmentation-offload: on');
      assert.equal(lab.tap('tap0').offload, 'gso');
      await lab.apply(tap('', ', offload: none'));
      assert.deepEqual([offloads(), link().ifindex], [[], ifindex]);
    });

    it('or stay as they were, when a change can not be made', async () => {
      await lab.apply(tap('address: [10.0.0.2/24]'));
      const failure = await lab.refuse(
        tap('address: [10.0.0.2/24], bridge: br9'.replace('address: [10.0.0.2/24], ', ''), '', ', mtu: 1300'),
      );
      assert.match(failure.message, /br9/);
      assert.deepEqual([link().mtu, lab.interface('tap0').mtu], [1500, 1500]);
      await red.reach('10.0.0.1');
    });
  });

  // covers V5
  it('have several queues, of which each is read', { skip: lacking('ethtool') }, async () => {
    await lab.apply(tap('address: [10.0.0.2/24]', ', queues: 4'));
    assert.deepEqual(
      lab.network.hardware()[0]!.queues.map(({ queue }) => queue),
      [0, 1, 2, 3],
    );
    const pings = await Promise.all(Array.from({ length: 12 }, () => red.ping('10.0.0.1')));
    assert.ok(pings.every(({ answered }) => answered));
    const refused = await Promise.all(
      Array.from({ length: 8 }, (_, i) => red.client('connect', '10.0.0.1', String(100 + i))),
    );
    for (const each of refused) assert.equal(each['outcome'], 'ECONNREFUSED');
  });

  describe('persist, or are attached to', () => {
    it('only where that is asked for they outlive the network that made them', async () => {
      await lab.apply(tap('', ', persist: true'));
      assert.equal(lab.tap('tap0').persist, true);
      await lab.apply('');
      assert.deepEqual(red.list('link show type tun'), [], 'what is taken out of the configuration goes');
    });

    it('one that was there stays, as it was', async () => {
      red.shell('ip tuntap add there0 mode tap; ip addr add 10.0.0.9/24 dev there0; ip link set there0 up');
      const { ifindex } = link('there0');
      await lab.apply(
        'interfaces: { tap0: { tap: { attach: true, host: { name: there0, namespace: red } }, address: [10.0.0.1/24] } }',
      );
      assert.equal(lab.tap('tap0').host.index, ifindex);
      await eventually('there is carrier', () => link('there0').flags.includes('LOWER_UP'));
      await red.reach('10.0.0.1');
      await lab.apply('');
      assert.equal(link('there0').ifindex, ifindex);
      red.shell('ip link del there0');
    });
  });

  it('follow a rename inside', async () => {
    await lab.apply(tap('address: [10.0.0.2/24]'));
    red.shell('ip link set eth0 down; ip link set eth0 name other0; ip link set other0 up');
    assert.equal(lab.tap('tap0').host.name, 'other0');
    await eventually('there is carrier', () => link('other0').flags.includes('LOWER_UP'));
    await red.reach('10.0.0.1');
  });

  describe('of IP packets alone (TUN)', () => {
    it('are routed like any other', async () => {
      await lab.apply(
        tap('address: [10.0.0.2/24, "fd00::2/64"]', ', mode: tun').replace(
          '10.0.0.1/24]',
          '10.0.0.1/24, "fd00::1/64"]',
        ),
      );
      assert.equal(lab.network.hardware()[0]?.device, 'tun');
      await red.reach('10.0.0.1');
      await red.reach('fd00::1');
    });
  });
});

async function container(t: TestContext): Promise<Program> {
  const program = new Program(['unshare', '--net', 'sh', '-c', 'ip link set lo up; echo up; exec sleep 300']);
  t.after(() => program.kill('SIGKILL'));
  await program.says(/up/);
  return program;
}
