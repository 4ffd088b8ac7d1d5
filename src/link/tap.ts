/**
 * A Linux TAP device as a link: one read(2) and one write(2) per frame (Documentation/networking/tuntap.rst).
 *
 * With IFF_VNET_HDR the kernel puts its 12-byte virtio-net header in front of each frame and takes ours: frames are then up to 64 KiB, their checksums undone, in
 * both directions, and nothing is copied or cut here. Without it the header's place in the arena is zeroed.
 *
 * A full queue on the guest's side never blocks us: a frame written to a tap goes through the guest's stack before write(2) returns.
 */
import { FRAME_BYTES_MAX } from '../base/limits.ts';
import { FRAME_PACKETS_MAX } from '../graph/node.ts';
import type { LinkOffload } from '../packet/offload.ts';
import { type Packets, VNET_HEADER_BYTES } from '../packet/packets.ts';
import { ERRNO } from '../sys/errno.ts';
import type { Sys } from '../sys/sys.ts';
import type { Link } from './link.ts';

export interface TapOptions {
  readonly name: string;
  readonly fd: number;
  /** Whether the device was opened with IFF_VNET_HDR, with a header of 12 bytes. */
  readonly hasVnetHeader: boolean;
  readonly offload: LinkOffload;
  /** The id under which the arena is registered. */
  readonly arenaMemory: number;
  /** Bytes left free in front of each received frame and its virtio-net header, for a link around this one; none unless said. */
  readonly headroom?: number;
}

export class TapLink implements Link {
  readonly name: string;
  /** What the device takes unfinished: it may be changed at run time. */
  offload: LinkOffload;
  readonly fd: number;
  /** Frames that the device did not take. */
  writeErrors: number = 0;
  readonly #sys: Sys;
  readonly #arenaMemory: number;
  /** Bytes in front of each frame that go through the device with it. */
  readonly #headerBytes: number;
  /** Bytes left free in front of what is read. */
  readonly #headroom: number;
  readonly #vector: Int32Array = new Int32Array(FRAME_PACKETS_MAX * 2);
  readonly #vectorMemory: number;

  constructor(sys: Sys, options: TapOptions) {
    this.name = options.name;
    this.offload = options.offload;
    this.fd = options.fd;
    this.#sys = sys;
    this.#arenaMemory = options.arenaMemory;
    this.#headerBytes = options.hasVnetHeader ? VNET_HEADER_BYTES : 0;
    this.#headroom = (options.headroom ?? 0) + VNET_HEADER_BYTES - this.#headerBytes;
    this.#vectorMemory = sys.register(this.#vector);
  }

  receive(packets: Packets, frame: Int32Array, framesMax: number): number {
    const header = this.#headerBytes;
    const most = Math.min(framesMax, packets.start.length - packets.count);
    const got = this.#read(packets, most);
    let count = 0;
    for (let i = 0; i < got; i++) {
      const start = this.#vector[2 * i] + header;
      const length = this.#vector[2 * i + 1] - header;
      if (length <= 0) continue;
      if (header === 0) packets.bytes.fill(0, start - VNET_HEADER_BYTES, start);
      frame[count++] = packets.adopt(start, length);
    }
    return got < 0 ? got : count;
  }

  transmit(packets: Packets, frame: Int32Array, count: number): number {
    const vector = this.#vector;
    const header = this.#headerBytes;
    for (let i = 0; i < count; i++) {
      const packet = frame[i];
      vector[2 * i] = packets.start[packet] - header;
      vector[2 * i + 1] = packets.length[packet] + header;
    }
    let done = 0;
    let taken = 0;
    while (done < count) {
      const written = this.#sys.writeFrames(this.fd, this.#arenaMemory, this.#vectorMemory, 2 * done, count - done);
      if (written > 0) {
        done += written;
        taken += written;
        continue;
      }
      // A frame that the kernel refuses is skipped; a device that is gone, or full, takes none of the others either.
      if (written !== -ERRNO.EINVAL && written !== -ERRNO.EIO && written !== -ERRNO.ENOMEM) break;
      done++;
    }
    this.writeErrors += count - taken;
    return taken;
  }

  close(): void {
    this.#sys.close(this.fd);
    this.release();
  }

  /** In place of `close`, where the descriptor is somebody else's. */
  release(): void {
    this.#sys.unregister(this.#vectorMemory);
  }

  #read(packets: Packets, framesMax: number): number {
    const at = packets.used;
    const end = packets.bytes.length;
    const most = FRAME_BYTES_MAX + this.#headerBytes;
    const { fd } = this;
    return this.#sys.readFrames(fd, this.#arenaMemory, at, end, most, this.#vectorMemory, 0, framesMax, this.#headroom);
  }
}
