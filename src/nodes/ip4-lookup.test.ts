import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseIpAddress } from '../base/address.ts';
import { ADJACENCY } from '../forward/adjacency.ts';
import { REASON } from '../graph/reasons.ts';
import { bytes, DOWN, LEFT, RIGHT, Router } from './forward-fixtures.test.ts';
import { Ip4Lookup } from './ip4-lookup.ts';
import * as make from './packet-fixtures.test.ts';

interface Fields extends make.Ip4Fields {
  protocol?: number;
  from4?: string;
  to4?: string;
  frameTo?: make.Bytes;
}

const BROADCAST = [255, 255, 255, 255, 255, 255];
const node = (router: Router): Ip4Lookup => new Ip4Lookup({ routes: router.routes4, ...router });

function packetOf({ protocol = 17, from4 = '10.0.2.15', to4 = '192.0.2.1', ...rest }: Fields): number[] {
  return make.ip4(protocol, make.udp(1, 2, []), { ...rest, from: bytes(from4), to: bytes(to4) });
}

function through(router: Router, fields: Fields = {}, from: number = LEFT): string {
  const packet = router.receive(packetOf(fields), from, [], fields.frameTo);
  const verdict = router.verdict(node(router), packet);
  return verdict === 'ip4-error' ? `ip4-error ${reasonOf(router, packet)}` : verdict;
}

const reasonOf = (router: Router, packet: number): string =>
  Object.entries(REASON).find(([, number]) => number === router.packets.reason[packet])![0];

