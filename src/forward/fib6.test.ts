import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { formatIpWords, parseIpPrefix, prefixMask } from '../base/address.ts';
import { ROUTES_MAX } from '../base/limits.ts';
import { Random } from '../base/random.ts';
import { Fib6 } from './fib6.ts';

type Words = readonly [w0: number, w1: number, w2: number, w3: number];

interface Route {
  readonly words: Words;
  readonly length: number;
  readonly value: number;
}

/** What a table is to do, as plainly as can be: a list that is searched. */
class RouteList {
  readonly routes: Route[] = [];

  at(words: Words, length: number): number {
    const network = masked(words, length);
    return this.routes.findIndex(
      (each) => each.length === length && each.words.every((word, i) => word === network[i]),
    );
  }

  set(words: Words, length: number, value: number): void {
    const at = this.at(words, length);
    const route = { words: masked(words, length), length, value };
    if (at >= 0) this.routes[at] = route;
    else this.routes.push(route);
  }

  lookup(words: Words): number {
    let best = { length: -1, value: -1 };
    for (const each of this.routes) {
      if (each.length > best.length && masked(words, each.length).every((word, i) => word === each.words[i]))
        best = each;
    }
    return best.value;
  }

  sorted(): Route[] {
    return [...this.routes].sort((a, b) => {
      const i = a.words.findIndex((word, at) => word !== b.words[at]);
      return i < 0 ? a.length - b.length : (a.words[i] >>> 0) - (b.words[i] >>> 0);
    });
  }
}

/** The same for many routes: a look-up tries each length that there is. */
class RouteMap {
  readonly routes: Map<string, Route> = new Map();
  readonly #countOf: Map<number, number> = new Map();

  get(words: Words, length: number): Route | undefined {
    return this.routes.get(keyOf(words, length));
  }

  /** One of them. */
  any(random: Random): Route {
    let skip = random.below(Math.min(this.routes.size, 50));
    for (const each of this.routes.values()) if (skip-- === 0) return each;
    throw new Error('there is none');
  }

  set(words: Words, length: number, value: number): void {
    if (this.get(words, length) === undefined) this.#countOf.set(length, (this.#countOf.get(length) ?? 0) + 1);
    this.routes.set(keyOf(words, length), { words: masked(words, length), length, value });
  }

  remove(words: Words, length: number): void {
    this.routes.delete(keyOf(words, length));
    this.#countOf.set(length, this.#countOf.get(length)! - 1);
  }

  lookup(words: Words): number {
    for (let length = 128; length >= 0; length--) {
      const found = this.#countOf.has(length) ? this.get(words, length) : undefined;
      if (found !== undefined) return found.value;
    }
    return -1;
  }
}

function keyOf(words: Words, length: number): string {
  return `${masked(words, length).join()}/${length}`;
}

function masked(words: Words, length: number): Words {
  return words.map((word, i) => word & prefixMask(length - 32 * i)) as unknown as Words;
}

function route(text: string): [...Words, number] {
  const { address, length } = parseIpPrefix(text)!;
  return [address.w0, address.w1, address.w2, address.w3, length];
}

function fibOf(routes: Record<string, number>): Fib6 {
  const fib = new Fib6();
  for (const [text, value] of Object.entries(routes)) assert.ok(fib.insert(...route(text), value).ok);
  return fib;
}

function lookups(fib: Fib6, addresses: readonly string[]): number[] {
  return addresses.map((text) => {
    const [w0, w1, w2, w3] = route(`${text}/128`);
    return fib.lookup(w0, w1, w2, w3);
  });
}

function listed(fib: Fib6): Route[] {
  return [...fib.routes()].map(({ w0, w1, w2, w3, length, value }) => ({ words: [w0, w1, w2, w3], length, value }));
}

/** The first and the last address of a prefix, and those beside it. */
function edges(words: Words, length: number): Words[] {
  const first = masked(words, length);
  const last = first.map((word, i) => word | ~prefixMask(length - 32 * i)) as unknown as Words;
  return [words, first, last, step(first, -1), step(last, 1)];
}

function step(words: Words, by: 1 | -1): Words {
  const stepped = [...words] as [number, number, number, number];
  for (let i = 3; i >= 0; i--) {
    stepped[i] = (stepped[i] + by) | 0;
    if (stepped[i] !== (by === 1 ? 0 : -1)) break;
  }
  return stepped;
}

