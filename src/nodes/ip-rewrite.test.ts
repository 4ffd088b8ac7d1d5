import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import * as ipv4 from '../wire/ipv4.ts';
import { bytes, DOWN, LEFT, NEIGHBOUR_MAC, RIGHT, RIGHT_MAC, Router } from './forward-fixtures.test.ts';
import { Ip4Rewrite } from './ip4-rewrite.ts';
import { Ip6Rewrite } from './ip6-rewrite.ts';
import * as make from './packet-fixtures.test.ts';

const NEIGHBOUR4 = '192.0.2.1';
const NEIGHBOUR6 = '2001:db8:1::9';
const DONT_FRAGMENT = 0x4000;
const IP6_ADDRESSES = { from: bytes('2001:db8::15'), to: bytes(NEIGHBOUR6) };

/** A virtio-net header: flags, GSO type, segment bytes, where the checksum starts and lies. */
const vnet = (flags: number, gso: number, size: number, start: number, offset: number): number[] => [
  flags,
  gso,
  0,
  0,
  size & 0xff,
  size >>> 8,
  start,
  0,
  offset,
  0,
  0,
  0,
];
const zeros = (count: number): number[] => new Array(count).fill(0);
/** A TCP header of 20 bytes and payload. */
const tcp = (payloadBytes: number): number[] => [
  ...zeros(12),
  0x50,
  0x10,
  ...zeros(6),
  ...zeros(payloadBytes).map((_, i) => i & 0xff),
];

function rewrite4(router: Router, packet: number, adjacency: number = router.neighbour(RIGHT, NEIGHBOUR4)): string {
  router.packets.adjacency[packet] = adjacency;
  return router.verdict(new Ip4Rewrite(router, router.output), packet);
}

function rewrite6(router: Router, packet: number, adjacency: number = router.neighbour(RIGHT, NEIGHBOUR6)): string {
  router.packets.adjacency[packet] = adjacency;
  return router.verdict(new Ip6Rewrite(router), packet);
}

