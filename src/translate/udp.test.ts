import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import fc from 'fast-check';
import { type FlowTable, TARGET_WORDS } from '../flow/flow-table.ts';
import { VERDICT } from '../flow/policy.ts';
import * as make from '../nodes/packet-fixtures.test.ts';
import { ERRNO } from '../sys/errno.ts';
import { echoService } from '../sys/simulated/datagram-service.ts';
import { endpoint } from '../sys/simulated/endpoint.ts';
import type { SimulatedSys } from '../sys/simulated.ts';
import { SOCKET_FAMILY, SOCKET_PROTOCOL, SOCKET_TYPE } from '../sys/sys.ts';

import {
  bench,
  datagram4,
  datagram6,
  FULL,
  NEEDS_CSUM,
  noted,
  numbers,
  reply4,
  SERVER,
  SERVER6,
  settle,
  spy,
  start,
  sys,
} from './udp-fixture.test.ts';

afterEach(() => {
  bench.close();
  assert.deepEqual(sys.openDescriptors(), [], 'all descriptors are closed');
  assert.equal(bench.flows.count, 0);
});

describe('udp: out and back', () => {
  it('carries a datagram to the host and the answer to the guest, byte by byte', () => {
    start();
    sys.network.datagram(SERVER, 53, echoService);
    bench.turn(datagram4([1, 2, 3]));
    const [answer, ...more] = settle();
    assert.deepEqual(more, []);
    assert.deepEqual(answer.frame, reply4([1, 2, 3]));
    assert.deepEqual(answer.vnet, new Array(12).fill(0));
    assert.equal(bench.flows.count, 1);
    assert.equal(bench.opened, 1);
  });

  it('does the same over IPv6', () => {
    start();
    sys.network.datagram(SERVER6, 53, { ...echoService, answerTtl: 55 });
    bench.turn(datagram6([9, 8, 7]));
    const [answer] = settle();
    const udp = make.udp(53, 4000, [9, 8, 7], make.REMOTE6, make.GUEST6);
    const packet = make.ip6(17, udp, { from: make.REMOTE6, to: make.GUEST6, limit: 55 });
    assert.deepEqual(answer.frame, [...make.GUEST_MAC, ...make.OUR_MAC, 0x86, 0xdd, ...packet]);
  });

  it('carries empty datagrams, and the order of many', () => {
    start();
    sys.network.datagram('*', '*', echoService);
    bench.turn(datagram4([]), datagram4([1]), datagram4([2], [192, 0, 2, 2]), datagram4([3]), datagram4([]));
    const answers = settle().map(({ frame }) => frame);
    assert.deepEqual(
      answers.filter((frame) => frame[29] === 1),
      [reply4([]), reply4([1]), reply4([3]), reply4([])],
    );
    assert.equal(answers.length, 5);
  });

  it('leaves the checksum to the guest where it may', () => {
    start({ offload: FULL });
    sys.network.datagram(SERVER, 53, echoService);
    bench.turn({ vnet: NEEDS_CSUM, frame: datagram4([1, 2, 3]).with(40, 0).with(41, 1) });
    const [answer] = settle();
    assert.deepEqual(answer.vnet, [1, 0, 0, 0, 0, 0, 34, 0, 6, 0, 0, 0]);
    const pseudo = [...make.REMOTE4, ...make.GUEST4, 0, 17, 0, 11];
    assert.equal((answer.frame[40] << 8) | answer.frame[41], ~make.checksum(pseudo) & 0xffff);
  });

  it('drops what is malformed or has a wrong checksum', () => {
    start();
    const right = datagram4([1, 2, 3]);
    bench.turn(right.with(42, 9));
    bench.turn({ vnet: [1, 0, 0, 0, 0, 0, 34, 0, 4, 0], frame: right.with(42, 9) });
    bench.turn(right.with(39, 7), right.with(39, 12), right.with(36, 0).with(37, 0));
    bench.turn({ vnet: [1, 1, 0, 0, 8, 0, 34, 0, 6, 0], frame: right });
    assert.deepEqual(bench.drops(), [
      'udp-input udp-header-invalid 3',
      'udp-input udp-checksum-wrong 2',
      'udp-input vnet-header-invalid 1',
    ]);
    assert.equal(bench.flows.count, 0);
  });

  it('carries hop count and traffic class where they say something', () => {
    start();
    const seen: number[] = [];
    sys.network.datagram(SERVER, 53, { answer: (_payload, _from, trafficClass) => noted(seen.push(trafficClass)) });
    const sent = spy();
    bench.turn(datagram4([1], undefined, { ttl: 3, tos: 0xb8 }), datagram4([2]));
    sys.advance(0);
    assert.deepEqual(
      sent.map(({ ttl }) => ttl),
      [3, 64],
    );
    assert.deepEqual(seen, [0xb8, 0]);
  });
});