describe('ip4-lookup', () => {
  it('sends to a neighbour on a connected network, known or not', () => {
    const router = new Router();
    assert.equal(through(router), 'ip4-neighbour');
    assert.equal(router.adjacencies.kind[router.packets.adjacency[0]], ADJACENCY.GLEAN);
    const neighbour = router.neighbour(RIGHT, '192.0.2.1', false);
    assert.equal(through(router), 'ip4-neighbour');
    assert.equal(router.packets.adjacency[1], neighbour);
    router.adjacencies.setComplete(neighbour, 0x0200, 9);
    assert.equal(through(router), 'ip4-rewrite');
    assert.equal(router.packets.adjacency[2], neighbour);
  });

  it('sends to a gateway, and takes the longest match', () => {
    const router = new Router();
    const gateway = router.neighbour(RIGHT, '192.0.2.9');
    router.route('0.0.0.0/0', gateway);
    assert.equal(through(router, { to4: '203.0.113.5' }), 'ip4-rewrite');
    assert.equal(router.packets.adjacency[0], gateway);
    router.route('203.0.113.0/24', router.special(ADJACENCY.DROP));
    assert.equal(through(router, { to4: '203.0.113.5' }), 'route-drops');
    router.route('203.0.113.5/32', router.special(ADJACENCY.UNREACHABLE));
    assert.equal(through(router, { to4: '203.0.113.5' }), 'ip4-error host-unreachable');
  });

  it('keeps the packets of a flow on one of several equal ways', () => {
    const router = new Router();
    const ways = [router.neighbour(RIGHT, '192.0.2.8'), router.neighbour(RIGHT, '192.0.2.9')];
    const group = router.groups.create(ways.map((adjacency) => ({ adjacency, weight: 1 })));
    assert.ok(group.ok);
    router.route('0.0.0.0/0', group.value);
    const taken = new Set<number>();
    for (let host = 0; host < 40; host++) {
      assert.equal(through(router, { to4: `203.0.113.${host}` }), 'ip4-rewrite');
      assert.equal(through(router, { to4: `203.0.113.${host}`, id: 9 }), 'ip4-rewrite');
      assert.equal(router.packets.adjacency[2 * host], router.packets.adjacency[2 * host + 1]);
      taken.add(router.packets.adjacency[2 * host]);
    }
    assert.deepEqual([...taken].sort(), [...ways].sort());
  });

  it('tells the sender when there is no route, and when time to live is used up', () => {
    const router = new Router();
    router.neighbour(RIGHT, '192.0.2.1');
    assert.equal(through(router, { to4: '203.0.113.5' }), 'ip4-error no-route');
    assert.equal(through(router, { ttl: 1 }), 'ip4-error hop-limit-exceeded');
    assert.equal(through(router, { ttl: 0 }), 'ip4-error hop-limit-exceeded');
    assert.equal(through(router, { ttl: 1, to4: '192.0.2.77' }), 'ip4-error hop-limit-exceeded');
    assert.equal(through(router, { ttl: 2 }), 'ip4-rewrite');
    assert.equal(through(router, { ttl: 1 }, -1), 'ip4-rewrite');
    assert.equal(through(router, { ttl: 1, to4: '10.0.2.1' }), 'ip4-local');
  });

  it('keeps what is ours, on whatever interface it came', () => {
    const router = new Router();
    assert.equal(through(router, { to4: '10.0.2.1' }), 'ip4-local');
    assert.equal(through(router, { to4: '192.0.2.254' }), 'ip4-local');
    const local = router.packets.adjacency[0];
    assert.deepEqual([router.adjacencies.packets[local], router.adjacencies.bytes[local]], [1, 28]);
  });

  it('hands to the translators what goes by the uplink', () => {
    const router = new Router();
    router.route('0.0.0.0/0', router.special(ADJACENCY.UPLINK));
    assert.equal(through(router, { to4: '203.0.113.5', protocol: 6 }), 'tcp-input');
    assert.equal(through(router, { to4: '203.0.113.5', protocol: 17 }), 'udp-input');
    assert.equal(through(router, { to4: '203.0.113.5', protocol: 1 }), 'icmp-input');
    assert.equal(through(router, { to4: '203.0.113.5', protocol: 47 }), 'protocol-unknown');
  });

  it('forwards fragments as they are, and has those put together that are read here', () => {
    const router = new Router();
    router.neighbour(RIGHT, '192.0.2.1');
    router.route('0.0.0.0/0', router.special(ADJACENCY.UPLINK));
    for (const fragment of [0x2000, 0x0010]) {
      assert.equal(through(router, { fragment }), 'ip4-rewrite');
      assert.equal(through(router, { fragment, to4: '10.0.2.1' }), 'ip4-reassembly');
      assert.equal(through(router, { fragment, to4: '203.0.113.5' }), 'ip4-reassembly');
    }
  });

  it('lets a packet leave by the interface that it came by, but not one that was for everybody on its link', () => {
    const router = new Router();
    router.neighbour(LEFT, '10.0.2.16');
    assert.equal(through(router, { to4: '10.0.2.16' }), 'ip4-rewrite');
    assert.equal(through(router, { to4: '10.0.2.16', frameTo: BROADCAST }), 'broadcast');
    assert.equal(through(router, { to4: '10.0.2.16', frameTo: [1, 0, 0x5e, 0, 0, 1] }), 'broadcast');
  });

  it('drops martians', () => {
    const router = new Router();
    router.neighbour(RIGHT, '192.0.2.1');
    assert.equal(through(router, { from4: '127.0.0.1' }), 'ip4-loopback');
    assert.equal(through(router, { from4: '0.0.0.0' }), 'ip4-source-invalid');
    assert.equal(through(router, { from4: '224.0.0.1' }), 'ip4-source-invalid');
    assert.equal(through(router, { from4: '255.255.255.255' }), 'ip4-source-invalid');
    assert.equal(through(router, { from4: '10.0.2.255' }), 'ip4-source-invalid');
    assert.equal(through(router, { from4: '10.0.2.1' }), 'own-source');
    assert.equal(through(router, { from4: '192.0.2.254' }), 'own-source');
    assert.equal(through(router, { from4: '10.0.2.1' }, -1), 'ip4-rewrite');
  });

  it('judges each source of a frame, and anew in the next frame', () => {
    const router = new Router();
    router.neighbour(RIGHT, '192.0.2.1');
    const sources = ['10.0.2.15', '10.0.2.15', '10.0.2.1', '10.0.2.1', '10.0.2.15', '127.0.0.1'];
    const frame = Int32Array.from(sources, (from4) => router.receive(packetOf({ from4 })));
    const arcs = new Uint8Array(sources.length);
    const lookup = node(router);
    lookup.process(router.packets, frame, frame.length, arcs);
    assert.deepEqual([...arcs], [2, 2, 0, 0, 2, 0]);
    router.addresses.remove(LEFT, parseIpAddress('10.0.2.1')!);
    lookup.process(router.packets, frame.subarray(2, 3), 1, arcs);
    assert.equal(arcs[0], 2);
  });

  it('drops what is for groups, for everybody, or for a whole network', () => {
    const router = new Router();
    assert.equal(through(router, { to4: '224.0.0.5' }), 'multicast');
    assert.equal(through(router, { to4: '255.255.255.255' }), 'broadcast');
    assert.equal(through(router, { to4: '127.0.0.1' }), 'ip4-loopback');
    assert.equal(through(router, { to4: '0.0.0.1' }), 'ip4-loopback');
    assert.equal(through(router, { to4: '192.0.2.255' }), 'directed-broadcast');
    assert.equal(through(router, { to4: '192.0.2.0' }), 'directed-broadcast');
  });

  it('forwards no link-local traffic', () => {
    const router = new Router();
    router.route('0.0.0.0/0', router.neighbour(RIGHT, '192.0.2.9'));
    assert.equal(through(router, { to4: '169.254.1.1' }), 'link-local-scope');
    assert.equal(through(router, { from4: '169.254.1.1' }), 'link-local-scope');
  });

  it('drops by an adjacency whose interface has gone', () => {
    const router = new Router();
    router.neighbour(RIGHT, '192.0.2.1');
    router.adjacencies.flush(RIGHT);
    assert.equal(through(router), 'route-drops');
  });

  it('never forwards what must not be forwarded', () => {
    const octet = fc.integer({ min: 0, max: 255 });
    const address = fc.oneof(
      fc.tuple(octet, octet, octet, octet),
      fc.constantFrom([10, 0, 2, 255], [10, 0, 2, 1], [192, 0, 2, 1], [192, 0, 2, 255], [169, 254, 0, 1]),
    );
    fc.assert(
      fc.property(address, address, fc.integer({ min: 0, max: 3 }), fc.boolean(), (from, to, ttl, group) => {
        const router = new Router();
        router.route('0.0.0.0/0', router.neighbour(RIGHT, '192.0.2.9'));
        const frameTo = group ? BROADCAST : make.OUR_MAC;
        const verdict = through(router, { from4: from.join('.'), to4: to.join('.'), ttl, frameTo });
        if (verdict !== 'ip4-rewrite' && verdict !== 'ip4-neighbour') return;
        assert.ok(ttl > 1 && !group);
        for (const [first, second] of [from, to]) {
          assert.ok(first > 0 && first < 224 && first !== 127 && !(first === 169 && second === 254));
        }
        assert.ok(!['10.0.2.1', '192.0.2.254', '198.51.100.1', '10.0.2.255', '10.0.2.0'].includes(from.join('.')));
        assert.ok(!/^(10\.0\.2|192\.0\.2|198\.51\.100)\.(0|255)$/.test(to.join('.')));
      }),
    );
  });

  it('asks for neighbours on interfaces that are down, too: that is for the next node to judge', () => {
    const router = new Router();
    assert.equal(through(router, { to4: '198.51.100.7' }), 'ip4-neighbour');
    assert.equal(router.adjacencies.interfaceIndex[router.packets.adjacency[0]], DOWN);
  });
});
