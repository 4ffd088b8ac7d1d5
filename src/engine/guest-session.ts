/**
 * A `tapster guest` session: a socket that a virtual machine's network device is plugged into, and an engine behind it; from the first step until nothing of it is left.
 *
 * Guests come and go, one at a time (`guest-listener.ts`); the interface, its flows and its counters stay, so that a machine may be killed and started again, or lose its
 * connection and make it anew. The addresses that are handed out are those that `tapster run` would give its command.
 *
 * A command, if there is one, is started with the arguments for QEMU behind its own, when the socket is there; the session ends with it. It is not confined: it is the user's.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, unlinkSync } from 'node:fs';
import { constants } from 'node:os';
import { assert } from '../base/assert.ts';
import { ARENA_BYTES, SEGMENT_ARENA_BYTES, STREAM_MEMORY_BYTES } from '../base/limits.ts';
import { failure, type Result, success } from '../base/result.ts';
import { FRAME_PACKETS_MAX } from '../graph/node.ts';
import { DatagramLink } from '../link/datagram-link.ts';
import { GuestPort } from '../link/guest-port.ts';
import type { Link } from '../link/link.ts';
import { SoftwareOffload } from '../link/software-offload.ts';
import { StreamLink, type StreamMemory } from '../link/stream-link.ts';
import { Packets } from '../packet/packets.ts';
import { startDatagramPeer } from '../sys/datagram-peer.ts';
import { ERRNO, errnoName } from '../sys/errno.ts';
import { SO, SOL } from '../sys/options.ts';
import { startPathRemover } from '../sys/path-remover.ts';
import { SOCKET_ADDRESS_WORDS, SOCKET_TYPE, type Sys } from '../sys/sys.ts';
import {
  connectUnix,
  describePeer,
  listenUnix,
  listenUnixSeries,
  UNIX_TYPE,
  type UnixListener,
} from '../sys/unix-socket.ts';
import { DatagramGuest } from './datagram-guest.ts';
import type { Engine } from './engine.ts';
import { GuestListener } from './guest-listener.ts';
import type { GuestOptions } from './guest-options.ts';
import { qemuArguments, qemuDatagramArguments, qemuVhostUserArguments } from './qemu-arguments.ts';
import { sharedMemoryArguments } from './qemu-memory.ts';
import { Session } from './session.ts';
import { checkSandbox, confine, SessionEnd } from './session-end.ts';
import { GUEST_INTERFACE, type SessionHooks, type SessionHost } from './session-host.ts';
import { VhostUserGuest } from './vhost-user-guest.ts';

export interface GuestHooks extends SessionHooks {
  /** The socket is there: `arguments_` are what QEMU needs to be plugged into it. */
  listening(path: string, arguments_: readonly string[]): void;
}

/** Serves guests until it is ended, and resolves with the exit status; a failure is ours, and then nothing has been left behind. */
export async function guestSession(options: GuestOptions, hooks: GuestHooks): Promise<Result<number>> {
  return await new GuestSession(options, hooks).runToEnd();
}

class GuestSession extends Session<GuestOptions, GuestHooks> {
  readonly #port: GuestPort = new GuestPort('guest');
  /** Resolves with the exit status. */
  readonly #end: SessionEnd = new SessionEnd();
  /** Where guests come; undefined: there is one guest, and no other. */
  #path: string | undefined;
  #listener: GuestListener | undefined;
  /** What the engine reads: a link around the port. */
  #link: Link | undefined;
  #guestFd: number = -1;
  #vhostUser: VhostUserGuest | undefined;
  /** The command's process, which may be signalled; our own where there is none. */
  #childPid: number = process.pid;

