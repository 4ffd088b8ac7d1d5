/** VLAN sub-interfaces against VLAN devices of the kernel's, where it has them: routed, bridged, and beside untagged frames; and against each other, across a bridge of the kernel's. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { patternHash } from '../support/netns/pattern.ts';
import { eventually } from '../support/netns/process.ts';
import { lacking } from '../support/netns/programs.ts';
import { inLab, Namespace, onOwnMachine } from './lab.ts';

await onOwnMachine(import.meta.url);

const STREAM_BYTES = 1_000_000;

const vlans = (offload = 'none', up = true): string => `
interfaces:
  trunk:
    tap: { host: { name: eth0, namespace: red, address: [10.0.0.2/24] }, offload: ${offload} }
    address: [10.0.0.1/24]
    up: ${up}
    vlans:
      "100": { address: [10.100.0.1/24, "fd00:100::1/64"] }
      "200": { bridge: lan }
  blue:
    tap: { host: { name: eth0, namespace: blue, address: [10.1.0.2/24, "fd00:1::2/64"], gateway: [10.1.0.1, "fd00:1::1"] }, offload: ${offload} }
    address: [10.1.0.1/24, "fd00:1::1/64"]
  green:
    tap: { host: { name: eth0, namespace: green, address: [10.200.0.3/24] }, offload: ${offload} }
    bridge: lan
bridges: { lan: { bvi: { address: [10.200.0.1/24] } } }
`;

// covers T8
describe('VLAN sub-interfaces', { skip: whyNoVlans() }, () => {
  const lab = inLab();
  let red: Namespace;
  let blue: Namespace;
  let green: Namespace;
  before(async () => {
    [red, blue, green] = ['red', 'blue', 'green'].map((name) => new Namespace(name)) as [
      Namespace,
      Namespace,
      Namespace,
    ];
    await lab.apply(vlans());
    red.shell(`
      for each in 100 200 300; do ip link add link eth0 name v$each type vlan id $each; ip link set v$each up; done
      ip addr add 10.100.0.2/24 dev v100; ip addr add fd00:100::2/64 dev v100
      ip addr add 10.200.0.2/24 dev v200; ip addr add 10.30.0.2/24 dev v300
      ip route add 10.1.0.0/24 via 10.100.0.1; ip route add fd00:1::/64 via fd00:100::1`);
    await blue.serve();
    await green.serve();
  });
  after(() => {
    for (const each of [red, blue, green]) each.delete();
  });

  it('are interfaces of their own', () => {
    const { kind, vlan, parent, index, mtu } = lab.interface('trunk.100');
    assert.deepEqual([kind, vlan, parent, mtu], ['vlan', 100, 'trunk', 1500]);
    assert.notEqual(index, lab.interface('trunk').index);
    assert.equal(lab.interface('trunk.200').bridge, 'lan');
  });

  it('are reached and routed, beside what has no tag', async () => {
    for (const address of ['10.0.0.1', '10.100.0.1', 'fd00:100::1', '10.1.0.2', 'fd00:1::2']) await red.reach(address);
    const { rxPackets, txPackets } = lab.interface('trunk.100').counters;
    assert.ok(rxPackets > 0 && txPackets > 0);
  });

  it('are members of bridges', async () => {
    await red.reach('10.200.0.3');
    await red.reach('10.200.0.1');
    const { mac } = lab.network.stations('lan').find((each) => each.interface === 'trunk.200') ?? {};
    assert.equal(mac, red.list<{ address: string }>('link show v200')[0]?.address);
  });

  it('take no frames of other VLANs', async () => {
    const before = lab.dropped('vlan-unknown');
    const ping = red.start(['ping', '-c', '1', '10.30.0.1']);
    await eventually('it is counted', () => lab.dropped('vlan-unknown') > before);
    ping.kill('SIGKILL');
  });

  for (const offload of ['none', 'csum', 'gso']) {
    it(`carry streams whole, with offload ${offload}`, async () => {
      await lab.apply(vlans(offload));
      for (const address of ['10.1.0.2', 'fd00:1::2', '10.200.0.3']) {
        const { bytes, sha256 } = await red.client('send', address, '9', String(STREAM_BYTES), '{}');
        assert.deepEqual({ bytes, sha256 }, { bytes: STREAM_BYTES, sha256: patternHash(STREAM_BYTES) });
      }
    });
  }

  it('carry nothing while their parent is down', async () => {
    await lab.apply(vlans('none', false));
    assert.deepEqual([lab.interface('trunk.100').up, lab.interface('trunk.100').linkUp], [true, false]);
    await lab.apply(vlans());
    await eventually('there is carrier', () => red.shell('ip link show eth0').includes('LOWER_UP'));
    await red.reach('10.100.0.1');
  });

  it('go alone, and with their parent', async () => {
    await lab.apply(vlans().replace(/ +"100".*\n/, ''));
    assert.ok(!lab.network.interfaces().some(({ name }) => name === 'trunk.100'));
    await red.reach('10.200.0.3');
    red.shell('ip link del eth0');
    const { data } = await lab.heard('interface-lost');
    const lost = data?.['lost'] as readonly string[];
    assert.deepEqual(lost.slice(0, 2), ['interface trunk', 'interface trunk.200']);
  });
});

describe('two networks with a trunk between them', () => {
  const near = inLab();
  const far = inLab();
  let red: Namespace;
  let between: Namespace;
  let blue: Namespace;
  const side = (name: string, net: number, other: number, offload: string): string => `
interfaces:
  trunk:
    tap: { host: { name: ${name}0, namespace: between, bridge: br0 }, offload: ${offload} }
    vlans:
      "100": { address: [10.100.0.${net}/24, "fd00:100::${net}/64"] }
      "200": { bridge: lan }
  ${name}:
    tap: { host: { name: eth0, namespace: ${name}, address: [10.${net}.0.2/24, "fd00:${net}::2/64"], gateway: [10.${net}.0.1, "fd00:${net}::1"] }, offload: ${offload} }
    address: [10.${net}.0.1/24, "fd00:${net}::1/64"]
  ${name}-lan:
    tap: { host: { name: eth1, namespace: ${name}, address: [10.200.0.${net}/24] } }
    bridge: lan
bridges: { lan: {} }
routes: [ { to: 10.${other}.0.0/24, via: 10.100.0.${other} }, { to: "fd00:${other}::/64", via: "fd00:100::${other}" } ]
`;
  before(async () => {
    [red, between, blue] = ['red', 'between', 'blue'].map((name) => new Namespace(name)) as [
      Namespace,
      Namespace,
      Namespace,
    ];
    between.shell('ip link add br0 type bridge; ip link set br0 up');
    await near.apply(side('red', 1, 2, 'none'));
    await far.apply(side('blue', 2, 1, 'gso'));
    await eventually(
      'the bridge forwards',
      () => between.shell('bridge link').match(/state forwarding/g)?.length === 2,
    );
    await blue.serve();
  });
  after(() => {
    for (const each of [red, between, blue]) each.delete();
  });

  it('routes over one VLAN, and bridges over another', async () => {
    await red.reach('10.2.0.2');
    await red.reach('fd00:2::2');
    await red.reach('10.200.0.2');
    assert.match((await red.ping('10.2.0.2')).text, /ttl=62/);
    assert.match((await red.ping('10.200.0.2')).text, /ttl=64/);
    const { kind, vlan, parent, index, counters } = near.interface('trunk.100');
    assert.deepEqual([kind, vlan, parent], ['vlan', 100, 'trunk']);
    assert.notEqual(index, near.interface('trunk').index);
    assert.ok(counters.rxPackets > 0 && counters.txPackets > 0);
  });

  it('tags what it sends', { skip: lacking('tcpdump') }, async () => {
    const dump = between.start(['tcpdump', '-lnei', 'red0', '-c', '2', 'vlan', '100', 'and', 'icmp']);
    await dump.says(/listening/);
    await red.reach('10.2.0.2');
    const { stdout } = await dump.ended;
    assert.match(stdout, /vlan 100, .*10\.1\.0\.2 > 10\.2\.0\.2: ICMP echo request/);
  });

  it('carries streams whole, with and without offloads', async () => {
    for (const address of ['10.2.0.2', 'fd00:2::2', '10.200.0.2']) {
      const { bytes, sha256 } = await red.client('send', address, '9', String(STREAM_BYTES), '{}');
      assert.deepEqual({ bytes, sha256 }, { bytes: STREAM_BYTES, sha256: patternHash(STREAM_BYTES) });
    }
  });

  it('takes no frames of VLANs that it does not have', async () => {
    const before = far.dropped('vlan-unknown');
    await near.apply(side('red', 1, 2, 'none').replace('"200"', '"201"'));
    const ping = red.start(['ping', '-c', '1', '10.200.0.2']);
    await eventually('it is counted', () => far.dropped('vlan-unknown') > before);
    ping.kill('SIGKILL');
    await near.apply(side('red', 1, 2, 'none'));
    await red.reach('10.200.0.2');
  });

  it('carries nothing on sub-interfaces while their parent is down', async () => {
    const text = side('red', 1, 2, 'none');
    await near.apply(text.replace('    vlans:', '    up: false\n    vlans:'));
    assert.deepEqual([near.interface('trunk.100').up, near.interface('trunk.100').linkUp], [true, false]);
    await near.apply(text);
    await eventually(
      'the bridge forwards',
      () => between.shell('bridge link').match(/state forwarding/g)?.length === 2,
    );
    await red.reach('10.2.0.2');
  });

  it('loses sub-interfaces with their parent', async () => {
    between.shell('ip link del red0');
    const { data } = await near.heard('interface-lost');
    const lost = data?.['lost'] as readonly string[];
    assert.deepEqual(lost.slice(0, 3), ['interface trunk', 'interface trunk.100', 'interface trunk.200']);
    await red.reach('10.1.0.1');
    await eventually('it is there again', () => near.network.engine().unmet.length === 0);
  });
});

/** The value of a suite's `skip`. */
function whyNoVlans(): string | false {
  const namespace = new Namespace('probe');
  try {
    namespace.shell('ip tuntap add probe0 mode tap && ip link add link probe0 type vlan id 1');
    return false;
  } catch {
    return 'this kernel has no VLAN devices (8021q)';
  } finally {
    namespace.delete();
  }
}
