import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { formatIpv4, parseIpPrefix, prefixMask } from '../base/address.ts';
import { ROUTES_MAX } from '../base/limits.ts';
import { Random } from '../base/random.ts';
import { Fib4 } from './fib4.ts';

/** What a table is to do, as plainly as can be: a list that is searched. */
class RouteList {
  readonly routes: { address: number; length: number; value: number }[] = [];

  at(address: number, length: number): number {
    return this.routes.findIndex((each) => each.length === length && each.address === (address & prefixMask(length)));
  }

  set(address: number, length: number, value: number): void {
    const at = this.at(address, length);
    const route = { address: address & prefixMask(length), length, value };
    if (at >= 0) this.routes[at] = route;
    else this.routes.push(route);
  }

  lookup(address: number): number {
    let best = { length: -1, value: -1 };
    for (const each of this.routes) {
      if (((address ^ each.address) & prefixMask(each.length)) === 0 && each.length > best.length) best = each;
    }
    return best.value;
  }

  sorted(): typeof this.routes {
    return [...this.routes].sort((a, b) => (a.address >>> 0) - (b.address >>> 0) || a.length - b.length);
  }
}

function route(text: string): [address: number, length: number] {
  const prefix = parseIpPrefix(text)!;
  return [prefix.address.w3, prefix.length];
}

function fibOf(routes: Record<string, number>): Fib4 {
  const fib = new Fib4();
  for (const [text, value] of Object.entries(routes)) assert.ok(fib.insert(...route(text), value).ok);
  return fib;
}

function lookups(fib: Fib4, addresses: readonly string[]): number[] {
  return addresses.map((text) => fib.lookup(route(`${text}/32`)[0]));
}

/** Addresses where something may begin or end. */
function edges(address: number, length: number): number[] {
  const first = address & prefixMask(length);
  const last = first | ~prefixMask(length);
  return [first - 1, first, first + 1, last - 1, last, last + 1, address].map((each) => each | 0);
}

const FEW_BITS = fc.integer({ min: 0, max: 255 });
/** Crowded in a few places, so that prefixes cover each other and the eight ranges of a line are often too few. */
const ADDRESS = fc.oneof(
  fc.tuple(fc.constantFrom(0x0a00_0000, 0x0aff_ff00, 0xffff_ff00 | 0, 0), FEW_BITS).map(([high, low]) => high | low),
  fc.tuple(FEW_BITS, FEW_BITS).map(([third, fourth]) => 0x0a00_0000 | (third << 8) | fourth),
  fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff }),
);
const LENGTH = fc.oneof(
  fc.integer({ min: 0, max: 32 }),
  fc.integer({ min: 22, max: 32 }),
  fc.constantFrom(0, 16, 24, 32),
);
const STEP = fc.record({
  what: fc.constantFrom('insert', 'insert', 'insert', 'replace', 'remove'),
  address: ADDRESS,
  length: LENGTH,
  value: fc.oneof(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 0x7fff_ffff })),
});

