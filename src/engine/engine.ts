/**
 * The engine: links, graph, flows and translation, put together and moved by turns.
 *
 * A turn is a vector of everything. One poll set holds all descriptors: `turn` collects what is ready in one call, reads each ready link up to 256
 * frames in one call, runs the graph, gives payload to the host's sockets, serves the flows that owe something, sends all frames, and runs
 * the timers that are due. It never waits. Whoever drives it (`event-loop.ts`, a test, a simulation) calls it when the poll set is readable, and again as long as it
 * returns true.
 *
 * In a turn, received packets are in use from `receive` until the translators have written their payload; everything that sends by itself runs behind that.
 */
import { FLOWS_MAX_DEFAULT, FRAME_BYTES_MAX, TURN_EVENTS_MAX } from '../base/limits.ts';
import { TimerWheel } from '../base/timer-wheel.ts';
import type { CallerMap } from '../flow/caller-map.ts';
import { FlowTable } from '../flow/flow-table.ts';
import type { GuestLink } from '../flow/guest-link.ts';
import type { NameTable } from '../flow/names.ts';
import { Neighbours } from '../flow/neighbours.ts';
import type { FlowObserver, Policy } from '../flow/policy.ts';
import type { PollHandler } from '../flow/poll-handler.ts';
import { type Feature, Graph, type NodeCounters } from '../graph/graph.ts';
import { FRAME_PACKETS_MAX, type GraphNode } from '../graph/node.ts';
import type { Link } from '../link/link.ts';
import { ArpInput } from '../nodes/arp.ts';
import { DhcpInput } from '../nodes/dhcp.ts';
import { Dhcpv6Input } from '../nodes/dhcpv6.ts';
import { DnsInput, type LocalNames } from '../nodes/dns-input.ts';
import { EthernetInput } from '../nodes/ethernet-input.ts';
import { Ip4Input } from '../nodes/ip4-input.ts';
import { Ip4Reassembly } from '../nodes/ip4-reassembly.ts';
import { Ip6Input } from '../nodes/ip6-input.ts';
import { Ip6Reassembly } from '../nodes/ip6-reassembly.ts';
import { NdpInput } from '../nodes/ndp.ts';
import { Reassembly } from '../nodes/reassembly.ts';
import type { ServiceConfig } from '../nodes/service-config.ts';
import { Packets } from '../packet/packets.ts';
import { ERRNO } from '../sys/errno.ts';
import { POLL, POLL_EVENT_WORDS, POLL_OPERATION, type Sys } from '../sys/sys.ts';
import { IcmpTranslate } from '../translate/icmp.ts';
import { IcmpErrors } from '../translate/icmp-error.ts';
import { TcpTranslate } from '../translate/tcp.ts';
import { TcpListeners } from '../translate/tcp-listen.ts';
import { UdpTranslate } from '../translate/udp.ts';
import { type InterfaceCounters, InterfaceOutput } from './interface-output.ts';
import { Tokens } from './tokens.ts';

/** How often the engine looks after what has no timer of its own: reassemblies, advertisements, callers that could not be accepted. */
const HOUSEKEEPING_MS = 1000;

export interface EngineOptions {
  readonly flowsMax?: number;
  readonly policy: Policy;
  readonly callers: CallerMap;
  readonly names: NameTable;
  /** Names that only we know, and their addresses. */
  readonly localNames: LocalNames;
  /** What ARP, NDP and the DHCP servers tell the guest. */
  readonly services: ServiceConfig;
  /** Makes the observer of flows, which needs the table that they are in. */
  readonly observer: (flows: FlowTable) => FlowObserver;
  /** 32 random bits. */
  readonly random: () => number;
  /** Bytes held for hosts that do not read, all TCP flows together; `TCP_HELD_BYTES_TOTAL_MAX` unless said. */
  readonly heldBytesMax?: number;
}

interface Interface extends PollHandler {
  readonly index: number;
  readonly link: Link;
  readonly fd: number;
  readonly counters: InterfaceCounters;
  readable: boolean;
}

