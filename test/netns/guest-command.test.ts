/** `tapster guest` with a command: how both end, whoever sends a signal to whom. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { whyNoInternet } from '../support/netns/internet.ts';
import { Lab } from '../support/netns/lab.ts';
import { Program } from '../support/netns/process.ts';
import { lacking } from '../support/netns/programs.ts';
import { environmentOf } from '../support/netns/user.ts';

/** A command that has more to do when it is interrupted. */
const LIVES_ON = 'trap "echo interrupted; exit 7" INT; echo waiting; while :; do sleep 0.1; done';

describe('a guest with a command', { skip: whyNoInternet() ?? false }, () => {
  const lab = new Lab('user', {});
  before(() => lab.up());
  after(() => lab.down());
  const words = (...command: readonly string[]): string[] => [
    ...['guest', '--socket', lab.newPath('vm.sock'), '--', ...command],
  ];

  it('passes its status on, and says with those of the shells why it was not started', async () => {
    const ended = async (...command: readonly string[]) => lab.start(words(...command)).ended;
    assert.equal((await ended('sh', '-c', 'exit 5')).status, 5);
    assert.equal((await ended('sh', '-c', 'kill -9 $$')).status, 137);
    const missing = await ended('/nowhere/machine');
    assert.deepEqual([missing.status, missing.stderr.match(/was not found/)?.length], [127, 1]);
    const folder = await ended('/etc');
    assert.deepEqual([folder.status, folder.stderr.match(/can't be executed: EACCES/)?.length], [126, 1]);
  });

  it('leaves Ctrl-C to it', { skip: lacking('script') }, async () => {
    const line = lab
      .tapster(...words('sh', '-c', LIVES_ON))
      .map((word) => `'${word}'`)
      .join(' ');
    const terminal = ['script', '-qefc', `exec ${line}`, '/dev/null'];
    const program = new Program(terminal, { keepInput: true, env: environmentOf(lab.user), cwd: '/' });
    await program.says(/waiting/);
    program.write('\x03');
    await program.says(/interrupted/);
    assert.equal((await program.ended).status, 7);
  });

  it('ends with it when somebody ends Tapster', async () => {
    for (const [signal, status] of [
      ['SIGTERM', 143],
      ['SIGINT', 130],
      ['SIGHUP', 129],
    ] as const) {
      const program = lab.start(
        words('sh', '-c', 'trap "echo told; exit 7" TERM; echo waiting; while :; do sleep 0.1; done'),
      );
      await program.says(/waiting/);
      program.kill(signal);
      const ended = await program.ended;
      assert.deepEqual([ended.status, ended.stdout.includes('told')], [status, true], signal);
    }
  });
});
