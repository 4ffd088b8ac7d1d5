/**
 * What the engine may still do when a command runs: the system calls of the engine itself, of libuv, of V8 and of Node's end, found in traces of
 * sessions on Node 20, 22 and 24, with what these libraries are known to call besides.
 *
 * Three answers. *Allowed* is what is needed. *Refused*, with an errno, is what these libraries try and can do without, and what harms nobody when it
 * fails; a user's session must not end because a new Node tries something new. *All else ends the process*, with a message that names
 * the call: programs, other processes, mounts, namespaces, modules, keys, foreign socket families, new listeners.
 *
 * Node puts all signal handlers back when it ends, so that of SIGSYS can be replaced: who does so survives a forbidden call, which is not made.
 */
import { dirname } from 'node:path';
import { ringDescriptors, type SandboxPlan } from '../sys/sandbox.ts';
import type { CallPolicy, ConditionalCall } from '../sys/seccomp.ts';

/** In the order of how often they are made: kernels before 5.11 compare one by one. */
const ALLOWED = words(`
  recvmsg sendmsg epoll_wait epoll_pwait epoll_pwait2 readv writev read write recvfrom sendto sendmmsg recvmmsg epoll_ctl splice
  futex futex_waitv futex_wake futex_wait futex_requeue timerfd_settime clock_gettime setsockopt getsockopt
  close shutdown accept4 accept connect bind getsockname getpeername epoll_create1 epoll_create eventfd2 pipe2 timerfd_create
  pread64 pwrite64 preadv pwritev preadv2 pwritev2 lseek fsync fdatasync ftruncate dup dup2 dup3 poll ppoll select pselect6
  fstat newfstatat statx stat lstat access faccessat faccessat2 readlink readlinkat getcwd getdents64 statfs fstatfs
  inotify_init1 inotify_add_watch inotify_rm_watch
  munmap mprotect madvise mremap brk mincore msync pkey_alloc pkey_free pkey_mprotect mseal membarrier
  rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigsuspend sigaltstack restart_syscall
  nanosleep clock_nanosleep clock_getres gettimeofday time getrandom getcpu getrusage times sysinfo uname
  getpid gettid getppid getpgrp getpgid getsid getuid geteuid getgid getegid getresuid getresgid getgroups capget
  getrlimit getpriority sched_yield sched_getaffinity sched_getparam sched_getscheduler
  sched_get_priority_max sched_get_priority_min
  set_tid_address set_robust_list get_robust_list rseq wait4 waitid exit exit_group
`);

const EPERM = 1;
const EACCES = 13;
const ENOSYS = 38;

/** Files can't be changed, by Landlock or without. Node writes caches and reports, and does without. */
const FILE_CHANGES = words(`
  mkdir mkdirat rmdir rename renameat renameat2 unlink unlinkat link linkat symlink symlinkat creat truncate
  chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat utime utimes futimesat utimensat
`);
/** What libraries fall back from: to clone(2) and openat(2), whose arguments can be seen, and to epoll. */
const ABSENT = words('clone3 openat2 io_uring_setup io_uring_register map_shadow_stack');
const DENIED = words('setpriority sched_setscheduler sched_setparam sched_setattr sched_setaffinity tkill arch_prctl');

/** linux/net.h, bits/socket.h. */
const AF = { INET: 2, INET6: 10 } as const;
const SOCK = { STREAM: 1, DGRAM: 2, RAW: 3, TYPE_MASK: 0xf } as const;
const IPPROTO = { DEFAULT: 0, ICMP: 1, TCP: 6, UDP: 17, ICMPV6: 58 } as const;

/** fcntl.h. */
const O_CHANGES: number = 0x3 | 0x40 | 0x200 | 0x400000; // O_ACCMODE, O_CREAT, O_TRUNC, O_TMPFILE

/** linux/sched.h: what makes a thread, and what makes namespaces. */
const CLONE_THREAD_BITS: number = 0x100 | 0x800 | 0x10000; // CLONE_VM, CLONE_SIGHAND, CLONE_THREAD
const CLONE_NAMESPACE_BITS = 0x7e02_0000;

const PROT_EXEC = 4;
const MAP_ANONYMOUS = 0x20;

/** asm-generic/fcntl.h, linux/fcntl.h: F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC, F_SETPIPE_SZ, F_GETPIPE_SZ. */
const FCNTLS = [0, 1, 2, 3, 4, 1030, 1031, 1032] as const;

/** linux/prctl.h: PR_GET_PDEATHSIG, PR_GET_DUMPABLE, PR_SET_NAME, PR_GET_NAME, PR_GET_NO_NEW_PRIVS, PR_SET_VMA. */
const PRCTLS = [2, 3, 15, 16, 39, 0x53564d41] as const;

/**
 * asm-generic/ioctls.h: terminals' settings, as Node restores them at its end, their size and foreground group; how much a socket holds; descriptors' flags. Not
 * TIOCSTI and its like, which put words into the terminal's mouth.
 */