  protected override async run(): Promise<Result<number>> {
    const { sandbox, command } = this.options;
    const possible = checkSandbox(sandbox);
    if (!possible.ok) return possible;
    const memory = this.options.vhostUserPairs > 0 ? sharedMemoryArguments(command) : success([]);
    if (!memory.ok) return memory;
    const begun = this.begin();
    if (!begun.ok) return begun;
    const { host, forwards } = begun.value;
    const engine = this.#makeEngine(host);
    if (!engine.ok) return engine;
    const added = host.addPublished(engine.value);
    if (!added.ok) return added;
    const forwarding = forwards?.open(engine.value, host) ?? success(undefined);
    if (!forwarding.ok) return forwarding;
    const attached = this.#attach(engine.value);
    if (!attached.ok) return attached;
    host.followResolvConf(() => {});
    const [program, ...words] = command;
    if (program === undefined) this.#end.followSignals(this.closers);
    else {
      this.#end.followSignalsBesideCommand(this.sys, this.closers);
      this.#start(program, [...words, ...memory.value, ...this.#qemuArguments()]);
    }
    const prepared = this.hooks.prepared?.() ?? success(undefined);
    if (!prepared.ok) return prepared;
    const confined = confine(sandbox, this.#childPid, this.hooks);
    if (!confined.ok) return confined;
    this.hooks.ready?.(engine.value);
    return success(await this.#end.serve(this.sys, engine.value, this.closers, this.options.rxMode));
  }

  #makeEngine(host: SessionHost): Result<Engine> {
    const engine = host.makeEngine(SEGMENT_ARENA_BYTES + STREAM_MEMORY_BYTES);
    const segments = new Packets(SEGMENT_ARENA_BYTES, FRAME_PACKETS_MAX, engine.memory, ARENA_BYTES);
    const link = host.addLink(engine, new SoftwareOffload(this.#port, segments), this.options.command.join(' '));
    if (!link.ok) return link;
    this.#link = link.value;
    engine.onLinkLost = (_interface, errno) => this.#guestGone(engine, errno);
    return success(engine);
  }

  /** Takes the guest that is there, or waits for guests. */
  #attach(engine: Engine): Result<void> {
    const { fd, connectPath, datagrams } = this.options;
    if (fd !== undefined) return this.#attachGiven(engine, fd);
    if (connectPath !== undefined) {
      const connected = connectUnix(connectPath);
      if (!connected.ok) return connected;
      this.#plug(engine, connected.value, describePeer(connected.value));
      return success(undefined);
    }
    const opened = this.#open();
    if (!opened.ok) return opened;
    const { path } = opened.value;
    const remover = startPathRemover(path);
    if (!remover.ok) {
      closeSync(opened.value.fd);
      unlinkSync(path);
      return remover;
    }
    const removePath = (): void => remover.value.remove();
    const waiting = datagrams
      ? this.#awaitDatagrams(engine, opened.value, removePath)
      : this.#listen(engine, opened.value, removePath);
    if (!waiting.ok) return waiting;
    this.#path = path;
    this.hooks.listening(path, this.#qemuArguments());
    return success(undefined);
  }

  #open(): Result<UnixListener> {
    const { socket, datagrams } = this.options;
    assert(socket !== undefined, 'a guest comes by a path, if not by a descriptor');
    const type = datagrams ? UNIX_TYPE.DATAGRAM : UNIX_TYPE.STREAM;
    return typeof socket === 'string' ? listenUnix(socket, type) : listenUnixSeries(socket.pathOf, type);
  }

  #listen(engine: Engine, opened: UnixListener, removePath: () => void): Result<void> {
    const listener = new GuestListener(engine, opened, {
      attached: (guestFd, peer) => this.#plug(engine, guestFd, peer),
      refused: (peer) => this.hooks.log('warning', `${peer} was sent away: there is a guest already`),
      removePath,
    });
    this.#listener = listener;
    this.closers.add(() => listener.close());
    return success(undefined);
  }

  #awaitDatagrams(engine: Engine, { fd, path }: UnixListener, removePath: () => void): Result<void> {
    const qemuPath = qemuPathOf(path);
    const peer = startDatagramPeer(fd, qemuPath);
    if (!peer.ok) {
      closeSync(fd);
      removePath();
      return peer;
    }
    this.closers.add(removePath);
    this.#guestFd = fd;
    const options = { name: this.#port.name, fd, queue: streamMemory(engine) };
    const guest = new DatagramGuest(engine, engine.sys, peer.value, options, {
      attached: () => this.hooks.log('info', `the guest at ${qemuPath} is plugged in`),
      gone: () => this.#sayGone(''),
      unreachable: (why) => this.hooks.log('warning', `the guest at ${qemuPath} can't be reached: ${why}`),
    });
    this.closers.add(() => guest.close());
    this.#port.plug(guest.link);
    engine.addQueue(GUEST_INTERFACE, this.#link!, fd);
    return success(undefined);
  }

  /** A descriptor that was open when we were started, whose type says what it carries. */
  #attachGiven(engine: Engine, fd: number): Result<void> {
    const carries = whatCarries(engine.sys, fd, this.options);
    if (!carries.ok) return carries;
    if (carries.value === 'datagrams') this.#plugDatagrams(engine, fd);
    else this.#plug(engine, fd, describePeer(fd));
    return success(undefined);
  }

  #plugDatagrams(engine: Engine, fd: number): void {
    this.#guestFd = fd;
    const onAway = (errno: number): void => this.#sayGone(errnoName(errno));
    const { name } = this.#port;
    const link = new DatagramLink(engine.sys, { name, fd, queue: streamMemory(engine), present: true, onAway });
    this.#port.plug(link);
    engine.addQueue(GUEST_INTERFACE, this.#link!, fd);
    this.hooks.log('info', `${describePeer(fd)} is plugged in`);
  }

  #plug(engine: Engine, fd: number, peer: string): void {
    if (this.options.vhostUserPairs > 0) this.#plugVhostUser(engine, fd);
    else this.#plugStream(engine, fd);
    this.hooks.log('info', `${peer} is plugged in`);
  }

