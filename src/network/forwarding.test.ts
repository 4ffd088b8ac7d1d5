import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type IpAddress, type IpPrefix, MacAddress, parseIpAddress, parseIpPrefix } from '../base/address.ts';
import type { Result } from '../base/result.ts';
import { ADJACENCY } from '../forward/adjacency.ts';
import { Forwarding, type ForwardingHop } from './forwarding.ts';

const prefix = (text: string): IpPrefix => parseIpPrefix(text)!;
const address = (text: string): IpAddress => parseIpAddress(text)!;
const MAC = new MacAddress(0x0200, 0x0a0b0c0d);
const MADE_LINK_LOCAL = 'fe80::aff:fe0b:c0d';

function unwrap<T>(result: Result<T>): T {
  assert.ok(result.ok, JSON.stringify(result));
  return result.value;
}

function start() {
  let random = 1;
  const forwarding = new Forwarding(() => random++);
  const [one, two] = [1500, 1400].map((mtu) => unwrap(forwarding.addInterface(MAC, mtu))) as [number, number];
  unwrap(forwarding.addAddress(one, prefix('10.0.0.1/24')));
  unwrap(forwarding.addAddress(two, prefix('10.1.0.1/24')));
  /** What packets for an address meet: the kinds of the adjacencies. */
  const kinds = (to: string): number[] => {
    const value = forwarding.routes.lookup(address(to));
    if (value === -1) return [];
    return forwarding.nextHops(value).map(({ adjacency }) => forwarding.adjacencies.kind[adjacency]!);
  };
  const via = (...hops: string[]): ForwardingHop[] =>
    hops.map((text) => {
      if (text === 'drop' || text === 'uplink') return { kind: text, weight: 1 };
      const [ip = '', weight = '1'] = text.split('*');
      return { kind: 'address', address: address(ip), weight: Number(weight) };
    });
  const listed = (index: number): string[] => forwarding.addresses.list(index).map((each) => each.address.toString());
  return { forwarding, one, two, kinds, via, listed };
}

