/** Who is on the link: asked for, given, not there; and routes over several of them. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { eventually, inOneOf } from '../support/netns/process.ts';
import { inLab, Namespace, onOwnMachine, type Talk } from './lab.ts';

await onOwnMachine(import.meta.url);

/** That all of them go one of two ways happens once in 2^40 times. */
const FLOWS_MAX = 40;
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
    const [four, six] = await Promise.all([red.ping('10.1.0.77'), red.ping('fd00:b::77')]);
    assert.match(four.text, /From 10\.0\.0\.1.*Destination Host Unreachable/);
    assert.match(six.text, /From fd00:a::1.*Address unreachable/);
  });

  it('that do not answer have a bounded number of packets wait for them', async () => {
    const before = lab.interface('tap0').counters.rxPackets;
    const ping = red.start(['ping', '-n', '-i', '0.005', '10.1.0.78']);
    let most = 0;
    await eventually('packets wait, and many were sent', () => {
      most = Math.max(most, neighbour('10.1.0.78')?.waiting ?? 0);
      return most > 0 && lab.interface('tap0').counters.rxPackets > before + 100;
    });
    assert.ok(most <= 16, `${most} wait`);
    ping.kill('SIGKILL');
    await ping.ended;
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
      // By which way a flow goes is a hash of its ports, that nobody chooses: half of them, the one or the other.
      const talks: Talk[] = [];
      do {
        assert.ok(talks.length < FLOWS_MAX, `${talks.length} flows, and all by one way: ${shares(family, to)}`);
        talks.push(await red.talk(address));
        await talks.at(-1)!.say('hello');
      } while (shares(family, to).some((packets) => packets === 0));
      const [first, ...others] = talks;
      await Promise.all(others.map((talk) => talk.end()));
      // One flow has one way; what others have left to say at their end may come in between.
      await inOneOf(5, async () => {
        const before = shares(family, to);
        for (let word = 0; word < 10; word++) await first!.say(`word${word}`);
        const grown = shares(family, to).map((packets, way) => packets - before[way]!);
        return grown.filter((packets) => packets > 0).length === 1 ? undefined : `${grown} packets`;
      });
      await first!.end();
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
