/**
 * What a worker does with frames: reads the queues that are placed on it, sends on what its copy of the tables decides, and hands everything else to the main thread, as it
 * came, by a ring.
 *
 *     ethernet-input -> bridge-input (between stations that are known) -> interface-output
 *                    -> ip4-input -> ip4-lookup -> ip4-rewrite         -> interface-output
 *                    -> ip6-input -> ip6-lookup -> ip6-rewrite         -> interface-output
 *
 * These are the nodes of the main graph but for `bridge-input`, and every other node that they lead to is a `Punt`. A packet is punted before anything has been done to it that
 * may not be done twice. An arena of its own, and its own copy of each tap's link around the same descriptors, keep it from sharing anything but the ring.
 */
import {
  ARENA_BYTES,
  FRAME_BYTES_MAX,
  JOIN_ARENA_BYTES,
  PACKETS_MAX,
  SEGMENT_ARENA_BYTES,
  TAG_ARENA_BYTES,
  TURN_EVENTS_MAX,
} from '../base/limits.ts';
import type { Driven } from '../engine/event-loop.ts';
import { InterfaceOutput } from '../engine/interface-output.ts';
import { randomWord } from '../engine/random-word.ts';
import { type Feature, Graph } from '../graph/graph.ts';
import { FRAME_PACKETS_MAX, type GraphNode } from '../graph/node.ts';
import { Coalesce } from '../link/coalesce.ts';
import { SoftwareOffload } from '../link/software-offload.ts';
import { TapLink } from '../link/tap.ts';
import { VlanLink } from '../link/vlan.ts';
import { BridgeForward } from '../nodes/bridge-forward.ts';
import { BridgeKnown } from '../nodes/bridge-known.ts';
import { ForwardingInput } from '../nodes/forwarding-input.ts';
import { Ip4Input } from '../nodes/ip4-input.ts';
import { Ip4Lookup } from '../nodes/ip4-lookup.ts';
import { Ip4Rewrite } from '../nodes/ip4-rewrite.ts';
import { Ip6Input } from '../nodes/ip6-input.ts';
import { Ip6Lookup } from '../nodes/ip6-lookup.ts';
import { Ip6Rewrite } from '../nodes/ip6-rewrite.ts';
import { Punt, type PuntSink } from '../nodes/punt.ts';
import { type Packet, Packets, VNET_HEADER_BYTES } from '../packet/packets.ts';
import { ERRNO } from '../sys/errno.ts';
import { POLL, POLL_EVENT_WORDS, POLL_OPERATION, type Sys } from '../sys/sys.ts';
import { Forwarding } from './forwarding.ts';
import { FrameRing } from './frame-ring.ts';
import { ringBell } from './punt-link.ts';
import { Replica } from './replica.ts';
import type { TapAttachment, Update, WorkerSetup } from './worker-messages.ts';

interface Queue {
  readonly index: number;
  readonly link: TapLink;
  /** In the poll set. */
  readonly token: number;
  readable: boolean;
}

interface Tap {
  readonly links: readonly TapLink[];
  readonly output: Coalesce;
}

/** A sub-interface, whether its parent is attached or not. */
interface Vlan {
  readonly name: string;
  readonly parent: number;
  readonly id: number;
  up: boolean;
}

export class FastPath implements Driven, PuntSink {
  readonly poll: number;
  readonly graph: Graph;
  readonly replica: Replica;
  readonly output: InterfaceOutput;
  /** Since the beginning. */
  turns: number = 0;
  /** Called when an interface can not be read any more. */
  onLost: (interfaceIndex: number, errno: number) => void = () => {};
  readonly #sys: Sys;
  readonly #packets: Packets;
  readonly #joined: Packets;
  readonly #segments: Packets;
  readonly #tagged: Packets;
  readonly #arenaMemory: number;
  readonly #clock: { nowUs: number };
  readonly #ring: FrameRing;
  readonly #bell: number;
  readonly #entry: number;
  readonly #frame: Int32Array = new Int32Array(FRAME_PACKETS_MAX);
  readonly #events: Int32Array = new Int32Array(TURN_EVENTS_MAX * POLL_EVENT_WORDS);
  /** By token. */
  readonly #queues: Map<number, Queue> = new Map();
  readonly #readable: Queue[] = [];
  readonly #taps: Map<number, Tap> = new Map();
  readonly #vlans: Map<number, Vlan> = new Map();
  /** Interfaces that carry. */
  readonly #up: Set<number> = new Set();
  #nextToken: number = 1;
  #collected: number = 0;
  #punted: boolean = false;

