import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { REASSEMBLIES_MAX, REASSEMBLY_TIMEOUT_MS } from '../base/limits.ts';
import { ARC_DONE, ARC_DROP, type GraphNode } from '../graph/node.ts';
import { REASON_NAMES } from '../graph/reasons.ts';
import type { Packets } from '../packet/packets.ts';
import * as udpHeader from '../wire/udp.ts';
import { Ip4Input } from './ip4-input.ts';
import { Ip4Reassembly } from './ip4-reassembly.ts';
import { Ip6Input } from './ip6-input.ts';
import { Ip6Reassembly } from './ip6-reassembly.ts';
import * as make from './packet-fixtures.test.ts';
import { Reassembly } from './reassembly.ts';

/** A piece of a payload: bytes from `from` to `to`. */
interface Piece {
  from: number;
  to: number;
}

interface Outcome {
  /** 'held', a next node's name, or a drop reason. */
  where: string;
  packets: Packets;
  packet: number;
}

class Bench {
  readonly store: Reassembly = new Reassembly();
  readonly #version: number;
  readonly #input: GraphNode;
  readonly #node: GraphNode;

  constructor(version: number) {
    this.#version = version;
    this.#input = version === 4 ? new Ip4Input() : new Ip6Input();
    this.#node = version === 4 ? new Ip4Reassembly(this.store) : new Ip6Reassembly(this.store);
  }

