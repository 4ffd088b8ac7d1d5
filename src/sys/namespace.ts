/**
 * New namespaces with a tap in them, and one command that lives there.
 *
 * `startNamespace` clones a child (native/namespace-child.c) which makes network, mount and PID namespaces (and a user namespace where we have no
 * privilege), opens the tap and a netlink socket there, and passes both to us. We configure the network over that socket (guest-network.ts), and then `run` the command.
 * We ourselves never leave the host's namespaces.
 *
 * The child and all processes in its namespaces end with `end`, with the command, and with us, however we end. They are bound to the *thread* that started them.
 *
 * The command is in our session and process group, as any child of ours would be. Descriptors above 2 are not passed on. Standard input, output and error are
 * shared with it: who uses `process.stdout` or its like for the first time after `run` makes a pipe non-blocking under the command's feet. Use them before, or
 * write with `fs.writeSync`.
 *
 * Not here: joining a namespace that exists already.
 */
import { closeSync, ftruncateSync, readFileSync, writeSync } from 'node:fs';
import { failure, type Result, success } from '../base/result.ts';
import { ERRNO, errnoName } from './errno.ts';
import { cloneFailure, STEP, stepFailure, stepWarning } from './namespace-failures.ts';
import { loadNative } from './native.ts';

/** IFNAMSIZ - 1 characters, and what dev_valid_name() of the kernel takes. */
const INTERFACE_NAME = /^(?!\.{1,2}$)[^\s/:\0]{1,15}$/;

/** The bounds of native/namespace.h. */
const FILES_MAX = 8;
const SYSCTLS_MAX = 32;

/** A replaced file holds a few lines; the tmpfs for all of them has 1 MiB. */
const FILE_BYTES_MAX = 65_536;

/** Making a network namespace waits for others that are being taken down: milliseconds, on a busy machine a second. */
const START_TIMEOUT_MS = 15_000;

/** How long the kernel may take to kill all that lives in the namespaces: milliseconds, on a busy machine longer than one likes. */
const END_TIMEOUT_MS = 10_000;

/** struct virtio_net_hdr_mrg_rxbuf. */
const VNET_HEADER_BYTES = 12;

/** linux/sched.h. */
const CLONE = { NEWNS: 0x20000, NEWUSER: 0x10000000, NEWPID: 0x20000000, NEWNET: 0x40000000 } as const;
/** linux/if_tun.h. */
const IFF = { TAP: 0x2, NO_PI: 0x1000, VNET_HDR: 0x4000 } as const;
/** Bits of the capability sets in /proc/self/status (linux/capability.h). */
const CAPABILITY = { NET_ADMIN: 1n << 12n, SYS_ADMIN: 1n << 21n } as const;

/** The numbers of native/namespace.h. */
const KIND = { READY: 1, FAILED: 2, WARNING: 3, EXITED: 4, SIGNALLED: 5, EXEC_FAILED: 6, STOPPED: 7 } as const;
const MESSAGE_WORDS = 15;
const MESSAGE = { KIND: 0, VALUE: 1, INDEX: 2, ERROR: 3, DESCRIPTORS: 4, DESCRIPTOR: 5 } as const;

const SIGKILL = 9;

export interface NamespaceOptions {
  /** Map our user to root inside. Without, our uid and gid stay what they are. */
  readonly rootInside?: boolean;
  /** `vnetHeader` false: no virtio-net header in front of frames, no offloads. */
  readonly tap?: { readonly name: string; readonly vnetHeader?: boolean };
  /** Files that are there already and show another content inside. One that is missing gives a warning. */
  readonly files?: readonly { readonly path: string; readonly content: string }[];
  /** Written inside, when the tap is there. One that is refused gives a warning. */
  readonly sysctls?: readonly { readonly path: string; readonly value: string }[];
}

/** How the command ended. */
export type CommandStatus =
  | { readonly kind: 'exited'; readonly code: number }
  | { readonly kind: 'signalled'; readonly signal: number }
  | { readonly kind: 'exec-failed'; readonly errno: number; readonly what: 'command' | 'directory' };

/** A shell that has a process group of its own suspended itself; SIGCONT goes on with it. The command has not ended. */
export interface CommandStopped {
  readonly kind: 'stopped';
  readonly signal: number;
}

/** Who we are inside. */
export interface Identity {
  /** Whether a user namespace is needed: we may not make other namespaces, or not configure a network. */
  readonly userNamespace: boolean;
  readonly uid: number;
  readonly gid: number;
}