describe('forwarding', () => {
  it('knows which link frames to a station leave by: of a bridge, that of the member; of a sub-interface, its parent', () => {
    const { forwarding, one, two } = start();
    const { bridges, l2fib, vlans } = forwarding;
    const [sub, bvi] = [MAC, MAC].map((mac) => unwrap(forwarding.addInterface(mac, 1500))) as [number, number];
    vlans.add(one, 7, sub);
    assert.deepEqual(
      [one, two, sub].map((index) => forwarding.linkTowards(index, 2, 9)),
      [one, two, one],
    );
    const bridge = bridges.add();
    bridges.setBvi(bridge, bvi);
    bridges.addMember(bridge, two, 0);
    bridges.addMember(bridge, sub, 0);
    l2fib.learn(bridge, 2, 9, two, 0);
    l2fib.learn(bridge, 2, 10, sub, 0);
    assert.deepEqual(
      [9, 10, 11].map((low) => forwarding.linkTowards(bvi, 2, low)),
      [two, one, bvi],
    );
  });

  it('gives no interface the index of another', () => {
    const { forwarding, one, two } = start();
    forwarding.removeAddress(two, prefix('10.1.0.1/24'));
    forwarding.removeInterface(two);
    const three = unwrap(forwarding.addInterface(MAC, 1500));
    assert.equal(new Set([one, two, three]).size, 3);
  });

  it('has routes to its addresses and their networks, while it has those', () => {
    const { forwarding, one, kinds } = start();
    assert.deepEqual(kinds('10.0.0.1'), [ADJACENCY.LOCAL]);
    assert.deepEqual(kinds('10.0.0.77'), [ADJACENCY.GLEAN]);
    assert.deepEqual(kinds('10.9.0.1'), []);
    forwarding.removeAddress(one, prefix('10.0.0.1/24'));
    assert.deepEqual([kinds('10.0.0.1'), kinds('10.0.0.77')], [[], []]);
  });

  it('has two addresses in one network, and either may go first', () => {
    for (const [first, second] of [
      ['10.0.0.1/24', '10.0.0.2/24'],
      ['10.0.0.2/24', '10.0.0.1/24'],
    ] as const) {
      const { forwarding, one, kinds } = start();
      unwrap(forwarding.addAddress(one, prefix('10.0.0.2/24')));
      forwarding.removeAddress(one, prefix(first));
      assert.deepEqual(kinds('10.0.0.77'), [ADJACENCY.GLEAN]);
      forwarding.removeAddress(one, prefix(second));
      assert.deepEqual(kinds('10.0.0.77'), []);
    }
  });

  it('has a link-local address with the first of IPv6, until the last goes', () => {
    const { forwarding, one, listed } = start();
    unwrap(forwarding.addAddress(one, prefix('fd00::1/64')));
    unwrap(forwarding.addAddress(one, prefix('fd00:1::1/64')));
    assert.ok(listed(one).includes(MADE_LINK_LOCAL), listed(one).join());
    forwarding.setMac(one, new MacAddress(0x0200, 0x01020304));
    assert.ok(!listed(one).includes(MADE_LINK_LOCAL) && listed(one).includes('fe80::1ff:fe02:304'));
    forwarding.removeAddress(one, prefix('fd00::1/64'));
    assert.ok(listed(one).some((each) => each.startsWith('fe80')));
    forwarding.removeAddress(one, prefix('fd00:1::1/64'));
    assert.deepEqual(listed(one), ['10.0.0.1']);
  });

  it('makes no link-local address where one is given', () => {
    const { forwarding, one, listed } = start();
    unwrap(forwarding.addAddress(one, prefix('fe80::1/64')));
    unwrap(forwarding.addAddress(one, prefix('fd00::1/64')));
    assert.ok(!listed(one).includes(MADE_LINK_LOCAL));
    assert.equal(forwarding.routes.lookup(address('fe80::1')), -1, 'it is in no table of routes');
  });

  it('leads routes to drops, the uplink, next hops and interfaces', () => {
    const { forwarding, one, kinds, via } = start();
    unwrap(forwarding.addRoute(prefix('10.20.0.0/16'), via('drop')));
    unwrap(forwarding.addRoute(prefix('0.0.0.0/0'), via('uplink')));
    unwrap(forwarding.addRoute(prefix('10.21.0.0/16'), via('10.1.0.2')));
    unwrap(forwarding.addRoute(prefix('10.22.0.0/16'), [{ kind: 'interface', interfaceIndex: one, weight: 1 }]));
    assert.deepEqual(kinds('10.20.0.1'), [ADJACENCY.DROP]);
    assert.deepEqual(kinds('8.8.8.8'), [ADJACENCY.UPLINK]);
    assert.deepEqual(kinds('10.21.0.1'), [ADJACENCY.NEIGHBOUR]);
    assert.deepEqual(kinds('10.22.0.1'), [ADJACENCY.GLEAN]);
    forwarding.removeRoute(prefix('10.20.0.0/16'));
    assert.deepEqual(kinds('10.20.0.1'), [ADJACENCY.UPLINK]);
  });

  it('refuses hops that lead nowhere, and says what would be right', () => {
    const { forwarding, two, via } = start();
    const far = forwarding.addRoute(prefix('10.30.0.0/16'), via('10.1.0.2', '172.16.0.1'));
    assert.deepEqual(far.ok || [far.failure.code, /172\.16\.0\.1%NAME/.test(far.failure.message)], [
      'route-hop-unreachable',
      true,
    ]);
    const silent = forwarding.addRoute(prefix('fd00::/16'), [{ kind: 'interface', interfaceIndex: two, weight: 1 }]);
    assert.equal(silent.ok || silent.failure.code, 'route-hop-addressless');
    assert.equal(forwarding.routes.configured(prefix('10.30.0.0/16')), -1);
  });

  it('gives back all references to adjacencies: of routes that go, change, or could not be', () => {
    const { forwarding, via } = start();
    const to = prefix('10.40.0.0/16');
    const before = forwarding.adjacencies.count;
    for (const hops of [
      via('10.1.0.2'),
      via('10.1.0.2', '10.0.0.2*3'),
      via('drop'),
      via('10.0.0.3', '10.0.0.4', '10.1.0.2'),
    ]) {
      if (forwarding.routes.configured(to) === -1) unwrap(forwarding.addRoute(to, hops));
      else unwrap(forwarding.changeRoute(to, hops));
    }
    unwrap(forwarding.changeRoute(to, via('10.0.0.3', '10.1.0.2*2')));
    const value = forwarding.routes.configured(to);
    const refused = forwarding.changeRoute(to, via('10.0.0.9', '172.16.0.1'));
    assert.ok(!refused.ok);
    assert.equal(forwarding.routes.configured(to), value);
    assert.ok(!forwarding.addRoute(to, via('10.0.0.8', '10.0.0.9')).ok, 'it is there already');
    assert.deepEqual(
      forwarding.nextHops(value).map(({ weight }) => weight),
      [1, 2],
    );
    forwarding.removeRoute(to);
    assert.equal(forwarding.adjacencies.count, before);
  });

  it('finds the interface towards an address by its longest network', () => {
    const { forwarding, one, two } = start();
    unwrap(forwarding.addAddress(two, prefix('10.0.0.129/25')));
    assert.equal(forwarding.interfaceTowards(address('10.0.0.5')), one);
    assert.equal(forwarding.interfaceTowards(address('10.0.0.200')), two);
    assert.equal(forwarding.interfaceTowards(address('192.0.2.1')), -1);
  });

  it('forgets the stations behind an interface that goes down', () => {
    const { forwarding, one, two } = start();
    const bridge = forwarding.bridges.add();
    for (const index of [one, two]) forwarding.l2fib.learn(bridge, 0x0200, index, index, 1);
    forwarding.setUp(one, true);
    assert.equal(forwarding.l2fib.entries().length, 2);
    forwarding.setUp(one, false);
    assert.deepEqual(
      forwarding.l2fib.entries().map(({ interfaceIndex }) => interfaceIndex),
      [two],
    );
  });
});
