import assert from 'node:assert/strict';
import { closeSync, readSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  formatIpPrefix,
  type IpAddress,
  type IpPrefix,
  type MacAddress,
  parseIpAddress,
  parseIpPrefix,
  parseMacAddress,
} from '../base/address.ts';
import { ERRNO } from './errno.ts';
import { closeHostTap, type HostTap, openHostTap, removeHostTap, setTapCarrier, setTapOffloads } from './host-tap.ts';
import { configureHostTap, type HostTapNetwork } from './host-tap-network.ts';
import { openInside, openNetworkNamespace } from './namespace-path.ts';
import { loadNative } from './native.ts';
import { listAddresses } from './netlink/address.ts';
import { deleteLink, findLink, listLinks } from './netlink/link.ts';
import { LITTLE_ENDIAN } from './netlink/message.ts';
import { listRoutes } from './netlink/route.ts';
import { Netlink, type NetlinkCalls } from './netlink/socket.ts';
import { failed, inOwnNamespace, ip, openDescriptors, startContainer, unwrap } from './own-namespace-fixture.test.ts';

/** How long the kernel may take to take a namespace down. */
const NAMESPACE_END_TIMEOUT_MS = 60_000;

/** RTM_SETLINK, RTM_NEWADDR, RTM_DELADDR, RTM_NEWROUTE, RTM_DELROUTE. */
const CHANGES: readonly number[] = [19, 20, 21, 24, 25];

