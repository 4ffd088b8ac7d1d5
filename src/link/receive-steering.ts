/**
 * Which pair of queues a frame to a guest leaves by, where that has several: automatic receive steering (virtio 1.2, section 5.1.6.5.6).
 *
 * A flow's frames go by the pair that the guest last sent frames of that flow by, which is how a driver says which of its processors the flow is on. A flow of which it has sent none
 * yet, or whose pair is not in use (any more), goes by one that is in use, chosen by hash: all of its frames by the same one, and flows spread over them.
 *
 * A flow is what has the same two addresses and, in TCP and UDP, the same two ports, in whichever direction. Flows are told apart by hash alone: those of one bucket
 * go together, which moves some that need not be moved, and keeps the order of each. Of fragments, and behind extension headers of IPv6, the addresses count; what is not IP is one flow.
 */
import { FRAME_PACKETS_MAX } from '../graph/node.ts';
import type { Packet, Packets } from '../packet/packets.ts';
import { TYPE_VLAN, VLAN_TAG_BYTES } from '../packet/vlan-tag.ts';
import * as ethernet from '../wire/ethernet.ts';
import * as ipv4 from '../wire/ipv4.ts';
import * as ipv6 from '../wire/ipv6.ts';
import * as udp from '../wire/udp.ts';
import type { Link } from './link.ts';
import { WrappedLink } from './wrapped-link.ts';

/** A pair of queues. */
export interface PairLink extends Link {
  readonly fd: number;
  /** The guest receives by it. */
  readonly isOpen: boolean;
  readonly blocked: boolean;
  drain(): boolean;
}

const BUCKET_BITS = 10;
/** In place of a pair: the guest has sent nothing. */
const NONE = 0xff;

export class ReceiveSteering {
  readonly #pairs: readonly PairLink[];
  /** By bucket: the pair that a flow came by. */
  readonly #cameBy: Uint8Array = new Uint8Array(1 << BUCKET_BITS).fill(NONE);
  /** Numbers of the pairs that are in use. */
  readonly #open: Int32Array;
  /** By pair: frames of the vector that is being sent. */
  readonly #frames: readonly Int32Array[];
  readonly #counts: Int32Array;
  /** The pair that room was borrowed from last. */
  #borrowedFrom: number = 0;

  constructor(pairs: readonly PairLink[]) {
    this.#pairs = pairs;
    this.#open = new Int32Array(pairs.length);
    this.#frames = pairs.map(() => new Int32Array(FRAME_PACKETS_MAX));
    this.#counts = new Int32Array(pairs.length);
  }

  /** The guest has sent frames by a pair. */
  learn(pair: number, packets: Packets, frame: Int32Array, count: number): void {
    for (let i = 0; i < count; i++) this.#cameBy[bucketOf(packets, frame[i])] = pair;
  }

