import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { REASON, type ReasonName } from '../graph/reasons.ts';
import { bytes, LEFT, RIGHT, Router } from './forward-fixtures.test.ts';
import { Ip4Error, Ip6Error, IpErrors } from './ip-error.ts';
import * as make from './packet-fixtures.test.ts';

const REMOTE = '203.0.113.5';
const REMOTE6 = '2001:db8:ffff::1';
const OUR4 = bytes('10.0.2.1');
const OUR6 = bytes('2001:db8::1');
const GUEST6 = bytes('2001:db8::15');
const GROUP_MAC = [1, 0, 0x5e, 0, 0, 1];
const zeros = (count: number): number[] => new Array(count).fill(0);

interface About {
  reason?: ReasonName;
  /** Where the packet came in. */
  on?: number;
  frameTo?: make.Bytes;
  frameFrom?: make.Bytes;
}

class Scene {
  readonly router: Router = new Router();
  readonly errors: IpErrors = new IpErrors(this.router);

  /** What is sent about a packet: the whole IP packet, or nothing. */
  about(packet: make.Bytes, { reason = 'no-route', on = LEFT, frameTo, frameFrom }: About = {}): number[] | undefined {
    const { router } = this;
    const index = router.receive(packet, on, [], frameTo);
    if (frameFrom) router.packets.bytes.set(frameFrom, router.packets.start[index] + 6);
    router.packets.reason[index] = REASON[reason];
    router.packets.txInterface[index] = RIGHT;
    router.sent.length = 0;
    const node = packet[0] >>> 4 === 4 ? new Ip4Error(this.errors) : new Ip6Error(this.errors);
    assert.equal(router.verdict(node, index), reason);
    return router.sent.length === 0 ? undefined : router.ip(router.sent[0]);
  }
}

const udp4 = (fields: make.Ip4Fields = {}): number[] =>
  make.ip4(17, make.udp(1, 2, [7]), { to: bytes(REMOTE), ...fields });
const icmp4 = (type: number): number[] => make.ip4(1, make.icmp4(type, 0, zeros(4)), { to: bytes(REMOTE) });
const any6 = (next: number, payload: make.Bytes, fields: make.Ip6Fields = {}): number[] =>
  make.ip6(next, payload, { from: GUEST6, to: bytes(REMOTE6), ...fields });
const udp6 = (fields: make.Ip6Fields = {}): number[] => any6(17, zeros(8), fields);
const silent = (packet: make.Bytes, about?: About): void => assert.equal(new Scene().about(packet, about), undefined);
const spoken = (packet: make.Bytes, about?: About): void => assert.ok(new Scene().about(packet, about));