inOwnNamespace(import.meta.url, "the host's side of taps", () => {
  test('name, MAC, MTU, addresses and gateways of both families are set', () => {
    const before = openDescriptors();
    const tap = configured(unwrap(openHostTap({})), {
      name: 'lan0',
      mac: mac('02:00:00:00:00:42'),
      mtu: 1400,
      addresses: [prefix('192.0.2.1/24'), prefix('2001:db8::1/64'), prefix('fe80::42/64')],
      gateways: [address('192.0.2.254'), address('fe80::1')],
    });
    assert.equal(tap.name, 'lan0');
    const link = unwrap(findLink(tap.netlink, 'lan0'));
    assert.deepEqual([link.index, link.mtu, `${link.mac}`, link.up], [tap.index, 1400, '02:00:00:00:00:42', true]);
    assert.deepEqual(addresses(tap), ['192.0.2.1/24', '2001:db8::1/64', 'fe80::42/64']);
    assert.deepEqual(gateways(tap.netlink), ['192.0.2.254', 'fe80::1']);
    closeHostTap(tap);
    assert.equal(openDescriptors(), before);
  });

  test('a gateway outside of the networks of the addresses is on the link', () => {
    const tap = configured(unwrap(openHostTap({ mode: 'tun' })), {
      addresses: [prefix('10.1.2.3/32'), prefix('2001:db8:1::3/128')],
      gateways: [address('198.51.100.1'), address('2001:db8:2::1')],
    });
    assert.deepEqual(gateways(tap.netlink), ['198.51.100.1', '2001:db8:2::1']);
    closeHostTap(tap);
  });

  test('a tap joins a bridge, and stays down when it is to', () => {
    ip('link', 'add', 'br0', 'type', 'bridge');
    const tap = configured(unwrap(openHostTap({ name: 'port0' })), { bridge: 'br0', up: false });
    const bridge = unwrap(findLink(tap.netlink, 'br0'));
    const port = unwrap(findLink(tap.netlink, 'port0'));
    assert.deepEqual([bridge.kind, port.master, port.up], ['bridge', bridge.index, false]);
    closeHostTap(tap);
    ip('link', 'delete', 'br0');
  });

  test('a tap is configured inside of the namespace in which it was made', async (t) => {
    const fd = await container(t);
    const tap = configured(unwrap(openHostTap({ name: 'eth0', namespaceFd: fd })), {
      addresses: [prefix('192.0.2.2/24')],
      gateways: [address('192.0.2.1')],
    });
    assert.deepEqual(gateways(tap.netlink), ['192.0.2.1']);
    assert.ok(!ip('addr').includes('192.0.2.2'));
    closeHostTap(tap);
  });

  test('a tap moves, is configured there, and its descriptors still work', async (t) => {
    const fd = await container(t);
    const before = openDescriptors();
    const tap = configured(unwrap(openHostTap({ name: 'moving0', queues: 2 })), {
      namespaceFd: fd,
      name: 'eth0',
      addresses: [prefix('192.0.2.2/24')],
      gateways: [address('192.0.2.1')],
    });
    assert.ok(!ip('link').includes('moving0'));
    assert.equal(unwrap(findLink(tap.netlink, 'eth0')).index, tap.index);
    assert.deepEqual(gateways(tap.netlink), ['192.0.2.1']);
    unwrap(setTapCarrier(tap, false));
    assert.equal(unwrap(findLink(tap.netlink, 'eth0')).carrier, false);
    assert.equal(unwrap(setTapOffloads(tap, 'off')), 0);
    closeHostTap(tap);
    assert.equal(openDescriptors(), before);
  });

  test('a tap whose name is taken there moves under its new one', async (t) => {
    const fd = await container(t);
    const there = unwrap(openHostTap({ name: 'tap0', namespaceFd: fd }));
    const tap = unwrap(openHostTap({ name: 'tap0' }));
    const refused = failed(configureHostTap(tap, { namespaceFd: fd }));
    assert.equal(refused.code, 'host-tap-move-failed');
    assert.match(refused.message, /tap0 .*step move.*EEXIST/);
    const moved = configured(tap, { namespaceFd: fd, name: 'tap9' });
    assert.equal(moved.name, 'tap9');
    for (const each of [moved, there]) closeHostTap(each);
  });

  test('to move to where it is already is nothing', () => {
    const { fd } = unwrap(openNetworkNamespace(`pid:${process.pid}`));
    const tap = unwrap(openHostTap({ name: 'still0' }));
    const still = configured(tap, { namespaceFd: fd });
    assert.equal(still.netlink, tap.netlink);
    closeHostTap(still);
    closeSync(fd);
  });

  test('an address and a gateway that are there already are kept', () => {
    const network: HostTapNetwork = { addresses: [prefix('192.0.2.1/24')], gateways: [address('192.0.2.254')] };
    closeHostTap(configured(unwrap(openHostTap({ name: 'again0', persist: true })), network));
    const tap = configured(unwrap(openHostTap({ name: 'again0', attach: true })), network);
    assert.deepEqual(gateways(tap.netlink), ['192.0.2.254']);
    unwrap(removeHostTap(tap));
  });

  const LATE_FAILURES: readonly (readonly [step: string, network: HostTapNetwork, message: RegExp])[] = [
    ['rename', { name: 'lo' }, /EEXIST/],
    ['mac', { name: 'new0', mac: mac('01:00:5e:00:00:01') }, /EADDRNOTAVAIL/],
    ['mtu', { name: 'new0', mac: mac('02:00:00:00:00:99'), mtu: 70_000 }, /EINVAL \(mtu greater than device maximum\)/],
    ['bridge', { name: 'new0', mtu: 1400, bridge: 'nobridge' }, /there is no bridge nobridge/],
    ['bridge', { name: 'new0', mtu: 1400, bridge: 'lo' }, /lo is no bridge/],
    ['address', { mtu: 1000, addresses: [prefix('192.0.2.9/24'), prefix('2001:db8::9/64')] }, /2001:db8::9.*E/],
    [
      'gateway',
      {
        name: 'new0',
        mac: mac('02:00:00:00:00:99'),
        mtu: 1400,
        addresses: [prefix('192.0.2.9/24'), prefix('2001:db8::9/64')],
        gateways: [address('2001:db8::1'), address('192.0.2.255')],
      },
      /0\.0\.0\.0\/0 via 192.0.2.255.*EINVAL \(Nexthop has invalid gateway\)/,
    ],
  ];
  for (const [step, network, message] of LATE_FAILURES) {
    for (const where of ['here', 'after a move']) {
      test(`a failure at the step ${step} undoes all before it, ${where}: ${Object.keys(network)}`, async (t) => {
        const fd = await container(t);
        const tap = unwrap(openHostTap({ name: 'old0', persist: true }));
        t.after(() => removeHostTap(tap));
        unwrap(configureHostTap(tap, { addresses: [prefix('198.51.100.1/24')] }));
        const before = state(tap);
        const descriptors = openDescriptors();
        const namespace = where === 'here' ? {} : { namespaceFd: fd };
        const refused = failed(configureHostTap(tap, { ...network, ...namespace }));
        assert.equal(refused.code, `host-tap-${step}-failed`, refused.message);
        assert.match(refused.message, message);
        assert.match(refused.message, new RegExp(`^(old0|new0) .*step ${step}`));
        assert.doesNotMatch(refused.message, /could not all be undone/);
        assert.deepEqual(state(tap), before);
        assert.equal(openDescriptors(), descriptors);
      });
    }
  }

  const COMPLETE: readonly HostTapNetwork[] = [
    { name: 'new0', mac: mac('02:00:00:00:00:99'), mtu: 1400, bridge: 'br2' },
    {
      name: 'new0',
      mac: mac('02:00:00:00:00:99'),
      mtu: 1400,
      addresses: [prefix('192.0.2.9/24'), prefix('2001:db8::9/64')],
      gateways: [address('2001:db8::1'), address('192.0.2.1')],
    },
  ];
  for (const network of COMPLETE) {
    test(`whichever request is refused, all before it is undone: ${Object.keys(network)}`, (t) => {
      for (const name of ['br1', 'br2']) {
        ip('link', 'add', name, 'type', 'bridge');
        t.after(() => ip('link', 'delete', name));
      }
      const made = unwrap(openHostTap({ name: 'old0' }));
      t.after(() => closeHostTap(made));
      unwrap(configureHostTap(made, { bridge: 'br1', up: false }));
      const before = state(made);
      const steps: string[] = [];
      for (let refused = 0; ; refused++) {
        const tap = { ...made, netlink: new Netlink(made.netlink.fd, refusing(refused)) };
        const result = configureHostTap(tap, network);
        if (result.ok) break;
        assert.match(result.failure.message, /the kernel says EIO/);
        assert.doesNotMatch(result.failure.message, /could not all be undone/);
        steps.push(result.failure.code.slice('host-tap-'.length, -'-failed'.length));
        assert.deepEqual(state(made), before);
      }
      const last = network.bridge === undefined ? ['address', 'address', 'up', 'gateway', 'gateway'] : ['bridge', 'up'];
      assert.deepEqual(steps, ['rename', 'mac', 'mtu', ...last]);
    });
  }

  test('what can not be undone is told', (t) => {
    const made = unwrap(openHostTap({ name: 'stuck0' }));
    t.after(() => closeHostTap(made));
    const tap = { ...made, netlink: new Netlink(made.netlink.fd, refusing(2, Number.POSITIVE_INFINITY)) };
    const refused = failed(configureHostTap(tap, { name: 'stuck1', mac: mac('02:00:00:00:00:99'), mtu: 1400 }));
    assert.equal(refused.code, 'host-tap-mtu-failed');
    assert.match(refused.message, /could not all be undone: the MAC address \(.*EIO\); the new name \(.*EIO\)$/);
  });

  test('a default route that somebody else made is not replaced', () => {
    const other = configured(unwrap(openHostTap({ name: 'other0' })), {
      addresses: [prefix('192.0.2.1/24')],
      gateways: [address('192.0.2.254')],
    });
    const tap = unwrap(openHostTap({ name: 'mine0' }));
    const gateway = { addresses: [prefix('198.51.100.1/24')], gateways: [address('198.51.100.254')] };
    const refused = failed(configureHostTap(tap, gateway));
    assert.match(refused.message, /step gateway.*EEXIST/);
    assert.deepEqual(gateways(tap.netlink), ['192.0.2.254']);
    for (const each of [other, tap]) closeHostTap(each);
  });

  test('what can not go together is refused before anything is done', () => {
    const tap = unwrap(openHostTap({ name: 'no0' }));
    const tun = unwrap(openHostTap({ name: 'no1', mode: 'tun' }));
    const cases: readonly (readonly [tap: HostTap, network: HostTapNetwork, code: string])[] = [
      [tap, { bridge: 'br0', addresses: [prefix('192.0.2.1/24')] }, 'host-tap-exclusive'],
      [tap, { bridge: 'br0', gateways: [address('192.0.2.1')] }, 'host-tap-exclusive'],
      [tun, { bridge: 'br0' }, 'host-tap-mode'],
      [tun, { mac: mac('02:00:00:00:00:01') }, 'host-tap-mode'],
      [tap, { gateways: [address('192.0.2.1'), address('192.0.2.2')] }, 'host-tap-gateways'],
      [tap, { gateways: [address('192.0.2.1')], up: false }, 'host-tap-gateways'],
      [tap, { addresses: [prefix('192.0.2.1/24')], gateways: [address('192.0.2.1')] }, 'host-tap-gateways'],
    ];
    for (const [each, network, code] of cases) {
      const before = state(each);
      assert.equal(failed(configureHostTap(each, { name: 'never0', ...network })).code, code);
      assert.deepEqual(state(each), before);
    }
    for (const each of [tap, tun]) closeHostTap(each);
  });

  test('an interface that is gone is told of', () => {
    const tap = unwrap(openHostTap({ name: 'gone1' }));
    unwrap(deleteLink(tap.netlink, tap.index));
    assert.equal(failed(configureHostTap(tap, { mtu: 1400 })).code, 'interface-missing');
    closeHostTap(tap);
  });

  test('a moved tap goes with its namespace once no socket of ours is inside', async (t) => {
    const { process: child, text } = await startContainer(t);
    const { fd } = unwrap(openNetworkNamespace(text));
    const tap = configured(unwrap(openHostTap({ name: 'moved1' })), { namespaceFd: fd });
    closeSync(fd);
    tap.netlink.close();
    child.kill('SIGKILL');
    let errno = 0;
    for (let waitedMs = 0; errno !== ERRNO.EBADFD && waitedMs < NAMESPACE_END_TIMEOUT_MS; waitedMs += 10) {
      await sleep(10);
      errno = readErrno(tap.fds[0]!);
    }
    assert.equal(errno, ERRNO.EBADFD);
    closeSync(tap.fds[0]!);
  });

  test('the namespaces of the containers are empty after all that', async (t) => {
    const inside = unwrap(openInside(await container(t)));
    const names = unwrap(listLinks(new Netlink(inside.netlinkFd))).map(({ name }) => name);
    assert.ok(!names.some((name) => /^(eth|tap|old|new)/.test(name)), names.join());
    closeSync(inside.netlinkFd);
  });
});

