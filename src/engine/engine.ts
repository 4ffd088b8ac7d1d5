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
import { ARENA_BYTES, FLOWS_MAX_DEFAULT, FRAME_BYTES_MAX, PACKETS_MAX, TURN_EVENTS_MAX } from '../base/limits.ts';
import { TimerWheel } from '../base/timer-wheel.ts';
import type { CallerMap } from '../flow/caller-map.ts';
import { Congestion, type LinkTowards } from '../flow/congestion.ts';
import { FlowTable } from '../flow/flow-table.ts';
import type { GuestLink } from '../flow/guest-link.ts';
import type { NameTable } from '../flow/names.ts';
import type { FlowObserver, Policy } from '../flow/policy.ts';
import type { PollHandler } from '../flow/poll-handler.ts';
import { Graph, type NodeCounters } from '../graph/graph.ts';
import { FRAME_PACKETS_MAX, type Output } from '../graph/node.ts';
import type { Link } from '../link/link.ts';
import { Reassembly } from '../nodes/reassembly.ts';
import { type Packet, Packets } from '../packet/packets.ts';
import { ERRNO } from '../sys/errno.ts';
import { POLL, POLL_EVENT_WORDS, POLL_OPERATION, type Sys } from '../sys/sys.ts';
import { IcmpTranslate } from '../translate/icmp.ts';
import { IcmpErrors } from '../translate/icmp-error.ts';
import { TcpTranslate } from '../translate/tcp.ts';
import { TcpListeners } from '../translate/tcp-listen.ts';
import { UdpTranslate } from '../translate/udp.ts';
import { type InterfaceCounters, InterfaceOutput } from './interface-output.ts';
import { MANY_INTERFACES, type Queue } from './queue.ts';
import { Tokens } from './tokens.ts';
import { TurnTimer } from './turn-timer.ts';
import type { Wiring } from './wiring.ts';

/** How often the engine looks after what has no timer of its own: reassemblies, advertisements, callers that could not be accepted. */
const HOUSEKEEPING_MS = 1000;

export interface EngineOptions {
  readonly flowsMax?: number;
  readonly policy: Policy;
  readonly callers: CallerMap;
  readonly names: NameTable;
  /** The nodes of the graph: each engine has a wiring of its own. */
  readonly wiring: Wiring;
  /** Makes the observer of flows, which needs the table that they are in. */
  readonly observer: (flows: FlowTable) => FlowObserver;
  /** 32 random bits. */
  readonly random: () => number;
  /** Bytes held for hosts that do not read, all TCP flows together; `TCP_HELD_BYTES_TOTAL_MAX` unless said. */
  readonly heldBytesMax?: number;
  /** Bytes behind the arena, in the same memory, for who needs arenas of his own there: `link/software-offload.ts`. */
  readonly extraBytes?: number;
}

export class Engine {
  readonly sys: Sys;
  /** Readable when there is something to do: see `turn`. */
  readonly poll: number;
  /** The arena, and `extraBytes` behind it; registered with `sys` as `arenaMemory`. */
  readonly memory: Uint8Array;
  readonly packets: Packets;
  readonly arenaMemory: number;
  readonly flows: FlowTable;
  readonly tcp: TcpTranslate;
  readonly tcpListeners: TcpListeners;
  readonly udp: UdpTranslate;
  readonly icmp: IcmpTranslate;
  readonly errors: IcmpErrors;
  /** Since the beginning. */
  turns: number = 0;
  /** Called when a link fails for good: its device is gone. */
  onLinkLost: (interfaceIndex: number, errno: number) => void = () => {};

  readonly graph: Graph;
  /** For sockets that belong to no flow, such as spliced ones. */
  readonly tokens: Tokens = new Tokens();
  /** When the turn began. */
  readonly clock: { nowUs: number };
  /** Called once a second, between turns' other work. */
  onSecond: () => void = () => {};

