import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { eventually } from '../base/eventually-fixture.test.ts';
import type { Result } from '../base/result.ts';
import {
  type CommandStatus,
  exitCode,
  identityInside,
  type NamespaceChild,
  type NamespaceOptions,
  startNamespace,
} from './namespace.ts';
import { findLink, setLink } from './netlink/link.ts';
import { Netlink } from './netlink/socket.ts';

const STATUS_TIMEOUT_MS = 60_000;
const ENOENT = 2;
const EACCES = 13;
const SIGTERM = 15;
const SIGKILL = 9;
const NOBODY = '65534';
const CTRL_C = '\x03';
const CTRL_Z = '\x1a';

const skip = tunReason();
const skipUnlessRoot = skip || (process.geteuid?.() === 0 ? false : 'needs root, to become another user');

/** A program that runs its arguments in a namespace with a tap, and exits as they do. */
const PROGRAM = `
  const { startNamespace, exitCode } = await import(${JSON.stringify(new URL('./namespace.js', import.meta.url).href)});
  const started = startNamespace({
    rootInside: process.env.ROOT_INSIDE === '1',
    tap: { name: 'tap7' },
    files: [{ path: '/etc/hosts', content: 'replaced' }],
  });
  if (!started.ok) {
    console.log(started.failure.code);
    process.exit(125);
  }
  // The terminal sends it to the command as well.
  process.on('SIGINT', () => undefined);
  started.value.run(process.argv.slice(1), process.env);
  setInterval(() => {
    const status = started.value.readStatus();
    if (status === undefined || status.kind === 'stopped') return;
    started.value.end();
    process.exit(exitCode(status));
  }, 5);
`;

test("the exit status is the command's own", { skip: skip || missing('ip') }, async (t) => {
  const { status, output } = await run(t, ['sh', '-c', 'ip -j addr; exit 7']);
  assert.deepEqual(status, { kind: 'exited', code: 7 });
  assert.equal(exitCode(status), 7);
  const links = JSON.parse(output) as { ifname: string }[];
  assert.deepEqual(
    links.map((link) => link.ifname),
    ['lo', 'eth0'],
  );
});

test('a command that is killed by a signal', { skip }, async (t) => {
  const { status } = await run(t, ['sh', '-c', 'kill -9 $$']);
  assert.deepEqual(status, { kind: 'signalled', signal: SIGKILL });
  assert.equal(exitCode(status), 137);
});

test('a command that is not there, and one that is not executable', { skip }, async (t) => {
  const missing = await run(t, ['tapster-no-such-command']);
  assert.deepEqual(missing.status, { kind: 'exec-failed', errno: ENOENT, what: 'command' });
  assert.equal(exitCode(missing.status), 127);
  const denied = await run(t, ['/etc/passwd']);
  assert.deepEqual(denied.status, { kind: 'exec-failed', errno: EACCES, what: 'command' });
  assert.equal(exitCode(denied.status), 126);
  const nowhere = await run(t, ['true'], { directory: '/nonexistent' });
  assert.deepEqual(nowhere.status, { kind: 'exec-failed', errno: ENOENT, what: 'directory' });
});

test('the command is searched in the PATH of its own environment, and a script needs no interpreter line', {
  skip,
}, async (t) => {
  const folder = temporaryFolder(t);
  writeFileSync(join(folder, 'tapster-script'), 'printf "%s|" "$@" "$VARIABLE" "$PWD"', { mode: 0o755 });
  const environment = { PATH: `/nonexistent:${folder}:/bin:/usr/bin`, VARIABLE: 'is set' };
  const { status, output } = await run(t, ['tapster-script', 'one', 'two words'], { environment, directory: folder });
  assert.deepEqual(status, { kind: 'exited', code: 0 });
  assert.equal(output, `one|two words|is set|${folder}|`);
});

test('an environment that is larger than a socket message', { skip }, async (t) => {
  const { PATH } = process.env;
  const environment: Record<string, string | undefined> = { PATH };
  for (let i = 0; i < 10; i++) environment[`LARGE_${i}`] = 'x'.repeat(100_000);
  const { output } = await run(t, ['sh', '-c', 'printenv LARGE_9 | wc -c'], { environment });
  assert.equal(output, '100001\n');
});

