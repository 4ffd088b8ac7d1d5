import assert from 'node:assert/strict';
import { accessSync, closeSync, constants } from 'node:fs';
import { test } from 'node:test';
import {
  formatIpPrefix,
  type IpAddress,
  type IpPrefix,
  parseIpAddress,
  parseIpPrefix,
  parseMacAddress,
} from '../base/address.ts';
import type { Result } from '../base/result.ts';
import { configureGuest, type GuestNetwork, guestSysctls, planGuestNetwork } from './guest-network.ts';
import type { HostNetwork } from './host-network.ts';
import { identityInside, type NamespaceChild, startNamespace } from './namespace.ts';
import { listAddresses } from './netlink/address.ts';
import { findLink } from './netlink/link.ts';
import { listRoutes } from './netlink/route.ts';
import { Netlink } from './netlink/socket.ts';

const IFA_F_TENTATIVE = 0x40;

const host: HostNetwork = {
  ipv4: {
    interfaceName: 'enp3s0',
    interfaceIndex: 2,
    mtu: 1500,
    mac: parseMacAddress('02:00:00:00:00:01'),
    addresses: [prefix('192.0.2.2/24'), prefix('192.0.2.3/24')],
    gateway: address('192.0.2.1'),
    metric: 100,
    routes: [{ destination: prefix('10.8.0.0/16'), gateway: address('192.0.2.9'), metric: 50 }],
  },
  ipv6: {
    interfaceName: 'enp3s0',
    interfaceIndex: 2,
    mtu: 1500,
    mac: parseMacAddress('02:00:00:00:00:01'),
    addresses: [prefix('2001:db8::2/64')],
    gateway: address('fe80::dead:beef'),
    metric: 1024,
    routes: [],
  },
};
const wishes = { interfaceName: 'eth0', families: 'both' } as const;

test("the guest has the host's addresses and routes", () => {
  assert.deepEqual(summary(planGuestNetwork(host, wishes)), {
    addresses: ['192.0.2.2/24', '192.0.2.3/24', '2001:db8::2/64'],
    routes: ['0.0.0.0/0 192.0.2.1', '10.8.0.0/16 192.0.2.9', '::/0 fe80::dead:beef'],
    gateways: ['192.0.2.1', 'fe80::dead:beef'],
  });
});

test('a host without a network gives private addresses', () => {
  assert.deepEqual(summary(planGuestNetwork(undefined, wishes)), {
    addresses: ['10.0.2.100/24', 'fd74:6170:7374:6572::100/64'],
    routes: ['0.0.0.0/0 10.0.2.2', '::/0 fe80::1'],
    gateways: ['10.0.2.2', 'fe80::1'],
  });
});

test('a family that the host lacks gives private addresses, the other those of the host', () => {
  const plan = summary(planGuestNetwork({ ...host, ipv6: undefined }, wishes));
  assert.deepEqual(plan.addresses, ['192.0.2.2/24', '192.0.2.3/24', 'fd74:6170:7374:6572::100/64']);
});

test('one family alone', () => {
  const four = planGuestNetwork(host, { ...wishes, families: '4' });
  assert.deepEqual(summary(four).gateways, ['192.0.2.1', undefined]);
  assert.equal(four.linkLocal, undefined);
  const six = planGuestNetwork(host, { ...wishes, families: '6' });
  assert.deepEqual(summary(six).gateways, [undefined, 'fe80::dead:beef']);
  assert.deepEqual(summary(six).addresses, ['2001:db8::2/64']);
});

test("addresses that the user gives replace those of their family, and the host's other routes", () => {
  const plan = planGuestNetwork(host, { ...wishes, addresses: [prefix('10.1.2.3/32')] });
  assert.deepEqual(summary(plan), {
    addresses: ['10.1.2.3/32', '2001:db8::2/64'],
    routes: ['0.0.0.0/0 192.0.2.1', '::/0 fe80::dead:beef'],
    gateways: ['192.0.2.1', 'fe80::dead:beef'],
  });
});

test('gateways that the user gives replace those of their family', () => {
  const plan = planGuestNetwork(host, { ...wishes, gateways: [address('2001:db8::1')] });
  assert.deepEqual(summary(plan).gateways, ['192.0.2.1', '2001:db8::1']);
});

test("a gateway is never the guest's own address, nor of the other family", () => {
  const own = planGuestNetwork(host, { ...wishes, addresses: [prefix('192.0.2.1/24'), prefix('fe80::1/64')] });
  assert.deepEqual(summary(own).gateways, ['10.0.2.2', 'fe80::dead:beef']);
  const second = planGuestNetwork(undefined, { ...wishes, addresses: [prefix('10.0.2.2/24'), prefix('fe80::1/64')] });
  assert.deepEqual(summary(second).gateways, ['10.0.2.3', 'fe80::2']);
  const mixed = { ...host, ipv4: { ...host.ipv4!, gateway: address('fe80::dead:beef') } };
  assert.deepEqual(summary(planGuestNetwork(mixed, wishes)).gateways, ['10.0.2.2', 'fe80::dead:beef']);
});

