import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import fc from 'fast-check';
import { type FlowTable, TARGET_WORDS } from '../flow/flow-table.ts';
import { VERDICT } from '../flow/policy.ts';
import * as make from '../nodes/packet-fixtures.test.ts';
import { ERRNO } from '../sys/errno.ts';
import { pingService } from '../sys/simulated/datagram-service.ts';
import { SimulatedSys } from '../sys/simulated.ts';
import { SOCKET_FAMILY, SOCKET_PROTOCOL, SOCKET_TYPE } from '../sys/sys.ts';
import { Bench, type BenchOptions, type GuestFrame } from './datagram-bench-fixture.test.ts';

const SERVER = '192.0.2.1';
const SERVER6 = '2001:db8:0:1::1';
const ID = 0x1234;
const DATA = [9, 8, 7, 6, 5];

let bench: Bench;
let sys: SimulatedSys;

function start(options: BenchOptions = {}): void {
  sys = new SimulatedSys();
  bench = new Bench(sys, options);
}

function settle(): GuestFrame[] {
  sys.advance(0);
  for (let i = 0; i < 4; i++) bench.turn();
  return bench.taken();
}

const echo = (sequence: number, data: make.Bytes = DATA): number[] => [...make.u16(ID), ...make.u16(sequence), ...data];

function request4(sequence: number, fields: make.Ip4Fields = {}, data: make.Bytes = DATA): number[] {
  return make.ethernet(0x800, make.ip4(1, make.icmp4(8, 0, echo(sequence, data)), fields));
}

function request6(sequence: number, fields: make.Ip6Fields = {}): number[] {
  return make.ethernet(0x86dd, make.ip6(58, make.icmp6(128, 0, echo(sequence)), fields));
}

function reply4(sequence: number): number[] {
  const message = make.icmp4(0, 0, echo(sequence));
  const packet = make.ip4(1, message, { from: make.REMOTE4, to: make.GUEST4, id: 0, fragment: 0x4000 });
  return [...make.GUEST_MAC, ...make.OUR_MAC, 8, 0, ...packet];
}

function reply6(sequence: number): number[] {
  const message = make.icmp6(129, 0, echo(sequence), make.REMOTE6, make.GUEST6);
  const packet = make.ip6(58, message, { from: make.REMOTE6, to: make.GUEST6 });
  return [...make.GUEST_MAC, ...make.OUR_MAC, 0x86, 0xdd, ...packet];
}

afterEach(() => {
  bench.close();
  assert.deepEqual(sys.openDescriptors(), [], 'all descriptors are closed');
  assert.equal(bench.flows.count, 0);
});

describe('icmp: echo', () => {
  it('goes out by a ping socket and back, identifier and sequence kept', () => {
    start();
    sys.network.ping(SERVER, pingService);
    sys.network.ping(SERVER6, pingService);
    bench.turn(request4(1), request6(7), request4(2));
    const answers = settle().map(({ frame }) => frame);
    assert.deepEqual(answers, [reply4(1), reply4(2), reply6(7)]);
    assert.equal(bench.flows.count, 2);
    assert.equal(bench.icmp.sockets.count, 2);
  });

  it('keeps the identifier when the host needs another one', () => {
    start();
    const other = sys.socket(SOCKET_FAMILY.INET, SOCKET_TYPE.DGRAM, SOCKET_PROTOCOL.ICMP);
    assert.equal(sys.bind(other, Int32Array.of(0, 0, 0xffff, 0, ID, 0)), 0);
    sys.network.ping(SERVER, pingService);
    bench.turn(request4(3));
    assert.deepEqual(settle()[0].frame, reply4(3));
    sys.close(other);
  });

  it('shares a socket among the addresses that one identifier pings', () => {
    start();
    sys.network.ping('*', pingService);
    bench.turn(request4(1), request4(1, { to: [192, 0, 2, 2] }), request4(1, { to: [192, 0, 2, 3] }));
    assert.equal(settle().length, 3);
    assert.equal(bench.icmp.sockets.count, 1);
    assert.equal(bench.flows.count, 3);
  });

  it('follows a mapped target', () => {
    const decide = (flows: FlowTable, flow: number): number => {
      flows.targets.set([0, 0, 0xffff, 0x7f000001], flow * TARGET_WORDS);
      return VERDICT.ALLOW;
    };
    start({ policy: { decide } });
    sys.network.ping('127.0.0.1', pingService);
    bench.turn(request4(1));
    assert.deepEqual(settle()[0].frame, reply4(1));
  });

  it('is answered here when it is for us, in both versions, options cut off', () => {
    start({ policy: { decide: () => VERDICT.LOCAL } });
    bench.turn(request4(1, { fragment: 0x4000, id: 0, ttl: 9, options: [1, 1, 1, 0] }), request6(2));
    const answers = bench.taken().map(({ frame }) => frame);
    assert.deepEqual(answers, [reply4(1), reply6(2)]);
    bench.turn(request4(2));
    assert.equal(bench.flows.count, 2);
    assert.equal(bench.icmp.sockets.count, 0);
  });

  it('reaches the guest in fragments when it is too large', () => {
    start({ mtu: 1280 });
    sys.network.ping(SERVER, pingService);
    const data = Array.from({ length: 4000 }, (_, i) => i & 0xff);
    bench.turn(request4(1, {}, data));
    const frames = settle();
    assert.equal(frames.length, 4);
    assert.ok(frames.every(({ frame }) => frame.length <= 1294));
    assert.deepEqual(
      frames.flatMap(({ frame }) => frame.slice(34)),
      make.icmp4(0, 0, echo(1, data)),
    );
  });

  it('is closed after a minute of silence', () => {
    start();
    sys.network.ping(SERVER, pingService);
    bench.turn(request4(1));
    settle();
    sys.advance(59_000_000);
    bench.turn();
    assert.equal(bench.flows.count, 1);
    sys.advance(2_000_000);
    bench.turn();
    assert.deepEqual(bench.ended, ['closed 1 1']);
  });
});