test('the command has default signals, no descriptors of ours, our process group, and init as its parent', {
  skip,
}, async (t) => {
  const { output } = await run(t, [
    'sh',
    '-c',
    'grep -E "^Sig(Blk|Ign|Cgt)" /proc/self/status; ls /proc/self/fd | wc -w; echo $PPID; cut -d " " -f 5 /proc/self/stat',
  ]);
  const [blocked, ignored, , descriptors, parent, group] = output.trim().split('\n');
  assert.match(blocked, /\t0+$/);
  assert.match(ignored, /\t0+$/);
  // Three, and the one by which ls reads the folder.
  assert.equal(descriptors.trim(), '4');
  assert.equal(parent, '1');
  // A process group from outside of the PID namespace has no number in it.
  assert.equal(group, '0');
});

test('a pipe that Node made non-blocking takes all that the command writes', { skip }, async () => {
  const program = ['--input-type=module', '-e', `process.stdout.write('');${PROGRAM}`];
  const { stdout } = spawn(process.execPath, [...program, 'seq', '100000'], { stdio: ['ignore', 'pipe', 'inherit'] });
  // The pipe is full before we read from it.
  await sleep(300);
  let bytes = 0;
  for await (const chunk of stdout) bytes += chunk.length;
  assert.equal(bytes, 588_895);
});

test('signals reach the command', { skip }, async (t) => {
  const child = start(t, { tap: { name: 'eth0' } });
  unwrap(child.run(['sleep', '60'], process.env));
  child.signal(SIGTERM);
  assert.deepEqual(await statusOf(child), { kind: 'signalled', signal: SIGTERM });
});

test("files show another content inside, and can be changed later; the host's stay as they are", {
  skip,
}, async (t) => {
  const before = readFileSync('/etc/hosts', 'utf8');
  const folder = temporaryFolder(t);
  const missing = join(folder, 'missing');
  const files = [
    { path: '/etc/hosts', content: 'one, which is longer\n' },
    { path: missing, content: 'x' },
  ];
  const child = start(t, { files });
  assert.equal(child.warnings.length, 1);
  assert.match(child.warnings[0], /missing does not exist here/);
  unwrap(child.updateFile('/etc/hosts', 'two\n'));
  const unknown = child.updateFile(missing, '');
  assert.equal(!unknown.ok && unknown.failure.code, 'file-not-replaced');
  const { output } = await finish(folder, child, ['sh', '-c', 'cat /etc/hosts; ls /tmp | wc -l']);
  assert.match(output, /^two\n[1-9]/);
  assert.equal(readFileSync('/etc/hosts', 'utf8'), before);
});

test('sysctls are set inside, and one that is missing gives a warning', { skip }, async (t) => {
  const sysctls = [
    { path: '/proc/sys/net/ipv4/ip_unprivileged_port_start', value: '77' },
    { path: '/proc/sys/net/ipv6/conf/eth0/accept_ra', value: '0' },
    { path: '/proc/sys/net/no_such_sysctl', value: '1' },
  ];
  const child = start(t, { tap: { name: 'eth0' }, sysctls });
  assert.deepEqual(child.warnings, ['/proc/sys/net/no_such_sysctl can not be set inside: ENOENT']);
  const { output } = await finish(temporaryFolder(t), child, ['cat', sysctls[0].path, sysctls[1].path]);
  assert.equal(output, '77\n0\n');
});

test('the tap carries frames out of the namespace, with or without a virtio-net header', { skip }, async (t) => {
  for (const vnetHeader of [true, false]) {
    const child = start(t, { tap: { name: 'eth0', vnetHeader } });
    assert.equal(child.hasVnetHeader, vnetHeader);
    const netlink = new Netlink(child.netlinkFd);
    unwrap(setLink(netlink, unwrap(findLink(netlink, 'eth0')).index, { up: true }));
    // An interface that comes up joins IPv6 multicast groups, and says so.
    const frame = await readFrame(child.tapFd);
    assert.equal(frame.readUInt16BE((vnetHeader ? 12 : 0) + 12), 0x86dd);
  }
  assert.equal(start(t, {}).tapFd, -1);
});