const WORD = fc.oneof(fc.constantFrom(0, 1, -1, -0x8000_0000), fc.integer({ min: 0, max: 15 }), fc.integer());
/** Crowded in a few places, so that prefixes cover each other. */
const WORDS = fc.tuple(fc.constantFrom(0x2001_0db8, 0xfd00_0000 | 0, 0, -1), WORD, WORD, WORD);
const LENGTH = fc.oneof(
  fc.integer({ min: 0, max: 128 }),
  fc.constantFrom(0, 32, 48, 64, 128),
  fc.integer({ min: 40, max: 68 }),
);
const STEP = fc.record({
  what: fc.constantFrom('insert', 'insert', 'insert', 'replace', 'remove'),
  words: WORDS,
  length: LENGTH,
  value: fc.oneof(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 0x7fff_ffff })),
});

function pick(random: Random, lengths: readonly number[]): number {
  return lengths[random.below(lengths.length)];
}

/** Where thousands of prefixes are close together, in one part of the address or in another. */
const CROWDS: readonly ((random: Random) => [Words, number])[] = [
  (random) => [
    [0x2a00_0000 | random.below(64), random.next() & 0x1fff_0000, 0, 0],
    pick(random, [29, 32, 36, 40, 48, 48, 48]),
  ],
  (random) => [[0x2001_0db8, random.below(16), random.next(), 0], random.between(46, 82)],
  (random) => [
    [0xfd00_0000 | 0, random.below(3), 0, random.below(4096)],
    pick(random, [48, 64, 110, 112, 120, 127, 128, 128]),
  ],
  (random) => [[random.next(), random.next(), random.next(), random.next()], random.between(0, 128)],
  (random) => [[0x2001_0db8, 1 + random.below(2), 0x8000_0000 | 0, random.next()], random.between(1, 128)],
  (random) => [[0x2001_0db8, -1, -1, random.next() | ~0xfff], pick(random, [48, 64, 79, 80, 110, 116, 128, 128])],
];

