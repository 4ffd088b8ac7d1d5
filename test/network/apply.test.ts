/** Configurations that are applied: all or nothing, one at a time, and what did not change goes on. What is left is asked of the kernel. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { parseConfig } from '#tapster/config/parse-config.js';
import { eventually } from '../support/netns/process.ts';
import { configOf, inLab, ip, Lab, Namespace, onOwnMachine } from './lab.ts';

await onOwnMachine(import.meta.url);

const RED =
  'tap0: { tap: { host: { name: eth0, namespace: red, address: [10.0.0.2/24], gateway: [10.0.0.1] } }, address: [10.0.0.1/24] }';
const BLUE =
  'tap1: { tap: { host: { name: eth0, namespace: blue, address: [10.1.0.2/24], gateway: [10.1.0.1] } }, address: [10.1.0.1/24] }';
const GREEN =
  'tap2: { tap: { host: { name: eth0, namespace: green, address: [10.2.0.2/24] } }, address: [10.2.0.1/24] }';

function network(interfaces: readonly string[], more = ''): string {
  return `interfaces:\n${interfaces.map((each) => `  ${each}\n`).join('')}${more}`;
}

/** Everything that the kernel has in namespaces and on the machine: a configuration leaves its traces there. */
function kernel(namespaces: readonly Namespace[]): string {
  return (
    namespaces
      .flatMap((each) =>
        ['link show', 'addr show', 'route show', '-6 route show'].map((what) => each.shell(`ip ${what}`)),
      )
      .concat(ip('link', 'show'))
      // Numbers of links are not used again, and of carrier the kernel hears in its own time.
      .map((text) =>
        text
          .replaceAll(/^\d+:|,LOWER_UP|NO-CARRIER,| linkdown| state \w+/gm, '')
          .replaceAll(/ (valid_lft|expires) \S+ .*/g, ''),
      )
      .join('\n')
  );
}