export class Engine {
  readonly sys: Sys;
  /** Readable when there is something to do: see `turn`. */
  readonly poll: number;
  readonly packets: Packets = new Packets();
  readonly arenaMemory: number;
  readonly flows: FlowTable;
  readonly neighbours: Neighbours = new Neighbours();
  readonly tcp: TcpTranslate;
  readonly tcpListeners: TcpListeners;
  readonly udp: UdpTranslate;
  readonly icmp: IcmpTranslate;
  readonly errors: IcmpErrors;
  /** Called when a link fails for good: its device is gone. */
  onLinkLost: (interfaceIndex: number, errno: number) => void = () => {};

  readonly #clock: { nowUs: number };
  readonly #graph: Graph;
  readonly #entry: number;
  readonly #output: InterfaceOutput;
  readonly #tokens: Tokens = new Tokens();
  readonly #timers: TimerWheel;
  readonly #timerFd: number;
  readonly #expired: Int32Array = new Int32Array(256);
  readonly #events: Int32Array = new Int32Array(TURN_EVENTS_MAX * POLL_EVENT_WORDS);
  readonly #frame: Int32Array = new Int32Array(FRAME_PACKETS_MAX);
  readonly #interfaces: Interface[] = [];
  readonly #guestLinks: (GuestLink | undefined)[] = [];
  readonly #reassembly: Reassembly = new Reassembly();
  readonly #services: { configure(config: ServiceConfig): void }[];
  readonly #ndp: NdpInput;
  #housekeepingMs: number;
  #armedMs: number = Number.POSITIVE_INFINITY;
  /** Events of the last turn. */
  #collected: number = 0;
  #closed: boolean = false;

