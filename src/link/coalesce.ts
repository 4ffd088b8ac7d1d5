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
import { NO_PACKET, type Packet, type Packets } from '../packet/packets.ts';
import { SEGMENT_BYTES_MAX } from '../packet/segment.ts';
import type { Link } from './link.ts';
import { MixedVector } from './mixed-vector.ts';
import { WrappedLink } from './wrapped-link.ts';

export class Coalesce extends WrappedLink {
  /** May be changed between two calls of `transmit`. */
  enabled: boolean;
  /** Frames that were joined to others, and the frames that they became. */
  joined: number = 0;
  joinedFrames: number = 0;
  readonly #joiner: Joiner;
  readonly #vector: MixedVector;

  /** `joined` is empty, and is so again behind each `transmit`. */
  constructor(inner: Link, joined: Packets, enabled: boolean = true) {
    assert(
      joined.count === 0 && joined.hasRoom(SEGMENT_BYTES_MAX),
      'an arena for joined frames has room for the largest',
    );
    super(inner);
    this.enabled = enabled;
    this.#joiner = new Joiner(joined, FRAME_PACKETS_MAX);
    this.#vector = new MixedVector(inner, joined);
  }

  /** All frames that are joined in one count as taken when that was. */
  override transmit(packets: Packets, frame: Int32Array, count: number): number {
    if (!this.enabled || count < 2) return this.inner.transmit(packets, frame, count);
    const { checksum, tcpSegmentation } = this.inner.offload;
    const joins = checksum && tcpSegmentation && this.#joiner.plan(packets, frame, count) > 0;
    return joins ? this.#transmitJoined(packets, frame, count) : this.inner.transmit(packets, frame, count);
  }

  #transmitJoined(packets: Packets, frame: Int32Array, count: number): number {
    const vector = this.#vector;
    for (let i = 0; i < count; i++) {
      const frames = this.#joiner.framesAt(i);
      if (frames === 1) vector.addWhole(frame[i]);
      else if (frames > 1) {
        vector.addMade(packets, this.#join(i), frames);
        this.joined += frames;
        this.joinedFrames++;
      }
    }
    return vector.flush(packets);
  }

  /** Makes a frame of those that begin at `index` of the vector; where there is no room, the others are sent first. */
  #join(index: number): Packet {
    const packet = this.#joiner.join(index);
    if (packet !== NO_PACKET) return packet;
    this.#vector.sendMade();
    return this.#joiner.join(index);
  }
}
