import assert from 'node:assert/strict';
import { afterEach, describe, it } from 'node:test';
import fc from 'fast-check';
import * as make from '../nodes/packet-fixtures.test.ts';
import { ERRNO } from '../sys/errno.ts';
import { UDP } from '../sys/options.ts';
import type { DatagramSocket } from '../sys/simulated/datagram.ts';
import { endpoint } from '../sys/simulated/endpoint.ts';
import { SimulatedSys } from '../sys/simulated.ts';
import { Bench } from './datagram-bench-fixture.test.ts';

import {
  bench,
  datagram4,
  datagram6,
  FULL,
  noted,
  numbers,
  SERVER,
  settle,
  spy,
  start,
  sys,
  takenApart,
  withoutMerging,
} from './udp-fixture.test.ts';

afterEach(() => {
  bench.close();
  assert.deepEqual(sys.openDescriptors(), [], 'all descriptors are closed');
  assert.equal(bench.flows.count, 0);
});

describe('udp: segments', () => {
  const batches = (): number[][] => {
    const seen: number[][] = [];
    const send = sys.sendDatagrams.bind(sys);
    sys.sendDatagrams = (fd, memory, records, at, count) => {
      const words = sys.memories.words(records, at, count * 12);
      seen.push(Array.from({ length: count }, (_, i) => words[i * 12 + 1]));
      return send(fd, memory, records, at, count);
    };
    return seen;
  };

  it('merges neighbours of one size and cuts super-packets', () => {
    start({ offload: FULL });
    sys.network.datagram('*', '*', {});
    const seen = batches();
    const sent = spy();
    const payloads = [100, 100, 100, 60, 100, 100, 30, 30].map((bytes, i) => numbers(bytes, i));
    bench.turn(...payloads.map((payload) => datagram4(payload)));
    assert.deepEqual(seen, [[360, 230, 30]]);
    assert.deepEqual(
      sent.map(({ payload }) => payload),
      payloads,
    );
    const large = datagram4(numbers(250)).with(40, 0);
    bench.turn({ vnet: [1, 5, 42, 0, 100, 0, 34, 0, 6, 0], frame: large });
    assert.deepEqual(
      sent.slice(8).map(({ payload }) => payload),
      [numbers(250).slice(0, 100), numbers(250).slice(100, 200), numbers(250).slice(200)],
    );
  });

  it('sends each datagram once, in order for each remote, whatever the mixture', () => {
    const item = fc.record({
      bytes: fc.constantFrom(0, 1, 20, 100, 100, 100),
      remote: fc.integer({ min: 1, max: 3 }),
      ttl: fc.constantFrom(64, 64, 64, 9),
    });
    fc.assert(
      fc.property(fc.array(item, { minLength: 1, maxLength: 60 }), (items) => {
        start({ offload: FULL });
        sys.network.datagram('*', '*', {});
        const sent = spy();
        bench.turn(
          ...items.map(({ bytes, remote, ttl }, i) => datagram4(numbers(bytes, i), [192, 0, 2, remote], { ttl })),
        );
        for (const remote of [1, 2, 3]) {
          const mine = items.flatMap((each, i) =>
            each.remote === remote ? [{ payload: numbers(each.bytes, i), ttl: each.ttl }] : [],
          );
          const theirs = sent.filter(({ to }) => to === `192.0.2.${remote}:53`);
          assert.deepEqual(
            theirs.map(({ payload, ttl }) => ({ payload, ttl })),
            mine,
          );
        }
        bench.close();
      }),
      { numRuns: 40 },
    );
    start();
  });

  it('sends one by one what the kernel does not want as segments, and remembers', () => {
    start({ offload: FULL });
    sys.network.datagram('*', '*', {});
    const send = sys.sendDatagrams.bind(sys);
    sys.sendDatagrams = (fd, memory, records, at) => {
      const words = sys.memories.words(records, at, 12);
      return words[2] > 0 ? -ERRNO.EMSGSIZE : send(fd, memory, records, at, 1);
    };
    const sent = spy();
    bench.turn(datagram4(numbers(100)), datagram4(numbers(100, 1)), datagram4(numbers(50, 2)));
    assert.deepEqual(
      sent.map(({ payload }) => payload.length),
      [100, 100, 50],
    );
    const merged = bench.udp.sendQueue.merged;
    bench.turn(datagram4(numbers(100)), datagram4(numbers(100, 1)));
    assert.equal(bench.udp.sendQueue.merged, merged);
    assert.equal(sent.length, 5);
  });

  it('gives the guest what the kernel merged in one piece', () => {
    start({ offload: FULL });
    const burst = [numbers(100), numbers(100, 1), numbers(40, 2)].map((bytes) => Uint8Array.from(bytes));
    sys.network.datagram(SERVER, 53, { answer: () => burst });
    bench.turn(datagram4([1]));
    const [answer, ...more] = settle();
    assert.deepEqual(more, []);
    assert.deepEqual(answer.vnet, [1, 5, 42, 0, 100, 0, 34, 0, 6, 0, 0, 0]);
    assert.deepEqual(
      answer.frame.slice(42),
      burst.flatMap((bytes) => [...bytes]),
    );
    assert.deepEqual(answer.frame.slice(38, 40), make.u16(248));
  });

  it('merges what the kernel did not, in order, for one flow at a time', () => {
    start({ offload: FULL });
    withoutMerging();
    sys.network.datagram('*', 53, {});
    bench.turn(datagram4([1]), datagram4([1], [192, 0, 2, 2]));
    const to = endpoint('203.0.113.1', 4000);
    const sizes = [100, 100, 60, 100, 0, 100];
    const send = (address: string, bytes: number, seed: number): void =>
      sys.network.send(endpoint(address, 53), to, Uint8Array.from(numbers(bytes, seed)));
    for (const [seed, bytes] of sizes.entries()) send(SERVER, bytes, seed);
    send('192.0.2.2', 100, 9);
    const answers = settle();
    const payloads = answers.map(({ frame }) => frame.slice(42));
    const sent = [...sizes.flatMap((bytes, seed) => numbers(bytes, seed)), ...numbers(100, 9)];
    assert.deepEqual(payloads.flat(), sent);
    assert.deepEqual(
      payloads.map(({ length }) => length),
      [260, 100, 0, 100, 100],
    );
    assert.ok(answers.every(({ vnet }) => vnet[0] === 1));
  });

  it('gives the guest each datagram once whatever may be merged where', () => {
    const sizes = fc.array(fc.constantFrom(0, 1, 99, 100, 100, 100, 100, 1400, 3000), { minLength: 1, maxLength: 80 });
    fc.assert(
      fc.property(sizes, fc.boolean(), fc.boolean(), (all, guestMerges, kernelMerges) => {
        start({ offload: { ...FULL, udpSegmentation: guestMerges } });
        if (!kernelMerges) withoutMerging();
        const burst = all.map((bytes, seed) => Uint8Array.from(numbers(bytes, seed)));
        sys.network.datagram(SERVER, 53, { answer: () => burst });
        bench.turn(datagram4([1]));
        // Fragments of the large ones are another test's business.
        const whole = settle().filter(({ frame }) => (frame[20] & 0x3f) === 0 && frame[21] === 0);
        const small = burst.map((bytes) => [...bytes]).filter(({ length }) => length <= 1472);
        assert.deepEqual(whole.flatMap(takenApart), small);
        bench.close();
      }),
      { numRuns: 60 },
    );
    start();
  });

  it("takes it apart where the segments are larger than the guest's MTU", () => {
    start({ offload: FULL, mtu: 576 });
    const burst = [numbers(1000), numbers(1000, 1)].map((bytes) => Uint8Array.from(bytes));
    sys.network.datagram(SERVER, 53, { answer: () => burst });
    bench.turn(datagram4([1]));
    const answers = settle();
    assert.equal(answers.length, 4);
    const whole = [0, 2].flatMap((i) => [...answers[i].frame.slice(42), ...answers[i + 1].frame.slice(34)]);
    assert.deepEqual(
      whole,
      burst.flatMap((bytes) => [...bytes]),
    );
  });

  it('does not ask for merged datagrams where the guest does not take them', () => {
    start();
    sys.network.datagram(SERVER, 53, {});
    bench.turn(datagram4([1]));
    const socket = sys.descriptor(bench.udp.sockets.fd[bench.udp.sockets.of[0]]) as DatagramSocket;
    assert.equal(socket.options.get(`17:${UDP.GRO}`), undefined);
  });
});

