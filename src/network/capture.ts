/** One capture: what it sees of its interfaces, what it takes of that, and when that is enough. */
import type { CaptureSink } from '../link/capture.ts';
import type { CapturePoint } from '../link/capture-point.ts';
import type { PacketFilter } from '../packet/filter/compile.ts';
import type { Packet, Packets } from '../packet/packets.ts';
import { DIRECTION_INBOUND, DIRECTION_OUTBOUND } from '../packet/pcapng.ts';
import type { CaptureFile, DescribedInterface } from './capture-file.ts';
import type { CaptureOptions } from './running-network.ts';
import type { CaptureView } from './views.ts';

/** Where it looks: a link of an interface. */
interface Window extends CaptureSink {
  readonly index: number;
  readonly point: CapturePoint;
}

export class Capture {
  /** The interface that it is of; -1: any. */
  readonly index: number;
  /** Resolves when it has ended and its file is complete. */
  readonly complete: Promise<void>;
  readonly #options: CaptureOptions & { readonly name: string };
  readonly #directions: readonly ('rx' | 'tx')[];
  readonly #filter: PacketFilter | undefined;
  readonly #file: CaptureFile;
  readonly #packetsMax: number;
  readonly #bytesMax: number;
  readonly #described: Map<number, DescribedInterface> = new Map();
  #windows: Window[] = [];
  #filtered: number = 0;
  #ended: string | undefined;
  #finish: () => void = () => {};

  /** `ended` is called once, when the file is complete. */
  constructor(
    options: CaptureOptions & { readonly name: string },
    index: number,
    filter: PacketFilter | undefined,
    file: CaptureFile,
    ended: (capture: Capture) => void,
  ) {
    this.index = index;
    this.#options = options;
    this.#directions = (['rx', 'tx'] as const).filter((each) => options.directions?.includes(each) ?? true);
    this.#filter = filter;
    this.#file = file;
    this.#packetsMax = options.packetsMax ?? Number.POSITIVE_INFINITY;
    this.#bytesMax = options.bytesMax ?? Number.POSITIVE_INFINITY;
    const end = new Promise<void>((resolve) => {
      this.#finish = resolve;
    });
    this.complete = end.then(() => this.#close()).then(() => ended(this));
  }

  get active(): boolean {
    return this.#ended === undefined;
  }

  /** Whether it wants to see this interface. */
  sees(index: number): boolean {
    return this.active && (this.index < 0 || this.index === index);
  }

  attach(index: number, name: string, point: CapturePoint): void {
    let described = this.#described.get(index);
    if (described === undefined) {
      described = { name, number: -1 };
      this.#described.set(index, described);
      this.#file.describe(described);
    }
    const window = this.#window(index, described, point);
    this.#windows.push(window);
    point.add(window);
  }

  detach(index: number): void {
    for (const window of this.#windows) if (window.index === index) window.point.remove(window);
    this.#windows = this.#windows.filter((window) => window.index !== index);
    this.#described.delete(index);
  }

  /** Nothing is taken any more. The first reason counts. */
  end(reason: string): void {
    if (!this.active) return;
    this.#ended = reason;
    for (const window of this.#windows) window.point.remove(window);
    this.#windows = [];
    this.#finish();
  }

  view(): CaptureView {
    const { name, interface: of, file, filter, packetsMax, bytesMax, bytesPerPacketMax } = this.#options;
    const { packets, bytes, dropped } = this.#file;
    return {
      name,
      interface: of,
      file,
      directions: this.#directions,
      ...(filter === undefined ? {} : { filter }),
      ...(packetsMax === undefined ? {} : { packetsMax }),
      ...(bytesMax === undefined ? {} : { bytesMax }),
      ...(bytesPerPacketMax === undefined ? {} : { bytesPerPacketMax }),
      packets,
      bytes,
      filtered: this.#filtered,
      ...(dropped === 0 ? {} : { dropped }),
      active: this.active,
      ...(this.#ended === undefined ? {} : { ended: this.#ended }),
    };
  }

  /** Some file systems tell only now that there was no room. */
  async #close(): Promise<void> {
    try {
      await this.#file.close();
    } catch (error) {
      this.#ended += `, and closing the file failed: ${error instanceof Error ? error.message : error}`;
    }
  }

  #window(index: number, described: DescribedInterface, point: CapturePoint): Window {
    const rx = this.#directions.includes('rx');
    const tx = this.#directions.includes('tx');
    return {
      index,
      point,
      received: (packets, packet) => {
        if (rx) this.#take(described, DIRECTION_INBOUND, packets, packet);
      },
      transmitted: (packets, packet) => {
        if (tx) this.#take(described, DIRECTION_OUTBOUND, packets, packet);
      },
      turnEnded: () => this.#file.turnEnded(),
    };
  }

  #take(described: DescribedInterface, direction: number, packets: Packets, packet: Packet): void {
    if (!this.active) return;
    if (this.#filter !== undefined && !this.#filter(packets, packet)) {
      this.#filtered++;
      return;
    }
    const file = this.#file;
    if (file.bytes + file.capturedBytes(packets.length[packet] as number) > this.#bytesMax) {
      this.end(`it has its ${this.#bytesMax} bytes: the next packet would be too much`);
      return;
    }
    file.write(described, direction, packets, packet);
    if (file.packets >= this.#packetsMax) this.end(`it has its ${this.#packetsMax} packets`);
  }
}
