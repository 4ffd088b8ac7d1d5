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
      ['-c', '3', '-i', '0.2'],
      ['-c', '3', '-i', '0.2', '-s', '1472', '-M', 'do'],
      ['-c', '300', '-f'],
    ]) {
      const { stdout } = await execute(inside('ping', ...options, '10.78.0.2'));
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
});

function run(name: string): Program {
  return new Program([process.execPath, `examples/${name}.mjs`, NAMESPACE], { cwd: CHECKOUT });
}

function inside(...words: readonly string[]): readonly string[] {
  return ['ip', 'netns', 'exec', NAMESPACE, ...words];
}