  #plugStream(engine: Engine, fd: number): void {
    this.#guestFd = fd;
    this.#port.plug(new StreamLink(engine.sys, { name: this.#port.name, fd, memory: streamMemory(engine) }));
    engine.addQueue(GUEST_INTERFACE, this.#link!, fd);
  }

  #plugVhostUser(engine: Engine, fd: number): void {
    const { name } = this.#port;
    const { arenaMemory } = engine;
    const connection = { name, fd, pairs: this.options.vhostUserPairs, arenaMemory, lends: true };
    const follow = (): void => {
      const polled = guest.needsPolling || this.options.rxMode === 'polling';
      guest.setPolled(polled);
      engine.setPolled(GUEST_INTERFACE, polled);
    };
    const guest = new VhostUserGuest(engine, engine.sys, connection, {
      gone: (why) => this.#vhostUserGone(engine, why),
      polling: follow,
      log: (text) => this.hooks.log('warning', text),
    });
    this.#vhostUser = guest;
    // Frames to the guest are given to the first: they leave by whichever pair they belong to.
    const [first, ...others] = guest.links;
    this.#port.plug(first!);
    engine.addQueue(GUEST_INTERFACE, this.#link!, first!.fd);
    for (const link of others) engine.addQueue(GUEST_INTERFACE, link, link.fd);
    follow();
  }

  #guestGone(engine: Engine, errno: number): void {
    engine.removeQueue(GUEST_INTERFACE, this.#guestFd);
    this.#port.unplug();
    this.#guestFd = -1;
    this.#sayGone(errno === ERRNO.EPIPE ? '' : errnoName(errno));
  }