test('what the command left behind dies with it', { skip }, async (t) => {
  const folder = temporaryFolder(t);
  const mark = `6${process.pid}.25`;
  const child = start(t, {});
  const { status } = await finish(folder, child, [
    'sh',
    '-c',
    `(trap "" TERM HUP; setsid sleep ${mark} &) ; sleep 0.1; exit 0`,
  ]);
  assert.deepEqual(status, { kind: 'exited', code: 0 });
  unwrap(child.end());
  assert.deepEqual(processesWith(mark), []);
});

test('end kills a command that runs, and leaves no descriptor and no zombie', { skip }, async (t) => {
  start(t, {}).end();
  const before = descriptorCount();
  const mark = `7${process.pid}.25`;
  for (let i = 0; i < 10; i++) {
    const child = unwrap(startNamespace({ tap: { name: 'eth0' }, files: [{ path: '/etc/hosts', content: '' }] }));
    unwrap(child.run(['sleep', mark], process.env));
    unwrap(child.end());
    unwrap(child.end());
    closeSync(child.tapFd);
    assert.ok(!existsSync(`/proc/${child.pid}`));
  }
  assert.deepEqual(processesWith(mark), []);
  assert.equal(descriptorCount(), before);
});

test('when somebody kills the first process, the command counts as killed', { skip }, async (t) => {
  const child = start(t, {});
  unwrap(child.run(['sleep', '60'], process.env));
  process.kill(child.pid, 'SIGKILL');
  assert.deepEqual(await statusOf(child), { kind: 'signalled', signal: SIGKILL });
});

test('the command does not outlive us when we are killed', { skip }, async (t) => {
  const mark = `8${process.pid}.25`;
  const program = spawnProgram(['sleep', mark]);
  t.after(() => program.kill('SIGKILL'));
  await eventually('the command runs', () => processesWith(mark).length === 1);
  program.kill('SIGKILL');
  await eventually('the command has ended', () => processesWith(mark).length === 0);
});

test('without privilege: our own user, or root inside', { skip: skipUnlessRoot }, () => {
  const script = 'id -u; id -g; cat /etc/hosts; echo; cut -d : -f 1 /proc/net/dev | tail -n +3; exit 9';
  const own = unprivileged(['sh', '-c', script]);
  assert.equal(own.stdout, `${NOBODY}\n${NOBODY}\nreplaced\n    lo\n  tap7\n`, own.stderr);
  assert.equal(own.status, 9);
  const root = unprivileged(['sh', '-c', script], 'ROOT_INSIDE=1');
  assert.equal(root.stdout, '0\n0\nreplaced\n    lo\n  tap7\n', root.stderr);
});

test('without privilege the command has no capabilities; the device may be denied', { skip: skipUnlessRoot }, () => {
  const own = unprivileged(['sh', '-c', 'grep -E "^Cap(Eff|Prm|Amb)" /proc/self/status']);
  assert.match(own.stdout, /^(Cap\w+:\t0+\n){3}$/);
  const denied = unprivileged(['true'], 'ROOT_INSIDE=0', '600');
  assert.equal(denied.stdout, 'tun-device-denied\n');
  assert.equal(denied.status, 125);
});

test('without user namespaces the failure names the sysctl', { skip: skipUnlessRoot }, () => {
  // A user namespace of its own bears the limit; the machine's stays as it is.
  const script = 'echo 0 > /proc/sys/user/max_user_namespaces; exec setpriv --inh-caps=-all --bounding-set=-all "$@"';
  const program = [process.execPath, '--input-type=module', '-e', PROGRAM, 'true'];
  const refused = spawnSync('unshare', ['-Ur', 'sh', '-c', script, 'sh', ...program], { encoding: 'utf8' });
  assert.equal(refused.stdout, 'user-namespaces-disabled\n', refused.stderr);
});

