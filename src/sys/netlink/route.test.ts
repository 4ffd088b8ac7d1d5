import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { accessSync, closeSync, constants } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { formatIpPrefix, parseIpAddress, parseIpPrefix } from '../../base/address.ts';
import type { Result } from '../../base/result.ts';
import { type NamespaceChild, startNamespace } from '../namespace.ts';
import { addAddress } from './address.ts';
import { findLink, setLink } from './link.ts';
import { addRoute, listRoutes } from './route.ts';
import { Netlink } from './socket.ts';

const STATUS_TIMEOUT_MS = 60_000;

const skip = tunReason();

test('a route with several next hops is as many routes', { skip: skip || ipReason() }, async (t) => {
  const { child, netlink } = namespaceWithAddress(t);
  const hops = 'nexthop via 192.0.2.1 dev eth0 nexthop via 198.51.100.1 dev eth0 onlink';
  assert.equal(await run(child, `ip route add default metric 5 ${hops}`), 0);
  assert.deepEqual(texts(netlink), [
    '0.0.0.0/0 via 192.0.2.1 metric 5',
    '0.0.0.0/0 via 198.51.100.1 metric 5',
    '192.0.2.0/24 via undefined metric 0',
  ]);
});

test('routes of other tables and types are left out', { skip: skip || ipReason() }, async (t) => {
  const { child, netlink } = namespaceWithAddress(t);
  const commands = ['default via 192.0.2.1 table 77', 'blackhole 10.0.0.0/8', 'unreachable 10.0.0.0/9'];
  assert.equal(await run(child, commands.map((each) => `ip route add ${each}`).join(' && ')), 0);
  assert.deepEqual(texts(netlink), ['192.0.2.0/24 via undefined metric 0']);
});

test('what is added is listed', { skip }, (t) => {
  const { netlink, interfaceIndex } = namespaceWithAddress(t);
  const destination = parseIpPrefix('10.8.0.7/16')!;
  const gateway = parseIpAddress('192.0.2.9')!;
  const preferredSource = parseIpAddress('192.0.2.2')!;
  unwrap(addRoute(netlink, { destination, interfaceIndex, gateway, metric: 42, preferredSource }));
  unwrap(addRoute(netlink, { destination: parseIpPrefix('172.16.0.0/12')!, interfaceIndex }));
  assert.deepEqual(texts(netlink), [
    '10.8.0.0/16 via 192.0.2.9 metric 42',
    '172.16.0.0/12 via undefined metric 0',
    '192.0.2.0/24 via undefined metric 0',
  ]);
});

test("a gateway that is not on the link is refused, with the kernel's sentence", { skip }, (t) => {
  const { netlink, interfaceIndex } = namespaceWithAddress(t);
  const gateway = parseIpAddress('203.0.113.1')!;
  const refused = addRoute(netlink, { destination: parseIpPrefix('0.0.0.0/0')!, interfaceIndex, gateway });
  assert.ok(!refused.ok);
  assert.equal(refused.failure.code, 'netlink-enetunreach');
  assert.match(refused.failure.message, /^can not add the route to 0.0.0.0\/0 via 203.0.113.1: .*invalid gateway/);
});

function namespaceWithAddress(t: TestContext): { child: NamespaceChild; netlink: Netlink; interfaceIndex: number } {
  const child = unwrap(startNamespace({ tap: { name: 'eth0' }, rootInside: true }));
  t.after(() => {
    unwrap(child.end());
    closeSync(child.tapFd);
  });
  const netlink = new Netlink(child.netlinkFd);
  const { index } = unwrap(findLink(netlink, 'eth0'));
  unwrap(setLink(netlink, index, { up: true }));
  unwrap(addAddress(netlink, index, parseIpPrefix('192.0.2.2/24')!));
  return { child, netlink, interfaceIndex: index };
}

/** Runs a shell inside; the network stays as long as our descriptors of it are open. */
async function run(child: NamespaceChild, script: string): Promise<number> {
  unwrap(child.run(['sh', '-c', script], process.env));
  for (let waitedMs = 0; waitedMs < STATUS_TIMEOUT_MS; waitedMs += 2) {
    const status = child.readStatus();
    if (status?.kind === 'exited') return status.code;
    await sleep(2);
  }
  throw new Error('the command does not end');
}

function texts(netlink: Netlink): string[] {
  return unwrap(listRoutes(netlink))
    .filter(({ destination }) => formatIpPrefix(destination).includes('.'))
    .map(({ destination, gateway, metric }) => `${formatIpPrefix(destination)} via ${gateway} metric ${metric}`)
    .sort();
}

function unwrap<T>(result: Result<T>): T {
  assert.ok(result.ok, JSON.stringify(result));
  return result.value;
}

function ipReason(): string | false {
  return spawnSync('ip', ['-V']).status === 0 ? false : 'needs the program ip';
}

function tunReason(): string | false {
  try {
    accessSync('/dev/net/tun', constants.R_OK | constants.W_OK);
    return false;
  } catch {
    return 'needs /dev/net/tun';
  }
}
