/** Who is on the link: asked for, given, not there; and routes over several of them. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { eventually } from '../support/netns/process.ts';
import { inLab, Namespace, onOwnMachine } from './lab.ts';

await onOwnMachine(import.meta.url);

const MAC = '02:00:00:00:00:02';

function pair(more = ''): string {
  return `
interfaces:
  tap0:
    tap: { host: { name: eth0, namespace: red, address: [10.0.0.2/24, "fd00:a::2/64"], gateway: [10.0.0.1, "fd00:a::1"] } }
    address: [10.0.0.1/24, "fd00:a::1/64"]
  tap1:
    tap: { host: { name: eth0, namespace: blue, mac: "${MAC}", address: [10.1.0.2/24, 10.1.0.3/24, "fd00:b::2/64"], gateway: [10.1.0.1, "fd00:b::1"] } }
    address: [10.1.0.1/24, "fd00:b::1/64"]
${more}`;
}

describe('neighbours', () => {
  const lab = inLab();
  let red: Namespace;
  let blue: Namespace;
  before(async () => {
    red = new Namespace('red');
    blue = new Namespace('blue');
    await lab.apply(pair());
  });
  after(() => {
    red.delete();
    blue.delete();
  });

  const neighbour = (address: string) =>
    lab.network.neighbours({ interface: 'tap1' }).find((each) => each.address === address);

  it('are found when they are needed', async () => {
    await red.reach('10.1.0.2');
    await red.reach('fd00:b::2');
    for (const address of ['10.1.0.2', 'fd00:b::2']) assert.equal(neighbour(address)?.mac, MAC);
  });

  it('of an interface that there is not are none', () => {
    assert.deepEqual(lab.network.neighbours({ interface: 'tap9' }), []);
    assert.deepEqual(lab.network.flows({ interface: 'tap9' }), []);
    assert.deepEqual(lab.network.stations('none'), []);
  });

  it('that do not answer make their packets unreachable', async () => {
    const [four, six] = await Promise.all([
      red.ping('10.1.0.77', { waitSeconds: 8 }),
      red.ping('fd00:b::77', { waitSeconds: 8 }),
    ]);
    assert.match(four.text, /From 10\.0\.0\.1.*Destination Host Unreachable/);
    assert.match(six.text, /From fd00:a::1.*Address unreachable/);
  });

  it('that do not answer have a bounded number of packets wait for them', async () => {
    const ping = red.start(['ping', '-n', '-i', '0.005', '-c', '100', '-W', '1', '10.1.0.78']);
    await eventually('packets wait', () => (neighbour('10.1.0.78')?.waiting ?? 0) > 0);
    let most = 0;
    await eventually('all are sent', () => {
      most = Math.max(most, neighbour('10.1.0.78')?.waiting ?? 0);
      return lab.interface('tap0').counters.rxPackets > 100;
    });
    assert.ok(most <= 16, `${most} wait`);
    ping.kill('SIGKILL');
  });

  it('can be given, and are never asked for then', async () => {
    blue.shell('sysctl -qw net.ipv4.conf.eth0.arp_ignore=8');
    await lab.apply(pair(`neighbours: [ { interface: tap1, address: 10.1.0.3, mac: "${MAC}" } ]`));
    assert.deepEqual(neighbour('10.1.0.3'), {
      ...{ interface: 'tap1', address: '10.1.0.3', mac: MAC, state: 'static', waiting: 0 },
    });
    await red.reach('10.1.0.3');
    lab.network.clear('neighbours');
    assert.equal(neighbour('10.1.0.3')?.state, 'static');
    await lab.apply(pair());
    assert.equal(neighbour('10.1.0.3'), undefined);
    blue.shell('sysctl -qw net.ipv4.conf.eth0.arp_ignore=0');
    await red.reach('10.1.0.3');
  });

  it('that have another MAC address are heard of', async () => {
    blue.shell(
      'ip link set eth0 address 02:00:00:00:00:07; sysctl -qw net.ipv4.conf.eth0.arp_notify=1; ip link set eth0 down; ip link set eth0 up',
    );
    blue.shell('ip route replace default via 10.1.0.1');
    await blue.reach('10.1.0.1');
    await eventually('it is known', () => neighbour('10.1.0.2')?.mac === '02:00:00:00:00:07');
    await red.reach('10.1.0.2');
  });
});

describe('a route over several next hops', () => {
  const lab = inLab();
  let red: Namespace;
  let blue: Namespace;
  const ways = (weights = [1, 1], last = ''): string =>
    `${pair()}  tap2:
    tap: { host: { name: eth1, namespace: blue, address: [10.2.0.2/24, "fd00:c::2/64"] } }
    address: [10.2.0.1/24, "fd00:c::1/64"]
routes:
  - { to: 10.9.0.0/16, via: [ { via: 10.1.0.2, weight: ${weights[0]} }, { via: 10.2.0.2, weight: ${weights[1]} } ] }
  - { to: "fd09::/16", via: ["fd00:b::2", "fd00:c::2"] }
${last}`;
  before(async () => {
    red = new Namespace('red');
    blue = new Namespace('blue');
    blue.shell(
      'echo 0 > /proc/sys/net/ipv4/conf/all/rp_filter; echo 0 > /proc/sys/net/ipv4/conf/default/rp_filter; ip addr add 10.9.0.1/32 dev lo; ip addr add fd09::1/128 dev lo',
    );
    await lab.apply(ways());
    await blue.serve();
  });
  after(() => {
    red.delete();
    blue.delete();
  });

  const shares = (family: 'ipv4' | 'ipv6', to: string): number[] => {
    const listed = lab.network.routes(family);
    assert.ok(listed.ok);
    return listed.value.find((each) => each.to === to)!.via.map(({ packets }) => packets);
  };

  it('shares flows between them, and keeps each on its way', async () => {
    for (const [address, family, to] of [
      ['10.9.0.1', 'ipv4', '10.9.0.0/16'],
      ['fd09::1', 'ipv6', 'fd09::/16'],
    ] as const) {
      await red.reach(address);
      const talks = await Promise.all(Array.from({ length: 8 }, () => red.talk(address)));
      await Promise.all(talks.map((talk) => talk.say('hello')));
      const [one = 0, other = 0] = shares(family, to);
      assert.ok(one > 0 && other > 0, `${one} and ${other} packets`);
      // One flow has one way.
      const before = shares(family, to);
      await talks[0]!.say('again');
      const grown = shares(family, to).filter((packets, way) => packets > before[way]!);
      assert.equal(grown.length, 1);
      await Promise.all(talks.map((talk) => talk.end()));
    }
  });

  it('keeps streams alive while its weights change', async () => {
    const talk = await red.talk('10.9.0.1');
    await lab.apply(ways([1, 3]));
    await talk.say('more');
    const listed = lab.network.routes('ipv4', { within: '10.9.0.1' });
    assert.ok(listed.ok);
    const route = listed.value.find(({ to }) => to === '10.9.0.0/16');
    assert.deepEqual(
      route?.via.map(({ address, weight }) => [address, weight]),
      [
        ['10.1.0.2', 1],
        ['10.2.0.2', 3],
      ],
    );
    await talk.end();
  });

  it('gives way to a longer one, and comes back', async () => {
    await lab.apply(ways([1, 1], '  - { to: 10.9.0.1/32, via: drop }'));
    const before = lab.dropped('route-drops');
    const ping = red.start(['ping', '-c', '1', '10.9.0.1']);
    await eventually('it is dropped', () => lab.dropped('route-drops') > before);
    ping.kill('SIGKILL');
    await lab.apply(ways());
    await red.reach('10.9.0.1');
  });
});
