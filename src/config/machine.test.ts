/** Interfaces that virtual machines are plugged into: what is right, what is not, and what changing one takes. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Config } from './config.ts';
import { describeAction } from './describe-action.ts';
import { checkConfig, parseConfig } from './parse-config.ts';
import { plan } from './plan.ts';
import { writeConfig } from './schema.ts';

for (const [key, kind, more] of [
  ['stream', 'stream', ''],
  ['datagram', 'datagram', ', peer: /run/vm0.qemu'],
  ['vhostUser', 'vhost-user', ''],
] as const) {
  const vm = `interfaces: { vm0: { ${key}: { socket: /run/vm0.sock${more} }, address: [10.0.0.1/24], vlans: { 7: {} } } }`;

  describe(`an interface with ${key}`, () => {
    it('is made before what is on it, and has no tap', () => {
      assert.deepEqual(changes(valid('{}'), valid(vm)), [
        `+ interface vm0 (${kind} at /run/vm0.sock)`,
        '+ interface vm0.7',
        '+ address vm0 10.0.0.1/24',
        '+ up vm0',
        '+ up vm0.7',
      ]);
    });

    it('is written as it is read', () => {
      const written = checkConfig(writeConfig(valid(vm)));
      assert.ok(written.ok);
      assert.deepEqual(plan(valid(vm), written.value), []);
    });

    it('stays when its MTU changes, and is made anew at another path', () => {
      const wide = vm.replace('address', 'mtu: 9000, address');
      assert.ok(changes(valid(vm), valid(wide)).every((line) => line.startsWith('~ ')));
      const moved = changes(valid(vm), valid(vm.replace('vm0.sock', 'vm1.sock')));
      assert.ok(moved.includes('- interface vm0'), moved.join('\n'));
      assert.ok(moved.includes(`+ interface vm0 (${kind} at /run/vm1.sock)`), moved.join('\n'));
    });

    it('excludes a tap, shares no socket, and needs a path that fits', () => {
      const two = (first: string, second: string): string =>
        `interfaces: { a: { ${key}: { socket: ${first}${more} } }, b: { ${second} } }`;
      for (const other of ['stream', 'vhostUser']) {
        assert.deepEqual(problems(two('/run/a', `${other}: { socket: /run/a }`)), [
          `duplicate interfaces.b.${other}.socket`,
        ]);
      }
      assert.deepEqual(
        problems(two('/run/a', `${key}: { socket: /run/b${more.replace('0', '1')} }, tap: { queues: 2 }`)),
        ['excluded interfaces.b.tap'],
      );
      for (const path of ['relative', `/${'x'.repeat(107)}`]) assert.equal(problems(two(path, '')).length, 1, path);
    });

    it('is no tap that is switched off', () => {
      valid(`${vm}\ndefaults: { taps: disabled }`);
    });
  });
}

it('a port is published for who is named, or for the only one who gets an address', () => {
  const vm = (more: string): string =>
    `uplink: { translate: host }\ninterfaces: { vm0: { stream: { socket: /run/a }, address: [10.7.0.1/24], ${more} } }`;
  const publish = 'publish: ["8080:80"]';
  const pool = (last: string): string => `services: { dhcp: { pool: 10.7.0.2-${last} } }`;
  assert.deepEqual(problems(vm(publish)), ['target-needed interfaces.vm0.publish.0']);
  assert.deepEqual(problems(vm(`${publish}, ${pool('10.7.0.3')}`)), ['target-needed interfaces.vm0.publish.0']);
  const published = (more: string): string[] =>
    changes(valid('{}'), valid(vm(more))).filter((line) => line.startsWith('+ publish'));
  assert.deepEqual(published(`${publish}, ${pool('10.7.0.2')}`), ['+ publish vm0 8080:10.7.0.2:80/tcp']);
  assert.deepEqual(published('publish: ["8080:10.7.0.9:80"]'), ['+ publish vm0 8080:10.7.0.9:80/tcp']);
});

it('datagrams need both paths, which nobody else has', () => {
  const vm = (settings: string, more: string = ''): string =>
    `interfaces: { vm0: { datagram: { ${settings} } }${more} }`;
  assert.equal(problems(vm('socket: /run/a')).length, 1);
  assert.deepEqual(problems(vm('socket: /run/a, peer: /run/a')), ['duplicate interfaces.vm0.datagram.peer']);
  const other = ', vm1: { stream: { socket: /run/b } }';
  assert.deepEqual(problems(vm('socket: /run/a, peer: /run/b', other)), ['duplicate interfaces.vm1.stream.socket']);
  const moved = changes(valid(vm('socket: /run/a, peer: /run/b')), valid(vm('socket: /run/a, peer: /run/c')));
  assert.ok(moved.includes('- interface vm0'), moved.join('\n'));
});

it('a machine has one socket, of one kind, and a bounded number of queues', () => {
  const vm = (more: string): string => `interfaces: { vm0: { vhostUser: { socket: /run/a${more} } }`;
  assert.deepEqual(problems(vm(' }, stream: { socket: /run/b }')), ['excluded interfaces.vm0.vhostUser']);
  for (const queues of [0, 9]) assert.equal(problems(vm(`, queues: ${queues} }`)).length, 1);
  const moved = changes(valid(vm(' }')), valid(vm(', queues: 2 }')));
  assert.deepEqual(moved, ['- up vm0', '- interface vm0', '+ interface vm0 (vhost-user at /run/a)', '+ up vm0']);
});

it('a machine by vhost-user stays when it is read in another mode', () => {
  const vm = 'interfaces: { vm0: { vhostUser: { socket: /run/a } } }';
  const polled = valid(vm.replace('/run/a', '/run/a, rxMode: polling'));
  const all = changes(valid(vm), polled);
  assert.ok(all.length === 1 && all[0]!.startsWith('~ interface vm0'), all.join('\n'));
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
