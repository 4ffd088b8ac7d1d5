/** What the engine's process can't do once a command runs, on the real kernel: by a process that confines itself alike, and by looking at a session. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, readdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { before, it } from 'node:test';
import { inLab, type Lab } from '../support/netns/lab.ts';
import { type Ended, eventually, Program } from '../support/netns/process.ts';
import { lacking } from '../support/netns/programs.ts';
import { CHECKOUT, checkoutPath, environmentOf, nodeOf, USER_ID } from '../support/netns/user.ts';

const SIGSYS = 31;
const [EPERM, ENOSYS] = [1, 38];
/** By number: no kernel has it yet. */
const UNKNOWN_CALL = 9999;
const CLONE_NEWUSER = 0x10000000;
const TIOCSTI = 0x5412;
const PR_SET_DUMPABLE = 4;
const LISTEN_BACKLOG = 1;
const SECCOMP_FILTERED = '2';
const NO_CAPABILITIES = '0000000000000000';
const NET_RAW_ALONE = '0000000000002000';

/** What ends the process, with the words for `call`. */
const FORBIDDEN: readonly (readonly [what: string, ...call: readonly (string | number)[]])[] = [
  ['executing a program', 'execve'],
  ['tracing a process', 'ptrace', 16, 1],
  ['writing into a process', 'process_vm_writev', 1],
  ['signalling another process', 'kill', 1, 0],
  ['mounting', 'mount'],
  ['making a namespace', 'unshare', CLONE_NEWUSER],
  ['entering a namespace', 'setns', 0],
  ['loading a program into the kernel', 'bpf', 0],
  ['loading a module', 'finit_module', 0],
  ['loading a kernel', 'kexec_load'],
  ['counting what the processor does', 'perf_event_open'],
  ['using keys', 'keyctl', 0],
  ['becoming another user', 'setuid', 0],
  ['setting capabilities', 'capset'],
  ['opening a file by its handle', 'open_by_handle_at', 0],
  ['making a file in memory', 'memfd_create'],
  ['listening', 'listen', 0, LISTEN_BACKLOG],
  ['a UNIX socket', 'socket', 1, 1, 0],
  ['a netlink socket', 'socket', 16, 3, 0],
  ['a packet socket', 'socket', 17, 3, 0],
  ['a socket to the hypervisor', 'socket', 40, 1, 0],
  ['a socket for the kernel’s cryptography', 'socket', 38, 5, 0],
];

/** What fails, and the process goes on. */
const REFUSED: readonly (readonly [what: string, errno: number, ...call: readonly (string | number)[]])[] = [
  ['making an io_uring', ENOSYS, 'io_uring_setup', 1],
  ['making a process by clone3', ENOSYS, 'clone3'],
  ['opening by openat2', ENOSYS, 'openat2'],
  ['a call that we have never heard of', ENOSYS, UNKNOWN_CALL],
  ['putting words into the terminal', EPERM, 'ioctl', 0, TIOCSTI],
  ['letting others look in', EPERM, 'prctl', PR_SET_DUMPABLE, 1],
  ['a raw socket', EPERM, 'socket', 2, 3, 1],
];

const headers = join(dirname(dirname(realpathSync(process.execPath))), 'include', 'node');
const unbuilt = lacking('cc') || (existsSync(join(headers, 'node_api.h')) ? false : `no headers of Node in ${headers}`);

