/**
 * A `tapster run` session: a namespace with a tap, an engine on the tap, and one command inside; from the first step until nothing of it is left.
 *
 * Every step that fails takes back the steps before it (`Closers`). The command's end ends the session, but not at once: what the command sent and the host's
 * sockets have not taken yet is delivered first, as the kernel would do for a program that has exited.
 */
import { randomFillSync } from 'node:crypto';
import { equalAddress, IpAddress, isIpv4 } from '../base/address.ts';
import { assert } from '../base/assert.ts';
import { DATAGRAM_LISTENERS_MAX } from '../base/limits.ts';
import { failure, type Result, success } from '../base/result.ts';
import { HostPolicy } from '../flow/host-policy.ts';
import { NameTable } from '../flow/names.ts';
import { CaptureLink } from '../link/capture.ts';
import type { Link } from '../link/link.ts';
import { TapLink } from '../link/tap.ts';
import { type LinkOffload, NO_OFFLOAD } from '../packet/offload.ts';
import { ERRNO, errnoName } from '../sys/errno.ts';
import { configureGuest, type GuestNetwork, guestSysctls, planGuestNetwork } from '../sys/guest-network.ts';
import { type HostNetwork, readHostNetwork } from '../sys/host-network.ts';
import { LinuxSys } from '../sys/linux.ts';
import { type CommandStatus, exitCode, identityInside, type NamespaceChild, startNamespace } from '../sys/namespace.ts';
import { startRawSocketServer } from '../sys/raw-socket-server.ts';
import {
  RESOLV_CONF_PATH,
  type ResolvConf,
  readResolvConf,
  resolvConfFiles,
  watchResolvConf,
} from '../sys/resolv-conf.ts';
import { applySandbox } from '../sys/sandbox.ts';
import type { Sys } from '../sys/sys.ts';
import { negotiateOffloads, TUN_F } from '../sys/tun.ts';
import { Engine } from './engine.ts';
import { EventLoop } from './event-loop.ts';
import type { FlowSink } from './flow-record.ts';
import { FlowReporter } from './flow-reporter.ts';
import { GuestWiring } from './guest-wiring.ts';
import { openPcapFile, type PcapFile } from './pcap-file.ts';
import { openPublished, type PublishedSocket } from './publish.ts';
import { ResolverWatch } from './resolver-watch.ts';
import type { PublishRule, RunOptions } from './run-options.ts';
import { enginePlan, whyNoSandbox } from './sandbox-policy.ts';
import { waitUntilDelivered } from './session-delivery.ts';
import {
  dnsAddresses,
  guestResolvConf,
  HOST_NAME,
  OUR_MAC,
  planSession,
  type SessionNetwork,
} from './session-network.ts';
import { SessionSignals } from './session-signals.ts';
import { formatEndpoint } from './text.ts';

export type LogLevel = 'error' | 'warning' | 'info' | 'debug';

export interface SessionHooks {
  readonly flowSinks: readonly FlowSink[];
  log(level: LogLevel, message: string): void;
  /** A rule's socket is open: `address` and `port` are the host's. */
  published(rule: PublishRule, address: IpAddress, port: number): void;
}

const GUEST_INTERFACE = 0;
/** Program and version, for files that name their maker. */
const APPLICATION = 'tapster';

/** Runs the command and resolves with its exit status; a failure is ours, and then nothing has been left behind. */
export async function runSession(options: RunOptions, hooks: SessionHooks): Promise<Result<number>> {
  const closers = new Closers();
  try {
    return await new Session(options, hooks, closers).run();
  } finally {
    await closers.closeAll();
  }
}

/** What has to be undone, last first. */
class Closers {
  readonly #actions: (() => void | Promise<void>)[] = [];

  add(action: () => void | Promise<void>): void {
    this.#actions.push(action);
  }

