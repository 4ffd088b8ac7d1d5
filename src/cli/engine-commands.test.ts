/** `up`, `ctl`, `apply` and `down` as processes, with an engine of bridges alone: nothing of the kernel's is needed for those. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('./main.js', import.meta.url));
const READY_TIMEOUT_MS = 60_000;

const folder = mkdtempSync(join(tmpdir(), 'tapster-up-'));
const SOCKET = join(folder, 'engine.sock');
const env = { ...process.env, XDG_STATE_HOME: join(folder, 'state'), NO_COLOR: '1' };

const engines: ChildProcess[] = [];
after(() => {
  for (const engine of engines) engine.kill('SIGKILL');
  rmSync(folder, { recursive: true });
});

function write(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

const ONE = write('one.yaml', 'bridges: { lan: { bvi: { address: [10.1.0.1/24] } } }\n');
const TWO = write('two.yaml', 'bridges: { lan: { ageing: 10s, bvi: { address: [10.1.0.1/24] } }, dmz: {} }\n');
const WRONG = write('wrong.yaml', 'bridges:\n  lan: { agein: 10s }\nroutes: 7\n');

interface Told {
  readonly status: number | null;
  readonly out: string;
  readonly error: string;
}

function tapster(args: readonly string[], input = ''): Told {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...args], {
    encoding: 'utf8',
    input,
    env,
    timeout: 60_000,
  });
  return { status, out: stdout, error: stderr };
}

function ctl(...words: readonly string[]): Told {
  return tapster(['ctl', '--socket', SOCKET, ...words]);
}

/** Resolves when it has said that it listens. */
async function up(
  ...args: readonly string[]
): Promise<{ ended: Promise<number | null>; kill(signal: NodeJS.Signals): void }> {
  const engine = spawn(process.execPath, [MAIN, 'up', '--socket', SOCKET, ...args], {
    env,
    stdio: ['ignore', 'inherit', 'pipe'],
  });
  engines.push(engine);
  let said = '';
  engine.stderr.on('data', (bytes) => {
    said += String(bytes);
  });
  const ended = new Promise<number | null>((done) => engine.once('exit', (status) => done(status)));
  for (let waitedMs = 0; !said.includes('listening at'); waitedMs += 20) {
    assert.ok(waitedMs < READY_TIMEOUT_MS && engine.exitCode === null, `the engine is not ready: ${said}`);
    await sleep(20);
  }
  return { ended, kill: (signal) => engine.kill(signal) };
}

describe('an engine from its start to its end', () => {
  it('runs, is looked into, changed and ended', async () => {
    const engine = await up(ONE);
    assert.equal(statSync(SOCKET).mode & 0o777, 0o600);
    const interfaces = JSON.parse(ctl('show', 'interface', '--json').out) as { name: string }[];
    assert.deepEqual(
      interfaces.map(({ name }) => name),
      ['bvi.lan'],
    );
    assert.match(ctl('sh int addr').out, /bvi\.lan +up +10\.1\.0\.1\/24\n/);

    const dry = tapster(['apply', '--dry-run', '--socket', SOCKET, TWO]);
    assert.equal(dry.out, '~ bridge lan: ageing 300000 -> 10000\n+ bridge dmz\n2 actions to do; nothing was changed\n');
    assert.match(ctl('show', 'bridge-domain', 'dmz').error, /there is no bridge dmz/);
    assert.match(tapster(['apply', '--socket', SOCKET, TWO]).out, /2 actions done: revision 2\n$/);
    const again = JSON.parse(tapster(['apply', '--json', '--socket', SOCKET, TWO]).out) as { actions: unknown[] };
    assert.deepEqual(again.actions, []);

    assert.deepEqual(ctl('delete bridge-domain dmz'), { status: 0, out: '', error: '' });
    assert.equal(ctl('delete bridge-domain dmz').status, 1);
    const lines = tapster(
      ['ctl', '--socket', SOCKET],
      'create bridge-domain a\n# more\ncreate bridge-domain a\nshow version\n',
    );
    assert.equal(lines.status, 1);
    assert.equal(lines.out, 'a\n');
    assert.match(lines.error, /^tapster: standard input:3: there is a bridge a already/);

    assert.deepEqual(tapster(['down', '--socket', SOCKET]), { status: 0, out: '', error: '' });
    assert.equal(await engine.ended, 0);
    assert.ok(!existsSync(SOCKET));
  });

  it('ends at a signal', async () => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      const engine = await up();
      engine.kill(signal);
      assert.equal(await engine.ended, 0);
      assert.ok(!existsSync(SOCKET));
    }
  });

  it('runs as a daemon, whose log says what it did', async () => {
    const started = tapster(['up', '--detach', '--socket', SOCKET, '--name', 'lab', ONE]);
    assert.equal(started.status, 0, started.error);
    const log = join(folder, 'state', 'tapster', 'lab.log');
    assert.ok(started.error.includes(log), started.error);
    try {
      assert.match(ctl('show', 'version').out, /engine +lab\n/);
      const second = tapster(['up', '--socket', SOCKET, ONE]);
      assert.equal(second.status, 1);
      assert.match(second.error, /the engine lab \(process \d+\) listens at .*: change it with `tapster apply`/);
    } finally {
      assert.equal(tapster(['down', '--socket', SOCKET]).status, 0);
    }
    assert.match(readFileSync(log, 'utf8'), /Z tapster: 1 bridge; listening at /);
    assert.equal(statSync(log).mode & 0o777, 0o600);
  });

  it('listens at a port for who has the token', async () => {
    const token = write('token', `${'t'.repeat(32)}\n`);
    const engine = await up('--listen', '127.0.0.1:0', '--token-file', token, '--log-level', 'info');
    assert.equal(tapster(['ctl', '--url', 'http://127.0.0.1:1', '--token-file', token, 'show version']).status, 1);
    engine.kill('SIGTERM');
    assert.equal(await engine.ended, 0);
    const weak = tapster(['up', '--socket', SOCKET, '--listen', '127.0.0.1:0', '--token-file', write('weak', 'x')]);
    assert.equal(weak.status, 1);
    assert.match(weak.error, /a token has 16 characters at least/);
  });
});

describe('without an engine', () => {
  it('says where it was looked for, and how to start one', () => {
    for (const args of [
      ['ctl', '--socket', SOCKET, 'show version'],
      ['apply', '--socket', SOCKET, ONE],
      ['down', '--socket', SOCKET],
    ]) {
      const { status, out, error } = tapster(args);
      assert.equal(status, 1, args.join(' '));
      assert.equal(out, '');
      assert.equal(
        error,
        `tapster: no engine runs: there is no socket at ${SOCKET}; start one with \`tapster up --socket ${SOCKET}\`\n`,
      );
    }
  });

  it('tells every mistake of a file', () => {
    for (const command of ['up', 'apply']) {
      const { status, error } = tapster([command, '--socket', SOCKET, WRONG]);
      assert.equal(status, 2);
      const [first = '', second = '', ...more] = error.trimEnd().split('\n');
      assert.ok(first.startsWith(`${WRONG}:2:10: bridges.lan.agein: `), first);
      assert.ok(second.startsWith(`${WRONG}:3:9: routes: `), second);
      assert.deepEqual(more, []);
    }
    assert.equal(tapster(['up', '--detach', '--socket', SOCKET, WRONG]).status, 2);
    assert.match(tapster(['apply', join(folder, 'nothing')]).error, /there is no such file/);
  });
});