interface NamespaceCalls {
  namespaceClone(numbers: Int32Array, strings: Uint8Array, result: Int32Array): number;
  namespaceReceive(control: number, message: Int32Array, timeoutMs: number): number;
  namespaceSignal(control: number, signal: number): number;
  namespaceRun(control: number, command: Uint8Array): number;
  namespaceEnd(pid: number, pidFd: number, killed: number, timeoutMs: number): number;
}

export function identityInside(rootInside: boolean = false): Identity {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1];
  const needed = CAPABILITY.NET_ADMIN | CAPABILITY.SYS_ADMIN;
  const userNamespace = effective === undefined || (BigInt(`0x${effective}`) & needed) !== needed;
  const root = userNamespace && rootInside;
  return { userNamespace, uid: root ? 0 : process.geteuid!(), gid: root ? 0 : process.getegid!() };
}

export function startNamespace(options: NamespaceOptions): Result<NamespaceChild> {
  const invalid = checkOptions(options);
  if (invalid !== undefined) return invalid;
  const calls = loadNative<NamespaceCalls>();
  const identity = identityInside(options.rootInside);
  const result = new Int32Array(3);
  const cloned = calls.namespaceClone(planNumbers(options, identity), planStrings(options, identity), result);
  if (cloned < 0) return cloneFailure(-cloned, identity.userNamespace);
  const child = { calls, pid: result[0]!, pidFd: result[1]!, controlFd: result[2]! };
  const started = waitUntilReady(child, options, identity);
  if (started.ok) return started;
  calls.namespaceEnd(child.pid, child.pidFd, 1, END_TIMEOUT_MS);
  closeSync(child.controlFd);
  closeSync(child.pidFd);
  return started;
}

/** The exit status that stands for it, as shells count: 128 + signal, 126 for what can not be run, 127 for what is not there. */
export function exitCode(status: CommandStatus): number {
  if (status.kind === 'exited') return status.code;
  if (status.kind === 'signalled') return 128 + status.signal;
  if (status.what === 'directory') return 125;
  return status.errno === ERRNO.ENOENT ? 127 : 126;
}

interface Child {
  readonly calls: NamespaceCalls;
  readonly pid: number;
  readonly pidFd: number;
  readonly controlFd: number;
}

interface Ready {
  /** -1 where none was asked for. */
  readonly tapFd: number;
  readonly netlinkFd: number;
  readonly hasVnetHeader: boolean;
  readonly fileFds: ReadonlyMap<string, number>;
  readonly warnings: readonly string[];
}

export class NamespaceChild {
  /** The first process of the namespaces, as the host counts. */
  readonly pid: number;
  /** Readable when the namespaces are gone. */
  readonly pidFd: number;
  /** Readable when `readStatus` has something to say. */
  readonly controlFd: number;
  /** The tap, -1 where none was asked for. The caller closes it. */
  readonly tapFd: number;
  /** A NETLINK_ROUTE socket inside. */
  readonly netlinkFd: number;
  readonly hasVnetHeader: boolean;
  /** What could not be done and was gone on without, as sentences. */
  readonly warnings: readonly string[];
  readonly identity: Identity;
  readonly #calls: NamespaceCalls;
  readonly #fileFds: ReadonlyMap<string, number>;
  readonly #fileBytes: Map<string, number> = new Map();
  #status: CommandStatus | undefined = undefined;
  #open: boolean = true;

  /** For `startNamespace`. */
  constructor(child: Child, ready: Ready, identity: Identity) {
    this.pid = child.pid;
    this.pidFd = child.pidFd;
    this.controlFd = child.controlFd;
    this.tapFd = ready.tapFd;
    this.netlinkFd = ready.netlinkFd;
    this.hasVnetHeader = ready.hasVnetHeader;
    this.warnings = ready.warnings;
    this.identity = identity;
    this.#calls = child.calls;
    this.#fileFds = ready.fileFds;
  }

  /**
   * Starts the command: `argv[0]` is searched in the PATH of `environment`. Once only. Whether it can be executed at all is told by `readStatus`.
   * `directory`: the working directory, ours when left out.
   */
  run(
    argv: readonly string[],
    environment: Readonly<Record<string, string | undefined>>,
    directory: string = '',
  ): Result<void> {
    const variables = Object.entries(environment).filter(([, value]) => value !== undefined);
    const assignments = variables.map(([name, value]) => `${name}=${value}`);
    if (argv.length === 0) return failure('command-missing', 'there is no command to run: name one');
    if ([directory, ...argv, ...assignments].some((text) => text.includes('\0'))) {
      return failure(
        'command-invalid',
        'the command, its directory or its environment holds a zero byte: leave it out',
      );
    }
    const { PATH: search } = environment;
    const candidates = programPaths(argv[0]!, search);
    const counts = Int32Array.of(candidates.length, argv.length, assignments.length);
    const strings = terminated([directory, ...candidates, ...argv, ...assignments]);
    const error = this.#calls.namespaceRun(this.controlFd, concatenate(new Uint8Array(counts.buffer), strings));
    if (error === 0) return success(undefined);
    return failure('namespace-lost', `the command can not be handed to its namespace: ${errnoName(error)}`);
  }