describe('ip4-error', () => {
  it('answers who sent the frame, from our address on that link, and quotes', () => {
    const scene = new Scene();
    const packet = udp4();
    const error = scene.about(packet)!;
    const message = make.icmp4(3, 0, [0, 0, 0, 0, ...packet]);
    const expected = make.ip4(1, message, { from: OUR4, to: make.GUEST4, tos: 0xc0, id: 0, fragment: 0x4000 });
    assert.deepEqual(error, expected);
    const frame = make.taken(scene.router.packets, scene.router.sent[0]);
    assert.deepEqual(frame.slice(0, 14), [...make.GUEST_MAC, ...make.OUR_MAC, 8, 0]);
    assert.equal(scene.router.packets.txInterface[scene.router.sent[0]], LEFT);
    assert.equal(scene.errors.sent, 1);
  });

  it('says what the reason says', () => {
    const typeAndCode = (reason: ReasonName): number[] | undefined =>
      new Scene().about(udp4(), { reason })?.slice(20, 22);
    assert.deepEqual(typeAndCode('hop-limit-exceeded'), [11, 0]);
    assert.deepEqual(typeAndCode('no-route'), [3, 0]);
    assert.deepEqual(typeAndCode('host-unreachable'), [3, 1]);
    assert.deepEqual(typeAndCode('protocol-unreachable'), [3, 2]);
    assert.deepEqual(typeAndCode('port-unreachable'), [3, 3]);
    assert.deepEqual(typeAndCode('packet-too-big'), [3, 4]);
    assert.deepEqual(typeAndCode('policy-refused'), [3, 13]);
    assert.equal(typeAndCode('own-source'), undefined);
    assert.equal(typeAndCode('link-local-scope'), undefined);
  });

  it('names the MTU of where the packet was to leave', () => {
    const scene = new Scene();
    scene.router.interfaces.mtu[RIGHT] = 1280;
    assert.deepEqual(scene.about(udp4(), { reason: 'packet-too-big' })!.slice(24, 28), [0, 0, 5, 0]);
    assert.deepEqual(scene.about(udp4(), { reason: 'no-route' })!.slice(24, 28), [0, 0, 0, 0]);
  });

  it('comes from the address that the packet was for, where that is ours', () => {
    const to = bytes('192.0.2.254');
    assert.deepEqual(new Scene().about(udp4({ to }), { reason: 'port-unreachable' })!.slice(12, 16), to);
  });

  it('quotes no more than fits 576 bytes', () => {
    const error = new Scene().about(make.ip4(17, zeros(1400), { to: bytes(REMOTE) }))!;
    assert.equal(error.length, 576);
    assert.equal(make.checksum(error.slice(20)), 0);
  });

  it('says nothing about an ICMP error, or what may be one', () => {
    for (const type of [3, 4, 5, 11, 12]) silent(icmp4(type));
    for (const type of [0, 8, 13]) spoken(icmp4(type));
    silent(make.ip4(1, [], { to: bytes(REMOTE) }));
  });

  it('says nothing about a fragment other than the first', () => {
    spoken(udp4({ fragment: 0x2000 }));
    silent(udp4({ fragment: 0x2001 }));
    silent(udp4({ fragment: 0x0001 }));
  });

  it('says nothing about what was for a group or for everybody', () => {
    silent(udp4({ to: [224, 0, 0, 5] }));
    silent(udp4({ to: [255, 255, 255, 255] }));
    silent(udp4({ to: [10, 0, 2, 255] }));
    silent(udp4(), { frameTo: GROUP_MAC });
    silent(udp4(), { frameTo: [255, 255, 255, 255, 255, 255] });
    silent(udp4(), { frameFrom: GROUP_MAC });
  });

  it('says nothing to a source that is not one host, or is ourselves', () => {
    for (const from of [
      '0.0.0.0',
      '127.0.0.1',
      '224.0.0.1',
      '240.0.0.1',
      '255.255.255.255',
      '10.0.2.255',
      '10.0.2.1',
    ]) {
      silent(udp4({ from: bytes(from) }));
    }
    silent(udp4(), { on: -1 });
  });

  it('says nothing by an interface that is down, or where we have no address', () => {
    const scene = new Scene();
    scene.router.addresses.flush(LEFT);
    assert.equal(scene.about(udp4()), undefined);
    assert.equal(scene.errors.failed, 1);
    scene.router.interfaces.up[LEFT] = 0;
    assert.equal(scene.about(udp4()), undefined);
    assert.equal(scene.errors.failed, 1);
  });

  it('is limited in rate, on each interface for itself', () => {
    const scene = new Scene();
    let sent = 0;
    for (let i = 0; i < 80; i++) if (scene.about(udp4())) sent++;
    assert.deepEqual([sent, scene.errors.sent, scene.errors.limited], [50, 50, 30]);
    assert.ok(scene.about(udp4({ from: [192, 0, 2, 7] }), { on: RIGHT }));
    scene.router.clock.nowUs += 2000;
    assert.ok(scene.about(udp4()));
    assert.ok(scene.about(udp4()));
    assert.equal(scene.about(udp4()), undefined);
  });

  it('does without where the arena is full', () => {
    const scene = new Scene();
    const index = scene.router.receive(udp4());
    scene.router.packets.reason[index] = REASON['no-route'];
    scene.router.packets.used = scene.router.packets.bytes.length;
    assert.equal(scene.router.verdict(new Ip4Error(scene.errors), index), 'no-route');
    assert.deepEqual([scene.errors.sent, scene.errors.failed], [0, 1]);
  });
});

