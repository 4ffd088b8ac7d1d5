/**
 * A link around one with TCP segmentation offload: on transmit, the segments of a stream that stand in one vector leave as one large frame, which whoever is at the
 * other end handles once. What is joined, and what is not, is in `packet/join.ts`.
 *
 *     segment A1, segment B1, segment A2, ack A, segment B2, segment A3     becomes     A1+A2, B1+B2, ack A, A3
 *
 * A frame stands where its first segment stood: within a stream the order is kept, between streams it may change within the vector. Nothing waits for a later one.
 *
 * Joined frames lie in an arena of their own, `joined`, which all links of an engine share, because it is empty again when `transmit` returns; it is a part of the same memory
 * as the arenas of `software-offload.ts` and `vlan.ts`, for the reasons given there, and lies behind those that frames may come in: the turn's, and `tagged`. So this link
 * belongs around a `SoftwareOffload` and inside of a `VlanLink`; a tag is a part of the headers that must be the same.
 *
 * Whoever counts or captures frames outside sees them as they came. Where the inner link takes no large frames, now, everything passes as it is; the same while `enabled` is `false`.
 */
import { assert } from '../base/assert.ts';
import { FRAME_PACKETS_MAX } from '../graph/node.ts';
import { Joiner } from '../packet/join.ts';
import type { LinkOffload } from '../packet/offload.ts';
import { NO_PACKET, type Packets } from '../packet/packets.ts';
import { SEGMENT_BYTES_MAX } from '../packet/segment.ts';
import type { Link } from './link.ts';

export class Coalesce implements Link {
  readonly name: string;
  /** May be changed between two calls of `transmit`. */
  enabled: boolean;
  /** Frames that were joined to others, and the frames that they became. */
  joined: number = 0;
  joinedFrames: number = 0;
  readonly #inner: Link;
  readonly #arena: Packets;
  readonly #joiner: Joiner;
  /** Frames that go as they are, and wait for those behind them. */
  readonly #whole: Int32Array = new Int32Array(FRAME_PACKETS_MAX);
  #wholeCount: number = 0;
  /** Joined frames that wait for more, and of how many each was made. */
  readonly #batch: Int32Array = new Int32Array(FRAME_PACKETS_MAX);
  readonly #frames: Int32Array = new Int32Array(FRAME_PACKETS_MAX);
  #batchCount: number = 0;

  /** `joined` is empty, and is so again behind each `transmit`. */
  constructor(inner: Link, joined: Packets, enabled: boolean = true) {
    assert(
      joined.count === 0 && joined.hasRoom(SEGMENT_BYTES_MAX),
      'an arena for joined frames has room for the largest',
    );
    this.name = inner.name;
    this.enabled = enabled;
    this.#inner = inner;
    this.#arena = joined;
    this.#joiner = new Joiner(joined, FRAME_PACKETS_MAX);
  }

  /** The inner link's, as it is now. */
  get offload(): LinkOffload {
    return this.#inner.offload;
  }

  receive(packets: Packets, frame: Int32Array, framesMax: number): number {
    return this.#inner.receive(packets, frame, framesMax);
  }

  /** All frames that are joined in one count as taken when that was. */
  transmit(packets: Packets, frame: Int32Array, count: number): number {
    if (!this.enabled || count < 2) return this.#inner.transmit(packets, frame, count);
    const { checksum, tcpSegmentation } = this.#inner.offload;
    const joins = checksum && tcpSegmentation && this.#joiner.plan(packets, frame, count) > 0;
    return joins ? this.#transmitJoined(packets, frame, count) : this.#inner.transmit(packets, frame, count);
  }

  turnEnded(packets: Packets): void {
    this.#inner.turnEnded?.(packets);
  }

  get blocked(): boolean {
    return this.#inner.blocked === true;
  }

  drain(): boolean {
    return this.#inner.drain?.() ?? true;
  }

  close(): void {
    this.#inner.close();
  }

  #transmitJoined(packets: Packets, frame: Int32Array, count: number): number {
    let taken = 0;
    for (let i = 0; i < count; i++) {
      const frames = this.#joiner.framesAt(i);
      if (frames === 1) {
        taken += this.#sendJoined();
        this.#whole[this.#wholeCount++] = frame[i];
      } else if (frames > 1) {
        taken += this.#sendWhole(packets);
        taken += this.#join(i, frames);
      }
    }
    return taken + this.#sendWhole(packets) + this.#sendJoined();
  }

  /** Makes a frame of those that begin at `index` of the vector; where there is no room, the others are sent first. Returns how many were taken of these. */
  #join(index: number, frames: number): number {
    let taken = 0;
    let packet = this.#joiner.join(index);
    if (packet === NO_PACKET) {
      taken = this.#sendJoined();
      packet = this.#joiner.join(index);
    }
    this.#batch[this.#batchCount] = packet;
    this.#frames[this.#batchCount++] = frames;
    this.joined += frames;
    this.joinedFrames++;
    return taken;
  }

  #sendWhole(packets: Packets): number {
    const count = this.#wholeCount;
    if (count === 0) return 0;
    this.#wholeCount = 0;
    return Math.max(this.#inner.transmit(packets, this.#whole, count), 0);
  }

  /** Sends the joined frames that there are and empties their arena. Returns how many frames were taken in them. */
  #sendJoined(): number {
    const count = this.#batchCount;
    if (count === 0) return 0;
    this.#batchCount = 0;
    const taken = this.#inner.transmit(this.#arena, this.#batch, count);
    this.#arena.reset();
    let frames = 0;
    for (let i = 0; i < taken; i++) frames += this.#frames[i];
    return frames;
  }
}