test('job control: the terminal stops, continues and interrupts the command as any other', {
  skip: skip || missing('script'),
}, async (t) => {
  const mark = `9${process.pid}.25`;
  const terminal = openTerminal(t);
  terminal.type(`"$NODE" --input-type=module -e "$PROGRAM" sleep ${mark}\n`);
  await eventually('the command runs', () => processesWith(mark).length === 1);
  terminal.type(CTRL_Z);
  await eventually('it says Stopped', () => /Stopped/.test(terminal.output()));
  assert.equal(stateOf(processesWith(mark)[0]), 'T');
  terminal.type('fg\n');
  await eventually('the command goes on', () => stateOf(processesWith(mark)[0]) === 'S');
  terminal.type(CTRL_C);
  await eventually('the command has ended', () => processesWith(mark).length === 0);
  terminal.type('echo "status:$?"\n');
  await eventually('it says status 130', () => /status:130/.test(terminal.output()));
});

test('a shell inside has job control, and gives the terminal back', { skip: skip || missing('script') }, async (t) => {
  const mark = `5${process.pid}.25`;
  const terminal = openTerminal(t);
  terminal.type('"$NODE" --input-type=module -e "$PROGRAM" bash --norc -i\n');
  terminal.type('sleep 60 &\n');
  terminal.type('jobs | grep -c "Running" | sed s/^/jobs:/; exit 3\n');
  await eventually('it says jobs 1', () => /jobs:1/.test(terminal.output()));
  terminal.type(`echo "status:$?"; sleep ${mark}\n`);
  await eventually('it says status 3', () => /status:3/.test(terminal.output()) && processesWith(mark).length === 1);
  terminal.type(CTRL_C);
  terminal.type('echo "status:$?"\n');
  await eventually('it says status 130', () => /status:130/.test(terminal.output()));
  assert.doesNotMatch(terminal.output(), /no job control|can't set|cannot set/i);
});

test('options that can not be are refused before anything is made', () => {
  const code = (options: NamespaceOptions): string | undefined => {
    const started = startNamespace(options);
    return started.ok ? undefined : started.failure.code;
  };
  for (const name of ['', '.', '..', 'a/b', 'a b', 'sixteen_bytes_xx', 'üüüüüüüü']) {
    assert.equal(code({ tap: { name } }), 'interface-name-invalid');
  }
  const file = { path: '/etc/hosts', content: '' };
  assert.equal(code({ files: Array.from({ length: 9 }, () => file) }), 'too-many-files');
  assert.equal(code({ files: [{ path: '/etc/hosts', content: '\0' }] }), 'file-invalid');
  assert.equal(code({ files: [{ path: '/etc/hosts', content: 'x'.repeat(100_000) }] }), 'file-too-long');
  assert.equal(code({ sysctls: [{ path: '/proc/sys/x', value: '\0' }] }), 'sysctl-invalid');
});

interface Ended {
  readonly status: CommandStatus;
  readonly output: string;
}

interface RunOptions {
  readonly environment?: Record<string, string | undefined>;
  readonly directory?: string;
}

async function run(t: TestContext, argv: string[], options: RunOptions = {}): Promise<Ended> {
  return finish(temporaryFolder(t), start(t, { tap: { name: 'eth0' } }), argv, options);
}

/** Runs a command whose standard output goes to a file: our own is the test runner's. */
async function finish(folder: string, child: NamespaceChild, argv: string[], options: RunOptions = {}): Promise<Ended> {
  const file = join(folder, 'output');
  const wrapped = options.directory === '/nonexistent' || argv.length === 1 ? argv : redirected(argv, file);
  unwrap(child.run(wrapped, options.environment ?? process.env, options.directory));
  const status = await statusOf(child);
  return { status, output: existsSync(file) ? readFileSync(file, 'utf8') : '' };
}

function redirected(argv: string[], file: string): string[] {
  return ['sh', '-c', 'exec "$@" > "$0"', file, ...argv];
}

function start(t: TestContext, options: NamespaceOptions): NamespaceChild {
  const child = unwrap(startNamespace(options));
  t.after(() => {
    unwrap(child.end());
    if (child.tapFd >= 0) closeSync(child.tapFd);
  });
  return child;
}

async function statusOf(child: NamespaceChild): Promise<CommandStatus> {
  for (let waitedMs = 0; waitedMs < STATUS_TIMEOUT_MS; waitedMs += 2) {
    const status = child.readStatus();
    if (status !== undefined && status.kind !== 'stopped') {
      assert.deepEqual(child.readStatus(), status);
      return status;
    }
    await sleep(2);
  }
  throw new Error('the command does not end');
}

async function readFrame(tapFd: number): Promise<Buffer> {
  const frame = Buffer.alloc(2048);
  let length = 0;
  await eventually('there is a frame', () => {
    try {
      length = readSync(tapFd, frame);
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, 'EAGAIN');
    }
    return length > 0;
  });
  return frame.subarray(0, length);
}

