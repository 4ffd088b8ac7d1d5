/** Namespaces in one Ethernet: learning bridges, and our own leg in them. Covers what `show bridge-domain` and `show l2fib` say of it. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { eventually } from '../support/netns/process.ts';
import { inLab, Namespace, onOwnMachine } from './lab.ts';

await onOwnMachine(import.meta.url);

interface Wish {
  readonly members?: readonly string[];
  readonly groups?: Readonly<Record<string, number>>;
  readonly bridge?: string;
  readonly more?: string;
}

/** Taps of the namespaces `one`, `two`, `three` in the bridge `lan`; `far` behind an interface of its own. */
function lan({
  members = ['one', 'two', 'three'],
  groups = {},
  bridge = 'ageing: 300s',
  more = '',
}: Wish = {}): string {
  const taps = members.map((name) => {
    const last = ['one', 'two', 'three'].indexOf(name) + 11;
    return `
  ${name}:
    tap: { host: { name: eth0, namespace: ${name}, mac: "02:00:00:00:00:${last}", address: [10.1.0.${last}/24, "fd00:1::${last}/64"], gateway: [10.1.0.1, "fd00:1::1"] } }
    bridge: lan
    splitHorizonGroup: ${groups[name] ?? 0}`;
  });
  return `
interfaces:${taps.join('')}
  far:
    tap: { host: { name: eth0, namespace: far, address: [10.2.0.2/24, "fd00:2::2/64"], gateway: [10.2.0.1, "fd00:2::1"] } }
    address: [10.2.0.1/24, "fd00:2::1/64"]
bridges: { lan: { ${bridge}, bvi: { address: [10.1.0.1/24, "fd00:1::1/64"], mac: "02:00:00:00:00:01" } } }
${more}
`;
}