  send(payload: make.Bytes, piece: Piece, id: number = 7, protocol: number = 17, last: boolean = false): Outcome {
    const more = !last && piece.to < payload.length;
    const bytes = payload.slice(piece.from, piece.to);
    const packets = make.arena();
    const frame = Int32Array.of(make.put(packets, this.#frame(bytes, piece.from, more, id, protocol)));
    packets.network[frame[0]] = packets.start[frame[0]] + 14;
    const arcs = new Uint8Array(1);
    this.#input.process(packets, frame, 1, arcs);
    assert.equal(this.#input.next[arcs[0] - 2], `ip${this.#version}-reassembly`);
    this.#node.process(packets, frame, 1, arcs);
    let where = this.#node.next[arcs[0] - 2];
    if (arcs[0] === ARC_DONE) where = 'held';
    if (arcs[0] === ARC_DROP) where = REASON_NAMES[packets.reason[frame[0]]];
    return { where, packets, packet: frame[0] };
  }

  #frame(bytes: make.Bytes, offset: number, more: boolean, id: number, protocol: number): number[] {
    if (this.#version === 4) {
      const fragment = (offset / 8) | (more ? 0x2000 : 0);
      return make.ethernet(
        0x800,
        make.ip4(protocol, bytes, { id, fragment, options: offset === 0 ? [1, 1, 1, 0] : [] }),
      );
    }
    const header = [protocol, 0, ...make.u16(offset | (more ? 1 : 0)), ...make.v6(id)];
    return make.ethernet(0x86dd, make.ip6(44, [...header, ...bytes]));
  }
}

function cut(bytes: number, units: readonly number[]): Piece[] {
  const pieces: Piece[] = [];
  let from = 0;
  for (const unit of units) {
    if (from + unit * 8 >= bytes) break;
    pieces.push({ from, to: from + unit * 8 });
    from += unit * 8;
  }
  pieces.push({ from, to: bytes });
  return pieces;
}

const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => (i * 7 + (i >> 8)) & 0xff);

for (const version of [4, 6]) {
  describe(`ip${version}-reassembly`, () => {
    const addresses = version === 4 ? [make.GUEST4, make.REMOTE4] : [make.GUEST6, make.REMOTE6];
    const datagram = (bytes: number): number[] => make.udp(1000, 2000, numbers(bytes), addresses[0], addresses[1]);

    it('puts fragments together in any order, with duplicates', () => {
      const units = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 12 });
      fc.assert(
        fc.property(units, fc.integer({ min: 9, max: 2000 }), fc.infiniteStream(fc.nat()), (sizes, bytes, random) => {
          const payload = datagram(bytes);
          const pieces = cut(payload.length, sizes);
          if (pieces.length === 1) return;
          const order = pieces.map((piece) => ({ piece, key: random.next().value })).sort((a, b) => a.key - b.key);
          const bench = new Bench(version);
          order.forEach(({ piece }, i) => {
            const outcome = bench.send(payload, piece);
            if (i < order.length - 1) {
              assert.equal(outcome.where, 'held');
              assert.equal(bench.send(payload, piece).where, 'held', 'a duplicate does no harm');
              return;
            }
            assert.equal(outcome.where, 'udp-input');
            const { packets, packet } = outcome;
            const at = packets.transport[packet];
            assert.deepEqual([...packets.bytes.subarray(at, packets.end[packet])], payload);
            assert.ok(udpHeader.verifyChecksum(packets.view, packets.network[packet], at));
            assert.equal(packets.rxInterface[packet], 0);
            assert.equal(packets.start[packet] + packets.length[packet], packets.end[packet]);
          });
          assert.equal(bench.store.count, 0);
        }),
        { numRuns: 60 },
      );
    });

    it('condemns a datagram whose fragments overlap, with all that follows', () => {
      const payload = datagram(100);
      const bench = new Bench(version);
      assert.equal(bench.send(payload, { from: 0, to: 48 }).where, 'held');
      assert.equal(bench.send(payload, { from: 40, to: 80 }).where, 'fragment-invalid');
      assert.equal(bench.send(payload, { from: 48, to: 108 }).where, 'fragment-invalid');
      assert.equal(bench.store.overlapped, 1);
    });

    it('condemns a datagram whose duplicates differ', () => {
      const payload = datagram(100);
      const bench = new Bench(version);
      assert.equal(bench.send(payload, { from: 0, to: 48 }).where, 'held');
      assert.equal(bench.send(payload.with(20, payload[20] ^ 1), { from: 0, to: 48 }).where, 'fragment-invalid');
      assert.equal(bench.send(payload, { from: 48, to: 108 }).where, 'fragment-invalid');
    });

    it('condemns a datagram whose end is contradicted', () => {
      const payload = datagram(100);
      const behind = new Bench(version);
      assert.equal(behind.send(payload, { from: 40, to: 48 }, 7, 17, true).where, 'held');
      assert.equal(behind.send(payload, { from: 48, to: 56 }).where, 'fragment-invalid');
      const before = new Bench(version);
      assert.equal(before.send(payload, { from: 48, to: 56 }).where, 'held');
      assert.equal(before.send(payload, { from: 40, to: 48 }, 7, 17, true).where, 'fragment-invalid');
    });

    it('refuses pieces that are empty, odd or too far', () => {
      const payload = datagram(100);
      const bench = new Bench(version);
      assert.equal(bench.send(payload, { from: 0, to: 0 }).where, 'fragment-invalid');
      assert.equal(bench.send(payload, { from: 0, to: 12 }).where, 'fragment-invalid');
      const far = numbers(65_600);
      assert.equal(bench.send(far, { from: 65_528, to: 65_536 }).where, 'fragment-invalid');
      assert.equal(bench.store.count, 0);
    });

    it('takes the largest datagram', () => {
      const largest = version === 4 ? 65_515 : 65_535;
      const payload = numbers(largest);
      const bench = new Bench(version);
      for (let from = 0; from + 1480 < largest; from += 1480) bench.send(payload, { from, to: from + 1480 });
      const from = Math.floor((largest - 1) / 1480) * 1480;
      const { where, packets, packet } = bench.send(payload, { from, to: largest });
      assert.equal(where, 'udp-input');
      assert.equal(packets.end[packet] - packets.transport[packet], largest);
    });

    it('gives up the oldest when all places are taken, and what is too old', () => {
      const payload = datagram(100);
      const bench = new Bench(version);
      bench.store.expire(1000);
      for (let id = 0; id <= REASSEMBLIES_MAX; id++) bench.send(payload, { from: 0, to: 48 }, id);
      assert.equal(bench.store.evicted, 1);
      assert.equal(bench.send(payload, { from: 48, to: 108 }, 1).where, 'udp-input');
      assert.equal(bench.send(payload, { from: 48, to: 108 }, 0).where, 'held');
      bench.store.expire(1000 + REASSEMBLY_TIMEOUT_MS - 1);
      assert.equal(bench.store.count, REASSEMBLIES_MAX);
      bench.store.expire(1000 + REASSEMBLY_TIMEOUT_MS);
      assert.equal(bench.store.count, 0);
      assert.equal(bench.store.expired, REASSEMBLIES_MAX);
    });

    it('keeps datagrams with other identifications apart', () => {
      const payload = datagram(100);
      const bench = new Bench(version);
      assert.equal(bench.send(payload, { from: 0, to: 48 }, 1).where, 'held');
      assert.equal(bench.send(payload, { from: 48, to: 108 }, 2).where, 'held');
      assert.equal(bench.send(payload, { from: 48, to: 108 }, 1).where, 'udp-input');
    });
  });
}

describe('what comes out of ip6-reassembly', () => {
  it('is neither neighbour discovery nor another fragment', () => {
    const discovery = [135, ...new Array(23).fill(0)];
    const bench = new Bench(6);
    bench.send(discovery, { from: 0, to: 8 }, 1, 58);
    assert.equal(bench.send(discovery, { from: 8, to: 24 }, 1, 58).where, 'ndp-invalid');
    const nested = [17, 0, 0, 1, ...new Array(20).fill(0)];
    bench.send(nested, { from: 0, to: 8 }, 2, 44);
    assert.equal(bench.send(nested, { from: 8, to: 24 }, 2, 44).where, 'fragment-invalid');
  });

  it('is found behind extension headers in the fragments', () => {
    const payload = [17, 0, 1, 4, 0, 0, 0, 0, ...make.udp(1, 2, numbers(20), make.GUEST6, make.REMOTE6)];
    const bench = new Bench(6);
    bench.send(payload, { from: 0, to: 16 }, 1, 60);
    const { where, packets, packet } = bench.send(payload, { from: 16, to: payload.length }, 1, 60);
    assert.equal(where, 'udp-input');
    assert.equal(packets.end[packet] - packets.transport[packet], 28);
  });
});