describe('icmp: errors and refusals', () => {
  it('brings time exceeded from the router, the request quoted', () => {
    start();
    sys.network.ping(SERVER, { ...pingService, routers: ['203.0.113.7'] });
    sys.network.ping(SERVER6, { ...pingService, routers: ['2001:db8:9::1'] });
    bench.turn(request4(5, { ttl: 1 }), request6(6, { limit: 1 }));
    const [first, second] = settle().map(({ frame }) => frame);
    assert.deepEqual(first.slice(26, 30), [203, 0, 113, 7]);
    assert.deepEqual(first.slice(34, 36), [11, 0]);
    assert.equal(make.checksum(first.slice(34)), 0);
    assert.deepEqual(first.slice(54, 62), [...make.GUEST4, ...make.REMOTE4]);
    assert.deepEqual([first[62], ...first.slice(66)], [8, ...echo(5)]);
    assert.deepEqual(second.slice(22, 38), make.v6(0x20010db8, 0x00090000, 0, 1));
    assert.deepEqual(second.slice(54, 56), [3, 0]);
    assert.deepEqual([second[102], ...second.slice(106)], [128, ...echo(6)]);
  });

  it('drops what is wrong, and what is no echo request', () => {
    start();
    bench.turn(request4(1).with(45, 99), request4(1).with(34, 0).with(36, 0), request6(1).with(60, 1));
    bench.turn(make.ethernet(0x800, make.ip4(1, [8, 0, 0])));
    bench.turn(make.ethernet(0x800, make.ip4(1, make.icmp4(3, 3, [0, 0, 0, 0, ...make.ip4(17, [])]))));
    bench.turn(make.ethernet(0x800, make.ip4(1, make.icmp4(8, 1, echo(1)))));
    assert.deepEqual(bench.drops(), [
      'icmp-input icmp-invalid 1',
      'icmp-input icmp-checksum-wrong 2',
      'icmp-input icmp-type-unsupported 2',
      'icmp6-input icmp-checksum-wrong 1',
    ]);
    assert.equal(bench.flows.count, 0);
    assert.deepEqual(bench.taken(), []);
  });

  it('is refused when the host lets us have no socket, and says so', () => {
    start();
    sys.socket = () => -ERRNO.EACCES;
    assert.equal(bench.icmp.unavailable, false);
    bench.turn(request4(1));
    assert.deepEqual(bench.taken()[0].frame.slice(34, 36), [3, 13]);
    assert.equal(bench.icmp.unavailable, true);
    delete (sys as Partial<SimulatedSys>).socket;
  });

  it('is refused by policy', () => {
    start({ policy: { decide: () => VERDICT.REFUSE } });
    bench.turn(request4(1), request6(1));
    const [first, second] = bench.taken().map(({ frame }) => frame);
    assert.deepEqual(first.slice(34, 36), [3, 13]);
    assert.deepEqual(second.slice(54, 56), [1, 1]);
  });
});

describe('icmp: any bytes', () => {
  it('change nothing but counters, or are one echo', () => {
    const options = {
      policy: { decide: (_: FlowTable, flow: number) => (flow % 2 === 0 ? VERDICT.ALLOW : VERDICT.LOCAL) },
    };
    const bytes = fc.array(fc.integer({ min: 0, max: 255 }), { maxLength: 64 });
    const type = fc.constantFrom(0, 3, 8, 11, 128, 129, 255);
    start({ ...options, flowsMax: 8 });
    sys.network.ping('*', pingService);
    fc.assert(
      fc.property(type, fc.constantFrom(0, 0, 1), bytes, fc.boolean(), (kind, code, rest, six) => {
        const frame6 = make.ethernet(0x86dd, make.ip6(58, make.icmp6(kind, code, rest)));
        bench.turn(six ? frame6 : make.ethernet(0x800, make.ip4(1, make.icmp4(kind, code, rest))));
        for (const { frame } of settle()) {
          const at = frame[12] === 8 ? 34 : 54;
          const pseudo = at === 34 ? [] : [...frame.slice(22, 54), 0, 58, ...make.u16(frame.length - at)];
          assert.equal(make.checksum([...pseudo, ...frame.slice(at)]), 0);
        }
      }),
      { numRuns: 200 },
    );
  });
});
