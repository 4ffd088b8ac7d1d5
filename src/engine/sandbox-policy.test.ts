import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assembleFilter, SECCOMP_RET } from '../sys/seccomp.ts';
import { runFilter } from '../sys/seccomp-fixture.test.ts';
import { type SystemCalls, systemCalls } from '../sys/system-calls.ts';
import { callPolicy, enginePlan, whyNoSandbox } from './sandbox-policy.ts';

const OWN = 4711;
const CHILD = 4712;
const RING = 9;
const ALLOWED = 'allowed';
const ENDS = 'ends the process';

const VERDICTS: ReadonlyMap<number, string> = new Map([
  [SECCOMP_RET.ALLOW, ALLOWED],
  [SECCOMP_RET.TRAP, ENDS],
  [SECCOMP_RET.ERRNO | 1, 'EPERM'],
  [SECCOMP_RET.ERRNO | 13, 'EACCES'],
  [SECCOMP_RET.ERRNO | 38, 'ENOSYS'],
]);

/** From here on all architectures have the same calls. */
const CALLS: SystemCalls = systemCalls('x64')!;
const PROGRAM = assembleFilter(callPolicy(OWN, CHILD, [RING]), CALLS);

function verdict(name: string, ...words: number[]): string | undefined {
  const number = CALLS.numbers.get(name);
  assert.ok(number !== undefined, name);
  return VERDICTS.get(runFilter(PROGRAM, { number, architecture: CALLS.architecture, arguments: words }));
}