  /** One that fails, by a bug of ours, does not keep the others from being done: the namespace must go. */
  async closeAll(): Promise<void> {
    const errors: unknown[] = [];
    for (let action = this.#actions.pop(); action !== undefined; action = this.#actions.pop()) {
      try {
        await action();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw errors[0];
  }
}

class Session {
  readonly #options: RunOptions;
  readonly #hooks: SessionHooks;
  readonly #closers: Closers;
  readonly #sys: LinuxSys = new LinuxSys();
  readonly #names: NameTable = new NameTable();
  /** Published sockets that the engine does not have yet. */
  #published: PublishedSocket[] = [];

  constructor(options: RunOptions, hooks: SessionHooks, closers: Closers) {
    this.#options = options;
    this.#hooks = hooks;
    this.#closers = closers;
  }

  async run(): Promise<Result<number>> {
    const unsafe = this.#options.sandbox ? whyNoSandbox(process.env) : undefined;
    if (unsafe !== undefined) return failure('sandbox-impossible', unsafe);
    const host = readHostNetwork();
    if (!host.ok) return host;
    const guest = planGuestNetwork(host.value, this.#options);
    const resolvConf = readResolvConf();
    const network = planSession(this.#options, host.value, guest, resolvConf);

    const free = checkHostLoopback(this.#options, guest);
    if (!free.ok) return free;
    const published = this.#publish(guest);
    if (!published.ok) return published;
    const started = this.#startNamespace(network);
    if (!started.ok) return started;
    const child = started.value;

    for (const { w0, w1, w2, w3 } of network.policy.loopbackAddresses) this.#names.add(HOST_NAME, w0, w1, w2, w3);
    const policy = new HostPolicy(network.policy);
    const hostNames = network.hostAddresses.length > 0 ? [[HOST_NAME, network.hostAddresses] as const] : [];
    const wiring = new GuestWiring({ services: network.services, localNames: new Map(hostNames) });
    const engine = this.#makeEngine(child, guest, wiring, policy);
    if (!engine.ok) return engine;
    const configured = configureGuest(child.netlinkFd, guest, this.#options.configure ? 'all' : 'link');
    if (!configured.ok) return configured;
    const added = this.#addPublished(engine.value, guest);
    if (!added.ok) return added;
    this.#followResolvConf(child, wiring, policy, host.value, guest);
    return this.#runCommand(child, engine.value);
  }

  #publish(guest: GuestNetwork): Result<void> {
    const families = { ipv4: guest.ipv4Gateway !== undefined, ipv6: guest.ipv6Gateway !== undefined };
    const opened = openPublished(this.#sys, this.#options.publish, families);
    if (!opened.ok) return opened;
    this.#published = opened.value;
    this.#closers.add(() => {
      for (const { fd } of this.#published) this.#sys.close(fd);
    });
    for (const { rule, address, port } of opened.value) this.#hooks.published(rule, address, port);
    return success(undefined);
  }

  #startNamespace(network: SessionNetwork): Result<NamespaceChild> {
    const { interfaceName, root, configure } = this.#options;
    const identity = identityInside(root);
    const started = startNamespace({
      rootInside: root,
      tap: { name: interfaceName },
      files: network.files,
      sysctls: guestSysctls(interfaceName, identity.userNamespace ? identity.gid : undefined, !configure),
    });
    if (!started.ok) return started;
    this.#closers.add(() => {
      const ended = started.value.end();
      if (!ended.ok) this.#hooks.log('warning', ended.failure.message);
    });
    for (const warning of started.value.warnings) this.#hooks.log('debug', warning);
    return started;
  }

  /** In the sandbox, raw sockets come from a process that is not in it. */
  #engineSys(): Sys {
    const server = this.#options.sandbox && this.#options.icmp ? startRawSocketServer(this.#sys) : undefined;
    if (server === undefined) return this.#sys;
    this.#closers.add(() => server.close());
    return server.sys;
  }

  /** The engine has the tap's descriptor from here on. */
  #makeEngine(child: NamespaceChild, guest: GuestNetwork, wiring: GuestWiring, policy: HostPolicy): Result<Engine> {
    const sys = this.#engineSys();
    const offload = child.hasVnetHeader ? agreeOnOffload(child.tapFd) : NO_OFFLOAD;
    const sinks: FlowSink[] = [...this.#hooks.flowSinks];
    let reporter: FlowReporter | undefined;
    const engine = new Engine(sys, {
      flowsMax: this.#options.flowsMax,
      policy,
      callers: policy,
      names: this.#names,
      wiring,
      observer: (flows) => {
        reporter = new FlowReporter(flows, this.#names, sinks, () => sys.nowUs());
        return new ResolverWatch(flows, policy, reporter);
      },
      random: randomWord,
    });
    const tap = new TapLink(sys, {
      name: child.hasVnetHeader ? guest.interfaceName : `${guest.interfaceName} (no offload)`,
      fd: child.tapFd,
      hasVnetHeader: child.hasVnetHeader,
      offload,
      arenaMemory: engine.arenaMemory,
    });
    const captured = this.#capture(tap, engine, reporter!, sinks);
    if (!captured.ok) {
      tap.close();
      engine.close();
      return captured;
    }
    this.#closers.add(() => engine.close());
    engine.addLink(captured.value, child.tapFd, {
      index: GUEST_INTERFACE,
      mtu: guest.mtu,
      ourMacHigh: OUR_MAC.high,
      ourMacLow: OUR_MAC.low,
      offload,
    });
    const addresses = guest.addresses.map((each) => each.address);
    if (guest.linkLocal !== undefined) addresses.push(guest.linkLocal);
    for (const { w0, w1, w2, w3 } of addresses) {
      wiring.neighbours.learn(GUEST_INTERFACE, w0, w1, w2, w3, guest.mac.high, guest.mac.low);
    }
    return success(engine);
  }

  #capture(tap: TapLink, engine: Engine, reporter: FlowReporter, sinks: FlowSink[]): Result<Link> {
    const path = this.#options.pcapPath;
    if (path === undefined) return success(tap);
    const opened = openPcapFile(
      path,
      { interfaceName: tap.name, application: APPLICATION, comment: this.#options.command.join(' ') },
      { ids: engine.flows.id, describe: (flow) => reporter.record(flow) },
      (message) => this.#hooks.log('warning', message),
    );
    if (!opened.ok) return opened;
    const file: PcapFile = opened.value;
    sinks.push(file);
    this.#closers.add(() => file.close());
    return success(new CaptureLink(tap, file));
  }

  #addPublished(engine: Engine, guest: GuestNetwork): Result<void> {
    for (let socket = this.#published.shift(); socket !== undefined; socket = this.#published.shift()) {
      const { rule, fd, address, port, guestPort } = socket;
      const ipv4 = isIpv4(address);
      const to = guest.addresses.find((each) => isIpv4(each.address) === ipv4)?.address;
      assert(to !== undefined, 'only families that the guest has are published');
      const words = Int32Array.of(to.w0, to.w1, to.w2, to.w3);
      const listener = { fd, interfaceIndex: GUEST_INTERFACE, guest: words, guestPort };
      const tcp = rule.protocol === 'tcp';
      const error = tcp ? engine.tcpListeners.add(listener) : engine.udp.publish({ ...listener, ipv4 });
      if (error >= 0) continue;
      if (tcp) this.#sys.close(fd);
      const where = `${formatEndpoint(address.toString(), port)}/${rule.protocol}`;
      const reason =
        -error === ERRNO.ENOSPC ? `${DATAGRAM_LISTENERS_MAX} UDP ports are published already` : errnoName(error);
      return failure('port-failed', `can't publish ${where}: ${reason}`);
    }
    return success(undefined);
  }

  /** New resolvers are asked from the next question on, and a resolv.conf inside says what the host's says now. */
  #followResolvConf(
    child: NamespaceChild,
    wiring: GuestWiring,
    policy: HostPolicy,
    host: HostNetwork,
    guest: GuestNetwork,
  ): void {
    const options = this.#options;
    if (options.dns === 'none') return;
    const watcher = watchResolvConf((resolvConf: ResolvConf) => {
      const network = planSession(options, host, guest, resolvConf);
      policy.configure(network.policy);
      wiring.configure(network.services);
      const content = guestResolvConf(options, dnsAddresses(options, guest), resolvConf);
      const updated = content === undefined ? success(undefined) : child.updateFile(RESOLV_CONF_PATH, content);
      if (!updated.ok) this.#hooks.log('warning', updated.failure.message);
    });
    this.#closers.add(() => watcher.close());
  }