describe('udp: large datagrams', () => {
  for (const version of [4, 6]) {
    it(`reach the guest in fragments that it can put together, IPv${version}`, () => {
      for (const [mtu, bytes] of [
        [1500, 5000],
        [1280, 65_000],
        [576, 1000],
        [1500, 1472],
        [1500, 1453],
      ]) {
        if (version === 6 && mtu < 1280) continue;
        start({ mtu, offload: { ...FULL, udpSegmentation: false } });
        const payload = numbers(bytes);
        sys.network.datagram('*', 53, { answer: () => [Uint8Array.from(payload), Uint8Array.of(1)] });
        bench.turn(version === 4 ? datagram4([1]) : datagram6([1]));
        const frames = settle();
        assert.ok(frames.every(({ frame }) => frame.length - 14 <= mtu));
        frames.pop();
        if (frames.length > 1) assert.ok(frames.every(({ vnet }) => vnet.every((byte) => byte === 0)));
        // Sent back the other way, our own reassembly puts them together.
        const other = new SimulatedSys();
        const back = new Bench(other, {});
        const got: number[][] = [];
        other.network.datagram('*', '*', { answer: (message) => noted(got.push([...message])) });
        for (const { vnet, frame } of frames)
          back.turn({ vnet, frame: [...make.OUR_MAC, ...make.GUEST_MAC, ...frame.slice(12)] });
        other.advance(0);
        assert.deepEqual(got, [payload]);
        back.close();
        bench.close();
      }
    });
  }
});
