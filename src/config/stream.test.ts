/** Interfaces that a virtual machine is plugged into: what is right, what is not, and what changing one takes. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Config } from './config.ts';
import { describeAction } from './describe-action.ts';
import { checkConfig, parseConfig } from './parse-config.ts';
import { plan } from './plan.ts';
import { writeConfig } from './schema.ts';

const VM = 'interfaces: { vm0: { stream: { socket: /run/vm0.sock }, address: [10.0.0.1/24], vlans: { 7: {} } } }';

describe('an interface with a stream', () => {
  it('is made before what is on it, and has no tap', () => {
    assert.deepEqual(changes(valid('{}'), valid(VM)), [
      '+ interface vm0 (at /run/vm0.sock)',
      '+ interface vm0.7',
      '+ address vm0 10.0.0.1/24',
      '+ up vm0',
      '+ up vm0.7',
    ]);
  });

  it('is written as it is read', () => {
    const written = checkConfig(writeConfig(valid(VM)));
    assert.ok(written.ok);
    assert.deepEqual(plan(valid(VM), written.value), []);
  });

  it('stays when its MTU changes, and is made anew at another path', () => {
    const wide = VM.replace('address', 'mtu: 9000, address');
    assert.ok(changes(valid(VM), valid(wide)).every((line) => line.startsWith('~ ')));
    const moved = changes(valid(VM), valid(VM.replace('vm0.sock', 'vm1.sock')));
    assert.ok(moved.includes('- interface vm0'), moved.join('\n'));
    assert.ok(moved.includes('+ interface vm0 (at /run/vm1.sock)'), moved.join('\n'));
  });

  it('excludes a tap, shares no socket, and needs a path that fits', () => {
    const two = (first: string, second: string): string =>
      `interfaces: { a: { stream: { socket: ${first} } }, b: { ${second} } }`;
    assert.deepEqual(problems(two('/run/a', 'stream: { socket: /run/a }')), ['duplicate interfaces.b.stream.socket']);
    assert.deepEqual(problems(two('/run/a', 'stream: { socket: /run/b }, tap: { queues: 2 }')), [
      'excluded interfaces.b.tap',
    ]);
    for (const path of ['relative', `/${'x'.repeat(107)}`]) assert.equal(problems(two(path, '')).length, 1, path);
  });

  it('is no tap that is switched off', () => {
    valid(`${VM}\ndefaults: { taps: disabled }`);
  });
});

function valid(text: string): Config {
  const parsed = parseConfig(text);
  assert.ok(parsed.ok, JSON.stringify(parsed));
  return parsed.value;
}

function problems(text: string): string[] {
  const parsed = parseConfig(text);
  assert.ok(!parsed.ok, text);
  return parsed.problems.map(({ code, path }) => `${code} ${path.join('.')}`);
}

function changes(from: Config, to: Config): string[] {
  return plan(from, to).map(describeAction);
}