describe('the IPv6 routing table', () => {
  it('takes the longest prefix that covers an address', () => {
    const fib = fibOf({
      '::/0': 1,
      '2001:db8::/32': 2,
      '2001:db8:1::/48': 3,
      '2001:db8:1:2::/64': 4,
      '2001:db8:1:2::3/128': 5,
    });
    const asked = [
      '2001:db7::',
      '2001:db8::1',
      '2001:db8:1::1',
      '2001:db8:1:2::1',
      '2001:db8:1:2::3',
      '2001:db9::',
      '::',
    ];
    assert.deepEqual(lookups(fib, asked), [1, 2, 3, 4, 5, 1, 1]);
  });

  it('says -1 where nothing leads', () => {
    assert.deepEqual(lookups(new Fib6(), ['::', '2001:db8::1']), [-1, -1]);
    assert.deepEqual(lookups(fibOf({ 'fd00::/126': 0 }), ['fd00::3', 'fd00::4']), [0, -1]);
  });

  it('is not led astray on the way to longer prefixes', () => {
    const fib = fibOf({ '2001:db8::/29': 1, '2001:db8::1/128': 2, '2001:db8::/65': 3, '2001:db8:0:0:8000::/97': 4 });
    assert.deepEqual(
      lookups(fib, ['2001:db8::2', '2001:db8:0:0:8000:1::', '2001:db8:0:1::', '2001:dc0::']),
      [3, 1, 1, -1],
    );
    assert.ok(fib.insert(...route('2001:db8::/33'), 5).ok);
    assert.deepEqual(lookups(fib, ['2001:db8::2', '2001:db8:0:0:8000:1::', '2001:db8:0:1::']), [3, 5, 5]);
    assert.deepEqual(fib.remove(...route('2001:db8::/65')), { ok: true, value: 3 });
    assert.deepEqual(lookups(fib, ['2001:db8::2', '2001:db8::1']), [5, 2]);
  });

  it('clears host bits, and finds exact prefixes only', () => {
    const fib = fibOf({ '2001:db8::1/32': 7 });
    assert.deepEqual(listed(fib), [{ words: [0x2001_0db8, 0, 0, 0], length: 32, value: 7 }]);
    assert.equal(fib.get(...route('2001:db8:9::/32')), 7);
    assert.equal(fib.get(...route('2001:db8::/33')), -1);
  });

  it('refuses in words what makes no sense', () => {
    const fib = fibOf({ '2001:db8::/32': 1 });
    const twice = fib.insert(...route('2001:db8:1::/32'), 2);
    assert.ok(!twice.ok && twice.failure.code === 'route-exists' && twice.failure.message.includes('2001:db8::/32'));
    for (const refused of [fib.remove(...route('2001:db8::/33')), fib.replace(...route('2001:db8::/33'), 1)]) {
      assert.ok(
        !refused.ok && refused.failure.code === 'route-missing' && refused.failure.message.includes('2001:db8::/33'),
      );
    }
  });

  it('does what a list of routes does, whatever comes and goes', () => {
    fc.assert(
      fc.property(fc.array(STEP, { maxLength: 100 }), (steps) => {
        const fib = new Fib6();
        const list = new RouteList();
        const same = (words: Words) => assert.equal(fib.lookup(...words), list.lookup(words), formatIpWords(...words));
        for (const { what, words, length, value } of steps) {
          const at = list.at(words, length);
          if (what === 'insert') {
            assert.equal(fib.insert(...words, length, value).ok, at < 0);
            if (at < 0) list.set(words, length, value);
          } else if (what === 'replace') {
            assert.equal(fib.replace(...words, length, value).ok, at >= 0);
            if (at >= 0) list.set(words, length, value);
          } else {
            // Mostly one that is there.
            const gone: Pick<Route, 'words' | 'length'> =
              list.routes.length > 0 && value % 4 > 0 ? list.routes[value % list.routes.length] : { words, length };
            const before = list.at(gone.words, gone.length);
            assert.equal(fib.remove(...gone.words, gone.length).ok, before >= 0);
            if (before >= 0) list.routes.splice(before, 1);
          }
          edges(words, length).forEach(same);
        }
        assert.deepEqual(listed(fib), list.sorted());
        assert.equal(fib.count, list.routes.length);
        for (const each of list.routes) {
          assert.equal(fib.get(...each.words, each.length), each.value);
          edges(each.words, each.length).forEach(same);
        }
      }),
      { numRuns: 300 },
    );
  });

  it('does what a map of routes does where thousands are crowded, and when most of them go', () => {
    fc.assert(
      fc.property(fc.integer(), fc.constantFrom(...CROWDS), (seed, crowd) => {
        const random = new Random(seed);
        const fib = new Fib6();
        const map = new RouteMap();
        const agree = (words: Words) => assert.equal(fib.lookup(...words), map.lookup(words), formatIpWords(...words));
        for (let i = 0; i < 6000; i++) {
          const [words, length] = crowd(random);
          // First they come, then they go.
          const isComing = random.chance(i < 4000 ? 0.9 : 0.1);
          const gone = isComing || map.routes.size === 0 ? undefined : map.any(random);
          if (gone !== undefined) {
            assert.ok(fib.remove(...gone.words, gone.length).ok);
            map.remove(gone.words, gone.length);
          } else {
            const value = random.below(3);
            const isNew = map.get(words, length) === undefined;
            assert.ok((isNew ? fib.insert(...words, length, value) : fib.replace(...words, length, value)).ok);
            map.set(words, length, value);
          }
          if (i % 8 === 0) edges(gone?.words ?? words, gone?.length ?? length).forEach(agree);
        }
        for (const each of map.routes.values()) edges(each.words, each.length).forEach(agree);
        for (const each of map.routes.values()) assert.ok(fib.remove(...each.words, each.length).ok);
        assert.equal(fib.lookupBytes, new Fib6().lookupBytes);
      }),
      { numRuns: 12 },
    );
  });

  it('gives back all that it took for routes that are gone', () => {
    const random = new Random(6);
    const fib = new Fib6();
    const routes = Array.from({ length: 3000 }, (): [number, number, number, number, number] => [
      0x2001_0db8,
      random.below(1 << 10) << 16,
      0,
      random.below(1 << 10),
      random.between(20, 128),
    ]);
    let most = 0;
    for (let turn = 0; turn < 3; turn++) {
      for (const each of routes) fib.insert(...each, random.below(50));
      if (turn === 0) most = fib.lookupBytes;
      assert.equal(fib.lookupBytes, most);
      for (const each of routes.toSorted(() => random.fraction() - 0.5)) fib.remove(...each);
      assert.deepEqual([fib.count, fib.lookup(0x2001_0db8, 0, 0, 0)], [0, -1]);
    }
  });

  it('is full at its limit, and has room again when a route goes', () => {
    const fib = new Fib6();
    for (let i = 0; i < ROUTES_MAX; i++) assert.ok(fib.insert(0x2001_0db8, i, 0, 0, 64, i).ok);
    const refused = fib.insert(...route('fd00::/64'), 1);
    assert.ok(!refused.ok && refused.failure.code === 'routes-full' && refused.failure.message.includes('fd00::/64'));
    assert.equal(fib.lookup(0x2001_0db8, ROUTES_MAX - 1, 1, 1), ROUTES_MAX - 1);
    assert.ok(fib.remove(...route('2001:db8:0:9::/64')).ok);
    assert.ok(fib.insert(...route('fd00::/64'), 1).ok);
    assert.deepEqual(lookups(fib, ['fd00::9', '2001:db8:0:9::', '2001:db8:0:a::1']), [1, -1, 10]);
  });
});