/** Processes with this word in their arguments; zombies have none. */
function processesWith(word: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, 'latin1').startsWith(`sleep\0${word}\0`);
    } catch {
      return false;
    }
  });
}

function descriptorCount(): number {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) !== '';
    } catch {
      return false;
    }
  }).length;
}

function spawnProgram(argv: string[]): ChildProcess {
  return spawn(process.execPath, ['--input-type=module', '-e', PROGRAM, ...argv], { stdio: 'ignore' });
}

interface Terminal {
  type(text: string): void;
  output(): string;
}

/** An interactive shell on a terminal of its own, with the program in its environment. */
function openTerminal(t: TestContext): Terminal {
  const env = { ...process.env, NODE: process.execPath, PROGRAM };
  const script = spawn('script', ['-qec', 'bash --norc -i', '/dev/null'], { env, stdio: ['pipe', 'pipe', 'inherit'] });
  t.after(() => script.kill('SIGKILL'));
  let output = '';
  script.stdout.on('data', (data) => {
    output += data;
  });
  return { type: (text) => script.stdin.write(text), output: () => output };
}

/** The letter of a process' state (proc_pid_stat(5)); undefined when it is gone. */
function stateOf(pid: string | undefined): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'latin1').replace(/^.*\) /, '')[0];
  } catch {
    return undefined;
  }
}

/** Runs the program as an ordinary user, with a tun device of its own that is open to everyone, in a mount namespace that ends with it. */
function unprivileged(
  argv: string[],
  variable: string = 'ROOT_INSIDE=0',
  mode: string = '666',
): { status: number | null; stdout: string; stderr: string } {
  const script = `
    set -e
    mode=$1; shift
    mount -t tmpfs -o mode=755,dev tmpfs /mnt
    mknod -m "$mode" /mnt/tun c 10 200
    mount --bind /mnt/tun /dev/net/tun
    exec setpriv --reuid ${NOBODY} --regid ${NOBODY} --clear-groups --inh-caps=-all "$@"
  `;
  const program = ['env', variable, process.execPath, '--input-type=module', '-e', PROGRAM, ...argv];
  const inside = ['--mount', '--propagation', 'private', 'sh', '-c', script, 'sh', mode, ...program];
  return spawnSync('unshare', inside, { encoding: 'utf8', cwd: '/' });
}

function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'tapster-'));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

function unwrap<T>(result: Result<T>): T {
  assert.ok(result.ok, JSON.stringify(result));
  return result.value;
}

/** A reason to skip when a program is not installed. */
function missing(program: string): string | false {
  const { status } = spawnSync('sh', ['-c', `command -v ${program}`]);
  return status === 0 ? false : `needs the program ${program}`;
}

function tunReason(): string | false {
  try {
    accessSync('/dev/net/tun', constants.R_OK | constants.W_OK);
  } catch {
    return 'needs /dev/net/tun';
  }
  return identityInside().userNamespace && !existsSync('/proc/self/ns/user') ? 'needs user namespaces' : false;
}
