import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ADJACENCY } from '../forward/adjacency.ts';
import { REASON_NAMES } from '../graph/reasons.ts';
import { bytes, LEFT, RIGHT, Router } from './forward-fixtures.test.ts';
import { Ip6Lookup } from './ip6-lookup.ts';
import * as make from './packet-fixtures.test.ts';

interface Fields extends make.Ip6Fields {
  next?: number;
  from6?: string;
  to6?: string;
  frameTo?: make.Bytes;
  payload?: make.Bytes;
}

const HOST = '2001:db8:1::9';
const FRAGMENT_HEADER = [17, 0, 0, 1, 0, 0, 0, 1];
const node = (router: Router): Ip6Lookup => new Ip6Lookup({ routes: router.routes6, ...router });

function through(router: Router, fields: Fields = {}, from: number = LEFT): string {
  const { next = 17, from6 = '2001:db8::15', to6 = HOST, payload = new Array(8).fill(0), frameTo } = fields;
  const bytesOf = make.ip6(next, payload, { ...fields, from: bytes(from6), to: bytes(to6) });
  const packet = router.receive(bytesOf, from, [], frameTo);
  // What ip6-input finds behind a fragment header.
  if (next === 44) router.packets.protocol[packet] = payload[0];
  const verdict = router.verdict(node(router), packet);
  return verdict === 'ip6-error' ? `ip6-error ${REASON_NAMES[router.packets.reason[packet]]}` : verdict;
}

describe('ip6-lookup', () => {
  it('sends to a neighbour on a connected network, known or not', () => {
    const router = new Router();
    assert.equal(through(router), 'ip6-neighbour');
    assert.equal(router.adjacencies.kind[router.packets.adjacency[0]], ADJACENCY.GLEAN);
    const neighbour = router.neighbour(RIGHT, HOST, false);
    assert.equal(through(router), 'ip6-neighbour');
    router.adjacencies.setComplete(neighbour, 0x0200, 9);
    assert.equal(through(router), 'ip6-rewrite');
    assert.equal(router.packets.adjacency[2], neighbour);
  });

  it('sends to a gateway whose address is link-local, and takes the longest match', () => {
    const router = new Router();
    router.route('::/0', router.neighbour(RIGHT, 'fe80::9'));
    assert.equal(through(router, { to6: '2001:db8:ffff::1' }), 'ip6-rewrite');
    router.route('2001:db8:ffff::/48', router.special(ADJACENCY.DROP));
    assert.equal(through(router, { to6: '2001:db8:ffff::1' }), 'route-drops');
    router.route('2001:db8:ffff::1/128', router.special(ADJACENCY.UNREACHABLE));
    assert.equal(through(router, { to6: '2001:db8:ffff::1' }), 'ip6-error host-unreachable');
  });

  it('tells the sender when there is no route, and when the hop limit is used up', () => {
    const router = new Router();
    router.neighbour(RIGHT, HOST);
    assert.equal(through(router, { to6: '2001:db8:ffff::1' }), 'ip6-error no-route');
    assert.equal(through(router, { limit: 1 }), 'ip6-error hop-limit-exceeded');
    assert.equal(through(router, { limit: 0 }), 'ip6-error hop-limit-exceeded');
    assert.equal(through(router, { limit: 2 }), 'ip6-rewrite');
    assert.equal(through(router, { limit: 1 }, -1), 'ip6-rewrite');
    assert.equal(through(router, { limit: 1, to6: '2001:db8::1' }), 'ip6-local');
  });

  it('takes a link-local destination for ours only on its link, and forwards none', () => {
    const router = new Router();
    router.route('::/0', router.neighbour(RIGHT, 'fe80::9'));
    assert.equal(through(router, { to6: 'fe80::1' }), 'ip6-local');
    assert.equal(through(router, { to6: 'fe80::1', from6: 'fe80::77' }, RIGHT), 'ip6-local');
    assert.equal(through(router, { to6: 'fe80::9' }), 'link-local-scope');
    assert.equal(through(router, { from6: 'fe80::77' }), 'ip6-error link-local-scope');
    assert.equal(through(router, { from6: 'fe80::77', to6: '2001:db8:1::ff' }), 'ip6-local');
  });

  it('hands to the translators what goes by the uplink', () => {
    const router = new Router();
    router.route('::/0', router.special(ADJACENCY.UPLINK));
    const to6 = '2001:db8:ffff::1';
    assert.equal(through(router, { to6, next: 6 }), 'tcp-input');
    assert.equal(through(router, { to6, next: 17 }), 'udp-input');
    assert.equal(through(router, { to6, next: 58 }), 'icmp6-input');
    assert.equal(through(router, { to6, next: 132 }), 'protocol-unknown');
  });

  it('forwards fragments as they are, and has those put together that are read here', () => {
    const router = new Router();
    router.neighbour(RIGHT, HOST);
    router.route('::/0', router.special(ADJACENCY.UPLINK));
    const payload = [...FRAGMENT_HEADER, 0, 0, 0, 0, 0, 0, 0, 0];
    assert.equal(through(router, { next: 44, payload }), 'ip6-rewrite');
    assert.equal(through(router, { next: 44, payload, to6: '2001:db8::1' }), 'ip6-reassembly');
    assert.equal(through(router, { next: 44, payload, to6: '2001:db8:ffff::1' }), 'ip6-reassembly');
    const atomic = [17, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    assert.equal(through(router, { next: 44, payload: atomic, to6: '2001:db8::1' }), 'ip6-local');
  });

  it('drops martians, groups, and what was for a group on its link', () => {
    const router = new Router();
    router.neighbour(RIGHT, HOST);
    assert.equal(through(router, { from6: '::' }), 'ip6-source-invalid');
    assert.equal(through(router, { from6: '::1' }), 'ip6-loopback');
    assert.equal(through(router, { from6: '::ffff:10.0.0.1' }), 'ip6-source-invalid');
    assert.equal(through(router, { from6: 'ff02::1' }), 'ip6-source-invalid');
    assert.equal(through(router, { from6: '2001:db8:1::ff' }), 'own-source');
    assert.equal(through(router, { from6: 'fe80::1' }), 'own-source');
    assert.equal(through(router, { to6: '::1' }), 'ip6-loopback');
    assert.equal(through(router, { to6: 'ff02::1' }), 'multicast');
    assert.equal(through(router, { frameTo: [0x33, 0x33, 0, 0, 0, 1] }), 'multicast');
    assert.equal(through(router, { from6: '2001:db8:1::7' }, RIGHT), 'ip6-rewrite');
  });
});