describe('ip6-error', () => {
  it('answers who sent the frame, from our address on that link, and quotes', () => {
    const packet = udp6();
    const error = new Scene().about(packet)!;
    const message = make.icmp6(1, 0, [0, 0, 0, 0, ...packet], OUR6, GUEST6);
    assert.deepEqual(error, make.ip6(58, message, { from: OUR6, to: GUEST6 }));
  });

  it('says what the reason says', () => {
    const typeAndCode = (reason: ReasonName): number[] | undefined =>
      new Scene().about(udp6(), { reason })?.slice(40, 42);
    assert.deepEqual(typeAndCode('hop-limit-exceeded'), [3, 0]);
    assert.deepEqual(typeAndCode('no-route'), [1, 0]);
    assert.deepEqual(typeAndCode('policy-refused'), [1, 1]);
    assert.deepEqual(typeAndCode('link-local-scope'), [1, 2]);
    assert.deepEqual(typeAndCode('host-unreachable'), [1, 3]);
    assert.deepEqual(typeAndCode('port-unreachable'), [1, 4]);
    assert.deepEqual(typeAndCode('packet-too-big'), [2, 0]);
    assert.deepEqual(typeAndCode('protocol-unreachable'), [4, 1]);
    assert.equal(typeAndCode('own-source'), undefined);
  });

  it('names the MTU, and the byte that names a protocol that we do not have', () => {
    const word = (packet: number[], reason: ReasonName): number[] =>
      new Scene().about(packet, { reason })!.slice(44, 48);
    assert.deepEqual(word(udp6(), 'packet-too-big'), make.v6(1500));
    assert.deepEqual(word(any6(132, zeros(8)), 'protocol-unreachable'), make.v6(6));
    const behindOptions = any6(60, [132, 0, 1, 4, 0, 0, 0, 0, ...zeros(8)]);
    assert.deepEqual(word(behindOptions, 'protocol-unreachable'), make.v6(40));
  });

  it('answers a link-local source from our link-local address', () => {
    const error = new Scene().about(udp6({ from: bytes('fe80::77') }), { reason: 'link-local-scope' })!;
    assert.deepEqual(error.slice(8, 40), [...bytes('fe80::1'), ...bytes('fe80::77')]);
  });

  it('quotes no more than fits 1280 bytes', () => {
    const error = new Scene().about(any6(17, zeros(1400)))!;
    assert.equal(error.length, 1280);
    assert.equal(make.checksum([...OUR6, ...GUEST6, 0, 58, ...make.u16(1240), ...error.slice(40)]), 0);
  });

  it('says nothing about an ICMPv6 error or redirect, or what may be one', () => {
    for (const type of [1, 2, 3, 4, 100, 127, 137]) silent(any6(58, make.icmp6(type, 0, zeros(4))));
    for (const type of [128, 129, 200]) spoken(any6(58, make.icmp6(type, 0, zeros(4))));
    silent(any6(58, []));
    silent(any6(0, [58, 0, 1, 4, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]));
  });

  it('says nothing about a fragment other than the first', () => {
    spoken(any6(44, [17, 0, 0, 1, 0, 0, 0, 1, ...zeros(8)]));
    silent(any6(44, [17, 0, 0, 9, 0, 0, 0, 1, ...zeros(8)]));
    silent(any6(44, [58, 0, 0, 1, 0, 0, 0, 1, 1, ...zeros(7)]));
  });

  it('says nothing about groups, or to who is not one host', () => {
    silent(udp6({ to: bytes('ff02::1') }));
    silent(udp6(), { frameTo: [0x33, 0x33, 0, 0, 0, 1] });
    for (const from of ['::', '::1', 'ff02::1', '::ffff:10.0.0.1', '2001:db8::1']) silent(udp6({ from: bytes(from) }));
    silent(udp6(), { on: -1 });
  });

  it('shares its rate with ip4-error', () => {
    const scene = new Scene();
    for (let i = 0; i < 50; i++) assert.ok(scene.about(i % 2 ? udp4() : udp6()));
    assert.equal(scene.about(udp6()), undefined);
    assert.equal(scene.errors.limited, 1);
  });
});

describe('errors of both families', () => {
  it('never answer an error of their own, whatever it was about', () => {
    const reasons = fc.constantFrom<ReasonName>('no-route', 'packet-too-big', 'hop-limit-exceeded', 'port-unreachable');
    const payload = fc.uint8Array({ maxLength: 100 });
    fc.assert(
      fc.property(reasons, payload, fc.boolean(), (reason, content, isIpv4) => {
        const scene = new Scene();
        const error = scene.about(isIpv4 ? make.ip4(17, [...content]) : any6(17, [...content]), { reason });
        assert.ok(error);
        // As if it came back to us from its receiver.
        error.splice(isIpv4 ? 12 : 8, isIpv4 ? 4 : 16, ...(isIpv4 ? make.GUEST4 : GUEST6));
        assert.equal(scene.about(error, { reason }), undefined);
      }),
    );
  });
});
