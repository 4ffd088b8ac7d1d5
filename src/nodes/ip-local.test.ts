import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { REASON_NAMES } from '../graph/reasons.ts';
import { bytes, LEFT, RIGHT, Router } from './forward-fixtures.test.ts';
import { Ip4Local, Ip6Local } from './ip-local.ts';
import * as make from './packet-fixtures.test.ts';

const OUR4 = bytes('10.0.2.1');
const OUR6 = bytes('2001:db8::1');
const ECHO = [0x12, 0x34, 0, 1, 1, 2, 3];
const NEEDS_CHECKSUM = [1, 0, 0, 0, 0, 0, 34, 0, 2, 0];

function through4(protocol: number, payload: make.Bytes, fields: make.Ip4Fields = {}): string {
  const router = new Router();
  const packet = router.receive(make.ip4(protocol, payload, { to: OUR4, ...fields }));
  const verdict = router.verdict(new Ip4Local(router.interfaces, router.output), packet);
  return verdict === 'ip4-error' ? `ip4-error ${REASON_NAMES[router.packets.reason[packet]]}` : verdict;
}

function through6(next: number, payload: make.Bytes): string {
  const router = new Router();
  const packet = router.receive(make.ip6(next, payload, { to: OUR6 }));
  const verdict = router.verdict(new Ip6Local(router.interfaces, router.output, 7), packet);
  return verdict === 'ip6-error' ? `ip6-error ${REASON_NAMES[router.packets.reason[packet]]}` : verdict;
}

describe('ip4-local', () => {
  it('answers echo in place, back to who sent the frame', () => {
    const router = new Router();
    const request = make.ip4(1, make.icmp4(8, 0, ECHO), { to: OUR4, ttl: 1, id: 77, tos: 4 });
    const packet = router.receive([...request, 0, 0, 0]);
    assert.equal(router.verdict(new Ip4Local(router.interfaces, router.output), packet), 'interface-output');
    const reply = make.ip4(1, make.icmp4(0, 0, ECHO), { from: OUR4, to: make.GUEST4, id: 77, tos: 4 });
    const frame = [...make.GUEST_MAC, ...make.OUR_MAC, 8, 0, ...reply];
    assert.deepEqual(make.taken(router.packets, packet), frame);
    assert.equal(router.packets.txInterface[packet], LEFT);
  });

  it('answers from the address that was asked, by the interface that the packet came in by', () => {
    const router = new Router();
    const packet = router.receive(make.ip4(1, make.icmp4(8, 0, ECHO), { to: OUR4 }), RIGHT);
    assert.equal(router.verdict(new Ip4Local(router.interfaces, router.output), packet), 'interface-output');
    assert.deepEqual(router.ip(packet).slice(12, 16), OUR4);
    assert.equal(router.packets.txInterface[packet], RIGHT);
    router.interfaces.up[RIGHT] = 0;
    assert.equal(router.verdict(new Ip4Local(router.interfaces, router.output), packet), 'icmp-type-unsupported');
    const down = router.receive(make.ip4(1, make.icmp4(8, 0, ECHO), { to: OUR4 }), RIGHT);
    assert.equal(router.verdict(new Ip4Local(router.interfaces, router.output), down), 'interface-down');
  });

  it('believes a checksum that was left to the device, and answers with a whole one', () => {
    const router = new Router();
    const wrong = make.icmp4(8, 0, ECHO);
    wrong[2] ^= 1;
    assert.equal(through4(1, wrong), 'icmp-checksum-wrong');
    const packet = router.receive(make.ip4(1, wrong, { to: OUR4 }), LEFT, NEEDS_CHECKSUM);
    assert.equal(router.verdict(new Ip4Local(router.interfaces, router.output), packet), 'interface-output');
    assert.deepEqual(router.ip(packet).slice(20), make.icmp4(0, 0, ECHO));
    assert.equal(router.packets.bytes[router.packets.start[packet] - 12], 0);
  });

  it('answers a question that is larger than the MTU in fragments, with its identification', () => {
    const router = new Router();
    const large = new Array(3000).fill(5);
    const packet = router.receive(make.ip4(1, make.icmp4(8, 0, large), { to: OUR4, id: 77 }));
    assert.equal(router.verdict(new Ip4Local(router.interfaces, router.output), packet), 'done');
    assert.deepEqual(
      router.sent.map((piece) => [
        router.ip(piece).length <= 1500,
        router.ip(piece)[5],
        router.packets.txInterface[piece],
      ]),
      [1, 2, 3].map(() => [true, 77, LEFT]),
    );
    const answered = router.sent.flatMap((piece) => router.ip(piece).slice(20));
    assert.deepEqual(answered, make.icmp4(0, 0, large));
  });

  it('acts on no other ICMP message', () => {
    assert.equal(through4(1, make.icmp4(0, 0, ECHO)), 'icmp-type-unsupported');
    assert.equal(through4(1, make.icmp4(3, 1, ECHO)), 'icmp-type-unsupported');
    for (let length = 0; length < 8; length++) assert.equal(through4(1, new Array(length).fill(0)), 'icmp-invalid');
  });

  it('refuses all else', () => {
    assert.equal(through4(17, make.udp(1, 2, [])), 'ip4-error port-unreachable');
    assert.equal(through4(6, new Array(20).fill(0)), 'ip4-error port-unreachable');
    assert.equal(through4(47, []), 'ip4-error protocol-unreachable');
  });
});

