/** A network made by whoever has no privilege on the machine: in a user namespace of their own, where they are root. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { execute } from '../support/netns/process.ts';
import { onOwnMachine } from './lab.ts';

await onOwnMachine(import.meta.url);

const ENTER = ['unshare', '--user', '--map-root-user', '--net', '--mount'];
const DIST = fileURLToPath(new URL('../../', import.meta.url));

const SCRIPT = `
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { parseConfig } from '${DIST}config/parse-config.js';
import { createNetwork } from '${DIST}network/network.js';
const inner = spawn('unshare', ['--net', 'sh', '-c', 'ip link set lo up; echo up; exec sleep 300'], { stdio: ['ignore', 'pipe', 'inherit'] });
await once(inner.stdout, 'data');
const { value: network } = await createNetwork({ name: 'mine', version: '0', log() {} });
const host = (name, rest) => '{ tap: { host: { name: ' + name + ', ' + rest + ' } }, address: [10.0.0.1/24] }';
const text = 'interfaces: { tap0: ' + host('eth0', 'namespace: "pid:' + inner.pid + '", address: [10.0.0.2/24]') + ' }';
const applied = await network.apply(parseConfig(text).value);
if (!applied.ok) throw new Error(applied.failure.message);
const ping = spawn('nsenter', ['-t', String(inner.pid), '--net', 'ping', '-c', '1', '-W', '60', '10.0.0.1'], { stdio: 'ignore' });
const [status] = await once(ping, 'close');
console.log(JSON.stringify({ status, taps: network.taps().map(({ name }) => name) }));
await network.close();
inner.kill('SIGKILL');
process.exit(0);
`;

describe('a network of an ordinary user', { skip: whyNot() }, () => {
  it('has taps in namespaces that are theirs', async () => {
    const { status, stdout, stderr } = await execute([...ENTER, process.execPath, '--input-type=module', '-e', SCRIPT]);
    assert.equal(status, 0, stderr);
    assert.deepEqual(JSON.parse(stdout), { status: 0, taps: ['tap0'] });
  });
});

function whyNot(): string | false {
  const [program, ...words] = [...ENTER, 'sh', '-c', ': <> /dev/net/tun'];
  const { status, stderr } = spawnSync(program!, words, { encoding: 'utf8' });
  return status === 0 ? false : `no user namespace with a tun device: ${stderr.trim()}`;
}
