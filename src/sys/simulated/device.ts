/**
 * A simulated tap: two queues of frames, as read(2) and write(2) of the descriptor see them (a virtio-net header in front when the link uses one).
 * The test is the guest: it fills one queue and drains the other, or gets each frame as it is written.
 */
import { ERRNO } from '../errno.ts';
import { POLL } from '../sys.ts';
import { Descriptor } from './poll.ts';

export interface DeviceOptions {
  /** Frames that wait for the engine; beyond it a frame of the guest is lost, as in an interface's full transmit queue. */
  readonly inboundFramesMax?: number;
  /** Frames that wait for the guest; beyond it a write fails with EAGAIN. */
  readonly outboundFramesMax?: number;
  /** Takes each frame that the engine writes, instead of the queue. */
  readonly onFrame?: (frame: Uint8Array) => void;
}

export class SimulatedDevice extends Descriptor {
  readonly kind = 'device';
  /** The descriptor's number. */
  readonly fd: number;
  onFrame: ((frame: Uint8Array) => void) | undefined;
  /** Guest frames lost because the engine was slow. */
  lost = 0;
  readonly #inboundMax: number;
  readonly #outboundMax: number;
  #inbound: Uint8Array[] = [];
  #outbound: Uint8Array[] = [];
  readonly #readErrors: number[] = [];
  readonly #writeErrors: number[] = [];
  #open = true;

  constructor(fd: number, options: DeviceOptions) {
    super();
    this.fd = fd;
    this.#inboundMax = options.inboundFramesMax ?? 1000;
    this.#outboundMax = options.outboundFramesMax ?? Number.POSITIVE_INFINITY;
    this.onFrame = options.onFrame;
  }

  /** The guest sends a frame; it is copied. Returns whether there was room. */
  send(frame: Uint8Array): boolean {
    if (!this.#open || this.#inbound.length >= this.#inboundMax) {
      this.lost++;
      return false;
    }
    this.#inbound.push(frame.slice());
    this.wake(POLL.IN);
    return true;
  }

  /** Takes what the engine has written for the guest. */
  receive(): Uint8Array[] {
    const frames = this.#outbound;
    this.#outbound = [];
    if (frames.length >= this.#outboundMax) this.wake(POLL.OUT);
    return frames;
  }

  /** The next `times` reads or writes fail with `errno` (positive), whatever there is. */
  failReads(errno: number, times: number = 1): void {
    for (let i = 0; i < times; i++) this.#readErrors.push(errno);
    this.wake(POLL.IN);
  }

  failWrites(errno: number, times: number = 1): void {
    for (let i = 0; i < times; i++) this.#writeErrors.push(errno);
  }

  override readiness(): number {
    const readable = this.#inbound.length > 0 || this.#readErrors.length > 0;
    return (readable ? POLL.IN : 0) | (this.#outbound.length < this.#outboundMax ? POLL.OUT : 0);
  }

  /** A frame longer than `target` is cut off, as the tun driver does. */
  override read(target: Uint8Array): number {
    const errno = this.#readErrors.shift();
    if (errno !== undefined) return -errno;
    const frame = this.#inbound.shift();
    if (frame === undefined) return -ERRNO.EAGAIN;
    const length = Math.min(frame.length, target.length);
    target.set(frame.subarray(0, length));
    return length;
  }

  override write(source: Uint8Array): number {
    const errno = this.#writeErrors.shift();
    if (errno !== undefined) return -errno;
    const frame = source.slice();
    if (this.onFrame !== undefined) {
      this.onFrame(frame);
      return source.length;
    }
    if (this.#outbound.length >= this.#outboundMax) return -ERRNO.EAGAIN;
    this.#outbound.push(frame);
    return source.length;
  }

  override close(): void {
    this.#open = false;
    this.#inbound = [];
  }
}