/** The descriptor of a container's namespace, closed when the test is over. */
async function container(t: TestContext): Promise<number> {
  const { fd } = unwrap(openNetworkNamespace((await startContainer(t)).text));
  t.after(() => closeSync(fd));
  return fd;
}

function configured(tap: HostTap, network: HostTapNetwork): HostTap {
  return unwrap(configureHostTap(tap, network));
}

/** All that `configureHostTap` may change. The kernel's own link-local address comes when it comes. */
function state(tap: HostTap): unknown {
  const { name, index, mtu, mac: own, up, master } = unwrap(findLink(tap.netlink, tap.name));
  const routes = unwrap(listRoutes(tap.netlink))
    .filter(({ destination }) => !formatIpPrefix(destination).startsWith('f'))
    .map(({ destination, gateway }) => `${formatIpPrefix(destination)} ${gateway}`);
  return { name, index, mtu, mac: `${own}`, up, master, addresses: addresses(tap), routes };
}

function addresses(tap: HostTap): string[] {
  return unwrap(listAddresses(tap.netlink))
    .filter((each) => each.interfaceIndex === tap.index)
    .map((each) => formatIpPrefix(each.prefix))
    .filter((text) => !/^fe80::[^:]+:[^:]+:/.test(text))
    .sort();
}

