import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Config } from './config.ts';
import { describeAction } from './describe-action.ts';
import { checkConfig } from './parse-config.ts';
import { type Part, partsOf } from './parts.ts';
import { type Action, inverse, plan } from './plan.ts';
import { formatProblems } from './problem.ts';

const EMPTY = config({});
const BASE = {
  interfaces: {
    tap0: {
      tap: { host: { namespace: 'red', address: ['10.0.0.2/24'], gateway: ['10.0.0.1'] } },
      address: ['10.0.0.1/24'],
    },
    tap1: { bridge: 'lan' },
  },
  bridges: { lan: {} },
  uplink: { translate: 'host' },
  routes: [
    { to: '0.0.0.0/0', via: 'uplink' },
    { to: '10.9.0.0/16', via: '10.0.0.9' },
  ],
};

describe('the plan', () => {
  it('is empty for what is the same', () => {
    assert.deepEqual(plan(config(BASE), config(structuredClone(BASE))), []);
  });

  it('makes what is needed first, and brings interfaces up last', () => {
    assert.deepEqual(lines(EMPTY, config(BASE)), [
      '+ bridge lan',
      '+ interface tap0 (tap tap0 in namespace red)',
      '+ interface tap1 (tap tap1)',
      '+ host-address tap0 10.0.0.2/24',
      '+ host-gateway tap0 10.0.0.1',
      '+ address tap0 10.0.0.1/24',
      '+ member tap1 of bridge lan',
      '+ uplink',
      '+ route 0.0.0.0/0 via uplink',
      '+ route 10.9.0.0/16 via 10.0.0.9',
      '+ up tap0',
      '+ up tap1',
    ]);
  });

  it('keeps the number of a tap where none is wished', () => {
    const named = config({ interfaces: { tap7: { tap: { id: 7 } } } });
    assert.deepEqual(lines(named, config({ interfaces: { tap7: { tap: { host: { name: 'tap7' } } } } })), [
      '~ interface tap7: tap.id 7 -> none, tap.host.name none -> tap7',
    ]);
    assert.equal(lines(named, config({ interfaces: { tap7: { tap: { id: 8 } } } })).length, 4);
  });

  it('changes in place what can be', () => {
    const { tap0, tap1 } = BASE.interfaces;
    const to = {
      ...BASE,
      interfaces: { tap0: { ...tap0, mtu: 9000 }, tap1: { ...tap1, up: false } },
      bridges: { lan: { ageing: '1m' } },
      routes: [BASE.routes[0], { to: '10.9.0.0/16', via: [{ via: '10.0.0.9', weight: 2 }, 'drop'] }],
    };
    assert.deepEqual(lines(config(BASE), config(to)), [
      '- up tap1',
      '~ bridge lan: ageing 300000 -> 60000',
      '~ interface tap0: hostMtu 1500 -> 9000, mtu 1500 -> 9000',
      '~ route 10.9.0.0/16: via 10.0.0.9 -> 10.0.0.9 (weight 2), drop',
    ]);
  });

  it('takes down with a tap all that needs it, and brings it back', () => {
    const { tap0, tap1 } = BASE.interfaces;
    const tap = { queues: 2, host: { ...tap0.tap.host, gateway: [] } };
    const to = { ...BASE, interfaces: { tap0: { ...tap0, tap }, tap1 } };
    assert.deepEqual(lines(config(BASE), config(to)), [
      '- up tap0',
      '- route 10.9.0.0/16',
      '- address tap0 10.0.0.1/24',
      '- host-gateway tap0 10.0.0.1',
      '- host-address tap0 10.0.0.2/24',
      '- interface tap0',
      '+ interface tap0 (tap tap0 in namespace red)',
      '+ host-address tap0 10.0.0.2/24',
      '+ address tap0 10.0.0.1/24',
      '+ route 10.9.0.0/16 via 10.0.0.9',
      '+ up tap0',
    ]);
  });

  it('takes a route by an interface away before the addresses from which neighbours are asked there', () => {
    const address = (...texts: string[]): unknown => ({ tap0: { tap: {}, address: texts } });
    const routes = [{ to: '10.7.0.0/16', via: 'tap0' }];
    const both = config({ interfaces: address('10.0.0.1/24', 'fd00::1/64'), routes });
    const without4 = config({ interfaces: address('fd00::1/64'), routes });
    assert.deepEqual(lines(both, without4), [
      '- route 10.7.0.0/16',
      '- address tap0 10.0.0.1/24',
      '+ route 10.7.0.0/16 via tap0',
    ]);
    const without6 = config({ interfaces: address('10.0.0.1/24'), routes });
    assert.deepEqual(lines(both, without6), ['- address tap0 fd00::1/64']);
  });

  it('leads from any configuration to any other, and back', () => {
    fc.assert(
      fc.property(configs(), configs(), (a, b) => {
        const [before, after] = [partsOf(a), partsOf(b)];
        const actions = plan(a, b);
        const model = new Map(before);
        for (const action of actions) apply(model, action);
        assert.deepEqual(sorted(model), sorted(after));
        for (const action of [...actions].reverse()) apply(model, inverse(action));
        assert.deepEqual(sorted(model), sorted(before));
        assert.deepEqual(plan(a, a), []);
        for (const action of actions) assert.match(describeAction(action), /^[+~-] \S/);
      }),
      { numRuns: 300 },
    );
  });

  it('can be undone from wherever it failed', () => {
    fc.assert(
      fc.property(configs(), configs(), fc.nat(), (a, b, at) => {
        const actions = plan(a, b);
        const done = actions.slice(0, actions.length === 0 ? 0 : at % actions.length);
        const model = partsOf(a);
        for (const action of done) apply(model, action);
        for (const action of done.reverse()) apply(model, inverse(action));
        assert.deepEqual(sorted(model), sorted(partsOf(a)));
      }),
      { numRuns: 200 },
    );
  });
});