test('the link-local address is made of the MAC', () => {
  const plan = planGuestNetwork(host, { ...wishes, mac: parseMacAddress('52:54:98:76:54:32') });
  assert.equal(plan.linkLocal?.toString(), 'fe80::5054:98ff:fe76:5432');
});

const skip = tunReason();

test('a guest is configured: MAC, MTU, queue, addresses that are usable at once, routes', { skip }, (t) => {
  const plan = planGuestNetwork(host, { ...wishes, mac: parseMacAddress('02:00:00:00:00:77'), mtu: 9000 });
  const netlink = new Netlink(guest(t, plan).netlinkFd);
  const link = unwrap(findLink(netlink, 'eth0'));
  assert.ok(link.up);
  assert.deepEqual([link.mac?.toString(), link.mtu, link.txQueueLength], ['02:00:00:00:00:77', 9000, 16_384]);
  const addresses = unwrap(listAddresses(netlink)).filter((each) => each.interfaceIndex === link.index);
  assert.deepEqual(addresses.map((each) => formatIpPrefix(each.prefix)).sort(), [
    '192.0.2.2/24',
    '192.0.2.3/24',
    '2001:db8::2/64',
    'fe80::ff:fe00:77/64',
  ]);
  assert.ok(addresses.every((each) => (each.flags & IFA_F_TENTATIVE) === 0));
  assert.ok(unwrap(findLink(netlink, 'lo')).up);
  assert.deepEqual(routes(netlink), [
    '0.0.0.0/0 192.0.2.1',
    '10.8.0.0/16 192.0.2.9',
    '192.0.2.0/24 undefined',
    '2001:db8::/64 undefined',
    '::/0 fe80::dead:beef',
    'fe80::/64 undefined',
  ]);
});

test('a gateway outside of the network of the address is reached on the link, in both families', { skip }, (t) => {
  const addresses = [prefix('10.1.2.3/32'), prefix('2001:db8:1::3/128')];
  const gateways = [address('198.51.100.1'), address('2001:db8:2::1')];
  const netlink = new Netlink(guest(t, planGuestNetwork(undefined, { ...wishes, addresses, gateways })).netlinkFd);
  const defaults = routes(netlink).filter((each) => each.includes('/0 '));
  assert.deepEqual(defaults, ['0.0.0.0/0 198.51.100.1', '::/0 2001:db8:2::1']);
});

test('only the link comes up when the rest is left to the guest', { skip }, (t) => {
  const netlink = new Netlink(guest(t, planGuestNetwork(host, wishes), 'link').netlinkFd);
  assert.ok(unwrap(findLink(netlink, 'eth0')).up);
  assert.deepEqual(routes(netlink), ['fe80::/64 undefined']);
});

test('an MTU that the interface can not have is refused with advice', { skip }, (t) => {
  const child = unwrap(startNamespace({ tap: { name: 'eth0' } }));
  t.after(() => stop(child));
  const refused = configureGuest(child.netlinkFd, planGuestNetwork(host, { ...wishes, mtu: 70_000 }));
  assert.ok(!refused.ok);
  assert.equal(refused.failure.code, 'guest-link-failed');
  assert.match(refused.failure.message, /MTU 70000.*between 68 and 65521.*EINVAL/s);
  const missing = configureGuest(child.netlinkFd, planGuestNetwork(host, { ...wishes, interfaceName: 'eth1' }));
  assert.equal(!missing.ok && missing.failure.code, 'interface-missing');
});

function guest(t: { after(done: () => void): void }, plan: GuestNetwork, extent?: 'all' | 'link'): NamespaceChild {
  const { userNamespace, gid } = identityInside();
  const sysctls = guestSysctls(plan.interfaceName, userNamespace ? gid : undefined);
  const child = unwrap(startNamespace({ tap: { name: plan.interfaceName }, sysctls }));
  t.after(() => stop(child));
  assert.deepEqual(child.warnings, []);
  unwrap(configureGuest(child.netlinkFd, plan, extent));
  return child;
}

function stop(child: NamespaceChild): void {
  closeSync(child.tapFd);
  unwrap(child.end());
}

function routes(netlink: Netlink): string[] {
  return unwrap(listRoutes(netlink))
    .filter((route) => route.destination.address.toString() !== 'ff00::')
    .map((route) => `${formatIpPrefix(route.destination)} ${route.gateway}`)
    .sort();
}

function summary(plan: GuestNetwork): { addresses: string[]; routes: string[]; gateways: (string | undefined)[] } {
  return {
    addresses: plan.addresses.map(formatIpPrefix),
    routes: plan.routes.map((route) => `${formatIpPrefix(route.destination)} ${route.gateway}`),
    gateways: [plan.ipv4Gateway?.toString(), plan.ipv6Gateway?.toString()],
  };
}

function prefix(text: string): IpPrefix {
  return parseIpPrefix(text)!;
}

function address(text: string): IpAddress {
  return parseIpAddress(text)!;
}

function unwrap<T>(result: Result<T>): T {
  assert.ok(result.ok, JSON.stringify(result));
  return result.value;
}

function tunReason(): string | false {
  try {
    accessSync('/dev/net/tun', constants.R_OK | constants.W_OK);
    return false;
  } catch {
    return 'needs /dev/net/tun';
  }
}
