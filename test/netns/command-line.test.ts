/** The command line on the real kernel: the demonstration, exit statuses, what `doctor` says, and what stays on which stream. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

const TAPSTER = fileURLToPath(new URL('../../cli/main.js', import.meta.url));
/** Ends what hangs. */
const TIMEOUT_MS = 180_000;
const SIGTERM = 15;

const folder = mkdtempSync(join(tmpdir(), 'tapster-cli-'));
after(() => rmSync(folder, { recursive: true }));

interface Ran {
  readonly status: number | null;
  readonly out: string;
  readonly error: string;
}

function tapster(...args: string[]): Ran {
  const options = { encoding: 'utf8', timeout: TIMEOUT_MS } as const;
  const { status, stdout, stderr } = spawnSync(process.execPath, [TAPSTER, ...args], options);
  return { status, out: stdout, error: stderr };
}

const doctor = tapster('doctor', '--json');
const unfit = doctor.status === 0 ? false : `this machine can't: ${missing(doctor.out)}`;

function missing(json: string): string {
  const { checks } = JSON.parse(json) as { checks: { title: string; status: string; found: string }[] };
  return checks.flatMap(({ title, status, found }) => (status === 'missing' ? [`${title}: ${found}`] : [])).join('; ');
}

describe('tapster run', { skip: unfit }, () => {
  it('has the exit status of the command, and of shells where there is none', () => {
    assert.equal(tapster('run', '--', 'sh', '-c', 'exit 7').status, 7);
    assert.equal(tapster('run', '--', 'sh', '-c', 'kill -TERM $$').status, 128 + SIGTERM);
    const none = tapster('run', '--', 'no-such-command-anywhere');
    assert.equal(none.status, 127);
    assert.match(none.error, /^tapster: "no-such-command-anywhere" was not found/);
    assert.equal(tapster('run', '--', '/etc/passwd').status, 126);
    assert.equal(tapster('run', '--pcap', '/nowhere/file', '--', 'true').status, 125);
  });

  it('leaves the standard streams to the command, and says nothing of its own when all is well', () => {
    const options = { encoding: 'utf8', input: 'from outside', timeout: TIMEOUT_MS } as const;
    const script = 'cat; echo of the command >&2';
    const result = spawnSync(process.execPath, [TAPSTER, 'run', '--', 'sh', '-c', script], options);
    assert.deepEqual([result.status, result.stdout, result.stderr], [0, 'from outside', 'of the command\n']);
  });

  it('prints the port that the kernel picked, also when quiet', () => {
    const { status, error } = tapster('run', '-q', '-4', '-p', '0:80', '--', 'true');
    assert.equal(status, 0);
    assert.match(error, /^tapster: published 0\.0\.0\.0:\d+\/tcp to port 80\n$/);
  });

  it('passes a signal on to the command', async () => {
    const child = spawn(process.execPath, [
      TAPSTER,
      'run',
      '--',
      'sh',
      '-c',
      'trap "exit 42" TERM; echo ready; sleep 20 & wait',
    ]);
    await new Promise((resolve) => child.stdout.once('data', resolve));
    child.kill('SIGTERM');
    const status = await new Promise((resolve) => child.once('close', resolve));
    assert.equal(status, 42);
  });

  it('writes flows and frames of what the command did', () => {
    const flows = join(folder, 'flows');
    const pcap = join(folder, 'pcap');
    // Nobody listens at port 9 of the gateway's loopback.
    const script = `require('net').connect(9, 'host.tapster.internal').on('error', () => process.exit(5))`;
    const args = ['run', '-4', '--host-loopback', '--flows', flows, '--pcap', pcap, '--summary', '--'];
    const { status, error } = tapster(...args, process.execPath, '-e', script);
    assert.equal(status, 5);
    assert.match(error, /^NAME +PROTO +PORT/m);
    assert.match(error, / tcp +9 +1 +0 B +0 B +1 refused$/m);
    const lines = readFileSync(flows, 'utf8').trim().split('\n');
    const tcp = lines
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .filter(({ protocol }) => protocol === 'tcp');
    assert.deepEqual(
      tcp.map(({ event, outcome }) => [event, outcome]),
      [
        ['open', 'refused'],
        ['close', 'refused'],
      ],
    );
    assert.equal(readFileSync(pcap).readUInt32LE(0), 0x0a0d0d0a);
    assert.match(readFileSync(pcap, 'latin1'), /flow \d+: tcp /);
  });

  it('leaves no process behind', () => {
    const token = `sleep-of-${process.pid}`;
    const script = `(exec -a ${token} sleep 60) & (setsid -f sh -c 'exec -a ${token} sleep 60') 2>/dev/null; exit 0`;
    assert.equal(tapster('run', '--', 'bash', '-c', script).status, 0);
    const left = spawnSync('pgrep', ['-f', token], { encoding: 'utf8' });
    assert.equal(left.stdout, '');
  });
});

describe('tapster demo', { skip: unfit }, () => {
  it('works without the internet and ends with the summary', () => {
    const { status, out, error } = tapster('demo');
    assert.equal(status, 0, out + error);
    assert.match(out, /^DNS, IPv4 +host\.tapster\.internal is /m);
    assert.match(out, /^HTTP over IPv4 .* 200, 1000000 bytes/m);
    assert.match(out, /^ping over IPv4 .* (answers in|is not allowed)/m);
    assert.doesNotMatch(out, /FAILED/);
    assert.match(error, /^host\.tapster\.internal +tcp .* \d closed$/m);
  });
});

describe('tapster doctor', () => {
  it('has a verdict that agrees with its exit status', () => {
    const { fit } = JSON.parse(doctor.out) as { fit: boolean };
    assert.equal(fit, doctor.status === 0);
    assert.match(tapster('doctor').out, fit ? /"tapster run" works here/ : /does not work here/);
  });
});