describe('udp: mapping and filtering', () => {
  it('uses one socket with the same port for all that one endpoint sends', () => {
    start();
    const ports = new Set<number>();
    sys.network.datagram('*', '*', { answer: (_payload, from) => noted(ports.add(from.port)) });
    bench.turn(datagram4([1]), datagram4([2], [192, 0, 2, 2]), datagram4([3], [192, 0, 2, 3], {}, 99));
    sys.advance(0);
    assert.deepEqual([...ports], [4000]);
    assert.equal(bench.udp.sockets.count, 1);
    assert.equal(bench.flows.count, 3);
  });

  it('takes another port when that one is taken on the host', () => {
    start();
    const other = sys.socket(SOCKET_FAMILY.INET, SOCKET_TYPE.DGRAM, SOCKET_PROTOCOL.UDP);
    assert.equal(sys.bind(other, Int32Array.of(0, 0, 0xffff, 0, 4000, 0)), 0);
    sys.network.datagram(SERVER, 53, echoService);
    bench.turn(datagram4([5]));
    assert.deepEqual(settle()[0].frame, reply4([5]));
    sys.close(other);
  });

  it('delivers what strangers send to a mapped port, but not from the loopback or the guest itself', () => {
    start();
    sys.network.datagram(SERVER, 53, {});
    bench.turn(datagram4([1]));
    sys.network.send(endpoint('198.51.100.9', 777), endpoint('203.0.113.1', 4000), Uint8Array.of(42));
    assert.deepEqual(settle()[0].frame, reply4([42], [198, 51, 100, 9], 777));
    assert.equal(bench.flows.count, 2);
    sys.network.send(endpoint('127.0.0.1', 777), endpoint('203.0.113.1', 4000), Uint8Array.of(42));
    sys.network.send(endpoint('10.0.2.15', 777), endpoint('203.0.113.1', 4000), Uint8Array.of(42));
    assert.deepEqual(settle(), []);
    const sent = spy();
    bench.turn(datagram4([43], [198, 51, 100, 9], {}, 777));
    assert.deepEqual(sent[0], { to: '198.51.100.9:777', payload: [43], ttl: 64 });
    assert.equal(bench.flows.count, 2);
  });

  it('leaves a quarter of the flow table to the guest, whoever knocks', () => {
    start({ flowsMax: 16 });
    sys.network.datagram('*', 53, {});
    bench.turn(datagram4([1]));
    for (let i = 0; i < 20; i++) {
      sys.network.send(endpoint(`198.51.100.${i}`, 777), endpoint('203.0.113.1', 4000), Uint8Array.of(42));
    }
    assert.equal(settle().length, 11);
    assert.equal(bench.flows.count, 12);
    bench.turn(...[1, 2, 3, 4].map((i) => datagram4([1], [192, 0, 2, 10 + i])));
    assert.equal(bench.flows.count, 16);
  });

  it('gives a flow with a mapped target its own socket, and its answers the remote address', () => {
    const decide = (flows: FlowTable, flow: number): number => {
      flows.targets.set([0, 0, 0xffff, 0x7f000035, 5353], flow * TARGET_WORDS);
      return VERDICT.ALLOW;
    };
    start({ policy: { decide } });
    sys.network.datagram('127.0.0.53', 5353, echoService);
    bench.turn(datagram4([7]));
    assert.deepEqual(settle()[0].frame, reply4([7]));
    assert.equal(bench.udp.sockets.count, 1);
  });

  it('maps a target of the other IP version too', () => {
    const decide = (flows: FlowTable, flow: number): number => {
      flows.targets.set([0, 0, 0, 1, 53], flow * TARGET_WORDS);
      return VERDICT.ALLOW;
    };
    start({ policy: { decide } });
    sys.network.datagram('::1', 53, echoService);
    bench.turn(datagram4([7]));
    assert.deepEqual(settle()[0].frame, reply4([7]));
  });
});