const IOCTLS = [
  0x5411, 0x541b, 0x5421, 0x5450, 0x5451, 0x5401, 0x5402, 0x5403, 0x5404, 0x540f, 0x5410, 0x5413, 0x80045430,
  0x802c542a, 0x402c542b, 0x402c542c, 0x402c542d,
] as const;

/** Where programs that manage resolv.conf keep what it is a link to. */
const RESOLVER_FOLDERS = ['/run/systemd/resolve', '/run/resolvconf', '/run/NetworkManager', '/run/connman', '/mnt/wsl'];

/**
 * Why there can be no sandbox as things are; undefined: there can. With this variable libuv has the kernel work through a ring with the credentials that Node
 * started with, past everything here.
 */
export function whyNoSandbox(environment: Readonly<Record<string, string | undefined>>): string | undefined {
  const { UV_USE_IO_URING: ring = '0' } = environment;
  if (!(Number.parseInt(ring, 10) > 0)) return undefined;
  return 'UV_USE_IO_URING leads around the sandbox: unset it, or use --no-sandbox';
}

/** `resolvConf`: the file and what it leads to. `childPid`: the one process that may be signalled, beside our own. */
export function enginePlan(childPid: number, resolvConf: readonly string[]): SandboxPlan {
  return {
    calls: callPolicy(process.pid, childPid, ringDescriptors()),
    readable: [...resolvConf.map(dirname), ...RESOLVER_FOLDERS],
  };
}

/** `rings`: the io_uring instances of the event loop, which must go on to work. */
export function callPolicy(ownPid: number, childPid: number, rings: readonly number[]): CallPolicy {
  return {
    allowed: ALLOWED,
    refused: [
      { errno: EACCES, calls: FILE_CHANGES },
      { errno: ENOSYS, calls: ABSENT },
      { errno: EPERM, calls: DENIED },
    ],
    conditional: [...conditionalCalls(ownPid, childPid), ringCall(rings)],
  };
}

function conditionalCalls(ownPid: number, childPid: number): ConditionalCall[] {
  const harmless = { mask: O_CHANGES, values: [0] };
  return [
    { call: 'ioctl', when: [[{ argument: 1, values: IOCTLS }]], otherwise: EPERM },
    { call: 'socket', when: socketKinds(), otherwise: 'trap' },
    {
      call: 'mmap',
      when: [
        [{ argument: 2, mask: PROT_EXEC, values: [0] }],
        [{ argument: 3, mask: MAP_ANONYMOUS, values: [MAP_ANONYMOUS] }],
      ],
      otherwise: EACCES,
    },
    { call: 'fcntl', when: [[{ argument: 1, values: FCNTLS }]], otherwise: EPERM },
    { call: 'openat', when: [[{ argument: 2, ...harmless }]], otherwise: EACCES },
    { call: 'open', when: [[{ argument: 1, ...harmless }]], otherwise: EACCES },
    {
      call: 'clone',
      when: [
        [
          { argument: 0, mask: CLONE_THREAD_BITS, values: [CLONE_THREAD_BITS] },
          { argument: 0, mask: CLONE_NAMESPACE_BITS, values: [0] },
        ],
      ],
      otherwise: 'trap',
    },
    { call: 'prctl', when: [[{ argument: 0, values: PRCTLS }]], otherwise: EPERM },
    { call: 'prlimit64', when: [[{ argument: 0, values: [0, ownPid] }]], otherwise: EPERM },
    { call: 'kill', when: [[{ argument: 0, values: [childPid, ownPid] }]], otherwise: 'trap' },
    { call: 'tgkill', when: [[{ argument: 0, values: [ownPid] }]], otherwise: 'trap' },
  ];
}

/** Raw sockets are for echo where the host has no ping sockets for us; without the capability the kernel refuses them, and echo is refused inside. */
function socketKinds(): ConditionalCall['when'] {
  const family = { argument: 0, values: [AF.INET, AF.INET6] };
  const type = (...values: number[]) => ({ argument: 1, mask: SOCK.TYPE_MASK, values });
  const { DEFAULT, ICMP, TCP, UDP, ICMPV6 } = IPPROTO;
  return [
    [family, type(SOCK.STREAM), { argument: 2, values: [DEFAULT, TCP] }],
    [family, type(SOCK.DGRAM), { argument: 2, values: [DEFAULT, UDP, ICMP, ICMPV6] }],
    [family, type(SOCK.RAW), { argument: 2, values: [ICMP, ICMPV6] }],
  ];
}

/** Its operations are not filtered one by one: Landlock and the missing capabilities hold for them, the list of calls does not. */
function ringCall(rings: readonly number[]): ConditionalCall {
  const call = 'io_uring_enter';
  return { call, when: rings.length === 0 ? [] : [[{ argument: 0, values: rings }]], otherwise: ENOSYS };
}

function words(text: string): string[] {
  return text.trim().split(/\s+/);
}