  /** Sends each flow's frames in order. Returns how many were taken, of all. */
  transmit(packets: Packets, frame: Int32Array, count: number): number {
    const pairs = this.#pairs;
    const open = this.#listOpen();
    if (open === 0) return 0;
    this.#counts.fill(0);
    for (let i = 0; i < count; i++) {
      const pair = this.#pairOf(packets, frame[i], open);
      this.#frames[pair][this.#counts[pair]++] = frame[i];
    }
    let taken = 0;
    for (let pair = 0; pair < pairs.length; pair++) {
      const frames = this.#counts[pair];
      if (frames > 0) taken += pairs[pair].transmit(packets, this.#frames[pair], frames);
    }
    return taken;
  }

  /** Finds room for a frame, whose addresses and ports are there, by the pair that it will leave by. */
  borrow(packets: Packets, packet: Packet, headBytes: number): boolean {
    const open = this.#listOpen();
    if (open === 0) return false;
    this.#borrowedFrom = this.#pairOf(packets, packet, open);
    return this.#pairs[this.#borrowedFrom].borrow?.(packets, packet, headBytes) === true;
  }

  keepBorrowed(packets: Packets, packet: Packet): void {
    this.#pairs[this.#borrowedFrom].keepBorrowed?.(packets, packet);
  }

  get blocked(): boolean {
    for (let pair = 0; pair < this.#pairs.length; pair++) if (this.#pairs[pair].blocked) return true;
    return false;
  }

  /** Sends what waits, by each pair. Returns whether nothing is left. */
  drain(): boolean {
    let isDone = true;
    for (let pair = 0; pair < this.#pairs.length; pair++) if (!this.#pairs[pair].drain()) isDone = false;
    return isDone;
  }

  /** Returns how many are in use: their numbers are in `#open`. */
  #listOpen(): number {
    let open = 0;
    for (let pair = 0; pair < this.#pairs.length; pair++) if (this.#pairs[pair].isOpen) this.#open[open++] = pair;
    return open;
  }

  #pairOf(packets: Packets, packet: Packet, open: number): number {
    const bucket = bucketOf(packets, packet);
    const known = this.#cameBy[bucket];
    return known !== NONE && this.#pairs[known].isOpen ? known : this.#open[bucket % open];
  }
}

/** One of the pairs: receives by that, and sends by all. */
export class SteeredLink extends WrappedLink {
  readonly fd: number;
  readonly #pair: number;
  readonly #steering: ReceiveSteering;

  constructor(steering: ReceiveSteering, pairs: readonly PairLink[], pair: number) {
    super(pairs[pair]);
    this.fd = pairs[pair].fd;
    this.#pair = pair;
    this.#steering = steering;
  }

  override receive(packets: Packets, frame: Int32Array, framesMax: number): number {
    const count = this.inner.receive(packets, frame, framesMax);
    this.#steering.learn(this.#pair, packets, frame, count);
    return count;
  }

  override transmit(packets: Packets, frame: Int32Array, count: number): number {
    return this.#steering.transmit(packets, frame, count);
  }

  borrow(packets: Packets, packet: Packet, headBytes: number): boolean {
    return this.#steering.borrow(packets, packet, headBytes);
  }

  keepBorrowed(packets: Packets, packet: Packet): void {
    this.#steering.keepBorrowed(packets, packet);
  }

  override get blocked(): boolean {
    return this.#steering.blocked;
  }

  override drain(): boolean {
    return this.#steering.drain();
  }
}

/** The same for both directions of a flow. */
function bucketOf(packets: Packets, packet: Packet): number {
  const { view } = packets;
  const start = packets.start[packet];
  const end = start + packets.length[packet];
  let at = start + ethernet.HEADER_BYTES;
  let type = ethernet.type(view, start);
  if (type === TYPE_VLAN && at + VLAN_TAG_BYTES <= end) {
    type = view.getUint16(at + 2);
    at += VLAN_TAG_BYTES;
  }
  let hash = 0;
  let ports = -1;
  if (type === ethernet.TYPE_IPV4 && at + ipv4.HEADER_BYTES <= end) {
    hash = ipv4.source(view, at) ^ ipv4.destination(view, at);
    if (hasPorts(ipv4.protocol(view, at)) && !ipv4.isFragment(view, at)) ports = at + ipv4.headerBytes(view, at);
  } else if (type === ethernet.TYPE_IPV6 && at + ipv6.HEADER_BYTES <= end) {
    for (let i = 0; i < 4; i++)
      hash ^= Math.imul(ipv6.sourceWord(view, at, i) ^ ipv6.destinationWord(view, at, i), i * 2 + 1);
    if (hasPorts(ipv6.nextHeader(view, at))) ports = at + ipv6.HEADER_BYTES;
  }
  // TCP has its ports where UDP has them.
  if (ports > 0 && ports + 4 <= end) hash ^= udp.sourcePort(view, ports) ^ udp.destinationPort(view, ports);
  // By the golden ratio: all bits count in the uppermost.
  return Math.imul(hash ^ (hash >>> 16), 0x9e37_79b1) >>> (32 - BUCKET_BITS);
}

function hasPorts(protocol: number): boolean {
  return protocol === ipv6.PROTOCOL_TCP || protocol === ipv6.PROTOCOL_UDP;
}
