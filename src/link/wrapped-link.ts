/** A link around a link: everything is the inner one's, as it is now, but for what a subclass does itself. */
import type { LinkOffload } from '../packet/offload.ts';
import type { Packets } from '../packet/packets.ts';
import type { Link } from './link.ts';

export abstract class WrappedLink implements Link {
  readonly inner: Link;

  constructor(inner: Link) {
    this.inner = inner;
  }

  get name(): string {
    return this.inner.name;
  }

  /** It may change at run time. */
  get offload(): LinkOffload {
    return this.inner.offload;
  }

  get distant(): boolean {
    return this.inner.distant === true;
  }

  receive(packets: Packets, frame: Int32Array, framesMax: number): number {
    return this.inner.receive(packets, frame, framesMax);
  }

  transmit(packets: Packets, frame: Int32Array, count: number): number {
    return this.inner.transmit(packets, frame, count);
  }

  turnEnded(packets: Packets): void {
    this.inner.turnEnded?.(packets);
  }

  get blocked(): boolean {
    return this.inner.blocked === true;
  }

  drain(): boolean {
    return this.inner.drain?.() ?? true;
  }

  close(): void {
    this.inner.close();
  }
}