describe('ip6-local', () => {
  it('answers echo in place, back to who sent the frame', () => {
    const router = new Router();
    const request = make.ip6(58, make.icmp6(128, 0, ECHO, make.GUEST6, OUR6), { to: OUR6, limit: 1 });
    const packet = router.receive([...request, 0, 0, 0]);
    assert.equal(router.verdict(new Ip6Local(router.interfaces, router.output, 7), packet), 'interface-output');
    const reply = make.ip6(58, make.icmp6(129, 0, ECHO, OUR6, make.GUEST6), { from: OUR6, to: make.GUEST6 });
    const frame = [...make.GUEST_MAC, ...make.OUR_MAC, 0x86, 0xdd, ...reply];
    assert.deepEqual(make.taken(router.packets, packet), frame);
    assert.equal(router.packets.txInterface[packet], LEFT);
  });

  it('answers a question that is larger than the MTU in fragments', () => {
    const router = new Router();
    const large = new Array(3000).fill(5);
    const packet = router.receive(make.ip6(58, make.icmp6(128, 0, large, make.GUEST6, OUR6), { to: OUR6 }));
    assert.equal(router.verdict(new Ip6Local(router.interfaces, router.output, 7), packet), 'done');
    const answered = router.sent.flatMap((piece) => router.ip(piece).slice(48));
    assert.deepEqual(answered, make.icmp6(129, 0, large, OUR6, make.GUEST6));
    assert.deepEqual(router.ip(router.sent[0]).slice(44, 48), [0, 0, 0, 8]);
  });

  it('acts on no other ICMPv6 message, and on none that is wrong', () => {
    assert.equal(through6(58, make.icmp6(129, 0, ECHO, make.GUEST6, OUR6)), 'icmp-type-unsupported');
    assert.equal(through6(58, make.icmp6(1, 0, ECHO, make.GUEST6, OUR6)), 'icmp-type-unsupported');
    assert.equal(through6(58, make.icmp6(128, 0, ECHO, OUR6, OUR6)), 'icmp-checksum-wrong');
    for (let length = 0; length < 8; length++) assert.equal(through6(58, new Array(length).fill(0)), 'icmp-invalid');
  });

  it('refuses all else', () => {
    assert.equal(through6(17, make.udp(1, 2, [])), 'ip6-error port-unreachable');
    assert.equal(through6(6, new Array(20).fill(0)), 'ip6-error port-unreachable');
    assert.equal(through6(132, []), 'ip6-error protocol-unreachable');
  });
});