describe('ip4-rewrite', () => {
  it('counts down, writes both MAC addresses, names the interface, cuts padding off', () => {
    const router = new Router();
    const frame = make.ip4(17, make.udp(1, 2, [1, 2, 3]), { ttl: 64 });
    const packet = router.receive([...frame, ...zeros(15)]);
    assert.equal(rewrite4(router, packet), 'interface-output');
    const expected = make.ip4(17, make.udp(1, 2, [1, 2, 3]), { ttl: 63 });
    assert.deepEqual(make.taken(router.packets, packet), [...NEIGHBOUR_MAC, ...RIGHT_MAC, 8, 0, ...expected]);
    assert.equal(router.packets.txInterface[packet], RIGHT);
    const adjacency = router.packets.adjacency[packet];
    assert.deepEqual([router.adjacencies.packets[adjacency], router.adjacencies.bytes[adjacency]], [1, 31]);
  });

  it('keeps the header checksum right, whatever the header', () => {
    const byte = fc.integer({ min: 0, max: 255 });
    const any = fc.record({
      tos: byte,
      id: fc.integer({ min: 0, max: 0xffff }),
      ttl: fc.integer({ min: 2, max: 255 }),
      options: fc.constantFrom<number[]>([], [1, 1, 1, 0], [0x94, 4, 0, 0]),
      to: fc.tuple(byte, byte, byte, byte),
    });
    fc.assert(
      fc.property(any, (fields) => {
        const router = new Router();
        const packet = router.receive(make.ip4(17, zeros(8), fields));
        assert.equal(rewrite4(router, packet), 'interface-output');
        const header = router.ip(packet).slice(0, 20 + fields.options.length);
        assert.equal(make.checksum(header), 0);
        assert.equal(header[8], fields.ttl - 1);
      }),
    );
  });

  it('does not count down our own packets', () => {
    const router = new Router();
    const packet = router.receive(make.ip4(17, zeros(8), { ttl: 1 }), -1);
    assert.equal(rewrite4(router, packet), 'interface-output');
    assert.equal(router.ip(packet)[8], 1);
    assert.equal(rewrite4(router, router.receive(make.ip4(17, zeros(8), { ttl: 1 }))), 'ip4-error');
  });

  it('drops what would leave by an interface that is down or gone', () => {
    const router = new Router();
    const down = router.neighbour(DOWN, '198.51.100.9');
    assert.equal(rewrite4(router, router.receive(make.ip4(17, zeros(8))), down), 'interface-down');
    router.interfaces.remove(DOWN);
    assert.equal(rewrite4(router, router.receive(make.ip4(17, zeros(8))), down), 'interface-down');
  });

  it('has the sender told when the neighbour is lost again', () => {
    const router = new Router();
    const lost = router.neighbour(RIGHT, NEIGHBOUR4, false);
    assert.equal(rewrite4(router, router.receive(make.ip4(17, zeros(8))), lost), 'ip4-error');
    assert.equal(rewrite4(router, router.receive(make.ip4(17, zeros(8))), 77), 'ip4-error');
    assert.equal(rewrite4(router, router.receive(make.ip4(17, zeros(8))), -1), 'ip4-error');
  });

  it('cuts what is too large, and refuses where that is forbidden', () => {
    const router = new Router();
    router.interfaces.mtu[RIGHT] = 576;
    const datagram = make.udp(1, 2, zeros(1200));
    const exact = make.ip4(17, zeros(556), { fragment: DONT_FRAGMENT });
    assert.equal(rewrite4(router, router.receive(exact)), 'interface-output');
    const forbidden = router.receive(make.ip4(17, datagram, { fragment: DONT_FRAGMENT }));
    assert.equal(rewrite4(router, forbidden), 'ip4-error');
    assert.deepEqual([router.packets.txInterface[forbidden], router.ip(forbidden)[8]], [RIGHT, 64]);
    assert.equal(rewrite4(router, router.receive(make.ip4(17, datagram, { id: 7 }))), 'done');
    assert.equal(router.sent.length, 3);
    const payload = router.sent.flatMap((piece) => router.ip(piece).slice(20));
    assert.deepEqual(payload, datagram);
    for (const piece of router.sent) {
      const ip = router.ip(piece);
      assert.ok(ip.length <= 576 && make.checksum(ip.slice(0, 20)) === 0);
      assert.deepEqual([ip[5], ip[8], router.packets.txInterface[piece]], [7, 63, RIGHT]);
      assert.deepEqual(make.taken(router.packets, piece).slice(0, 14), [...NEIGHBOUR_MAC, ...RIGHT_MAC, 8, 0]);
    }
  });

  it('completes a checksum that was left to the device before it cuts', () => {
    const router = new Router();
    router.interfaces.mtu[RIGHT] = 576;
    const whole = make.udp(1, 2, zeros(1200));
    const partial = [...whole];
    const pseudo = ~make.checksum([...make.GUEST4, ...make.REMOTE4, 0, 17, ...make.u16(whole.length)]) & 0xffff;
    [partial[6], partial[7]] = make.u16(pseudo);
    assert.equal(rewrite4(router, router.receive(make.ip4(17, partial), LEFT, vnet(1, 0, 0, 34, 6))), 'done');
    assert.deepEqual(router.ip(router.sent[0]).slice(20, 28), whole.slice(0, 8));
  });

  it('refuses a virtio-net header that would change the IP header, or fits another protocol', () => {
    const router = new Router();
    const datagram = make.ip4(17, zeros(20));
    const through = (header: number[]): string => rewrite4(router, router.receive(datagram, LEFT, header));
    assert.equal(through(vnet(1, 0, 0, 34, 6)), 'interface-output');
    assert.equal(through(vnet(1, 0, 0, 14, 12)), 'vnet-header-invalid');
    assert.equal(through(vnet(1, 0, 0, 34, 19)), 'vnet-header-invalid');
    assert.equal(through(vnet(1, 1, 100, 34, 6)), 'vnet-header-invalid');
    assert.equal(through(vnet(1, 4, 100, 34, 6)), 'vnet-header-invalid');
    assert.equal(through(vnet(1, 5, 100, 34, 6)), 'interface-output');
  });

  it('takes a packet that is to be cut into segments for as large as one of these', () => {
    const router = new Router();
    const large = make.ip4(6, tcp(9000), { fragment: DONT_FRAGMENT });
    const through = (size: number): string => rewrite4(router, router.receive(large, LEFT, vnet(1, 1, size, 34, 16)));
    assert.equal(through(1460), 'interface-output');
    assert.equal(through(1461), 'ip4-error');
  });

  it('makes TCP segments smaller where they may be cut, and drops UDP ones', () => {
    const router = new Router();
    const packet = router.receive(make.ip4(6, tcp(9000)), LEFT, vnet(1, 1, 8960, 34, 16));
    assert.equal(rewrite4(router, packet), 'interface-output');
    const header = router.packets.start[packet] - 12;
    assert.equal(router.packets.view.getUint16(header + 4, true), 1460);
    const udp = router.receive(make.ip4(17, make.udp(1, 2, zeros(9000))), LEFT, vnet(1, 5, 3000, 34, 6));
    assert.equal(rewrite4(router, udp), 'gso-too-large');
  });

  it('drops what it has no room to cut, or what claims to end beyond a datagram', () => {
    const router = new Router();
    router.interfaces.mtu[RIGHT] = 576;
    const beyond = router.receive(make.ip4(17, zeros(1200), { fragment: 0x1fff }));
    assert.equal(rewrite4(router, beyond), 'fragment-invalid');
    const packet = router.receive(make.ip4(17, zeros(1200)));
    router.packets.used = router.packets.bytes.length - 600;
    assert.equal(rewrite4(router, packet), 'arena-full');
    assert.equal(ipv4.totalLength(router.packets.view, router.packets.network[packet]), 1220);
  });
});