describe('udp: refusals', () => {
  const unreachable = (code: number, frame: make.Bytes): number[] => {
    const message = make.icmp4(3, code, [0, 0, 0, 0, ...frame.slice(14)]);
    const packet = make.ip4(1, message, { from: make.REMOTE4, to: make.GUEST4, id: 0, fragment: 0x4000 });
    return [...make.GUEST_MAC, ...make.OUR_MAC, 8, 0, ...packet];
  };

  it('answers what policy refuses with "administratively prohibited"', () => {
    start({ policy: { decide: () => VERDICT.REFUSE } });
    const frame = datagram4([1]);
    bench.turn(frame);
    assert.deepEqual(bench.taken()[0].frame, unreachable(13, frame));
    assert.deepEqual(bench.ended, ['denied 0 0']);
  });

  it('answers what is for us with "port unreachable", in both versions', () => {
    start({ policy: { decide: () => VERDICT.LOCAL } });
    const frame = datagram4([1]);
    const frame6 = datagram6([1]);
    bench.turn(frame, frame6);
    const [first, second] = bench.taken();
    assert.deepEqual(first.frame, unreachable(3, frame));
    const rest = [0, 0, 0, 0, ...frame6.slice(14)];
    const message = make.icmp6(1, 4, rest, make.REMOTE6, make.GUEST6);
    assert.deepEqual(second.frame.slice(14), make.ip6(58, message, { from: make.REMOTE6, to: make.GUEST6 }));
  });

  it('refuses new flows visibly when the table is full, and old ones go on', () => {
    start({ flowsMax: 1 });
    sys.network.datagram('*', '*', echoService);
    bench.turn(datagram4([1]), datagram4([2], [192, 0, 2, 2]), datagram4([3]));
    assert.equal(bench.taken().length, 1);
    assert.deepEqual(bench.drops(), ['udp-input flows-full 1']);
    assert.equal(settle().length, 2);
  });

  it('says so when there is no descriptor left', () => {
    start({}, { descriptorsMax: 4 });
    bench.turn(datagram4([1]));
    bench.turn(datagram4([1]));
    assert.ok(bench.taken().length <= 2);
    assert.equal(bench.flows.count, 0);
    assert.deepEqual(bench.drops(), ['udp-input socket-failed 2']);
  });

  it('limits the rate of errors', () => {
    start({ policy: { decide: () => VERDICT.REFUSE } });
    for (let i = 0; i < 150; i++) bench.turn(datagram4([1]));
    assert.equal(bench.taken().length, 100);
    assert.equal(bench.errors.limited, 50);
    sys.advance(10_000);
    for (let i = 0; i < 20; i++) bench.turn(datagram4([1]));
    assert.equal(bench.taken().length, 10);
  });
});

