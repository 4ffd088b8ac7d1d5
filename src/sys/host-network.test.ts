import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatIpPrefix, parseIpAddress, parseIpPrefix, parseMacAddress } from '../base/address.ts';
import { type HostFamily, readHostNetwork, selectHostNetwork } from './host-network.ts';
import { ADDRESS_FLAG, type InterfaceAddress, SCOPE } from './netlink/address.ts';
import type { Link } from './netlink/link.ts';
import type { Route } from './netlink/route.ts';

const eth0 = link(2, 'eth0');
const wlan0 = link(3, 'wlan0');
const lo = { ...link(1, 'lo'), loopback: true };

test('the interface with the default route of the lowest metric is chosen, for each family by itself', () => {
  const addresses = [address(2, '192.0.2.2/24'), address(3, '198.51.100.2/24'), address(3, '2001:db8::2/64')];
  const routes = [
    route(2, '0.0.0.0/0', '192.0.2.1', 600),
    route(3, '0.0.0.0/0', '198.51.100.1', 100),
    route(3, '::/0', 'fe80::1', 1024),
  ];
  const { ipv4, ipv6 } = selectHostNetwork([lo, eth0, wlan0], addresses, routes);
  assert.deepEqual(summary(ipv4), {
    name: 'wlan0',
    addresses: ['198.51.100.2/24'],
    gateway: '198.51.100.1',
    routes: [],
  });
  assert.deepEqual(summary(ipv6), { name: 'wlan0', addresses: ['2001:db8::2/64'], gateway: 'fe80::1', routes: [] });
  assert.equal(ipv4?.mtu, 1500);
  assert.deepEqual(ipv4?.mac, eth0.mac);
});

test('a default route is of no use when it is dead, its interface is down, or there is no global address', () => {
  const down = { ...link(4, 'eth4'), up: false };
  const addresses = [
    address(2, '192.0.2.2/24'),
    address(4, '10.4.0.2/24'),
    { ...address(3, '169.254.1.1/16'), scope: SCOPE.LINK },
  ];
  const routes = [
    { ...route(2, '0.0.0.0/0', '192.0.2.254', 1), dead: true },
    route(3, '0.0.0.0/0', '169.254.0.1', 2),
    route(4, '0.0.0.0/0', '10.4.0.1', 3),
    route(2, '0.0.0.0/0', '192.0.2.1', 4),
  ];
  const { ipv4, ipv6 } = selectHostNetwork([lo, eth0, wlan0, down], addresses, routes);
  assert.equal(summary(ipv4)?.gateway, '192.0.2.1');
  assert.equal(ipv6, undefined);
});

test('a host without default routes has no network', () => {
  const found = selectHostNetwork([lo, eth0], [address(2, '192.0.2.2/24')], [route(2, '192.0.2.0/24', undefined)]);
  assert.deepEqual(found, { ipv4: undefined, ipv6: undefined });
});

test('temporary, deprecated and tentative addresses are taken only where there is nothing better', () => {
  const temporary = { ...address(2, '2001:db8::7e/64'), flags: ADDRESS_FLAG.TEMPORARY };
  const deprecated = { ...address(2, '2001:db8::de/64'), flags: ADDRESS_FLAG.DEPRECATED };
  const tentative = { ...address(2, '2001:db8::0f/64'), flags: ADDRESS_FLAG.TENTATIVE };
  const failed = { ...address(2, '2001:db8::bad/64'), flags: ADDRESS_FLAG.DAD_FAILED };
  const lasting = address(2, '2001:db8::2/64');
  const routes = [route(2, '::/0', 'fe80::1')];
  const chosen = (...addresses: InterfaceAddress[]): string[] | undefined =>
    summary(selectHostNetwork([eth0], addresses, routes).ipv6)?.addresses;
  assert.deepEqual(chosen(temporary, deprecated, tentative, failed, lasting), ['2001:db8::2/64']);
  assert.deepEqual(chosen(tentative, deprecated, temporary), ['2001:db8::7e/64']);
  assert.deepEqual(chosen(tentative, deprecated), ['2001:db8::de/64']);
  assert.deepEqual(chosen(failed), undefined);
});

test('secondary IPv4 addresses are as good as the first', () => {
  const secondary = { ...address(2, '192.0.2.3/24'), flags: ADDRESS_FLAG.TEMPORARY };
  const { ipv4 } = selectHostNetwork(
    [eth0],
    [address(2, '192.0.2.2/24'), secondary],
    [route(2, '0.0.0.0/0', '192.0.2.1')],
  );
  assert.deepEqual(summary(ipv4)?.addresses, ['192.0.2.2/24', '192.0.2.3/24']);
});

test('other routes out of the interface are kept, but not those that come with its addresses', () => {
  const routes = [
    route(2, '0.0.0.0/0', '192.0.2.1'),
    route(2, '192.0.2.0/24', undefined),
    route(2, '10.8.0.0/16', '192.0.2.9', 50),
    route(2, '169.254.0.0/16', undefined, 1000),
    route(2, '224.0.0.0/4', undefined),
    route(3, '172.16.0.0/12', '198.51.100.1'),
  ];
  const { ipv4 } = selectHostNetwork([eth0, wlan0], [address(2, '192.0.2.2/24')], routes);
  assert.deepEqual(summary(ipv4)?.routes, ['10.8.0.0/16 192.0.2.9 50', '169.254.0.0/16 undefined 1000']);
});

test("the machine's own network can be read", () => {
  const host = readHostNetwork();
  assert.ok(host.ok, JSON.stringify(host));
  for (const family of [host.value.ipv4, host.value.ipv6]) assert.notEqual(family?.addresses.length, 0);
});

function link(index: number, name: string): Link {
  const mac = parseMacAddress('02:00:00:00:00:01');
  const physical = { carrier: true, promiscuous: false, master: undefined, kind: undefined };
  return { index, name, up: true, loopback: false, mtu: 1500, txQueueLength: 1000, mac, ...physical };
}

function address(interfaceIndex: number, text: string): InterfaceAddress {
  return { interfaceIndex, prefix: parseIpPrefix(text)!, scope: SCOPE.UNIVERSE, flags: ADDRESS_FLAG.PERMANENT };
}

function route(interfaceIndex: number, destination: string, gateway: string | undefined, metric: number = 0): Route {
  const via = gateway === undefined ? undefined : parseIpAddress(gateway);
  return { destination: parseIpPrefix(destination)!, interfaceIndex, gateway: via, metric, protocol: 3, dead: false };
}

interface Summary {
  name: string;
  addresses: string[];
  gateway: string | undefined;
  routes: string[];
}

function summary(family: HostFamily | undefined): Summary | undefined {
  if (family === undefined) return undefined;
  return {
    name: family.interfaceName,
    addresses: family.addresses.map(formatIpPrefix),
    gateway: family.gateway?.toString(),
    routes: family.routes.map((each) => `${formatIpPrefix(each.destination)} ${each.gateway} ${each.metric}`),
  };
}