  readonly #entry: number;
  readonly #output: Output;
  readonly #interfaceOutput: InterfaceOutput;
  readonly #wiring: Wiring;
  readonly #timers: TimerWheel;
  readonly #timer: TurnTimer;
  readonly #expired: Int32Array = new Int32Array(256);
  readonly #events: Int32Array = new Int32Array(TURN_EVENTS_MAX * POLL_EVENT_WORDS);
  readonly #frame: Int32Array = new Int32Array(FRAME_PACKETS_MAX);
  readonly #queues: Queue[] = [];
  /** Those that may have frames, in the order in which they were told to: the first `#readableCount`. To shorten an array is a call into V8's runtime. */
  readonly #readable: Queue[] = [];
  #readableCount: number = 0;
  readonly #guestLinks: (GuestLink | undefined)[] = [];
  readonly #reassembly: Reassembly = new Reassembly();
  readonly #congestion: Congestion;
  readonly #linkTowards: LinkTowards;
  #housekeepingMs: number;
  /** Events of the last turn. */
  #collected: number = 0;
  #closed: boolean = false;

  constructor(sys: Sys, options: EngineOptions) {
    this.sys = sys;
    this.clock = { nowUs: sys.nowUs() };
    const nowMs = this.clock.nowUs / 1000;
    this.#housekeepingMs = nowMs + HOUSEKEEPING_MS;
    this.poll = sys.pollCreate();
    this.memory = new Uint8Array(ARENA_BYTES + (options.extraBytes ?? 0));
    this.packets = new Packets(ARENA_BYTES, PACKETS_MAX, this.memory);
    this.arenaMemory = sys.register(this.memory);
    this.flows = new FlowTable(options.flowsMax ?? FLOWS_MAX_DEFAULT, options.random() | 0);
    this.#timers = new TimerWheel(this.flows.max, nowMs);
    this.#timer = new TurnTimer(sys, this.poll, this.tokens);
    this.#interfaceOutput = new InterfaceOutput(this.packets, (index) => this.#block(index));
    this.#wiring = options.wiring;
    const base = {
      packets: this.packets,
      clock: this.clock,
      interfaceOutput: this.#interfaceOutput,
      guestLinks: this.#guestLinks,
    };
    const { output, neighbours, linkTowards } = this.#wiring.begin(base);
    this.#output = output;
    this.#linkTowards = linkTowards;
    this.#congestion = new Congestion(this.flows, linkTowards);

    const deps = {
      sys,
      poll: this.poll,
      packets: this.packets,
      arenaMemory: this.arenaMemory,
      flows: this.flows,
      timers: this.#timers,
      clock: this.clock,
      links: this.#guestLinks,
      neighbours,
      policy: options.policy,
      observer: options.observer(this.flows),
      output,
      tokens: this.tokens,
      congestion: this.#congestion,
      names: options.names,
      random: options.random,
      ...(options.heldBytesMax === undefined ? {} : { heldBytesMax: options.heldBytesMax }),
    };
    this.errors = new IcmpErrors(deps);
    this.tcp = new TcpTranslate({ ...deps, errors: this.errors });
    this.udp = new UdpTranslate({ ...deps, errors: this.errors }, options.callers);
    this.icmp = new IcmpTranslate({ ...deps, errors: this.errors });
    this.tcpListeners = new TcpListeners(deps, this.tcp, neighbours, options.callers);
    const translators = [this.tcp, this.udp, this.icmp.node4, this.icmp.node6];
    const { nodes, features } = this.#wiring.wire({ ...base, reassembly: this.#reassembly, translators });
    this.graph = new Graph(nodes, features, sys);
    this.#entry = this.graph.indexOf('ethernet-input');
  }

  /** Adds the link of an interface, whose descriptor is polled, and a guest behind it where there is one. The index has never had another. */
  addLink(link: Link, fd: number, guest: GuestLink): void {
    this.addInterface(guest.index, link);
    this.addQueue(guest.index, link, fd);
    this.setGuestLink(guest.index, guest);
  }

