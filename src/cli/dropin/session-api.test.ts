import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { failure, success } from '../../base/result.ts';
import type { Forward } from '../../engine/forward-places.ts';
import type { Forwards, OpenForward } from '../../engine/forwards.ts';
import { SessionRules } from './session-api.ts';

class FakeForwards implements Pick<Forwards, 'add' | 'remove' | 'list'> {
  readonly open: OpenForward[] = [];
  readonly taken: Set<number> = new Set();
  #lastId: number = 0;

  add(forward: Forward): ReturnType<Forwards['add']> {
    const { firstPort } = forward.rule;
    if (this.taken.has(firstPort)) return failure('port-in-use', `another program has ${firstPort}`);
    const added = { ...forward, id: ++this.#lastId, ports: 1, auto: false };
    this.open.push(added);
    return success(added);
  }

  remove(id: number): boolean {
    const at = this.open.findIndex((each) => each.id === id);
    if (at >= 0) this.open.splice(at, 1);
    return at >= 0;
  }

  list(): readonly OpenForward[] {
    return this.open;
  }
}

function start(...texts: string[]): { readonly forwards: FakeForwards; readonly rules: SessionRules } {
  const forwards = new FakeForwards();
  const rules = new SessionRules(forwards, ['in', 'out']);
  assert.ok(rules.apply('in', texts).ok);
  return { forwards, rules };
}

describe('forwards of a session as rules', () => {
  it('are told as they were written, and changed by what is different', () => {
    const { forwards, rules } = start('8080:80', '127.0.0.1:53:5300/udp');
    assert.deepEqual(rules.texts('in'), ['8080:80/tcp', '127.0.0.1:53:5300/udp']);
    const [first] = forwards.open;
    const applied = rules.apply('in', ['8080:80/tcp', '9000-9001:90']);
    assert.deepEqual(applied.ok && applied.value.map(({ action, text }) => `${action} ${text}`), [
      'remove publish guest 127.0.0.1:53:5300/udp',
      'add publish guest 9000-9001:90/tcp',
    ]);
    assert.equal(forwards.open[0], first);
    assert.equal(rules.revision, 3);
  });

  it('are changed all, or none', () => {
    const { forwards, rules } = start('8080:80');
    forwards.taken.add(82);
    const applied = rules.apply('in', ['81', '82']);
    assert.equal(applied.ok ? '' : applied.failure.code, 'port-in-use');
    assert.deepEqual([rules.texts('in'), rules.revision], [['8080:80/tcp'], 2]);
    const wrong = rules.apply('in', ['81', 'nonsense']);
    assert.match(wrong.ok ? '' : wrong.failure.message, /^"nonsense": .*; write \[ADDR:\]PORT/);
    assert.deepEqual(rules.texts('in'), ['8080:80/tcp']);
  });

  it('may have more ports than a new rule may, when they were there before', () => {
    const { forwards, rules } = start();
    const rule = { address: undefined, firstPort: 2000, lastPort: 9000, toAddress: undefined, toPort: 2000 };
    forwards.add({ direction: 'in', protocol: 'tcp', rule: { ...rule, interfaceName: undefined, weak: false } });
    const [large = ''] = rules.texts('in');
    assert.equal(large, '2000-9000:2000/tcp');
    assert.ok(rules.apply('in', [large, '80']).ok);
    assert.deepEqual(rules.texts('in'), [large, '80:80/tcp']);
    const wrong = rules.apply('in', ['2000-9000:3000/tcp']);
    assert.match(wrong.ok ? '' : wrong.failure.message, /7001 ports in one rule/);
  });

  it('lead inside, and from there to the host, each by itself', () => {
    const { forwards, rules } = start('8080:80');
    assert.ok(rules.apply('out', ['5432']).ok);
    assert.deepEqual([rules.texts('in'), rules.texts('out')], [['8080:80/tcp'], ['5432:5432/tcp']]);
    assert.ok(rules.apply('in', []).ok);
    assert.deepEqual(
      forwards.open.map(({ direction }) => direction),
      ['out'],
    );
    const removed = rules.apply('out', []);
    assert.deepEqual(removed.ok && removed.value.map(({ text }) => text), ['publish host 5432:5432/tcp']);
  });

  it('leave alone what no rule can say', () => {
    const { forwards, rules } = start();
    const ports = { address: undefined, firstPort: 1, lastPort: 1, toAddress: undefined, toPort: 1 };
    const rule = { ...ports, interfaceName: undefined, weak: false };
    forwards.add({ direction: 'out', protocol: 'tcp', rule: { ...rule, weak: true } });
    forwards.add({ direction: 'in', protocol: 'tcp', rule: { ...rule, interfaceName: 'lo' } });
    forwards.add({ direction: 'in', protocol: 'udp', rule: { ...rule, weak: true } });
    assert.ok(rules.apply('in', ['80']).ok);
    assert.ok(rules.apply('in', []).ok);
    assert.deepEqual([rules.texts('in'), forwards.open.length, rules.all.length], [[], 3, 3]);
  });
});
