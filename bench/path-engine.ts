/** The whole engine on a system that does nothing, behind a link whose frames are in memory. */
import { MacAddress } from '#tapster/base/address.js';
import { Engine } from '#tapster/engine/engine.js';
import { GuestWiring } from '#tapster/engine/guest-wiring.js';
import { NameTable } from '#tapster/flow/names.js';
import { VERDICT } from '#tapster/flow/policy.js';
import { FRAME_PACKETS_MAX } from '#tapster/graph/node.js';
import { NO_SERVICES } from '#tapster/nodes/service-config.js';
import type { Packets } from '#tapster/packet/packets.js';
import { POLL } from '#tapster/sys/sys.js';
import * as tcp from '#tapster/wire/tcp.js';
import { EVERY_OFFLOAD_BUT_UDP, MemoryLink } from './memory-link.ts';
import { NullSys } from './null-sys.ts';
import { FrameBlock, OUR_MAC, TRANSPORT_AT, writeDatagram, writeSegment } from './path-frames.ts';

const MTU = 1500;
/** Of every frame here: headers and a little payload. */
const FRAME_BYTES = 118;
const SEGMENT_BYTES: number = FRAME_BYTES - TRANSPORT_AT - tcp.HEADER_BYTES;
const FLOWS_MAX = 1024;
const GUEST_PORT = 40_000;
const GUEST_SEQUENCE = 1000;
const TURN_US = 20;
/** How many sockets the datagrams of one frame belong to. */
const DATAGRAM_FLOWS = 16;

/** Remembers the sequence number of the last frame that it was sent. */
class SegmentLink extends MemoryLink {
  lastSequence: number = 0;

  override transmit(packets: Packets, frame: Int32Array, count: number): number {
    this.lastSequence = tcp.sequence(packets.view, packets.start[frame[count - 1]!]! + TRANSPORT_AT);
    return super.transmit(packets, frame, count);
  }
}

export class PathEngine {
  readonly sys: NullSys = new NullSys();
  readonly #link: SegmentLink = new SegmentLink();
  readonly #engine: Engine;
  readonly #datagrams: FrameBlock = new FrameBlock(FRAME_PACKETS_MAX, FRAME_BYTES);
  readonly #segments: FrameBlock = new FrameBlock(FRAME_PACKETS_MAX, FRAME_BYTES);
  readonly #linkToken: number;
  #sequence: number = GUEST_SEQUENCE + 1;

  constructor() {
    const services = { ...NO_SERVICES, ourMac: new MacAddress(OUR_MAC.high, OUR_MAC.low), mtu: MTU };
    this.#engine = new Engine(this.sys, {
      flowsMax: FLOWS_MAX,
      policy: { decide: () => VERDICT.ALLOW },
      callers: { map: () => {} },
      names: new NameTable(),
      wiring: new GuestWiring({ services, localNames: new Map() }),
      observer: () => ({ opened: () => {}, closed: () => {} }),
      random: () => 7,
    });
    this.#engine.addLink(this.#link, 3, {
      index: 0,
      mtu: MTU,
      ourMacHigh: OUR_MAC.high,
      ourMacLow: OUR_MAC.low,
      offload: EVERY_OFFLOAD_BUT_UDP,
    });
    this.#linkToken = this.sys.lastToken;
    for (let i = 0; i < FRAME_PACKETS_MAX; i++) {
      writeDatagram(this.#datagrams, i, 4, GUEST_PORT + (i % DATAGRAM_FLOWS));
    }
    this.#connect();
  }

  /** One turn with a frame full of datagrams. */
  turnOfDatagrams(): void {
    this.#receive(this.#datagrams);
  }

  /** One turn with a frame full of segments of one flow, each with a little data. */
  turnOfSegments(): void {
    const block = this.#segments;
    for (let i = 0; i < FRAME_PACKETS_MAX; i++) {
      tcp.setSequence(block.view, block.startOf(i) + TRANSPORT_AT, this.#sequence);
      this.#sequence = (this.#sequence + SEGMENT_BYTES) | 0;
    }
    this.#receive(block);
  }

  get transmitted(): number {
    return this.#link.transmitted;
  }

  /** SYN, the host's socket is connected, SYN-ACK; from then on every segment acknowledges that. */
  #connect(): void {
    const syn = new FrameBlock(1, TRANSPORT_AT + tcp.HEADER_BYTES);
    writeSegment(syn, 0, { fromPort: GUEST_PORT, sequence: GUEST_SEQUENCE, acknowledgment: 0, flags: tcp.SYN });
    this.#receive(syn);
    this.sys.makeReady(POLL.OUT, this.sys.lastToken);
    this.#turn();
    const acknowledgment = (this.#link.lastSequence + 1) | 0;
    for (let i = 0; i < FRAME_PACKETS_MAX; i++) {
      const segment = { fromPort: GUEST_PORT, sequence: 0, acknowledgment, flags: tcp.ACK };
      writeSegment(this.#segments, i, segment);
    }
  }

  #receive(block: FrameBlock): void {
    this.#link.block = block;
    this.sys.makeReady(POLL.IN, this.#linkToken);
    this.#turn();
  }

  #turn(): void {
    this.sys.clockUs += TURN_US;
    while (this.#engine.turn());
  }
}