  #vhostUserGone(engine: Engine, why: string): void {
    const { links } = this.#vhostUser!;
    for (const { fd } of links) engine.removeQueue(GUEST_INTERFACE, fd);
    this.#vhostUser!.close();
    this.#vhostUser = undefined;
    this.#port.unplug();
    for (const link of links.slice(1)) link.close();
    this.#sayGone(why);
  }

  #sayGone(why: string): void {
    this.hooks.log('info', `the guest has gone${why === '' ? '' : ` (${why})`}`);
    if (this.#path === undefined || this.options.oneOff) this.#end.end(0);
    else this.#listener?.release();
  }

  #qemuArguments(): readonly string[] {
    const path = this.#path;
    if (path === undefined) return [];
    const { mac, vhostUserPairs, datagrams } = this.options;
    if (vhostUserPairs > 0) return qemuVhostUserArguments(path, vhostUserPairs, mac);
    return datagrams ? qemuDatagramArguments(path, qemuPathOf(path), mac) : qemuArguments(path, mac);
  }

  /** With the statuses of env(1) and the shells. */
  #endUnstarted(program: string, code: string | undefined): void {
    const isMissing = code === 'ENOENT';
    const why = isMissing ? 'was not found: check its spelling and PATH' : `can't be executed: ${code}`;
    this.hooks.log('error', `"${program}" ${why}`);
    this.#end.end(isMissing ? 127 : 126);
  }

  #start(program: string, words: readonly string[]): void {
    const child = spawn(program, words, { stdio: 'inherit' });
    this.#childPid = child.pid ?? process.pid;
    child.once('error', (error) => this.#endUnstarted(program, (error as NodeJS.ErrnoException).code));
    child.once('exit', (code, signal) => this.#end.end(code ?? 128 + constants.signals[signal!]));
    this.closers.add(async () => {
      if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, 'exit', { signal: AbortSignal.timeout(COMMAND_END_MS) });
      child.kill();
      // Who does not end when he is told to is left alone.
      await exited.catch(() => {});
    });
  }
}

/**
 * How long a command may take to end with us: what it leaves behind when it has ended, its socket's path, is removed then. QEMU needs 100 ms; on a busy machine a second is
 * soon over.
 */
const COMMAND_END_MS = 10_000;

/** Where QEMU binds its side of datagrams, beside ours: both sides must know the path of the other. */
function qemuPathOf(path: string): string {
  return `${path}.qemu`;
}

/** Behind all arenas of the engine. */
function streamMemory({ memory, arenaMemory }: Engine): StreamMemory {
  const at = memory.length - STREAM_MEMORY_BYTES;
  return { bytes: memory, id: arenaMemory, at, length: STREAM_MEMORY_BYTES };
}

/** What a socket carries, as its type says (getsockopt(2), SO_TYPE). */
function whatCarries(
  sys: Sys,
  fd: number,
  { datagrams, vhostUserPairs }: GuestOptions,
): Result<'stream' | 'datagrams'> {
  const type = sys.getOption(fd, SOL.SOCKET, SO.TYPE);
  const refused = (why: string): Result<never> => failure('descriptor-unfit', `--fd ${fd} ${why}`);
  switch (type) {
    case SOCKET_TYPE.STREAM:
      if (datagrams) return refused('is a stream socket: leave --dgram out');
      return success('stream');
    case SOCKET_TYPE.DGRAM: {
      if (vhostUserPairs > 0) return refused('is a datagram socket, and vhost-user speaks over a stream');
      if (sys.peerAddress(fd, new Int32Array(SOCKET_ADDRESS_WORDS)) >= 0) return success('datagrams');
      return refused('is a datagram socket that is not connected: connect it, or give one of a pair (socketpair(2))');
    }
    case -ERRNO.EBADF:
      return refused('is no open descriptor: give a connected socket');
    case -ERRNO.ENOTSOCK:
      return refused('is no socket: give a connected one');
    default: {
      const what = type < 0 ? `can't be asked for its type (${errnoName(type)})` : `is of type ${type}`;
      return refused(`${what}: a stream or a datagram socket was expected`);
    }
  }
}
