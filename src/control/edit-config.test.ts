import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import * as edit from './edit-config.ts';

const DOCUMENT = {
  interfaces: { tap0: { mtu: 1500, vlans: { '100': { up: true } } }, bvi: { vlans: {} } },
  bridges: { lan: { bvi: { address: ['10.1.0.1/24'] } }, wan: {} },
  routes: [
    { to: '10.9.0.0/16', via: 'uplink' },
    { to: 'fd00::/64', via: 'drop' },
  ],
  neighbours: [{ interface: 'tap0', address: 'fd00::2', mac: '02:00:00:00:00:02' }],
  uplink: { translate: 'host' },
};

function after(change: edit.Edit, document: Readonly<Record<string, unknown>> = DOCUMENT): Record<string, never> {
  const before = JSON.stringify(document);
  const result = change(document);
  assert.equal(JSON.stringify(document), before, 'the document itself stays as it is');
  assert.ok(result.ok, result.ok ? '' : result.failure.message);
  return result.value as Record<string, never>;
}

function codeOf(change: edit.Edit): string {
  const result = change(DOCUMENT);
  assert.ok(!result.ok);
  return result.failure.code;
}

describe('an edit', () => {
  it('changes one place, and shares the rest', () => {
    const changed = after(edit.changePort('tap0', { mtu: 9000, mac: null }));
    assert.deepEqual(changed['interfaces'], {
      tap0: { mtu: 9000, vlans: { '100': { up: true } } },
      bvi: { vlans: {} },
    });
    assert.equal(changed['bridges'], DOCUMENT.bridges);
  });

  it('finds sub-interfaces and BVIs by their derived names', () => {
    assert.deepEqual(edit.portIn(DOCUMENT, 'tap0.100'), { up: true });
    assert.deepEqual(edit.portIn(DOCUMENT, 'bvi.lan'), { address: ['10.1.0.1/24'] });
    assert.deepEqual(after(edit.deletePort('bvi.lan'))['bridges'], { lan: {}, wan: {} });
    assert.deepEqual(after(edit.createPort('bvi.wan', {}))['bridges']['wan'], { bvi: {} });
    const numbered = after(edit.createPort('bvi.7', { up: false }))['interfaces'];
    assert.deepEqual(numbered['bvi'], { vlans: { '7': { up: false } } }, 'an interface may be called bvi');
  });

  it('knows what is there and what is not', () => {
    assert.equal(codeOf(edit.createPort('tap0.100', {})), 'interface-exists');
    assert.equal(codeOf(edit.createPort('bvi.lan', {})), 'interface-exists');
    assert.equal(codeOf(edit.createPort('tap1.100', {})), 'interface-unknown');
    assert.equal(codeOf(edit.createPort('bvi.man', {})), 'bridge-unknown');
    assert.equal(codeOf(edit.deletePort('bvi.wan')), 'interface-unknown');
    assert.equal(codeOf(edit.deletePort('toString')), 'interface-unknown');
    assert.equal(codeOf(edit.changeBridge('man', {})), 'bridge-unknown');
  });

  it('compares networks and addresses, not their spelling', () => {
    assert.deepEqual(after(edit.deleteRoute('FD00:0::/64'))['routes'], [DOCUMENT.routes[0]]);
    assert.equal(codeOf(edit.addRoute({ to: 'fd00:0:0::/64', via: 'drop' })), 'route-exists');
    assert.deepEqual(after(edit.deleteNeighbour('tap0', 'FD00:0::2'))['neighbours'], []);
    assert.equal(codeOf(edit.deleteNeighbour('tap1', 'fd00::2')), 'neighbour-unknown');
  });

  it('gives and takes the uplink', () => {
    const without = after(edit.deleteUplink());
    assert.ok(!('uplink' in without));
    assert.deepEqual(after(edit.setUplink({ translate: 'host' }), without)['uplink'], { translate: 'host' });
  });
});

describe('a merge patch', () => {
  it('does what the examples of RFC 7396 (appendix A) say', () => {
    const cases: [unknown, unknown, unknown][] = [
      [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
      [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
      [{ a: 'b' }, { a: null }, {}],
      [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
      [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
      [{ a: 'c' }, { a: ['b'] }, { a: ['b'] }],
      [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
      [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
      [
        ['a', 'b'],
        ['c', 'd'],
        ['c', 'd'],
      ],
      [{ a: 'b' }, ['c'], ['c']],
      [{ a: 'foo' }, null, null],
      [{ a: 'foo' }, 'bar', 'bar'],
      [{ e: null }, { a: 1 }, { e: null, a: 1 }],
      [[1, 2], { a: 'b', c: null }, { a: 'b' }],
      [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
    ];
    for (const [target, patch, result] of cases) assert.deepEqual(edit.mergePatch(target, patch), result);
  });

  it('leaves no null, changes nothing the second time, and reaches no prototype', () => {
    const json = fc.jsonValue({ maxDepth: 4 });
    fc.assert(
      fc.property(json, json, (target, patch) => {
        const once = edit.mergePatch(target, patch);
        assert.deepEqual(edit.mergePatch(once, patch), once);
      }),
    );
    edit.mergePatch({}, JSON.parse('{"__proto__":{"reached":true}}'));
    assert.equal('reached' in {}, false);
  });
});
