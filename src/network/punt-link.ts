/** What a worker has handed over, as a link to read from: frames of all interfaces, each marked with its own. They enter the graph as if they had been read here. */
import { FRAME_BYTES_MAX } from '../base/limits.ts';
import type { Link } from '../link/link.ts';
import { type LinkOffload, NO_OFFLOAD } from '../packet/offload.ts';
import { type Packets, VNET_HEADER_BYTES } from '../packet/packets.ts';
import type { Sys } from '../sys/sys.ts';
import type { FrameRing } from './frame-ring.ts';

const BELL_BYTES = 8;

export class PuntLink implements Link {
  readonly name: string;
  readonly offload: LinkOffload = NO_OFFLOAD;
  readonly #sys: Sys;
  readonly #ring: FrameRing;
  readonly #bell: number;
  readonly #bellMemory: number;

  /** `bell`: readable when the ring has frames again after it was found empty (`ringBell`). */
  constructor(sys: Sys, name: string, ring: FrameRing, bell: number) {
    this.name = name;
    this.#sys = sys;
    this.#ring = ring;
    this.#bell = bell;
    this.#bellMemory = sys.register(new Uint8Array(BELL_BYTES));
    ring.await();
  }

  receive(packets: Packets, frame: Int32Array, framesMax: number): number {
    const ring = this.#ring;
    this.#sys.read(this.#bell, this.#bellMemory, 0, BELL_BYTES);
    let count = 0;
    while (count < framesMax && packets.hasRoom(FRAME_BYTES_MAX)) {
      const length = ring.next();
      if (length === 0) {
        if (ring.await()) continue;
        break;
      }
      const packet = packets.allocate(length - VNET_HEADER_BYTES);
      packets.rxInterface[packet] = ring.interfaceIndex;
      ring.take(packets.bytes, packets.start[packet]! - VNET_HEADER_BYTES);
      frame[count++] = packet;
    }
    return count;
  }

  transmit(): number {
    return 0;
  }

  /** The bell is its maker's. */
  close(): void {
    this.#sys.unregister(this.#bellMemory);
  }
}

/** The bell is a timer that is due at once: an eventfd would do the same, and be one more call of the system's. */
export function ringBell(sys: Sys, bell: number): void {
  sys.timerSet(bell, 1);
}