describe('udp: errors of the host', () => {
  it('pass to the guest from the node that sent them, with the datagram quoted', () => {
    start();
    sys.network.datagram(SERVER, 33434, { routers: ['203.0.113.7', '203.0.113.8'], error: 'port-unreachable' });
    bench.turn(datagram4(numbers(12), undefined, { ttl: 2 }, 33434));
    const [exceeded] = settle();
    assert.deepEqual(exceeded.frame.slice(26, 30), [203, 0, 113, 8]);
    assert.deepEqual(exceeded.frame.slice(34, 36), [11, 0]);
    assert.equal(make.checksum(exceeded.frame.slice(34)), 0);
    const quoted = exceeded.frame.slice(42);
    assert.deepEqual(quoted.slice(12, 20), [...make.GUEST4, ...make.REMOTE4]);
    assert.deepEqual(quoted.slice(20, 26), [...make.u16(4000), ...make.u16(33434), 0, 20]);
    assert.deepEqual(quoted.slice(28), numbers(12));
    bench.turn(datagram4(numbers(12), undefined, { ttl: 3 }, 33434));
    const [refused] = settle();
    assert.deepEqual(refused.frame.slice(26, 30), make.REMOTE4);
    assert.deepEqual(refused.frame.slice(34, 36), [3, 3]);
    assert.equal(bench.flows.outcome[0], 2);
  });

  it('pass over IPv6 too, with the MTU', () => {
    start();
    sys.network.datagram(SERVER6, 53, { mtuBytes: 1300 });
    bench.turn(datagram6(numbers(1400)));
    const [answer] = settle();
    assert.deepEqual(answer.frame.slice(54, 56), [2, 0]);
    assert.deepEqual(answer.frame.slice(58, 62), [0, 0, 1300 >> 8, 1300 & 0xff]);
    assert.equal(answer.frame.length - 14, 1280);
    const sum = [
      ...make.REMOTE6,
      ...make.GUEST6,
      0,
      58,
      ...make.u16(answer.frame.length - 54),
      ...answer.frame.slice(54),
    ];
    assert.equal(make.checksum(sum), 0);
  });

  it('do not cost the next datagram its life', () => {
    start();
    sys.network.datagram('192.0.2.9', 53, { error: 'host-unreachable' });
    sys.network.datagram(SERVER, 53, echoService);
    bench.turn(datagram4([1], [192, 0, 2, 9]));
    sys.advance(0);
    // The error is pending on the shared socket now, and this send meets it.
    sys.pollCollect = () => 0;
    bench.turn(datagram4([2]));
    sys.advance(0);
    const answers = bench.taken();
    assert.deepEqual(
      answers.map(({ frame }) => frame[23]),
      [1],
    );
    delete (sys as Partial<SimulatedSys>).pollCollect;
    assert.deepEqual(settle()[0].frame, reply4([2]));
  });

  it("of the other IP version are told in the guest's own words", () => {
    const decide = (flows: FlowTable, flow: number): number => {
      flows.targets.set([0, 0, 0, 1, 53], flow * TARGET_WORDS);
      return VERDICT.ALLOW;
    };
    start({ policy: { decide } });
    bench.turn(datagram4([7]));
    const [answer] = settle();
    assert.deepEqual(answer.frame.slice(26, 30), make.REMOTE4);
    assert.deepEqual(answer.frame.slice(34, 36), [3, 3]);
  });

  it('that make a send fail are answered at once', () => {
    start();
    const { sendDatagrams } = sys;
    sys.sendDatagrams = () => -ERRNO.ENETUNREACH;
    bench.turn(datagram4([1]));
    assert.deepEqual(bench.taken()[0].frame.slice(34, 36), [3, 0]);
    sys.sendDatagrams = () => -ERRNO.EAGAIN;
    bench.turn(datagram4([1]), datagram4([2], [192, 0, 2, 2]));
    assert.deepEqual(bench.taken(), []);
    assert.equal(bench.udp.sendQueue.dropped, 2);
    sys.sendDatagrams = sendDatagrams;
  });
});

