/**
 * What every session has on the host's side, whoever its guest is: the plan of the guest's network, an engine with the policy of the host, published ports, a capture,
 * and resolvers that are followed. `run-session.ts` puts a command with a tap in front of it, `guest-session.ts` a virtual machine.
 *
 * Steps come in the order of the methods. What is made is closed by `closers`.
 */
import { equalAddress, IpAddress, isIpv4 } from '../base/address.ts';
import { assert } from '../base/assert.ts';
import { DATAGRAM_LISTENERS_MAX } from '../base/limits.ts';
import { failure, type Result, success } from '../base/result.ts';
import { HostPolicy } from '../flow/host-policy.ts';
import { NameTable } from '../flow/names.ts';
import { CaptureLink } from '../link/capture.ts';
import type { Link } from '../link/link.ts';
import { ERRNO, errnoName } from '../sys/errno.ts';
import { type GuestNetwork, planGuestNetwork } from '../sys/guest-network.ts';
import { type HostNetwork, readHostNetwork } from '../sys/host-network.ts';
import type { LinuxSys } from '../sys/linux.ts';
import { startRawSocketServer } from '../sys/raw-socket-server.ts';
import { RESOLV_CONF_PATH, type ResolvConf, readResolvConf, watchResolvConf } from '../sys/resolv-conf.ts';
import type { Sys } from '../sys/sys.ts';
import { openClassicPcapFile } from './classic-pcap-file.ts';
import type { Closers } from './closers.ts';
import { detailedOverrides, planDetailed, shownHost } from './detailed-network.ts';
import { Engine } from './engine.ts';
import type { FlowSink } from './flow-record.ts';
import { FlowReporter } from './flow-reporter.ts';
import type { Forwards } from './forwards.ts';
import { GuestWiring } from './guest-wiring.ts';
import { ANYWHERE, prepareOutbound } from './outbound-sys.ts';
import { PacketLines } from './packet-lines.ts';
import { openPcapFile, type PcapFile } from './pcap-file.ts';
import { openPublished, type PublishedSocket } from './publish.ts';
import { randomWord } from './random-word.ts';
import { ResolverWatch } from './resolver-watch.ts';
import type { PublishRule, RunOptions } from './run-options.ts';
import { HOST_NAME, planSession, type SessionNetwork } from './session-network.ts';
import { formatEndpoint } from './text.ts';

export type LogLevel = 'error' | 'warning' | 'info' | 'debug';

export interface SessionHooks {
  readonly flowSinks: readonly FlowSink[];
  log(level: LogLevel, message: string): void;
  /** A rule's socket is open: `address` and `port` are the host's. */
  published(rule: PublishRule, address: IpAddress, port: number): void;
  /** What is forwarded, if something is: it can be changed from here on. A failure ends the session; what is returned is closed with it. */
  forwarding?(forwards: Forwards): Result<{ close(): void } | undefined>;
  /** Nothing more will need the rights that we started with: they can be given up. A failure ends the session. */
  prepared?(): Result<void>;
  /** Packets move from here on. */
  ready?(engine: Engine): void;
  /** A frame came from the guest or goes to it, as a line. */
  packet?(line: string): void;
}

/** The engine's number of the interface that the guest is behind. */
export const GUEST_INTERFACE = 0;
/** Program and version, for files that name their maker. */
const APPLICATION = 'tapster';

export class SessionHost {
  readonly options: RunOptions;
  readonly guest: GuestNetwork;
  readonly network: SessionNetwork;
  readonly policy: HostPolicy;
  readonly wiring: GuestWiring;
  readonly #hooks: SessionHooks;
  readonly #closers: Closers;
  readonly #sys: LinuxSys;
  readonly #host: HostNetwork;
  readonly #toOutbound: (sys: Sys) => Sys;
  readonly #names: NameTable = new NameTable();
  readonly #sinks: FlowSink[];
  /** The host's, as the network was planned with. */
  readonly #resolvConf: ResolvConf;
  #reporter: FlowReporter | undefined;
  /** Published sockets that the engine does not have yet. */
  #published: PublishedSocket[] = [];

  private constructor(
    sys: LinuxSys,
    options: RunOptions,
    hooks: SessionHooks,
    closers: Closers,
    host: HostNetwork,
    guest: GuestNetwork,
    toOutbound: (sys: Sys) => Sys,
  ) {
    this.#sys = sys;
    this.options = options;
    this.#hooks = hooks;
    this.#closers = closers;
    this.#host = host;
    this.#toOutbound = toOutbound;
    this.guest = guest;
    this.#sinks = [...hooks.flowSinks];
    this.#resolvConf = readResolvConf();
    this.network = this.#planNetwork(this.#resolvConf);
    const { policy, services, hostAddresses } = this.network;
    for (const { w0, w1, w2, w3 } of policy.loopbackAddresses) this.#names.add(HOST_NAME, w0, w1, w2, w3);
    this.policy = new HostPolicy(policy);
    const hostNames = hostAddresses.length > 0 ? [[HOST_NAME, hostAddresses] as const] : [];
    this.wiring = new GuestWiring({ services, localNames: new Map(hostNames) });
  }

  /** Looks at the host, and plans what the guest gets. */
  static plan(sys: LinuxSys, options: RunOptions, hooks: SessionHooks, closers: Closers): Result<SessionHost> {
    const { details } = options;
    const read = readHostNetwork(details?.hostInterface);
    if (!read.ok) return read;
    const host = details === undefined ? read.value : shownHost(read.value, details);
    const overrides = details === undefined ? options : detailedOverrides(options, host);
    const guest = planGuestNetwork(host, overrides);
    const free = checkHostLoopback(options, guest);
    if (!free.ok) return free;
    const outbound = prepareOutbound(details?.outbound ?? ANYWHERE);
    if (!outbound.ok) return outbound;
    return success(new SessionHost(sys, options, hooks, closers, host, guest, outbound.value));
  }

