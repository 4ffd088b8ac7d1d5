import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { failure, type Result, success } from '../base/result.ts';
import type { Config } from '../config/config.ts';
import { parseConfig } from '../config/parse-config.ts';
import { type Contents, partsOf } from '../config/parts.ts';
import { Configurator } from './configurator.ts';
import type { PartBuilder } from './part-builder.ts';

const RED = 'red: { tap: { host: { address: [10.0.0.2/24], gateway: [10.0.0.1] } }, address: [10.0.0.1/24] }';
const BLUE = 'blue: { tap: {}, address: [10.1.0.1/24] }';
const GREEN = 'green: { tap: {}, bridge: lan, vlans: { "7": { address: [10.7.0.1/24] } } }';

const SMALL = config(`interfaces: { ${RED}, ${BLUE} }\nroutes: [ { to: 10.9.0.0/16, via: 10.1.0.2 } ]`);
/** One interface goes with its route, one changes, one comes with a bridge. */
const LARGE = config(
  `interfaces: { ${RED.replace('tap: {', 'mtu: 1400, tap: {').replace('.2/24', '.3/24')}, ${GREEN} }\nbridges: { lan: {} }`,
);

function config(text: string): Config {
  const parsed = parseConfig(text);
  assert.ok(parsed.ok, JSON.stringify(parsed));
  return parsed.value;
}

function contentsOf(of: Config): string[] {
  return [...partsOf(of).values()].map(({ contents }) => JSON.stringify(contents)).sort();
}

const ALWAYS = contentsOf(config(''));

/** Has parts, and holds who asks for them to the order of what needs what. */
class FakeBuilder {
  readonly parts: Set<string> = new Set(ALWAYS);
  readonly done: string[] = [];
  refuses: (verb: string, contents: Contents) => boolean = () => false;

  add(contents: Contents): Result<void> {
    return this.#do('add', contents, () => {
      if ('interface' in contents && !OWN.includes(contents.kind))
        assert.ok(this.#has(contents.interface), 'no interface');
      assert.ok(!this.parts.has(JSON.stringify(contents)), `${JSON.stringify(contents)} is there`);
      this.parts.add(JSON.stringify(contents));
    });
  }

  remove(contents: Contents): Result<void> {
    return this.#do('remove', contents, () => {
      this.#take(contents);
      if ('interface' in contents && OWN.includes(contents.kind))
        assert.deepEqual(this.#partsOn(contents.interface), []);
    });
  }

  change(from: Contents, to: Contents): Result<void> {
    return this.#do('change', to, () => {
      this.#take(from);
      this.parts.add(JSON.stringify(to));
    });
  }

  #do(verb: string, contents: Contents, work: () => void): Result<void> {
    if (this.refuses(verb, contents)) return failure('refused', 'not today');
    work();
    this.done.push(`${verb} ${contents.kind}`);
    return success(undefined);
  }

  #take(contents: Contents): void {
    assert.ok(this.parts.delete(JSON.stringify(contents)), `${JSON.stringify(contents)} is not there`);
  }

  /** An interface goes last. */
  #partsOn(name: string): string[] {
    return [...this.parts].filter((part) => (JSON.parse(part) as { interface?: string }).interface === name);
  }

  #has(name: string): boolean {
    return [...this.parts].some((part) => {
      const { kind, interface: own } = JSON.parse(part) as { kind: string; interface?: string };
      return own === name && OWN.includes(kind);
    });
  }
}

const OWN: readonly string[] = ['tap', 'vlan', 'bvi'];

function start() {
  const builder = new FakeBuilder();
  const told: string[] = [];
  const configurator = new Configurator(builder as unknown as PartBuilder, {
    lost: (parts) => told.push(`lost ${parts.map(({ key }) => key).join(', ')}`),
    met: ({ key }) => told.push(`met ${key}`),
  });
  const has = (): string[] => [...builder.parts].sort();
  return { builder, configurator, told, has };
}