describe('the IPv4 routing table', () => {
  it('takes the longest prefix that covers an address', () => {
    const fib = fibOf({
      '0.0.0.0/0': 1,
      '10.0.0.0/8': 2,
      '10.1.0.0/16': 3,
      '10.1.2.0/24': 4,
      '10.1.2.3/32': 5,
      '10.1.2.4/31': 6,
    });
    const asked = [
      '9.255.255.255',
      '10.0.0.1',
      '10.1.0.1',
      '10.1.2.1',
      '10.1.2.3',
      '10.1.2.4',
      '10.1.2.5',
      '10.1.2.6',
      '11.0.0.0',
    ];
    assert.deepEqual(lookups(fib, asked), [1, 2, 3, 4, 5, 6, 6, 4, 1]);
  });

  it('says -1 where nothing leads', () => {
    assert.deepEqual(lookups(new Fib4(), ['0.0.0.0', '10.0.0.1', '255.255.255.255']), [-1, -1, -1]);
    assert.deepEqual(lookups(fibOf({ '10.0.0.0/30': 0 }), ['10.0.0.3', '10.0.0.4']), [0, -1]);
  });

  it('clears host bits, and finds exact prefixes only', () => {
    const fib = fibOf({ '10.1.2.3/8': 7 });
    assert.deepEqual([...fib.routes()], [{ address: 0x0a00_0000, length: 8, value: 7 }]);
    assert.equal(fib.get(...route('10.9.9.9/8')), 7);
    assert.equal(fib.get(...route('10.0.0.0/9')), -1);
    assert.equal(fib.get(...route('0.0.0.0/0')), -1);
  });

  it('uncovers what a removed route hid', () => {
    const fib = fibOf({ '10.0.0.0/8': 1, '10.0.0.0/24': 2, '10.0.0.128/25': 3 });
    assert.deepEqual(fib.remove(...route('10.0.0.0/24')), { ok: true, value: 2 });
    assert.deepEqual(lookups(fib, ['10.0.0.1', '10.0.0.129']), [1, 3]);
    assert.deepEqual(fib.replace(...route('10.0.0.0/8'), 4), { ok: true, value: 1 });
    assert.deepEqual(lookups(fib, ['10.0.0.1', '10.0.0.129']), [4, 3]);
  });

  it('refuses in words what makes no sense', () => {
    const fib = fibOf({ '10.0.0.0/8': 1 });
    const twice = fib.insert(...route('10.1.0.0/8'), 2);
    assert.ok(!twice.ok && twice.failure.code === 'route-exists' && twice.failure.message.includes('10.0.0.0/8'));
    for (const refused of [fib.remove(...route('10.0.0.0/9')), fib.replace(...route('10.0.0.0/9'), 1)]) {
      assert.ok(
        !refused.ok && refused.failure.code === 'route-missing' && refused.failure.message.includes('10.0.0.0/9'),
      );
    }
    assert.equal(fib.count, 1);
  });

  it('does what a list of routes does, whatever comes and goes', () => {
    fc.assert(
      fc.property(fc.array(STEP, { maxLength: 120 }), (steps) => {
        const fib = new Fib4();
        const list = new RouteList();
        for (const { what, address, length, value } of steps) {
          const at = list.at(address, length);
          if (what === 'insert') {
            assert.equal(fib.insert(address, length, value).ok, at < 0);
            if (at < 0) list.set(address, length, value);
          } else if (what === 'replace') {
            assert.equal(fib.replace(address, length, value).ok, at >= 0);
            if (at >= 0) list.set(address, length, value);
          } else {
            // Mostly one that is there.
            const gone =
              list.routes.length > 0 && value % 4 > 0 ? list.routes[value % list.routes.length] : { address, length };
            const before = list.at(gone.address, gone.length);
            assert.equal(fib.remove(gone.address, gone.length).ok, before >= 0);
            if (before >= 0) list.routes.splice(before, 1);
          }
          for (const each of edges(address, length))
            assert.equal(fib.lookup(each), list.lookup(each), formatIpv4(each));
        }
        assert.deepEqual([...fib.routes()], list.sorted());
        assert.equal(fib.count, list.routes.length);
        for (const each of list.routes) {
          assert.equal(fib.get(each.address, each.length), each.value);
          for (const edge of edges(each.address, each.length)) assert.equal(fib.lookup(edge), list.lookup(edge));
        }
      }),
      { numRuns: 300 },
    );
  });

  it('gives back all that it took for routes that are gone', () => {
    const random = new Random(4);
    const fib = new Fib4();
    const empty = fib.lookupBytes;
    const routes = Array.from({ length: 3000 }, (): [number, number] => [
      0x0a00_0000 | random.below(1 << 18),
      random.between(12, 32),
    ]);
    let most = 0;
    for (let turn = 0; turn < 3; turn++) {
      for (const each of routes) fib.insert(...each, random.below(50));
      if (turn === 0) most = fib.lookupBytes;
      assert.ok(fib.lookupBytes < most * 1.1, 'as much as the first time');
      for (const each of routes.toSorted(() => random.fraction() - 0.5)) fib.remove(...each);
      assert.deepEqual([fib.count, fib.lookupBytes], [0, empty]);
    }
  });

  it('is small with few routes, and with many that are far apart', () => {
    const random = new Random(5);
    const fib = new Fib4();
    while (fib.count < 10) fib.insert(random.next(), 24, 1);
    assert.ok(fib.lookupBytes < 300_000, `${fib.lookupBytes} bytes for 10 routes`);
    while (fib.count < 50_000) fib.insert(random.next(), 24, fib.count);
    assert.ok(fib.lookupBytes < 8 << 20, `${fib.lookupBytes} bytes for 50,000 routes`);
  });

  it('is full at its limit, and has room again when a route goes', () => {
    const fib = new Fib4();
    for (let i = 0; i < ROUTES_MAX; i++) assert.ok(fib.insert(0x0a00_0000 + i, 32, i).ok);
    const refused = fib.insert(...route('192.0.2.0/24'), 1);
    assert.ok(
      !refused.ok && refused.failure.code === 'routes-full' && refused.failure.message.includes('192.0.2.0/24'),
    );
    assert.equal(fib.lookup(0x0a00_0000 + ROUTES_MAX - 1), ROUTES_MAX - 1);
    assert.ok(fib.remove(...route('10.0.0.9/32')).ok);
    assert.ok(fib.insert(...route('192.0.2.0/24'), 1).ok);
    assert.deepEqual(lookups(fib, ['192.0.2.9', '10.0.0.9', '10.0.0.10']), [1, -1, 10]);
  });
});
