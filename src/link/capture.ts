/**
 * A link around a link which shows every frame that comes in and goes out to a capture sink.
 *
 * Frames are shown as they lie in the arena: one that the kernel merged, or will cut, is one large frame, and a checksum that is left to the other end is
 * partial, as tcpdump sees them on such an interface. A frame that the link did not take is not shown.
 *
 * Which flow a received frame belongs to is found out by the graph, after the frame was shown. `turnEnded`, called while the packets of the turn are still
 * there, lets the sink look at `packets.flow` once more.
 */
import type { Packet, Packets } from '../packet/packets.ts';
import type { Link } from './link.ts';
import { WrappedLink } from './wrapped-link.ts';

/** Takes copies of frames. It must not keep the packet: its bytes are gone when the turn ends. */
export interface CaptureSink {
  received(packets: Packets, packet: Packet): void;
  /** `packets.flow` of the packet is known. */
  transmitted(packets: Packets, packet: Packet): void;
  /** `packets.flow` of the packets received in this turn is known now. */
  turnEnded(packets: Packets): void;
}

export class CaptureLink extends WrappedLink {
  readonly #sink: CaptureSink;

  constructor(inner: Link, sink: CaptureSink) {
    super(inner);
    this.#sink = sink;
  }

  override receive(packets: Packets, frame: Int32Array, framesMax: number): number {
    const count = this.inner.receive(packets, frame, framesMax);
    for (let i = 0; i < count; i++) {
      packets.gather(frame[i]);
      this.#sink.received(packets, frame[i]);
    }
    return count;
  }

  override transmit(packets: Packets, frame: Int32Array, count: number): number {
    const sent = this.inner.transmit(packets, frame, count);
    for (let i = 0; i < sent; i++) this.#sink.transmitted(packets, frame[i]);
    return sent;
  }

  /** To be called once a turn, before `packets.reset`. */
  override turnEnded(packets: Packets): void {
    super.turnEnded(packets);
    this.#sink.turnEnded(packets);
  }
}