describe('applying a configuration', () => {
  const lab = inLab();
  const namespaces: Namespace[] = [];
  let red: Namespace;
  let blue: Namespace;
  let green: Namespace;
  before(() => {
    for (const name of ['red', 'blue', 'green']) namespaces.push(new Namespace(name));
    [red, blue, green] = namespaces as [Namespace, Namespace, Namespace];
  });
  after(() => {
    for (const each of namespaces) each.delete();
  });
  beforeEach(() => lab.apply(''));

  it('only says what it would do, where it is only asked', async () => {
    const before = kernel(namespaces);
    const { revision } = lab.network.engine();
    const view = await lab.apply(network([RED]), { dryRun: true });
    assert.deepEqual([view.dryRun, view.revision], [true, revision]);
    assert.deepEqual(
      view.actions.map(({ action, part }) => `${action} ${part}`),
      [
        'add interface tap0',
        'add host-address tap0 10.0.0.2/24',
        'add host-gateway tap0 10.0.0.1',
        'add address tap0 10.0.0.1/24',
        'add up tap0',
      ],
    );
    assert.equal(kernel(namespaces), before);
    assert.deepEqual(lab.network.interfaces(), []);
  });

  it('does only what is different', async () => {
    const first = await lab.apply(network([RED, BLUE]));
    const again = await lab.apply(network([RED, BLUE]));
    assert.deepEqual(again, { revision: first.revision, dryRun: false, actions: [] });
    const more = await lab.apply(network([RED, BLUE], 'routes: [ { to: 10.9.0.0/16, via: 10.1.0.2 } ]'));
    assert.deepEqual(more.revision, first.revision + 1);
    assert.deepEqual(
      more.actions.map(({ part }) => part),
      ['route 10.9.0.0/16'],
    );
    const event = await lab.heard('configuration-applied', ({ data }) => data?.['revision'] === more.revision);
    assert.match(event.message, /1 change$/);
  });

  it('leaves streams and counters of what did not change', async () => {
    await lab.apply(network([RED, BLUE]));
    const server = await blue.serve();
    const talk = await red.talk('10.1.0.2');
    await talk.say('before');
    const { index, counters } = lab.interface('tap0');
    await lab.apply(network([RED, BLUE, GREEN]));
    await talk.say('between');
    await green.reach('10.2.0.1');
    await lab.apply(network([RED, BLUE]));
    await talk.say('after');
    const now = lab.interface('tap0');
    assert.equal(now.index, index);
    assert.ok(now.counters.rxPackets > counters.rxPackets);
    await talk.end();
    server.kill('SIGKILL');
    await server.ended;
  });

  // covers T2, V3
  describe('when one step fails', () => {
    const cases: [
      name: string,
      prepare: () => void,
      restore: () => void,
      text: string,
      code: RegExp,
      message: RegExp,
    ][] = [
      [
        'a name that is taken inside',
        () => green.shell('ip link add eth0 type dummy 2>/dev/null || ip link add eth0 type veth peer name other'),
        () => green.shell('ip link del eth0'),
        network([RED, BLUE, GREEN]),
        /rename-failed/,
        /^\+ interface tap2.*eth0.*EEXIST.*everything is as it was/s,
      ],
      [
        'a namespace that is not there',
        () => {},
        () => {},
        network([RED, BLUE, GREEN.replace('green', 'grey')]),
        /namespace/,
        /^\+ interface tap2.*grey.*everything is as it was/s,
      ],
      [
        'IPv6 switched off inside',
        () => green.shell('echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6'),
        () => green.shell('echo 0 > /proc/sys/net/ipv6/conf/default/disable_ipv6'),
        network([RED, BLUE, GREEN.replace('10.2.0.2/24', '10.2.0.2/24, "fd00:c::2/64"')]),
        /netlink-e/,
        /^\+ host-address tap2 fd00:c::2\/64.*IPv6.*everything is as it was/s,
      ],
      [
        'a default route that is there inside',
        () => green.shell('ip tuntap add mine0 mode tap; ip link set mine0 up; ip route add default dev mine0'),
        () => green.shell('ip link del mine0'),
        network([RED, BLUE, GREEN.replace('[10.2.0.2/24]', '[10.2.0.2/24], gateway: [10.2.0.1]')]),
        /netlink-eexist/,
        /^\+ host-gateway tap2 10\.2\.0\.1.*everything is as it was/s,
      ],
      [
        'an attached tap that is not there',
        () => {},
        () => {},
        network([RED, BLUE, 'tap2: { tap: { attach: true, host: { name: none0, namespace: green } } }']),
        /attach/,
        /^\+ interface tap2.*none0.*everything is as it was/s,
      ],
      [
        'a bridge of the kernel that is not there',
        () => {},
        () => {},
        network([RED, BLUE, 'tap2: { tap: { host: { name: eth0, namespace: green, bridge: br9 } } }']),
        /failed/,
        /^\+ interface tap2.*br9.*everything is as it was/s,
      ],
    ];
    for (const [name, prepare, restore, text, code, message] of cases) {
      it(`undoes all before it: ${name}`, async () => {
        prepare();
        const before = kernel(namespaces);
        const { revision } = lab.network.engine();
        const failure = await lab.refuse(text);
        assert.match(failure.code, code);
        assert.match(failure.message, message);
        assert.equal(kernel(namespaces), before);
        assert.deepEqual(lab.network.interfaces(), []);
        assert.equal(lab.network.engine().revision, revision);
        assert.deepEqual(lab.network.engine().unmet, []);
        restore();
      });
    }

    it('brings back what had gone, with all that was on it', async () => {
      await lab.apply(network([RED, BLUE], 'routes: [ { to: 10.9.0.0/16, via: 10.1.0.2 } ]'));
      blue.shell('ip addr add 10.9.0.1/32 dev lo');
      await red.reach('10.9.0.1');
      const before = kernel(namespaces);
      const changed = BLUE.replace('eth0', 'eth1');
      const failure = await lab.refuse(
        network([RED.replace('10.0.0.2/24', '10.0.0.3/24'), changed, GREEN.replace('green', 'grey')]),
      );
      assert.match(failure.message, /grey/);
      // MAC addresses that nobody gave are drawn anew.
      const plain = (text: string): string =>
        text.replaceAll(/(link\/ether|inet6) \S+/g, '').replaceAll(/fe80\S+/g, '');
      // Addresses of links come with their carrier, of which the kernel hears in its own time.
      const isAsBefore = (): boolean => plain(kernel(namespaces)) === plain(before);
      await eventually('all is as it was', isAsBefore).catch(() =>
        assert.equal(plain(kernel(namespaces)), plain(before)),
      );
      assert.deepEqual(lab.network.engine().unmet, []);
      await red.reach('10.9.0.1');
    });
  });

  it('refuses what was made from an older revision', async () => {
    const { revision } = await lab.apply(network([RED]));
    const failure = await lab.refuse(network([RED, BLUE]), { ifRevision: revision - 1 });
    assert.equal(failure.code, 'revision-conflict');
    assert.match(failure.message, new RegExp(`at revision ${revision}, not ${revision - 1}`));
    await lab.apply(network([RED, BLUE]), { ifRevision: revision });
  });

  it('does two at once one after the other', async () => {
    const { revision } = lab.network.engine();
    const both = await Promise.all([
      lab.network.apply(configOf(network([RED]))),
      lab.network.apply(configOf(network([BLUE]))),
    ]);
    assert.deepEqual(
      both.map((each) => each.ok && each.value.revision),
      [revision + 1, revision + 2],
    );
    assert.deepEqual(
      lab.network.interfaces().map(({ name }) => name),
      ['tap1'],
    );
    assert.deepEqual(red.list('link show type tun'), []);
    const conflict = await Promise.all([
      lab.network.apply(configOf(network([RED])), { ifRevision: revision + 2 }),
      lab.network.apply(configOf(network([GREEN])), { ifRevision: revision + 2 }),
    ]);
    assert.deepEqual(
      conflict.map(({ ok }) => ok),
      [true, false],
    );
  });

  // covers T13
  it('makes no taps where they are disabled', async () => {
    const parsed = parseConfig(network([RED], 'defaults: { taps: disabled }'));
    assert.ok(!parsed.ok);
    assert.deepEqual(
      parsed.problems.map(({ code }) => code),
      ['taps-disabled'],
    );
  });

  // covers V13
  it('gives taps the default MTU, save where they have one of their own', async () => {
    const own = BLUE.replace('name: eth0', 'name: eth0, mtu: 1300');
    await lab.apply(network([RED, own], 'defaults: { hostMtu: 1400 }'));
    const mtu = (each: Namespace): number | undefined => each.list<{ mtu: number }>('link show eth0')[0]?.mtu;
    assert.deepEqual([mtu(red), mtu(blue)], [1400, 1300]);
    await lab.apply(network([RED, own]));
    assert.deepEqual([mtu(red), mtu(blue)], [1500, 1300]);
  });

  it('takes back what others have changed meanwhile', async () => {
    await lab.apply(network([RED, BLUE]));
    red.shell('ip addr flush dev eth0; ip link set eth0 down');
    blue.shell('ip link set eth0 down; ip link set eth0 name renamed0');
    await lab.apply('');
    assert.deepEqual(red.list('link show type tun'), []);
    assert.deepEqual(blue.list('link show type tun'), []);
  });

  it('closes everything that it made', async (t) => {
    const other = new Lab();
    await other.up();
    t.after(() => other.network.close());
    await other.apply(network([GREEN], 'uplink: { translate: host }\nroutes: [ { to: 0.0.0.0/0, via: uplink } ]'));
    assert.equal(green.list('link show type tun').length, 1);
    await other.network.close();
    await eventually('its taps are gone', () => green.list('link show type tun').length === 0);
    const applied = await other.network.apply(configOf(''));
    assert.equal(applied.ok ? '' : applied.failure.code, 'engine-closed');
  });
});