describe('a bridge', () => {
  const lab = inLab();
  const namespaces: Record<string, Namespace> = {};
  const at = (name: string): Namespace => namespaces[name]!;
  before(async () => {
    for (const name of ['one', 'two', 'three', 'far']) namespaces[name] = new Namespace(name);
    await lab.apply(lan());
  });
  after(() => {
    for (const each of Object.values(namespaces)) each.delete();
  });

  const learnt = (): Record<string, string> =>
    Object.fromEntries(
      lab.network
        .stations('lan')
        .filter(({ kind }) => kind === 'learnt')
        .map(({ mac, interface: name }) => [mac, name]),
    );

  it('brings its members together', async () => {
    for (const address of ['10.1.0.12', '10.1.0.13', 'fd00:1::12', 'fd00:1::13']) await at('one').reach(address);
    await at('two').reach('10.1.0.13');
    assert.match((await at('one').ping('10.1.0.12')).text, /ttl=64/);
  });

  it('learns who is behind which member', () => {
    const { '02:00:00:00:00:11': one, '02:00:00:00:00:12': two, '02:00:00:00:00:13': three } = learnt();
    assert.deepEqual([one, two, three], ['one', 'two', 'three']);
    const own = lab.network.stations('lan').find(({ kind }) => kind === 'bvi');
    assert.deepEqual(own, { bridge: 'lan', mac: '02:00:00:00:00:01', interface: 'bvi.lan', kind: 'bvi' });
  });

  it('sends nobody else what is for a station that it knows', async () => {
    const before = lab.interface('three').counters.txPackets;
    await at('one').reach('10.1.0.12', { count: 30 });
    // The kernel's own multicasts are for everybody.
    const sent = lab.interface('three').counters.txPackets - before;
    assert.ok(sent < 15, `${sent} frames`);
  });

  it('sends everybody what is for nobody that it knows', async () => {
    at('one').shell('ip neigh replace 10.1.0.99 lladdr 02:00:00:00:00:99 dev eth0');
    const before = ['two', 'three'].map((name) => lab.interface(name).counters.txPackets);
    const { flooded } = lab.network.bridges()[0]!.counters as { flooded: number };
    const ping = at('one').start(['ping', '-c', '1', '10.1.0.99']);
    await eventually('it is flooded', () => lab.network.bridges()[0]!.counters['flooded']! > flooded);
    await eventually('both have it', () =>
      ['two', 'three'].every((name, i) => lab.interface(name).counters.txPackets > before[i]!),
    );
    ping.kill('SIGKILL');
  });

  it('has a leg of ours: reachable, and routed to other interfaces', async () => {
    for (const address of ['10.1.0.1', 'fd00:1::1', '10.2.0.2', 'fd00:2::2']) await at('one').reach(address);
    await at('far').reach('10.1.0.13');
    await at('far').reach('fd00:1::13');
    const { counters, kind, bridge } = lab.interface('bvi.lan');
    assert.deepEqual([kind, bridge], ['bvi', 'lan']);
    assert.ok(counters.rxPackets > 0 && counters.txPackets > 0, JSON.stringify(counters));
  });

  it('tells of itself', () => {
    const [view] = lab.network.bridges();
    assert.equal(view?.bvi, 'bvi.lan');
    assert.equal(view?.ageingSeconds, 300);
    assert.deepEqual(
      view?.members.map((each) => each.interface),
      ['one', 'two', 'three'],
    );
    assert.equal(view?.stations, Object.keys(learnt()).length);
  });

  it('forgets all stations when told to, and learns them again', async () => {
    lab.network.clear('l2fib');
    assert.deepEqual(learnt(), {});
    await at('one').reach('10.1.0.12');
    assert.equal(learnt()['02:00:00:00:00:12'], 'two');
  });

  it('notices a station that moves', async () => {
    const { moved } = lab.network.bridges()[0]!.counters as { moved: number };
    for (const name of ['one', 'two']) at(name).shell('ip link set eth0 down; ip neigh flush all');
    at('two').shell(
      'ip link set eth0 address 02:00:00:00:00:11; ip link set eth0 up; ip route replace default via 10.1.0.1',
    );
    await at('two').reach('10.1.0.13');
    assert.equal(learnt()['02:00:00:00:00:11'], 'two');
    assert.ok(lab.network.bridges()[0]!.counters['moved']! > moved);
    at('two').shell('ip link set eth0 address 02:00:00:00:00:12');
    at('one').shell('ip link set eth0 up; ip route replace default via 10.1.0.1');
    await at('one').reach('10.1.0.12');
  });

  it('keeps members of one split-horizon group apart', async () => {
    await lab.apply(lan({ groups: { one: 1, two: 1 } }));
    for (const name of ['one', 'two', 'three']) at(name).shell('ip neigh flush all');
    await at('one').reach('10.1.0.13');
    await at('three').reach('10.1.0.12');
    await at('two').reach('10.1.0.1');
    // It need not ask where the other is: its frames go there, and no further than to us.
    at('one').shell('ip neigh replace 10.1.0.12 lladdr 02:00:00:00:00:12 dev eth0');
    const before = lab.dropped('bridge-split-horizon');
    const ping = at('one').start(['ping', '-c', '1', '10.1.0.12']);
    await eventually('it is dropped', () => lab.dropped('bridge-split-horizon') > before);
    ping.kill('SIGKILL');
    await ping.ended;
    await lab.apply(lan());
    await at('one').reach('10.1.0.12');
  });

  it('forgets a station that was silent for the time of ageing', async () => {
    // It speaks once, and never again.
    at('two').shell('ip link set eth0 address 02:00:00:00:00:55');
    await at('two').reach('10.1.0.13');
    assert.equal(learnt()['02:00:00:00:00:55'], 'two');
    at('two').shell('ip link set eth0 address 02:00:00:00:00:12');
    await lab.apply(lan({ bridge: 'ageing: 1s' }));
    await eventually('it is forgotten', () => learnt()['02:00:00:00:00:55'] === undefined);
    await at('two').reach('10.1.0.13');
    await lab.apply(lan());
  });

  it('does not learn, and does not flood, where it is not to', async () => {
    await lab.apply(lan({ bridge: 'learn: false' }));
    lab.network.clear('l2fib');
    await at('one').reach('10.1.0.12');
    assert.deepEqual(learnt(), {});
    await lab.apply(lan());
  });

  it('lets a member go, and what was learnt of it', async () => {
    await at('one').reach('10.1.0.13');
    await lab.apply(lan({ members: ['one', 'two'] }));
    assert.ok(!Object.values(learnt()).includes('three'));
    assert.deepEqual(at('three').list('link show type tun'), []);
    await at('one').reach('10.1.0.12');
    await lab.apply(lan());
    await at('one').reach('10.1.0.13');
  });

  it('can be left by all that it has', async () => {
    await lab.apply('');
    assert.deepEqual(lab.network.bridges(), []);
    assert.deepEqual(lab.network.stations(), []);
    assert.deepEqual(lab.network.interfaces(), []);
    for (const each of Object.values(namespaces)) assert.deepEqual(each.list('link show type tun'), []);
  });
});
