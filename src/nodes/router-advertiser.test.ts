import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { formatIpWords } from '../base/address.ts';
import { ARC_DONE } from '../graph/node.ts';
import * as icmpv6 from '../wire/icmpv6.ts';
import * as ipv6 from '../wire/ipv6.ts';
import * as ndp from '../wire/ndp.ts';
import { NdResponder } from './nd-responder.ts';
import { NeighbourWorld, OTHER_LINK } from './neighbour-fixtures.test.ts';
import { icmp6, ip6, v6 } from './packet-fixtures.test.ts';
import { RouterAdvertiser, type RouterSettings } from './router-advertiser.ts';
import { bytes, GUEST_MAC, ip, LINK, prefix, receive, run } from './service-fixtures.test.ts';

const SETTINGS: RouterSettings = {
  intervalMs: 200_000,
  lifetimeMs: 1_800_000,
  managed: false,
  other: true,
  dns: [ip('fd74:6170:7374:6572::53')],
};
const GUEST = 'fe80::99';
const ALL = '333300000001';
const PEER = '020000000001';

function address(text: string): number[] {
  const { w0, w1, w2, w3 } = ip(text);
  return v6(w0, w1, w2, w3);
}

describe('router advertisements of an interface', () => {
  let world: NeighbourWorld;
  let advertiser: RouterAdvertiser;
  let nd: NdResponder;
  let random: number;

  beforeEach(() => {
    world = new NeighbourWorld();
    random = 0;
    const { packets, interfaces, addresses, sent: output } = world;
    advertiser = new RouterAdvertiser({ packets, interfaces, addresses, output, random: () => random });
    nd = new NdResponder(interfaces, addresses, world.resolver, world.conflicts, output, advertiser);
  });

  /** Lets seconds pass; returns in which of them an advertisement was sent. */
  function wait(seconds: number): number[] {
    const sent: number[] = [];
    for (let second = 1; second <= seconds; second++) {
      world.clock.nowUs += 1_000_000;
      advertiser.advertise(world.resolver.nowMs);
      if (world.sent.list.length > 0) sent.push(second);
      world.sent.list.length = 0;
    }
    return sent;
  }

  function solicit(from: string, option: number[] = bytes(`0101${PEER}`), limit: number = 255): number | string {
    const to = address('ff02::2');
    const message = icmp6(133, 0, [0, 0, 0, 0, ...option], address(from), to);
    const frame = [...bytes(`333300000002${PEER}86dd`), ...ip6(58, message, { from: address(from), to, limit })];
    return run(nd, world.packets, receive(world.packets, frame));
  }

  /** The only advertisement, checked and read. */
  function read(): { to: string; mac: string; lifetime: number; flags: number; options: string[] } {
    const { packets } = world;
    const { view } = packets;
    const packet = world.sent.only();
    const start = packets.start[packet];
    const network = start + 14;
    const at = network + 40;
    const end = start + packets.length[packet];
    assert.equal(packets.txInterface[packet], LINK);
    assert.equal(ipv6.hopLimit(view, network), 255);
    assert.equal(formatIpWords(...words(view, network + 8)), 'fe80::1');
    assert.ok(icmpv6.verifyChecksum(view, network, at, end));
    assert.equal(ndp.type(view, at), ndp.ROUTER_ADVERTISEMENT);
    const options: string[] = [];
    for (let option = at + ndp.check(view, at, end); option < end; option += ndp.optionBytes(view, option)) {
      options.push(describeOption(view, option));
    }
    return {
      to: formatIpWords(...words(view, network + 24)),
      mac: Buffer.from(packets.bytes.slice(start, start + 6)).toString('hex'),
      lifetime: ndp.routerLifetime(view, at),
      flags: ndp.routerFlags(view, at),
      options,
    };
  }

  it('say what the interface has', () => {
    assert.ok(world.addresses.add(LINK, prefix('2001:db8:1::1/48')).ok);
    assert.ok(world.addresses.add(LINK, prefix('2001:db8:2::1/64')).ok);
    advertiser.configure(LINK, SETTINGS);
    advertiser.advertise(0);
    assert.deepEqual(read(), {
      to: 'ff02::1',
      mac: ALL,
      lifetime: 1800,
      flags: ndp.RA_OTHER,
      options: [
        'source 2',
        'mtu 1500',
        'prefix fd74:6170:7374:6572::/64 c0 5400 2700',
        'prefix 2001:db8:2::/64 c0 5400 2700',
        'dns fd74:6170:7374:6572::53 600',
      ],
    });
    assert.equal(advertiser.advertised, 1);
  });

  it('come often first, then at random within the interval', () => {
    advertiser.configure(LINK, SETTINGS);
    assert.deepEqual(wait(200), [1, 17, 33, 100, 167]);
    random = 0.999;
    assert.deepEqual(wait(400), [34, 234]);
  });

  it('keep to the bounds of the interval, and do not let us be forgotten within it', () => {
    advertiser.configure(LINK, { ...SETTINGS, intervalMs: 1, lifetimeMs: 1 });
    advertiser.advertise(world.resolver.nowMs);
    assert.equal(read().lifetime, 4);
    assert.deepEqual(wait(9), [3, 6, 9]);
    advertiser.configure(LINK, { ...SETTINGS, intervalMs: 10_000_000, lifetimeMs: 1_000_000_000 });
    world.clock.nowUs += 10_000_000;
    advertiser.advertise(world.resolver.nowMs);
    assert.equal(read().lifetime, 65_535);
    advertiser.configure(LINK, { ...SETTINGS, lifetimeMs: 0 });
    world.clock.nowUs += 10_000_000;
    advertiser.advertise(world.resolver.nowMs);
    assert.equal(read().lifetime, 0);
  });

  it('answer who asks by itself, and learn where it is', () => {
    advertiser.configure(LINK, SETTINGS);
    wait(1);
    assert.equal(solicit(GUEST), ARC_DONE);
    const { to, mac } = read();
    assert.deepEqual([to, mac], [GUEST, PEER]);
    assert.equal(world.stateOf(GUEST), 'STALE');
    assert.equal(world.resolver.table.macLow[world.find(GUEST)], GUEST_MAC.low);
  });

  it('answer who has no address yet with all others, at most once in three seconds', () => {
    advertiser.configure(LINK, SETTINGS);
    wait(10);
    assert.equal(solicit('::', []), ARC_DONE);
    assert.equal(read().mac, ALL);
    for (let i = 0; i < 5; i++) assert.equal(solicit('::', []), ARC_DONE);
    assert.equal(world.sent.list.length, 0);
    assert.deepEqual(wait(6), [3]);
  });

  it('answer a flood of questions with few', () => {
    advertiser.configure(LINK, SETTINGS);
    wait(1);
    for (let i = 0; i < 100; i++) solicit(GUEST);
    assert.equal(world.sent.list.length, 16);
    world.sent.list.length = 0;
    assert.deepEqual(wait(5), [3]);
  });

  it('are not sent where nobody asked for them, nor for what is no question', () => {
    assert.equal(solicit(GUEST), ARC_DONE);
    assert.equal(world.resolver.table.count, 0);
    advertiser.configure(LINK, SETTINGS);
    assert.equal(solicit('::'), 'ndp-invalid');
    assert.equal(solicit(GUEST, [], 64), 'ndp-invalid');
    assert.equal(solicit('ff02::9'), 'ndp-invalid');
    assert.equal(solicit(GUEST, bytes('0101030000000001')), 'ndp-invalid');
    assert.equal(solicit('fe80::1', bytes('0101020000000077')), 'ndp-own-address');
    assert.equal(world.sent.list.length, 0);
    advertiser.configure(OTHER_LINK, SETTINGS);
    world.interfaces.up[LINK] = 0;
    assert.deepEqual(wait(3), [], 'one is down, the other has no link-local address');
    world.interfaces.up[LINK] = 1;
    assert.deepEqual(wait(1), [1]);
  });

  it('end with a last word', () => {
    advertiser.configure(LINK, SETTINGS);
    advertiser.configure(LINK, undefined);
    assert.equal(world.sent.list.length, 0, 'nobody had been told');
    advertiser.configure(LINK, SETTINGS);
    wait(1);
    advertiser.configure(LINK, { ...SETTINGS, managed: true });
    advertiser.withdrawAll();
    const last = read();
    assert.equal(last.lifetime, 0);
    assert.equal(last.mac, ALL);
    assert.equal(last.options.at(-1), 'dns fd74:6170:7374:6572::53 0');
    assert.deepEqual(wait(100), []);
    advertiser.configure(LINK, SETTINGS);
    wait(10);
    advertiser.forget(LINK);
    advertiser.configure(LINK, undefined);
    assert.equal(world.sent.list.length, 0);
  });
});

function words(view: DataView, at: number): [number, number, number, number] {
  return [view.getInt32(at), view.getInt32(at + 4), view.getInt32(at + 8), view.getInt32(at + 12)];
}

function describeOption(view: DataView, option: number): string {
  switch (ndp.optionType(view, option)) {
    case ndp.OPTION_SOURCE_LINK_LAYER:
      return `source ${ndp.linkLayerLow(view, option)}`;
    case ndp.OPTION_MTU:
      return `mtu ${ndp.mtu(view, option)}`;
    case ndp.OPTION_PREFIX: {
      const network = formatIpWords(...words(view, option + 16));
      const lifetimes = `${ndp.prefixValidLifetime(view, option)} ${ndp.prefixPreferredLifetime(view, option)}`;
      const flags = ndp.prefixFlags(view, option).toString(16);
      return `prefix ${network}/${ndp.prefixLength(view, option)} ${flags} ${lifetimes}`;
    }
    case ndp.OPTION_RDNSS:
      return `dns ${formatIpWords(...words(view, option + 8))} ${ndp.lifetime(view, option)}`;
    default:
      return `option ${ndp.optionType(view, option)}`;
  }
}
