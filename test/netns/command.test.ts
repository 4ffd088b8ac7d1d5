/** The command as its caller sees it: exit statuses, signals, streams, the terminal; and that nothing of it is left behind. */
import assert from 'node:assert/strict';
import { readdirSync, readlinkSync, writeFileSync } from 'node:fs';
import { it } from 'node:test';
import { PLACES } from '../support/netns/internet.ts';
import { inLab, quote } from '../support/netns/lab.ts';
import { patternChunks, patternHash } from '../support/netns/pattern.ts';
import { eventually, inOneOf, Program, tookTooLong } from '../support/netns/process.ts';
import { lacking } from '../support/netns/programs.ts';
import { environmentOf } from '../support/netns/user.ts';

inLab('exit statuses', (lab) => {
  for (const status of [0, 7]) {
    it(`${status} is passed on`, async () => {
      assert.equal((await lab.runShell([], `exit ${status}`)).status, status);
    });
  }

  for (const [name, number] of [
    ['TERM', 15],
    ['KILL', 9],
    ['INT', 2],
  ] as const) {
    it(`a command that was killed by SIG${name} gives ${128 + number}`, async () => {
      assert.equal((await lab.runShell([], `kill -${name} $$`)).status, 128 + number);
    });
  }

  it('a command that does not exist gives 127, and is named', async () => {
    const ran = await lab.run([], ['no-such-program']);
    assert.equal(ran.status, 127);
    assert.match(ran.stderr, /"no-such-program" was not found/);
  });

  it('a command that is not executable gives 126', async () => {
    const path = lab.newPath('not-executable');
    writeFileSync(path, 'data');
    assert.equal((await lab.run([], [path])).status, 126);
  });

  it('a failure of our own gives 125', async () => {
    const ran = await lab.run(['-p', '203.0.113.1:80'], ['true']);
    assert.equal(ran.status, 125);
    assert.match(ran.stderr, /203\.0\.113\.1/);
  });

  it('a wrong option gives 2, with what would be right', async () => {
    const ran = await lab.run(['--mtu', 'large'], ['true']);
    assert.equal(ran.status, 2);
    assert.match(ran.stderr, /large/);
  });
});

inLab('signals', (lab) => {
  const waiting = [
    'sh',
    '-c',
    'trap "echo told; exit 3" TERM USR1; readlink /proc/self/ns/net; while :; do sleep 0.1; done',
  ];

  for (const signal of ['SIGTERM', 'SIGUSR1'] as const) {
    it(`${signal} is passed on to the command`, async () => {
      const program = lab.start(['run', '--', ...waiting]);
      await program.says(/^net:/m);
      program.kill(signal);
      const ended = await program.ended;
      assert.equal(ended.status, 3, ended.stderr);
      assert.match(ended.stdout, /^told$/m);
    });
  }

  it('when Tapster is killed, the command dies and its namespace goes', async () => {
    const program = lab.start(['run', '--', ...waiting]);
    const [, namespace] = await program.says(/^(net:.*)$/m);
    assert.ok(inhabited(namespace!));
    program.kill('SIGKILL');
    await eventually(`nobody is in ${namespace}`, () => !inhabited(namespace!));
    assert.equal((await program.ended).status, 137);
  });

  it('what the command left running ends with it', async () => {
    const program = lab.start([
      'run',
      '--',
      'sh',
      '-c',
      'sleep 1000 >/dev/null 2>&1 </dev/null & setsid sleep 1001 >/dev/null 2>&1 </dev/null & readlink /proc/self/ns/net',
    ]);
    const [, namespace] = await program.says(/^(net:.*)$/m);
    assert.equal((await program.ended).status, 0);
    await eventually(`nobody is in ${namespace}`, () => !inhabited(namespace!));
  });
});