  async #runCommand(child: NamespaceChild, engine: Engine): Promise<Result<number>> {
    const command = this.#options.command.length > 0 ? this.#options.command : [process.env['SHELL'] || '/bin/sh'];
    const signals = new SessionSignals(this.#sys, child);
    this.#closers.add(() => signals.close());
    let fail: (error: unknown) => void = () => {};
    const broken = new Promise<never>((_resolve, reject) => {
      fail = reject;
    });
    engine.onLinkLost = (_interface, errno) => {
      this.#hooks.log('warning', `the interface inside has gone: ${errnoName(errno)}`);
    };
    const ran = child.run(command, process.env, process.cwd());
    if (!ran.ok) return ran;
    // While the command is loaded; and not one packet has been looked at before.
    const confined = this.#options.sandbox ? this.#confine(child) : success(undefined);
    if (!confined.ok) return confined;
    const loop = new EventLoop(this.#sys, engine, fail);
    this.#closers.add(() => loop.stop());
    const status = await Promise.race([signals.commandEnded(), broken]);
    if (status.kind === 'exec-failed') return execFailure(command[0]!, status);
    // What the command sent last may still be in its interface: a datagram has no other end that asks for it again.
    for (let turns = 0; turns < LAST_TURNS_MAX && engine.turn(); turns++);
    await Promise.race([waitUntilDelivered(engine.tcp, signals.interrupted(), this.#hooks), broken]);
    return success(exitCode(status));
  }

  #confine(child: NamespaceChild): Result<void> {
    const applied = applySandbox(enginePlan(child.pid, resolvConfFiles()));
    if (!applied.ok) return applied;
    for (const note of applied.value) this.#hooks.log('info', `sandbox: ${note}`);
    return success(undefined);
  }
}

/** An interface holds `GUEST_TX_QUEUE_LENGTH` packets; one whose users have not ended with the command may never be empty. */
const LAST_TURNS_MAX = 256;

/** An address of the guest's own never leaves it. */
function checkHostLoopback({ hostLoopback }: RunOptions, guest: GuestNetwork): Result<void> {
  if (!(hostLoopback instanceof IpAddress)) return success(undefined);
  if (!guest.addresses.some((each) => equalAddress(each.address, hostLoopback))) return success(undefined);
  return failure(
    'host-loopback-taken',
    `--host-loopback ${hostLoopback}: the command has this address itself; choose one that nobody has, or leave it out for the gateway's`,
  );
}

/** What the tap's two ends leave undone for each other. Towards the guest the kernel takes everything; UDP merged only where it can also cut it. */
function agreeOnOffload(tapFd: number): LinkOffload {
  const agreed = negotiateOffloads(tapFd);
  const flags = Math.max(0, agreed);
  return {
    checksum: true,
    tcpSegmentation: true,
    udpSegmentation: (flags & TUN_F.USO4) !== 0,
  };
}

function execFailure(program: string, status: CommandStatus & { kind: 'exec-failed' }): Result<never> {
  const reason = errnoName(status.errno);
  if (status.what === 'directory') {
    return failure('directory-missing', `the current directory can't be entered in the namespace: ${reason}`);
  }
  if (exitCode(status) === 127)
    return failure('command-not-found', `"${program}" was not found: check its spelling and PATH`);
  return failure('command-not-executable', `"${program}" can't be executed: ${reason}`);
}

const randomWords: Int32Array = new Int32Array(256);
let randomLeft = 0;

/** 32 bits from the kernel's generator, fetched by the batch. */
function randomWord(): number {
  if (randomLeft === 0) {
    randomFillSync(randomWords);
    randomLeft = randomWords.length;
  }
  return randomWords[--randomLeft]!;
}
