/** The examples, run as they say, in a namespace. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { after, afterEach, before, describe, it } from 'node:test';
import { whyNoInternet } from '../support/netns/internet.ts';
import { endAll, execute, Program } from '../support/netns/process.ts';
import { CHECKOUT } from '../support/netns/user.ts';

/** A name by which the lab finds what a killed test left behind. */
const NAMESPACE = `tapster-test-${process.pid}-examples`;

describe('the examples', { skip: whyNoInternet() ?? false }, () => {
  before(() => {
    spawnSync('ip', ['netns', 'add', NAMESPACE]);
  });
  afterEach(endAll);
  after(() => {
    spawnSync('ip', ['netns', 'del', NAMESPACE]);
  });

  it('tap-echo answers ping, large ones and many too', async () => {
    const echo = run('tap-echo');
    await echo.says(/^10\.78\.0\.2 answers on tap0$/m);
    for (const options of [
      ['-c', '3', '-l', '3'],
      ['-c', '3', '-l', '3', '-s', '1472', '-M', 'do'],
      ['-c', '100', '-l', '100'],
    ]) {
      const { stdout } = await execute(inside('ping', '-W', '60', ...options, '10.78.0.2'));
      assert.match(stdout, / 0% packet loss/);
    }
    // Somebody whom nobody knows does not answer.
    assert.equal((await execute(inside('ping', '-c', '1', '-W', '0.3', '10.78.0.3'))).status, 1);
  });

  it('tap-hexdump shows what the kernel sends', async () => {
    const dump = run('tap-hexdump');
    await dump.says(/^tap0 is up, with 10\.78\.0\.1\/24$/m);
    await execute(inside('ping', '-c', '1', '-W', '0.3', '10.78.0.9'));
    await dump.says(
      /^ARP who-has 10\.78\.0\.9 tell 10\.78\.0\.1\n {2}0000 {2}ff ff ff ff ff ff .* 08 06 00 01\n {2}0010 /m,
    );
  });

  it('packet-counter counts', async () => {
    const counter = run('packet-counter');
    await counter.says(/ping 10\.77\.0\.1 from there$/m);
    await execute(inside('ping', '-W', '60', '-c', '3', '-l', '3', '10.77.0.1'));
    await counter.says(/^icmp: 3$/m);
  });

  it('port-knocker hears who has knocked in the right order', async () => {
    const knocker = run('port-knocker');
    await knocker.says(/listens for knocks/);
    const isHeard = async (waitSeconds: string): Promise<boolean> =>
      (await execute(inside('ping', '-c', '1', '-W', waitSeconds, '10.77.0.1'))).status === 0;
    const knock = (...ports: number[]) => {
      const lines = ports.map((port) => `echo > /dev/udp/10.77.0.1/${port}`);
      return execute(inside('bash', '-c', lines.join('; ')));
    };
    assert.equal(await isHeard('0.3'), false);
    await knock(7001, 7003, 7002);
    assert.equal(await isHeard('0.3'), false);
    await knock(7001, 7002, 7003);
    assert.equal(await isHeard('60'), true);
  });
});

function run(name: string): Program {
  return new Program([process.execPath, `examples/${name}.mjs`, NAMESPACE], { cwd: CHECKOUT });
}

function inside(...words: readonly string[]): readonly string[] {
  return ['ip', 'netns', 'exec', NAMESPACE, ...words];
}