/** An engine, as far as a plan is concerned: nothing is made twice or without what it needs, and nothing goes while it is needed. */
function apply(model: Map<string, Part>, action: Action): void {
  const { part } = action;
  if (action.do === 'add') assert.ok(!model.has(part.key), `${part.key} is there already`);
  else assert.deepEqual(model.get(part.key), action.do === 'change' ? action.from : part);
  if (action.do === 'remove') {
    model.delete(part.key);
    for (const { key, needs } of model.values()) assert.ok(!needs.includes(part.key), `${key} needs ${part.key}`);
  } else {
    for (const key of part.needs) assert.ok(model.has(key), `${part.key} needs ${key}`);
    model.set(part.key, part);
  }
}

function sorted(model: ReadonlyMap<string, Part>): Part[] {
  return [...model.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
}

function lines(from: Config, to: Config): string[] {
  return plan(from, to).map(describeAction);
}

function config(data: unknown): Config {
  const checked = checkConfig(data);
  if (!checked.ok) assert.fail(formatProblems(checked.problems, 'test'));
  return checked.value;
}

/** Small worlds in which names, addresses and networks meet often. */
function configs(): fc.Arbitrary<Config> {
  const entry = fc.record({
    bridged: fc.boolean(),
    up: fc.boolean(),
    mtu: fc.constantFrom(1500, 9000),
    queues: fc.constantFrom(1, 2),
    hostAddress: fc.boolean(),
    vlan: fc.boolean(),
    publish: fc.boolean(),
    net: fc.constantFrom(24, 25),
  });
  const via = fc.constantFrom('drop', 'uplink', 'port', 'gateway', 'both');
  return fc
    .record({
      entries: fc.array(fc.option(entry), { maxLength: 3 }),
      lan: fc.constantFrom(undefined, '5m', '1m'),
      bvi: fc.boolean(),
      uplink: fc.boolean(),
      routes: fc.array(via, { maxLength: 4 }),
      neighbour: fc.boolean(),
      level: fc.constantFrom('info', 'debug'),
    })
    .map(({ entries, lan, bvi, uplink, routes, neighbour, level }) => {
      const interfaces: Record<string, unknown> = {};
      const routed: number[] = [];
      entries.forEach((each, index) => {
        if (each === null) return;
        const bridged = each.bridged && lan !== undefined;
        const host = each.hostAddress ? { address: [`10.0.${index}.2/${each.net}`], gateway: [`10.0.${index}.1`] } : {};
        interfaces[`tap${index}`] = {
          tap: { queues: each.queues, host },
          up: each.up,
          mtu: each.mtu,
          ...(bridged ? { bridge: 'lan' } : { address: [`10.0.${index}.1/${each.net}`] }),
          ...(each.vlan ? { vlans: { 7: { address: [`10.7.${index}.1/24`] } } } : {}),
          ...(each.publish && uplink ? { publish: [`${8000 + index}:10.${index}.0.2:80`] } : {}),
        };
        if (!bridged) routed.push(index);
      });
      const [port] = routed;
      const hop = (kind: string): unknown => {
        if (kind === 'uplink') return uplink ? 'uplink' : 'drop';
        if (kind === 'drop' || port === undefined) return 'drop';
        if (kind === 'port') return `tap${port}`;
        return kind === 'gateway' ? `10.0.${port}.9` : routed.map((each) => `10.0.${each}.9`);
      };
      return config({
        interfaces,
        bridges:
          lan === undefined ? {} : { lan: { ageing: lan, ...(bvi ? { bvi: { address: ['10.1.0.1/24'] } } : {}) } },
        ...(uplink ? { uplink: { translate: 'host' } } : {}),
        routes: routes.map((kind, index) => ({ to: `10.${20 + index}.0.0/16`, via: hop(kind) })),
        neighbours:
          neighbour && port !== undefined
            ? [{ interface: `tap${port}`, address: `10.0.${port}.9`, mac: '02:00:00:00:00:01' }]
            : [],
        logging: { level },
      });
    });
}