  /** Opens the sockets of published ports. Nobody is accepted before `addPublished`. */
  openPublished(): Result<void> {
    const families = { ipv4: this.guest.ipv4Gateway !== undefined, ipv6: this.guest.ipv6Gateway !== undefined };
    const opened = openPublished(this.#sys, this.options.publish, families);
    if (!opened.ok) return opened;
    this.#published = opened.value;
    this.#closers.add(() => {
      for (const { fd } of this.#published) this.#sys.close(fd);
    });
    for (const { rule, address, port } of opened.value) this.#hooks.published(rule, address, port);
    return success(undefined);
  }

  /** An engine without a link, which the caller closes as long as it has none, with `extraBytes` in its memory for who needs them there. */
  makeEngine(extraBytes: number = 0): Engine {
    const sys = this.#engineSys();
    const engine = new Engine(sys, {
      flowsMax: this.options.flowsMax,
      policy: this.policy,
      callers: this.policy,
      names: this.#names,
      wiring: this.wiring,
      observer: (flows) => {
        this.#reporter = new FlowReporter(flows, this.#names, this.#sinks, () => sys.nowUs());
        return new ResolverWatch(flows, this.policy, this.#reporter);
      },
      random: randomWord,
      extraBytes,
    });
    this.wiring.onGuestSettled = () => engine.retryCallers();
    return engine;
  }

  /**
   * Puts the guest's link behind its interface: the link to read from, which may be one around it. The engine owns it from here on, and is closed with the session; after a
   * failure both are closed.
   */
  addLink(engine: Engine, link: Link, comment: string): Result<Link> {
    const captured = this.#capture(engine, link, comment);
    if (!captured.ok) {
      link.close();
      engine.close();
      return captured;
    }
    // Before the capture's file: ends of flows belong in it.
    this.#closers.add(() => engine.close());
    engine.addInterface(GUEST_INTERFACE, captured.value);
    const { ourMac } = this.network.services;
    engine.setGuestLink(GUEST_INTERFACE, {
      index: GUEST_INTERFACE,
      mtu: this.guest.mtu,
      ourMacHigh: ourMac.high,
      ourMacLow: ourMac.low,
      // As it is at each frame: a machine that is plugged in settles it later.
      get offload() {
        return link.unfinished ?? link.offload;
      },
    });
    return captured;
  }

  /** Callers of published ports are accepted from here on. */
  addPublished(engine: Engine): Result<void> {
    for (let socket = this.#published.shift(); socket !== undefined; socket = this.#published.shift()) {
      const { rule, fd, address, port, guestPort } = socket;
      const ipv4 = isIpv4(address);
      const to = this.guest.addresses.find((each) => isIpv4(each.address) === ipv4)?.address;
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

  /** New resolvers of the host are asked from the next question on; `changed` hears of them. */
  followResolvConf(changed: (resolvConf: ResolvConf) => void): void {
    if (this.options.dns === 'none' && this.options.details === undefined) return;
    const follow = (resolvConf: ResolvConf): void => {
      const network = this.#planNetwork(resolvConf);
      this.policy.configure(network.policy);
      this.wiring.configure(network.services);
      changed(resolvConf);
    };
    const watcher = watchResolvConf(follow, RESOLV_CONF_PATH, this.#resolvConf);
    this.#closers.add(() => watcher.close());
  }

  #planNetwork(resolvConf: ResolvConf): SessionNetwork {
    const { details } = this.options;
    if (details === undefined) return planSession(this.options, this.#host, this.guest, resolvConf);
    return planDetailed(this.options, details, this.#host, this.guest, resolvConf);
  }

  /** In the sandbox, raw sockets come from a process that is not in it. */
  #engineSys(): Sys {
    const { sandbox, icmp } = this.options;
    const server = sandbox && icmp ? startRawSocketServer(this.#sys) : undefined;
    if (server !== undefined) this.#closers.add(() => server.close());
    return this.#toOutbound(server?.sys ?? this.#sys);
  }

  #capture(engine: Engine, link: Link, comment: string): Result<Link> {
    const { packet, log } = this.#hooks;
    const shown = packet === undefined ? link : new CaptureLink(link, new PacketLines(packet));
    const { pcapPath: path, classicPcap } = this.options;
    if (path === undefined) return success(shown);
    const report = (message: string): void => log('warning', message);
    if (classicPcap === true) {
      const classic = openClassicPcapFile(path, report);
      if (!classic.ok) return classic;
      this.#closers.add(() => classic.value.close());
      return success(new CaptureLink(shown, classic.value));
    }
    const opened = openPcapFile(
      path,
      { interfaceName: link.name, application: APPLICATION, comment },
      { ids: engine.flows.id, describe: (flow) => this.#reporter!.record(flow) },
      report,
    );
    if (!opened.ok) return opened;
    const file: PcapFile = opened.value;
    this.#sinks.push(file);
    this.#closers.add(() => file.close());
    return success(new CaptureLink(shown, file));
  }
}

/** An address of the guest's own never leaves it. */
function checkHostLoopback({ hostLoopback }: RunOptions, guest: GuestNetwork): Result<void> {
  if (!(hostLoopback instanceof IpAddress)) return success(undefined);
  if (!guest.addresses.some((each) => equalAddress(each.address, hostLoopback))) return success(undefined);
  return failure(
    'host-loopback-taken',
    `--host-loopback ${hostLoopback}: the command has this address itself; choose one that nobody has, or leave it out for the gateway's`,
  );
}