describe('what the engine may do', () => {
  it('is what packets need', () => {
    const calls = `readv writev recvmsg sendmsg recvmmsg sendmmsg epoll_wait epoll_pwait epoll_ctl timerfd_settime accept4 connect bind
      getsockname getpeername setsockopt getsockopt shutdown close clock_gettime futex`;
    for (const name of calls.split(/\s+/)) assert.equal(verdict(name), ALLOWED, name);
  });

  it('ends with every way to other programs, processes, namespaces, and the kernel itself', () => {
    const calls = `execve execveat fork vfork ptrace process_vm_readv process_vm_writev process_madvise pidfd_open pidfd_getfd kcmp
      mount umount2 pivot_root chroot unshare setns open_tree move_mount fsopen fsmount mount_setattr
      bpf perf_event_open userfaultfd init_module finit_module delete_module kexec_load kexec_file_load reboot swapon iopl ioperm
      setuid setgid setreuid setresuid setresgid setgroups setfsuid setfsgid capset seccomp landlock_restrict_self
      keyctl add_key request_key open_by_handle_at name_to_handle_at personality settimeofday clock_settime acct quotactl
      shmget msgget semget mq_open memfd_create socketpair listen setsid setpgid chdir fchdir mknod setxattr fanotify_init syslog`;
    for (const name of calls.split(/\s+/)) assert.equal(verdict(name), ENDS, name);
  });

  it('has sockets of the internet only', () => {
    const flags = 0x80800;
    for (const family of [2, 10]) {
      for (const [type, protocol] of [
        [1, 0],
        [1, 6],
        [2, 0],
        [2, 17],
        [2, 1],
        [2, 58],
        [3, 1],
        [3, 58],
      ] as const) {
        assert.equal(verdict('socket', family, type | flags, protocol), ALLOWED, `${family} ${type} ${protocol}`);
      }
      for (const [type, protocol] of [
        [1, 132],
        [1, 262],
        [2, 136],
        [3, 255],
        [3, 17],
        [5, 132],
        [10, 3],
      ] as const) {
        assert.equal(verdict('socket', family, type | flags, protocol), ENDS, `${family} ${type} ${protocol}`);
      }
    }
    for (let family = 0; family < 64; family++) {
      if (family !== 2 && family !== 10) assert.equal(verdict('socket', family, 1, 0), ENDS, `family ${family}`);
    }
  });

  it('signals its child and itself, and nobody else', () => {
    assert.deepEqual(
      [CHILD, OWN].map((pid) => verdict('kill', pid, 9)),
      [ALLOWED, ALLOWED],
    );
    for (const pid of [0, 1, -1, -CHILD, OWN + 5]) assert.equal(verdict('kill', pid, 9), ENDS, `kill ${pid}`);
    assert.deepEqual([verdict('tgkill', OWN, OWN, 6), verdict('tgkill', 1, 1, 6)], [ALLOWED, ENDS]);
    assert.equal(verdict('rt_sigqueueinfo', OWN), ENDS);
  });

  it('makes threads, and no processes or namespaces', () => {
    const thread = 0x3d0f00; // what glibc's pthread_create passes
    assert.equal(verdict('clone', thread), ALLOWED);
    for (const flags of [17, 0x4111, thread | 0x10000000, thread | 0x40000000, thread & ~0x10000]) {
      assert.equal(verdict('clone', flags), ENDS, flags.toString(16));
    }
    // Its flags are behind a pointer; the C library falls back to clone.
    assert.equal(verdict('clone3'), 'ENOSYS');
  });

  it('opens files for reading only, as far as Landlock lets it', () => {
    const [RDONLY, WRONLY, RDWR, CREAT, TRUNC, CLOEXEC, TMPFILE] = [0, 1, 2, 0x40, 0x200, 0x80000, 0x410000];
    assert.deepEqual([verdict('openat', -100, 1, RDONLY | CLOEXEC), verdict('open', 1, RDONLY)], [ALLOWED, ALLOWED]);
    for (const flags of [WRONLY, RDWR, CREAT, TRUNC, TMPFILE, RDWR | TMPFILE, 3]) {
      assert.equal(verdict('openat', -100, 1, flags | CLOEXEC), 'EACCES', flags.toString(16));
      assert.equal(verdict('open', 1, flags), 'EACCES', flags.toString(16));
    }
    for (const name of ['mkdir', 'unlinkat', 'renameat2', 'fchmodat', 'symlink', 'truncate', 'creat']) {
      assert.equal(verdict(name), 'EACCES', name);
    }
    assert.equal(verdict('openat2'), 'ENOSYS');
  });

  it('runs no code from files', () => {
    const [EXEC, WRITE, PRIVATE, ANONYMOUS] = [4, 2, 2, 0x20];
    assert.equal(verdict('mmap', 0, 4096, EXEC | WRITE, PRIVATE | ANONYMOUS), ALLOWED);
    assert.equal(verdict('mmap', 0, 4096, WRITE, PRIVATE), ALLOWED);
    assert.equal(verdict('mmap', 0, 4096, EXEC, PRIVATE), 'EACCES');
  });

  it('asks terminals for their size, and puts nothing into them', () => {
    const [TIOCGWINSZ, TIOCSTI, TIOCLINUX, TUNSETIFF] = [0x5413, 0x5412, 0x541c, 0x400454ca];
    assert.equal(verdict('ioctl', 0, TIOCGWINSZ), ALLOWED);
    for (const request of [TIOCSTI, TIOCLINUX, TUNSETIFF]) assert.equal(verdict('ioctl', 0, request), 'EPERM');
  });

  it('uses the event loop’s ring, where there is one, and makes no other', () => {
    assert.deepEqual([verdict('io_uring_enter', RING), verdict('io_uring_enter', RING + 1)], [ALLOWED, 'ENOSYS']);
    assert.deepEqual([verdict('io_uring_setup'), verdict('io_uring_register')], ['ENOSYS', 'ENOSYS']);
    const without = assembleFilter(callPolicy(OWN, CHILD, []), CALLS);
    const call = { number: CALLS.numbers.get('io_uring_enter')!, architecture: CALLS.architecture, arguments: [0] };
    assert.equal(VERDICTS.get(runFilter(without, call)), 'ENOSYS');
  });

  it('names only calls that exist', () => {
    const { allowed, refused, conditional } = callPolicy(OWN, CHILD, []);
    const names = [...allowed, ...refused.flatMap(({ calls }) => calls), ...conditional.map(({ call }) => call)];
    assert.deepEqual(
      names.filter((name) => !CALLS.numbers.has(name)),
      [],
    );
    assert.equal(new Set(names).size, names.length);
  });

  it('fits into a filter on every architecture', () => {
    const instructionsMax = 4096;
    for (const architecture of ['x64', 'arm64']) {
      const program = assembleFilter(callPolicy(OWN, CHILD, [RING]), systemCalls(architecture)!);
      assert.ok(program.length / 2 < instructionsMax);
    }
  });
});

describe('the sandbox', () => {
  it('is not promised where libuv goes around it', () => {
    for (const value of [undefined, '', '0', 'no']) assert.equal(whyNoSandbox({ UV_USE_IO_URING: value }), undefined);
    assert.match(whyNoSandbox({ UV_USE_IO_URING: '1' })!, /^UV_USE_IO_URING leads around the sandbox: unset it/);
  });
});

describe('what the engine may read', () => {
  it('is where resolv.conf is, and where it may come to lead', () => {
    const { readable } = enginePlan(CHILD, ['/etc/resolv.conf', '/run/somewhere/stub.conf']);
    assert.deepEqual(readable.slice(0, 2), ['/etc', '/run/somewhere']);
    assert.ok(readable.includes('/run/systemd/resolve'));
    assert.ok(readable.every((path) => path.startsWith('/') && path.lastIndexOf('/') >= 0 && path !== '/'));
  });
});