inLab('streams', (lab) => {
  const bytes = 10_000_000;

  it('the standard input and output carry 10 MB of anything', async () => {
    const input = Buffer.concat([...patternChunks(bytes)]);
    const ran = await lab.run([], ['cat'], { input });
    assert.equal(ran.status, 0, ran.stderr);
    assert.ok(ran.output.equals(input));
  });

  it('a pipe through the command carries 10 MB of anything', { skip: lacking('sha256sum') }, async () => {
    const words = lab.tapster('run', '--', 'cat').map(quote).join(' ');
    const generate = lab.nodeProgram('client', 'generate', String(bytes)).map(quote).join(' ');
    const program = new Program(['sh', '-c', `${generate} | ${words} | sha256sum`], {
      env: environmentOf(lab.user),
      cwd: '/',
    });
    assert.equal((await program.ended).stdout.split(' ')[0], patternHash(bytes));
  });

  it('errors of the command go to the standard error', async () => {
    const ran = await lab.runShell([], 'echo out; echo err >&2');
    assert.deepEqual([ran.stdout, ran.stderr], ['out\n', 'err\n']);
  });

  it("the command has the user's environment and folder", async () => {
    const ran = await lab.runShell([], 'echo "$GREETING"; pwd', {
      env: { ...environmentOf(lab.user), GREETING: 'hello' },
      cwd: '/usr',
    });
    assert.equal(ran.stdout, 'hello\n/usr\n');
  });

  it('the user is who it was outside, or root with --root', async () => {
    const uid = lab.user === 'root' ? '0' : '65534';
    assert.equal((await lab.run([], ['id', '-u'])).stdout, `${uid}\n`);
    assert.equal((await lab.run(['--root'], ['id', '-u'])).stdout, '0\n');
  });
});

inLab('a terminal', (lab) => {
  const skip = lacking('script');

  /** Tapster in a terminal of its own; what is written to the program is typed there. */
  function inTerminal(line: string, before: string = ':'): Program {
    const words = lab.tapster('run', '--', 'sh', '-c', line).map(quote).join(' ');
    const script = ['script', '-qefc', `${before}; exec ${words}`, '/dev/null'];
    return new Program(script, { keepInput: true, env: environmentOf(lab.user), cwd: '/' });
  }

  it('is a terminal inside', { skip }, async () => {
    const program = inTerminal('test -t 0 && test -t 1 && tty');
    await program.says(/\/dev\/pts\/\d+/);
    assert.equal((await program.ended).status, 0);
  });

  it('interrupts the command with Ctrl-C', { skip }, async () => {
    const program = inTerminal('trap "echo interrupted; exit 7" INT; echo waiting; while :; do sleep 0.1; done');
    await program.says(/waiting/);
    program.write('\x03');
    await program.says(/interrupted/);
    assert.equal((await program.ended).status, 7);
  });

  it('tells the command its size', { skip: lacking('script', 'stty') }, async () => {
    const program = inTerminal('stty size', 'stty rows 33 cols 101');
    await program.says(/^33 101/m);
    assert.equal((await program.ended).status, 0);
  });

  it('tells the command when its size changes', { skip: lacking('script', 'stty') }, async () => {
    // stty(1) sets rows and columns by two calls, of which each is told.
    const line =
      'trap \'s=$(stty size); echo "$s"; test "$s" != "44 99" || exit 0\' WINCH; tty; while :; do sleep 0.1; done';
    const program = inTerminal(line);
    const [path] = await program.says(/\/dev\/pts\/\d+/);
    const resize = new Program(['stty', '-F', path, 'rows', '44', 'cols', '99']);
    assert.equal((await resize.ended).status, 0);
    await program.says(/^44 99/m);
    assert.equal((await program.ended).status, 0);
  });

  it('is as it was when the command has ended', { skip: lacking('script', 'stty') }, async () => {
    const words = lab.tapster('run', '--', 'sh', '-c', 'exit 5').map(quote).join(' ');
    const program = new Program(
      ['script', '-qefc', `${words}; echo status $?; stty -a | grep -o ' echo '`, '/dev/null'],
      {
        env: environmentOf(lab.user),
        cwd: '/',
      },
    );
    const { stdout } = await program.ended;
    assert.match(stdout, /status 5/);
    assert.match(stdout, / echo /);
  });
});

inLab('the end of a command', (lab) => {
  it('does not wait for connections that its peer keeps open', async () => {
    await inOneOf(5, async () => {
      const ran = await lab.run([], lab.client('hold', PLACES.server[4], '17', '1'));
      assert.equal(ran.status, 0);
      return tookTooLong(ran.durationMs, 5000);
    });
  });
});

/** Whether a process is in the network namespace: "net:[4026531840]". */
function inhabited(namespace: string): boolean {
  return readdirSync('/proc').some((pid) => {
    try {
      return /^\d+$/.test(pid) && readlinkSync(`/proc/${pid}/ns/net`) === namespace;
    } catch {
      return false;
    }
  });
}