// covers P20
inLab('the sandbox', (lab) => {
  let addon: string;
  let secret: string;

  before(() => {
    addon = lab.newPath('system-call.node');
    secret = lab.newPath('secret');
    writeFileSync(secret, 'secret');
    chmodSync(secret, 0o666);
    if (unbuilt !== false) return;
    const source = join(CHECKOUT, 'test/support/netns/system-call.c');
    const built = spawnSync('cc', ['-shared', '-fPIC', '-I', headers, '-o', addon, source], { encoding: 'utf8' });
    assert.equal(built.status, 0, built.stderr);
  });

  const attempt = (...words: readonly (string | number)[]): Promise<Ended> => {
    const program = checkoutPath(lab.user, 'dist/test/support/netns/confined.js');
    const line = [...lab.asUserOnHost(), nodeOf(lab.user), program, addon, ...words.map(String)];
    return new Program(line, { env: environmentOf(lab.user), cwd: '/' }).ended;
  };
  const finding = async (...words: readonly (string | number)[]): Promise<unknown> => {
    const ended = await attempt(...words);
    assert.equal(ended.status, 0, ended.stderr);
    return JSON.parse(ended.stdout);
  };

  for (const [what, ...call] of FORBIDDEN) {
    it(`ends ${what}, and names the call`, { skip: unbuilt }, async () => {
      const { status, stdout, stderr } = await attempt('call', ...call);
      assert.equal(status, 128 + SIGSYS, stdout + stderr);
      assert.equal(stdout, '');
      assert.match(
        stderr,
        new RegExp(`^tapster: the sandbox forbids the system call ${call[0]} \\(\\d+\\): .*--no-sandbox`),
      );
    });
  }

  it('ends starting a program as Node does it', { skip: unbuilt }, async () => {
    const { status, stderr } = await attempt('spawn');
    assert.equal(status, 128 + SIGSYS, stderr);
    assert.match(
      stderr,
      /^tapster: the sandbox forbids the system call (clone|vfork|fork|execve|socketpair|memfd_create) /,
    );
  });

  for (const [what, errno, ...call] of REFUSED) {
    it(`refuses ${what}`, { skip: unbuilt }, async () => {
      assert.equal(await finding('call', ...call), -errno);
    });
  }

  it('shows no files, in threads that were there before either', { skip: unbuilt }, async () => {
    const hidden = [
      secret,
      '/etc/../root/.profile',
      '/proc/self/maps',
      '/proc/1/environ',
      '/usr/bin/env',
      process.execPath,
    ];
    for (const path of hidden) {
      if (existsSync(path)) assert.equal(await finding('read', path), 'EACCES', path);
    }
    assert.equal(await finding('read-in-thread', secret), 'EACCES');
    assert.equal(await finding('list', '/'), 'EACCES');
  });

  it('shows resolv.conf, and in its folder nothing that only root may read', { skip: unbuilt }, async () => {
    assert.equal(await finding('read', '/etc/resolv.conf'), 'ok');
    assert.equal(await finding('read-in-thread', '/etc/resolv.conf'), 'ok');
    assert.equal(await finding('read', '/etc/shadow'), 'EACCES');
    assert.equal(await finding('read-in-thread', '/etc/shadow'), 'EACCES');
  });

  it('changes no files', { skip: unbuilt }, async () => {
    for (const verb of ['write', 'append', 'remove']) assert.equal(await finding(verb, secret), 'EACCES', verb);
    assert.equal(await finding('write', `${secret}-new`), 'EACCES');
    assert.equal(readFileSync(secret, 'utf8'), 'secret');
  });

  it('lacks nothing on this kernel', { skip: unbuilt }, async () => {
    assert.deepEqual(await finding('notes'), []);
  });

  it('holds every thread of a session', async () => {
    const session = await startSession(lab, []);
    const threads = await confined(session.pid);
    assert.ok(threads.length >= 5);
    for (const { CapEff, CapPrm, CapInh, CapAmb, NoNewPrivs, Seccomp, Uid } of threads) {
      for (const set of [CapEff, CapPrm, CapInh, CapAmb]) assert.equal(set, NO_CAPABILITIES);
      assert.deepEqual([NoNewPrivs, Seccomp], ['1', SECCOMP_FILTERED]);
      assert.equal(Uid?.split('\t')[3], String(USER_ID), 'files are opened as nobody');
    }
    await end(session);
  });

  it('does not hold the command, which has none of our descriptors', async () => {
    const line = `grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/self/status; ls /proc/self/fd; cat /etc/passwd >/dev/null && echo readable`;
    const options = ['--pcap', lab.newPath('pcap'), '-p', '0:80'];
    const within = await lab.runShell(options, line);
    assert.equal(within.status, 0, within.stderr);
    const without = await lab.runShell(['--no-sandbox', ...options], line);
    assert.equal(within.stdout, without.stdout);
    // Those of a shell, and the folder that `ls` reads.
    assert.match(within.stdout, /NoNewPrivs:\t0\nSeccomp:\t0\n0\n1\n2\n3\nreadable\n$/);
  });

  it('is left out with --no-sandbox', async () => {
    const session = await startSession(lab, ['--no-sandbox']);
    assert.deepEqual(new Set(threadsOf(session.pid).map(({ Seccomp }) => Seccomp)), new Set(['0']));
    await end(session);
  });

  it('leaves raw sockets to a process that can nothing else, and only to root', async () => {
    setPingGroups(lab, '1 0');
    try {
      const session = await startSession(lab, []);
      const threads = await confined(session.pid);
      assert.ok(threads.every(({ CapEff }) => CapEff === NO_CAPABILITIES));
      const count = lab.user === 'root' ? 1 : 0;
      // It takes its name when it has given up all else.
      await eventually(`there is ${count} such process`, () => rawSocketServers(session.pid).length === count);
      const servers = rawSocketServers(session.pid);
      for (const pid of servers) {
        const { CapEff, CapPrm, NoNewPrivs } = threadsOf(pid)[0]!;
        assert.deepEqual([CapEff, CapPrm, NoNewPrivs], [NET_RAW_ALONE, NET_RAW_ALONE, '1']);
        assert.deepEqual(readdirSync(`/proc/${pid}/fd`), ['3']);
      }
      session.kill('SIGKILL');
      await session.ended;
      await eventually('it has ended too', () => servers.every((pid) => !existsSync(`/proc/${pid}/status`)));
    } finally {
      setPingGroups(lab, '0 2147483647');
    }
  });

  const onOldKernel = (calls: string, ...options: readonly string[]): Promise<Ended> => {
    const without = [process.execPath, `${CHECKOUT}dist/test/support/netns/without.js`, calls];
    const line = [...without, ...lab.tapster('run', ...options, '--', 'echo', 'ran')];
    return new Program(line, { env: environmentOf(lab.user), cwd: '/' }).ended;
  };

  it('is what the kernel has of it, and -v says what is missing', async () => {
    const noLandlock = await onOldKernel('landlock_create_ruleset', '-v');
    assert.deepEqual([noLandlock.status, noLandlock.stdout], [0, 'ran\n'], noLandlock.stderr);
    assert.match(noLandlock.stderr, /^tapster: sandbox: files are not kept away: the kernel has no Landlock$/m);
    const noFilters = await onOldKernel('seccomp', '-v');
    assert.deepEqual([noFilters.status, noFilters.stdout], [0, 'ran\n'], noFilters.stderr);
    assert.match(
      noFilters.stderr,
      /^tapster: sandbox: system calls are not filtered: the kernel has no seccomp filters/m,
    );
    assert.doesNotMatch(noFilters.stderr, /Landlock/);
    const silent = await onOldKernel('landlock_create_ruleset,seccomp');
    assert.deepEqual([silent.status, silent.stdout, silent.stderr], [0, 'ran\n', '']);
  });

  it('ends a session that could not keep its promise', async () => {
    const env = { ...environmentOf(lab.user), UV_USE_IO_URING: '1' };
    const { status, stderr } = await lab.run([], ['true'], { env });
    assert.equal(status, 125);
    assert.match(stderr, /^tapster: UV_USE_IO_URING leads around the sandbox/);
  });
});