  /** Adds an interface: what leaves by it is given to `link`. */
  addInterface(interfaceIndex: number, link: Link): InterfaceCounters {
    return this.#interfaceOutput.add(interfaceIndex, link);
  }

  /** One more descriptor that frames of an interface come by. */
  addQueue(interfaceIndex: number, link: Link, fd: number): void {
    const counters = this.#interfaceOutput.counters(interfaceIndex);
    const handler: PollHandler = { ready: (events) => this.#queueReady(queue, events) };
    const token = this.tokens.allocate(handler);
    const queue: Queue = {
      index: interfaceIndex,
      link,
      fd,
      token,
      counters,
      readable: false,
      polled: false,
      ready: handler.ready,
    };
    this.#queues.push(queue);
    this.#becomeReadable(queue);
    this.sys.pollControl(this.poll, POLL_OPERATION.ADD, fd, POLL.IN, token);
  }

  /** There is something to read though no descriptor says so. May be called within a turn. */
  wake(interfaceIndex: number): void {
    for (const queue of this.#queues) if (queue.index === interfaceIndex) this.#becomeReadable(queue);
  }

  /** Whether the links of an interface are read in each turn, which then always says that there is more: for links that do not tell when they have frames. */
  setPolled(interfaceIndex: number, polled: boolean): void {
    for (const queue of this.#queues) if (queue.index === interfaceIndex) queue.polled = polled;
    this.wake(interfaceIndex);
  }

  /** Looks again at callers of published ports that have been waiting. */
  retryCallers(): void {
    this.tcpListeners.retry();
    this.udp.retry();
  }

  /** One descriptor less that frames of an interface come by; its link is the caller's to close. Between turns, or from `onLinkLost`. */
  removeQueue(interfaceIndex: number, fd: number): void {
    const queue = this.#queues.find((each) => each.index === interfaceIndex && each.fd === fd);
    if (queue !== undefined) this.#removeQueue(queue);
  }

  /** Calls `ready` with the events of a descriptor, within a turn, until the returned function is called. Errors and hang-ups are among them, asked for or not. */
  watch(fd: number, events: number, ready: (events: number) => void): () => void {
    const token = this.tokens.allocate({ ready });
    this.sys.pollControl(this.poll, POLL_OPERATION.ADD, fd, events, token);
    return () => {
      this.sys.pollControl(this.poll, POLL_OPERATION.REMOVE, fd, 0, 0);
      this.tokens.release(token);
    };
  }

  /** Who is behind an interface, for the flows there; undefined: nobody any more. */
  setGuestLink(interfaceIndex: number, guest: GuestLink | undefined): void {
    this.#guestLinks[interfaceIndex] = guest;
  }

  /** Whether frames leave by an interface; those for one that is down are counted as errors. */
  setUp(interfaceIndex: number, up: boolean): void {
    this.#interfaceOutput.setUp(interfaceIndex, up);
  }

  /** Takes an interface away, with its flows, and closes its links. Between turns only. */
  removeInterface(interfaceIndex: number): void {
    this.closeFlows(interfaceIndex);
    const link = this.#interfaceOutput.remove(interfaceIndex);
    for (const queue of this.#queues.filter(({ index }) => index === interfaceIndex)) {
      this.#removeQueue(queue);
      if (queue.link !== link) queue.link.close();
    }
    this.#guestLinks[interfaceIndex] = undefined;
    link?.close();
  }

  /** Ends the flows of an interface; -1: all. Between turns only. */
  closeFlows(interfaceIndex: number): void {
    this.tcp.closeAll(interfaceIndex);
    this.udp.closeFlows(interfaceIndex);
    this.icmp.closeAll(interfaceIndex);
    this.#output.flush();
  }

  /**
   * Does what there is to do now, or comes up within `spinUs`. Returns true when there is more, which can be done at once: then the poll set need
   * not be readable.
   */
  turn(spinUs: number = 0): boolean {
    if (this.#closed) return false;
    this.turns++;
    const newest = this.flows.opened;
    const collected = this.sys.pollCollect(this.poll, this.#events, TURN_EVENTS_MAX, spinUs);
    this.clock.nowUs = this.sys.nowUs();
    this.#collected = collected;
    let more = collected === TURN_EVENTS_MAX;
    for (let i = 0; i < collected; i++) {
      const token = this.#events[i * POLL_EVENT_WORDS + 1]!;
      if (token < 0) this.tokens.dispatch(this.#events[i * POLL_EVENT_WORDS]!, token);
    }
    // Shared sockets may have filled the arena, which the links are read into.
    this.#output.flush();
    if (this.#receiveAll()) more = true;
    for (let i = 0; i < collected; i++) {
      const token = this.#events[i * POLL_EVENT_WORDS + 1]!;
      // An event was collected for who held the number then: a flow that has taken it since has none of its own yet.
      if (token < 0 || this.flows.id[token >> 1]! > newest) continue;
      this.#hostReady(token >> 1, this.#events[i * POLL_EVENT_WORDS]!);
    }
    if (this.tcp.service()) more = true;
    this.#output.flush();
    if (this.#runTimers()) more = true;
    if (this.#readableCount > 0) more = true;
    if (!more) this.#armTimer();
    return more;
  }

  /** Sends a packet of our own, made in the arena since the last turn, through the graph from a node on. Between turns only. */
  send(packet: Packet, node: string): void {
    this.clock.nowUs = this.sys.nowUs();
    this.#frame[0] = packet;
    this.graph.run(this.graph.indexOf(node), this.packets, this.#frame, 1);
    this.#finishFrame();
  }

  /** Whether the last turn found nothing ready. */
  get idle(): boolean {
    return this.#collected <= 0;
  }

  /** Bytes that links with a distant other side have carried since the beginning. */
  get distantBytes(): number {
    return this.#interfaceOutput.distantBytes;
  }

  /** Timers of flows that are set. */
  get timers(): number {
    return this.#timers.count;
  }

  /** What each node of the graph has counted. */
  nodeCounters(): NodeCounters[] {
    return this.graph.counters();
  }

  interfaceCounters(interfaceIndex: number): Readonly<InterfaceCounters> {
    return this.#interfaceOutput.counters(interfaceIndex);
  }

  /** Counts frames that another thread did not get rid of by the interface's link. */
  countLost(interfaceIndex: number, frames: number): void {
    this.#interfaceOutput.counters(interfaceIndex).txErrors += frames;
  }

  clearInterfaceCounters(): void {
    this.#interfaceOutput.clearCounters();
    this.graph.clearInterfaceDrops();
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
    const links = [...this.#queues.map(({ link }) => link), ...this.#interfaceOutput.removeAll()];
    for (const link of new Set(links)) link.close();
    this.#timer.close();
    this.sys.close(this.poll);
  }

  #queueReady(queue: Queue, events: number): void {
    if (this.#congestion.isCongested(queue.index) && (queue.link.drain?.() ?? true)) this.#unblock(queue);
    if ((events & ~POLL.OUT) !== 0) this.#becomeReadable(queue);
  }

  /** The interface's other side takes no more for now: its flows wait until its descriptor is writable. */
  #block(interfaceIndex: number): void {
    // That of a sub-interface is its parent's.
    const link = this.#linkTowards(interfaceIndex, 0, 0);
    if (this.#congestion.isCongested(link)) return;
    const queue = this.#queues.find(({ index }) => index === link);
    if (queue === undefined) return;
    this.#congestion.set(link, true);
    this.sys.pollControl(this.poll, POLL_OPERATION.MODIFY, queue.fd, POLL.IN | POLL.OUT, queue.token);
  }

  #unblock(queue: Queue): void {
    this.sys.pollControl(this.poll, POLL_OPERATION.MODIFY, queue.fd, POLL.IN, queue.token);
    this.#resume(queue.index);
  }

  /** What was kept for its other side is gone: flows go on. */
  #resume(interfaceIndex: number): void {
    this.#congestion.set(interfaceIndex, false);
    this.tcp.resume(interfaceIndex);
  }

  #becomeReadable(queue: Queue): void {
    if (queue.readable) return;
    queue.readable = true;
    this.#readable[this.#readableCount++] = queue;
  }

  /** Reads each link that may have frames, once. Returns whether one may have more. */
  #receiveAll(): boolean {
    const readable = this.#readable;
    let left = 0;
    for (let i = 0; i < this.#readableCount; i++) {
      const queue = readable[i]!;
      if (queue.readable) queue.readable = this.#receive(queue);
      if (queue.readable) readable[left++] = queue;
    }
    this.#readableCount = left;
    return left > 0;
  }

  /** Reads one link and sends what it had through the graph. Returns whether it may have more. */
  #receive(queue: Queue): boolean {
    const frame = this.#frame;
    const got = queue.link.receive(this.packets, frame, FRAME_PACKETS_MAX);
    if (got <= 0) {
      const isLost = got < 0 && got !== -ERRNO.EINTR;
      if (isLost) this.#lose(queue, -got);
      return queue.polled && !isLost;
    }
    // A link that had less than there was room for has no more: the poll set says when it has.
    const readable = queue.polled || got === FRAME_PACKETS_MAX || !this.packets.hasRoom(FRAME_BYTES_MAX);
    if (queue.index !== MANY_INTERFACES) this.#enter(queue, got);
    this.graph.run(this.#entry, this.packets, frame, got);
    this.#finishFrame();
    return readable;
  }

  /** Notes where the packets of `#frame` came in, and counts them. */
  #enter({ index, counters }: Queue, count: number): void {
    const frame = this.#frame;
    const { rxInterface, length } = this.packets;
    let bytes = 0;
    for (let i = 0; i < count; i++) {
      rxInterface[frame[i]!] = index;
      bytes += length[frame[i]!]!;
    }
    counters.rxBytes += bytes;
    counters.rxPackets += count;
    this.#interfaceOutput.touch(index, bytes);
  }

  /** A frame has gone through the graph: sends what came of it, and what that set free. */
  #finishFrame(): void {
    this.tcp.writePayloads();
    while (this.#wiring.settle(this.graph)) this.#output.flush();
    this.#output.flush();
  }

  /** The link's device is gone, and would be reported as ready for ever. */
  #lose(queue: Queue, errno: number): void {
    this.sys.pollControl(this.poll, POLL_OPERATION.REMOVE, queue.fd, 0, 0);
    this.onLinkLost(queue.index, errno);
  }

  #removeQueue(queue: Queue): void {
    this.sys.pollControl(this.poll, POLL_OPERATION.REMOVE, queue.fd, 0, 0);
    this.tokens.release(queue.token);
    this.#queues.splice(this.#queues.indexOf(queue), 1);
    if (this.#congestion.isCongested(queue.index)) this.#resume(queue.index);
    // Its place in the list, which may be gone through just now, is given up there.
    queue.readable = false;
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
    else if (protocol === PROTOCOL.UDP) this.udp.timerExpired(flow, this.clock.nowUs);
    else this.icmp.timerExpired(flow, this.clock.nowUs);
  }

  /** Runs the timers that are due, and what flows come to owe by them. Returns whether there is more of either. */
  #runTimers(): boolean {
    const nowMs = this.clock.nowUs / 1000;
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
    this.retryCallers();
    this.onSecond();
    this.#wiring.keepHouse(nowMs);
    this.#finishFrame();
  }

  #armTimer(): void {
    this.#timer.arm(Math.min(this.#timers.nextDeadlineMs(), this.#housekeepingMs), this.clock.nowUs);
  }
}

const PROTOCOL = { TCP: 6, UDP: 17 } as const;
