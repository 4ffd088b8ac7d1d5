/**
 * A link around a link at which captures can be started and stopped while frames go by. Where there is none it costs one look per vector.
 *
 * What is shown, and when, is as `capture.ts` says. Everything else is the inner link's own.
 */
import type { Packets } from '../packet/packets.ts';
import type { CaptureSink } from './capture.ts';
import { WrappedLink } from './wrapped-link.ts';

export class CapturePoint extends WrappedLink {
  /** Never changed but replaced: a sink may leave while it is shown a frame. */
  #sinks: readonly CaptureSink[] = [];

  /** From now on `sink` sees every frame. One that is there already is not shown them twice. */
  add(sink: CaptureSink): void {
    if (!this.#sinks.includes(sink)) this.#sinks = [...this.#sinks, sink];
  }

  remove(sink: CaptureSink): void {
    this.#sinks = this.#sinks.filter((each) => each !== sink);
  }

  override receive(packets: Packets, frame: Int32Array, framesMax: number): number {
    const count = this.inner.receive(packets, frame, framesMax);
    if (this.#sinks.length > 0) this.#showReceived(packets, frame, count);
    return count;
  }

  override transmit(packets: Packets, frame: Int32Array, count: number): number {
    const sent = this.inner.transmit(packets, frame, count);
    if (this.#sinks.length > 0) this.#showTransmitted(packets, frame, sent);
    return sent;
  }

  override turnEnded(packets: Packets): void {
    super.turnEnded(packets);
    const sinks = this.#sinks;
    for (let i = 0; i < sinks.length; i++) sinks[i].turnEnded(packets);
  }

  override close(): void {
    this.#sinks = [];
    super.close();
  }

  #showReceived(packets: Packets, frame: Int32Array, count: number): void {
    const sinks = this.#sinks;
    for (let i = 0; i < count; i++) packets.gather(frame[i]);
    for (let s = 0; s < sinks.length; s++) {
      for (let i = 0; i < count; i++) sinks[s].received(packets, frame[i]);
    }
  }

  #showTransmitted(packets: Packets, frame: Int32Array, count: number): void {
    const sinks = this.#sinks;
    for (let s = 0; s < sinks.length; s++) {
      for (let i = 0; i < count; i++) sinks[s].transmitted(packets, frame[i]);
    }
  }
}