describe('udp: timers', () => {
  it('close a flow after 30 s without an answer and 120 s with one', () => {
    start();
    sys.network.datagram(SERVER, 99, echoService);
    sys.network.datagram('192.0.2.2', 99, {});
    bench.turn(datagram4([1], undefined, {}, 99), datagram4([1], [192, 0, 2, 2], {}, 99));
    settle();
    sys.advance(29_000_000);
    bench.turn();
    assert.equal(bench.flows.count, 2);
    sys.advance(1_100_000);
    bench.turn();
    assert.deepEqual(bench.ended, ['timeout 1 0']);
    assert.equal(bench.udp.sockets.count, 1);
    sys.advance(60_000_000);
    bench.turn(datagram4([2], undefined, {}, 99));
    settle();
    sys.advance(119_000_000);
    bench.turn();
    assert.equal(bench.flows.count, 1);
    sys.advance(1_100_000);
    bench.turn();
    assert.deepEqual(bench.ended, ['timeout 1 0', 'closed 2 2']);
    assert.equal(bench.udp.sockets.count, 0);
  });

  it('close DNS 3 s after the last answer, and wait for answers that are missing', () => {
    start();
    sys.network.datagram(SERVER, 53, { answer: (question) => (question[0] === 1 ? [question] : []) });
    bench.turn(datagram4([1]), datagram4([2]));
    settle();
    sys.advance(5_000_000);
    bench.turn(datagram4([1]));
    settle();
    sys.advance(29_000_000);
    bench.turn();
    assert.equal(bench.flows.count, 1);
    sys.advance(1_100_000);
    bench.turn();
    assert.deepEqual(bench.ended, ['closed 3 2']);
    bench.turn(datagram4([1]));
    settle();
    sys.advance(3_100_000);
    bench.turn();
    assert.deepEqual(bench.ended, ['closed 3 2', 'closed 1 1']);
  });
});

describe('udp: published ports', () => {
  function publish(): void {
    const fd = sys.socket(SOCKET_FAMILY.INET, SOCKET_TYPE.DGRAM, SOCKET_PROTOCOL.UDP);
    assert.equal(sys.bind(fd, Int32Array.of(0, 0, 0xffff, 0, 8053, 0)), 0);
    const guest = Int32Array.of(0, 0, 0xffff, 0x0a00020f);
    assert.equal(bench.udp.publish({ fd, ipv4: true, interfaceIndex: 0, guest, guestPort: 4000 }), 0);
    bench.neighbours.learn(0, 0, 0, 0xffff, 0x0a00020f, 0x0200, 1);
  }

  it('bring callers to the guest, and its answers back by the same socket', () => {
    start();
    publish();
    sys.network.send(endpoint('198.51.100.9', 777), endpoint('203.0.113.1', 8053), Uint8Array.of(5));
    assert.deepEqual(settle()[0].frame, reply4([5], [198, 51, 100, 9], 777));
    const sent = spy();
    const ports: number[] = [];
    sys.network.datagram('198.51.100.9', 777, { answer: (_payload, from) => noted(ports.push(from.port)) });
    bench.turn(datagram4([6], [198, 51, 100, 9], {}, 777));
    sys.advance(0);
    assert.equal(sent[0].to, '198.51.100.9:777');
    assert.deepEqual(ports, [8053]);
  });

  it('show callers from the loopback as the gateway', () => {
    start();
    publish();
    sys.network.send(endpoint('127.0.0.1', 777), endpoint('127.0.0.1', 8053), Uint8Array.of(5));
    assert.deepEqual(settle()[0].frame, reply4([5], [10, 0, 2, 2], 777));
    const sent = spy();
    bench.turn(datagram4([6], [10, 0, 2, 2], {}, 777));
    assert.equal(sent[0].to, '127.0.0.1:777');
    sys.network.send(endpoint('127.0.0.9', 777), endpoint('127.0.0.1', 8053), Uint8Array.of(5));
    settle();
    bench.turn(datagram4([6], [10, 0, 2, 2], {}, 777));
    assert.equal(sent[1].to, '127.0.0.9:777');
    assert.equal(bench.flows.count, 1);
  });
});

describe('udp: any bytes', () => {
  it('change nothing but counters, or are one datagram', () => {
    start({ flowsMax: 16 });
    const bytes = fc.array(fc.integer({ min: 0, max: 255 }), { maxLength: 64 });
    fc.assert(
      fc.property(bytes, bytes, fc.boolean(), (message, vnet, six) => {
        const frame = six ? make.ethernet(0x86dd, make.ip6(17, message)) : make.ethernet(0x800, make.ip4(17, message));
        bench.turn({ vnet: vnet.slice(0, 12), frame });
        settle();
      }),
    );
  });
});