/** Starts a session that lasts until its input ends; resolves when its command runs. */
async function startSession(lab: Lab, options: readonly string[]): Promise<Program> {
  const log = lab.newPath('flows');
  const words = ['run', '--flows', log, ...options, '--', 'sh', '-c', 'echo ready; cat'];
  const session = lab.start(words, { keepInput: true });
  await session.says(/^ready$/m);
  return session;
}

async function end(session: Program): Promise<void> {
  session.endInput();
  assert.equal((await session.ended).status, 0);
}

type ThreadStatus = Readonly<Record<string, string>>;

/** Waits until all threads are confined: that is a moment after the command has started. */
async function confined(pid: number): Promise<ThreadStatus[]> {
  await eventually('all threads are filtered', () =>
    threadsOf(pid).every(({ Seccomp }) => Seccomp === SECCOMP_FILTERED),
  );
  return threadsOf(pid);
}

function setPingGroups(lab: Lab, range: string): void {
  const [program, ...words] = lab.internet.in(lab.internet.host);
  const set = spawnSync(program!, [...words, 'sysctl', '-qw', `net.ipv4.ping_group_range=${range}`], {
    encoding: 'utf8',
  });
  assert.equal(set.status, 0, set.stderr);
}

/** Children of Tapster's that are called so. */
function rawSocketServers(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
  return children.filter((child) => readFileSync(`/proc/${child}/comm`, 'utf8') === 'tapster-raw\n');
}

function threadsOf(pid: number): ThreadStatus[] {
  return readdirSync(`/proc/${pid}/task`).map((thread) => {
    const text = readFileSync(`/proc/${pid}/task/${thread}/status`, 'utf8');
    return Object.fromEntries([...text.matchAll(/^(\w+):\s*(.*)$/gm)].map(([, name, value]) => [name, value]));
  });
}