  constructor(sys: Sys, options: EngineOptions) {
    this.sys = sys;
    this.#clock = { nowUs: sys.nowUs() };
    const nowMs = this.#clock.nowUs / 1000;
    this.#housekeepingMs = nowMs + HOUSEKEEPING_MS;
    this.poll = sys.pollCreate();
    this.arenaMemory = sys.register(this.packets.bytes);
    this.flows = new FlowTable(options.flowsMax ?? FLOWS_MAX_DEFAULT, options.random() | 0);
    this.#timers = new TimerWheel(this.flows.max, nowMs);
    this.#timerFd = this.#openTimer();
    this.#output = new InterfaceOutput(this.packets);

    const deps = {
      sys,
      poll: this.poll,
      packets: this.packets,
      arenaMemory: this.arenaMemory,
      flows: this.flows,
      timers: this.#timers,
      clock: this.#clock,
      links: this.#guestLinks,
      neighbours: this.neighbours,
      policy: options.policy,
      observer: options.observer(this.flows),
      output: this.#output,
      tokens: this.#tokens,
      names: options.names,
      random: options.random,
      ...(options.heldBytesMax === undefined ? {} : { heldBytesMax: options.heldBytesMax }),
    };
    this.errors = new IcmpErrors(deps);
    this.tcp = new TcpTranslate({ ...deps, errors: this.errors });
    this.udp = new UdpTranslate({ ...deps, errors: this.errors }, options.callers);
    this.icmp = new IcmpTranslate({ ...deps, errors: this.errors });
    this.tcpListeners = new TcpListeners(deps, this.tcp, this.neighbours, options.callers);

    const arp = new ArpInput(options.services, this.neighbours);
    const ndp = new NdpInput(options.services, this.neighbours, this.#output);
    const dhcp = new DhcpInput(options.services, this.#output);
    const dhcpv6 = new Dhcpv6Input(options.services, this.#output);
    this.#services = [arp, ndp, dhcp, dhcpv6];
    this.#ndp = ndp;
    const nodes: GraphNode[] = [
      new EthernetInput(this.#guestLinks),
      arp,
      new Ip4Input(),
      new Ip6Input(),
      new Ip4Reassembly(this.#reassembly),
      new Ip6Reassembly(this.#reassembly),
      ndp,
      dhcp,
      dhcpv6,
      this.tcp,
      this.udp,
      this.icmp.node4,
      this.icmp.node6,
      this.#output,
    ];
    const features: Feature[] = [];
    if (options.localNames.size > 0) {
      const dns = new DnsInput(options.services, options.localNames, this.#output);
      this.#services.push(dns);
      nodes.unshift(dns);
      features.push({ before: 'udp-input', node: dns.name });
    }
    this.#graph = new Graph(nodes, features);
    this.#entry = this.#graph.indexOf('ethernet-input');
  }

  /** Adds a link that a guest sits behind; its descriptor is polled with the returned token. `guest.index` must be the next free index. */
  addLink(link: Link, fd: number, guest: GuestLink): void {
    const counters = this.#output.add(guest.index, link);
    const entry: Interface = {
      index: guest.index,
      link,
      fd,
      counters,
      readable: true,
      ready: () => {
        entry.readable = true;
      },
    };
    this.#interfaces[guest.index] = entry;
    this.#guestLinks[guest.index] = guest;
    this.sys.pollControl(this.poll, POLL_OPERATION.ADD, fd, POLL.IN, this.#tokens.allocate(entry));
  }

  /** Changes what the guest is told, from the next question on. */
  configureServices(config: ServiceConfig): void {
    for (const service of this.#services) service.configure(config);
  }

  /**
   * Does what there is to do now, or comes up within `spinUs`. Returns true when there is more, which can be done at once: then the poll set need
   * not be readable.
   */
  turn(spinUs: number = 0): boolean {
    if (this.#closed) return false;
    const newest = this.flows.opened;
    const collected = this.sys.pollCollect(this.poll, this.#events, TURN_EVENTS_MAX, spinUs);
    this.#clock.nowUs = this.sys.nowUs();
    this.#collected = collected;
    let more = collected === TURN_EVENTS_MAX;
    for (let i = 0; i < collected; i++) {
      const token = this.#events[i * POLL_EVENT_WORDS + 1]!;
      if (token < 0) this.#tokens.dispatch(this.#events[i * POLL_EVENT_WORDS]!, token);
    }
    // Shared sockets may have filled the arena, which the links are read into.
    this.#output.flush();
    for (let i = 0; i < this.#interfaces.length; i++) {
      if (this.#receive(this.#interfaces[i]!)) more = true;
    }
    for (let i = 0; i < collected; i++) {
      const token = this.#events[i * POLL_EVENT_WORDS + 1]!;
      // An event was collected for who held the number then: a flow that has taken it since has none of its own yet.
      if (token < 0 || this.flows.id[token >> 1]! > newest) continue;
      this.#hostReady(token >> 1, this.#events[i * POLL_EVENT_WORDS]!);
    }
    if (this.tcp.service()) more = true;
    this.#output.flush();
    if (this.#runTimers()) more = true;
    if (!more) this.#armTimer();
    return more;
  }

  /** Whether the last turn found nothing ready. */
  get idle(): boolean {
    return this.#collected <= 0;
  }

  /** Timers of flows that are set. */
  get timers(): number {
    return this.#timers.count;
  }

  /** What each node of the graph has counted. */
  nodeCounters(): NodeCounters[] {
    return this.#graph.counters();
  }

  interfaceCounters(interfaceIndex: number): InterfaceCounters {
    return this.#interfaces[interfaceIndex]!.counters;
  }

  /** Ends all flows and closes every descriptor. */
  close(): void {
    if (this.#closed) return;
    this.tcp.closeAll();
    this.udp.closeAll();
    this.icmp.closeAll();
    this.tcpListeners.closeAll();
    this.#output.flush();
    this.#closed = true;
    for (const entry of this.#interfaces) entry.link.close();
    this.sys.close(this.#timerFd);
    this.sys.close(this.poll);
  }

  /** Reads one link and sends what it had through the graph. Returns whether it may have more. */
  #receive(entry: Interface): boolean {
    if (!entry.readable) return false;
    const frame = this.#frame;
    const got = entry.link.receive(this.packets, frame, FRAME_PACKETS_MAX);
    if (got <= 0) {
      entry.readable = false;
      if (got < 0 && got !== -ERRNO.EINTR) this.#lose(entry, -got);
      return false;
    }
    // A link that had less than there was room for has no more: the poll set says when it has.
    entry.readable = got === FRAME_PACKETS_MAX || !this.packets.hasRoom(FRAME_BYTES_MAX);
    const { rxInterface, length } = this.packets;
    for (let i = 0; i < got; i++) {
      rxInterface[frame[i]!] = entry.index;
      entry.counters.rxBytes += length[frame[i]!]!;
    }
    entry.counters.rxPackets += got;
    this.#graph.run(this.#entry, this.packets, frame, got);
    this.tcp.writePayloads();
    this.#output.flush();
    return entry.readable;
  }

  /** The link's device is gone, and would be reported as ready for ever. */
  #lose(entry: Interface, errno: number): void {
    this.sys.pollControl(this.poll, POLL_OPERATION.REMOVE, entry.fd, 0, 0);
    this.onLinkLost(entry.index, errno);
  }

  #hostReady(flow: number, events: number): void {
    const protocol = this.flows.protocol(flow);
    if (protocol === PROTOCOL.TCP) this.tcp.hostReady(flow, events);
    else if (protocol === PROTOCOL.UDP) this.udp.hostReady(flow, events);
    else this.icmp.hostReady(flow, events);
  }

  #timerExpired(flow: number): void {
    const protocol = this.flows.protocol(flow);
    if (protocol === PROTOCOL.TCP) this.tcp.timerExpired(flow);
    else if (protocol === PROTOCOL.UDP) this.udp.timerExpired(flow, this.#clock.nowUs);
    else this.icmp.timerExpired(flow, this.#clock.nowUs);
  }

  /** Runs the timers that are due, and what flows come to owe by them. Returns whether there is more of either. */
  #runTimers(): boolean {
    const nowMs = this.#clock.nowUs / 1000;
    const count = this.#timers.advance(nowMs, this.#expired);
    for (let i = 0; i < count; i++) {
      this.#timerExpired(this.#expired[i]!);
    }
    if (nowMs >= this.#housekeepingMs) this.#keepHouse(nowMs);
    if (count === 0) return false;
    const more = this.tcp.service();
    this.#output.flush();
    return more || count === this.#expired.length;
  }

  #keepHouse(nowMs: number): void {
    this.#housekeepingMs = nowMs + HOUSEKEEPING_MS;
    this.#reassembly.expire(nowMs);
    this.tcpListeners.retry();
    for (const entry of this.#interfaces) this.#ndp.advertise(this.packets, entry.index, nowMs);
    this.#output.flush();
  }

  #openTimer(): number {
    const fd = this.sys.timerCreate();
    const memory = new Uint8Array(8);
    const memoryId = this.sys.register(memory);
    const ready = (): void => {
      this.sys.read(fd, memoryId, 0, 8);
      this.#armedMs = Number.POSITIVE_INFINITY;
    };
    this.sys.pollControl(this.poll, POLL_OPERATION.ADD, fd, POLL.IN, this.#tokens.allocate({ ready }));
    return fd;
  }

  /** Makes the poll set readable when the next timer is due. An earlier alarm is left: it costs one idle turn, moving it a system call in each. */
  #armTimer(): void {
    const next = Math.min(this.#timers.nextDeadlineMs(), this.#housekeepingMs);
    if (next >= this.#armedMs) return;
    this.#armedMs = next;
    const delayUs = Math.max(1, Math.ceil(next * 1000 - this.#clock.nowUs));
    this.sys.timerSet(this.#timerFd, delayUs);
  }
}

const PROTOCOL = { TCP: 6, UDP: 17 } as const;