function gateways(netlink: Netlink): string[] {
  return unwrap(listRoutes(netlink))
    .filter(({ destination }) => destination.length === 0)
    .map(({ gateway }) => `${gateway}`)
    .sort();
}

/** The kernel, but that of the requests which change something it refuses some. */
function refusing(first: number, count: number = 1): NetlinkCalls {
  const native = loadNative<NetlinkCalls>();
  let changes = 0;
  const isRefused = (change: number): boolean => change >= first && change < first + count;
  return {
    netlinkOpen: native.netlinkOpen,
    netlinkPrepare: native.netlinkPrepare,
    netlinkReceive: native.netlinkReceive,
    netlinkSend(fd, message) {
      const type = new DataView(message.buffer, message.byteOffset).getUint16(4, LITTLE_ENDIAN);
      if (CHANGES.includes(type) && isRefused(changes++)) return -ERRNO.EIO;
      return native.netlinkSend(fd, message);
    },
  };
}

function readErrno(fd: number): number {
  try {
    readSync(fd, Buffer.alloc(2048));
    return 0;
  } catch (error) {
    return -((error as NodeJS.ErrnoException).errno ?? 0);
  }
}

function mac(text: string): MacAddress {
  return parseMacAddress(text)!;
}

function prefix(text: string): IpPrefix {
  return parseIpPrefix(text)!;
}

function address(text: string): IpAddress {
  return parseIpAddress(text)!;
}