// covers T2, V3
describe('a configurator', () => {
  it('makes what a configuration says, and what another says of that', async () => {
    const { configurator, has } = start();
    for (const [i, each] of [SMALL, LARGE, SMALL, config('')].entries()) {
      const applied = await configurator.apply(each);
      assert.ok(applied.ok && applied.value.revision === i + 1);
      assert.deepEqual(has(), contentsOf(each));
    }
  });

  it('leaves everything as it was, whichever action fails', async () => {
    for (const [from, to] of [
      [config(''), LARGE],
      [SMALL, LARGE],
      [LARGE, SMALL],
      [SMALL, config('')],
    ] as const) {
      for (let failing = 0; ; failing++) {
        const { builder, configurator, has } = start();
        await configurator.apply(from);
        let actions = 0;
        builder.refuses = () => actions++ === failing;
        const applied = await configurator.apply(to);
        if (applied.ok) {
          assert.equal(failing, applied.value.actions.length);
          break;
        }
        assert.match(applied.failure.message, /not today; everything is as it was$/);
        assert.equal(applied.failure.code, 'refused');
        assert.deepEqual(has(), contentsOf(from));
        assert.deepEqual(configurator.unmet, []);
        assert.equal(configurator.config, from);
        // It can be tried again.
        builder.refuses = () => false;
        assert.ok((await configurator.apply(to)).ok);
        assert.deepEqual(has(), contentsOf(to));
      }
    }
  });

  it('undoes in the opposite order', async () => {
    const { builder, configurator } = start();
    builder.refuses = (verb, { kind }) => verb === 'add' && kind === 'route';
    await configurator.apply(SMALL);
    const adds = builder.done.filter((each) => each.startsWith('add')).map((each) => each.slice(4));
    const removes = builder.done.filter((each) => each.startsWith('remove')).map((each) => each.slice(7));
    assert.ok(adds.length > 4);
    assert.deepEqual(removes, adds.reverse());
  });

  it('says what could not be undone, keeps it as unmet, and repairs it', async () => {
    const { builder, configurator, told, has } = start();
    await configurator.apply(SMALL);
    // The route of what goes can not be brought back when the bridge that comes is refused.
    let broken = false;
    builder.refuses = (verb, { kind }) => {
      if (verb === 'add' && kind === 'bridge') broken = true;
      return broken && verb === 'add' && (kind === 'bridge' || kind === 'route');
    };
    const applied = await configurator.apply(LARGE);
    assert.ok(!applied.ok);
    assert.match(applied.failure.message, /could not all be undone: \+ route 10\.9\.0\.0\/16.*not today/);
    assert.deepEqual(configurator.unmet, [{ part: 'route 10.9.0.0/16', code: 'refused', message: 'not today' }]);
    broken = false;
    builder.refuses = () => false;
    await configurator.repair();
    assert.deepEqual(configurator.unmet, []);
    assert.deepEqual(told, ['met route 10.9.0.0/16']);
    assert.deepEqual(has(), contentsOf(SMALL));
  });

  // covers V12
  it('loses an interface with its dependents, and repairs all in order when it can', async () => {
    const { builder, configurator, told, has } = start();
    await configurator.apply(SMALL);
    configurator.lose('blue', { code: 'interface-lost', message: 'gone' });
    const lost = ['interface blue', 'address blue 10.1.0.1/24', 'route 10.9.0.0/16', 'up blue'];
    assert.deepEqual(told, [`lost ${lost.join(', ')}`]);
    assert.deepEqual(
      configurator.unmet.map(({ part }) => part),
      lost,
    );
    assert.deepEqual(has(), contentsOf(config(`interfaces: { ${RED} }`)));
    builder.refuses = (_verb, { kind }) => kind === 'tap';
    await configurator.repair();
    assert.deepEqual(configurator.unmet[0], { part: 'interface blue', code: 'refused', message: 'not today' });
    assert.equal(configurator.unmet.length, lost.length);
    builder.refuses = () => false;
    await configurator.repair();
    assert.deepEqual(configurator.unmet, []);
    assert.deepEqual(has(), contentsOf(SMALL));
    assert.deepEqual(
      told.slice(1),
      lost.map((part) => `met ${part}`),
    );
  });

  it('takes up nothing of what is unmet, and gives it up', async () => {
    const { configurator, has } = start();
    await configurator.apply(SMALL);
    configurator.lose('blue', { code: 'interface-lost', message: 'gone' });
    const more = config(
      `interfaces: { ${RED}, ${BLUE} }\nroutes: [ { to: 10.9.0.0/16, via: 10.1.0.3 }, { to: 10.8.0.0/16, via: blue } ]`,
    );
    assert.ok((await configurator.apply(more)).ok);
    assert.deepEqual(has(), contentsOf(config(`interfaces: { ${RED} }`)));
    assert.deepEqual(configurator.unmet.at(-1), {
      ...{ part: 'route 10.8.0.0/16', code: 'part-unmet', message: 'interface blue is not there' },
    });
    await configurator.repair();
    assert.deepEqual(has(), contentsOf(more));
    configurator.lose('blue', { code: 'interface-lost', message: 'gone' });
    assert.ok((await configurator.apply(config(''))).ok);
    assert.deepEqual([configurator.unmet, has()], [[], contentsOf(config(''))]);
  });

  it('is at one revision at a time', async () => {
    const { configurator } = start();
    const dry = await configurator.apply(SMALL, { dryRun: true });
    assert.ok(dry.ok && dry.value.dryRun && dry.value.revision === 0 && dry.value.actions.length > 4);
    assert.ok((await configurator.apply(SMALL, { ifRevision: 0 })).ok);
    const late = await configurator.apply(LARGE, { ifRevision: 0 });
    assert.equal(late.ok ? '' : late.failure.code, 'revision-conflict');
    const same = await configurator.apply(SMALL);
    assert.ok(same.ok && same.value.revision === 1 && same.value.actions.length === 0);
  });
});