describe('ip6-rewrite', () => {
  it('says in a trace where a packet goes', () => {
    const router = new Router();
    const packet = router.receive(make.ip6(17, make.udp(1, 2, []), IP6_ADDRESSES));
    const rewrite = new Ip6Rewrite(router);
    assert.equal(rewrite.describe(router.packets, packet), undefined);
    router.packets.adjacency[packet] = router.neighbour(RIGHT, NEIGHBOUR6);
    assert.match(rewrite.describe(router.packets, packet)!, / to 2001:db8:1::9 \(02:00:00:00:00:99\) on interface 1$/);
    router.adjacencies.setIncomplete(router.packets.adjacency[packet]);
    assert.match(rewrite.describe(router.packets, packet)!, /\(incomplete\)/);
  });

  it('counts down, writes both MAC addresses and names the interface', () => {
    const router = new Router();
    const packet = router.receive([...make.ip6(17, zeros(8), IP6_ADDRESSES), 9, 9, 9]);
    assert.equal(rewrite6(router, packet), 'interface-output');
    const expected = make.ip6(17, zeros(8), { ...IP6_ADDRESSES, limit: 63 });
    assert.deepEqual(make.taken(router.packets, packet), [...NEIGHBOUR_MAC, ...RIGHT_MAC, 0x86, 0xdd, ...expected]);
    assert.equal(router.packets.txInterface[packet], RIGHT);
    const own = router.receive(make.ip6(17, zeros(8), { ...IP6_ADDRESSES, limit: 1 }), -1);
    assert.equal(rewrite6(router, own), 'interface-output');
    assert.equal(router.ip(own)[7], 1);
    assert.equal(rewrite6(router, router.receive(make.ip6(17, zeros(8), { limit: 1 }))), 'ip6-error');
  });

  it('cuts nothing: tells the sender what is too large, by segments where there are', () => {
    const router = new Router();
    const through = (packet: number[], header: number[] = []): string =>
      rewrite6(router, router.receive(packet, LEFT, header));
    assert.equal(through(make.ip6(17, zeros(1460), IP6_ADDRESSES)), 'interface-output');
    assert.equal(through(make.ip6(17, zeros(1461), IP6_ADDRESSES)), 'ip6-error');
    const large = make.ip6(6, tcp(9000), IP6_ADDRESSES);
    assert.equal(through(large, vnet(1, 4, 1440, 54, 16)), 'interface-output');
    assert.equal(through(large, vnet(1, 4, 1441, 54, 16)), 'ip6-error');
    assert.equal(through(large, vnet(1, 1, 1440, 54, 16)), 'vnet-header-invalid');
    const datagrams = make.ip6(17, zeros(9000), IP6_ADDRESSES);
    assert.equal(through(datagrams, vnet(1, 5, 1452, 54, 6)), 'interface-output');
    assert.equal(through(datagrams, vnet(1, 5, 1453, 54, 6)), 'ip6-error');
  });

  it('drops what would leave by an interface that is down', () => {
    const router = new Router();
    const down = router.neighbour(DOWN, '2001:db8:2::1');
    assert.equal(rewrite6(router, router.receive(make.ip6(17, zeros(8))), down), 'interface-down');
    assert.equal(rewrite6(router, router.receive(make.ip6(17, zeros(8))), -1), 'ip6-error');
  });
});
