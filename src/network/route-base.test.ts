import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  formatIpPrefix,
  type IpAddress,
  type IpPrefix,
  parseIpAddress,
  parseIpPrefix,
  prefixContains,
} from '../base/address.ts';
import { RouteBase, type RouteOrigin } from './route-base.ts';

const prefix = (text: string): IpPrefix => parseIpPrefix(text)!;
const address = (text: string): IpAddress => parseIpAddress(text)!;

describe('the routes that are known', () => {
  for (const { network, host, inside, outside } of [
    { network: '10.0.0.0/8', host: '10.1.2.3/32', inside: '10.1.2.3', outside: '11.0.0.1' },
    { network: 'fd00::/16', host: 'fd00::5/128', inside: 'fd00::5', outside: 'fe00::1' },
  ]) {
    it(`are gone by from the longest on: ${network}`, () => {
      const routes = new RouteBase();
      assert.equal(routes.lookup(address(inside)), -1);
      routes.add(prefix(network), 'configured', 1);
      routes.add(prefix(host), 'local', 2);
      assert.equal(routes.lookup(address(inside)), 2);
      routes.remove(prefix(host), 'local', 2);
      assert.equal(routes.lookup(address(inside)), 1);
      assert.equal(routes.lookup(address(outside)), -1);
    });

    it(`of one prefix the best, then the next best: ${network}`, () => {
      const routes = new RouteBase();
      const to = prefix(network);
      const goes = (): number => routes.lookup(address(inside));
      routes.add(to, 'configured', 30);
      routes.add(to, 'connected', 20);
      assert.equal(goes(), 20);
      routes.add(to, 'connected', 21);
      assert.equal(goes(), 20, 'the first of two of a kind has it');
      routes.add(to, 'local', 10);
      assert.equal(goes(), 10);
      assert.equal(routes.configured(to), 30);
      for (const [origin, value, next] of [
        ['local', 10, 20],
        ['connected', 20, 21],
        ['connected', 21, 30],
        ['configured', 30, -1],
      ] as const) {
        routes.remove(to, origin, value);
        assert.equal(goes(), next);
      }
      assert.equal(routes.configured(to), -1);
    });
  }

  it('have one configured route for a prefix, however it is written', () => {
    const routes = new RouteBase();
    routes.add(prefix('10.1.0.0/16'), 'configured', 1);
    const again = routes.add(prefix('10.1.2.3/16'), 'configured', 2);
    assert.equal(again.ok ? '' : again.failure.code, 'route-exists');
    assert.match(again.ok ? '' : again.failure.message, /10\.1\.0\.0\/16/);
    assert.equal(routes.lookup(address('10.1.9.9')), 1);
  });

  it('are listed by address, those that cover a prefix or lie under it where one is given', () => {
    const routes = new RouteBase();
    for (const [i, text] of ['10.2.0.0/16', '0.0.0.0/0', '10.1.0.0/16', '10.1.1.0/24', 'fd00::/8'].entries()) {
      routes.add(prefix(text), 'configured', i);
    }
    const list = (within?: string): string[] =>
      [...routes.routes('ipv4', within === undefined ? undefined : prefix(within))].map(({ to }) => formatIpPrefix(to));
    assert.deepEqual(list(), ['0.0.0.0/0', '10.1.0.0/16', '10.1.1.0/24', '10.2.0.0/16']);
    assert.deepEqual(list('10.1.0.0/20'), ['0.0.0.0/0', '10.1.0.0/16', '10.1.1.0/24']);
    assert.deepEqual(list('10.2.3.4/32'), ['0.0.0.0/0', '10.2.0.0/16']);
    assert.deepEqual(
      [...routes.routes('ipv6')].map(({ to, origin, value }) => [formatIpPrefix(to), origin, value]),
      [['fd00::/8', 'configured', 4]],
    );
  });

  it('lead where a list that is searched from end to end says', () => {
    const RANKS: readonly RouteOrigin[] = ['local', 'connected', 'configured'];
    const to = fc.constantFrom('0.0.0.0/0', '10.0.0.0/8', '10.1.0.0/16', '10.1.0.0/17', '10.1.2.3/32').map(prefix);
    const step = fc.record({ to, origin: fc.constantFrom(...RANKS), remove: fc.boolean() });
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 40 }),
        fc.constantFrom('10.1.2.3', '10.1.200.1', '10.9.9.9', '9.0.0.0'),
        (steps, asked) => {
          const routes = new RouteBase();
          const known: { to: IpPrefix; origin: RouteOrigin; value: number }[] = [];
          for (const [value, { to, origin, remove }] of steps.entries()) {
            const at = known.findIndex((each) => each.to === to && each.origin === origin);
            if (remove && at >= 0) {
              const [gone] = known.splice(at, 1);
              routes.remove(to, origin, gone!.value);
            } else if (!remove && routes.add(to, origin, value).ok) {
              known.push({ to, origin, value });
            }
          }
          const fitting = known.filter((each) => prefixContains(each.to, address(asked)));
          fitting.sort(
            (a, b) =>
              b.to.length - a.to.length || RANKS.indexOf(a.origin) - RANKS.indexOf(b.origin) || a.value - b.value,
          );
          assert.equal(routes.lookup(address(asked)), fitting[0]?.value ?? -1);
        },
      ),
    );
  });
});