  /** Sends a signal to the command; nothing when it has ended. */
  signal(number: number): void {
    if (this.#open) this.#calls.namespaceSignal(this.controlFd, number);
  }

  /** What there is to tell, without waiting; once the command has ended, always how. */
  readStatus(): CommandStatus | CommandStopped | undefined {
    if (this.#status !== undefined || !this.#open) return this.#status;
    const message = new Int32Array(MESSAGE_WORDS);
    const received = this.#calls.namespaceReceive(this.controlFd, message, 0);
    if (received === -ERRNO.EAGAIN) return undefined;
    const value = message[MESSAGE.VALUE]!;
    if (received === 1 && message[MESSAGE.KIND] === KIND.STOPPED) return { kind: 'stopped', signal: value };
    this.#status = received === 1 ? commandStatus(message) : undefined;
    // Somebody killed the first process, and the kernel all others with it.
    this.#status ??= { kind: 'signalled', signal: SIGKILL };
    return this.#status;
  }

  /** Changes the content of a replaced file. Who reads it meanwhile sees the old or the new, perhaps with empty lines behind. */
  updateFile(path: string, content: string): Result<void> {
    const fd = this.#fileFds.get(path);
    if (fd === undefined) return failure('file-not-replaced', `${path} is not replaced in the namespace`);
    const bytes = new TextEncoder().encode(content);
    if (bytes.length > FILE_BYTES_MAX) return fileTooLong(path);
    const padded = new Uint8Array(Math.max(bytes.length, this.#fileBytes.get(path) ?? FILE_BYTES_MAX)).fill(0x0a);
    padded.set(bytes);
    try {
      writeSync(fd, padded, 0, padded.length, 0);
      ftruncateSync(fd, bytes.length);
      this.#fileBytes.set(path, bytes.length);
      return success(undefined);
    } catch (cause) {
      return failure('file-not-written', `${path} in the namespace can not be written: ${(cause as Error).message}`);
    }
  }

  /**
   * Kills all that lives in the namespaces, waits until it is gone, and closes every descriptor but the tap's. A second call does nothing. Fails when a
   * process hangs in the kernel; the descriptors are closed nevertheless, and the process ends as soon as it can.
   */
  end(): Result<void> {
    if (!this.#open) return success(undefined);
    this.#open = false;
    const ended = this.#calls.namespaceEnd(this.pid, this.pidFd, 1, END_TIMEOUT_MS);
    for (const fd of [this.controlFd, this.pidFd, this.netlinkFd, ...this.#fileFds.values()]) closeSync(fd);
    if (ended >= 0) return success(undefined);
    return failure(
      'namespace-remains',
      `the processes in the namespace have not ended within ${END_TIMEOUT_MS} ms: ${errnoName(ended)}`,
    );
  }
}

function commandStatus(message: Int32Array): CommandStatus | undefined {
  const value = message[MESSAGE.VALUE]!;
  if (message[MESSAGE.KIND] === KIND.EXITED) return { kind: 'exited', code: value };
  if (message[MESSAGE.KIND] === KIND.SIGNALLED) return { kind: 'signalled', signal: value };
  if (message[MESSAGE.KIND] !== KIND.EXEC_FAILED) return undefined;
  return {
    kind: 'exec-failed',
    errno: message[MESSAGE.ERROR]!,
    what: value === STEP.DIRECTORY ? 'directory' : 'command',
  };
}

function waitUntilReady(child: Child, options: NamespaceOptions, identity: Identity): Result<NamespaceChild> {
  const warnings: string[] = [];
  const message = new Int32Array(MESSAGE_WORDS);
  for (;;) {
    const received = child.calls.namespaceReceive(child.controlFd, message, START_TIMEOUT_MS);
    if (received === -ERRNO.EAGAIN) {
      return failure(
        'namespace-timeout',
        `the namespaces were not ready within ${START_TIMEOUT_MS} ms: is the machine overloaded?`,
      );
    }
    if (received !== 1) {
      const how = received === 0 ? 'it was killed' : errnoName(received);
      return failure('namespace-lost', `the process that makes the namespaces is gone (${how}): try again`);
    }
    const value = message[MESSAGE.VALUE]!;
    const index = message[MESSAGE.INDEX]!;
    const error = message[MESSAGE.ERROR]!;
    if (message[MESSAGE.KIND] === KIND.FAILED)
      return stepFailure(value, error, options.tap?.name ?? '', identity.userNamespace);
    if (message[MESSAGE.KIND] === KIND.WARNING) {
      const paths = value === STEP.SYSCTL ? options.sysctls : options.files;
      warnings.push(stepWarning(value, error, paths?.[index]?.path ?? ''));
    }
    if (message[MESSAGE.KIND] === KIND.READY)
      return success(new NamespaceChild(child, readReady(message, options, warnings), identity));
  }
}

/** Descriptors come in this order: the tap, netlink, one for each file whose bit is set. */
function readReady(message: Int32Array, options: NamespaceOptions, warnings: readonly string[]): Ready {
  let next: number = MESSAGE.DESCRIPTOR;
  const tapFd = options.tap === undefined ? -1 : message[next++]!;
  const netlinkFd = message[next++]!;
  const fileFds = new Map<string, number>();
  for (const [index, file] of (options.files ?? []).entries()) {
    if ((message[MESSAGE.INDEX]! & (1 << index)) !== 0) fileFds.set(file.path, message[next++]!);
  }
  return { tapFd, netlinkFd, hasVnetHeader: message[MESSAGE.VALUE] === 1, fileFds, warnings };
}

function checkOptions(options: NamespaceOptions): Result<never> | undefined {
  const { tap, files = [], sysctls = [] } = options;
  if (tap !== undefined && (!INTERFACE_NAME.test(tap.name) || new TextEncoder().encode(tap.name).length > 15)) {
    const right = '1 to 15 bytes without white space, slash and colon, such as eth0';
    return failure('interface-name-invalid', `${JSON.stringify(tap.name)} is no name for an interface: take ${right}`);
  }
  if (files.length > FILES_MAX)
    return failure('too-many-files', `${files.length} files to replace: at most ${FILES_MAX}`);
  if (sysctls.length > SYSCTLS_MAX)
    return failure('too-many-sysctls', `${sysctls.length} sysctls: at most ${SYSCTLS_MAX}`);
  for (const { path, content } of files) {
    if (`${path}${content}`.includes('\0'))
      return failure('file-invalid', `${JSON.stringify(path)} or its content holds a zero byte`);
    if (new TextEncoder().encode(content).length > FILE_BYTES_MAX) return fileTooLong(path);
  }
  const odd = sysctls.find(({ path, value }) => `${path}${value}`.includes('\0'));
  return odd === undefined
    ? undefined
    : failure('sysctl-invalid', `${JSON.stringify(odd.path)} or its value holds a zero byte`);
}

function fileTooLong(path: string): Result<never> {
  return failure('file-too-long', `the new content of ${path} is longer than ${FILE_BYTES_MAX} bytes: shorten it`);
}

function planNumbers(options: NamespaceOptions, identity: Identity): Int32Array {
  const namespaces = CLONE.NEWNS | CLONE.NEWPID | CLONE.NEWNET | (identity.userNamespace ? CLONE.NEWUSER : 0);
  const tapFlags = IFF.TAP | IFF.NO_PI | (options.tap?.vnetHeader === false ? 0 : IFF.VNET_HDR);
  return Int32Array.of(
    namespaces,
    tapFlags,
    VNET_HEADER_BYTES,
    options.files?.length ?? 0,
    options.sysctls?.length ?? 0,
  );
}

function planStrings(options: NamespaceOptions, identity: Identity): Uint8Array {
  const { files = [], sysctls = [], tap } = options;
  const map = (inside: number, outside: number): string => (identity.userNamespace ? `${inside} ${outside} 1` : '');
  return terminated([
    map(identity.uid, process.geteuid!()),
    map(identity.gid, process.getegid!()),
    tap?.name ?? '',
    ...files.flatMap(({ path, content }) => [path, content]),
    ...sysctls.flatMap(({ path, value }) => [path, value]),
  ]);
}

/** Where execvp(3) would look for a program; `search` is PATH. */
function programPaths(program: string, search: string = '/bin:/usr/bin'): string[] {
  if (program === '') return [];
  if (program.includes('/')) return [program];
  return search.split(':').map((folder) => `${folder === '' ? '.' : folder}/${program}`);
}

/** Strings one behind another, each with a zero byte at its end. */
function terminated(strings: readonly string[]): Uint8Array {
  return new TextEncoder().encode(strings.map((text) => `${text}\0`).join(''));
}

function concatenate(a: Uint8Array, b: Uint8Array): Uint8Array {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