  constructor(sys: Sys, { poll, bell, ring, secrets }: Omit<WorkerSetup, 'worker' | 'mode'>) {
    this.poll = poll;
    this.#sys = sys;
    this.#bell = bell;
    this.#ring = new FrameRing(ring);
    this.#clock = { nowUs: sys.nowUs() };
    const joined = ARENA_BYTES + TAG_ARENA_BYTES;
    const memory = new Uint8Array(joined + JOIN_ARENA_BYTES + SEGMENT_ARENA_BYTES);
    this.#packets = new Packets(ARENA_BYTES, PACKETS_MAX, memory);
    this.#tagged = new Packets(TAG_ARENA_BYTES, FRAME_PACKETS_MAX, memory, ARENA_BYTES);
    this.#joined = new Packets(JOIN_ARENA_BYTES, FRAME_PACKETS_MAX, memory, joined);
    this.#segments = new Packets(SEGMENT_ARENA_BYTES, FRAME_PACKETS_MAX, memory, joined + JOIN_ARENA_BYTES);
    this.#arenaMemory = sys.register(memory);
    this.output = new InterfaceOutput(this.#packets);
    this.replica = new Replica(new Forwarding(randomWord, secrets), () => Math.floor(sys.nowUs() / 1_000_000));
    this.graph = this.#wire();
    this.#entry = this.graph.indexOf('ethernet-input');
  }

  get idle(): boolean {
    return this.#collected <= 0;
  }

  get distantBytes(): number {
    return this.output.distantBytes;
  }

  turn(spinUs: number): boolean {
    this.turns++;
    const collected = this.#sys.pollCollect(this.poll, this.#events, TURN_EVENTS_MAX, spinUs);
    this.#clock.nowUs = this.#sys.nowUs();
    this.#collected = collected;
    for (let i = 0; i < collected; i++) {
      const queue = this.#queues.get(this.#events[i * POLL_EVENT_WORDS + 1]!);
      if (queue === undefined || queue.readable) continue;
      queue.readable = true;
      this.#readable.push(queue);
    }
    const more = this.#receiveAll();
    if (this.#punted && this.#ring.isAwaited()) ringBell(this.#sys, this.#bell);
    this.#punted = false;
    return more || collected === TURN_EVENTS_MAX;
  }

  punt(packets: Packets, packet: Packet): boolean {
    const { start, length, rxInterface, bytes } = packets;
    const from = start[packet]! - VNET_HEADER_BYTES;
    if (!this.#ring.put(rxInterface[packet]!, bytes, from, length[packet]! + VNET_HEADER_BYTES)) return false;
    this.#punted = true;
    return true;
  }

  /** Between turns, as all that follows. */
  apply(update: Update): void {
    this.replica.apply(update);
    if (update.kind === 'interface') {
      const { index, name, up, vlan } = update;
      if (up) this.#up.add(index);
      else this.#up.delete(index);
      this.output.setUp(index, up);
      if (vlan === undefined || this.#vlans.has(index)) return;
      this.#vlans.set(index, { name, parent: vlan.parent, id: vlan.id, up });
      this.#linkVlan(index);
    } else if (update.kind === 'no-interface') {
      this.#up.delete(update.index);
      this.#vlans.delete(update.index);
      this.#unlink(update.index);
    }
  }

  attach({ index, name, hasVnetHeader, offload, groCoalesce, served, shared }: TapAttachment): void {
    const fds = served.length > 0 ? served : [shared];
    const options = { name, hasVnetHeader, offload, arenaMemory: this.#arenaMemory };
    const links = fds.map((fd) => new TapLink(this.#sys, { ...options, fd }));
    const output = new Coalesce(new SoftwareOffload(links[0]!, this.#segments), this.#joined, groCoalesce);
    this.#taps.set(index, { links, output });
    this.#link(index, output);
    for (const [sub, { parent }] of this.#vlans) if (parent === index) this.#linkVlan(sub);
    if (served.length > 0) for (const link of links) this.#addQueue(index, link);
  }

  /** Nothing of the tap is used here from now on. What was counted of it is to be asked for before. */
  detach(index: number): void {
    const tap = this.#taps.get(index);
    if (tap === undefined) return;
    this.#taps.delete(index);
    for (const queue of [...this.#queues.values()]) if (queue.index === index) this.#removeQueue(queue);
    for (const [sub, { parent }] of this.#vlans) if (parent === index) this.#unlink(sub);
    this.#unlink(index);
    for (const link of tap.links) link.release();
  }

  #wire(): Graph {
    const { interfaces, addresses, adjacencies, bridges, l2fib, routes, groups, secrets, vlans } =
      this.replica.forwarding;
    const forward = new BridgeForward(interfaces, bridges, l2fib, this.output);
    const bridge = { interfaces, bridges, fib: l2fib, forward, clock: this.#clock, hasLink: this.replica.isLinked };
    const lookup = { adjacencies, addresses, groups, secrets };
    const own: GraphNode[] = [
      new ForwardingInput(interfaces, vlans),
      new BridgeKnown(bridge),
      new Ip4Input('ip4-lookup'),
      new Ip6Input('ip6-lookup'),
      new Ip4Lookup({ ...lookup, routes: routes.fib4 }),
      new Ip6Lookup({ ...lookup, routes: routes.fib6 }),
      new Ip4Rewrite({ adjacencies, interfaces }, this.output),
      new Ip6Rewrite({ adjacencies, interfaces }),
    ];
    const there = new Set([...own, this.output].map(({ name }) => name));
    const others = new Set(own.flatMap(({ next }) => next).filter((name) => !there.has(name)));
    const nodes = [...own, ...[...others].map((name) => new Punt(name, this)), this.output];
    return new Graph(nodes, lookupFeatures(others), this.#sys);
  }

  #link(index: number, link: Coalesce | VlanLink): void {
    this.output.add(index, link);
    this.output.setUp(index, this.#up.has(index));
    this.replica.setLinked(index, true);
  }

  #unlink(index: number): void {
    this.output.remove(index);
    this.replica.setLinked(index, false);
  }

  #linkVlan(index: number): void {
    const { name, parent, id } = this.#vlans.get(index)!;
    const tap = this.#taps.get(parent);
    if (tap !== undefined) this.#link(index, new VlanLink(name, tap.output, id, this.#tagged));
  }

  #addQueue(index: number, link: TapLink): void {
    const token = this.#nextToken++;
    this.#queues.set(token, { index, link, token, readable: false });
    this.#sys.pollControl(this.poll, POLL_OPERATION.ADD, link.fd, POLL.IN, token);
  }

  #removeQueue(queue: Queue): void {
    this.#sys.pollControl(this.poll, POLL_OPERATION.REMOVE, queue.link.fd, 0, 0);
    this.#queues.delete(queue.token);
    if (queue.readable) this.#readable.splice(this.#readable.indexOf(queue), 1);
  }

  #receiveAll(): boolean {
    const readable = this.#readable;
    let left = 0;
    for (let i = 0; i < readable.length; i++) {
      const queue = readable[i]!;
      queue.readable = this.#receive(queue);
      if (queue.readable) readable[left++] = queue;
    }
    readable.length = left;
    return left > 0;
  }

  /** Reads one queue and sends what it had on. Returns whether it may have more. */
  #receive({ index, link }: Queue): boolean {
    const frame = this.#frame;
    const packets = this.#packets;
    const got = link.receive(packets, frame, FRAME_PACKETS_MAX);
    if (got <= 0) {
      if (got < 0 && got !== -ERRNO.EINTR) this.#lose(index, link.fd, -got);
      return false;
    }
    const readable = got === FRAME_PACKETS_MAX || !packets.hasRoom(FRAME_BYTES_MAX);
    const counters = this.output.counters(index);
    for (let i = 0; i < got; i++) {
      packets.rxInterface[frame[i]!] = index;
      counters.rxBytes += packets.length[frame[i]!]!;
    }
    counters.rxPackets += got;
    this.graph.run(this.#entry, packets, frame, got);
    this.output.flush();
    return readable;
  }

  /** The device is gone, and would be reported as ready for ever. */
  #lose(index: number, fd: number, errno: number): void {
    this.#sys.pollControl(this.poll, POLL_OPERATION.REMOVE, fd, 0, 0);
    this.onLost(index, errno);
  }
}

/** The look-ups stand on all ways from the inputs, as in the main graph. */
function lookupFeatures(others: ReadonlySet<string>): Feature[] {
  const translators = ['tcp-input', 'udp-input', 'icmp-input', 'icmp6-input'];
  const features = (['ip4', 'ip6'] as const).flatMap((family) =>
    [...translators, `${family}-reassembly`].map((before) => ({
      ...{ before, node: `${family}-lookup`, from: [`${family}-input`] },
    })),
  );
  return features.filter(({ before }) => others.has(before));
}
